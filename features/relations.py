"""The relations that several families use, each with the columns that compare a row with the change."""

from __future__ import annotations

import narwhals as nw

from payeewatch.features.engines.engine import DAY, Frame
from payeewatch.features.formulas import Row
from payeewatch.features.sources import Relation
from payeewatch.features.spine import all_changes
from payeewatch.features.versions import SERIAL, Tables


def _claim_columns(claim: Row, change: Row) -> dict[str, nw.Expr]:
    """A claim without an account goes to the account that is current when it is received."""
    counts = ~claim.status.is_in(["rejected", "reversed"])
    since_days = (claim.received_at - change.effective_at) / DAY
    before_days = (change.requested_at - claim.received_at) / DAY
    named = (claim.account == change.new_account) & (claim.received_at > change.requested_at)
    until = change.next_change_at.fill_null(change.cutoff_at)
    current = (claim.received_at >= change.effective_at) & (claim.received_at <= until)
    return {
        "since_days": since_days,
        "before_days": before_days,
        "is_since": counts & nw.when(claim.account.is_null()).then(current).otherwise(named),
        "is_before": counts & (before_days >= 0),
    }


CLAIM = Relation("claim", "claims", on="payee_id", to="payee_id", columns=_claim_columns, happened="received_at")
"""Claims paid or payable to the payee."""


def _members_who_died(tables: Tables, spine: Frame, households: Frame) -> Frame:
    """The versions of the households' members that say when somebody died."""
    rows = tables.touching("members", "household_id", households, "spine.household_id")
    return rows.select("member_id", "household_id", "died_on", *SERIAL, "superseded_at").filter(
        ~nw.col("died_on").is_null()
    )


DEAD_MEMBER = Relation("dead", "members", on="household_id", to="household_id", rows=_members_who_died)
"""The members of the change's household who are known to have died."""


def _late_care_columns(claim: Row, change: Row) -> dict[str, nw.Expr]:
    is_payees = claim.payee_id == change.payee_id
    is_late = claim.cared_on > DEAD_MEMBER.row.died_on
    return _claim_columns(claim, change) | {"is_late": is_payees & is_late}


LATE_CARE = Relation(
    "late_care", "claims", on="member_id", to="dead__member_id", through=DEAD_MEMBER, columns=_late_care_columns,
    happened="received_at",
)  # fmt: skip
"""Claims for members who have died, paid or payable to anybody; late if the care is dated after the death."""

CLAIM_THEN = Relation("claim_then", "claims", on="payee_id", to="payee_id", at="asked_at")
"""The same, as they were known when the change was asked for."""


def _payment_columns(payment: Row, change: Row) -> dict[str, nw.Expr]:
    return {
        "is_waiting": payment.status.is_in(["planned", "held"]),
        "is_to_new": payment.account == change.new_account,
        "is_to_old": payment.account == change.old_account,
        "before_days": (change.requested_at - payment.planned_on) / DAY,
    }


PAYMENT = Relation("payment", "payments", on="payee_id", to="payee_id", columns=_payment_columns)
"""Payments to the payee, planned ones too."""

PAYMENT_THEN = Relation(
    "payment_then", "payments", on="payee_id", to="payee_id", columns=_payment_columns,
    at="asked_at",
)  # fmt: skip
"""The same, as they were known when the change was asked for."""

MEMBER = Relation(
    "member", "members", on="household_id", to="household_id",
    columns=lambda member, change: {"is_own": member.member_id == change.member_id},
)  # fmt: skip
"""The members of the change's household."""


def _other_changes(tables: Tables, spine: Frame, payees: Frame) -> Frame:
    """A derived change that an announced one took over is the same change: not another."""
    return (
        all_changes(tables)
        .filter(nw.col("superseded_by").is_null())
        .select(
            "payee_id",
            "change_id",
            "channel",
            "requested_at",
            "effective_at",
            "new_account",
            "known_at",
            "superseded_at",
        )
    )


def _other_columns(other: Row, change: Row) -> dict[str, nw.Expr]:
    before_days = (change.requested_at - other.requested_at) / DAY
    is_other = other.change_id != change.change_id
    return {
        "before_days": before_days,
        "is_before": is_other & (before_days >= 0),
        "is_after": is_other & (before_days < 0),
        "is_to_new": other.new_account == change.new_account,
        "is_back_to_old": other.new_account == change.old_account,
        "is_same_channel": other.channel == change.channel,
    }


OTHER_CHANGE = Relation("other", "changes", on="payee_id", to="payee_id", columns=_other_columns, rows=_other_changes)
"""The payee's other changes."""
