"""The export about one person in the user's language: a translation of what `payeewatch person` says in English.

A section's texts are looked up; its values are worded by their kind: days, amounts, codes, and the night's sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from payeewatch.pipeline.home.wording import Sentence
from payeewatch.triage.language import labels, phrases

__all__ = ["override", "translate_section", "value", "word"]

CODES: Mapping[str, Any] = {
    **labels.CHANNELS, **labels.AUTH_STRENGTHS, **labels.NAME_CHECKS, **labels.PAYEE_TYPES,
    **{kind: words for kind, (_lane, words) in labels.KINDS.items()}, **labels.WHY_NOT,
    "policyholder": _("policyholder"), "spouse": _("spouse"), "child": _("child"), "home": _("at home"),
    "care_home": _("care home"), "curatorship": _("curatorship"), "guardianship": _("guardianship"),
    "F": _("female"), "M": _("male"), "noemie": _("public scheme's record"), "third_party": _("third-party payment"),
    "consultation": _("consultation"), "pharmacy": _("pharmacy"), "laboratory": _("laboratory"),
    "optical": _("optical"), "dental": _("dental"), "hearing": _("hearing"), "hospital": _("hospital"),
    "soft_medicine": _("soft medicine"), "prevention": _("prevention"), "transport": _("transport"),
    "device": _("device"), "received": _("received"), "pended": _("pended"), "settled": _("settled"),
    "rejected": _("rejected"), "reversed": _("reversed"), "planned": _("planned"), "held": _("held"),
    "sent": _("sent"), "returned": _("returned"), "hold": _("Hold"), "review": _("Review"), "audit": _("Audit sample"),
    "confirmed_fraud": _("Confirmed fraud"), "attempt_stopped": _("Attempt stopped"), "benign": _("Benign"),
    "inconclusive": _("Inconclusive"), "duplicate": _("Duplicate"), "data_error": _("Data error"),
    "reviewer": _("Reviewer"), "senior": _("Senior reviewer"), "scientist": _("Data scientist"),
    "auditor": _("Auditor"), "administrator": _("Administrator"), "the system": _("the system"), "view": _("view"),
    "claims": _("claims"), "payments": _("payments"), "providers": _("providers"), "complaint": _("complaint"),
}  # fmt: skip


def translate_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section in the active language."""
    rows = [{word(name): value(content) for name, content in row.items()} for row in section["rows"]]
    return {name: word(section[name]) for name in ("title", "what", "source", "kept")} | {"rows": rows}


def word(text: str) -> str:
    """A text of the export."""
    return phrases.message(text.coded) if isinstance(text, Sentence) else say(text)


def value(content: Any) -> Any:
    """A value by its kind."""
    if isinstance(content, bool):
        return say("yes") if content else say("no")
    if isinstance(content, datetime):
        return (
            phrases.instant(content)
            if timezone.is_aware(content)
            else formats.date_format(content, "SHORT_DATETIME_FORMAT")
        )
    if isinstance(content, date):
        return phrases.day(content)
    if isinstance(content, Decimal):
        return phrases.number(content, 2)
    if isinstance(content, Mapping):
        return exposure(content) if "breach_id" in content else phrases.finding(content)
    if isinstance(content, list | tuple):
        return " ".join(str(value(each)) for each in content)
    return str(CODES[content]) if isinstance(content, str) and content in CODES else content


def exposure(row: Mapping[str, Any]) -> str:
    """That the person is on a list, as something that happened to them."""
    sentence = say("%(title)s, known since %(day)s; exposed: %(fields)s; %(match)s.") % {
        "title": row["breach_id"],
        "day": phrases.day(row["known_at"]),
        "fields": phrases.fields(row["fields"] or ()),
        "match": phrases.match(row["match_quality"]),
    }
    return f"{say('This person is a victim: their data were taken from somebody else.')} {sentence}"
