"""The change itself."""

from __future__ import annotations

from narwhals import Expr

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Row, count, if_else, level, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import OTHER_CHANGE
from payeewatch.features.sources import CHANGE

family = Family(__name__, __doc__, Lens.REQUEST)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER, topic="first account")
def is_first_account(change: Row) -> Expr:
    """It is the payee's first account."""
    return if_else(change.old_account.is_null(), 1.0, 0.0)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.NEVER, topic="first account")
def was_never_announced(change: Row) -> Expr:
    """Nobody announced the account; it was first seen on a claim or a payment."""
    return yes_no(change.derived)


@family.feature(
    OTHER_CHANGE, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="earlier changes"
)
def changes_before_90d(other: Row) -> Aggregate:
    """Other changes of the payee's account in the 90 days before."""
    return count(other.is_before & (other.before_days < 90))


# While a lake is young, a year's count grows with it: tonight's changes would look more unusual than earlier ones.
@family.feature(
    OTHER_CHANGE, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="earlier changes"
)
def changes_before_365d(other: Row) -> Aggregate:
    """Other changes of the payee's account in the 365 days before."""
    return count(other.is_before & (other.before_days < 365))


@family.part(OTHER_CHANGE)
def changes_back_after_10d(other: Row) -> Aggregate:
    """Changes back to the old account within 10 days."""
    return count(other.is_after & other.is_back_to_old & (other.before_days >= -10))


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.ZERO)
def was_reverted_10d(change: Row) -> Expr:
    """The payee went back to the old account within 10 days."""
    return yes_no(change.changes_back_after_10d > 0)


@family.part(OTHER_CHANGE)
def earlier_changes_to_account(other: Row) -> Aggregate:
    """Earlier changes of the payee to the same account."""
    return count(other.is_before & other.is_to_new)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="own account")
def is_return_to_earlier_account(change: Row) -> Expr:
    """The payee had been paid to this account before."""
    return yes_no(change.earlier_changes_to_account > 0)


@family.feature(CHANGE, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN)
def differing_characters(change: Row) -> Expr:
    """Characters that differ between the old and the new account; few point to a typing error put right."""
    return change.account_distance


@family.feature(CHANGE, unit=Unit.SHARE, suspicious=Suspicious.LOW, missing=Missing.UNKNOWN)
def holder_names_found_share(change: Row) -> Expr:
    """Share of the account holder's names that are names of the household."""
    return change.holder_share


NAME_CHECK_DOUBTS = {"match": 0.0, "close_match": 1.0, "not_possible": 2.0, "no_match": 3.0}


@family.feature(CHANGE, unit=Unit.LEVEL, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN)
def name_check_doubt(change: Row) -> Expr:
    """Doubt left by the check of the account holder's name, from 0 (match) to 3 (no match)."""
    return level(change.name_check, NAME_CHECK_DOUBTS)


@family.feature(CHANGE, unit=Unit.DAYS, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER)
def days_to_effect(change: Row) -> Expr:
    """Days between the request and the day it takes effect."""
    return (change.effective_at - change.requested_at) / DAY
