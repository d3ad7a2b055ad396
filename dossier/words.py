"""The texts of the dossier, in English and French side by side, and how values are worded in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from payeewatch.dossier.statements import LANGUAGES, Both
from payeewatch.triage.identifying import looks_identifying

PLACEHOLDER = re.compile(r"\{([a-z_0-9.]+)(%?)\}")
"""`{name}`, or `{name%}` for a share that is worded in percent."""
SPACE_BEFORE = re.compile(r" (?=[:;?!»])|(?<=«) ")
MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "fr": (
        "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
        "décembre",
    ),
}  # fmt: skip
YES_NO = {"en": ("no", "yes"), "fr": ("non", "oui")}
NONE = {"en": "none", "fr": "aucun"}
NOTHING = "–"
LEFT_OUT = {"en": "[left out: it may be somebody's number]", "fr": "[omis : c'est peut-être le numéro de quelqu'un]"}
APOSTROPHE = "\u2019"
NO_BREAK = "\u00a0"
"""The space that French puts between thousands, and both before a percent sign."""


@dataclass(frozen=True)
class Percent:
    """A share from 0 to 1, worded in percent."""

    share: float


@cache
def texts(name: str) -> Any:
    """One file of texts, by its name without the ending."""
    content = files("payeewatch.dossier").joinpath("texts", f"{name}.yaml").read_text(encoding="utf-8")
    return _printed(yaml.safe_load(content))


def _printed(content: Any) -> Any:
    """A file of texts with its French as it is printed."""
    if isinstance(content, list):
        return [_printed(each) for each in content]
    if not isinstance(content, dict):
        return content
    return {key: _french(value) if key == "fr" else _printed(value) for key, value in content.items()}


def _french(text: Any) -> Any:
    return [_french(each) for each in text] if isinstance(text, list) else _spaced(str(text), "fr")


def both(raw: Mapping[str, Any]) -> Both:
    """The two texts of an entry."""
    return {language: _spaced(str(raw[language]), language) for language in LANGUAGES}


def _spaced(text: str, language: str) -> str:
    """A French text never begins a line with its punctuation, and has the apostrophe of print."""
    return text if language == "en" else SPACE_BEFORE.sub(NO_BREAK, text.replace("'", APOSTROPHE))


def word(value: Any, language: str) -> str:
    """A value in a language: a number, a share, a day, yes or no; a text of both languages is chosen from."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return YES_NO[language][value]
    if isinstance(value, Mapping):
        return _spaced(str(value[language]), language)
    if isinstance(value, Percent):
        return _percent(value.share, language)
    if isinstance(value, datetime):
        return f"{_day(value.date(), language)} {value:%H:%M}"
    if isinstance(value, date):
        return _day(value, language)
    if isinstance(value, int | float | Decimal):
        return _number(value, language)
    if isinstance(value, list | tuple):
        return ", ".join(word(each, language) for each in value) or NONE[language]
    return str(value)


def free_text(text: str) -> Any:
    """What somebody wrote, unless it holds so many digits that it may be an account or a national id."""
    return LEFT_OUT if looks_identifying(text) else text


def cells(value: Any) -> Both:
    """A value in both languages."""
    return {language: word(value, language) for language in LANGUAGES}


def filled(template: Both, values: Mapping[str, Any]) -> Both:
    """A text with its values. KeyError: one is missing."""
    return {language: _filled(template[language], values, language) for language in LANGUAGES}


def _filled(text: str, values: Mapping[str, Any], language: str) -> str:
    return PLACEHOLDER.sub(lambda match: _in_place(match, values, language), text)


def placeholders(template: Both) -> set[str]:
    return {match[1] for text in template.values() for match in PLACEHOLDER.finditer(text)}


def _in_place(match: re.Match[str], values: Mapping[str, Any], language: str) -> str:
    value = values[match[1]]
    return word(Percent(float(value)) if match[2] else value, language)


def _number(value: float | Decimal, language: str) -> str:
    return number_in(f"{value:,.2f}" if isinstance(value, Decimal) else _plain_number(value), language)


def number_in(text: str, language: str) -> str:
    """A number that is written in the English way, as the language writes it."""
    return text if language == "en" else text.replace(",", NO_BREAK).replace(".", ",")


def _plain_number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _percent(share: float, language: str) -> str:
    text = f"{share * 100:.1f}".removesuffix(".0")
    return (text if language == "en" else text.replace(".", ",")) + NO_BREAK + "%"


def _day(day: date, language: str) -> str:
    if language == "fr":
        return f"{'1er' if day.day == 1 else day.day} {MONTHS[language][day.month - 1]} {day.year}"
    return f"{day.day} {MONTHS[language][day.month - 1]} {day.year}"
