"""People on a list without any usable key: their rows go masked to quarantine, and their originals are sealed.

quarantine/<night>/people.parquet    row, rule, column, message
vault/quarantine/...                 ref `<night>/people/<breach_id>/<n>`; the message says list and n
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.home.vault import QUARANTINE, seal
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.formats.batches import Batch, rejected_lines
from payeewatch.pipeline.ingest.quarantine import masked
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.tables import PEOPLE

FILE = "people.parquet"
REJECTED = ", rejected row "
RULE = "no_usable_key"
WHY = "neither a national id, nor a name and a complete birth date, can be used"


def begin(con: duckdb.DuckDBPyConnection) -> None:
    """Start collecting a list's rejected rows, in clear, in a private table whose spill is encrypted."""
    con.execute("CREATE OR REPLACE TEMP TABLE people_rejected (original JSON)")


def collect(con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Add a batch's rows without a usable key, and its lines that are no rows."""
    cells = ", ".join(f"{text(c.name)}, CAST({c.name} AS VARCHAR)" for c in PEOPLE.columns if c.name in batch.present)
    cell = {c.name: c.name if c.name in batch.present else "NULL" for c in PEOPLE.columns}
    born = f"is_complete_birth_date(canonical_birth_date(CAST({cell['birth_date']} AS VARCHAR)))"
    is_named = " AND ".join(
        f"coalesce(canonical_name(CAST({cell[name]} AS VARCHAR)), '') <> ''" for name in ("family_name", "given_names")
    )
    con.execute(f"INSERT INTO people_rejected SELECT json_object('line', line) FROM ({rejected_lines(con, batch)})")
    con.execute(f"""
        INSERT INTO people_rejected SELECT json_object({cells}) FROM ({batch.query})
        WHERE canonical_national_id(CAST({cell["national_id"]} AS VARCHAR)) IS NULL AND NOT (
            coalesce({born}, false)
            AND (canonical_national_id(CAST({cell["holder_national_id"]} AS VARCHAR)) IS NOT NULL OR ({is_named})))
    """)


def end(con: duckdb.DuckDBPyConnection) -> None:
    """Delete the rows in clear."""
    con.execute("DROP TABLE IF EXISTS people_rejected")


def quarantine_people(session: Session, breach_id: str, night: date, sequence: int) -> None:
    """Write the collected rows beside those of the other lists of that night; they replace earlier rows of this list.

    Raises:
        StoreError: the quarantine or the vault cannot be written.
    """
    con, path = session.con, session.settings.folder("quarantine") / night.isoformat() / FILE
    rank = "original->>'$.birth_rank'"
    bit = checks.bit(PEOPLE, "birth_rank_unreadable")
    numbered_rows = (
        f"(SELECT row_number() OVER (ORDER BY rowid) AS n, original, CASE WHEN {rank} IS NULL OR"
        f" regexp_full_match({rank}, ' *[1-9] *') THEN 0 ELSE {bit} END AS failed FROM people_rejected)"
    )
    query = (
        f"SELECT row, {text(RULE)} AS rule, CAST(NULL AS VARCHAR) AS column,"
        f" {text(breach_id + REJECTED)} || n || {text(f': {WHY}')} AS message"
        f" FROM {masked(PEOPLE, numbered_rows)} ORDER BY n"
    )
    if path.exists():
        others = (
            f"SELECT * FROM read_parquet({file_text(path)}) WHERE NOT starts_with(message, {text(f'{breach_id}, ')})"
        )
        query = f"{others} UNION ALL FROM ({query})"
    replace_whole(path, lambda temporary: _copy(con, query, temporary))
    refs = f"SELECT {text(f'{night}/people/{breach_id}/')} || n AS ref, original FROM {numbered_rows}"
    seal(con, session.keys, session.settings.folder("vault"), refs, QUARANTINE, night, sequence)


def ref_of(night: str, message: str) -> str:
    """Under which ref the vault has the original of a row with this message."""
    breach_id, _, rest = message.partition(REJECTED)
    return f"{night}/people/{breach_id}/{rest.partition(':')[0]}"


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    con.execute(f"COPY ({query}) TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
