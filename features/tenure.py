"""How long the payee, the old account and the silence before the change had lasted."""

from __future__ import annotations

from narwhals import Expr, coalesce, max_horizontal

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Row, count, if_else, largest, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import CLAIM, MEMBER
from payeewatch.features.sources import CHANGE
from payeewatch.features.web_account import WEB_EVENT

family = Family(__name__, __doc__, Lens.REQUEST)


def _days(begin: Expr, end: Expr) -> Expr:
    return ((end - begin) / DAY).clip(lower_bound=0)


@family.part(MEMBER)
def joined_at(member: Row) -> Aggregate:
    """When the member joined."""
    return largest(member.joined_on, where=member.is_own)


@family.feature(CHANGE, unit=Unit.DAYS, suspicious=Suspicious.LOW, missing=Missing.UNKNOWN)
def previous_account_days(change: Row) -> Expr:
    """Days the previous account had been in use."""
    begun = coalesce(change.previous_change_at, change.joined_at)
    return if_else(~change.old_account.is_null(), _days(begun, change.requested_at))


@family.feature(CHANGE, unit=Unit.DAYS, suspicious=Suspicious.LOW, missing=Missing.UNKNOWN, member_only=True)
def membership_days(change: Row) -> Expr:
    """Days since the member joined."""
    return _days(change.joined_at, change.requested_at)


@family.part(CLAIM)
def last_claim_at(claim: Row) -> Aggregate:
    """The payee's last claim before the change."""
    return largest(claim.received_at, where=claim.before_days >= 0)


@family.part(WEB_EVENT)
def last_login_at(event: Row) -> Aggregate:
    """The member's last login more than a day before the change: asking for it takes one."""
    return largest(event.occurred_at, where=(event.kind == "login") & (event.before_days >= 1))


@family.feature(CHANGE, unit=Unit.DAYS, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN)
def dormant_days(change: Row) -> Expr:
    """Days without a claim or a login before the change."""
    return _days(max_horizontal(change.last_claim_at, change.last_login_at, change.joined_at), change.requested_at)


@family.part(MEMBER)
def dead_members(member: Row) -> Aggregate:
    """1 when the change's member is known to have died."""
    return count(member.is_own & ~member.died_on.is_null())


@family.feature(
    CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="death"
)
def is_member_dead(change: Row) -> Expr:
    """The member is known to have died."""
    return yes_no(change.dead_members > 0)


@family.feature(MEMBER, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, member_only=True)
def is_member_protected(member: Row) -> Aggregate:
    """The member is under curatorship or guardianship."""
    return count(member.is_own & (member.legal_protection != "none"))


@family.feature(MEMBER, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, member_only=True)
def is_in_care_home(member: Row) -> Aggregate:
    """The member lives in a care home."""
    return count(member.is_own & (member.residence == "care_home"))
