"""How the change was asked for, and how well the asker proved who they were."""

from __future__ import annotations

from narwhals import Expr, min_horizontal

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Between, Row, count, if_else, level, ratio, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import OTHER_CHANGE
from payeewatch.features.sources import CHANGE
from payeewatch.features.streams import CHANGES_BY_ACTOR, CHANGES_BY_CHANNEL, EVERY_CHANGE, share_surprise

family = Family(__name__, __doc__, Lens.REQUEST)

AUTH_WEAKNESSES = {
    "in_person": 0.0, "strong": 0.0, "otp_sms": 1.0, "otp_email": 2.0, "knowledge": 3.0, "none": 4.0,
}  # fmt: skip


@family.feature(CHANGE, unit=Unit.LEVEL, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN)
def auth_weakness(change: Row) -> Expr:
    """Weakness of the asker's authentication, from 0 (strong or in person) to 4 (none)."""
    return level(change.auth_strength, AUTH_WEAKNESSES)


@family.part(OTHER_CHANGE)
def earlier_changes(other: Row) -> Aggregate:
    """Earlier changes of the payee."""
    return count(other.is_before)


@family.part(OTHER_CHANGE)
def earlier_changes_by_channel(other: Row) -> Aggregate:
    """Earlier changes of the payee by the same channel."""
    return count(other.is_before & other.is_same_channel)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="channel")
def is_new_channel(change: Row) -> Expr:
    """The payee never used this channel for a change before."""
    return if_else(change.earlier_changes > 0, yes_no(change.earlier_changes_by_channel == 0))


@family.part(EVERY_CHANGE)
def changes_year(change: Row) -> Between:
    """All changes known in the year before this one."""
    return Between(change.announced_at - 365 * DAY, change.announced_at)


@family.part(CHANGES_BY_CHANNEL)
def changes_by_channel_year(change: Row) -> Between:
    """Changes by the same channel known in the year before this one."""
    return Between(change.announced_at - 365 * DAY, change.announced_at)


@family.feature(CHANGE, unit=Unit.SURPRISE, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="channel")
def channel_surprise(change: Row) -> Expr:
    """Rarity of the channel among the year's changes."""
    return share_surprise(change.changes_by_channel_year, change.changes_year)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER)
def is_mobility_mandate(change: Row) -> Expr:
    """The new bank sent the change under a mobility mandate."""
    return yes_no(change.channel == "mobility_mandate")


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.NEVER, topic="returns")
def is_return_driven(change: Row) -> Expr:
    """The change puts right an account that sent a payment back."""
    return yes_no(change.channel == "return_driven")


@family.feature(
    CHANGES_BY_ACTOR, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, topic="actor"
)
def actor_changes_1d(change: Row) -> Between:
    """Other changes entered by the same agent, broker or program within a day of this one."""
    return Between(change.announced_at - DAY, min_horizontal(change.announced_at + DAY, change.cutoff_at))


@family.part(CHANGES_BY_ACTOR)
def actor_changes_before_90d(change: Row) -> Between:
    """Changes by the same actor in the 90 days before that."""
    return Between(change.announced_at - 91 * DAY, change.announced_at - DAY)


@family.feature(CHANGE, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, topic="actor")
def usual_actor_changes_1d(change: Row) -> Expr:
    """Changes a day by the same agent, broker or program in the 90 days before."""
    return change.actor_changes_before_90d / 90


@family.feature(CHANGE, unit=Unit.RATIO, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="actor")
def actor_volume_ratio(change: Row) -> Expr:
    """How many times their usual number of changes the agent, broker or program entered within a day."""
    return ratio(change.actor_changes_1d + 1, change.usual_actor_changes_1d + 1)
