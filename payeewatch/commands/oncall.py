"""Commands for the person on call: `status`, `doctor`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from payeewatch.command import Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.oncall.doctor import Check


@command("status", any_format=True)
def status(settings: Settings) -> Answer:
    """Show the last night, what is late, failed or warned, the model's age, the lists in force and the sizes.

    It only reads, and may run beside a night.

    Example: payeewatch status --json
    """
    from payeewatch.pipeline.oncall.status import lines
    from payeewatch.pipeline.oncall.status import status as status_of

    state = status_of(settings, settings.now())
    return state.facts(), list(lines(state))


@command("doctor", any_format=True)
@click.option("--full", is_flag=True, help="Also compare every byte of the stores with what was written.")
def doctor(settings: Settings, full: bool) -> Answer:
    """Check the deployment; say what is wrong and how to fix it, and end with the first problem's exit code.

    It only reads, and may run beside a night. A night that runs meanwhile may let --full report a file that is being
    replaced: run it again.

    Example: payeewatch doctor --full
    """
    from payeewatch.pipeline.oncall.doctor import CHECKS, FULL_CHECKS, examine, exit_code

    results = examine(settings, [*CHECKS, *FULL_CHECKS, _audit_check()] if full else CHECKS)
    answer = {
        "ok": exit_code(results) == 0,
        "checks": [
            {"name": each.check.name, "ok": not each.problems, "problems": each.problems, "remedy": each.check.remedy}
            for each in results
        ],
    }
    lines = []
    for each in results:
        lines.append(f"{'ok   ' if not each.problems else 'WRONG'}  {each.check.sentence}")
        lines += [f"         {problem}" for problem in each.problems]
        lines += [f"         remedy: {each.check.remedy}"] if each.problems else []
    return answer, lines, exit_code(results)


def _audit_check() -> Check:
    """The check of the audit log, which the reviewers' application makes."""
    from payeewatch.pipeline.oncall.doctor import Check

    sentence, remedy = "Every record of the audit log is as it was written.", "See docs/access.md, the audit log"
    return Check("audit_log_is_as_written", sentence, remedy, 16, _audit_findings)


def _audit_findings(settings: Settings) -> Iterator[str]:
    from payeewatch.commands.people import has_triage_database
    from payeewatch.commands.review import start

    if has_triage_database(settings):
        start(settings)
        from payeewatch.triage.records.audit import verify

        yield from (f"record {each.number}: {each.what}" for each in verify().findings)
