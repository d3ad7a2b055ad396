"""The export about one person in the user's language: what `payeewatch person` says in English, said again.

A section's texts are looked up, its values are said by their kind: days, amounts, codes, and the night's sentences.
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

__all__ = ["override", "told", "value", "word"]

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


def told(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section as people of the active language read it."""
    rows = [{word(name): value(held) for name, held in row.items()} for row in section["rows"]]
    return {name: word(section[name]) for name in ("title", "what", "source", "kept")} | {"rows": rows}


def word(text: str) -> str:
    """A text of the export."""
    return phrases.message(text.coded) if isinstance(text, Sentence) else say(text)


def value(held: Any) -> Any:
    """A value by its kind."""
    if isinstance(held, bool):
        return say("yes") if held else say("no")
    if isinstance(held, datetime):
        return phrases.instant(held) if timezone.is_aware(held) else formats.date_format(held, "SHORT_DATETIME_FORMAT")
    if isinstance(held, date):
        return phrases.day(held)
    if isinstance(held, Decimal):
        return phrases.number(held, 2)
    if isinstance(held, Mapping):
        return exposure(held) if "breach_id" in held else phrases.finding(held)
    if isinstance(held, list | tuple):
        return " ".join(str(value(each)) for each in held)
    return str(CODES[held]) if isinstance(held, str) and held in CODES else held


def exposure(given: Mapping[str, Any]) -> str:
    """That the person is on a list, as something that happened to them."""
    known = say("%(title)s, known since %(day)s; exposed: %(fields)s; %(match)s.") % {
        "title": given["breach_id"],
        "day": phrases.day(given["known_at"]),
        "fields": phrases.fields(given["fields"] or ()),
        "match": phrases.match(given["match_quality"]),
    }
    return f"{say('This person is a victim: their data were taken from somebody else.')} {known}"
