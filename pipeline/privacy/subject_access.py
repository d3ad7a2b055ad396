"""What is held about one person, in plain language: for access, rectification and objection.

A section says what it holds, where it comes from (and so where it is corrected), and how long it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.by_hand import answer_files
from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.home.runs import published_files
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.wording import sentence
from payeewatch.pipeline.privacy.data_subject import Person, delete_conditions
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import DERIVED_TABLES, DROP_TABLES

Section = dict[str, Any]
"""title, what, source, kept, rows (each a mapping of words to values)."""


class Right(StrEnum):
    """What a person may ask for."""

    ACCESS = "access"
    RECTIFICATION = "rectification"
    OBJECTION = "objection"


MEANS = {
    Right.ACCESS: "What PayeeWatch holds about this person, where it comes from, and how long it is kept.",
    Right.RECTIFICATION: "PayeeWatch corrects nothing by itself: every fact comes from the source named beside it. "
    "Correct it there; the next drop brings the correction, and earlier versions show what was believed before.",
    Right.OBJECTION: "The objection is recorded, and the person's open flags are put before a senior reviewer, who "
    "decides about a suppression. Payments on hold stay so until a person releases them or the hold expires. New drops "
    "go on being read and scored until the insurer has weighed the objection; if it is upheld, "
    "`payeewatch purge --member` erases the person and keeps them out.",
}
BEFORE_SENDING = (
    "Read this before it leaves: while a case is open, the data protection officer decides what of notes and decisions "
    "may be told, and others' data in a note must be struck out."
)

LAKE = (
    (
        "members",
        "Membership",
        "One line a version of the membership. Names, national id and birth date are kept as keyed tokens beside these "
        "lines; originals are in the vault.",
        "member_id",
    ),
    ("claims", "Claims", "Requests for reimbursement: the family of care, never a diagnosis.", "claim_id"),
    ("payments", "Payments", "Money sent or planned.", "payment_id"),
    ("bank_changes", "Announced changes of account", "As the insurer's systems sent them.", "change_id"),
    ("changes", "Changes of account", "Announced ones, and those seen on a claim or a payment only.", "change_id"),
    ("account_events", "Events on the web account", "Logins and changes of contact details.", "event_id"),
    ("sightings", "Accounts seen", "Which account was first seen when.", "account"),
    ("outcomes", "Outcomes", "What was decided about a change.", "outcome_id"),
)
HIDDEN = {
    "person_key", "holder_key", "id_key", "name_keys", "name_tokens", "surname_tokens", "holder_tokens", "key_version",
    "version",
}  # fmt: skip
"""Keyed tokens: they mean nothing to people; the export only says that they exist."""
LABELS = {"member": "Member", "from": "From", "kept": "Kept", "as_of": "As of", "nothing": "Nothing is held."}
VICTIM = "This person is a victim: their data were taken from somebody else."
FEED = "As long as the insurer keeps it: PayeeWatch has no clock of its own for what the feed holds."
WORKED_OUT = "worked out by PayeeWatch"
LISTS = (
    "Breach lists",
    "Lists of people whose data were stolen elsewhere, as the processor that was breached notified them.",
    "folder breaches/ of the insurer",
    "until the list's own purge date, or its folder is taken away",
)
SCORES = ("Scores of each night", "How unusual each open change was. Nothing is decided by a score.", WORKED_OUT)
FLAGS = ("Flags of each night", "A change put before a reviewer, and why in words.", WORKED_OUT)
IN_WORDS, LIST, KEPT_UNTIL = "In words", "List", "Kept until"
PUBLISHED_COLUMNS = {
    "scores": ("night", "change_id", "p_value", "why_not"),
    "flags": ("night", "flag_id", "queue", "amount_at_risk", "reasons", "reassuring"),
}
"""Folder of published nights -> the columns that the export shows."""


def texts() -> Iterator[str]:
    """Every text of the export that needs a translation; the other sections are those of the reviewers' application."""
    yield from (*map(str, Right), *MEANS.values(), BEFORE_SENDING, *LABELS.values(), VICTIM, FEED)
    yield from (*LISTS, *SCORES, *FLAGS, IN_WORDS, LIST, KEPT_UNTIL)
    for table, title, what, _ in LAKE:
        columns = DROP_TABLES[table].lake_columns if table in DROP_TABLES else DERIVED_TABLES[table][1]
        yield from (title, what, *(_words(name) for name in columns if name not in HIDDEN))
    yield from (_words(name) for columns in PUBLISHED_COLUMNS.values() for name in columns)


def stored_sections(session: Session, person: Person) -> list[Section]:
    """Everything in the pipeline's stores except the originals: nothing here opens the vault."""
    settings, con = session.settings, session.con
    retention = settings.params.retention
    sections = []
    for table, title, what, _ in LAKE:
        query = f"SELECT * FROM ({session.lake.scan(table)}) WHERE coalesce({delete_conditions(person)[table]}, false)"
        result = con.execute(f"{query} ORDER BY known_at, version")
        names = [column[0] for column in result.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        entries = [
            {_words(n): _in_euros(n, v) for n, v in row.items() if n not in HIDDEN and v is not None} for row in rows
        ]
        sections.append(_section(title, what, sentence("from_feed", table=table), FEED, entries))
    nights = sentence("kept_nights", days=retention.nights_days)
    flags = sentence("kept_flags", qualify=retention.qualify_days, closed=retention.closed_days)
    sections += [
        _exposures(session, person),
        _section(*SCORES, nights, _published(settings, "scores", person)),
        _section(*FLAGS, flags, _published(settings, "flags", person)),
    ]
    return sections


@dataclass(frozen=True)
class ExportLanguage:
    """The language of an export: how to translate a text, a value, and a whole section."""

    code: str
    word: Callable[[str], str]
    value: Callable[[Any], Any]
    section: Callable[[Section], Section]


def write(
    out: Path,
    right: Right,
    person: Person,
    on: date,
    sections: Sequence[Section],
    language: ExportLanguage | None = None,
) -> list[Path]:
    """Write the export as JSON and as a page, readable by their owner only; in English, or in another language."""
    from payeewatch.pipeline.report.report import environment

    language = language or ENGLISH
    content = {
        "member_id": person.member_id, "right": language.word(str(right)), "on": language.value(on),
        "what_it_means": language.word(MEANS[right]), "before_sending": language.word(BEFORE_SENDING),
        "sections": [language.section(section) for section in sections],
    }  # fmt: skip
    labels = {name: language.word(words) for name, words in LABELS.items()}
    page = environment().get_template("person.html.j2").render(**content, language=language.code, label=labels)
    paths = [out / f"{right}.json", out / f"{right}.html"]
    for path, text in zip(
        paths, (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", page), strict=True
    ):
        replace_whole(path, lambda temporary, text=text: _write_private(temporary, text))  # type: ignore[misc]
    return paths


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _section(title: str, what: str, source: str, kept_until: str, rows: list[dict[str, Any]]) -> Section:
    return {"title": title, "what": what, "source": source, "kept": kept_until, "rows": rows}


def _exposures(session: Session, person: Person) -> Section:
    rows = session.con.execute(
        f"SELECT e.breach_id, min(e.known_at), arg_max(e.match_quality, e.version), arg_max(l.fields, l.version),"
        f" arg_max(l.title, l.version), max(l.purge_on) FROM ({session.lake.scan('exposures')}) e"
        f" LEFT JOIN ({session.lake.scan('lists')}) l USING (breach_id)"
        f" WHERE {delete_conditions(person)['exposures']} GROUP BY e.breach_id ORDER BY 1"
    ).fetchall()
    entries = [
        {
            IN_WORDS: {"breach_id": breach, "known_at": known_at, "fields": fields, "match_quality": quality},
            LIST: title,
            KEPT_UNTIL: purge_on,
        }
        for breach, known_at, quality, fields, title, purge_on in rows
        if quality
    ]
    return _section(*LISTS, entries)


def _published(settings: Settings, folder: str, person: Person) -> list[dict[str, Any]]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    cases = answer_files(settings) if folder == "flags" else []
    in_shadow = sorted(settings.folder("shadow").glob("*/*.parquet")) if folder == "scores" else []
    for path in (*published_files(settings, folder).values(), *cases, *in_shadow):
        table = pq.read_table(path)
        mine = table.filter(
            pc.or_kleene(
                pc.is_in(table["change_id"], _text_array(person.ids["change"])),
                pc.fill_null(pc.equal(table["member_id"], person.member_id), False),
            )
        )
        rows += [{_words(n): row[n] for n in PUBLISHED_COLUMNS[folder] if row[n]} for row in mine.to_pylist()]
    return rows


def _text_array(values: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _words(name: str) -> str:
    """`billed_cents` -> `Billed (EUR)`."""
    return "Amount (EUR)" if name == "cents" else name.replace("_", " ").capitalize().replace(" cents", " (EUR)")


def _in_euros(name: str, value: Any) -> Any:
    return Decimal(value).scaleb(-2) if name.endswith("cents") else value


def _english_value(value: Any) -> Any:
    """A value in English words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return wording.instant(value)
    if isinstance(value, Mapping):
        return f"{VICTIM} {wording.exposure(value)}" if "breach_id" in value else str(value["sentence"])
    if isinstance(value, list | tuple):
        return " ".join(str(_english_value(each)) for each in value)
    return value


def _english_section(section: Section) -> Section:
    return section | {"rows": [{name: _english_value(value) for name, value in row.items()} for row in section["rows"]]}


ENGLISH = ExportLanguage("en", str, _english_value, _english_section)
