"""The export about one person in the user's language: what `payeewatch person` says in English, said again.

A section's texts are looked up, its values are told by their kind: days, amounts, codes, and the night's sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop as later
from django.utils.translation import override

from payeewatch.triage.language import labels, phrases

__all__ = ["override", "told", "value", "word"]

TEXTS = (
    # the page
    later("access"), later("rectification"), later("objection"), later("Member"), later("From"), later("Kept"),
    later("As of"), later("Nothing is held."),
    later("What PayeeWatch holds about this person, where it comes from, and how long it is kept."),
    later(
        "PayeeWatch corrects nothing by itself: every fact comes from the source named beside it. Correct it there; "
        "the next drop brings the correction, and earlier versions show what was believed before."
    ),
    later(
        "The objection is recorded, and the person's open flags are put before a senior reviewer, who decides about a "
        "suppression. Payments on hold stay so until a person releases them or the hold expires. New drops go on being "
        "read and scored until the insurer has weighed the objection; if it is upheld, `payeewatch purge --member` "
        "erases the person and keeps them out."
    ),
    later(
        "Read this before it leaves: while a case is open, the data protection officer decides what of notes and "
        "decisions may be told, and others' data in a note must be struck out."
    ),
    # sections: titles, what they hold, where from, how long
    later("Membership"), later("One line a version of the membership."),
    later("Claims"), later("Requests for reimbursement: the family of care, never a diagnosis."),
    later("Payments"), later("Money sent or planned."),
    later("Announced changes of account"), later("As the insurer's systems sent them."),
    later("Changes of account"), later("Announced ones, and those seen on a claim or a payment only."),
    later("Events on the web account"), later("Logins and changes of contact details."),
    later("Accounts seen"), later("Which account was first seen when."),
    later("Outcomes"), later("What was decided about a change."),
    later("Breach lists"),
    later("Lists of people whose data were stolen elsewhere, as the processor that was breached notified them."),
    later("Scores of each night"), later("How unusual each open change was. Nothing is decided by a score."),
    later("Flags of each night"), later("A change put before a reviewer, and why in words."),
    later("Flags under review"), later("Where work on each flag stands."),
    later("Decisions"), later("What people decided, and in which role."),
    later("Notes"), later("What reviewers wrote down."),
    later("Files"), later("Kept with a flag."),
    later("Payments held"), later("Kept back until a person decides or the hold ends."),
    later("Who looked"), later("Every reading of a flag and everything done to it."),
    later("Originals"), later("Opened from the vault for this export; the audit log says so."),
    later(
        "Names, national id and birth date are kept as keyed tokens beside these lines; originals are in the vault."
    ),
    later("table %(table)s of the insurer's feed"), later("worked out by PayeeWatch"),
    later("folder breaches/ of the insurer"), later("the reviewers' application"),
    later("As long as the insurer keeps it: PayeeWatch has no clock of its own for what the feed holds."),
    later("%(days)s days after the night; a flag's lines go with the flag."),
    later(
        "unjudged %(qualify)s days; not pertinent: deleted at once; pertinent: %(closed)s days after closing"
    ),
    later("until the list's own purge date, or its folder is taken away"),
    later("as long as the audit log, which names the flag and never the person"),
    later("as long as the lake names the member, the account or the change"),
    later("This person is a victim: their data were taken from somebody else."),
    # what stands before a value
    later("Member id"), later("Household id"), later("Contract id"), later("Role"), later("Birth rank"), later("Sex"),
    later("Joined on"), later("Left on"), later("Died on"), later("Guarantee level"), later("Legal protection"),
    later("Residence"), later("Broker id"), later("Employer id"), later("Birth year"), later("Department"),
    later("Known at"), later("Claim id"), later("Provider id"), later("Cared on"), later("Received at"),
    later("Care family"), later("Channel"), later("Has public record"), later("Billed (EUR)"),
    later("Reimbursed (EUR)"), later("Ceiling left (EUR)"), later("Payee id"), later("Payee type"), later("Account"),
    later("Status"), later("Invoice hash"), later("Payment id"), later("Amount (EUR)"), later("Claim ids"),
    later("Planned on"), later("Value date"), later("Return reason"), later("Change id"), later("Requested at"),
    later("Effective at"), later("Old account"), later("New account"), later("Actor id"), later("Auth strength"),
    later("Name check"), later("Device token"), later("Document hash"), later("Account distance"), later("Derived"),
    later("Holder share"), later("Superseded by"), later("Event id"), later("Occurred at"), later("Kind"),
    later("Ip country"), later("Network"), later("Seen at"), later("Seen on table"), later("Outcome id"),
    later("Decided at"), later("Verdict"), later("Reason code"), later("Source"), later("Night"), later("P value"),
    later("Why not"), later("Flag id"), later("Queue"), later("Amount at risk"), later("Reasons"), later("Reassuring"),
    later("In words"), later("List"), later("Kept until"), later("Flag"), later("Change"), later("First flagged on"),
    later("State"), later("Why"), later("At"), later("Text"), later("Name"), later("Size"), later("Payment"),
    later("Amount"), later("Until"), later("What"), later("Reason"), later("How sure"), later("By"),
    later("Approved by"), later("Note"), later("Of"), later("Original"), later("Decision"),
)  # fmt: skip
"""Texts of the export; a test compares them with `pipeline/privacy/subject_access.py`."""

CODES: Mapping[str, Any] = {
    **labels.CHANNELS, **labels.AUTH_STRENGTHS, **labels.NAME_CHECKS, **labels.PAYEE_TYPES,
    **{kind: words for kind, (_lane, words) in labels.KINDS.items()},
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
    """A text of the export; one that holds several of them is told piece by piece."""
    known = phrases.retold(text, TEXTS)
    if known != text or text in TEXTS:
        return known
    pieces = [each for each in TEXTS if each and text.startswith(f"{each} ")]
    return f"{say(pieces[0])} {word(text[len(pieces[0]) + 1 :])}" if pieces else text


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
        return exposure(held) if "breach_id" in held else value(held["sentence"])
    if isinstance(held, list | tuple):
        return " ".join(str(value(each)) for each in held)
    if not isinstance(held, str):
        return held
    return str(CODES[held]) if held in CODES else phrases.retold(phrases.finding(held))


def exposure(given: Mapping[str, Any]) -> str:
    """That the person is on a list, as something that happened to them."""
    known = say("%(title)s, known since %(day)s; exposed: %(fields)s; %(match)s.") % {
        "title": given["breach_id"],
        "day": phrases.day(given["known_at"]),
        "fields": phrases.fields(given["fields"] or ()),
        "match": phrases.match(given["match_quality"]),
    }
    return f"{say('This person is a victim: their data were taken from somebody else.')} {known}"
