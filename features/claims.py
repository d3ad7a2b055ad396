"""What was claimed to the new account since the change, beside the payee's own past."""

from __future__ import annotations

from narwhals import Expr, coalesce, lit

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Row, count, distinct, largest, ratio, total
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import CLAIM, LATE_CARE
from payeewatch.features.sources import CHANGE

family = Family(__name__, __doc__, Lens.CLAIMS)

NEAR_CEILING = 0.9
"""A claim of at least this share of the remaining ceiling counts as fitted to it."""


@family.part(CLAIM)
def amount_before_365d(claim: Row) -> Aggregate:
    """Reimbursed in the 365 days before."""
    return total(claim.reimbursed_cents, where=claim.is_before & (claim.before_days < 365))


@family.part(CLAIM)
def claims_before_365d(claim: Row) -> Aggregate:
    """Claims in the 365 days before."""
    return count(claim.is_before & (claim.before_days < 365))


@family.part(CHANGE)
def history_days(change: Row) -> Expr:
    """Days of the last 365 before the change in which the member could claim; at least 30."""
    return coalesce((change.requested_at - change.joined_at) / DAY, lit(365.0)).clip(30, 365)


@family.feature(CHANGE, unit=Unit.EUR, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER, topic="usual claims")
def usual_amount_30d(change: Row) -> Expr:
    """Usually reimbursed to the payee in 30 days, over the year before."""
    return change.amount_before_365d * 30 / change.history_days


@family.feature(CHANGE, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER, topic="usual claims")
def usual_claims_30d(change: Row) -> Expr:
    """The payee's usual number of claims in 30 days, over the year before."""
    return change.claims_before_365d * 30 / change.history_days


@family.feature(CLAIM, unit=Unit.EUR, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="usual claims")
def largest_claim_before_365d(claim: Row) -> Aggregate:
    """The payee's largest claim in the year before."""
    return largest(claim.reimbursed_cents, where=claim.is_before & (claim.before_days < 365))


@family.feature(
    CLAIM, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, usual="usual_amount_30d", topic="amount"
)
def amount_since_change_30d(claim: Row) -> Aggregate:
    """Reimbursed to the new account in the 30 days after the change."""
    return total(claim.reimbursed_cents, where=claim.is_since & (claim.since_days < 30))


@family.feature(
    CLAIM, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, usual="usual_claims_30d", topic="amount"
)
def claims_since_change_30d(claim: Row) -> Aggregate:
    """Claims to the new account in the 30 days after the change."""
    return count(claim.is_since & (claim.since_days < 30))


@family.feature(CLAIM, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="amount")
def amount_since_change(claim: Row) -> Aggregate:
    """Reimbursed to the new account since the change."""
    return total(claim.reimbursed_cents, where=claim.is_since)


@family.feature(CHANGE, unit=Unit.RATIO, suspicious=Suspicious.HIGH, missing=Missing.NEVER, topic="amount")
def amount_ratio_30d(change: Row) -> Expr:
    """How many times the usual 30 days' amount was reimbursed in the 30 days after the change."""
    return change.amount_since_change_30d / (change.usual_amount_30d + 1_00)


@family.feature(
    CLAIM,
    unit=Unit.EUR,
    suspicious=Suspicious.HIGH,
    missing=Missing.ZERO,
    usual="largest_claim_before_365d",
    topic="amount",
)
def largest_claim_since_change(claim: Row) -> Aggregate:
    """The largest claim to the new account since the change."""
    return largest(claim.reimbursed_cents, where=claim.is_since)


@family.feature(CLAIM, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="unrecorded")
def unrecorded_amount_since_change(claim: Row) -> Aggregate:
    """Reimbursed since the change for care that the public scheme has no record of."""
    return total(claim.reimbursed_cents, where=claim.is_since & ~claim.has_public_record)


@family.feature(
    CHANGE,
    unit=Unit.SHARE,
    suspicious=Suspicious.HIGH,
    missing=Missing.UNKNOWN,
    usual="usual_unrecorded_share",
    topic="unrecorded",
)
def unrecorded_share_since_change(change: Row) -> Expr:
    """Share of the euros since the change without a record of the public scheme."""
    return ratio(change.unrecorded_amount_since_change, change.amount_since_change)


@family.part(CLAIM)
def unrecorded_amount_before_365d(claim: Row) -> Aggregate:
    """Reimbursed without a public record in the 365 days before."""
    is_past_year = claim.is_before & (claim.before_days < 365)
    return total(claim.reimbursed_cents, where=is_past_year & ~claim.has_public_record)


@family.feature(CHANGE, unit=Unit.SHARE, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, topic="unrecorded")
def usual_unrecorded_share(change: Row) -> Expr:
    """Share of the payee's euros in the year before without a record of the public scheme."""
    return ratio(change.unrecorded_amount_before_365d, change.amount_before_365d)


@family.feature(CLAIM, unit=Unit.SHARE, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="ceiling")
def ceiling_fit_since_change(claim: Row) -> Aggregate:
    """Largest share of what a guarantee still allowed that one claim since the change took."""
    fit = ratio(claim.reimbursed_cents, claim.ceiling_left_cents).clip(0, 1)
    return largest(fit, where=claim.is_since)


@family.feature(CLAIM, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="ceiling")
def fitted_unrecorded_claims_since_change(claim: Row) -> Aggregate:
    """Claims since the change without a public record that take nine tenths or more of the remaining ceiling."""
    is_fitted = (claim.ceiling_left_cents > 0) & (claim.reimbursed_cents >= NEAR_CEILING * claim.ceiling_left_cents)
    return count(claim.is_since & ~claim.has_public_record & is_fitted)


@family.feature(
    LATE_CARE, unit=Unit.EUR, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="death"
)
def amount_after_death_since_change(claim: Row) -> Aggregate:
    """Reimbursed to the new account since the change for care dated after the patient's death."""
    return total(claim.reimbursed_cents, where=claim.is_since & claim.is_late)


@family.part(CLAIM)
def care_families_before(claim: Row) -> Aggregate:
    """Care families claimed before."""
    return distinct(claim.care_family, where=claim.is_before)


@family.part(CLAIM)
def care_families_ever(claim: Row) -> Aggregate:
    """Care families claimed before or since."""
    return distinct(claim.care_family, where=claim.is_before | claim.is_since)


@family.feature(
    CHANGE, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="new care"
)
def new_care_families_since_change(change: Row) -> Expr:
    """Kinds of care claimed since the change that the payee never claimed before."""
    return change.care_families_ever - change.care_families_before


@family.part(CLAIM)
def providers_before(claim: Row) -> Aggregate:
    """Providers seen before."""
    return distinct(claim.provider_id, where=claim.is_before)


@family.part(CLAIM)
def providers_ever(claim: Row) -> Aggregate:
    """Providers seen before or since."""
    return distinct(claim.provider_id, where=claim.is_before | claim.is_since)


@family.feature(
    CHANGE, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="new care"
)
def new_providers_since_change(change: Row) -> Expr:
    """Providers on claims since the change that the payee never saw before."""
    return change.providers_ever - change.providers_before
