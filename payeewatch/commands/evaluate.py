"""Commands that say how good it would have been: `backtest`, `evaluate`, `simulate`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command, refuse_inside

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("backtest")
@click.option("--from", "first", type=DAY, required=True, help="The first night to replay.")
@click.option("--to", "last", type=DAY, required=True, help="The last night to replay.")
@click.option("--retrain-days", type=click.IntRange(1), default=30, show_default=True, help="Train again so often.")
@click.option("--learn", is_flag=True, help="Between trainings, learn from verdicts as payeewatch learn would.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/backtest-<from>-<to>.")
def backtest(settings: Settings, first: date, last: date, retrain_days: int, learn: bool, out: Path | None) -> Answer:
    """Replay nights with what was known then and the models that would have been in force; publish nothing.

    Example: payeewatch backtest --from 2024-06-01 --to 2024-09-28
    """
    if first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    if out:
        instead = "or be left out: then the files are in reports/, where an erasure looks"
        refuse_inside((settings.home, *settings.folders.values()), out, instead)
    from payeewatch.evaluation.backtest import compare_with_verdicts, verdicts_of, write
    from payeewatch.evaluation.replay import replay
    from payeewatch.pipeline.loading import load_until
    from payeewatch.pipeline.opening import opened

    with opened(settings) as session:
        load_until(session, last)
        result = replay(session, first, last, retrain_days, judge=verdicts_of(session) if learn else None)
        summary = compare_with_verdicts(session, result)
    out = out or settings.folder("reports") / f"backtest-{first}-{last}"
    write(result, summary, out)
    return summary.as_dict() | {"out": out}, [
        f"{summary.nights} nights, {summary.scored:,} scores, {summary.flagged:,} changes queued for hold or review",
        f"{summary.known_cases_flagged} of {summary.known_cases} cases known by now were queued before anybody knew",
        f"written to {out}",
    ]


@command("evaluate")
@click.option("--truth", type=click.Path(path_type=Path), help="What a synthetic insurer's simulation wrote apart.")
@click.option("--from", "first", type=DAY, help="With --truth: the first night.")
@click.option("--to", "last", type=DAY, help="With --truth: the last night.")
@click.option("--tiers", help="Instead: insurers to make, such as standard,clean.")
@click.option("--seeds", default="1,2,3", show_default=True, help="With --tiers: one insurer a seed.")
@click.option("--members", type=click.IntRange(100), default=5_000, show_default=True, help="With --tiers.")
@click.option("--days", type=click.IntRange(200), default=500, show_default=True, help="With --tiers: of history.")
@click.option("--nights", type=click.IntRange(1), default=60, show_default=True, help="With --tiers: to replay.")
@click.option("--cases-factor", type=click.FloatRange(0), default=1.0, help="With --tiers: times the rate of fraud.")
@click.option("--work", type=click.Path(path_type=Path), help="With --tiers: where the insurers are made and kept.")
@click.option("--retrain-days", type=click.IntRange(1), default=30, show_default=True, help="Train again so often.")
@click.option("--learn", is_flag=True, help="Decide what is queued rightly, and learn from it between trainings.")
@click.option(
    "--detector", multiple=True, help="With --truth or --tiers: a detector of PyOD beside ours, such as COPOD."
)
@click.option("--review-euros", type=click.FloatRange(0), default=15.0, show_default=True, help="What a review costs.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/evaluation.")
def evaluate(settings: Settings, out: Path | None, **options: Any) -> Answer:
    """Say how good the nights are: by verdicts and the audit sample, or against a truth, beside controls.

    Without --truth or --tiers: what the insurer's own verdicts on published nights can say.

    Example: payeewatch evaluate --tiers standard,clean --seeds 1,2,3 --work worlds
    """
    from payeewatch.evaluation.command import evaluate as run_evaluation

    if options["truth"] and not (options["first"] and options["last"]):
        raise click.UsageError("--truth needs the nights to replay: give --from and --to")
    if options["tiers"] and not options["work"]:
        raise click.UsageError("--tiers needs a folder for the insurers: give --work")
    if options["tiers"] and options["truth"]:
        raise click.UsageError("give --truth or --tiers, not both")
    if options["detector"] and not (options["truth"] or options["tiers"]):
        raise click.UsageError("--detector is compared where the truth is known: give --truth or --tiers, too")
    return run_evaluation(settings, out or settings.folder("reports") / "evaluation", **options)


@command("simulate")
@click.option("--truth", type=click.Path(path_type=Path), required=True, help="Where the truth goes, apart.")
@click.option("--tier", default="demo", show_default=True, help="How hard the world is: see the simulator's page.")
@click.option("--members", type=click.IntRange(1), help="How many are insured. Default: the tier's own number.")
@click.option("--days", type=click.IntRange(1), help="Of history in the first drop. Default: the tier's own number.")
@click.option("--until", type=DAY, default="2024-09-29", show_default=True, help="The day of the last drop.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
def simulate(
    settings: Settings, truth: Path, tier: str, members: int | None, days: int | None, until: date, seed: int
) -> Answer:
    """Make a synthetic insurer: inbox, breach lists and reference tables below the home. No person in it exists.

    Example: payeewatch simulate --home demo --truth truth
    """
    from payeewatch.simulator import simulate as run_simulation
    from payeewatch.simulator.tiers import TIERS

    if tier not in TIERS:
        raise click.UsageError(f"--tier {tier}: there is no such tier; there are {', '.join(TIERS)}")
    counts = run_simulation(settings.home, members=members, days=days, end=until, seed=seed, truth=truth, tier=tier)
    return counts, [f"{settings.home}: " + ", ".join(f"{many:,} {name}" for name, many in counts.items())]
