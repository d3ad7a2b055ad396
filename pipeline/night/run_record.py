"""The facts of a night for runs/<night>.json. docs/outputs.md describes every key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import duckdb
import pandas as pd

from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.ingest.drops import DROP, VERDICTS
from payeewatch.pipeline.store.as_of import current_account, known_at_cutoff, last_version
from payeewatch.pipeline.store.lake import PURGE, Lake, Load
from payeewatch.pipeline.store.tombstones import ERASURE

Facts = dict[str, Any]

PURGES = (PURGE, ERASURE)
COUNTS = (
    "rows_read", "rows_accepted", "rows_rejected", "duplicates", "cells_nulled", "cells_unknown", "assumed_known",
    "clamped_known",
)  # fmt: skip


def tables(drops: Sequence[Load]) -> dict[str, Facts]:
    """Rows of every table read, over all drops loaded for the night.

    Raises:
        PayeeWatchError: rows do not add up.
    """
    rows_by_table: dict[str, Facts] = {}
    for drop in drops:
        for name, facts in drop.facts["tables"].items():
            row = rows_by_table.setdefault(name, dict.fromkeys(COUNTS, 0) | {"warnings": {}, "rejections": {}})
            for key in COUNTS:
                row[key] += facts[key]
            for rule, broken in facts["rules"].items():
                counts = row["warnings" if broken["severity"] == "warning" else "rejections"]
                if broken["severity"] in ("warning", "reject"):
                    counts[rule] = counts.get(rule, 0) + broken["rows"]
            for key in ("extra_columns", "missing_columns"):
                if facts[key]:
                    row[key] = sorted({*row.get(key, []), *facts[key]})
    for name, row in rows_by_table.items():
        if row["rows_read"] != row["rows_accepted"] + row["rows_rejected"] + row["duplicates"]:
            raise PayeeWatchError(f"the rows of {name} do not add up; nothing was published")
    return rows_by_table


CLAIMS_BY_SCOPE = """
WITH claims_in AS (
    SELECT claim_id, payee_id, account, reimbursed_cents FROM ({rows})
    {last}
), current_accounts AS (
    SELECT payee_id, new_account FROM ({known}) WHERE superseded_by IS NULL {current}
)
SELECT coalesce(sum(reimbursed_cents) FILTER (o.payee_id IS NOT NULL), 0)::BIGINT,
       coalesce(sum(reimbursed_cents) FILTER (o.payee_id IS NULL), 0)::BIGINT
FROM claims_in AS i
LEFT JOIN current_accounts AS c ON c.payee_id = i.payee_id AND i.account IS NULL
LEFT JOIN open_accounts AS o ON o.payee_id = i.payee_id AND o.new_account = coalesce(i.account, c.new_account)
"""


def euros(
    con: duckdb.DuckDBPyConnection, lake: Lake, drops: Sequence[Load], open_changes: pd.DataFrame, cutoff: datetime
) -> Facts:
    """Where the claimed euros of the drops went, in cents: claims in = payable to changed + out of scope + rejected.

    A row that a later row of its drop replaces is out of scope, as is one that a changed drop brings again unchanged,
    and one of a person who was erased since.

    Raises:
        PayeeWatchError: the euros do not add up.
    """
    claims = [drop.facts["tables"]["claims"] for drop in drops if "claims" in drop.facts["tables"]]
    cents = {key: sum(facts["cents"].get(key, 0) for facts in claims if "cents" in facts)
             for key in ("read", "accepted", "rejected", "duplicate")}  # fmt: skip
    payable, elsewhere = 0, 0
    con.register("open_accounts", open_changes[["payee_id", "new_account"]].drop_duplicates())
    try:
        for drop in drops:
            query = CLAIMS_BY_SCOPE.format(
                rows=lake.scan("claims", [drop]),
                last=last_version("claims"),
                known=known_at_cutoff(con, "changes"),
                current=current_account(),
            )
            to_changed, to_others = con.execute(query, {"cutoff": cutoff}).fetchall()[0]
            payable, elsewhere = payable + to_changed, elsewhere + to_others
    finally:
        con.unregister("open_accounts")
    absent_cents = cents["accepted"] - payable - elsewhere
    was_purged = any(load.kind == ERASURE for load in lake.loads())
    if absent_cents and not was_purged and not any(drop.mode == "changed" for drop in drops):
        raise PayeeWatchError("the claimed euros do not add up; nothing was published")
    return {
        "claims_in_cents": cents["read"],
        "payable_to_changed_accounts_cents": payable,
        "out_of_scope_cents": elsewhere + cents["duplicate"] + absent_cents,
        "rejected_cents": cents["rejected"],
        "unreadable_rows": sum(facts.get("amounts_unreadable", 0) for facts in claims),
    }


PLANNED = """
WITH payees AS (SELECT unnest($payees::VARCHAR[]) AS payee_id), theirs AS (
    SELECT payment_id FROM payments SEMI JOIN payees USING (payee_id)
), known AS ({known})
SELECT payee_id, sum(cents)::BIGINT FROM known SEMI JOIN payees USING (payee_id)
WHERE status IN ('planned', 'held') GROUP BY payee_id
"""


def unscored_payees(drops: Sequence[Load]) -> list[str]:
    """The payees of rejected bank changes, where they could be read."""
    return sorted({change["payee_id"] for drop in drops for change in drop.facts["unscored_changes"]})


def unscored_changes(con: duckdb.DuckDBPyConnection, drops: Sequence[Load], cutoff: datetime) -> list[Facts]:
    """Rejected bank changes whose payee could be read, with the euros planned for that payee."""
    rejected = [change for drop in drops for change in drop.facts["unscored_changes"]]
    payees = unscored_payees(drops)
    query = PLANNED.format(known=known_at_cutoff(con, "payments", among=("theirs", "payment_id")))
    planned = dict(con.execute(query, {"payees": payees, "cutoff": cutoff}).fetchall()) if payees else {}
    return [change | {"planned_cents": planned.get(change["payee_id"], 0)} for change in rejected]


def model_facts(model: Model) -> Facts:
    return {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "trained_as_of": model.facts["trained_as_of"],
        "known_until": model.facts["known_until"],
        "champion": model.uncorrected.version if model.uncorrected else model.version,
    }


def drops_read(drops: Sequence[Load]) -> list[Facts]:
    """Day, mode and fingerprint of each drop loaded for the night."""
    return [{"day": drop.day, "mode": drop.mode, "fingerprint": drop.fingerprint} for drop in drops]


def verdicts_read(loads: Sequence[Load], night: date) -> list[Facts]:
    """What was read of reviewers' verdicts for the night."""
    return [
        {"day": load.day, "fingerprint": load.fingerprint}
        | {key: load.facts["tables"]["outcomes"][key] for key in ("rows_read", "rows_accepted", "rows_rejected")}
        for load in loads
        if load.kind == VERDICTS and load.known_on == night
    ]


def purges_since(loads: Sequence[Load], night: date) -> list[Facts]:
    """What was purged of a list or a person after the night was first run: run again, it may differ."""
    return [{"kind": load.kind, "on": load.day} for load in loads if load.kind in PURGES and load.known_on > night]


def drops_of(loads: Sequence[Load], night: date) -> list[Load]:
    """The drops that count from this night on: the day's own, and late or changed ones loaded for it."""
    return [load for load in loads if load.kind == DROP and load.known_on == night]
