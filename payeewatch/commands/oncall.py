"""Commands for the person on call: `status`, `doctor`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payeewatch.command import Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


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
def doctor(settings: Settings) -> Answer:
    """Check the deployment; say what is wrong and how to fix it, and end with the first problem's exit code.

    It only reads, and may run beside a night.

    Example: payeewatch doctor
    """
    from payeewatch.pipeline.oncall.doctor import examine, exit_code

    results = examine(settings)
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
