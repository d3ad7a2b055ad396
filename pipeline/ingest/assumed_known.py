"""When the rows of a first drop were known: one row per key is unrolled here into its versions.

A `known_at` in the data always has priority. Otherwise a claim is assumed known when received, and settled when its
payment is sent (or a week later); a payment is known three business days before it is planned; and so on, one function
per table.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from payeewatch.pipeline.tables import KNOWN_WHEN

ALWAYS = "TIMESTAMP '1900-01-01 00:00:00'"
"""Known for as long as anyone remembers."""
SETTLED_DAYS = 7
DEATH_KNOWN_DAYS = 30
BUSINESS_DAYS_BACK = {1: 5, 2: 5, 3: 5, 4: 3, 5: 3, 6: 3, 7: 4}
BUSINESS_DAYS_ON = {1: 3, 2: 3, 3: 5, 4: 5, 5: 5, 6: 4, 7: 3}
"""Calendar days that are three business days (Monday to Friday), by ISO day of the week."""


def midnight(day: str, zone: str) -> str:
    """SQL of the instant at which a day begins in the insurer's time zone, in UTC."""
    return f"timezone('UTC', timezone('{zone}', CAST({day} AS TIMESTAMP)))"


def shifted(day: str, by: dict[int, int], sign: str) -> str:
    """SQL of the day three business days later (`sign` +) or earlier (-)."""
    cases = " ".join(f"WHEN {weekday} THEN {days}" for weekday, days in by.items())
    return f"({day} {sign} CASE isodow({day}) {cases} END)"


def assumed(table: str, rows: str, zone: str, cutoff: datetime, payments: str | None = None) -> str:
    """SQL of `rows` as versions: `known_at` is filled, and `step` numbers the versions of a row.

    `rows` has the table's lake columns and a `known_at` that is null where it must be assumed. `payments`, if the drop
    has any, yields `claim_ids` and `value_date`. Nothing is known later than the drop's own cut-off.
    """
    versions = VERSIONS[table](rows, zone, payments)
    latest = f"TIMESTAMP '{cutoff}'"
    return f"SELECT * REPLACE (least(known_at, {latest}) AS known_at) FROM ({versions})"


def _at(column: str) -> Callable[[str, str, str | None], str]:
    """One version, known at an instant of the row."""
    return lambda rows, zone, payments: (
        f"SELECT * REPLACE (coalesce(known_at, {column}) AS known_at), 0 AS step FROM ({rows})"
    )


def _claims(rows: str, zone: str, payments: str | None) -> str:
    """Received at `received_at`; the final status is known when first paid, otherwise a week after."""
    later = f"received_at + INTERVAL {SETTLED_DAYS} DAY"
    paid_at, join = "NULL", ""
    if payments:
        # hashes, because fifteen million ids are too many to keep as text
        paid_at = midnight("sent.sent_on", zone)
        each = f"SELECT value_date, hash(unnest(string_split(claim_ids, '|'))) AS h FROM ({payments})"
        join = (
            " LEFT JOIN (SELECT h, min(value_date) AS sent_on"
            f" FROM ({each}) WHERE value_date IS NOT NULL GROUP BY h) sent ON sent.h = hash(c.claim_id)"
        )
    steps = "CASE WHEN known_at IS NULL AND status <> 'received' THEN [0, 1] ELSE [1] END"
    return (
        "SELECT * EXCLUDE (settled_at) REPLACE ("
        " CASE WHEN step = 0 THEN 'received' ELSE status END AS status,"
        " coalesce(known_at, CASE WHEN step = 0 OR status = 'received' THEN received_at"
        " ELSE greatest(received_at, settled_at) END) AS known_at)"
        f" FROM (SELECT *, unnest({steps}) AS step FROM"
        f" (SELECT c.*, coalesce({paid_at}, {later}) AS settled_at FROM ({rows}) c{join}))"
    )


def _payments(rows: str, zone: str, payments: str | None) -> str:
    """Planned three business days ahead; sent on its value date; returned three business days after."""
    planned_at = midnight(shifted("planned_on", BUSINESS_DAYS_BACK, "-"), zone)
    sent_at = midnight("coalesce(value_date, planned_on)", zone)
    returned_at = midnight(shifted("coalesce(value_date, planned_on)", BUSINESS_DAYS_ON, "+"), zone)
    steps = (
        "CASE WHEN known_at IS NOT NULL OR status IN ('planned', 'held') THEN [0]"
        " WHEN status = 'sent' THEN [0, 1] ELSE [0, 1, 2] END"
    )
    assumed_at = (
        f"CASE WHEN status IN ('planned', 'held') THEN {planned_at}"
        f" WHEN step = 0 THEN least({planned_at}, {sent_at}) WHEN step = 1 THEN {sent_at} ELSE {returned_at} END"
    )
    is_final = "given IS NOT NULL OR status IN ('planned', 'held') OR step = CASE status WHEN 'sent' THEN 1 ELSE 2 END"
    return (
        "SELECT * EXCLUDE (given) REPLACE ("
        f" CASE WHEN {is_final} THEN status WHEN step = 0 THEN 'planned' ELSE 'sent' END AS status,"
        f" CASE WHEN {is_final} OR step > 0 THEN value_date END AS value_date,"
        f" CASE WHEN {is_final} THEN return_reason END AS return_reason,"
        f" coalesce(known_at, {assumed_at}) AS known_at)"
        f" FROM (SELECT *, known_at AS given, unnest({steps}) AS step FROM ({rows}))"
    )


def _members(rows: str, zone: str, payments: str | None) -> str:
    """From the joining date; `left_on` is known on its date, `died_on` a month after it."""
    joined_at, left_at = midnight("joined_on", zone), midnight("left_on", zone)
    died_at = midnight(f"(died_on + {DEATH_KNOWN_DAYS})", zone)
    moments = (
        f"CASE WHEN known_at IS NOT NULL THEN [known_at] ELSE list_sort(list_distinct([{joined_at}]"
        f" || CASE WHEN left_on IS NULL THEN [] ELSE [greatest({left_at}, {joined_at})] END"
        f" || CASE WHEN died_on IS NULL THEN [] ELSE [greatest({died_at}, {joined_at})] END)) END"
    )
    return (
        "SELECT * EXCLUDE (given, moments) REPLACE ("
        f" CASE WHEN given IS NOT NULL OR {left_at} <= known_at THEN left_on END AS left_on,"
        f" CASE WHEN given IS NOT NULL OR {died_at} <= known_at THEN died_on END AS died_on)"
        " FROM (SELECT * REPLACE (moments[step + 1] AS known_at) FROM"
        " (SELECT *, known_at AS given, unnest(range(len(moments))) AS step FROM"
        f" (SELECT *, {moments} AS moments FROM ({rows}))))"
    )


def _providers(rows: str, zone: str, payments: str | None) -> str:
    """From the opening date; always, when there is none."""
    opened_at = f"coalesce({midnight('opened_on', zone)}, {ALWAYS})"
    return f"SELECT * REPLACE (coalesce(known_at, {opened_at}) AS known_at), 0 AS step FROM ({rows})"


VERSIONS: dict[str, Callable[[str, str, str | None], str]] = {
    "claims": _claims,
    "payments": _payments,
    "members": _members,
    "providers": _providers,
    **{table: _at(column) for table, column in KNOWN_WHEN.items()},
}
"""How each table's rows are unrolled into versions."""
