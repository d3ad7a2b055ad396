"""The first time that each account is seen: the lake's `accounts` and `sightings`, each row written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.ingest.tokenise import Knowing
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, name, text
from payeewatch.pipeline.store.lake import VERSION_STEP
from payeewatch.pipeline.tables import Kind

Files = dict[str, list[str]]

SIGHTING_COLUMNS = {
    "claims": "payee_id, payee_type, member_id, received_at",
    "payments": "payee_id, NULL, member_id, CAST(planned_on AS TIMESTAMP)",
    "providers": "provider_id, 'provider', NULL, known_at",
}
"""Where an account is seen together with a payee: payee, its type, the member of the row, when."""


def write_sightings(session: Session, files: Mapping[str, Sequence[str]], day: date, knowing: Knowing) -> Files:
    """Write the (payee, account) pairs that a load is the first to show; needs its files on disk."""
    con = session.con
    queries = [
        f"SELECT {columns}, account, known_at, version, {text(table)}"
        f" FROM {_read_files(session, files[table])} WHERE account IS NOT NULL"
        for table, columns in SIGHTING_COLUMNS.items()
        if table in files
    ]
    if not queries:
        return {}
    con.execute(
        "CREATE OR REPLACE TABLE staging.pairs AS SELECT payee_id, account, min(known_at) AS known_at,"
        " arg_min({'payee_type': payee_type, 'member_id': member_id, 'seen_at': seen_at, 'seen_on_table': tab},"
        " epoch_us(known_at)::HUGEINT * 9223372036854775808 + version) AS first"
        f" FROM ({' UNION ALL '.join(queries)})"
        " s(payee_id, payee_type, member_id, seen_at, account, known_at, version, tab)"
        " GROUP BY payee_id, account"
    )
    existing = session.lake_cache.scan("sightings")
    con.execute(
        "CREATE OR REPLACE TABLE staging.new_pairs AS SELECT * FROM staging.pairs p WHERE NOT EXISTS"
        f" (SELECT 1 FROM ({existing}) k WHERE k.payee_id = p.payee_id AND k.account = p.account)"
    )
    query = (
        f"SELECT payee_id, account, first.payee_type, first.member_id, first.seen_at, first.seen_on_table,"
        f" {knowing.key_version} AS key_version, known_at,"
        f" {knowing.sequence * VERSION_STEP} + row_number() OVER (ORDER BY payee_id, account) AS version"
        " FROM staging.new_pairs ORDER BY version"
    )
    return _write_new(session, query, "new_pairs", "sightings", day, knowing)


def write_accounts(
    session: Session, tables: Sequence[Staged], files: Mapping[str, Sequence[str]], day: date, knowing: Knowing
) -> Files:
    """Write the accounts a load is the first to show, and keep them in clear as `staging.new_accounts` for sealing."""
    queries = [
        f"SELECT {name(c.name)} AS iban FROM {staged.relation}"
        f" WHERE {staged.is_accepted} AND {name(c.name)} IS NOT NULL"
        for staged in tables
        for c in staged.table.columns
        if c.kind is Kind.ACCOUNT
    ]
    if not queries:
        return {}
    existing = session.lake_cache.scan("accounts")
    session.con.execute(
        "CREATE OR REPLACE TABLE staging.new_accounts AS SELECT * FROM"
        f" (SELECT iban, account_token(iban) AS account FROM"
        f" (SELECT DISTINCT iban FROM ({' UNION ALL '.join(queries)}))) s"
        f" WHERE NOT EXISTS (SELECT 1 FROM ({existing}) k WHERE k.account = s.account)"
    )
    query = (
        "SELECT account, account_country(iban) AS country, account_bank(iban) AS bank_code,"
        f" account_last_four(iban) AS last_four, {knowing.key_version} AS key_version, known_at,"
        f" {knowing.sequence * VERSION_STEP} + row_number() OVER (ORDER BY account) AS version"
        f" FROM staging.new_accounts JOIN ({_first_known(session, files)}) USING (account) ORDER BY version"
    )
    return _write_new(session, query, "new_accounts", "accounts", day, knowing)


def _first_known(session: Session, files: Mapping[str, Sequence[str]]) -> str:
    """SQL of when each account of a load was first known."""
    queries = ["SELECT account, known_at FROM staging.pairs"] if set(SIGHTING_COLUMNS) & set(files) else []
    if "bank_changes" in files:
        rows = _read_files(session, files["bank_changes"])
        queries += [f"SELECT {column}, known_at FROM {rows}" for column in ("old_account", "new_account")]
    return f"SELECT account, min(known_at) AS known_at FROM ({' UNION ALL '.join(queries)}) GROUP BY account"


def _read_files(session: Session, paths: Sequence[str]) -> str:
    quoted = ", ".join(file_text(session.lake.root / path) for path in paths)
    return f"read_parquet([{quoted}], hive_partitioning = false)"


def _write_new(session: Session, query: str, staged: str, table: str, day: date, knowing: Knowing) -> Files:
    counts = session.con.execute(f"SELECT count(*) FROM staging.{staged}").fetchall()
    if not counts[0][0]:
        return {}
    return {table: [session.lake.write(session.con, query, table, day, knowing.sequence)]}
