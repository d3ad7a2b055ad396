"""The breach lists that the member, or the household, is on."""

from __future__ import annotations

from narwhals import Expr

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Row, count, distinct, largest, level, smallest, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import MEMBER
from payeewatch.features.sources import CHANGE, Relation

family = Family(__name__, __doc__, Lens.REQUEST)

QUALITIES = {"exact": 4.0, "holder": 3.0, "id_only": 2.0, "probable": 1.0}

EXPOSURE = Relation(
    "exposure", "exposures", on="member_id", to="member__member_id", through=MEMBER,
    columns=lambda exposure, change: {"quality": level(exposure.match_quality, QUALITIES)},
)  # fmt: skip
"""Which members of the household are on which list."""

BREACH_LIST = Relation(
    "breach_list", "lists", on="breach_id", to="exposure__breach_id", through=EXPOSURE,
    columns=lambda breach_list, change: {
        "counts": ~EXPOSURE.row.match_quality.is_null() & ~breach_list.is_purged.fill_null(False),
    },
)  # fmt: skip
"""The lists themselves, as known and not purged."""


def _of_member(breach_list: Row) -> Expr:
    return breach_list.counts & MEMBER.row.is_own


def _shows(breach_list: Row, *fields: str) -> Expr:
    """Whether a list has any of the fields."""
    first, *others = (breach_list.fields.list.contains(field).fill_null(False) for field in fields)
    has_field = first
    for other in others:
        has_field = has_field | other
    return has_field


# Exposure counts by how rare it is in this book: where half the members are on a list, being on it says little, and a
# list that becomes known one night must not make half the book look unusual.
@family.feature(
    BREACH_LIST,
    unit=Unit.SURPRISE,
    suspicious=Suspicious.HIGH,
    missing=Missing.ZERO,
    member_only=True,
    topic="exposure",
)
def exposure_surprise(breach_list: Row) -> Aggregate:
    """Rarity among all members of being on the rarest breach list that the member is on."""
    return largest(-EXPOSURE.row.list_share.log(10), where=_of_member(breach_list))


@family.feature(
    BREACH_LIST,
    unit=Unit.COUNT,
    suspicious=Suspicious.CONTEXT,
    missing=Missing.ZERO,
    member_only=True,
    topic="exposure",
)
def breach_lists(breach_list: Row) -> Aggregate:
    """Breach lists that the member is on."""
    return distinct(EXPOSURE.row.breach_id, where=_of_member(breach_list))


@family.feature(
    BREACH_LIST,
    unit=Unit.LEVEL,
    suspicious=Suspicious.CONTEXT,
    missing=Missing.ZERO,
    member_only=True,
    topic="exposure",
)
def best_exposure_match(breach_list: Row) -> Aggregate:
    """How surely the member is on a list, from 0 (on none) to 4 (same number, birth date and rank)."""
    return largest(EXPOSURE.row.quality, where=_of_member(breach_list))


@family.part(BREACH_LIST)
def exposure_known_on(breach_list: Row) -> Aggregate:
    """When the first list with the member on it was notified."""
    return smallest(breach_list.list_known_on, where=_of_member(breach_list))


@family.feature(
    CHANGE, unit=Unit.DAYS, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, member_only=True, topic="exposure"
)
def exposure_known_days(change: Row) -> Expr:
    """Days since the first breach list with the member on it was notified."""
    return ((change.cutoff_at - change.exposure_known_on) / DAY).clip(lower_bound=0)


@family.part(BREACH_LIST)
def identity_lists(breach_list: Row) -> Aggregate:
    """Lists with the member's national id."""
    return count(_of_member(breach_list) & _shows(breach_list, "national_id"))


@family.part(BREACH_LIST)
def contact_lists(breach_list: Row) -> Aggregate:
    """Lists with the member's e-mail address or telephone number."""
    return count(_of_member(breach_list) & _shows(breach_list, "email", "phone"))


@family.feature(
    CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, member_only=True, topic="exposure"
)
def has_identity_and_contact_exposed(change: Row) -> Expr:
    """Lists hold both the member's national id and a way to reach or impersonate the member."""
    return yes_no((change.identity_lists > 0) & (change.contact_lists > 0))


@family.feature(
    BREACH_LIST,
    unit=Unit.COUNT,
    suspicious=Suspicious.CONTEXT,
    missing=Missing.ZERO,
    member_only=True,
    topic="exposure",
)
def exposed_relatives(breach_list: Row) -> Aggregate:
    """Other members of the household on a breach list."""
    return distinct(MEMBER.row.member_id, where=breach_list.counts & ~MEMBER.row.is_own)
