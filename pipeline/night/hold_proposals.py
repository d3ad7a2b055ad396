"""Propose to hold the payments of the hold queue: holds/<night>.csv. A night proposes a hold; people decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

from payeewatch.pipeline.frames import records
from payeewatch.pipeline.home.codes import Queue
from payeewatch.pipeline.home.hold_files import Hold, add_business_days
from payeewatch.pipeline.home.tabular import euros
from payeewatch.pipeline.night.queues import Queues

Expiries = Mapping[tuple[str, str], date]
"""(flag_id, payment_id) -> the day until which it was first proposed to be held."""


def holds(
    night: date, queues: Queues, pending: pd.DataFrame, business_days: int, before: Expiries | None = None
) -> list[Hold]:
    """The night's proposals, by rank and then by the day the payment leaves.

    `pending` has change_id, payment_id, cents and planned_on. A proposal made on an earlier night (`before`) keeps
    its end: proposing again never makes a hold longer.
    """
    until = add_business_days(night, business_days)
    payments: dict[str, list[tuple[str, str]]] = {}
    for row in records(pending.sort_values(["planned_on", "payment_id"])):
        payments.setdefault(row["change_id"], []).append((row["payment_id"], str(euros(int(row["cents"])))))
    return [
        Hold(
            payment_id=payment_id,
            payee_id=flag["payee_id"],
            account=flag["account"],
            change_id=flag["change_id"],
            old_change_id=flag["origin_id"] if flag["origin_id"] != flag["change_id"] else "",
            amount=amount,
            hold_until=(before or {}).get((flag["flag_id"], payment_id), until),
            flag_id=flag["flag_id"],
        )
        for flag in queues.flags
        if flag["queue"] == Queue.HOLD
        for payment_id, amount in [*payments.get(flag["change_id"], ()), ("", "")]
    ]
