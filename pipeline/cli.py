"""The `payeewatch` command. Stages are imported when their command runs, so that --help answers at once."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import pipeline.forgetting  # noqa: F401 - commands register themselves
import triage.cli  # noqa: F401
from pipeline.command import DAY, Answer, command, main

if TYPE_CHECKING:
    from pipeline.settings import Settings


@command("init")
def init(settings: Settings) -> Answer:
    """Make the folders and, once, the key file.

    Example: payeewatch init --home /srv/payeewatch
    """
    from pipeline.errors import StoreError
    from pipeline.settings import FOLDERS
    from pipeline.tokens import Keys

    for name in FOLDERS:
        try:
            settings.folder(name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{settings.folder(name)}: cannot be made ({error.strerror})") from error
    made = not settings.key_file.exists()
    keys = Keys.create(settings.key_file) if made else Keys.load(settings.key_file)
    keys.check(settings.folder("lake"))
    return {"home": settings.home, "key_file": settings.key_file, "key_file_made": made}, [
        f"home      {settings.home}",
        f"key file  {settings.key_file} ({'made: keep a copy in a safe place' if made else 'kept'})",
        "next      put drops into inbox/ and lists into breaches/, then: payeewatch check",
    ]


@command("check")
@click.option("--day", type=DAY, help="Only the drop of this day.")
def check(settings: Settings, day: date | None) -> Answer:
    """Read and validate drops, verdicts, reference tables and breach lists; write nothing but the answer.

    Example: payeewatch check --day 2024-12-31
    """
    from pipeline.errors import InputMissing, InputRefused
    from pipeline.ingest import check as check_drops
    from pipeline.lists import check_lists
    from pipeline.reference import check_reference
    from pipeline.session import opened

    with opened(settings, writing=False) as session:
        drops = check_drops(session, day)
        if day and not drops:
            raise InputMissing(f"{settings.folder('inbox') / str(day)}: there is no drop of {day}")
        found = drops + check_reference(session) + check_lists(session)
    refused = [each for each in found if each.get("refused")]
    lines = [_checked(each) for each in found] or ["nothing to check: inbox/ and breaches/ are empty"]
    if refused:
        raise InputRefused("\n".join([f"{len(refused)} of {len(found)} refused", *lines]))
    return {"checked": found}, lines


def _checked(found: dict[str, Any]) -> str:
    name = found.get("source") or f"breaches/{found['breach_id']}"
    if found.get("refused"):
        return f"{name}  REFUSED  {found['refused']}"
    tables = found.get("tables", {})
    read = sum(table["rows_read"] for table in tables.values()) if tables else found.get("people", 0)
    rejected = sum(table["rows_rejected"] for table in tables.values()) if tables else found.get("rejected", 0)
    return f"{name}  {read:,} rows, {rejected:,} to be rejected"


@command("ingest")
@click.option("--until", type=DAY, required=True, help="The last day to load.")
def ingest(settings: Settings, until: date) -> Answer:
    """Load every drop up to a day that is not in the lake yet, and the breach lists known by then.

    Example: payeewatch ingest --until 2024-12-31
    """
    from pipeline.loading import ingest_until
    from pipeline.session import opened

    with opened(settings) as session:
        loads = ingest_until(session, until)
    return {"loads": [{"kind": load.kind, "source": load.source, "mode": load.mode} for load in loads]}, [
        f"{load.kind:<9} {load.source}  {load.mode}" for load in loads
    ] or ["nothing new"]


@command("link")
def link(settings: Settings) -> Answer:
    """Find who is on which breach list, and which changes nobody announced, over all that is loaded.

    Example: payeewatch link
    """
    from pipeline.loading import link_and_derive
    from pipeline.session import opened

    with opened(settings) as session:
        loads = link_and_derive(session)
    return {load.kind: load.facts for load in loads}, [f"{load.kind:<9} {load.facts}" for load in loads] or [
        "nothing new"
    ]


@command("measure")
@click.option("--as-of", type=DAY, required=True, help="The day whose knowledge counts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Parquet file to write.")
def measure(settings: Settings, as_of: date, out: Path) -> Answer:
    """Measure every past change at several ages, as known by a day, for training.

    Example: payeewatch measure --as-of 2024-12-31 --out measured.parquet
    """
    from pipeline.session import opened
    from pipeline.training import measured_past, save_frame

    with opened(settings) as session:
        frame = measured_past(session, as_of)
        save_frame(frame, out)
    changes = int(frame["change_id"].nunique())
    return {"rows": len(frame), "changes": changes}, [f"{len(frame):,} rows of {changes:,} changes in {out}"]


@command("train")
@click.option("--as-of", type=DAY, required=True, help="The day whose knowledge counts.")
@click.option("--promote", is_flag=True, help="Make it the champion, which nights use.")
@click.option("--measured", type=click.Path(path_type=Path), help="A frame from `payeewatch measure`.")
@click.option("--save", type=click.Path(path_type=Path), help="A folder to keep the model and its metrics in, too.")
def train(settings: Settings, as_of: date, promote: bool, measured: Path | None, save: Path | None) -> Answer:
    """Fit the detector on what was known on a day; log and register it.

    Example: payeewatch train --as-of 2024-12-31 --promote
    """
    from pipeline.session import opened
    from pipeline.training import fit, known_verdicts, measured_past, read_frame, register, save_model

    with opened(settings) as session:
        frame = read_frame(measured) if measured else measured_past(session, as_of)
        model = fit(session, as_of, frame, known_verdicts(session, as_of))
        model = register(session, model, promote=promote)
        if save:
            save_model(model, save)
        warnings = session.warnings
    return {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "promoted": promote,
        "metrics": model.metrics,
        "warnings": warnings,
    }, [
        f"{model.name} version {model.version} ({'champion' if promote else 'challenger'}), as of {as_of}: "
        f"learned from {model.facts['changes']:,} changes",
        *(f"  note: {warning}" for warning in warnings),
    ]


@command("night")
@click.argument("day", type=DAY, required=False)
@click.option("--from", "first", type=DAY, help="The first night of a range.")
@click.option("--to", "last", type=DAY, help="The last night of a range.")
@click.option("--no-news", is_flag=True, help="Run although there is no drop for the night.")
@click.option("--model", help="A version, `champion` or `challenger`; default: the night's own, else the champion.")
@click.option("--allow-hindsight", is_flag=True, help="Accept a model that knows more than the night did.")
def night(
    settings: Settings,
    day: date | None,
    first: date | None,
    last: date | None,
    no_news: bool,
    model: str | None,
    allow_hindsight: bool,
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
    from pipeline.runs import nights_to_run
    from pipeline.session import opened, progress

    with opened(settings) as session, session.held.reading_ahead():
        from pipeline.night import Options, run_nights  # imported while the lake is read

        nights = run_nights(session, first, last, Options(model, no_news, allow_hindsight))
        runs = list(progress(nights, len(nights_to_run(settings, first, last)), "night"))
    return {"nights": [_brief(run) for run in runs]}, _queue_lines(settings, last, runs)


def _brief(run: dict[str, Any]) -> dict[str, Any]:
    return {key: run[key] for key in ("night", "state", "flagged", "scored", "seconds", "model", "warnings")}


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


@command("backtest")
@click.option("--from", "first", type=DAY, required=True, help="The first night to replay.")
@click.option("--to", "last", type=DAY, required=True, help="The last night to replay.")
@click.option("--retrain-days", type=click.IntRange(1), default=30, show_default=True, help="Train again so often.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/backtest-<from>-<to>.")
def backtest(settings: Settings, first: date, last: date, retrain_days: int, out: Path | None) -> Answer:
    """Replay nights with what was known then and the models that would have been in force; publish nothing.

    Example: payeewatch backtest --from 2024-06-01 --to 2024-09-28
    """
    if first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    from evaluation.backtest import looked_back, write
    from evaluation.replay import replay
    from pipeline.loading import load_until
    from pipeline.session import opened

    with opened(settings) as session:
        load_until(session, last)
        told = replay(session, first, last, retrain_days)
        found = looked_back(session, told)
    out = out or settings.folder("reports") / f"backtest-{first}-{last}"
    write(told, found, out)
    return found.as_dict() | {"out": out}, [
        f"{found.nights} nights, {found.scored:,} scores, {found.flagged:,} changes queued for hold or review",
        f"{found.known_cases_flagged} of {found.known_cases} cases known by now were queued before anybody knew",
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
@click.option("--review-euros", type=click.FloatRange(0), default=15.0, show_default=True, help="What a review costs.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/evaluation.")
def evaluate(settings: Settings, out: Path | None, **asked: Any) -> Answer:
    """Say how good the nights are: by verdicts and the audit sample, or against a truth, beside controls.

    Without --truth or --tiers: what the insurer's own verdicts on published nights can say.

    Example: payeewatch evaluate --tiers standard,clean --seeds 1,2,3 --work worlds
    """
    from evaluation.command import evaluate as evaluated

    if asked["truth"] and not (asked["first"] and asked["last"]):
        raise click.UsageError("--truth needs the nights to replay: give --from and --to")
    if asked["tiers"] and not asked["work"]:
        raise click.UsageError("--tiers needs a folder for the insurers: give --work")
    if asked["tiers"] and asked["truth"]:
        raise click.UsageError("give --truth or --tiers, not both")
    return evaluated(settings, out or settings.folder("reports") / "evaluation", **asked)


@command("explain")
@click.argument("change")
@click.option("--as-of", type=DAY, help="The night; default: the last one published.")
def explain(settings: Settings, change: str, as_of: date | None) -> Answer:
    """Show every feature of one change with its usual value, and why it is or is not in a queue.

    It only reads, and may run beside a night.

    Example: payeewatch explain D-0123456789abcdef --as-of 2024-12-31
    """
    from pipeline.explain import explain as explained
    from pipeline.session import opened

    with opened(settings, writing=False) as session:
        answer = explained(session, change, as_of)
    head = {key: value for key, value in answer.items() if key not in {"queue", "features"}} | answer["queue"]
    lines = [f"{key:<15} {value}" for key, value in head.items()]
    lines += ["", f"{'feature':<34} {'value':>16} {'usual':>16} {'adds':>8}"]
    lines += [
        f"{row['feature']:<34} {row['value']:>16} {row['usual']:>16} {row['adds']:>8.2f}  {row['sentence']}"
        for row in sorted(answer["features"], key=lambda row: -row["adds"])
    ]
    return answer, lines


@command("token")
def token(settings: Settings) -> Answer:
    """Read accounts on standard input, one a line; write their tokens, one a line.

    For the payment system, which knows accounts and must find them in holds/. A line that is no account
    gives an empty line.

    Example: payeewatch token < accounts.txt > tokens.txt
    """
    from pipeline.session import opened

    accounts = [line.decode("utf-8", "replace").strip() for line in sys.stdin.buffer]
    with opened(settings, writing=False) as session:
        rows = session.con.execute(
            "SELECT CASE WHEN is_account(canonical_account(a)) THEN account_token(canonical_account(a)) END "
            "FROM (SELECT unnest($1::VARCHAR[]) AS a, unnest(range(len($1))) AS n) ORDER BY n",
            [accounts],
        ).fetchall()
    found = [row[0] or "" for row in rows]
    return {"tokens": found, "key_version": session.keys.token_version}, found


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
    from simulator import simulate as simulated
    from simulator.tiers import TIERS

    if tier not in TIERS:
        raise click.UsageError(f"--tier {tier}: there is no such tier; there are {', '.join(TIERS)}")
    counts = simulated(settings.home, members=members, days=days, end=until, seed=seed, truth=truth, tier=tier)
    return counts, [f"{settings.home}: " + ", ".join(f"{many:,} {name}" for name, many in counts.items())]


def run() -> None:
    """The command as a process of its own, which ends once all is written.

    To take apart what a night left in memory, object by object as the interpreter does, would take half a second.
    """
    try:
        main()
    except SystemExit as end:
        with suppress(OSError):  # whoever read what was said is gone: end as the interpreter does
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        raise


if __name__ == "__main__":
    run()
