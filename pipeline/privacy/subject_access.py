"""What is held about one person, in plain language: for access, rectification and objection.

A section says what it holds, where it comes from (and so where it is corrected), and how long it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.by_hand import answer_files
from payeewatch.pipeline.home.files import replace_whole, write_private
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
    "may be told, and others' data must be struck out, such as a name in a note, somebody else's account, or a "
    "relative's care."
)

WORKED_OUT = "worked out by PayeeWatch"
FEED = "As long as the insurer keeps it: PayeeWatch has no clock of its own for what the feed holds."
VERDICTS_KEPT = (
    "Of a fraud: the time of closed cases, from the decision on. Any other: until its change is no longer looked at, "
    "or it would be flagged again."
)
LAKE = (
    (
        "members",
        "Membership",
        "One line a version of the membership. Names, national id and birth date are kept as keyed tokens beside these "
        "lines; originals are in the vault.",
        "the insurer's feed (members)",
        FEED,
    ),
    (
        "claims",
        "Claims",
        "Requests for reimbursement: the family of care, never a diagnosis.",
        "the insurer's feed (claims)",
        FEED,
    ),
    ("payments", "Payments", "Money sent or planned.", "the insurer's feed (payments)", FEED),
    (
        "bank_changes",
        "Announced changes of account",
        "As the insurer's systems sent them.",
        "the insurer's feed (changes of account)",
        FEED,
    ),
    (
        "changes",
        "Changes of account",
        "Announced ones, and those seen on a claim or a payment only.",
        "worked out by PayeeWatch from changes of account, claims and payments of the insurer's feed",
        FEED,
    ),
    (
        "account_events",
        "Events on the web account",
        "Logins and changes of contact details.",
        "the insurer's feed (events on the web account)",
        FEED,
    ),
    (
        "sightings",
        "Accounts seen",
        "Which account was first seen when.",
        "worked out by PayeeWatch from claims, payments and providers of the insurer's feed",
        FEED,
    ),
    (
        "outcomes",
        "Outcomes",
        "What was decided about a change.",
        "the insurer's feed, and verdicts of reviewers in PayeeWatch",
        VERDICTS_KEPT,
    ),
)
"""Lake table, title, what it says, where it comes from, how long it is kept."""
HIDDEN = {
    "person_key", "holder_key", "id_key", "name_keys", "name_tokens", "surname_tokens", "holder_tokens", "key_version",
    "version",
}  # fmt: skip
"""Keyed tokens: they mean nothing to people; the export only says that they exist."""
ACCOUNTS = {"account", "old_account", "new_account"}
"""Columns with a keyed token of an account: shown are its country, its bank and its last characters."""
HINT = ("country", "bank_code", "last_four")
LABELS = {
    "member": "Member", "from": "From", "kept": "Kept", "as_of": "As of", "nothing": "No data are kept here.",
    "colon": ": ",
}  # fmt: skip
VICTIM = "This person is a victim: their data were taken from somebody else."
LISTS = (
    "Breach lists",
    "Lists of people whose data were stolen elsewhere, as the processor that was breached notified them.",
    "the insurer's breach lists; that the person is on one is worked out by PayeeWatch",
    "until the list's own purge date, or until it is withdrawn",
)
SCORES = ("Scores of each night", "How unusual each open change was. Nothing is decided by a score.", WORKED_OUT)
FLAGS = ("Flags of each night", "A change put before a reviewer, and why in words.", WORKED_OUT)
IN_WORDS, LIST, KEPT_UNTIL = "In words", "List", "Kept until"
UNLISTED = (
    "Also kept, and not listed here",
    "What may be kept beside the lines of this page, in general, and how long.",
    "what PayeeWatch keeps",
    "as long as each line says",
)
UNLISTED_ROWS = (
    (
        "Keyed hashes of the person's names, national ids and birth date, of the holder's name of a change, and of the "
        "person's rows on breach lists. Without the insurer's key they mean nothing.",
        "As long as the lines and the lists that they belong to.",
    ),
    (
        "Sealed originals of names, national ids, accounts and holders' names, and where the insurer turned it on, "
        "whether the person was born abroad. They are listed only where they were asked for.",
        "As long as the lines that they belong to.",
    ),
    (
        "Of past changes that a model learned from or compares with: the score, whose change it was (a member's or a "
        "provider's), its age, and numbers about it, under a hash of the change's number: whoever has the number finds "
        "them.",
        "",
    ),
    (
        "The evidence behind a flag: lines of this page as they were on the flag's night, beside those of others who "
        "share an account, a device or an agent. Also the values before each step of a reviewer, the content of "
        "attached files, and locked case files.",
        "As long as the flag.",
    ),
    (
        "The files and the page of each night, such as scores, and holds, releases and verdicts for other systems. "
        "They repeat lines of this page, beside technical numbers: the score before it is compared, its parts, its "
        "place, the model and the run.",
        "As long as the lines of that night.",
    ),
    (
        "Rows of the feed that could not be used, with names, ids and accounts replaced, and their sealed originals.",
        "30 days.",
    ),
    (
        "Of a change that was announced in a row that could not be used: its number and its payee's, in the records of "
        "that night and of what was read.",
        "Without an end.",
    ),
    (
        "Keyed hashes of the numbers of members, changes, payees and flags that were deleted, so that they do not come "
        "back; and in the audit log, that the person used a right. Nobody can read the numbers out of them without "
        "the insurer's key.",
        "Without an end.",
    ),
    (
        "Where the person works with PayeeWatch: the user's account, and in the audit log, what the user did.",
        "As long as the audit log.",
    ),
    (
        "The files of the insurer from which PayeeWatch reads, and backups. They are not PayeeWatch's own.",
        "As long as the insurer keeps them.",
    ),
)
"""What is kept and is not a line of the export, and how long; without a time: as long as models are."""
PUBLISHED_COLUMNS = {
    "scores": ("night", "change_id", "p_value", "why_not"),
    "flags": ("night", "flag_id", "queue", "p_value", "amount_at_risk", "reasons", "reassuring"),
}
"""Folder of published nights -> the columns that the export shows."""
TITLES = {
    "account_distance": "Characters that differ from the old account",
    "amount_at_risk": "Amount at risk (EUR)",
    "auth_strength": "Proof of identity",
    "cents": "Amount (EUR)",
    "decided_by": "Decided by (staff number or pseudonym)",
    "derived": "Announced by nobody",
    "document_hash": "Fingerprint of the document",
    "holder_share": "Share of the holder's names that are names of the household",
    "ip_country": "Country of the connection",
    "network": "Network of the connection",
    "outcome_id": "Number of the outcome",
    "p_value": "Share of past changes at least as unusual (this one counted)",
    "reassuring": "What suggests an honest change",
    "seen_on_table": "First seen",
    "superseded_by": "Taken over by the change",
    "why_not": "Why it is on no list",
}
"""Column -> its words, where its name does not say it; `billed_cents` becomes `Billed (EUR)` by itself."""


def texts() -> Iterator[str]:
    """Every text of the export that needs a translation; the other sections are those of the reviewers' application."""
    yield from (*map(str, Right), *MEANS.values(), BEFORE_SENDING, *LABELS.values(), VICTIM, FEED)
    yield from (*LISTS, *SCORES, *FLAGS, IN_WORDS, LIST, KEPT_UNTIL)
    yield from (text for text in (*UNLISTED, *(text for row in UNLISTED_ROWS for text in row)) if text)
    for table, *about in LAKE:
        yield from (*about, *(words_of(name) for name in exported_columns(table)))
    yield from (words_of(name) for columns in PUBLISHED_COLUMNS.values() for name in columns)


def exported_columns(table: str) -> list[str]:
    """The columns of a lake table that the export shows."""
    columns = DROP_TABLES[table].lake_columns if table in DROP_TABLES else DERIVED_TABLES[table].columns
    return [name for name in columns if name not in HIDDEN]


def stored_sections(session: Session, person: Person) -> list[Section]:
    """Everything in the pipeline's stores except the originals: nothing here opens the vault."""
    settings, con = session.settings, session.con
    retention = settings.params.retention
    sections = []
    for table, title, what, source, kept in LAKE:
        query = f"SELECT * FROM ({session.lake.scan(table)}) WHERE coalesce({delete_conditions(person)[table]}, false)"
        result = con.execute(f"{query} ORDER BY known_at, version")
        names = [column[0] for column in result.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        hints = _hints(session, {row[name] for row in rows for name in ACCOUNTS & row.keys() if row[name]})
        entries = [{words_of(n): _shown(n, v, hints) for n, v in row.items() if n not in HIDDEN} for row in rows]
        sections.append(_section(title, what, source, kept, entries))
    nights = sentence("kept_nights", days=retention.nights_days)
    flags = sentence("kept_flags", qualify=retention.qualify_days, closed=retention.closed_days)
    sections += [
        _exposures(session, person),
        _section(*SCORES, nights, _published(settings, "scores", person)),
        _section(*FLAGS, flags, _published(settings, "flags", person)),
    ]
    return sections


def unlisted_section(settings: Settings) -> Section:
    """What is held and is not listed in the other sections, and how long."""
    models = sentence("kept_models", days=settings.params.retention.models_days)
    rows = [{IN_WORDS: text, KEPT_UNTIL: kept or models} for text, kept in UNLISTED_ROWS]
    return _section(*UNLISTED, rows)


@dataclass(frozen=True)
class ExportLanguage:
    """The language of an export: how to translate a text, a value, and a whole section."""

    code: str
    word: Callable[[str], str]
    value: Callable[[Any], Any]
    section: Callable[[Section], Section]


def write(
    out: Path, right: Right, person: Person, on: date, zone: str, sections: Sequence[Section], language: ExportLanguage
) -> list[Path]:
    """Write the export as JSON and as a page, readable by their owner only. `zone` is the insurer's, of every time."""
    from payeewatch.pipeline.report.report import environment

    content = {
        "member_id": person.member_id, "right": language.word(str(right)), "on": language.value(on),
        "what_it_means": language.word(MEANS[right]), "before_sending": language.word(BEFORE_SENDING),
        "times": language.word(sentence("times_in_zone", zone=zone)),
        "sections": [language.section(section) for section in sections],
    }  # fmt: skip
    labels = {name: language.word(words) for name, words in LABELS.items()}
    page = environment().get_template("person.html.j2").render(**content, language=language.code, label=labels)
    paths = [out / f"{right}.json", out / f"{right}.html"]
    for path, text in zip(
        paths, (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", page), strict=True
    ):
        replace_whole(path, lambda temporary, text=text: write_private(temporary, text))  # type: ignore[misc]
    return paths


def _section(title: str, what: str, source: str, kept_until: str, rows: list[dict[str, Any]]) -> Section:
    return {"title": title, "what": what, "source": source, "kept": kept_until, "rows": rows}


def _exposures(session: Session, person: Person) -> Section:
    rows = session.con.execute(
        "SELECT e.breach_id, min(e.known_at), arg_max(l.list_known_on, l.version),"
        " arg_max(e.match_quality, e.version), arg_max(l.fields, l.version), arg_max(l.title, l.version),"
        f" arg_max(l.purge_on, l.version) FROM ({session.lake.scan('exposures')}) e"
        f" LEFT JOIN ({session.lake.scan('lists')}) l USING (breach_id)"
        f" WHERE {delete_conditions(person)['exposures']} GROUP BY e.breach_id ORDER BY 1"
    ).fetchall()
    day_of = session.settings.params.day_of
    entries = [
        {
            IN_WORDS: {
                "breach_id": breach,
                "known_at": known_on
                or day_of(known_at.replace(tzinfo=UTC)),  # the list's own day, if it is still known
                "fields": fields,
                "match_quality": quality,
            },
            LIST: title,
            KEPT_UNTIL: purge_on,
        }
        for breach, known_at, known_on, quality, fields, title, purge_on in rows
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
        rows += [{words_of(n): row[n] for n in PUBLISHED_COLUMNS[folder]} for row in mine.to_pylist()]
    return rows


def _text_array(values: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())


def words_of(column: str) -> str:
    """`billed_cents` -> `Billed (EUR)`."""
    return TITLES.get(column, column.replace("_", " ").capitalize().replace(" cents", " (EUR)"))


def _hints(session: Session, tokens: Collection[str]) -> dict[str, dict[str, str]]:
    """Token of an account -> its country, its bank and its last characters."""
    query = f"SELECT account, country, bank_code, last_four FROM ({session.lake.scan('accounts')})"
    rows = session.con.execute(f"{query} WHERE list_contains($tokens, account)", {"tokens": sorted(tokens)}).fetchall()
    return {token: dict(zip(HINT, hint, strict=True)) for token, *hint in rows}


def _shown(column: str, value: Any, hints: Mapping[str, Mapping[str, str]]) -> Any:
    """A value of the lake as what it is: euros, an instant of UTC, a hint of an account, ids one by one."""
    if column in ACCOUNTS and value is not None:
        return hints.get(value, dict.fromkeys(HINT, ""))
    if value is not None and column.endswith("cents"):
        return Decimal(value).scaleb(-2)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return value.replace("|", ", ") if column == "claim_ids" and value else value
