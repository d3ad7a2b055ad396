"""The letter that explains to somebody what was decided about a change of their account, and how to contest it.

Whoever asks may be the one who took over the member's identity. So the letter tells no account, device, limit, value or
other person; and amounts, which kinds of facts counted, and with what result, only once the insurer confirmed who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from payeewatch.dossier import words
from payeewatch.dossier.answers import Answer
from payeewatch.dossier.page import environment
from payeewatch.dossier.statements import Both
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.pipeline.home.files import json_text, replace_whole, write_private

MEMBER_IS_VICTIM = frozenset({"F01", "F02", "F04", "F05", "F07"})
"""Reasons of a fraud by somebody else against the member: takeover, mule, diversion, insider, stolen identity."""


@dataclass(frozen=True)
class HeldPayments:
    """Payments of one change that were held, or all later payments to its account: since when, until when, how much."""

    became: str  # proposed, held, released, expired or not_held
    is_later: bool  # all later payments: there are no number and no amount of them
    since: date
    until: date | None  # the last day, or the day it was let go; None: without end, or never held
    many: int = 0
    amount: Decimal = Decimal(0)  # euros


@dataclass(frozen=True)
class Decided:
    """One change of the person that people had before them."""

    looked_at: date
    is_random: bool  # drawn for the audit sample
    is_by_hand: bool  # people put it on the list, and no night
    held: tuple[HeldPayments, ...]
    is_held_by_people: bool  # once at least; else nothing was held, or a night held it by itself
    status: str  # open, decided, reopened (after the verdict of `decided_on`), or undecided when its time was over
    verdict: str  # empty but of what is decided
    reason: str  # its code; of a fraud it says who is its victim
    decided_on: date | None
    roles: tuple[str, ...]  # who decided, and who approved
    counted: tuple[str, ...]  # names of features that counted against it
    explained: tuple[str, ...]  # names of features that suggested an honest change


def letter(
    cases: Sequence[Decided], on: date, insurer: str, answers: Mapping[str, Answer], *, is_confirmed: bool
) -> dict[str, Any]:
    """The content of the letter, in both languages."""
    texts = words.texts("explanation")
    return {
        "title": words.both(texts["title"]),
        "on": words.cells(on),
        "insurer": insurer,
        "before_sending": words.both(texts["before_sending" if not is_confirmed else "confirmed"]),
        "intro": [words.both(each) for each in texts["intro"]],
        "cases": [_case(case, texts, is_confirmed=is_confirmed) for case in cases],
        "nothing": words.both(texts["none"]),
        "contest": [words.both(each) for each in texts["contest"]],
        "contacts": [_contact("contest", texts, answers), _contact("complaint", texts, answers)],
    }  # fmt: skip


def _contact(name: str, texts: Mapping[str, Any], answers: Mapping[str, Answer]) -> Both:
    """What the insurer filled in about a contact, or that it is to be filled in."""
    key = f"rights.{name}"
    return answers[key].text if key in answers else words.both(texts[f"{name}_open"])


def write_letter(content: Mapping[str, Any], folder: Path, language: str) -> list[Path]:
    """Write the letter as a page and as data, readable by their owner only."""
    page = environment().get_template("explanation.html.j2").render(**content, language=language)
    paths = [folder / "explanation.html", folder / "explanation.json"]
    for path, text in zip(paths, (page, json_text(_in_language(content, language))), strict=True):
        replace_whole(path, lambda temporary, text=text: write_private(temporary, text))  # type: ignore[misc]
    return paths


def _case(case: Decided, texts: Mapping[str, Any], *, is_confirmed: bool) -> dict[str, Any]:
    lines = [words.filled(words.both(texts["looked_at"]), {"day": case.looked_at})]
    for each in case.held:
        held = _held(each, texts, is_confirmed=is_confirmed)
        lines += held if is_confirmed else [line for line in held if line not in lines]
    lines += [] if case.held else [words.both(texts["not_held"])]
    lines += _decision(case, texts, is_confirmed=is_confirmed)
    kinds = _kinds(case.counted) if is_confirmed and not case.is_random else []
    explained = _kinds(case.explained) if is_confirmed else []
    by = "_by_hand" if case.is_by_hand else ""
    counted = f"why{by}" if kinds else f"why{by}_none"
    why = "why_public" if not is_confirmed else "why_random" if case.is_random else counted
    return {
        "lines": lines,
        "why": words.both(texts[why]),
        "kinds": kinds,
        "explained": explained,
        "for": words.both(texts["for"]),
    }


def _held(held: HeldPayments, texts: Mapping[str, Any], *, is_confirmed: bool) -> list[Both]:
    """What was held; and once the insurer confirmed who asks, since when, how much, and when it ends."""
    what = "later" if held.is_later else "payments"
    if not is_confirmed:
        return [words.both(texts["held_without_amounts"][held.became][what])]
    lines = [texts["held"][held.became][what]]
    if held.became == "held":
        lines.append(texts["held_until" if held.until else "held_without_end"])
    many = words.filled(words.both(texts["many"]["one" if held.many == 1 else "more"]), {"many": held.many})
    return [words.filled(words.both(each), asdict(held) | {"many": many}) for each in lines]


def _decision(case: Decided, texts: Mapping[str, Any], *, is_confirmed: bool) -> list[Both]:
    if case.decided_on is None:
        status = "undecided" if case.status == "undecided" else "open"
        return [words.both(texts[f"{status}_held" if case.is_held_by_people else status])]
    roles = [words.both(texts["roles"][each]) for each in case.roles]
    lines = [
        words.filled(
            words.both(texts["decided" if len(roles) < 2 else "decided_by_two"]),
            {"day": case.decided_on, "roles": roles},
        )
    ]
    if case.status == "reopened":
        lines.append(words.both(texts["reopened"]))
    elif is_confirmed:
        lines.append(words.both(texts["result"][_result(case)]))
    return lines


def _result(case: Decided) -> str:
    if case.verdict in FRAUD_VERDICTS:
        return "fraud" if case.reason in MEMBER_IS_VICTIM else "other"
    return {HONEST_VERDICT: "honest", "duplicate": "duplicate", "data_error": "data_error"}.get(case.verdict, "unclear")


def _kinds(features: Sequence[str]) -> list[Both]:
    """The criteria of the public page to which features belong, each once, in its order."""
    entries = words.texts("criteria")["criteria"].values()
    return [words.both(entry) for entry in entries if set(entry["features"]) & set(features)]


def _in_language(content: Any, language: str) -> Any:
    """The content with one of its two languages."""
    if isinstance(content, Mapping):
        if set(content) == {"en", "fr"}:
            return content[language]
        return {name: _in_language(each, language) for name, each in content.items()}
    return [_in_language(each, language) for each in content] if isinstance(content, list) else content
