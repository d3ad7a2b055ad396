"""To whom a flag is tied: by account, device or agent, and by earlier flags on the same member, payee or account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.evidence import svg
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import RELATIONS
from payeewatch.triage.models import Flag, User

Body = Mapping[str, Any]
MOST_DRAWN = 12
"""The most neighbours that a ring shows; the table has all."""
MOST_EARLIER = 10
LOOKS = {"benign": "good", **dict.fromkeys(FRAUD_VERDICTS, "bad")}
SHORT_RELATIONS = {"same_actor": _("same agent")}


def neighbours(flag: Flag, body: Body, user: User) -> list[dict[str, Any]]:
    """Who is tied to the change, one row per payee, with all that ties them and the present state of their flag."""
    rows: dict[str, dict[str, Any]] = {}
    for each in body.get("neighbours") or ():
        row = rows.setdefault(each["payee_id"], {"payee_id": each["payee_id"], "relations": [], "flag_id": None})
        row["relations"].append(each["relation"])
        row["flag_id"] = row["flag_id"] or each["flag_id"]
    flag_ids = [row["flag_id"] for row in rows.values() if row["flag_id"]]
    is_related = Q(payee_id__in=rows) | Q(flag_id__in=flag_ids)
    related = household.visible(Flag.objects.filter(is_related), user).exclude(pk=flag.pk)
    flags = related.order_by("-is_current", "place") if rows else ()
    by_payee: dict[str, Flag] = {}
    for other in flags:
        by_payee.setdefault(other.payee_id, other)
    for row in rows.values():
        row["flag"] = by_payee.get(row["payee_id"])
        row["name"] = value_for(user, "payee", row["payee_id"])
        row["tied_by"] = ", ".join(str(RELATIONS.get(code, code)) for code in row["relations"])
        row["state"], row["look"] = state_and_look(row["flag"])
    return sorted(rows.values(), key=lambda row: (row["flag"] is None, row["payee_id"]))


def state_and_look(flag: Flag | None) -> tuple[str, str]:
    """The state of a flag, in words and as a look: its verdict as soon as there is one."""
    if flag is None:
        return say("not flagged"), ""
    if flag.state == Flag.State.CLOSED and flag.verdict:
        return str(flag.get_verdict_display()), LOOKS.get(flag.verdict, "done")
    return str(flag.get_state_display()), "open"


def ring(flag: Flag, neighbours: Sequence[Mapping[str, Any]], user: User) -> SafeString | str:
    if not neighbours:
        return ""
    ties = [
        svg.Tie(
            row["name"], tuple(row["relations"]), row["state"], row["look"],
            reverse("flag", args=[row["flag"].flag_id]) if row["flag"] else "",
        )
        for row in neighbours[:MOST_DRAWN]
    ]  # fmt: skip
    used = {code for tie in ties for code in tie.relations}
    relations = [(code, str(SHORT_RELATIONS.get(code, name))) for code, name in RELATIONS.items() if code in used]
    return svg.ring(say("Who is tied to this change"), value_for(user, "payee", flag.payee_id), relations, ties)


def earlier(flag: Flag, user: User) -> list[dict[str, Any]]:
    """Other flags on the same member, payee or account."""
    same = Q(payee_id=flag.payee_id) | Q(account=flag.account)
    if flag.member_id:
        same |= Q(member_id=flag.member_id)
    others = household.visible(Flag.objects.filter(same), user).exclude(pk=flag.pk)
    rows = []
    for other in others.order_by("-first_flagged_on", "place")[:MOST_EARLIER]:
        shared = [
            words
            for words, holds in (
                (say("same member"), bool(flag.member_id) and other.member_id == flag.member_id),
                (say("same payee"), other.payee_id == flag.payee_id),
                (say("same account"), other.account == flag.account),
            )
            if holds
        ]
        state, look = state_and_look(other)
        rows.append(
            {"flag": other, "name": value_for(user, "payee", other.payee_id), "shared": ", ".join(shared),
             "state": state, "look": look, "on": phrases.day(other.first_flagged_on)}
        )  # fmt: skip
    return rows
