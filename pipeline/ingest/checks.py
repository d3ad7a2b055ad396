"""What is checked about every row: rules derived from the table declarations, and business truths by hand.

A rule is one SQL condition that marks a failing row, and DuckDB judges it while it reads the row. Rows are counted by
the set of rules they fail: one bit a rule. What is measured of them and published is judged elsewhere, by
`payeewatch.pipeline.expectations`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from payeewatch.pipeline.tables import KNOWN_AT, Column, Kind, Table


class Severity(StrEnum):
    """What a failing rule costs."""

    REJECT = "reject"  # the row goes to quarantine
    NULL = "null"  # the cell becomes null
    UNKNOWN = "unknown"  # the cell becomes "unknown"
    WARNING = "warning"  # the row stays as it is, and is counted


@dataclass(frozen=True)
class Rule:
    """One thing that must hold. `fails` is SQL over `raw_<column>` (as it came) and `is_<column>` (typed).

    It may use :latest (the end of the drop's day, with a day's grace), :furthest and :most (cents). Rules without
    `fails` need other rows, and are found when the whole table is staged.
    """

    name: str
    column: str
    severity: Severity
    sentence: str
    fails: str = ""


UNREADABLE_LINE = Rule(
    "unreadable_line", "", Severity.REJECT, "the line must have as many cells as the header, quoted right", "false"
)
IDENTITY = "_identity"
"""How the rule of a column of ids ends that none of them is an identity."""
DUPLICATE = Rule("duplicate_key", "", Severity.WARNING, "a key comes once in a drop; the last row counts")

FORMS = {
    Kind.TEXT: "must be text of at most 1,000 characters",
    Kind.BOOL: "must be true or false",
    Kind.MONEY: "must be an amount in euros with at most two decimals",
    Kind.DATE: "must be a date such as 2024-12-31, or of the source profile's form",
    Kind.INSTANT: "must be a timestamp such as 2024-12-31T23:59:59, or of the source profile's form",
    Kind.ACCOUNT: "must be an IBAN with the right length and check digits",
    Kind.NATIONAL_ID: "must be 13 characters, or 15 with the right key",
    Kind.NAME: "must be text of at most 1,000 characters",
    Kind.BIRTH_DATE: "must be eight digits, YYYYMMDD, or of the source profile's form",
    Kind.POSTAL_CODE: "must be text of at most 1,000 characters",
}

NO_IDENTITY = (
    "must not be an account, a national id or somebody's name: ids are kept as they are; send another, such as a keyed"
    " hash"
)

PAST = {
    ("claims", "cared_on"), ("claims", "received_at"), ("bank_changes", "requested_at"), ("members", "died_on"),
    ("account_events", "occurred_at"), ("outcomes", "decided_at"),
}  # fmt: skip
"""What has happened by the time a drop tells of it."""


def _warning(name: str, column: str, sentence: str, fails: str) -> Rule:
    return Rule(name, column, Severity.WARNING, sentence, fails)


TRUTHS: dict[str, tuple[Rule, ...]] = {
    "claims": (
        _warning(
            "received_before_care", "received_at", "a claim is received after the care",
            "CAST(is_received_at AS DATE) + 1 < is_cared_on",
        ),
        _warning(
            "reimbursed_over_billed", "reimbursed_amount", "at most what was billed is reimbursed",
            "is_reimbursed_amount > is_billed_amount",
        ),
    ),
    "members": (
        _warning("left_before_joined", "left_on", "a member leaves after joining", "is_left_on < is_joined_on"),
        _warning(
            "died_before_birth", "died_on", "a member dies after being born",
            "year(is_died_on) < TRY_CAST(left(is_birth_date, 4) AS INTEGER)",
        ),
    ),
    "bank_changes": (
        _warning(
            "effective_before_request", "effective_at", "a change takes effect after it is requested",
            "is_effective_at < is_requested_at",
        ),
        _warning("account_unchanged", "new_iban", "the new account differs from the old", "is_new_iban = is_old_iban"),
        _warning(
            "member_not_named", "member_id", "a change that is not a provider's names its member",
            "is_payee_type <> 'provider' AND raw_member_id IS NULL",
        ),
    ),
    "payments": (
        _warning(
            "sent_without_date", "value_date", "a payment that was sent has a value date",
            "is_status IN ('sent', 'returned') AND raw_value_date IS NULL",
        ),
    ),
    "providers": (
        _warning("closed_before_opened", "closed_on", "a provider closes after opening", "is_closed_on < is_opened_on"),
    ),
}  # fmt: skip
"""What a data scientist knows that a declaration cannot say. Add a rule here; docs/checks.md lists them all."""


@cache
def rules(table: Table) -> tuple[Rule, ...]:
    """Every rule of a table; a rule's position is its bit in a row's set of failures."""
    found = [UNREADABLE_LINE]
    for column in (*table.columns, KNOWN_AT):
        found.extend(_column_rules(table, column))
    found.extend(TRUTHS.get(table.name, ()))
    found.extend(
        Rule(f"{column}_unresolved", column, Severity.WARNING, f"must name a row of {other}")
        for column, other in table.references
    )
    if table.key:
        found.append(DUPLICATE)
    assert len({rule.name for rule in found}) == len(found) < 63
    return tuple(found)


def _column_rules(table: Table, column: Column) -> Iterable[Rule]:
    raw, typed = f"raw_{column.name}", f"is_{column.name}"
    softer = Severity.NULL if column.nullable else Severity.REJECT
    if not column.nullable:
        severity = Severity.UNKNOWN if column.falls_back else Severity.REJECT
        yield Rule(f"{column.name}_missing", column.name, severity, "must not be empty", f"{raw} IS NULL")
    unreadable = f"{raw} IS NOT NULL AND {typed} IS NULL"
    match column.kind:
        case Kind.ENUM:
            severity = Severity.UNKNOWN if column.falls_back else softer
            sentence = f"must be one of {', '.join(column.values)}"
            yield Rule(f"{column.name}_unlisted", column.name, severity, sentence, unreadable)
        case Kind.ACCOUNT:  # money would go astray: never nulled
            yield Rule(f"{column.name}_wrong", column.name, Severity.REJECT, FORMS[column.kind], unreadable)
        case Kind.INT:
            within = f" from {column.low} to {column.high}" if column.low is not None else ""
            yield Rule(f"{column.name}_unreadable", column.name, softer, f"must be a whole number{within}", unreadable)
        case _:
            yield Rule(f"{column.name}_unreadable", column.name, softer, FORMS[column.kind], unreadable)
    if column.kind is Kind.TEXT:
        yield Rule(column.name + IDENTITY, column.name, softer, NO_IDENTITY)
    if column.kind is Kind.MONEY:
        yield Rule(f"{column.name}_negative", column.name, softer, "must not be negative", f"{typed} < 0")
        yield Rule(f"{column.name}_too_large", column.name, softer, "must be believable", f"{typed} > :most")
    if column.kind in {Kind.DATE, Kind.INSTANT}:
        absurd = f"{typed} < DATE '1900-01-01' OR {typed} > :furthest"
        yield Rule(
            f"{column.name}_absurd", column.name, softer, "must lie in living memory or the next ten years", absurd
        )
    if (table.name, column.name) in PAST:
        future = f"{typed} > :latest AND {typed} <= :furthest"
        yield Rule(f"{column.name}_future", column.name, softer, "must not lie after the drop's day", future)


def mask(table: Table, *severities: Severity) -> int:
    """The bits of the rules of these severities."""
    return sum(1 << bit for bit, rule in enumerate(rules(table)) if rule.severity in severities)


def bit(table: Table, name: str) -> int:
    """A rule's bit."""
    return 1 << next(n for n, rule in enumerate(rules(table)) if rule.name == name)


def broken(table: Table, failures: Iterable[int]) -> dict[int, tuple[Rule, ...]]:
    """The rules that rows with each set of failures break, in their order."""
    listed = rules(table)
    return {
        failed: tuple(rule for place, rule in enumerate(listed) if failed >> place & 1)
        for failed in sorted(set(failures))
    }
