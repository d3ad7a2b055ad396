"""English sentences that nights published before they published codes, converted back into codes and numbers.

Evidence is frozen: what was published then is shown as long as it is stored. Newer evidence does not come here: a
reason has its `unit` and its `fact`, any other sentence its `code`. If you reword a text of `wording.MESSAGES`, add the
old wording to EARLIER; the test of this file has every one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.wording import Measure

EARLIER: tuple[tuple[str, str], ...] = (
    ("Nobody joined, left or died within 60 days, and no change of address is known.", "no_life_event"),
)
"""Wordings that messages had, each with the message's code."""

NUMBER = r"-?[\d,]+(?:\.\d+)?"
FORMS = {
    "eur": re.compile(f"(?P<number>{NUMBER}) EUR"),
    "share": re.compile(f"(?P<number>{NUMBER}) %"),
    "rarity": re.compile(f"1 in (?P<number>{NUMBER})"),
    "days": re.compile(f"(?P<number>{NUMBER}) days?"),
    "years": re.compile(f"(?P<number>{NUMBER}) years?"),
    "times": re.compile(f"(?P<number>{NUMBER}) times"),
    "number": re.compile(f"(?P<number>{NUMBER})"),
}
"""The shapes in which a night writes a feature's value."""

REASON = re.compile(r"(?P<fact>.+?)(: (?P<value>.+?))?( \(usually (?P<usual>.+?)\))?\.")
"""The shape in which it writes a reason: `New devices: 2 (usually 0).`"""

COUNTS = frozenset({"many", "days", "usual", "payments", "changes", "parts", "references", "wanted", "verdicts"})
"""The placeholders of a message that are numbers."""


def reason(body: Mapping[str, Any]) -> tuple[str, Measure, Measure | None] | None:
    """What a reason's feature measures (in English), its value and the usual one; None where it has another form.

    Of a flag's first reason, only the sentence was stored.
    """
    if "value" in body:
        usual = body["usual"]
        return wording.fact(body), measure(body["value"]), measure(usual) if usual else None
    match = REASON.fullmatch(body["sentence"])
    if not match:
        return None
    usual = {"not": "no"}.get(match["usual"], match["usual"])
    return match["fact"], measure(match["value"] or "yes"), measure(usual) if usual else None


def measure(text: str) -> Measure:
    """A value as it is written: `1,840.00 EUR` -> eur, 1840.0, 2 decimals; `yes` -> yes."""
    for form, pattern in FORMS.items():
        if match := pattern.fullmatch(text):
            text = match["number"]
            number = int(text.replace(",", "")) if form == "rarity" else _number(text)
            return Measure(form, number / 100 if form == "share" else number, len(text.partition(".")[2]))
    return Measure(text)


def message(sentence: str) -> tuple[str, dict[str, Any]] | None:
    """The code and the numbers of a sentence; None where no message has that form."""
    for code, pattern in _patterns():
        if match := pattern.fullmatch(sentence):
            return code, {name: _typed(name, text) for name, text in match.groupdict().items()}
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    texts = [*wording.MESSAGES.items(), *((code, text) for text, code in EARLIER)]
    return tuple((code, _pattern(text)) for code, text in texts)


def _pattern(text: str) -> re.Pattern[str]:
    """What a message looks like with its placeholders filled in: one that comes twice has the same text twice."""
    names: set[str] = set()

    def group(place: re.Match[str]) -> str:
        name = place[1]
        if name in names:
            return f"(?P={name})"
        names.add(name)
        return f"(?P<{name}>{NUMBER if name in COUNTS else '.+?'})"

    return re.compile(re.sub(r"%\\\((\w+)\\\)s", group, re.escape(text)))


def _typed(name: str, text: str) -> Any:
    if name == "share":
        return _number(text.removesuffix("%")) / 100
    return _number(text) if name in COUNTS else text


def _number(text: str) -> float:
    return float(text.replace(",", ""))
