"""Commands about a night: `night`, `explain`, `evidence`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, accept_option, command, engine_option

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.session import Session


@command("night", waits=True)
@click.argument("day", type=DAY, required=False)
@click.option("--from", "first", type=DAY, help="The first night of a range.")
@click.option("--to", "last", type=DAY, help="The last night of a range.")
@click.option("--no-news", is_flag=True, help="Run although there is no drop for the night that you name.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; write nothing.")
@click.option("--redo", is_flag=True, help="Read the last night's drop as it is now; only while nobody worked on it.")
@click.option("--future", is_flag=True, help="Accept a night after today.")
@click.option("--model", help="A version, `champion` or `challenger`; default: the night's own, else as it learned.")
@click.option("--allow-hindsight", is_flag=True, help="Accept a model that knows more than the night did.")
@accept_option
@engine_option
def night(
    settings: Settings,
    day: date | None,
    first: date | None,
    last: date | None,
    no_news: bool,
    dry_run: bool,
    redo: bool,
    future: bool,
    model: str | None,
    allow_hindsight: bool,
    accepts: tuple[tuple[date, str], ...],
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
    if last > settings.today() and not future:
        raise click.UsageError(
            f"night {last} is after today, {settings.today()}: it would hide every drop until then; write an earlier "
            "day, or add --future"
        )
    if redo and first != last:
        raise click.UsageError("--redo is for one night, the last one published")
    work = _work_since(settings, first) if redo else None
    from payeewatch.pipeline.home.errors import with_facts
    from payeewatch.pipeline.home.runs import nights_to_run
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.session import progress

    if dry_run:
        with opened(settings, writing=False) as session:
            _require_redo(session, first, work, redo)
            return _plan(session, first, last, no_news, redo, model)
    runs: list[dict[str, Any]] = []
    with opened(settings) as session, session.lake_cache.reading_ahead():
        from payeewatch.pipeline.night.night import Options, run_nights  # imported while the lake is read

        session.accepts = dict(accepts)
        _require_redo(session, first, work, redo)
        options = Options(model, no_news, allow_hindsight, engine)
        try:
            for run in progress(
                run_nights(session, first, last, options), len(nights_to_run(settings, first, last)), "night"
            ):
                runs.append(run)
        except BaseException as error:
            with_facts(error, nights=[_brief(run) for run in runs])
            raise
    return {"nights": [_brief(run) for run in runs]}, _queue_lines(settings, last, runs)


def _work_since(settings: Settings, night: date) -> str | None:
    """What reviewers did about a night's flags, as their database says it; None if nothing, or there is none."""
    from payeewatch.commands.people import has_triage_database

    if not has_triage_database(settings):
        return None
    from payeewatch.commands.review import start

    start(settings)
    from payeewatch.triage.exchange.import_night import steps_since

    many = steps_since(night)
    return f"{many} steps on its flags" if many else None


def _require_redo(session: Session, night: date, work: str | None, redo: bool) -> None:
    from payeewatch.pipeline.night.plan import begin_redo, why_not_redo

    if not redo:
        return
    why_not = why_not_redo(session, night) or (
        f"reviewers have worked on night {night} ({work}): what changed counts from the next night" if work else None
    )
    if why_not:
        raise click.UsageError(f"--redo is not possible: {why_not}")
    begin_redo(session, night)


def _plan(session: Session, first: date, last: date, no_news: bool, redo: bool, model: str | None) -> Answer:
    """What would be done, and exit code 11 where a drop is missing."""
    from dataclasses import asdict

    from payeewatch.pipeline.home.errors import InputMissing
    from payeewatch.pipeline.night.plan import MISSING, planned_nights

    nights = planned_nights(session, first, last, no_news=no_news, model=model)
    lines = []
    for each in nights:
        drops = ", ".join(f"{day} ({mode})" for day, mode in each.drops.items()) or "nothing new"
        rows = "?" if each.rows is None else f"{each.rows:,}"
        minutes = "?" if each.seconds is None else f"{each.seconds / 60:.1f}"
        lines.append(
            f"{each.night}  {'again' if each.is_again else 'new'}, its drop: {each.own_drop}, reads: {drops}, "
            f"model version {each.model}, about {rows} rows and {minutes} minutes"
        )
        if each.own_drop == MISSING:
            lines.append(f"            it would stop here: no drop for night {each.night}")
            break
    is_missing = any(each.own_drop == MISSING for each in nights)
    answer = {"dry_run": True, "redo": redo, "nights": [asdict(each) for each in nights]}
    return answer, lines, InputMissing.exit_code if is_missing else 0


def _brief(run: dict[str, Any]) -> dict[str, Any]:
    return {key: run[key] for key in ("night", "state", "flagged", "scored", "seconds", "model", "warnings", "states")}


def _queue_lines(settings: Settings, night: date, runs: list[dict[str, Any]]) -> list[str]:
    """The last night's queue, ranked, with reasons, and where to look next."""
    import pyarrow.parquet as pq

    from payeewatch.pipeline.home.wording import one_in

    flags = pq.read_table(settings.folder("flags") / f"{night}.parquet").to_pylist()
    lines = [
        f"{run['night']}  open changes: {run['scored']:,}; new flags: {run['flagged']['new']}; "
        f"queue: {run['flagged']['hold']} hold, {run['flagged']['review']} review, {run['flagged']['audit']} audit"
        for run in runs
    ]
    lines += ["", f"The queue of {night}, to look at from the top:"]
    for flag in flags[:QUEUE_LINES]:
        lines.append(
            f"{flag['rank']:>4}  {flag['queue']:<6}  change {flag['change_id']}  member {flag['member_id'] or '-'}"
            f"  at risk {flag['amount_at_risk']} EUR  rarity {one_in(flag['p_value'])}"
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
    lines = [f"{key:<15} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in head.items()]
    lines += ["", f"{'feature':<34} {'value':>16} {'usual':>16} {'adds':>8}"]
    lines += [
        f"{row['feature']:<34} {row['value']:>16} {row['usual']:>16} {row['adds']:>8.2f}  {row['sentence']}"
        for row in sorted(answer["features"], key=lambda row: -row["adds"])
    ]
    return answer, lines


@command("evidence", waits=True)
@click.argument("change", required=False)
@click.option("--on", type=DAY, help="The published night as which it is frozen; default: the last one.")
def evidence(settings: Settings, change: str | None, on: date | None) -> Answer:
    """Freeze the evidence of one change for a case opened by hand; without CHANGE, of every request that waits.

    It is written to evidence/by-hand/, and no published night changes.

    Example: payeewatch evidence D-0123456789abcdef
    """
    from payeewatch.pipeline.home.by_hand import request_files
    from payeewatch.pipeline.home.errors import InputMissing
    from payeewatch.pipeline.opening import opened

    if not change and not request_files(settings):
        return {"answered": []}, ["no request waits"]
    with opened(settings) as session, session.lake_cache.reading_ahead():
        from payeewatch.pipeline.night.by_hand import answer, waiting_changes  # imported while the lake is read

        results = answer(session, [change] if change else waiting_changes(session), on)
    if change and results[0].refusal:
        raise InputMissing(
            f"change {change!r} was not known on the night, or cannot be measured on it; see docs/outputs.md for how "
            "changes are named"
        )
    answered = [
        {"change_id": each.change_id, "flag_id": each.flag_id or None, "file": each.path, "refusal": each.refusal}
        for each in results
    ]
    lines = [f"{each.change_id}  {each.path or f'refused: {each.refusal}'}" for each in results]
    return {"answered": answered}, lines or ["no request waits"]
