"""Commands about a night: `night`, `explain`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command, engine_option

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("night", waits=True)
@click.argument("day", type=DAY, required=False)
@click.option("--from", "first", type=DAY, help="The first night of a range.")
@click.option("--to", "last", type=DAY, help="The last night of a range.")
@click.option("--no-news", is_flag=True, help="Run although there is no drop for the night.")
@click.option("--model", help="A version, `champion` or `challenger`; default: the night's own, else the champion.")
@click.option("--allow-hindsight", is_flag=True, help="Accept a model that knows more than the night did.")
@engine_option
def night(
    settings: Settings,
    day: date | None,
    first: date | None,
    last: date | None,
    no_news: bool,
    model: str | None,
    allow_hindsight: bool,
    engine: str,
) -> Answer:
    """Run a night, or each of a range in order: ingest, link, measure, score, flag, publish.

    A later night catches up the nights missed since the last one published.

    Example: payeewatch night 2024-12-31
    """
    if (day is None) == (first is None and last is None) or (first is None) != (last is None):
        raise click.UsageError("name one night, or a range with --from and --to")
    first, last = first or day, last or day
    assert first
    assert last
    if first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    from payeewatch.pipeline.home.runs import nights_to_run
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.session import progress

    with opened(settings) as session, session.lake_cache.reading_ahead():
        from payeewatch.pipeline.night.night import Options, run_nights  # imported while the lake is read

        nights = run_nights(session, first, last, Options(model, no_news, allow_hindsight, engine))
        runs = list(progress(nights, len(nights_to_run(settings, first, last)), "night"))
    return {"nights": [_brief(run) for run in runs]}, _queue_lines(settings, last, runs)


def _brief(run: dict[str, Any]) -> dict[str, Any]:
    return {key: run[key] for key in ("night", "state", "flagged", "scored", "seconds", "model", "warnings", "states")}


def _queue_lines(settings: Settings, night: date, runs: list[dict[str, Any]]) -> list[str]:
    """The last night's queue, ranked, with reasons, and where to look next."""
    import pyarrow.parquet as pq

    flags = pq.read_table(settings.folder("flags") / f"{night}.parquet").to_pylist()
    lines = [
        f"{run['night']}  {run['scored']:,} open changes, {run['flagged']['new']} new flags"
        f" (queue: {run['flagged']['hold']} hold, {run['flagged']['review']} review, {run['flagged']['audit']} audit)"
        for run in runs
    ]
    lines += ["", f"The queue of {night}, to look at from the top:"]
    for flag in flags[:QUEUE_LINES]:
        lines.append(
            f"{flag['rank']:>4}  {flag['queue']:<6}  change {flag['change_id']}  member {flag['member_id'] or '-'}"
            f"  at risk {flag['amount_at_risk']} EUR  1 in {1 / flag['p_value']:,.0f} comparable changes"
        )
        lines += [f"              {reason['sentence']}" for reason in flag["reasons"][:3]]
    if len(flags) > QUEUE_LINES:
        lines.append(f"      ... and {len(flags) - QUEUE_LINES} more")
    report = settings.folder("reports") / f"{night}.html"
    return [
        *lines,
        "",
        f"report    {report}",
        f"flags     {settings.folder('flags') / f'{night}.csv'}",
        f"explain   payeewatch explain {flags[0]['change_id'] if flags else 'CHANGE'} --home {settings.home}",
    ]


QUEUE_LINES = 20


@command("explain")
@click.argument("change")
@click.option("--as-of", type=DAY, help="The night; default: the last one published.")
def explain(settings: Settings, change: str, as_of: date | None) -> Answer:
    """Show every feature of one change with its usual value, and why it is or is not in a queue.

    It only reads, and may run at the same time as a night.

    Example: payeewatch explain D-0123456789abcdef --as-of 2024-12-31
    """
    from payeewatch.pipeline.night.explain import explain as explain_change
    from payeewatch.pipeline.opening import opened

    with opened(settings, writing=False) as session:
        answer = explain_change(session, change, as_of)
    head = {key: value for key, value in answer.items() if key not in {"queue", "features"}} | answer["queue"]
    lines = [f"{key:<15} {value}" for key, value in head.items()]
    lines += ["", f"{'feature':<34} {'value':>16} {'usual':>16} {'adds':>8}"]
    lines += [
        f"{row['feature']:<34} {row['value']:>16} {row['usual']:>16} {row['adds']:>8.2f}  {row['sentence']}"
        for row in sorted(answer["features"], key=lambda row: -row["adds"])
    ]
    return answer, lines
