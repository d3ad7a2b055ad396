"""Focus: if a lake is too large to cache, or several nights are measured in one pass, only the claims and payments of
the nights' own payees are read, and once.

They are the payees of changes that may be open, of changes flagged before, and of changes that could not be scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import pandas as pd

from payeewatch.pipeline.session import Session

ALSO_READ: dict[str, tuple[str, ...]] = {
    "claims": (
        "member_id", "provider_id", "cared_on", "care_family", "channel", "has_public_record", "billed_cents",
        "ceiling_left_cents",
    ),
    "payments": ("value_date", "claim_ids"),
}  # fmt: skip
"""The tables, and the columns that a night reads of them in addition to those that features use."""

# Rather too many payees than too few: every version of a change counts, and so does a payment that moved elsewhere, or
# that left at the very instant at which it was planned.
FIND_PAYEES = """
CREATE OR REPLACE TEMP TABLE focus_payees AS
    WITH sure AS (
        SELECT payee_id FROM changes
        WHERE greatest(requested_at, effective_at, known_at) >= $since OR change_id IN (FROM focus_changes)
        UNION SELECT payee_id FROM focus_named
    ), past AS (
        SELECT DISTINCT payee_id FROM changes ANTI JOIN sure USING (payee_id) WHERE known_at <= $cutoff
    ), versions AS (
        SELECT payment_id, payee_id, known_at, status IN ('planned', 'held') AS waits
        FROM payments SEMI JOIN past USING (payee_id) WHERE known_at <= $cutoff
    )
    SELECT payee_id FROM sure UNION SELECT any_value(payee_id) FROM versions GROUP BY payment_id, payee_id
    HAVING max(known_at) FILTER (waits)
        >= coalesce(max(known_at) FILTER (NOT waits AND known_at <= $first), TIMESTAMP '1900-01-01')
"""


OF_CHANGES = """
CREATE OR REPLACE TEMP TABLE focus_payees AS
    SELECT DISTINCT payee_id FROM changes SEMI JOIN focus_changes USING (change_id)
"""


@contextmanager
def focus(session: Session, nights: Sequence[date], changes: Sequence[str], payees: Sequence[str]) -> Iterator[None]:
    """Within it, claims and payments have only the rows of the nights' payees and of the named changes' payees.

    No other rows may be read within it, save through the views that `lake_cache.whole` names. For a single night,
    tables that are cached whole stay whole.
    """
    params = session.settings.params
    wide = [table for table in ALSO_READ if len(nights) > 1 or table not in session.lake_cache.files]
    if not wide:
        yield
        return
    first, cutoff = params.cutoff(nights[0]), params.cutoff(nights[-1])
    since = first - timedelta(days=params.observe.window_days + 1)
    filters = {"focus_changes": ("change_id", changes), "focus_named": ("payee_id", payees)}
    with _focused(session, wide, FIND_PAYEES, filters, {"first": first, "cutoff": cutoff, "since": since}):
        yield


@contextmanager
def focus_on_changes(session: Session, changes: Sequence[str]) -> Iterator[None]:
    """Within it, claims and payments have only the rows of the named changes' payees; otherwise as `focus`."""
    with _focused(session, list(ALSO_READ), OF_CHANGES, {"focus_changes": ("change_id", changes)}, {}):
        yield


@contextmanager
def _focused(
    session: Session,
    tables: Sequence[str],
    find_payees: str,
    filters: Mapping[str, tuple[str, Sequence[str]]],
    values: Mapping[str, datetime],
) -> Iterator[None]:
    """Within it, the tables have only the rows of the payees that a query finds; `filters` are tables of one column."""
    from payeewatch.features.versions import USES

    con = session.con
    for name, (column, named) in filters.items():
        con.register(name, pd.DataFrame({column: pd.Series(list(named), dtype="str")}))
    try:
        with session.stage("focus"):
            con.execute(find_payees, dict(values))
            for table in tables:
                session.lake_cache.restrict_to_payees(table, "focus_payees", [*USES[table].columns, *ALSO_READ[table]])
        yield
    finally:
        for name in filters:
            con.unregister(name)
        con.execute("DROP TABLE IF EXISTS focus_payees")
        session.lake_cache.end_restriction()
