"""How numbers, dates and findings are said to people, the same on every page.

An unusual change is not an accusation, and an exposed member is a victim: every sentence here keeps to that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from payeewatch.pipeline.home.codes import FIELDS, MATCHES

CREED = "An unusual change is not an accusation, and an exposed member is a victim."

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def euros(amount: Decimal | float | None) -> str:
    """`1840` -> `1,840.00 EUR`; nothing known -> a dash."""
    return "–" if amount is None else f"{amount:,.2f} EUR"


def plain_euros(amount: Decimal | float | None) -> str:
    """For a column headed EUR: `1840` -> `1,840.00`."""
    return "–" if amount is None else f"{amount:,.2f}"


def cents(amount: int | None) -> str:
    """Cents as euros: `184000` -> `1,840.00 EUR`."""
    return euros(None if amount is None else Decimal(int(amount)) / 100)


def rounded_euros(amount: Decimal | float) -> str:
    """Euros where cents would only distract: `1840.40` -> `1,840 EUR`."""
    return f"{amount:,.0f} EUR"


def number(value: float | None) -> str:
    """`12345` -> `12,345`; nothing known -> a dash."""
    return "–" if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """`0.123` -> `12 %`, with a decimal where whole percents say nothing: `0.004` -> `0.4 %`."""
    if value is None or math.isnan(value):
        return "–"
    percent = value * 100
    return f"{percent:.1f} %" if 0 < percent < 2 or 98 < percent < 100 else f"{percent:.0f} %"


def one_in(p_value: float | None) -> str:
    """`0.0004` -> `1 in 2,500`: how seldom an honest change is at least this unusual."""
    if p_value is None or math.isnan(p_value) or p_value <= 0:
        return "–"
    if p_value > 0.4:
        return "ordinary"
    seldom = 1 / p_value
    digits = max(0, math.floor(math.log10(seldom)) - 1)
    return f"1 in {round(seldom / 10**digits) * 10**digits:,}"


def rarity(p_value: float | None) -> str:
    """The same as a sentence."""
    said = one_in(p_value)
    if said == "–":
        return "It could not be compared with other changes."
    if said == "ordinary":
        return "Comparable honest changes are often at least this unusual."
    return f"About {said} comparable honest changes is at least this unusual."


def day(value: date | str | None) -> str:
    """`2024-09-03` -> `3 Sep 2024`, whatever the machine's language."""
    value = _as_date(value)
    return "–" if value is None else f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def short_day(value: date) -> str:
    """`2024-09-03` -> `3 Sep`."""
    return f"{value.day} {MONTHS[value.month - 1]}"


def long_day(value: date) -> str:
    """`2024-09-03` -> `Tuesday 3 Sep 2024`."""
    return f"{WEEKDAYS[value.weekday()]} {day(value)}"


def instant(value: datetime | date | None) -> str:
    """`3 Sep 2024 14:05`, UTC; a plain date stays a date."""
    return f"{day(value)} {value:%H:%M}" if isinstance(value, datetime) else day(value)


def seconds(value: float) -> str:
    """`83.2` -> `83 s`, `0.42` -> `0.42 s`."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def counted(number_of: int, one: str, many: str | None = None) -> str:
    """`1 change`, `3 changes`, `no changes`."""
    return f"{f'{number_of:,}' if number_of else 'no'} {one if number_of == 1 else many or one + 's'}"


def exposure(item: Mapping[str, Any]) -> str:
    """One exposure of a member, said as something that happened to them."""
    fields = [FIELDS.get(name, name.replace("_", " ")) for name in item.get("fields") or ()]
    taken = f"; exposed: {', '.join(fields)}" if fields else ""
    quality = item.get("match_quality")
    match = f"; {MATCHES[quality]}" if quality in MATCHES else ""
    return f"On list {item.get('breach_id')}, known since {day(item.get('known_at'))}{taken}{match}."


def fact(reason: Mapping[str, Any]) -> str:
    """A reason's sentence without the value and the usual one, where those are shown beside it."""
    value, usual = reason.get("value"), reason.get("usual")
    for tail in (f": {value} (usually {usual}).", f": {value}.", " (usually not).", "."):
        if str(reason["sentence"]).endswith(tail):
            return str(reason["sentence"]).removesuffix(tail)
    return str(reason["sentence"])


def tied(neighbours: Sequence[Mapping[str, Any]]) -> str:
    """Who else the account, the device or the actor belongs to, counted: one payee may be tied in several ways."""
    relations = sorted({str(item.get("relation")).removeprefix("same_").replace("_", " ") for item in neighbours})
    payees = {item.get("payee_id") for item in neighbours}
    flagged = {item.get("payee_id") for item in neighbours if item.get("flag_id")}
    also = f"; {len(flagged)} of them flagged" if flagged else ""
    return f"{counted(len(payees), 'other payee')} tied to it by {', '.join(relations)}{also}."


HONEST = {
    "bank_wave": "a wave between the two banks",
    "return_driven": "a payment that came back",
    "life_event": "a life event in the household",
    "mobility_mandate": "a mobility mandate",
    "institution": "a known institution",
    "household_account": "an account of the household",
}
"""What each check looks for."""


def checked(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was found in full sentences; what was not found, and what cannot be known, in a line each."""
    said = [str(item["sentence"]) for item in checks if item.get("result") == "yes" and item.get("sentence")]
    for result, intro in (("no", "Looked for and not found"), ("unknown", "Cannot be known")):
        names = [str(item.get("check")) for item in checks if item.get("result") == result]
        if names:
            said.append(f"{intro}: {', '.join(HONEST.get(name, name.replace('_', ' ')) for name in names)}.")
    return said


def _as_date(value: date | str | None) -> date | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value
