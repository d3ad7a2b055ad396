"""The export about one person in words, in the user's language: what `payeewatch person` writes.

A section's texts are looked up; its values are worded by their kind: days, amounts, codes, and the night's sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.wording import Sentence
from payeewatch.triage.language import labels, phrases
from payeewatch.triage.roles import Role
from payeewatch.triage.verdict_codes import ALL_REASONS, Verdict

__all__ = ["override", "translate_section", "value", "word"]

CODES: Mapping[str, Mapping[str, Any]] = {
    "Care family": labels.CARE_FAMILIES,
    "Channel": {
        **labels.CHANNELS, "noemie": _("public scheme's record"), "third_party": _("third-party payment"),
    },
    "Kind": {
        **{kind: words for kind, (_lane, words) in labels.KINDS.items()}, "family_name": _("Family name"),
        "given_names": _("Given names"), "birth_name": _("Birth name"), "national_id": _("National id"),
        "birth": _("born abroad or not"), "holder": _("account holder"), "account": _("account"),
    },
    "Legal protection": {"none": _("none"), "curatorship": _("curatorship"), "guardianship": _("guardianship")},
    "Name check": labels.NAME_CHECKS,
    "Original": {vault.ABROAD: _("abroad"), vault.IN_FRANCE: _("in France")},
    "Payee type": labels.PAYEE_TYPES,
    "Proof of identity": labels.AUTH_STRENGTHS,
    "Queue": {"hold": _("Hold"), "review": _("Review"), "audit": _("Audit sample")},
    "Reason code": dict(ALL_REASONS),
    "Residence": {"home": _("at home"), "care_home": _("care home"), "other": _("elsewhere")},
    "Role": {**labels.ROLES, **dict(Role.choices)},
    "Sex": {"F": _("female"), "M": _("male")},
    "First seen": labels.FIRST_SEEN_ON,
    "Source": {"reviewer": _("Reviewer"), "complaint": _("complaint"), "audit": _("Audit sample")},
    "Status": {
        **labels.PAYMENT_STATES, "received": _("received"), "pended": _("pended"), "settled": _("settled"),
        "rejected": _("rejected"), "reversed": _("reversed"),
    },
    "Verdict": dict(Verdict.choices) | {Verdict.BENIGN: _("Honest change")},
    "What": labels.DONE,
    "Why it is on no list": labels.WHY_NOT,
}  # fmt: skip
"""Title of a line -> code -> its words."""
P_VALUE = "Share of past changes at least as unusual (this one counted)"
SHARE = "Share of the holder's names that are names of the household"
"""Titles of lines whose numbers are shares of one."""
SENTENCES = ("In words", "Kept until")
"""Titles of lines whose texts are the export's own."""


def translate_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section in the active language; what is empty is left out."""
    rows = [
        {word(name): value(content, name) for name, content in row.items() if content not in (None, "", [], ())}
        for row in section["rows"]
    ]
    return {name: word(section[name]) for name in ("title", "what", "source", "kept")} | {"rows": rows}


def word(text: str) -> str:
    """A text of the export."""
    return phrases.message(text.coded) if isinstance(text, Sentence) else say(text)


def value(content: Any, title: str = "") -> Any:
    """A value by its kind, and by the title of its line where its kind does not tell."""
    if isinstance(content, bool):
        return say("yes") if content else say("no")
    if isinstance(content, datetime):
        return phrases.instant(content if timezone.is_aware(content) else content.replace(tzinfo=UTC))
    if isinstance(content, date):
        return phrases.day(content)
    if isinstance(content, float) and title == P_VALUE:
        return among(content)
    if isinstance(content, float) and title == SHARE:
        return phrases.share(content)
    if isinstance(content, Decimal | float):
        return phrases.number(content, 2)
    if isinstance(content, Mapping):
        words = exposure if "breach_id" in content else account if "last_four" in content else phrases.finding
        return words(content)
    if isinstance(content, list | tuple):
        return " ".join(str(value(each, title)) for each in content)
    if title in SENTENCES and isinstance(content, str):
        return word(content)
    return _code(title, content) if title in CODES and isinstance(content, str) else content


def _code(title: str, code: str) -> str:
    """A code in words; an action that is older than its words is not told in English."""
    words = CODES[title]
    return str(words[code] if code in words else say("something else") if title == "What" else code)


def among(share: float) -> str:
    """A share of past changes in whole numbers: `0.00467` -> `1 of 214`; from a tenth on, so many of a hundred."""
    few, many = (1, round(1 / share)) if 0 < share < 0.1 else (round(share * 100), 100)
    return say("%(few)s of %(many)s") % {"few": few, "many": phrases.number(many)}


def account(hint: Mapping[str, str]) -> str:
    """An account by its country, its bank and its last characters."""
    if not hint["last_four"]:
        return say("not known")
    return say("%(country)s, bank %(bank)s, ending in %(last)s") % {
        "country": hint["country"], "bank": hint["bank_code"], "last": hint["last_four"],
    }  # fmt: skip


def exposure(row: Mapping[str, Any]) -> str:
    """That the person is on a list, as something that happened to them."""
    sentence = say("%(title)s, known since %(day)s; exposed: %(fields)s; %(match)s.") % {
        "title": row["breach_id"],
        "day": phrases.day(row["known_at"]),
        "fields": phrases.fields(row["fields"] or ()),
        "match": phrases.match(row["match_quality"]),
    }
    return f"{say('This person is a victim: their data were taken from somebody else.')} {sentence}"
