"""What of a load is sealed in the vault: originals that a reviewer may have to see, by name and with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from payeewatch.pipeline.home.vault import ABROAD, BIRTH, IN_FRANCE, seal
from payeewatch.pipeline.ingest.quarantine import rejected
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text

BIRTH_PLACE = f"""
CASE WHEN substr(national_id, 6, 2) = '99'
          OR (substr(national_id, 6, 2) BETWEEN '91' AND '96' AND left(birth_date, 4) < '1962') THEN '{ABROAD}'
     WHEN national_id IS NOT NULL THEN '{IN_FRANCE}' END
"""
"""Where a national id says that its holder was born: 99 is abroad; 91 to 96 until 1961, North Africa."""
MEMBER_ORIGINALS = "family_name, given_names, birth_name, national_id"


def seal_originals(
    session: Session, tables: Sequence[Staged], day: date, sequence: int, member_files: Sequence[str]
) -> None:
    """Seal what a load brings: identities of new or changed members, new accounts, holders' names, rejected rows.

    `member_files` are the load's own member rows, by which members are compared with those already in the lake.

    Raises:
        StoreError: the vault cannot be written.
    """
    queries = {"quarantine": _rejected_originals(tables, day)}
    for staged in tables:
        if staged.table.name == "members" and member_files:
            cells = ", ".join(f"{text(column)}, {column}" for column in MEMBER_ORIGINALS.split(", "))
            queries["member"] = _of_new_members(session, staged, member_files, f"json_object({cells})")
            if session.settings.params.fairness.birth_abroad:
                queries[BIRTH] = _of_new_members(session, staged, member_files, BIRTH_PLACE)
        if staged.table.name == "bank_changes":
            queries["holder"] = (
                f"SELECT change_id AS ref, holder_name AS original FROM {staged.relation}"
                f" WHERE {staged.is_accepted} AND holder_name IS NOT NULL"
            )
    if session.con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'new_accounts'").fetchall():
        queries["account"] = "SELECT account AS ref, iban AS original FROM staging.new_accounts"
    _seal(session, queries, day, sequence)


def seal_rejected(session: Session, tables: Sequence[Staged], day: date, sequence: int) -> None:
    """Seal only the originals of rejected rows: the only part of a refused drop that is stored."""
    _seal(session, {"quarantine": _rejected_originals(tables, day)}, day, sequence)


def _seal(session: Session, queries: dict[str, str], day: date, sequence: int) -> None:
    for kind, query in queries.items():
        if query:
            seal(session.con, session.keys, session.settings.folder("vault"), query, kind, day, sequence)


def _rejected_originals(tables: Sequence[Staged], day: date) -> str:
    return " UNION ALL ".join(
        f"SELECT {text(f'{day}/{staged.table.name}/')} || place AS ref, original FROM {rejected(staged)}"
        for staged in tables
        if staged.rows_rejected
    )


def _of_new_members(session: Session, staged: Staged, member_files: Sequence[str], original: str) -> str:
    """SQL of what is sealed of members whose names or national id the lake does not have yet, in any version."""
    paths = ", ".join(file_text(session.lake.root / path) for path in member_files)
    existing = session.lake_cache.scan("members")
    new = (
        f"SELECT DISTINCT member_id FROM read_parquet([{paths}], hive_partitioning = false) n WHERE NOT EXISTS"
        f" (SELECT 1 FROM ({existing}) k WHERE k.member_id = n.member_id"
        " AND k.name_keys IS NOT DISTINCT FROM n.name_keys AND k.id_key IS NOT DISTINCT FROM n.id_key)"
    )
    return (
        f"SELECT member_id AS ref, {original} AS original FROM {staged.relation}"
        f" WHERE {staged.is_accepted} AND member_id IN ({new})"
    )
