"""The content behind a story: the member, contact details and their age, each claim, what agent and device did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as say
from django.utils.translation import ngettext

from payeewatch.pipeline.home.codes import ON_ITS_WAY
from payeewatch.triage.access.pseudonyms import is_named_reader, value_for
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import (
    CARE_FAMILIES,
    CHANNELS_OF_CLAIM,
    CONTACTS,
    HAPPENINGS,
    PAYMENT_STATES,
    PROTECTIONS,
    ROLES,
)
from payeewatch.triage.models import Flag, User
from payeewatch.triage.workspace import home

Body = Mapping[str, Any]
OLD_ENOUGH = timedelta(days=90)
"""Contact details that are younger than this at the change may be those of whoever diverts it."""


MOST_NAMED = 3
"""Claims that are named with the payment that they explain."""
TOKEN_LETTERS = 8
MOST_COMFORTS = 3


@dataclass(frozen=True)
class Contact:
    """A way to reach the member, and whether it may be used to call back."""

    name: str
    words: str
    is_safe: bool


def member(body: Body, night: date) -> list[tuple[str, str]]:
    """Who the member is, as short phrases with a look: age, since when, household, protection, death."""
    facts = body.get("member")
    if not facts:
        return []
    out = []
    if facts["died_on"]:
        died = {"day": phrases.day(phrases.day_of(facts["died_on"]))}
        out.append((say("died on %(day)s") % died, "bad"))
    if facts["age_band"]:
        low, _, high = facts["age_band"].partition("-")
        out.append((say("%(low)s to %(high)s years old") % {"low": low, "high": high}, ""))
    out.append((str(ROLES.get(facts["role"], facts["role"] or "")), ""))
    joined_on = phrases.day_of(facts["joined_on"])
    if joined_on:
        is_new = (night - joined_on).days < 180
        since = {"day": phrases.day(joined_on)}
        out.append((say("member since %(day)s") % since, "warn" if is_new else ""))
    if facts["left_on"]:
        out.append((say("left on %(day)s") % {"day": phrases.day(phrases.day_of(facts["left_on"]))}, "warn"))
    many = facts["household_members"] or 0
    if many:
        household = ngettext("household of %(many)s", "household of %(many)s", many) % {"many": phrases.number(many)}
        out.append((household, ""))
    if facts["legal_protection"] in PROTECTIONS:
        out.append((str(PROTECTIONS[facts["legal_protection"]]), "warn"))
    if facts["residence"] == "care_home":
        out.append((say("lives in a care home"), ""))
    return [(words, look) for words, look in out if words]


def contacts(body: Body) -> list[Contact]:
    """Each way to reach the member: since when it is as it is, and whether to use it. Empty for older evidence."""
    if "contacts" not in body:
        return []
    change_at = phrases.moment((body.get("change") or {}).get("requested_at"))
    changed = {each["kind"]: phrases.moment(each["changed_at"]) for each in body["contacts"] or ()}
    begin = phrases.data_begin(body)
    rows = []
    for kind, name in CONTACTS.items():
        at = changed.get(kind)
        if at is None:
            words = say("no change known since our data begin (%(month)s)") % {"month": begin} if begin else ""
            rows.append(Contact(str(name), words or say("no change known"), True))
        elif change_at is not None and at >= change_at - OLD_ENOUGH:
            rows.append(Contact(str(name), _unsafe(kind, at), False))
        else:
            rows.append(Contact(str(name), say("last changed on %(day)s") % {"day": _day(at)}, True))
    return rows


def _unsafe(kind: str, at: datetime) -> str:
    words = {
        "phone_changed": say("changed on %(day)s: do not call it"),
        "email_changed": say("changed on %(day)s: do not write to it"),
        "address_changed": say("changed on %(day)s: do not write to it"),
    }
    return words[kind] % {"day": _day(at)}


def _day(at: datetime) -> str:
    return phrases.day(phrases.day_of(at.isoformat()))


def member_link(flag: Flag, user: User) -> str:
    """The member's page in the insurer's own system, by the setting `triage.member_link`; empty without one."""
    template = home().params.triage.member_link
    if not template or not flag.member_id or not is_named_reader(user):
        return ""
    return template.replace("{member_id}", quote(flag.member_id, safe=""))


def claims(body: Body, user: User) -> list[dict[str, Any]]:
    """The claims around the change, the latest first."""
    rows = []
    for claim in reversed(body.get("claims") or ()):
        at = phrases.moment(claim["received_at"])
        left = claim["ceiling_left_amount"]
        rows.append(
            {
                "received": _day(at) if at else "–",
                "cared": phrases.day(phrases.day_of(claim["cared_on"])),
                "care": str(CARE_FAMILIES.get(claim["care_family"], claim["care_family"])),
                "provider": value_for(user, "payee", claim["provider_id"]),
                "crowd": _crowd(claim),
                "is_new": claim["is_known_provider"] is False,
                "channel": str(CHANNELS_OF_CLAIM.get(claim["channel"], say("not known"))),
                "has_record": claim["has_public_record"],
                "billed": phrases.euros(Decimal(claim["billed_amount"] or 0)),
                "amount": phrases.euros(Decimal(claim["reimbursed_amount"] or 0)),
                "left": "" if left is None else phrases.euros(Decimal(left)),
                "account": _account(claim["to_new_account"]),
                "id": value_for(user, "claim", claim["claim_id"]),
            }
        )
    return rows


def _account(to_new: bool | None) -> str:
    return say("not yet assigned") if to_new is None else say("the new one") if to_new else say("another one")


def _crowd(claim: Body) -> str:
    """Whether the payee and other members had been to the provider before."""
    if not claim["provider_id"]:
        return ""
    many = claim["provider_members"] or 0
    others = ngettext("%(many)s member before", "%(many)s members before", many) % {"many": phrases.number(many)}
    seen = say("seen before") if claim["is_known_provider"] else say("new to this payee")
    return f"{seen}, {others}"


def payments(body: Body, user: User) -> list[dict[str, Any]]:
    """Payments one by one, the latest first: planned ones too. Empty for older evidence."""
    after, before = (((body.get(side) or {}).get("account")) for side in ("after", "before"))
    names = {before: say("the one before"), after: say("the new one")}
    return [
        {
            "on": phrases.day(phrases.day_of(each["on"])),
            "amount": phrases.euros(Decimal(each["amount"] or 0)) if each["amount"] is not None else "–",
            "state": str(PAYMENT_STATES.get(each["status"], each["status"])),
            "is_ahead": each["status"] in ON_ITS_WAY,
            "account": names.get(each["account"]) or _short_account(each["account"], user),
            "is_new": each["to_new_account"],
            "claims": explanation(body, each),
            "is_explained": bool(each["known_claims"]) or not names_claims(body),
            "id": value_for(user, "payment", each["payment_id"]),
        }
        for each in reversed(body.get("payments") or ())
    ]


def names_claims(body: Body) -> bool:
    """Whether the feed's payments name claims at all: where none does, that one names none means nothing."""
    return any(each["ids"] for each in body.get("payments") or ())


def explanation(body: Body, payment: Body) -> str:
    """Which claims a payment is for, in words; empty where payments never name claims."""
    if not names_claims(body):
        return ""
    if not payment["known_claims"]:
        return say("no claim of ours explains it")
    listed = [claim for claim in body.get("claims") or () if claim["claim_id"] in payment["ids"]]
    texts = [
        say("claim of %(day)s, %(amount)s")
        % {
            "day": phrases.day(phrases.day_of(claim["received_at"]), year=False),
            "amount": phrases.euros(Decimal(claim["reimbursed_amount"] or 0)),
        }
        for claim in listed[:MOST_NAMED]
    ]
    others = len(payment["ids"]) - len(texts)
    if others:
        more = ngettext("%(many)s other claim", "%(many)s other claims", others) % {"many": phrases.number(others)}
        earlier = ngettext("%(many)s claim received earlier", "%(many)s claims received earlier", others)
        texts.append(more if texts else earlier % {"many": phrases.number(others)})
    return say("; ").join(texts)


def _short_account(account: str | None, user: User) -> str:
    """An account that is neither the new one nor the one before: enough letters of its token to tell it from others."""
    shown = value_for(user, "account", account)
    return say("another one (%(token)s)") % {"token": shown[:TOKEN_LETTERS]} if shown else say("not known")


def agent_usual(body: Body) -> str:
    """How many changes the agent usually enters in a month; empty without an agent, or for older evidence."""
    if not (body.get("change") or {}).get("actor_id") or "actor_monthly_changes" not in body:
        return ""
    usual = body["actor_monthly_changes"]
    if usual is None:
        return say("No earlier change by this agent is known.")
    digits = 0 if usual >= 10 or float(usual).is_integer() else 1
    return say("This agent usually enters about %(many)s changes a month.") % {"many": phrases.number(usual, digits)}


def small_comforts(body: Body) -> list[str]:
    """Small facts that are as they are with most honest changes; said where nothing larger speaks for the change."""
    change = body.get("change") or {}
    facts = []
    if change.get("name_check") == "match" and not change.get("other_households"):
        facts.append(say("The holder's name matches, and nobody else is paid on the account."))
    if change.get("is_known_device"):
        facts.append(say("It was asked for from a device that was used before."))
    if change.get("auth_strength") in ("strong", "in_person"):
        facts.append(say("Whoever asked for it was authenticated strongly, or came in person."))
    known = contacts(body)
    is_dead = bool((body.get("member") or {}).get("died_on"))
    if known and not is_dead and all(each.is_safe for each in known):
        facts.append(say("No contact detail changed in the 90 days before."))
    return facts[:MOST_COMFORTS]


def agent_changes(body: Body, user: User) -> list[dict[str, Any]]:
    """Other changes that the same agent, broker or program entered within a month, with their hours."""
    return [
        {
            "at": phrases.instant(at),
            "payee": value_for(user, "payee", each["payee_id"]),
            "change": value_for(user, "change", each["change_id"]),
            "flag_id": each["flag_id"] or "",
            "same_account": each["same_account"],
        }
        for each in body.get("actor_changes") or ()
        if (at := phrases.moment(each["at"]))
    ]


def device_uses(body: Body, user: User) -> list[dict[str, str]]:
    """What the device of the change did on other members' accounts within a month."""
    return [
        {
            "at": phrases.instant(at),
            "what": str(HAPPENINGS.get(each["kind"], each["kind"])),
            "member": value_for(user, "member", each["member_id"]),
        }
        for each in body.get("device_uses") or ()
        if (at := phrases.moment(each["at"]))
    ]
