"""What reviewers read about a flag: sentences, figures and dates in their language, from frozen evidence only.

Nights publish codes and numbers, together with an English sentence for other systems. The words are made here, from the
codes, the numbers and the catalogue of translations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as say
from django.utils.translation import ngettext, pgettext

from payeewatch.pipeline.home import findings, wording
from payeewatch.pipeline.home.codes import FIELDS, MATCHES
from payeewatch.pipeline.home.wording import Measure
from payeewatch.triage.language import frozen_english
from payeewatch.triage.language.labels import HAPPENINGS, PAYEE_TYPES

register = template.Library()
TO_NEW = "_to_new_account"
CONTACTS = ("email_changed", "phone_changed")
Body = Mapping[str, Any]


def number(value: float | Decimal | None, digits: int = 0) -> str:
    """`12345` -> `12,345`; None -> a dash."""
    if value is None:
        return "–"
    rounded: Any = round(value, digits)  # Django would cut digits off; the type of a rounded union is not known
    return str(formats.number_format(rounded, digits, use_l10n=True, force_grouping=True))


@register.filter
def euros(amount: Decimal | float | None, digits: int = 2) -> str:
    """`1840` -> `€1,840.00`; in French `1 840,00 €`. A filter of every template."""
    if amount is None:
        return "–"
    size = -amount if amount < 0 else amount
    return ("-" if amount < 0 else "") + say("€%(amount)s") % {"amount": number(size, digits)}


def rough_euros(amount: Decimal | float | None) -> str:
    """Whole euros for amounts of a hundred or more: `1840.40` -> `€1,840`."""
    is_small = amount is not None and amount != 0 and -100 < amount < 100
    return euros(amount, 2 if is_small else 0)


def share(value: float | None, digits: int = 0) -> str:
    """`0.123` -> `12 %`."""
    return "–" if value is None or math.isnan(value) else say("%(number)s %%") % {"number": number(value * 100, digits)}


def day(value: date | None, year: bool = True) -> str:
    """`12 Nov 2024`, or `12 Nov` where the year is clear."""
    if value is None:
        return "–"
    pattern = str(formats.get_format("SHORT_DATE_FORMAT"))
    return _first(value, formats.date_format(value, pattern if year else pattern.removesuffix(" Y")))


def instant(value: datetime) -> str:
    """`12 Nov 2024, 14:05`, in the insurer's time."""
    at = timezone.localtime(value)
    return _first(at, formats.date_format(at, "SHORT_DATETIME_FORMAT"))


def _first(value: date, text: str) -> str:
    """The text of a date, where the first day of a month is written as the language does."""
    return pgettext("first day of a month", "1") + text[1:] if value.day == 1 else text


def moment(text: str | None) -> datetime | None:
    """An instant of frozen evidence; those are UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def day_of(text: str | None) -> date | None:
    """The insurer's day of an instant, or of a day."""
    at = moment(text)
    return None if at is None else at.date() if len(text or "") <= 10 else timezone.localtime(at).date()


def span(days: float) -> str:
    """`2200` -> `6 years`: in the unit that people use."""
    days = max(0, round(days))
    if days < 60:
        return ngettext("%(many)s day", "%(many)s days", days) % {"many": number(days)}
    if days < 730:
        months = round(days / 30.44)
        return ngettext("%(many)s month", "%(many)s months", months) % {"many": number(months)}
    years = int(days / 365.25)
    return ngettext("%(many)s year", "%(many)s years", years) % {"many": number(years)}


def until(target: date, today: date) -> str:
    """`in 3 days`, `today`, `3 days ago`."""
    days = (target - today).days
    if days == 0:
        return say("today")
    return (say("in %(span)s") if days > 0 else say("%(span)s ago")) % {"span": span(abs(days))}


def one_in(p_value: float | None) -> str:
    """`0.0003` -> `1 in 3,400`, to two digits."""
    among = wording.one_among(p_value)
    return "–" if among is None else say("ordinary") if among == 1 else measure_text(Measure("rarity", among))


def rarity(p_value: float | None) -> str:
    """`Of 3,400 honest changes like this, one looks as odd`."""
    among = wording.one_among(p_value)
    if among is None:
        return say("It could not be compared with other changes")
    if among == 1:
        return say("Honest changes often look like this")
    return say("Of %(many)s honest changes like this, one looks as odd") % {"many": number(among)}


def measure_text(measure: Measure) -> str:
    """A feature's value: `€1,840.00`, `3 days`, `1 in 300`, `yes`."""
    form, value = measure.form, measure.number
    if value is None:
        words = {"yes": say("yes"), "no": say("no"), "common": say("common"), "unknown": say("not known")}
        return words.get(form, form)
    if form == "eur":
        return euros(value, measure.digits)
    if form == "share":
        return share(value, measure.digits)
    figure = number(value, measure.digits)
    if form == "rarity":
        return say("1 in %(number)s") % {"number": figure}
    if form == "days":
        return ngettext("%(many)s day", "%(many)s days", 1 if value == 1 else 2) % {"many": figure}
    if form == "years":
        return ngettext("%(many)s year", "%(many)s years", 1 if value == 1 else 2) % {"many": figure}
    return say("%(number)s times") % {"number": figure} if form == "times" else figure


def parts(reason: Body) -> tuple[str, Measure, Measure | None] | None:
    """What a reason's feature measures (in English), its value and the usual one; None where that is not known."""
    if not (unit := reason.get("unit")):
        return frozen_english.reason(reason)
    usual = reason["usual_number"]
    now = wording.measure(reason["value_number"], unit)
    return wording.fact(reason), now, None if usual is None else wording.measure(usual, unit)


LEAST_TIMES = 1.1
"""A factor nearer to 1 is not worth a word."""
MOST_POINTS = 7.0
"""In log-odds, about a thousand times: beyond it, a figure says no more."""


def weight(points: float | None) -> str:
    """How much a reason counts: `×3` makes a dishonest change three times likelier, `÷3` three times less likely.

    `points` are log-odds; None is of a night before they were published.
    """
    if points is None:
        return ""
    times = math.exp(min(abs(points), MOST_POINTS))
    if times < LEAST_TIMES:
        return ""
    return f"{'×' if points > 0 else '÷'}{number(times, 0 if times >= 10 else 1)}"


def fact(reason: Body) -> str:
    """What a reason's feature measures, without its value."""
    reason_parts = parts(reason)
    return _translate_fact(reason_parts[0]) if reason_parts else str(reason["sentence"])


def _translate_fact(english: str) -> str:
    sentence = english + "."
    return say(sentence).removesuffix(".")


def finding(reason: Body) -> str:
    """A whole reason, as one sentence: the number in words, and the usual one where it tells something."""
    template = findings.template(reason)
    if template:
        text = say(template)
        unit = reason["unit"]
        if "%(value)s" in text:
            text %= {"value": _value_text(reason["value_number"], unit)}
        usual = findings.usual_to_say(reason)
        if usual is None:
            return text
        words = {"usual": _value_text(usual, unit)}
        return text.removesuffix(".") + say(" (usually %(usual)s)") % words + "."
    return _labelled(reason)


def _value_text(value: float, unit: str) -> str:
    """A value inside a sentence: days in the unit that people use."""
    return span(value) if unit.lower() == "days" else measure_text(wording.measure(value, unit))


def is_telling(reason: Body) -> bool:
    """Whether a reason says something: not an unknown value, nor one that is as usual. Older nights published those."""
    if not reason.get("unit"):
        return True
    return not findings.is_usual(reason.get("value_number"), reason.get("usual_number"))


def _labelled(reason: Body) -> str:
    """A reason that has no sentence of its own: what is measured, its value and the usual one."""
    reason_parts = parts(reason)
    if not reason_parts:
        return str(reason["sentence"])
    sentence, now, usual = _translate_fact(reason_parts[0]), reason_parts[1], reason_parts[2]
    if now.form != "yes":
        sentence = say("%(what)s: %(value)s") % {"what": sentence, "value": measure_text(now)}
    if now.form == "yes" and usual and usual.form == "no":
        sentence += say(" (usually not)")
    elif usual and measure_text(usual) != measure_text(now):
        sentence += say(" (usually %(usual)s)") % {"usual": measure_text(usual)}
    return f"{sentence}."


def message(body: Body) -> str:
    """A sentence of a night, from its `code` and `params`; one whose code is not known stays as it is written."""
    code, params = body.get("code"), body.get("params") or {}
    if not code:
        code, params = frozen_english.message(body["sentence"]) or ("", {})
    if code not in wording.MESSAGES:
        return str(body["sentence"])
    values: Body = json.loads(params) if isinstance(params, str) else params
    return say(wording.MESSAGES[code]) % {name: _param_text(name, value) for name, value in values.items()}


def night_trouble(kind: str, body: Body) -> str:
    """What is wrong with a night: it failed, is late, could not be imported, or warns."""
    sentence = {
        "failed_night": say("The night of %(night)s failed (exit %(exit_code)s). What you see is older."),
        "late_night": say("The night of %(night)s is late. What you see is older."),
        "night_not_imported": say("The night of %(night)s was published but cannot be shown here (%(error)s)."),
        "night_looks": say("Warnings of the night of %(night)s to look at: %(many)s."),
    }[kind]
    return sentence % {**body, "night": day(date.fromisoformat(body["night"])), "many": len(body.get("looks", ()))}


def _param_text(name: str, value: Any) -> str:
    """A value of a message as text; its name decides how, where its type does not."""
    if name in ("day", "purge_on"):
        return day(date.fromisoformat(value))
    if name == "segment":
        return kind_of_change(value)
    if name == "payee_type":
        return str(PAYEE_TYPES.get(value, value)).lower()
    if name in ("share", "usually", "low", "high", "from_share", "to_share"):
        return share(value, 0 if name.endswith("_share") else 1)
    return value if isinstance(value, str) else number(value, {"usual": 1, "least": 4, "ratio": 1}.get(name, 0))


def kind_of_change(code: str) -> str:
    """`member derived` -> Member, announced by nobody."""
    party, _, how = code.partition(" ")
    known = {"announced": say("announced"), "derived": say("announced by nobody")}.get(how, how)
    return f"{PAYEE_TYPES.get(party, party)}, {known}"


def segment(code: str) -> tuple[tuple[str, str, int], str]:
    """A segment's position among the others and its words: `member announced 2-6d` -> Member, announced, 2 to 6 days.

    The code is a party, how its changes came to be known, and their age in days.
    """
    party, _, rest = code.partition(" ")
    how, _, age = rest.partition(" ")
    if not age:
        return (code, "", 0), code
    low, _, high = age.removesuffix("+").removesuffix("d").partition("-")
    params = {
        "payee": PAYEE_TYPES.get(party, party),
        "how": say("announced") if how == "announced" else say("announced by nobody"),
        "low": low,
        "high": high,
    }
    words = (
        say("%(payee)s, %(how)s, %(low)s to %(high)s days") if high else say("%(payee)s, %(how)s, from %(low)s days on")
    )
    return (party, how, int(low)), words % params


def headline(body: Body, derived: bool, night: date) -> str:
    """What happened, in one sentence: a death, the change, what decides, the money, and who else has the account.

    That the member is exposed is left to the story: nearly every flag is of an exposed member, so it decides nothing.
    """
    deciding = _deciding_clause(body)
    clauses = [
        _death_clause(body, night),
        _change_clause(body, derived, night, is_short=bool(deciding)),
        deciding,
        _put_back_clause(body, night),
        _payment_clause(body, night),
        _account_clause(body),
    ]
    sentence = say("; ").join(clause for clause in clauses if clause)
    return f"{sentence[:1].upper()}{sentence[1:].removesuffix('.')}." if sentence else ""


def _death_clause(body: Body, night: date) -> str:
    died_on = day_of((body.get("member") or {}).get("died_on"))
    return say("the member died on %(day)s") % {"day": _short_day(died_on, night)} if died_on else ""


def change_day(body: Body) -> date | None:
    """The day of the change: when it was asked for, or when the account was first seen."""
    change, facts = body.get("change") or {}, body.get("timeline") or []
    at = change.get("requested_at") or next((f["at"] for f in reversed(facts) if _is_change(f)), None)
    return day_of(at)


def _change_clause(body: Body, derived: bool, night: date, *, is_short: bool) -> str:
    """The change, and the one before; a short clause leaves out that no other change is known."""
    change = body.get("change") or {}
    on = change_day(body)
    if on is None:
        return ""
    params = {"day": _short_day(on, night)}
    if derived:
        if change.get("first_seen_on") == "payments":
            return say("account first seen on a payment of %(day)s, announced by nobody") % params
        return say("account first seen on a claim of %(day)s, announced by nobody") % params
    if change.get("is_first_account") or (not change and body.get("before") is None):
        return say("first account, given on %(day)s") % params
    if change.get("is_back"):
        return say("account changed on %(day)s, back to one that the payee had before") % params
    before, first = day_of(change.get("changed_before_at")), day_of(change.get("first_account_at"))
    if before and (first is None or before >= first):
        params["span"] = span((on - before).days)
        return say("account changed on %(day)s, %(span)s after the change before") % params
    if first:
        params["span"] = span((on - first).days)
        return say("account changed on %(day)s, %(span)s after the first account was given") % params
    since = data_begin(body)
    if since and not is_short:
        params["month"] = since
        return say("account changed on %(day)s; no other change known since our data begin (%(month)s)") % params
    return say("account changed on %(day)s") % params


MOST_DECIDING = 2
"""So many facts the headline names beside the change itself."""


def _deciding_clause(body: Body) -> str:
    """What weighs most beside the change itself: an agent's others, a contact detail, the name, a device, claims."""
    change = body.get("change") or {}
    facts = (
        _moved_by_agent(body),
        _contact_before(body),
        say("the holder's name does not match") if change.get("name_check") == "no_match" else "",
        say("asked for from a device never seen before") if change.get("is_known_device") is False else "",
        _claimed_unrecorded(body),
    )
    return say("; ").join([fact for fact in facts if fact][:MOST_DECIDING])


def _moved_by_agent(body: Body) -> str:
    same = sum(bool(each["same_account"]) for each in body.get("actor_changes") or ())
    text = ngettext(
        "the same agent moved %(many)s other payee to this account",
        "the same agent moved %(many)s other payees to this account", same,
    )  # fmt: skip
    return text % {"many": number(same)} if same else ""


def _claimed_unrecorded(body: Body) -> str:
    unrecorded = [each for each in body.get("claims") or () if _is_unrecorded(each)]
    total = sum((Decimal(each["reimbursed_amount"] or 0) for each in unrecorded), Decimal(0))
    amount = {"amount": rough_euros(total)}
    return say("%(amount)s claimed for it without a public record") % amount if unrecorded else ""


def _contact_before(body: Body) -> str:
    """The contact detail that changed last within a day before the change, and how long before."""
    at = moment((body.get("change") or {}).get("requested_at"))
    events = [(moment(each["at"]), each["kind"]) for each in body.get("events") or () if each["kind"] in CONTACTS]
    if at is None or (body.get("change") or {}).get("derived"):
        return ""
    near = [(at - then, kind) for then, kind in events if then and timedelta(0) <= at - then <= timedelta(days=1)]
    if not near:
        return ""
    gap, kind = min(near)
    params = {"what": str(HAPPENINGS[kind]), "span": short_span(gap)}
    return say("%(what)s %(span)s before") % params


def _is_unrecorded(claim: Body) -> bool:
    is_paid = claim["status"] not in ("rejected", "reversed")
    return bool(is_paid and claim["to_new_account"] and claim["has_public_record"] is False)


def _put_back_clause(body: Body, night: date) -> str:
    """That the account before was put back later, as after a complaint."""
    on = change_day(body)
    days = [day_of(each["at"]) for each in body.get("own_changes") or () if each["is_back"]]
    later = [each for each in days if each and on and each >= on]
    return say("put back to the one before on %(day)s") % {"day": _short_day(min(later), night)} if later else ""


def short_span(span_of_time: timedelta) -> str:
    """`44 minutes`, or in hours: upwards, so that none is zero."""
    minutes = max(1, round(span_of_time.total_seconds() / 60))
    if minutes < 60:
        return ngettext("%(many)s minute", "%(many)s minutes", minutes) % {"many": minutes}
    hours = -(-minutes // 60)
    return ngettext("%(many)s hour", "%(many)s hours", hours) % {"many": hours}


def data_begin(body: Body) -> str:
    """The month in which the insurer's data begin; empty if the evidence does not say it."""
    begin = day_of(body.get("data_begin_on"))
    return formats.date_format(begin, "F Y") if begin else ""


def _short_day(on: date | None, night: date) -> str:
    """A day, with its year if that is not the year of the night."""
    return day(on, on is not None and on.year != night.year)


def _is_change(fact: Body) -> bool:
    return fact["kind"] in ("change_requested", "account_first_seen")


def _payment_clause(body: Body, night: date) -> str:
    facts = [f for f in body.get("timeline") or [] if f["kind"].startswith("payment_") and f["kind"].endswith(TO_NEW)]
    for status, clause in (
        ("sent", say("first payment %(amount)s on %(day)s")),
        ("held", say("first payment, %(amount)s on %(day)s, is held")),
        ("planned", say("first payment, %(amount)s, planned for %(day)s")),
        ("returned", say("a payment of %(amount)s came back on %(day)s")),
    ):
        first = next((f for f in facts if f["kind"] == f"payment_{status}{TO_NEW}"), None)
        if first:
            on = day_of(first["at"][:10])
            params = {"amount": rough_euros(Decimal(first["amount"] or 0)), "day": _short_day(on, night)}
            return clause % params
    return say("nothing paid to it yet")


def _account_clause(body: Body) -> str:
    """Who else has the new account. That the payee had it before is said of the change."""
    change, after = body.get("change") or {}, body.get("after") or {}
    payees = change.get("other_payees", max(0, (after.get("payees") or 0) - 1))
    households = change.get("other_households", 0)
    if not payees:
        return "" if change.get("is_back") else say("nobody else is paid on this account")
    if households:
        text = ngettext(
            "account shared with %(many)s other household", "account shared with %(many)s other households", households
        )
        return text % {"many": number(households)}
    return say("account shared within the household")


def exposure_before(body: Body, on: date) -> tuple[date, Body] | None:
    """The last exposure that began, or was known, up to a day: when, and what. A later one explains nothing."""
    begun = {each["breach_id"]: day_of(each["exposed_from"]) for each in body.get("exposed") or ()}
    dated = []
    for each in body.get("exposures") or ():
        days = [one for one in (begun.get(each["breach_id"]), day_of(each["known_at"])) if one is not None]
        if days and min(days) <= on:
            dated.append((min(days), each))
    return max(dated, key=lambda pair: pair[0]) if dated else None


def fields(names: Sequence[str]) -> str:
    """What a breach list contains, as a list of words."""
    return ", ".join(say(FIELDS.get(name, name.replace("_", " "))) for name in names)


def match(quality: str) -> str:
    """How certain it is that the exposed person is this member."""
    return say(MATCHES[quality]) if quality in MATCHES else quality


def check(name: str) -> str:
    """The name of an honest explanation."""
    return capfirst(say(wording.HONEST[name])) if name in wording.HONEST else name
