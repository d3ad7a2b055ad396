"""What is said to reviewers of a flag: sentences, figures and dates in their language, from frozen evidence alone.

Nights publish codes and numbers, with an English sentence for other systems beside them. Words are made here, from the
codes, the numbers and the catalogue of translations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as say
from django.utils.translation import ngettext

from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.codes import FIELDS, MATCHES, WEAK_MATCHES
from payeewatch.pipeline.home.wording import Measure
from payeewatch.triage.language import frozen_english
from payeewatch.triage.language.labels import PAYEE_TYPES

register = template.Library()
IDENTITY = frozenset({"name", "birth_date", "national_id"})
TO_NEW = "_to_new_account"
Body = Mapping[str, Any]


def number(value: float | Decimal | None, digits: int = 0) -> str:
    """`12345` -> `12,345`; nothing known -> a dash."""
    if value is None:
        return "–"  # and Django would cut digits off where we round
    rounded: Any = round(value, digits)  # of a union, its type is not known
    return str(formats.number_format(rounded, digits, use_l10n=True, force_grouping=True))


@register.filter
def euros(amount: Decimal | float | None, digits: int = 2) -> str:
    """`1840` -> `€1,840.00`; in French `1 840,00 €`. A filter of every template."""
    if amount is None:
        return "–"
    size = -amount if amount < 0 else amount
    return ("-" if amount < 0 else "") + say("€%(amount)s") % {"amount": number(size, digits)}


def rough_euros(amount: Decimal | float | None) -> str:
    """Whole euros, from a hundred on: `1840.40` -> `€1,840`."""
    is_small = amount is not None and amount != 0 and -100 < amount < 100
    return euros(amount, 2 if is_small else 0)


def share(value: float | None, digits: int = 0) -> str:
    """`0.123` -> `12 %`."""
    return "–" if value is None or math.isnan(value) else say("%(number)s %%") % {"number": number(value * 100, digits)}


def day(value: date | None, year: bool = True) -> str:
    """`12 Nov 2024`, or `12 Nov` where the year goes without saying."""
    if value is None:
        return "–"
    pattern = str(formats.get_format("SHORT_DATE_FORMAT"))
    return str(formats.date_format(value, pattern if year else pattern.removesuffix(" Y")))


def instant(value: datetime) -> str:
    """`12 Nov 2024, 14:05`, in the insurer's time."""
    return str(formats.date_format(timezone.localtime(value), "SHORT_DATETIME_FORMAT"))


def moment(text: str | None) -> datetime | None:
    """An instant of frozen evidence; those are UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def day_of(text: str | None) -> date | None:
    """The insurer's day of an instant, or of a day."""
    at = moment(text)
    return None if at is None else at.date() if len(text or "") <= 10 else timezone.localtime(at).date()


def span(days: float) -> str:
    """`2200` -> `6 years`: as people say it."""
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
    among = wording.seldom(p_value)
    return "–" if among is None else say("ordinary") if among == 1 else measured(Measure("rarity", among))


def rarity(p_value: float | None) -> str:
    """`1 in 3,400 comparable changes`."""
    among = wording.seldom(p_value)
    if among is None:
        return say("could not be compared")
    if among == 1:
        return say("ordinary among comparable changes")
    return say("%(one_in)s comparable changes") % {"one_in": one_in(p_value)}


def measured(given: Measure) -> str:
    """A feature's value: `€1,840.00`, `3 days`, `1 in 300`, `yes`."""
    form, value = given.form, given.number
    if value is None:
        words = {"yes": say("yes"), "no": say("no"), "common": say("common"), "unknown": say("not known")}
        return words.get(form, form)
    if form == "eur":
        return euros(value, given.digits)
    if form == "share":
        return share(value, given.digits)
    shown = number(value, given.digits)
    if form == "rarity":
        return say("1 in %(number)s") % {"number": shown}
    if form == "days":
        return ngettext("%(many)s day", "%(many)s days", 1 if value == 1 else 2) % {"many": shown}
    if form == "years":
        return ngettext("%(many)s year", "%(many)s years", 1 if value == 1 else 2) % {"many": shown}
    return say("%(number)s times") % {"number": shown} if form == "times" else shown


def parts(reason: Body) -> tuple[str, Measure, Measure | None] | None:
    """What a reason's feature measures (in English), its value and the usual one; None where that is not known."""
    if not (unit := reason.get("unit")):
        return frozen_english.reason(reason)
    usual = reason["usual_number"]
    now = wording.measure(reason["value_number"], unit)
    return wording.fact(reason), now, None if usual is None else wording.measure(usual, unit)


def fact(reason: Body) -> str:
    """What a reason's feature measures, without its value."""
    found = parts(reason)
    return _fact(found[0]) if found else str(reason["sentence"])


def _fact(english: str) -> str:
    sentence = english + "."
    return say(sentence).removesuffix(".")


def finding(reason: Body) -> str:
    """A reason whole: what is measured, its value and the usual one."""
    found = parts(reason)
    if not found:
        return str(reason["sentence"])
    told, now, usual = _fact(found[0]), found[1], found[2]
    if now.form != "yes":
        told = say("%(what)s: %(value)s") % {"what": told, "value": measured(now)}
    if now.form == "yes" and usual and usual.form == "no":
        told += say(" (usually not)")
    elif usual and measured(usual) != measured(now):
        told += say(" (usually %(usual)s)") % {"usual": measured(usual)}
    return f"{told}."


def message(given: Body) -> str:
    """A sentence of a night, from its `code` and `params`; one whose code is not known stays as it is written."""
    code, params = given.get("code"), given.get("params") or {}
    if not code:
        code, params = frozen_english.message(given["sentence"]) or ("", {})
    if code not in wording.MESSAGES:
        return str(given["sentence"])
    values: Body = json.loads(params) if isinstance(params, str) else params
    return say(wording.MESSAGES[code]) % {name: _part(name, value) for name, value in values.items()}


def _part(name: str, value: Any) -> str:
    """A number of a message, by its name where its type does not say enough."""
    if name in ("day", "purge_on"):
        return day(date.fromisoformat(value))
    if name == "payee_type":
        return str(PAYEE_TYPES.get(value, value)).lower()
    if name in ("share", "usually"):
        return share(value, 1)
    return value if isinstance(value, str) else number(value, {"usual": 1, "least": 4}.get(name, 0))


def segment(code: str) -> tuple[tuple[str, str, int], str]:
    """A segment's place among the others and its words: `member announced 2-6d` -> Member, announced, 2 to 6 days.

    The code is a party, how its changes came to be known, and their age in days.
    """
    party, _, rest = code.partition(" ")
    how, _, age = rest.partition(" ")
    if not age:
        return (code, "", 0), code
    low, _, high = age.removesuffix("+").removesuffix("d").partition("-")
    told = {
        "payee": PAYEE_TYPES.get(party, party),
        "how": say("announced") if how == "announced" else say("announced by nobody"),
        "low": low,
        "high": high,
    }
    words = (
        say("%(payee)s, %(how)s, %(low)s to %(high)s days") if high else say("%(payee)s, %(how)s, from %(low)s days on")
    )
    return (party, how, int(low)), words % told


def headline(body: Body, derived: bool, night: date) -> str:
    """What happened, in one sentence: the change, the money, the account, the exposure."""
    clauses = [_changed(body, derived, night), _paid(body, night), _account(body), _exposed(body)]
    said = "; ".join(clause for clause in clauses if clause)
    return f"{said[:1].upper()}{said[1:].removesuffix('.')}." if said else ""


def _changed(body: Body, derived: bool, night: date) -> str:
    change, facts = body.get("change") or {}, body.get("timeline") or []
    asked = change.get("requested_at") or next((f["at"] for f in reversed(facts) if _is_change(f)), None)
    on = day_of(asked)
    if on is None:
        return ""
    told = {"day": _near(on, night)}
    if derived:
        if change.get("first_seen_on") == "payments":
            return say("account first seen on a payment of %(day)s, announced by nobody") % told
        return say("account first seen on a claim of %(day)s, announced by nobody") % told
    if change.get("is_first_account") or (not change and body.get("before") is None):
        return say("first account, given on %(day)s") % told
    before, since = day_of(change.get("changed_before_at")), day_of((body.get("before") or {}).get("since"))
    if before:
        told["span"] = span((on - before).days)
        return say("account changed on %(day)s, %(span)s after the change before") % told
    if since and since < on:
        told["span"] = span((on - since).days)
        return say("account changed on %(day)s, for the first time in %(span)s") % told
    return say("account changed on %(day)s") % told


def _near(on: date | None, night: date) -> str:
    """A day, with its year where it is not the night's."""
    return day(on, on is not None and on.year != night.year)


def _is_change(fact: Body) -> bool:
    return fact["kind"] in ("change_requested", "account_first_seen")


def _paid(body: Body, night: date) -> str:
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
            told = {"amount": rough_euros(Decimal(first["amount"] or 0)), "day": _near(on, night)}
            return clause % told
    return say("nothing paid to it yet")


def _account(body: Body) -> str:
    change, after = body.get("change") or {}, body.get("after") or {}
    payees = change.get("other_payees", max(0, (after.get("payees") or 0) - 1))
    households = change.get("other_households", 0)
    asked, since = day_of(change.get("requested_at")), day_of(after.get("since"))
    if not payees and asked and since and since < asked:
        return say("account the payee already had in %(month)s") % {"month": formats.date_format(since, "F Y")}
    if not payees:
        return say("account unknown to the portfolio")
    if households:
        told = ngettext(
            "account shared with %(many)s other household", "account shared with %(many)s other households", households
        )
        return told % {"many": number(households)}
    return say("account shared within the household")


def _exposed(body: Body) -> str:
    exposures = sorted(body.get("exposures") or [], key=lambda each: each["known_at"] or "")
    if not exposures:
        return ""
    last = exposures[-1]
    told = {"month": formats.date_format(date.fromisoformat(last["known_at"]), "F Y")}
    if last["match_quality"] in WEAK_MATCHES:
        return say("identity perhaps exposed in %(month)s") % told
    if IDENTITY & set(last["fields"] or ()):
        return say("identity exposed in %(month)s") % told
    return say("personal data exposed in %(month)s") % told


def fields(names: Sequence[str]) -> str:
    """What a list holds, as a list of words."""
    return ", ".join(say(FIELDS.get(name, name.replace("_", " "))) for name in names)


def match(quality: str) -> str:
    """How sure it is that the exposed person is this member."""
    return say(MATCHES[quality]) if quality in MATCHES else quality


def check(name: str) -> str:
    """What an honest explanation is called."""
    return capfirst(say(wording.HONEST[name])) if name in wording.HONEST else name
