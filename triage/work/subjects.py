"""What is published about whoever a flag is about: the member, the payee, the account, the agent or the device.

A subject is named by a flag, so that no number is in an address, and nothing is stored: what is purged is gone here
too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import KINDS as EVENTS
from payeewatch.triage.models import Flag, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.work.search import ScoredChange, scored_of

KINDS: Mapping[str, Any] = {
    "member": _("Member"),
    "payee": _("Payee"),
    "account": _("Account"),
    "agent": _("Agent"),
    "device": _("Device"),
}
MOST_FLAGS = 200


@dataclass(frozen=True)
class Use:
    """Something that an agent or a device did beside the change of the flag."""

    at: str
    what: str
    whose: str


@dataclass(frozen=True)
class Subject:
    """What a page of a subject shows."""

    kind: str
    label: Any
    name: str
    flags: list[Flag]
    changes: list[ScoredChange]  # open changes of the last night that are not flagged
    uses: list[Use]

    @property
    def at_risk(self) -> Decimal:
        return sum((flag.amount_at_risk for flag in self.flags), Decimal(0))

    @property
    def paid(self) -> Decimal:
        return sum((flag.amount_paid for flag in self.flags), Decimal(0))


def kinds_of(flag: Flag) -> list[tuple[str, Any]]:
    """Which subjects a flag has."""
    missing = {"member": not flag.member_id, "agent": not flag.actor_id, "device": flag.derived}
    return [(kind, label) for kind, label in KINDS.items() if not missing.get(kind)]


def subject_of(flag: Flag, kind: str, user: User) -> Subject:
    """A subject of a flag, with what the user may see. Every look leaves a record.

    Raises:
        KeyError: a flag has no such subject.
    """
    label = dict(kinds_of(flag))[kind]
    newest = flag.evidence.order_by("-night", "-pk").first()
    body: Mapping[str, Any] = household.without_own(newest.body, user) if newest else {}
    rows = Flag.objects.filter(WHICH[kind](flag, body)).select_related("claimed_by", "assigned_to")
    flags = list(household.visible(rows, user).order_by("-first_flagged_on", "place", "pk")[:MOST_FLAGS])
    column = COLUMNS.get(kind, "")
    changes = scored_of(user, column, getattr(flag, column)) if column else []
    flagged = {each.change_id for each in flags}
    audit.record(user, "view_subject", flag.flag_id, kind=kind, flags=len(flags), changes=len(changes))
    others = [change for change in changes if change.change_id not in flagged]
    return Subject(kind, label, NAMES[kind](flag, user), flags, others, _uses(kind, body, user))


def is_hidden(flag: Flag, user: User) -> bool:
    """Whether the verdict of a flag is not shown, because the user may have to judge it a second time."""
    return flag.needs_second_look and user.role in REVIEWERS


def _same_device(flag: Flag, body: Mapping[str, Any]) -> Q:
    ties = [each["flag_id"] for each in body.get("neighbours") or () if each["relation"] == "same_device"]
    return Q(pk__in=[flag.pk, *filter(None, ties)])


Which = Callable[[Flag, Mapping[str, Any]], Q]
WHICH: Mapping[str, Which] = {
    "member": lambda flag, _body: Q(member_id=flag.member_id),
    "payee": lambda flag, _body: Q(payee_id=flag.payee_id),
    "account": lambda flag, _body: Q(account=flag.account) | Q(account_before=flag.account),
    "agent": lambda flag, _body: Q(actor_id=flag.actor_id),
    "device": _same_device,
}
"""The flags of each kind of subject."""
COLUMNS = {"member": "member_id", "payee": "payee_id", "account": "account"}
"""The columns of a scored change by which changes of a subject are found."""
NAMES: Mapping[str, Callable[[Flag, User], str]] = {
    "member": lambda flag, user: value_for(user, "member", flag.member_id),
    "payee": lambda flag, user: value_for(user, "payee", flag.payee_id),
    "account": lambda flag, user: hint_for(user, flag.account_hint),
    "agent": lambda flag, user: value_for(user, "actor", flag.actor_id),
    "device": lambda flag, user: (
        say("of the change %(change)s") % {"change": value_for(user, "change", flag.change_id)}
    ),
}


def _uses(kind: str, body: Mapping[str, Any], user: User) -> list[Use]:
    """What else the agent or the device did around the change, as far as the night published it."""
    if kind == "agent":
        return [
            Use(_when(each["at"]), say("Change of account"), value_for(user, "payee", each["payee_id"]))
            for each in body.get("actor_changes") or ()
        ]
    if kind == "device":
        return [
            Use(_when(each["at"]), _event(each["kind"]), value_for(user, "member", each["member_id"]))
            for each in body.get("device_uses") or ()
        ]
    return []


def _when(text: str) -> str:
    at = phrases.moment(text)
    return phrases.instant(at) if at else "–"


def _event(kind: str) -> str:
    return str(EVENTS[kind][1]) if kind in EVENTS else kind
