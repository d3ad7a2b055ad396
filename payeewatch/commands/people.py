"""The commands about people's data, `purge` and `person`: they alone use the pipeline's and the reviewers' stores."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, accept_option, command, refuse_inside

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.session import Session

Clocks = dict[str, dict[str, int]]
"""clock -> store -> count."""

NO_TRIAGE = "there is no reviewers' database here: nothing to do in it"
INPUT_STAYS = "inbox/, breaches/ and reference/ are the insurer's own and are not touched; empty what is loaded"


@command("purge", waits=True)
@click.option("--until", type=DAY, required=True, help="The day whose clocks count.")
@click.option("--member", help="Instead: erase this one person, after an objection or a request that was upheld.")
@click.option("--dry-run", is_flag=True, help="Only say what would go, and what is due soon.")
@accept_option
def purge(
    settings: Settings, until: date, member: str | None, dry_run: bool, accepts: tuple[tuple[date, str], ...]
) -> Answer:
    """Delete what its time is over for, in every store; or erase one person. Nothing brings it back.

    Example: payeewatch purge --until 2024-12-31 --dry-run
    """
    from payeewatch.pipeline.home.errors import InputMissing
    from payeewatch.pipeline.home.scrub import exclusive_lock
    from payeewatch.pipeline.opening import opened

    if not (settings.folder("lake") / "loads").is_dir():
        raise InputMissing(f"{settings.folder('lake')}: the lake is empty; there is nothing to purge")
    has_triage = has_triage_database(settings)
    if has_triage:
        from payeewatch.commands.review import start

        start(settings)
    with opened(settings, writing=not dry_run) as session, nullcontext() if dry_run else exclusive_lock(settings):
        session.accepts = _with_soon(dict(accepts), until)
        if member:
            clocks = {"person": erase_person(session, member, until, has_triage, dry_run=dry_run)}
            soon: Clocks = {}
        else:
            if not dry_run:
                _finish_erasure(session, has_triage)
            clocks = _clocks(session, until, has_triage, dry_run=dry_run)
            later = _clocks(session, _soon(until), has_triage, dry_run=True)
            soon = _difference(later, clocks if dry_run else {})
        warnings = [*session.warnings, INPUT_STAYS, *([] if has_triage else [NO_TRIAGE])]
    answer = {
        "until": until,
        "dry_run": dry_run,
        "what": "person" if member else "clocks",
        "purged": clocks,
        f"due_in_{SOON_DAYS}_days": soon,
        "notes": warnings,
    }
    lines = _report_lines(until, dry_run, clocks, soon, warnings)
    _keep_report(settings, until, "\n".join(lines) + "\n", dry_run=dry_run, is_person=bool(member))
    return answer, lines


SOON_DAYS = 30


def _soon(until: date) -> date:
    """The day up to which a purge says what is due next."""
    return until + timedelta(days=SOON_DAYS)


def _with_soon(accepts: dict[date, str], until: date) -> dict[date, str]:
    """What was accepted for the day of a purge counts for what it says of the days after, too."""
    return accepts | {_soon(until): accepts[until]} if until in accepts else accepts


def _clocks(session: Session, until: date, has_triage: bool, *, dry_run: bool) -> Clocks:
    """Apply every clock, the files first, so that deleted flags cannot return to the database from a file."""
    from payeewatch.pipeline.privacy.purge import find_ended_lists
    from payeewatch.pipeline.privacy.purge import purge as purge_files

    expired_flags: set[str] = set()
    kept_flags: set[str] = set()
    if not dry_run:
        _begin_purge(session.settings, has_triage)
    if has_triage:
        from payeewatch.triage.records import erasure

        expired_flags, kept_flags = erasure.flags_over(until)
    clocks = purge_files(session, until, dry_run=dry_run, expired_flags=expired_flags, kept_flags=kept_flags).clocks
    if has_triage:
        _, withdrawn_lists = find_ended_lists(session, until)
        for clock, tables in erasure.purge(until, withdrawn_lists, dry_run=dry_run).items():
            for table, many in tables.items():
                clocks.setdefault(clock, {})[table] = many
    if not dry_run:
        _end_purge(session.settings, has_triage)
    return clocks


def _begin_purge(settings: Settings, has_triage: bool) -> None:
    """Note which nights reviewers have as they were published, before any file of them changes."""
    from payeewatch.pipeline.home import purge_note

    imported: list[date] = []
    if has_triage:
        from payeewatch.triage.exchange import import_night

        imported = import_night.imported(settings)
    purge_note.begin(settings, imported)


def _end_purge(settings: Settings, has_triage: bool) -> None:
    """Mark what the purge rewrote as imported, and delete its note."""
    from payeewatch.pipeline.home import purge_note

    note = purge_note.read_note(settings)
    if has_triage and note:
        from payeewatch.triage.exchange import import_night

        import_night.adopt(settings, set(import_night.unpublished(settings)) & set(note.imported))
    purge_note.end(settings)


def erase_person(session: Session, member: str, until: date, has_triage: bool, *, dry_run: bool) -> dict[str, int]:
    from payeewatch.pipeline.privacy import erase
    from payeewatch.pipeline.privacy.data_subject import find

    if dry_run:
        erasure = erase.Erasure(find(session, member), until)
        counts = erase.erase(session, erasure, dry_run=True)
        return counts | (_erase_in_triage(erasure.person.ids, until, dry_run=True) if has_triage else {})
    _finish_erasure(session, has_triage)
    _begin_purge(session.settings, has_triage)
    erase.begin(session, member, until)
    return _finish_erasure(session, has_triage)


def _finish_erasure(session: Session, has_triage: bool) -> dict[str, int]:
    """Finish the erasure noted in `lake/erasing.json`, in every store, and delete the note."""
    from payeewatch.pipeline.privacy import erase

    erasure = erase.pending(session.settings)
    if not erasure:
        return {}
    _begin_purge(session.settings, has_triage)
    counts = erase.erase(session, erasure, dry_run=False)
    if has_triage:
        counts |= _erase_in_triage(erasure.person.ids, erasure.on, dry_run=False)
    _end_purge(session.settings, has_triage)
    erase.finish(session.settings)
    session.warnings.clear()
    return counts


def _erase_in_triage(ids: Mapping[str, list[str]], on: date, *, dry_run: bool) -> dict[str, int]:
    from payeewatch.triage.records import erasure

    counts: dict[str, int] = erasure.erase(ids, on, dry_run=dry_run)
    return counts


def _difference(later: Clocks, now: Clocks) -> Clocks:
    differences = {
        clock: {store: many - now.get(clock, {}).get(store, 0) for store, many in stores.items()}
        for clock, stores in later.items()
    }
    positive = {
        clock: {store: many for store, many in stores.items() if many > 0} for clock, stores in differences.items()
    }
    return {clock: stores for clock, stores in positive.items() if stores}


def _report_lines(until: date, dry_run: bool, clocks: Clocks, soon: Clocks, notes: list[str]) -> list[str]:
    def rows(counts: Clocks) -> list[str]:
        return [
            f"  {clock:<14} {store:<22} {many:>9,}"
            for clock, stores in sorted(counts.items())
            for store, many in sorted(stores.items())
        ] or ["  nothing"]

    head = f"{'would go' if dry_run else 'gone'} as of {until}, rows or files by clock and store:"
    due = [f"due in the {SOON_DAYS} days after:", *rows(soon)] if soon else []
    return [head, *rows(clocks), *due, *(f"note: {note}" for note in notes)]


def _keep_report(settings: Settings, until: date, text: str, *, dry_run: bool, is_person: bool) -> None:
    """Write the report below reports/, after those of the same day: counts only, never a person."""
    from payeewatch.pipeline.home.files import write_text

    ending = ("-person" if is_person else "") + ("-dry-run" if dry_run else "")
    path = settings.folder("reports") / f"purge-{until}{ending}.txt"
    before = path.read_text(encoding="utf-8") if path.exists() and not dry_run else ""
    write_text(path, before + text)


def has_triage_database(settings: Settings) -> bool:
    return bool(os.environ.get("DATABASE_URL")) or (settings.folder("triage") / "triage.sqlite3").exists()


@command("person")
@click.argument("member")
@click.option("--right", type=click.Choice(["access", "rectification", "objection", "explanation"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write the export into.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True, help="Of the export.")
@click.option("--with-originals", is_flag=True, help="Open this person's originals in the vault, too.")
@click.option("--identity-confirmed", is_flag=True, help="Of an explanation: you made sure that the member asks.")
def person(
    settings: Settings,
    member: str,
    right: str,
    out: Path,
    language: str,
    with_originals: bool,
    identity_confirmed: bool,
) -> Answer:
    """Say all that is held about one person, as JSON and as a page, and record what they asked for.

    An explanation is a letter instead: what was held, who decided by role, and how to contest.

    Example: payeewatch person M0000042 --right access --out exports/request-17
    """
    from payeewatch.commands.review import start
    from payeewatch.pipeline.home.errors import InputMissing
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.privacy import subject_access
    from payeewatch.pipeline.privacy.data_subject import find

    refuse_inside((settings.home, *settings.folders.values()), out, "where nothing would purge it")
    start(settings)
    from payeewatch.triage import clock
    from payeewatch.triage.language import export_labels
    from payeewatch.triage.records import subject_access as reviewing

    with opened(settings, writing=False) as session:
        subject = find(session, member)
        if not subject.is_known:
            raise InputMissing(f"member {member}: nothing is held about this number; check it")
        if right == "explanation":
            return _explain(settings, subject.ids, out, language, is_confirmed=identity_confirmed)
        escalated = reviewing.record(right, subject.ids, originals=with_originals)
        sections: list[dict[str, Any]] = subject_access.stored_sections(session, subject)
    with export_labels.override(language):
        sections += reviewing.stored_sections(subject.ids, originals=with_originals)
        sections.append(subject_access.unlisted_section(settings))
        words = subject_access.ExportLanguage(
            language, export_labels.word, export_labels.value, export_labels.translate_section
        )
        zone, wanted = settings.params.timezone, subject_access.Right(right)
        paths = subject_access.write(out, wanted, subject, clock.today(), zone, sections, words)
    answer: dict[str, Any] = {"files": paths, "sections": {each["title"]: len(each["rows"]) for each in sections}}
    lines = [f"{title:<32} {rows:>7,} entries" for title, rows in answer["sections"].items()]
    if right == "objection":
        lines.append(f"{escalated} open flags put before a senior reviewer")
    return answer | {"escalated": escalated}, [*lines, *(f"written   {path}" for path in paths)]


def _explain(
    settings: Settings, ids: Mapping[str, Collection[str]], out: Path, language: str, *, is_confirmed: bool
) -> Answer:
    """Write the letter that explains the decisions about a person, and record that they asked."""
    from payeewatch.dossier.answers import read_answers
    from payeewatch.dossier.build import asked_for
    from payeewatch.dossier.explanation import Decided, HeldPayments, letter, write_letter
    from payeewatch.triage import clock
    from payeewatch.triage.records import subject_access as reviewing
    from payeewatch.triage.records.explanation import cases

    answers = read_answers(settings, asked_for())
    decided = [Decided(**case | {"held": tuple(HeldPayments(**each) for each in case["held"])}) for case in cases(ids)]
    reviewing.record("explanation", ids, originals=False)
    insurer = settings.params.triage.insurer
    paths = write_letter(letter(decided, clock.today(), insurer, answers, is_confirmed=is_confirmed), out, language)
    answer = {"files": paths, "cases": len(decided), "identity_confirmed": is_confirmed}
    return answer, [f"{len(decided)} changes were put before people", *(f"written   {path}" for path in paths)]
