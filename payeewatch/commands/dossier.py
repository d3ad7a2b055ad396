"""The commands of what the insurer shows to others: `dossier`, of the pipeline's and the reviewers' stores."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.dossier.reading import Reading
    from payeewatch.pipeline.home.settings import Settings


@command("dossier")
@click.option("--as-of", type=DAY, required=True, help="The day: nothing later is in the dossier.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write into. [default: reports/dossier-DAY]")
@click.option("--check", is_flag=True, help="Write nothing: say which statements of the folder do not hold any more.")
def dossier(settings: Settings, as_of: date, out: Path | None, check: bool) -> Answer:
    """Write the dossier as of a day: pages and PDFs in English and French, and the public page of criteria.

    Every statement names what bears it out. Rows that only the insurer knows are filled in by dossier-answers.yaml.

    Example: payeewatch dossier --as-of 2024-12-31
    """
    from payeewatch.dossier.build import build
    from payeewatch.dossier.files import stale, write

    home = _reading(settings, as_of)
    folder = out or settings.folder("reports") / f"dossier-{as_of}"
    content = build(home)
    if check:
        return _checked(folder, [*stale(folder, content)])
    paths = write(home, content, folder)
    findings = [each.text["en"] for each in content.findings]
    answer = {
        "as_of": as_of,
        "files": paths,
        "statements": sum(1 for _ in content.statements),
        "open": [each.key for each in content.gaps],
        "questions": len(content.questions),
        "answered": sum(each.is_answered for each in content.questions),
        "findings": findings,
    }
    lines = [
        f"dossier   as of {as_of}: {answer['statements']} statements, {len(content.gaps)} rows to fill in",
        f"questions {answer['answered']} of {answer['questions']} are fully answered",
        *(f"{'WRONG' if each.is_bad else 'note'}     {each.text['en']}" for each in content.findings),
        *(f"written   {path}" for path in paths),
    ]
    return answer, lines, _exit_code(home)


def _reading(settings: Settings, as_of: date) -> Reading:
    """What the home says; the reviewers' database is read where there is one."""
    from payeewatch.commands.people import has_triage_database
    from payeewatch.commands.review import start
    from payeewatch.dossier.facts.work import review
    from payeewatch.dossier.reading import Reading
    from payeewatch.pipeline.home.errors import InputMissing

    if not (settings.folder("lake") / "loads").is_dir():
        raise InputMissing(f"{settings.folder('lake')}: the lake is empty; there is nothing to write a dossier of")
    if not has_triage_database(settings):
        return Reading(settings, as_of)
    start(settings)
    return Reading(settings, as_of, review(Reading(settings, as_of)))


def _exit_code(home: Reading) -> int:
    """Not 0 where the audit log is broken: what is counted from it cannot be relied on."""
    from payeewatch.pipeline.home.errors import AuditBroken

    return AuditBroken.exit_code if home.review and home.review.findings else 0


def _checked(folder: Path, keys: list[str]) -> Answer:
    from payeewatch.pipeline.home.errors import InputRefused

    answer: dict[str, Any] = {"folder": folder, "stale": keys}
    if not keys:
        return answer, [f"dossier   {folder}: made again, no statement would change"]
    lines = [f"STALE     {key}" for key in keys]
    return answer, [*lines, f"dossier   {folder}: make it again"], InputRefused.exit_code
