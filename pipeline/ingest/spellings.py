"""Keys of members' names and birth dates that tolerate an error, one row per row of members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.ingest.tokenise import STEPS
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP

TABLE = "member_spellings"


def keys_of(members: str) -> str:
    """SQL of `keys` and `place` of members in clear, `place` being their position. A step for each level of calls."""
    return f"""
        SELECT place, joined_spelling_keys(
            spelling_keys(surname, given, birth_date),
            CASE WHEN birth_surname IS DISTINCT FROM surname THEN spelling_keys(birth_surname, given, birth_date) END
        ) AS keys FROM (
            SELECT place, spelling_surname(family_name) AS surname, spelling_surname(birth_name) AS birth_surname,
                spelling_given(given_names) AS given, birth_date FROM ({members})
            WHERE is_complete_birth_date(birth_date)
        )"""


def spellings_of(staged: Staged, members: str) -> str:
    """SQL of the spellings of `members`, SQL of lake rows with `place`, their position among the staged rows."""
    return f"""
        SELECT m.member_id, s.keys, m.key_version, m.known_at, m.version FROM ({members}) m
        JOIN ({keys_of(f"SELECT rowid AS place, * FROM {staged.relation}")}) s USING (place)
        WHERE s.keys IS NOT NULL"""


def write_spellings(
    session: Session, tables: Sequence[Staged], files: Mapping[str, Sequence[str]], day: date, sequence: int
) -> dict[str, list[str]]:
    """Write the spellings of the members in `files`, the load's own, as one more file. Returns it by table.

    Raises:
        StoreError: the lake cannot be written.
    """
    paths = ", ".join(file_text(session.lake.root / path) for path in files.get("members", ()))
    staged = next((each for each in tables if each.table.name == "members"), None)
    if not paths or not staged:
        return {}
    place = f"version % {VERSION_STEP} // {STEPS} AS place"
    members = f"SELECT *, {place} FROM read_parquet([{paths}], hive_partitioning = false)"
    return {TABLE: [session.lake.write(session.con, spellings_of(staged, members), TABLE, day, sequence)]}


def renew_spellings(session: Session, day: date, sequence: int) -> dict[str, list[str]]:
    """Write the collected spellings of renewed members as a file. Returns it by table."""
    path = session.lake.write(session.con, "FROM renewed_spellings", TABLE, day, sequence)
    session.con.execute("DROP TABLE renewed_spellings")
    return {TABLE: [path]}


def begin_renewal(session: Session) -> None:
    """Start collecting the spellings of renewed members."""
    columns = ", ".join(f"{name} {kind}" for name, kind in SCHEMAS[TABLE].items())
    session.con.execute(f"CREATE OR REPLACE TEMP TABLE renewed_spellings ({columns})")
