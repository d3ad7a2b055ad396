"""What the centre pane shows of a flag: its frozen evidence in the user's language, and what the application knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext as say
from django.utils.translation import ngettext

from payeewatch.pipeline.home.codes import WEAK_MATCHES
from payeewatch.pipeline.home.wording import Measure
from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.evidence import particulars, related_flags, similar_flags, story, svg
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import (
    AUTH_STRENGTHS,
    CHANNELS,
    FIRST_SEEN_ON,
    KINDS,
    LANES,
    NAME_CHECKS,
    PAYEE_TYPES,
    RESULTS,
)
from payeewatch.triage.models import Evidence, Flag, Hold, User
from payeewatch.triage.workspace import home

Body = Mapping[str, Any]
MOST_HISTORY = 10
MOST_MINUTES = 20
ALWAYS = ("change", "claims", "payments")
"""Lanes that are drawn even when empty: that nothing happened is information too."""
OF_LANE = {"claims": "claim", "payments": "payment", "returns": "payment", "change": "change", "exposure": ""}
"""Lane -> what its numbers are; those of lists are the names that everybody may see. In every other lane: events."""
LOOKS = {
    "claims_to_new_account": "mark", "payment_sent_to_new_account": "mark", "payment_planned_to_new_account": "open",
    "payment_held_to_new_account": "open", "payment_planned": "open-soft", "payment_held": "open-soft",
    "claims_unassigned": "open-soft", "claims_rejected": "open-soft", "claims_reversed": "open-soft",
    "payment_returned": "mark-warn",
    "payment_returned_to_new_account": "mark-warn", "exposure_known": "mark-note", "change_requested": "mark-change",
    "change_effective": "open-change", "account_first_seen": "mark-change", "login": "soft",
}  # fmt: skip
CONTACT = "mark-contact"


@dataclass(frozen=True)
class Fact:
    """One line of the timeline."""

    at: datetime
    shown_at: str
    lane: str
    kind: str
    words: str
    amount: str
    ids: str
    many: int


@dataclass(frozen=True)
class Reason:
    """One reason: what was measured, as a sentence too; its value and the usual one, as bars if they can be compared.

    `weight` is how many times likelier or less likely than usual it makes a dishonest change, in words; `place` is
    where the flag would stand without it.
    """

    feature: str
    words: str
    sentence: str
    value: str
    usual: str
    bars: SafeString | str
    weight: str
    place: str


def centre(flag: Flag, user: User) -> dict[str, Any]:
    """Everything `_centre.html` shows."""
    evidence_rows = _evidence_rows(flag)
    for row in evidence_rows:
        row.body = household.without_own(row.body, user)
    if flag.is_rarity_hidden:
        for row in evidence_rows:
            row.body = _without_rarity(row.body)
    body: Body = evidence_rows[0].body if evidence_rows else {}
    neighbours = related_flags.neighbours(flag, body, user)
    facts = _facts(body, user)
    return {
        "headline": phrases.headline(body, flag.derived, flag.night_id),
        "strip": _strip(flag, body),
        "story": story.story(body, flag.night_id, partial(value_for, user)),
        "honest": _honest(body),
        "person": particulars.member(body, flag.night_id),
        "contacts": particulars.contacts(body),
        "member_link": particulars.member_link(flag, user),
        "claims": particulars.claims(body, user),
        "payments": particulars.payments(body, user),
        "agent_usual": particulars.agent_usual(body),
        "account_frauds": similar_flags.frauds_on_account(flag, user),
        "agent_changes": particulars.agent_changes(body, user),
        "device_uses": particulars.device_uses(body, user),
        "insurer": home().params.triage.insurer,
        "payee": value_for(user, "payee", flag.payee_id),
        "member": value_for(user, "member", flag.member_id),
        "payee_type": PAYEE_TYPES.get(flag.payee_type, flag.payee_type),
        "change": _change(flag, body, user),
        "sides": _sides(body, user),
        "facts": facts,
        "timelines": _timelines(flag, body, facts),
        "minutes": _minutes(body),
        "reasons": [_reason(each) for each in body.get("reasons", ()) if phrases.is_telling(each)],
        "reassuring": [_reason(each) for each in _reassuring(body)],
        "checks": _checks(body),
        "neighbours": neighbours,
        "ring": related_flags.ring(flag, neighbours, user),
        "exposures": _exposures(body, flag.night.run),
        "earlier": related_flags.earlier(flag, user),
        "history": _history(evidence_rows),
        "frozen_on": evidence_rows[0].night if evidence_rows else None,
    }


def _without_rarity(body: Body) -> Body:
    """Evidence without what its score could be added up from: what reasons count for, and where it stood without."""
    silent = {"points": None, "place_without": None}
    reasons = {name: [{**each, **silent} for each in body.get(name) or ()] for name in ("reasons", "reassuring")}
    return {**body, **reasons, "p_value": None}


def _honest(body: Body) -> dict[str, Any]:
    """What speaks for an ordinary change, and how many explanations were looked for and not found."""
    checks = body.get("benign_checks") or ()
    sentences = [(phrases.message(each), "") for each in checks if each["result"] == "yes"]
    others = sum(each["result"] != "yes" for each in checks)
    looked_for = (
        ngettext(
            "%(many)s other honest explanation was looked for and not found.",
            "%(many)s other honest explanations were looked for and not found.", others,
        )
        if sentences else
        ngettext(
            "%(many)s honest explanation was looked for and not found.",
            "%(many)s honest explanations were looked for and not found.", others,
        )
    )  # fmt: skip
    sentences += [(phrases.finding(e), phrases.weight(e.get("points"))) for e in _reassuring(body)]
    return {
        "sentences": sentences or [(words, "") for words in particulars.small_comforts(body)],
        "looked_for": looked_for % {"many": others} if others else "",
    }


def _reassuring(body: Body) -> list[Body]:
    """The reassuring facts, save those that another fact of the page contradicts, or says already."""
    name_check = (body.get("change") or {}).get("name_check")
    contradicted = {"holder_names_found_share"} if name_check in ("no_match", "close_match") else set()
    for check, features in SAID_BY.items():
        if any(each["check"] == check and each["result"] == "yes" for each in body.get("benign_checks") or ()):
            contradicted |= features
    return [e for e in body.get("reassuring", ()) if e["feature"] not in contradicted and phrases.is_telling(e)]


SAID_BY = {
    "mobility_mandate": {"is_mobility_mandate"},
    "return_driven": {"is_return_driven"},
    "institution": {"is_institution_account", "is_treasury"},
    "bank_wave": {"is_announced_merger", "bank_wave"},
}
"""An honest explanation -> the features that say the same."""


def _could_go(flag: Flag, body: Body) -> tuple[str, str]:
    """What could still be lost: what waits, or what a usual month would bring; never a zero that means nothing."""
    is_dead = bool((body.get("member") or {}).get("died_on"))
    usual = Decimal(0 if is_dead else body.get("usual_monthly_amount") or 0)
    monthly = say("about %(amount)s a month") % {"amount": phrases.euros(usual, 0)} if usual >= 1 else ""
    if flag.amount_at_risk:
        return phrases.rough_euros(flag.amount_at_risk), monthly
    return (monthly, say("nothing is waiting")) if monthly else (say("nothing is waiting"), "")


def _strip(flag: Flag, body: Body) -> dict[str, Any]:
    today = clock.today()
    due = flag.first_payment_on
    could_go, could_go_note = _could_go(flag, body)
    return {
        "could_go": could_go,
        "could_go_note": could_go_note,
        "rarity": say("rarity is told once it is closed") if flag.is_rarity_hidden else phrases.rarity(flag.p_value),
        "at_risk": phrases.rough_euros(flag.amount_at_risk),
        "paid": phrases.rough_euros(flag.amount_paid),
        "due": phrases.until(due, today) if due else "",
        "due_on": phrases.day(due) if due else "",
        "is_due": due is not None and due >= today,
        "is_soon": due is not None and 0 <= (due - today).days <= 2,
        "hold": _hold(flag, today),
    }


def _hold(flag: Flag, today: date) -> dict[str, Any]:
    """The most important hold: one in force, otherwise a proposed one, otherwise the last one."""
    order = [Hold.State.HELD, Hold.State.PROPOSED, Hold.State.EXPIRED, Hold.State.RELEASED]
    holds = sorted(flag.holds.all(), key=lambda hold: (order.index(Hold.State(hold.state)), -hold.pk))
    if not holds:
        return {"words": say("No hold"), "until": "", "look": ""}
    hold = holds[0]
    until = ""
    if hold.state in (Hold.State.HELD, Hold.State.PROPOSED):
        until = say("until the account is put right")
        if hold.hold_until:
            until = say("until %(day)s, %(in)s") % {
                "day": phrases.day(hold.hold_until, hold.hold_until.year != today.year),
                "in": phrases.until(hold.hold_until, today),
            }
    look = {"held": "bad", "proposed": "warn"}.get(hold.state, "")
    return {
        "words": hold.get_state_display(),
        "until": until,
        "look": look,
    }


def _change(flag: Flag, body: Body, user: User) -> list[tuple[str, str, str]]:
    """How the change was asked for: name, value, and a style where the value is remarkable."""
    change = body.get("change") or {}
    if not change:
        return []
    requested_at, effective_at = phrases.moment(change["requested_at"]), phrases.moment(change["effective_at"])
    rows = []
    if flag.derived:
        where = FIRST_SEEN_ON.get(change["first_seen_on"], say("not known"))
        is_day = change["first_seen_on"] == "payments"  # a payment has no time
        day = phrases.day(phrases.day_of(change["requested_at"]))
        seen = phrases.instant(requested_at) if requested_at and not is_day else day
        rows += [(say("First seen"), f"{seen}, {where}", ""),
                 (say("Announced"), say("no"), "warn")]  # fmt: skip
    else:
        name_check = change["name_check"] or "unknown"
        rows += [
            (say("Asked for"), phrases.instant(requested_at) if requested_at else "–", ""),
            (say("Takes effect"), phrases.day(phrases.day_of(change["effective_at"])) if effective_at else "–", ""),
            (say("Channel"), str(CHANNELS.get(change["channel"], change["channel"])), ""),
            (say("Authentication"), str(AUTH_STRENGTHS.get(change["auth_strength"] or "unknown", "–")),
             "warn" if change["auth_strength"] in ("none", "knowledge", "otp_email") else ""),
            (say("Holder's name"), *_name_words(name_check, bool(change["other_households"]))),
        ]  # fmt: skip
        if change["actor_id"]:
            rows.append((say("Entered by"), value_for(user, "actor", change["actor_id"]), ""))
        if change["is_known_device"] is not None:
            is_known = change["is_known_device"]
            rows.append(
                (
                    say("Device"),
                    say("used before") if is_known else say("never seen before"),
                    "" if is_known else "warn",
                )
            )
    rows.append((say("Change before"), _change_before(body, change), ""))
    return rows


def _name_words(name_check: str, is_shared: bool) -> tuple[str, str]:
    """What the bank says of the holder's name, and a style. On an account that others have, a match is no comfort."""
    if name_check == "match" and is_shared:
        return say("matches: the bank says that it is this holder's own account; others are paid on it too"), "warn"
    look = {"no_match": "bad", "close_match": "warn", "match": "good"}.get(name_check, "")
    return str(NAME_CHECKS.get(name_check, name_check)), look


def _change_before(body: Body, change: Body) -> str:
    if change["is_first_account"]:
        return say("none: the first account")
    last, first = phrases.day_of(change["changed_before_at"]), phrases.day_of(change.get("first_account_at"))
    if last and (first is None or last >= first):
        return phrases.day(last)
    if first:
        return say("%(day)s, the first account") % {"day": phrases.day(first)}
    begin = phrases.data_begin(body)
    return say("none known since our data begin (%(month)s)") % {"month": begin} if begin else say("none known")


def _sides(body: Body, user: User) -> list[dict[str, Any]]:
    names = (("before", say("Before")), ("after", say("After")))
    sides = []
    before, after = body.get("before") or {}, body.get("after") or {}
    for side, name in names:
        account = body.get(side) or {}
        since, first = phrases.day_of(account.get("since")), phrases.day_of(account.get("first_seen_at"))
        other_country = side == "after" and before.get("country") and before["country"] != after.get("country")
        payees, households = (account.get("payees") or 0), account.get("households")
        sides.append(
            {
                "name": name,
                "is_there": bool(account),
                "hint": hint_for(user, account.get("hint")) or say("account not described"),
                "country": account.get("country") or "",
                "is_other_country": other_country,
                "bank": account.get("bank_name") or account.get("bank") or "",
                "is_other_bank": bool(side == "after" and before and before.get("bank") != after.get("bank")),
                "since": phrases.day(since),
                "first": phrases.day(first),
                "is_older": bool(since and first and first < since),
                "payees": payees
                and ngettext("%(many)s payee", "%(many)s payees", payees) % {"many": phrases.number(payees)},
                "households": households
                and ngettext("%(many)s household", "%(many)s households", households)
                % {"many": phrases.number(households)},
                "is_shared": (households or 0) > 1,
            }
        )  # fmt: skip
    return sides


def _facts(body: Body, user: User) -> list[Fact]:
    facts = []
    for entry in body.get("timeline") or ():
        lane, words = KINDS.get(entry["kind"], ("contact", entry["kind"].replace("_", " ")))
        at = phrases.moment(entry["at"])
        if at is None:
            continue
        is_day = lane in ("payments", "returns", "exposure")
        of = OF_LANE.get(lane, "event")
        ids = [value_for(user, of, each) if of else each for each in entry["ids"] or ()]
        when = phrases.day(at.date()) if is_day else phrases.instant(at)
        amount = "" if entry["amount"] is None else phrases.euros(Decimal(entry["amount"]))
        facts.append(Fact(at, when, lane, entry["kind"], str(words), amount, ", ".join(ids), len(ids) or 1))
    return facts


def _timelines(flag: Flag, body: Body, facts: Sequence[Fact]) -> list[tuple[str, str, SafeString]]:
    """One drawing per zoom: the zoom's name, its words, the drawing."""
    if not facts:
        return []
    amounts = [None if f["amount"] is None else Decimal(f["amount"]) for f in body["timeline"]]
    marks = [
        svg.Mark(
            f.at,
            f.lane,
            f.kind,
            LOOKS.get(f.kind, CONTACT if f.lane == "contact" else "soft"),
            _mark_title(f),
            a,
            f.many,
        )
        for f, a in zip(facts, amounts, strict=True)
    ]
    requested_at = phrases.moment((body.get("change") or {}).get("requested_at"))
    change = requested_at or next((f.at for f in reversed(facts) if f.lane == "change"), facts[-1].at)
    night_end = datetime.combine(flag.night_id, time(23, 59), tzinfo=get_current_timezone())
    used_lanes = {f.lane for f in facts}
    lanes = [(lane, str(name)) for lane, name in LANES.items() if lane in used_lanes or lane in ALWAYS]
    words = {"30": say("30 days"), "90": say("90 days"), "all": say("Everything")}
    title = say("Timeline: what happened around the change; the table below says the same")
    timelines = []
    for zoom, (first, last) in svg.frames(change, [f.at for f in facts], night_end).items():
        frame = svg.Frame(first, last, change, night_end)
        timelines.append((zoom, words[zoom], svg.timeline(title, marks, lanes, frame)))
    return timelines


def _minutes(body: Body) -> SafeString | str:
    """The two hours around the change, where more than the change itself happened in them."""
    change = body.get("change") or {}
    at = phrases.moment(change.get("requested_at"))
    if at is None or change["derived"]:
        return ""
    facts = [svg.Minute(at, str(KINDS["change_requested"][1]), "mark-change")]
    for event in body.get("events") or ():
        look = "mark-warn" if event["is_known_device"] is False else "mark-contact"
        facts.append(svg.Minute(_instant(event["at"]), str(KINDS[event["kind"]][1]), look))
    for claim in body.get("claims") or ():
        amount = phrases.euros(Decimal(claim["reimbursed_amount"] or 0))
        words = say("claim of %(amount)s") % {"amount": amount}
        facts.append(svg.Minute(_instant(claim["received_at"]), words, "mark" if claim["to_new_account"] else "soft"))
    near = sorted((each for each in facts if abs(each.at - at) <= svg.AROUND), key=lambda each: (each.at, each.words))
    title = say("The two hours around the change; the story above says the same")
    return svg.minutes(title, near[:MOST_MINUTES], at) if len(near) > 1 else ""


def _instant(text: str) -> datetime:
    at = phrases.moment(text)
    assert at is not None
    return at


def _mark_title(fact: Fact) -> str:
    many = f" ({fact.many})" if fact.many > 1 else ""
    return f"{fact.shown_at}: {fact.words}{many}{', ' if fact.amount else ''}{fact.amount}"


def _reason(reason: Body) -> Reason:
    _, now, usual = phrases.parts(reason) or ("", Measure("unknown"), None)
    pair: SafeString | str = ""
    if usual and now.form == usual.form and reason["feature"] not in LEVELS:
        pair = svg.bars(now.number, usual.number) if now.number is not None and usual.number is not None else ""
    return Reason(
        reason["feature"],
        phrases.fact(reason),
        phrases.finding(reason),
        phrases.measure_text(now),
        phrases.measure_text(usual) if usual else "",
        pair,
        phrases.weight(reason.get("points")),
        phrases.number(place, 0) if (place := reason.get("place_without")) else "",
    )


LEVELS = frozenset({"name_check_doubt", "auth_weakness", "best_exposure_match"})
"""Steps of a scale: bars would show them as sizes, which is wrong."""


def _checks(body: Body) -> list[dict[str, str]]:
    """The honest explanations; those that were found come first."""
    order = ("yes", "no", "unknown")
    checks = sorted(body.get("benign_checks") or (), key=lambda each: order.index(each["result"]))
    return [
        {
            "name": phrases.check(each["check"]),
            "result": each["result"],
            "words": str(RESULTS[each["result"]]),
            "sentence": phrases.message(each),
        }
        for each in checks
    ]


def _exposures(body: Body, run: Body) -> list[dict[str, Any]]:
    """What happened to the member, one entry per list, the latest first."""
    lists = {each["breach_id"]: each for each in run.get("lists", ())}
    exposures = []
    for each in sorted(body.get("exposures") or (), key=lambda one: one["known_at"] or "", reverse=True):
        of = lists.get(each["breach_id"], {})
        exposures.append(
            {
                "title": of.get("title") or each["breach_id"],
                "known": phrases.day(phrases.day_of(each["known_at"])),
                "fields": phrases.fields(each["fields"] or ()),
                "match": phrases.match(each["match_quality"]),
                "is_weak": each["match_quality"] in WEAK_MATCHES,
                "share": phrases.share(of.get("exposed_share")) if of.get("exposed_share") is not None else "",
                "caveat": phrases.message(of) if of.get("sentence") else "",
            }
        )
    return exposures


def _evidence_rows(flag: Flag) -> list[Evidence]:
    """A flag's frozen evidence: the row in force, then the latest first. A night run again may restore an old row."""
    rows = flag.evidence.order_by("-night", "-pk")[: MOST_HISTORY + 1]
    return sorted(rows, key=lambda row: row.digest != flag.evidence_digest)


def _history(rows: Sequence[Evidence]) -> list[dict[str, Any]]:
    """The nights on which the evidence changed, the latest first, and what changed."""
    entries = []
    for row, before in zip(rows, [*rows, None][1:], strict=False):  # without rows there is nothing
        changes = _differences(before.body, row.body) if before else [say("First evidence.")]
        entries.append({"night": phrases.day(row.night), "changes": changes, "digest": row.digest})
    return entries[:MOST_HISTORY]


def _differences(old: Body, new: Body) -> list[str]:
    sentences = []
    if (p := (old.get("p_value"), new.get("p_value"))) and all(p) and phrases.one_in(p[0]) != phrases.one_in(p[1]):
        sentences.append(
            say("Rarity went from %(old)s to %(new)s.") % {"old": phrases.one_in(p[0]), "new": phrases.one_in(p[1])}
        )
    had, has = ({r["feature"]: r for r in body.get("reasons", ())} for body in (old, new))
    sentences += [say("New reason: %(reason)s.") % {"reason": phrases.fact(has[f])} for f in has if f not in had]
    sentences += [
        say("No longer a reason: %(reason)s.") % {"reason": phrases.fact(had[f])} for f in had if f not in has
    ]
    facts, exposures, ties = (_more(old, new, name) for name in ("timeline", "exposures", "neighbours"))
    if facts:
        sentences.append(
            ngettext("%(many)s more fact in the timeline.", "%(many)s more facts in the timeline.", facts)
            % {"many": facts}
        )
    if exposures:
        sentences.append(ngettext("%(many)s new exposure.", "%(many)s new exposures.", exposures) % {"many": exposures})
    if ties:
        sentences.append(
            ngettext("%(many)s more tie to others.", "%(many)s more ties to others.", ties) % {"many": ties}
        )
    return sentences or [say("Amounts or wording only.")]


def _more(old: Body, new: Body, name: str) -> int:
    """How many of `new` were not in `old`. A neighbour that was flagged since then is not a new tie."""
    before, after = (
        [{k: v for k, v in each.items() if k != "flag_id"} for each in body.get(name) or ()] for body in (old, new)
    )
    return sum(each not in before for each in after)
