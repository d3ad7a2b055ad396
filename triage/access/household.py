"""What a user must not learn: anything about flags on the user's own household.

Lists leave such flags out. What else would tell of them is changed for this user alone: the ring of other flags, its
name and size, places among flags, and entries of other flags' evidence that name somebody of the household. For a user
who is not insured here nothing is changed, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from django.db.models import Q, QuerySet

from payeewatch.pipeline.home.scrub import Removal, scrub
from payeewatch.triage.models import Flag, Night, User
from payeewatch.triage.workspace import home

ID_COLUMNS = ["change_id", "member_id", "household_id", "payee_id"]


class OwnFlag(NamedTuple):
    """What others would show of a flag: its ring and its place; `place` is 0 if it is in no queue now."""

    ring: str
    place: int


@dataclass(frozen=True)
class OwnHousehold:
    """The flags about a user's household, and every number of it that is known here."""

    flags: Mapping[str, OwnFlag] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()

    @property
    def removal(self) -> Removal:
        """What is taken out of evidence."""
        return Removal(ids=self.ids, flags=frozenset(self.flags))

    def in_ring(self, ring: str) -> int:
        """How many of the flags are in a ring."""
        return sum(each.ring == ring for each in self.flags.values())


NOBODY = OwnHousehold()


def own_household(user: Any) -> OwnHousehold:
    """A user's own household, read once per request."""
    if not (user.member_id or user.household_id):
        return NOBODY
    stored = getattr(user, "own_household", None)
    if stored is None:
        stored = user.own_household = _read(user)
    return stored


def visible(flags: QuerySet[Flag], user: Any) -> QuerySet[Flag]:
    """Flags without those about the user's own household."""
    if user.member_id:
        flags = flags.exclude(member_id=user.member_id)
    return flags.exclude(household_id=user.household_id) if user.household_id else flags


def hide(flag: Flag, user: Any) -> Flag:
    """A flag for a page, which is not saved: its ring and its place without the user's own household."""
    if own_household(user).flags and not flag.is_without_own:
        flag.ring, flag.ring_size = ring_for(flag.ring, flag.ring_size, user)
        flag.place = place_for(flag.place, user)
        flag.is_without_own = True
    return flag


def ring_size(flag: Flag, user: Any) -> int:
    """How many flags a flag's ring has for a user."""
    return flag.ring_size if flag.is_without_own else ring_for(flag.ring, flag.ring_size, user)[1]


def ring_for(ring: str, size: int, user: Any) -> tuple[str, int]:
    """A ring's name and size as the user may see them."""
    own = own_household(user)
    if ring in own.flags:
        others = Flag.objects.filter(ring=ring).exclude(pk__in=own.flags)
        visible_ring = others.order_by("pk").values_list("pk", flat=True).first() or ""
    else:
        visible_ring = ring
    return visible_ring, size - own.in_ring(ring)


def stored_ring(name: str, user: Any) -> str:
    """The ring that the user sees under a name; empty for one of the user's own flags."""
    own = own_household(user)
    if name in own.flags:
        return ""
    stored = Flag.objects.filter(pk=name).values_list("ring", flat=True).first() if own.flags else None
    return stored or name


def flags_of_ring(name: str, user: Any) -> QuerySet[Flag]:
    """The flags of a ring that the user may see."""
    return visible(Flag.objects.filter(ring=stored_ring(name, user)), user)


def alone_without_own(user: Any) -> list[str]:
    """The rings that have one flag at most without the user's own household."""
    rings = {each.ring for each in own_household(user).flags.values()}
    others = visible(Flag.objects.filter(ring__in=rings), user).values_list("ring", flat=True) if rings else ()
    many = list(others)
    return sorted(ring for ring in rings if many.count(ring) <= 1)


def place_for(place: int, user: Any) -> int:
    """A place among flags, counted without those about the user's own household."""
    return place - sum(0 < each.place < place for each in own_household(user).flags.values())


def without_own(body: Mapping[str, Any], user: Any) -> dict[str, Any]:
    """Evidence without its entries that name somebody of the user's own household, or a flag about them."""
    own = own_household(user)
    if not own.ids:
        return dict(body)
    return {name: scrub(each, own.removal) if isinstance(each, list | dict) else each for name, each in body.items()}


def is_named_by(flag: Flag, user: Any) -> bool:
    """Whether a flag's ring or evidence, as others see it, tells of the user's own household."""
    own = own_household(user)
    bodies = flag.evidence.values_list("body", flat=True) if own.ids else ()
    return bool(own.in_ring(flag.ring)) or any(without_own(body, user) != body for body in bodies)


def _read(user: User) -> OwnHousehold:
    is_own = Q(pk__in=[])
    if user.member_id:
        is_own |= Q(member_id=user.member_id)
    if user.household_id:
        is_own |= Q(household_id=user.household_id)
    rows = Flag.objects.filter(is_own).values("pk", "ring", "place", "is_current", *ID_COLUMNS)
    flags = {row["pk"]: OwnFlag(row["ring"], row["place"] if row["is_current"] else 0) for row in rows}
    known = [{name: row[name] for name in ID_COLUMNS} for row in rows]
    return OwnHousehold(flags, frozenset(_ids([*known, *_scored(user)]) | {user.member_id, user.household_id} - {""}))


def _ids(rows: Iterable[Mapping[str, str | None]]) -> set[str]:
    return {value for row in rows for value in row.values() if value}


def _scored(user: User) -> list[dict[str, str | None]]:
    """The numbers of the household's open changes in the last night: not every payee of it has a flag."""
    last = Night.objects.order_by("-night").values_list("night", flat=True).first()
    path = home().folder("scores") / f"{last}.parquet"
    if not last or not path.exists():
        return []
    own = {"member_id": user.member_id, "household_id": user.household_id}
    filters = [[(name, "==", value)] for name, value in own.items() if value]
    return pq.read_table(path, columns=ID_COLUMNS, filters=filters).to_pylist()
