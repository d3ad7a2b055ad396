"""Verdicts on earlier flags that resemble one: for the eyes of a reviewer, who judges the flag by its own facts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as say

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.evidence.related_flags import LOOKS
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.verdict_codes import Verdict

MOST_COUNTED = 500
MOST_LISTED = 20


@dataclass(frozen=True)
class Similar:
    """What was judged on flags like one: what they share, how many of each verdict, and the latest of them."""

    shared: list[str]
    counts: list[tuple[str, str, int]]  # a look, the verdict, how many
    rows: list[dict[str, Any]]


def similar_flags(flag: Flag, user: User) -> Similar:
    """Closed flags of the same kind of payee and of change, with the same strongest reason."""
    feature = (flag.headline or {}).get("feature")
    if not feature:
        return Similar([], [], [])
    same = Q(payee_type=flag.payee_type, derived=flag.derived, headline__feature=feature)
    same &= Q(account_before="") if not flag.account_before else ~Q(account_before="")
    judged = _open_to(user).filter(same, state=Flag.State.CLOSED).exclude(Q(verdict="") | Q(pk=flag.pk))
    flags = list(judged.order_by("-closed_at", "pk")[:MOST_COUNTED])
    many = Counter(each.verdict for each in flags)
    counts = [(LOOKS.get(code, ""), str(label), many[code]) for code, label in Verdict.choices if many[code]]
    return Similar(_shared(flag), counts, [_row(each, user) for each in flags[:MOST_LISTED]])


def frauds_on_account(flag: Flag, user: User) -> list[dict[str, Any]]:
    """Other flags with the same new account that were judged fraud, the latest first."""
    judged = _open_to(user).filter(account=flag.account, state=Flag.State.CLOSED, verdict__in=FRAUD_VERDICTS)
    return [_row(each, user) for each in judged.exclude(pk=flag.pk).order_by("-closed_at", "pk")[:MOST_LISTED]]


def _open_to(user: User) -> Any:
    """Flags whose verdict the user may see: not of the own household, nor one to judge a second time unseen."""
    flags = Flag.objects.exclude(needs_second_look=True) if user.role in REVIEWERS else Flag.objects.all()
    return household.visible(flags, user)


def _shared(flag: Flag) -> list[str]:
    """What makes flags similar, in words."""
    return [
        say("the same kind of payee"),
        say("nobody announced it") if flag.derived else say("the change was asked for"),
        say("a change of account") if flag.account_before else say("a first account"),
        say("the same strongest reason (%(reason)s)") % {"reason": phrases.fact(flag.headline)},
    ]


def _row(flag: Flag, user: User) -> dict[str, Any]:
    return {
        "flag_id": flag.pk,
        "name": value_for(user, "payee", flag.payee_id),
        "on": phrases.day(flag.closed_at.date()) if flag.closed_at else "–",
        "verdict": flag.get_verdict_display(),
        "look": LOOKS.get(flag.verdict, ""),
    }
