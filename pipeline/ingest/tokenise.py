"""Staged rows as lake rows: tokens for identities, cents for euros, and when each version was known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from payeewatch.pipeline.ingest import assumed_known
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.sql import name
from payeewatch.pipeline.store.lake import VERSION_STEP
from payeewatch.pipeline.tables import LAKE_STAMPS, LAKE_TYPES, Kind

STEPS = 4
"""Room for the versions that one row of a first drop unrolls into."""

DEPARTMENT = "CASE WHEN left(trim({0}), 2) IN ('97', '98') THEN left(trim({0}), 3) ELSE left(trim({0}), 2) END"

DERIVED = {
    "members": {
        "birth_year": "TRY_CAST(left(birth_date, 4) AS SMALLINT)",
        "department": DEPARTMENT.format("postal_code"),
        "person_key": "person_key(national_id, birth_date)",
        "holder_key": "person_key(holder_national_id, birth_date)",
        "id_key": "id_key(national_id)",
        "name_keys": "name_keys(family_name, given_names, birth_name, birth_date)",
        "name_tokens": "member_tokens(family_name, given_names, birth_name)",
        "surname_tokens": "name_tokens(family_name, birth_name, NULL)",
    },
    "bank_changes": {
        "holder_tokens": "holder_tokens(holder_name)",
        "account_distance": (
            "CASE WHEN length(old_iban) = length(new_iban) THEN hamming(old_iban, new_iban)"
            " ELSE levenshtein(old_iban, new_iban) END"
        ),
    },
    "providers": {"department": DEPARTMENT.format("postal_code")},
}
"""SQL of the columns that replace identities."""
PERSON_TABLES = ("members", "bank_changes")
"""Tables of a drop with keys of persons: their rows have the version of that key."""


@dataclass(frozen=True)
class Knowing:
    """When the rows of a drop were known, and how their versions are numbered."""

    mode: str  # first, next, late, changed or reviewed
    starts: datetime  # the drop's day begins; of verdicts, the first night not published
    cutoff: datetime  # ... and ends
    known_at: datetime  # of rows that do not say: the cut-off of the night from which they count
    zone: str
    sequence: int
    key_version: int  # of the token key: of accounts
    person_version: int  # ... and of persons


def lake_rows(staged: Staged, rows: str, knowing: Knowing, payments: str | None = None) -> str:
    """SQL of a staged table's `tokenised` rows as lake rows.

    `payments` is SQL of the drop's payments (`claim_ids`, `value_date`), for the claims of a first drop.
    """
    versions = _with_known_at(f"({rows})", staged, knowing, payments)
    columns = ", ".join(name(column) for column in staged.table.lake_columns if column not in LAKE_STAMPS)
    first = knowing.sequence * VERSION_STEP
    key_version = knowing.person_version if staged.table.name in PERSON_TABLES else knowing.key_version
    return (
        f"SELECT {columns}, {key_version} AS key_version, known_at,"
        f" {first} + place * {STEPS} + step AS version FROM ({versions})"
    )


def tokenised(staged: Staged) -> str:
    """SQL of the accepted rows with lake columns, `known_at` as given, and `place`, their position in the drop."""
    table = staged.table
    cells = [
        f"{name('token_of_' + c.name)}.token AS {name(c.lake_name)}" if c.kind is Kind.ACCOUNT
        else f"{name(c.name)} AS {name(c.lake_name)}"
        for c in table.columns
        if c.kind in LAKE_TYPES
    ]  # fmt: skip
    cells += [f"{sql} AS {name(column)}" for column, sql in DERIVED.get(table.name, {}).items()]
    # an account is on many rows: its token is worked out once
    tokens = "".join(
        f" LEFT JOIN (SELECT account, account_token(account) AS token FROM (SELECT DISTINCT {name(c.name)} AS account"
        f" FROM {staged.relation})) AS {name('token_of_' + c.name)}"
        f" ON {name('token_of_' + c.name)}.account = s.{name(c.name)}"
        for c in table.columns
        if c.kind is Kind.ACCOUNT
    )
    return (
        f"SELECT {', '.join(cells)}, known_at, s.rowid AS place FROM {staged.relation} AS s{tokens}"
        f" WHERE {staged.is_accepted.replace('rowid', 's.rowid')}"
    )


def _with_known_at(rows: str, staged: Staged, knowing: Knowing, payments: str | None) -> str:
    if knowing.mode == "first":
        return assumed_known.assumed(staged.table.name, rows, knowing.zone, knowing.cutoff, payments)
    at = f"TIMESTAMP '{knowing.known_at}'"
    if knowing.mode == "next":  # later than the drops before it, not later than its own end
        at = f"least(greatest(coalesce(known_at, {at}), TIMESTAMP '{knowing.starts}'), {at})"
    if knowing.mode == "reviewed":
        at = f"greatest(decided_at, TIMESTAMP '{knowing.starts}')"
    return f"SELECT * REPLACE ({at} AS known_at), 0 AS step FROM {rows}"
