"""The story of a change: what happened, in order, in words. Facts of the frozen evidence in, lines out.

Each fact becomes a moment: when, what, and whether it is odd. Moments within two hours of one another are told as one
line, with their times. The same facts always make the same lines, in the user's language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as say
from django.utils.translation import ngettext

from payeewatch.pipeline.home.codes import WEAK_MATCHES
from payeewatch.triage.evidence import particulars
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import (
    CARE_FAMILIES,
    CHANNELS_OF_CHANGE,
    CHANNELS_OF_CLAIM,
    HAPPENINGS,
    WEAK_PROOFS,
)

Body = Mapping[str, Any]
Names = Callable[[str, str | None], str]
"""A value of a kind, such as `payee`, as the reader may see it."""

TOGETHER = timedelta(hours=2)
BEFORE, AFTER = timedelta(days=30), timedelta(days=14)
"""How far around the change what happened on the web account belongs to its story."""
MOST_CLAIMS = 2
"""More claims than this, before or after the change, are told as one sum."""
ALMOST_ALL = Decimal("0.9")
"""A claim that takes this much of what a guarantee still allowed fits it oddly well."""
MANY_A_DAY = 3
"""So many other changes by one agent within a day are odd."""
CONTACT = ("email_changed", "phone_changed")
AUTHENTICATED = ("portal", "mobile", "call_centre", "email")
"""Channels on which whoever asks is authenticated: a letter or the back office cannot."""
QUIET = ("login", "address_changed", "account_created")
"""Kinds that are odd only by their device or country."""
OF_USE = ("birth_date", "national_id", "email", "phone", "iban")
"""Exposed fields by which somebody else can pass for the member."""
NOT_PAID = ("rejected", "reversed")


@dataclass(frozen=True)
class Part:
    """A piece of a line."""

    text: str
    is_odd: bool = False


@dataclass(frozen=True)
class Moment:
    """One fact: its parts and its instant; of a payment or a death only the day is known."""

    at: datetime
    parts: tuple[Part, ...]
    has_time: bool = True
    is_change: bool = False


@dataclass(frozen=True)
class Line:
    """One line: when, and what happened."""

    when: str
    parts: tuple[Part, ...]
    is_change: bool = False

    @property
    def text(self) -> str:
        """The line without marks."""
        return "".join(part.text for part in self.parts)


def story(body: Body, night: date, names: Names) -> list[Line]:
    """The lines of a change's story, in order; empty without a change."""
    change_at = phrases.moment((body.get("change") or {}).get("requested_at"))
    if change_at is None:
        return []
    moments = sorted(_moments(body, change_at, night, names), key=lambda each: (_day(each.at), each.has_time, each.at))
    return [_line(group, change_at, night) for group in _groups(moments)]


def _moments(body: Body, change_at: datetime, night: date, names: Names) -> Iterator[Moment]:
    yield from _exposures(body, change_at)
    yield from _death(body)
    yield from _events(body, change_at)
    yield _change(body, change_at, names)
    yield from _own_changes(body, change_at)
    yield from _claims(body, change_at, names)
    yield from _payments(body, change_at)


def _groups(moments: Sequence[Moment]) -> Iterator[list[Moment]]:
    """Moments with a time, each within two hours of the one before, together; every other one alone."""
    group: list[Moment] = []
    for moment in moments:
        is_near = group and moment.has_time and group[-1].has_time and moment.at - group[-1].at <= TOGETHER
        if group and not is_near:
            yield group
            group = []
        group.append(moment)
    if group:
        yield group


def _line(group: Sequence[Moment], change_at: datetime, night: date) -> Line:
    when = _when(group, change_at, night)
    is_change = any(moment.is_change for moment in group)
    parts: list[Part] = []
    for moment in group:
        pieces = list(moment.parts)
        if len(group) > 1:
            what = {"what": pieces[0].text, "time": _time(moment.at)}
            pieces[0] = Part(say("%(what)s %(time)s") % what, pieces[0].is_odd)
        if parts:
            parts.append(Part(", " if not parts[-1].text.endswith(".") else " "))
        parts += pieces
    parts[0] = Part(capfirst(parts[0].text), parts[0].is_odd)
    end = () if parts[-1].text.endswith(".") else (Part("."),)  # a French month may end the line
    return Line(when, (*_with_plain_commas(parts), *end), is_change)


def _with_plain_commas(parts: Sequence[Part]) -> Iterator[Part]:
    """The same parts, with the comma that begins an odd one outside its mark."""
    for part in parts:
        rest = part.text.lstrip(",; ")
        if part.is_odd and rest != part.text:
            yield Part(part.text[: len(part.text) - len(rest)])
            yield Part(rest, is_odd=True)
        else:
            yield part


def _when(group: Sequence[Moment], change_at: datetime, night: date) -> str:
    first, last = group[0].at, group[-1].at
    on = _day(first)
    day = phrases.day(on, on.year != night.year)
    if len(group) > 1:
        span = last.replace(second=0) - first.replace(second=0)  # as the times that are shown
        return say("%(day)s, within %(span)s") % {"day": day, "span": phrases.short_span(span)}
    days = (on - _day(change_at)).days
    if group[0].is_change or days == 0:
        return say("%(day)s, %(time)s") % {"day": day, "time": _time(first)} if group[0].has_time else day
    gap = say("%(span)s later") if days > 0 else say("%(span)s before")
    return say("%(day)s, %(gap)s") % {"day": day, "gap": gap % {"span": phrases.span(abs(days))}}


def _time(at: datetime) -> str:
    return str(formats.time_format(timezone.localtime(at).time(), "H:i"))


def _day(at: datetime) -> date:
    return timezone.localtime(at).date()


def _on(text: str) -> datetime:
    """The beginning of a day in the insurer's time."""
    day = date.fromisoformat(text[:10])
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())


def _exposures(body: Body, change_at: datetime) -> Iterator[Moment]:
    exposure = phrases.exposure_before(body, _day(change_at))
    if exposure:
        on, each = exposure
        fields = [name for name in each["fields"] or () if name in OF_USE] or each["fields"] or ()
        is_weak = each["match_quality"] in WEAK_MATCHES
        what = (
            say("data of the member perhaps exposed (%(fields)s)")
            if is_weak
            else say("data of the member exposed (%(fields)s)")
        )
        yield Moment(_on(on.isoformat()), (Part(what % {"fields": phrases.fields(fields)}),), has_time=False)


def _death(body: Body) -> Iterator[Moment]:
    died_on = (body.get("member") or {}).get("died_on")
    if died_on:
        yield Moment(_on(died_on), (Part(say("the member died"), is_odd=True),), has_time=False)


def _events(body: Body, change_at: datetime) -> Iterator[Moment]:
    """What happened on the member's web account around the change; sign-ins only if near it, or odd."""
    for event in body.get("events") or ():
        at = phrases.moment(event["at"])
        if at is None or not -BEFORE <= at - change_at <= AFTER:
            continue
        is_new = event["is_known_device"] is False
        is_abroad = event["ip_country"] not in (None, "FR")
        kind = event["kind"]
        if kind == "login" and not (is_new or is_abroad or abs(at - change_at) <= TOGETHER):
            continue
        text = str(HAPPENINGS[kind])
        if is_abroad:
            text = say("%(what)s (connected from %(country)s)") % {"what": text, "country": event["ip_country"]}
        is_odd = is_abroad or (at <= change_at and kind not in QUIET) or (kind == "device_enrolled" and is_new)
        yield Moment(at, (Part(text, is_odd),))


def _change(body: Body, at: datetime, names: Names) -> Moment:
    """The change itself: how, from where to where, and what waited to be paid."""
    change, before, after = body["change"], body.get("before") or {}, body.get("after") or {}
    parts = [Part(_change_words(change), bool(change["derived"]))]
    if not change["derived"]:
        parts += _proofs(change)
    other_country = before.get("country") and after.get("country") and before["country"] != after["country"]
    if other_country:
        countries = {"before": before["country"], "after": after["country"]}
        parts.append(Part(say(", from an account in %(before)s to one in %(after)s") % countries, is_odd=True))
    parts += _agent(body, at, names)
    others = change.get("other_households") or 0
    if others:
        text = ngettext(
            ", to an account that %(many)s other household has", ", to an account that %(many)s other households have",
            others,
        )  # fmt: skip
        parts.append(Part(text % {"many": phrases.number(others)}, is_odd=True))
    waiting = _waiting(body, at)
    if waiting:
        parts.append(Part(say("; %(amount)s was waiting to be paid") % {"amount": phrases.euros(waiting)}))
    is_day = change["derived"] and change.get("first_seen_on") == "payments"  # whose time is not known
    return Moment(at, tuple(parts), has_time=not is_day, is_change=True)


def _change_words(change: Body) -> str:
    if change["derived"]:
        if change.get("first_seen_on") == "payments":
            return say("nobody announced the account; first seen on a payment")
        return say("nobody announced the account; first seen on a claim")
    how = str(CHANNELS_OF_CHANGE.get(change["channel"], ""))
    if change["is_first_account"]:
        return (say("first account given %(how)s") % {"how": how}).strip()
    if change.get("is_back"):
        return (say("account changed back to one the payee had before, %(how)s") % {"how": how}).strip(" ,")
    return (say("account changed %(how)s") % {"how": how}).strip()


def _proofs(change: Body) -> Iterator[Part]:
    if change["auth_strength"] in WEAK_PROOFS and change["channel"] in AUTHENTICATED:
        yield Part(f", {WEAK_PROOFS[change['auth_strength']]}", is_odd=change["auth_strength"] != "otp_email")
    if change["name_check"] == "no_match":
        yield Part(say(", the holder's name does not match"), is_odd=True)
    elif change["name_check"] == "match":
        yield Part(say(", the holder's name matches"))
    if change["is_known_device"] is False:
        yield Part(say(", from a device never seen before"), is_odd=True)


def _agent(body: Body, at: datetime, names: Names) -> Iterator[Part]:
    actor = body["change"]["actor_id"]
    if not actor:
        return
    near = [e for e in body.get("actor_changes") or () if abs(_at(e) - at) <= timedelta(days=1)]
    yield Part(say(", entered by %(actor)s") % {"actor": names("actor", actor)})
    if near:
        text = ngettext(
            " (%(many)s other change within a day)", " (%(many)s other changes within a day)", len(near)
        )  # fmt: skip
        yield Part(text % {"many": len(near)}, is_odd=len(near) >= MANY_A_DAY)
    same = sum(bool(each["same_account"]) for each in body.get("actor_changes") or ())
    if same:
        text = ngettext(
            ", who moved %(many)s other payee to the same account",
            ", who moved %(many)s other payees to the same account", same,
        )  # fmt: skip
        yield Part(text % {"many": same}, is_odd=True)


def _at(fact: Body) -> datetime:
    at = phrases.moment(fact["at"])
    assert at is not None
    return at


def _waiting(body: Body, change_at: datetime) -> Decimal:
    """What was claimed before the change and goes to the new account."""
    return sum(
        (
            Decimal(claim["reimbursed_amount"] or 0)
            for claim in body.get("claims") or ()
            if claim["to_new_account"] and claim["status"] not in NOT_PAID
            and datetime.fromisoformat(claim["received_at"]).replace(tzinfo=change_at.tzinfo) < change_at
        ),
        Decimal(0),
    )  # fmt: skip


def _own_changes(body: Body, change_at: datetime) -> Iterator[Moment]:
    for other in body.get("own_changes") or ():
        at = _at(other)
        if at < change_at:
            if change_at - at > timedelta(days=90):
                continue
            text = say("the first account given") if other["is_first"] else say("an earlier change of account")
            yield Moment(at, (Part(text, is_odd=not other["is_first"]),))
        elif other["is_back"]:
            yield Moment(at, (Part(say("account put back to the one before")),))
        elif not other["to_new_account"]:
            yield Moment(at, (Part(say("account changed again, to a third one"), is_odd=True),))


def _claims(body: Body, change_at: datetime, names: Names) -> Iterator[Moment]:
    """Claims that waited for the change or came after it: one by one if few, otherwise as one sum."""
    died_on = (body.get("member") or {}).get("died_on")
    back_at = min((_at(c) for c in body.get("own_changes") or () if c["is_back"] and _at(c) > change_at), default=None)
    waiting, following = [], []
    for claim in body.get("claims") or ():
        at = phrases.moment(claim["received_at"])
        if at is None or claim["status"] in NOT_PAID:
            continue
        if at < change_at:
            if claim["to_new_account"] or (died_on and claim["cared_on"] and claim["cared_on"] > died_on):
                waiting.append((at, claim))
        elif claim["to_new_account"] is not False and not (back_at and at > back_at and not claim["to_new_account"]):
            following.append((at, claim))
    for claims in (waiting, following):
        if len(claims) <= MOST_CLAIMS:
            for at, claim in claims:
                yield Moment(at, tuple(_claim(claim, died_on, names)))
        else:
            yield Moment(claims[0][0], tuple(_sum_of(claims, died_on)), has_time=False)


def _claim(claim: Body, died_on: str | None, names: Names) -> Iterator[Part]:
    what = {
        "amount": phrases.euros(Decimal(claim["reimbursed_amount"] or 0)),
        "care": str(CARE_FAMILIES.get(claim["care_family"], claim["care_family"])),
        "how": str(CHANNELS_OF_CLAIM.get(claim["channel"], "")),
    }
    yield Part((say("claim of %(amount)s, %(care)s, %(how)s") % what).rstrip(" ,"))
    if claim["provider_id"]:
        yield Part(say(", provider %(name)s") % {"name": names("payee", claim["provider_id"])})
        if not claim["is_known_provider"]:
            yield Part(_crowd(claim), is_odd=not claim["provider_members"])
    if died_on and claim["cared_on"] and claim["cared_on"] > died_on:
        yield Part(say(", for care after the death"), is_odd=True)
    if _fits(claim) and not claim["has_public_record"]:
        yield Part(say(", without a public record, and takes nearly all that the guarantee still allowed"), is_odd=True)
    elif not claim["has_public_record"]:
        yield Part(say(", without a public record"), is_odd=True)


def _crowd(claim: Body) -> str:
    """How many members had been to a provider that is new to this payee."""
    members = claim["provider_members"] or 0
    if not members:
        return say(" (nobody here went there before)")
    text = ngettext(
        " (new to this payee, known to %(many)s member)",
        " (new to this payee, known to %(many)s members)", members,
    )  # fmt: skip
    return text % {"many": phrases.number(members)}


def _fits(claim: Body) -> bool:
    left = claim["ceiling_left_amount"]
    return left is not None and Decimal(claim["reimbursed_amount"] or 0) >= ALMOST_ALL * Decimal(left) > 0


def _sum_of(claims: Sequence[tuple[datetime, Body]], died_on: str | None) -> Iterator[Part]:
    """Many claims: how many, how much, what care, and how many of them are odd."""
    bodies = [claim for _, claim in claims]
    care = {str(CARE_FAMILIES.get(claim["care_family"], claim["care_family"])): None for claim in bodies}
    yield Part(
        say("%(many)s claims until %(day)s, %(amount)s in all: %(care)s")
        % {
            "many": phrases.number(len(bodies)), "day": phrases.day(_day(claims[-1][0]), year=False),
            "amount": phrases.euros(sum((Decimal(each["reimbursed_amount"] or 0) for each in bodies), Decimal(0))),
            "care": ", ".join(care),
        }
    )  # fmt: skip
    late = sum(bool(died_on and claim["cared_on"] and claim["cared_on"] > died_on) for claim in bodies)
    new = len({claim["provider_id"] for claim in bodies if claim["is_known_provider"] is False})
    unrecorded = sum(not claim["has_public_record"] for claim in bodies)
    for many, one, several, is_odd in (
        (late, say("%(many)s for care after the death"), say("%(many)s for care after the death"), True),
        (unrecorded, say("%(many)s without a public record"), say("%(many)s without a public record"), True),
        (new, say("%(many)s provider new to this payee"), say("%(many)s providers new to this payee"), False),
    ):
        if many:
            yield Part(", " + (one if many == 1 else several) % {"many": phrases.number(many)}, is_odd)


PAID_WORDS: dict[str, Callable[[], str]] = {
    "payment_sent_to_new_account": lambda: say("%(amount)s paid to the new account"),
    "payment_planned_to_new_account": lambda: say("%(amount)s planned to leave for the new account"),
    "payment_held_to_new_account": lambda: say("%(amount)s to the new account is held"),
    "payment_returned_to_new_account": lambda: say("a payment of %(amount)s to the new account came back"),
}


def _for_what(body: Body, fact: Body, change_at: datetime) -> Iterator[Part]:
    """For which claims a payment to the new account is, where no other line says it: those of the account before.

    Or for none that is known, where the feed's payments name claims.
    """
    payments = [each for each in body.get("payments") or () if each["payment_id"] in (fact["ids"] or ())]
    if not payments or not particulars.names_claims(body):
        return
    if not any(each["known_claims"] for each in payments):
        yield Part(say(", which no claim of ours explains"), is_odd=True)
        return
    named = {claim_id for each in payments for claim_id in each["ids"]}
    claims = [claim for claim in body.get("claims") or () if claim["claim_id"] in named]
    before = [claim for claim in claims if _received_at(claim) < change_at and not claim["to_new_account"]]
    if before and len(before) == len(claims):
        on = phrases.day(_day(_received_at(before[-1])), year=False)
        yield Part(say(", for the claim of %(day)s, before the change") % {"day": on}, is_odd=True)
    elif claims and all(claim["to_new_account"] is False for claim in claims):
        on = phrases.day(_day(_received_at(claims[-1])), year=False)
        yield Part(say(", for the claim of %(day)s, made for the account before") % {"day": on}, is_odd=True)
    elif not claims:
        yield Part(say(", for claims received earlier"))


def _for_nothing(body: Body, facts: Sequence[Body]) -> Iterator[Part]:
    """How much of several payments is for no claim that is known."""
    ids = {payment_id for fact in facts for payment_id in fact["ids"] or ()}
    odd = [p for p in body.get("payments") or () if p["payment_id"] in ids and not p["known_claims"]]
    if odd and particulars.names_claims(body):
        amount = phrases.euros(sum((Decimal(each["amount"] or 0) for each in odd), Decimal(0)))
        yield Part(say(", %(amount)s of it for no claim of ours") % {"amount": amount}, is_odd=True)


def _received_at(claim: Body) -> datetime:
    at = phrases.moment(claim["received_at"])
    assert at is not None
    return at


def _payments(body: Body, change_at: datetime) -> Iterator[Moment]:
    """Payments to the new account, and one that the account before sent back shortly before the change."""
    by_kind: dict[str, list[Body]] = {}
    for fact in body.get("timeline") or ():
        by_kind.setdefault(fact["kind"], []).append(fact)
    for kind, words in PAID_WORDS.items():
        facts = by_kind.get(kind, [])
        if len(facts) > 1:
            total = {
                "amount": phrases.euros(sum((Decimal(fact["amount"] or 0) for fact in facts), Decimal(0))),
                "many": phrases.number(len(facts)), "day": phrases.day(_on(facts[-1]["at"]).date(), year=False),
            }  # fmt: skip
            text = words() % total + say(" on %(many)s days, the last on %(day)s") % total
            yield Moment(_on(facts[0]["at"]), (Part(text), *_for_nothing(body, facts)), has_time=False)
        else:
            for fact in facts:
                text = words() % {"amount": phrases.euros(Decimal(fact["amount"] or 0))}
                yield Moment(_on(fact["at"]), (Part(text), *_for_what(body, fact, change_at)), has_time=False)
    for fact in by_kind.get("payment_returned", []):
        if timedelta(0) <= change_at - _on(fact["at"]) <= timedelta(days=60):
            text = say("a payment of %(amount)s to the account before came back")
            parts = (Part(text % {"amount": phrases.euros(Decimal(fact["amount"] or 0))}),)
            yield Moment(_on(fact["at"]), parts, has_time=False)
