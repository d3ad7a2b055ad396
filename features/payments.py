"""Payments waiting when the change was asked for and now, and returned payments that explain it."""

from __future__ import annotations

from narwhals import Expr, max_horizontal

from payeewatch.features.formulas import Aggregate, Row, count, ratio, total
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import CLAIM_THEN, PAYMENT, PAYMENT_THEN
from payeewatch.features.sources import CHANGE

family = Family(__name__, __doc__, Lens.CLAIMS)

ACCOUNT_FAULTS = ["AC01", "AC04", "AC06", "AC13", "AC14"]
"""Return reasons that say the account is wrong, closed or blocked."""


@family.part(PAYMENT_THEN)
def planned_then_cents(payment: Row) -> Aggregate:
    """Planned or held when the change was asked for."""
    return total(payment.cents, where=payment.is_waiting)


@family.part(CLAIM_THEN)
def unsettled_then_cents(claim: Row) -> Aggregate:
    """Claims received and not settled when the change was asked for."""
    return total(claim.reimbursed_cents, where=claim.status.is_in(["received", "pended"]))


@family.part(PAYMENT)
def paid_before_365d_cents(payment: Row) -> Aggregate:
    """Paid in the 365 days before."""
    is_past_year = (payment.before_days >= 0) & (payment.before_days < 365)
    return total(payment.cents, where=is_past_year & (payment.status == "sent"))


@family.part(PAYMENT)
def payments_before_365d(payment: Row) -> Aggregate:
    """Payments in the 365 days before."""
    is_past_year = (payment.before_days >= 0) & (payment.before_days < 365)
    return count(is_past_year & (payment.status == "sent"))


@family.feature(CHANGE, unit=Unit.EUR, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, topic="usual claims")
def usual_payment_amount(change: Row) -> Expr:
    """Mean payment to the payee in the year before."""
    return ratio(change.paid_before_365d_cents, change.payments_before_365d)


@family.feature(
    CHANGE, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, usual="usual_payment_amount",
    lens=Lens.REQUEST, topic="pending",
)  # fmt: skip
def pending_amount_at_change(change: Row) -> Expr:
    """Waiting to be paid to the payee when the change was asked for."""
    return max_horizontal(change.planned_then_cents, change.unsettled_then_cents)


@family.feature(
    CHANGE, unit=Unit.RATIO, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, lens=Lens.REQUEST, topic="pending"
)
def pending_ratio_at_change(change: Row) -> Expr:
    """How many times the payee's mean payment was waiting when the change was asked for."""
    return ratio(change.pending_amount_at_change, change.usual_payment_amount)


@family.feature(PAYMENT, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, usual="usual_payment_amount")
def planned_amount(payment: Row) -> Aggregate:
    """Planned or held now, to go to the new account."""
    return total(payment.cents, where=payment.is_waiting & payment.is_to_new)


@family.feature(PAYMENT, unit=Unit.EUR, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="amount")
def paid_amount_since_change(payment: Row) -> Aggregate:
    """Sent to the new account since the change."""
    is_sent = (payment.status == "sent") & payment.is_to_new & (payment.before_days < 0)
    return total(payment.cents, where=is_sent)


@family.feature(
    PAYMENT, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, lens=Lens.REQUEST, topic="returns"
)
def returns_before_180d(payment: Row) -> Aggregate:
    """Payments that the old account sent back as wrong or closed in the 180 days before."""
    is_recent = (payment.before_days >= 0) & (payment.before_days < 180)
    is_fault = (payment.status == "returned") & payment.return_reason.is_in(ACCOUNT_FAULTS)
    return count(is_recent & is_fault & payment.is_to_old)


@family.feature(PAYMENT, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO)
def returns_since_change(payment: Row) -> Aggregate:
    """Payments that the new account sent back."""
    return count((payment.status == "returned") & payment.is_to_new)
