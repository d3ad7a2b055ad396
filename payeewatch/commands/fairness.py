"""`fairness`: how often the members of each group are flagged, held, and flagged although honest."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.evaluation.fairness.groups import Fairness, Group
    from payeewatch.pipeline.home.settings import Settings


@command("fairness", waits=True)
@click.option("--from", "first", type=DAY, help="The first night. Default: of all published ones.")
@click.option("--to", "last", type=DAY, help="The last night. Default: the last published one.")
@click.option("--model", "which", help="What a version or alias would have queued on these nights, instead.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/fairness or reports/fairness-<version>.")
def fairness(settings: Settings, first: date | None, last: date | None, which: str | None, out: Path | None) -> Answer:
    """Say how often changes are flagged by age, sex, area, bank, protection and household of the member.

    Example: payeewatch fairness --from 2024-09-01 --to 2024-09-30
    """
    from payeewatch.evaluation.compare import replayed
    from payeewatch.evaluation.fairness.groups import Seen, published
    from payeewatch.evaluation.fairness.groups import fairness as rates
    from payeewatch.evaluation.fairness.record import write
    from payeewatch.pipeline.opening import opened

    if first and last and first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    with opened(settings) as session:
        if which:
            model, result = replayed(session, which, first, last)
            changes = frozenset(result.rows["change_id"])
            seen = Seen(result.nights[0], result.nights[-1], len(result.nights), changes, result.flags, model.version)
        else:
            session.lake_cache.register()
            seen = published(session, first, last)
        report = rates(session, seen)
        out = out or settings.folder("reports") / (f"fairness-{seen.version}" if seen.version else "fairness")
        run_id = write(settings, report, out)
    return report.as_dict() | {"run_id": run_id, "out": out}, _lines(report, out)


def _lines(report: Fairness, out: Path) -> list[str]:
    return [
        f"{report.nights} nights, {report.first} to {report.last}: {_line(report.whole)}",
        *(f"  {group.attribute:<11}{group.name:<28}{_line(group)}" for group in report.groups if group.changes),
        f"report    {out / 'fairness.html'}",
    ]


def _line(group: Group) -> str:
    flagged = group.flagged
    marker = "; differs from the others" if group.differs else ""
    return (
        f"{flagged.hits:,} of {group.changes:,} changes flagged, {flagged.share or 0:.1%} "
        f"({flagged.low:.1%} to {flagged.high:.1%}), {group.held.hits:,} to hold{marker}"
    )
