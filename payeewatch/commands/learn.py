"""The command `learn`: what the champion learns from verdicts, between trainings.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.training.learn import Update


@command("learn", waits=True)
@click.option("--as-of", type=DAY, help="The day whose verdicts count; default: the last published night.")
@click.option(
    "--undo", is_flag=True, help="Take back the newest update; verdicts that only it had learned count no more."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be moved; write nothing.")
def learn(settings: Settings, as_of: date | None, undo: bool, dry_run: bool) -> Answer:
    """Correct the champion by the verdicts known on a day, within fixed bounds; it counts from the next night.

    Example: payeewatch learn --as-of 2024-12-31
    """
    from payeewatch.pipeline.detector import board
    from payeewatch.pipeline.home.runs import last_published
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.training import learn as learning

    if undo and as_of:
        raise click.UsageError("--undo takes back the newest update, whatever its day; leave --as-of out")
    with opened(settings) as session:
        if undo:
            taken_back, now = learning.undo(session, dry_run=dry_run)
            board.write(settings)
            would = "would take" if dry_run else "took"
            line = f"{would} back version {taken_back}; nights use version {now}"
            return {"taken_back": taken_back, "in_force": now}, [line]
        update = learning.learn(session, as_of or last_published(settings) or settings.today(), dry_run=dry_run)
        if update.learned:
            board.write(settings)
    return _facts(update), _lines(update)


def _facts(update: Update) -> dict[str, Any]:
    facts = {"champion": update.champion, "as_of": update.as_of, "left_out": update.n_left_out}
    if not update.learned:
        return facts | {"version": None, "verdicts": 0}
    learned = update.learned
    return facts | {
        "version": update.version,
        **learned.counts,
        "multipliers": learned.multipliers,
        "offsets": learned.offsets,
        "at_bound": list(learned.at_bound),
        "loss": {"before": learned.loss_before, "after": learned.loss_after},
    }


def _lines(update: Update) -> list[str]:
    left_out = (
        [f"  {update.n_left_out:,} verdicts of updates that were taken back do not count"] if update.n_left_out else []
    )
    if not update.learned:
        return [f"no new verdict was known on {update.as_of}; nothing is changed", *left_out]
    learned = update.learned
    does = f"version {update.version} corrects" if update.version else "an update would correct"
    moved = sorted(learned.multipliers.items(), key=lambda each: (-abs(each[1] - 1), each[0]))
    return [
        f"{does} the champion, version {update.champion}, by {learned.counts['verdicts']:,} verdicts "
        f"({learned.counts['frauds']:,} frauds) known on {update.as_of}; it counts from the next night",
        *(f"  {name}: {by:.2f} times" for name, by in moved if round(by, 2) != 1),
        *(f"  {name}: {by:+.2f}" for name, by in learned.offsets.items() if round(by, 2)),
        f"  mean loss on verdicts not learned from: {learned.loss_before:.3f} before, {learned.loss_after:.3f} after",
        *(["  so what they taught does not hold for other changes: nothing is moved"] if not learned.holds else []),
        *(
            f"  note: {name} stops at the bound, verdicts ask for more; to go on, train and promote, or change learn.*"
            for name in learned.at_bound
        ),
        *left_out,
    ]
