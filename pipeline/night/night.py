"""A night, from end to end: load, measure, score, flag, publish. A night that is run again gives the same bytes."""

from __future__ import annotations

import platform
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from importlib import metadata
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.features.engines.engine import Engine
from payeewatch.pipeline import expectations
from payeewatch.pipeline.breaches import lists
from payeewatch.pipeline.breaches.coverage import coverage
from payeewatch.pipeline.changes.amounts import Amounts
from payeewatch.pipeline.changes.batch import NightBatch, NightView
from payeewatch.pipeline.changes.context import at_decision
from payeewatch.pipeline.changes.engines import engine_of, prepare
from payeewatch.pipeline.changes.scope import ALSO_READ, focus
from payeewatch.pipeline.detector import board, decisions, learned_versions, model_registry, promotions
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.reasons import reasons
from payeewatch.pipeline.detector.score import score
from payeewatch.pipeline.feeds.calendar import is_closed
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.contents import content_of, write_hashed
from payeewatch.pipeline.home.errors import (
    FeedUnusual,
    InputMissing,
    InputRefused,
    PayeeWatchError,
    place,
    with_facts,
)
from payeewatch.pipeline.home.files import cannot_be_read, write_json, write_text
from payeewatch.pipeline.home.hold_files import Hold, read_expiries, write_holds
from payeewatch.pipeline.home.publication import Publication
from payeewatch.pipeline.home.runs import (
    PUBLISHED,
    Run,
    earlier_runs,
    failed_path,
    nights_to_run,
    published_files,
    published_nights,
    read_run,
)
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.tabular import write_csv, write_parquet
from payeewatch.pipeline.home.wording import Sentence
from payeewatch.pipeline.ingest.drops import drop_days
from payeewatch.pipeline.loading import ingest_until, link_and_derive
from payeewatch.pipeline.night import run_record
from payeewatch.pipeline.night.drift import watch
from payeewatch.pipeline.night.evidence import evidence_table, read_changes
from payeewatch.pipeline.night.expectations import judge_evidence, judge_flags, judge_scores
from payeewatch.pipeline.night.hold_proposals import holds
from payeewatch.pipeline.night.outputs import ModelName, flags_table, scores_table
from payeewatch.pipeline.night.places import add_places
from payeewatch.pipeline.night.queues import EARLIER, Queues, flag
from payeewatch.pipeline.night.shadow import shadows
from payeewatch.pipeline.parallel import background
from payeewatch.pipeline.report.quality import quality_page
from payeewatch.pipeline.report.report import compile_pages, report
from payeewatch.pipeline.session import Session, second_session
from payeewatch.pipeline.store.lake import Load

NIGHTS_AT_ONCE = 15
"""Nights of a range that are loaded and measured together, at most; a killed command may leave twice as
many loaded and not published."""
ROWS_AT_ONCE = 60_000
"""About how many changes are measured together; it limits the memory."""


@dataclass(frozen=True)
class Options:
    """How to run.

    `model` names a version or alias to use instead of the champion or the recorded version, `engine` what measures.
    `no_news` counts for the nights that were named, not for those caught up before them.
    """

    model: str | None = None
    no_news: bool = False
    allow_hindsight: bool = False
    engine: str = "duckdb"
    named_from: date = date.min  # the first night that was named
    first: date = date.min  # the first night that runs ...
    decided: tuple[decisions.Result, ...] = ()  # ... which says what was decided about models before it


@dataclass(frozen=True)
class Ready:
    """A night whose news is in the lake: the model it will use, and what its stages so far took and said."""

    night: date
    model: Model
    seconds: dict[str, float]
    warnings: list[str]
    states: list[str]
    started_at: datetime
    records: int  # how many commit records the lake had then
    decided: tuple[decisions.Result, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """Nights that are ready, the lake's commits up to then, and the error that stopped the next night, if any."""

    ready: list[Ready]
    loads: list[Load]
    failure: Exception | None = None


def run_nights(session: Session, first: date, last: date, options: Options) -> Iterator[Run]:
    """Each night of a range in order, and before them the nights missed since the last published one.

    A few nights are loaded, in order, and measured together. Then each is published as if it had run alone: all of its
    files replace those of its earlier publication, or none does.

    Raises:
        PayeeWatchError: a night failed, and `runs/<night>.failed.json` says so; those before it are published, those
            after it are not, and an earlier publication of the night stays.
    """
    nights = nights_to_run(session.settings, first, last)
    decided = _apply_decisions(session)
    options = replace(options, named_from=first, first=nights[0], decided=decided)
    with engine_of(session, options.engine) as engine, closing(_spans(session, nights, options)) as spans:
        for span in spans:
            if span.ready:
                yield from _run_batch(session, engine, span)
            if span.failure:
                raise span.failure
    board.write(session.settings)  # which nights each version has served now


def _apply_decisions(session: Session) -> tuple[decisions.Result, ...]:
    """Apply what people decided about models in the reviewers' application, before a night opens."""
    settings = session.settings
    decided = decisions.apply_waiting(settings, session.keys)
    for each in decided:
        session.log("models", **each.facts())
    return tuple(decided)


def _spans(session: Session, nights: Sequence[date], options: Options) -> Generator[Loaded, None, None]:
    """The nights once they are loaded, in batches of as many as fit into memory.

    If a batch has more than one night, another thread loads it while the batch before is measured and published.
    """
    coming = span = list(nights)
    ahead: Future[Loaded] | None = None
    loader, batch_size = session, _nights_at_once(session.settings, nights[0])
    with ExitStack() as stack:
        try:
            while coming:
                loaded = ahead.result() if ahead else None
                if not (loaded and (loaded.ready or loaded.failure)):
                    loaded = _load(loader, coming[:batch_size], options)
                coming = [] if loaded.failure else coming[len(loaded.ready) :]
                ahead, batch_size = None, _nights_at_once(session.settings, coming[0]) if coming else 0
                if batch_size > 1:
                    if loader is session:
                        loader = stack.enter_context(second_session(session))
                        thread = stack.enter_context(ThreadPoolExecutor(1))
                    span = coming[:batch_size]
                    ahead = thread.submit(_load, loader, span, options, ahead=True)
                yield loaded
        finally:
            span.clear()  # the thread stops after the night that it is loading
            session.loaded_ahead = None


def _nights_at_once(settings: Settings, night: date) -> int:
    """How many nights fit into memory, by the number of changes that were open on the last one."""
    before = [n for n in published_nights(settings) if n < night][-1:]
    paths = [settings.folder("scores") / f"{n}.parquet" for n in before]
    rows = [pq.read_metadata(path).num_rows for path in paths if path.exists()]
    return max(1, min(NIGHTS_AT_ONCE, ROWS_AT_ONCE // max(rows[0], 1))) if rows else 1


def _load(session: Session, nights: Sequence[date], options: Options, *, ahead: bool = False) -> Loaded:
    """Load the news of each night, as if those before it were published. When one fails, stop and return why.

    A purge deletes what the nights before still need: it waits until they are published.
    """
    ready: list[Ready] = []
    failure = None
    try:
        for night in nights:
            started_at = datetime.now(UTC)
            session.night = night
            session.seconds.clear()
            session.warnings.clear()
            session.states.clear()
            with _recording_failure(session, night), background() as meanwhile:
                manifests = lists.read_manifests(session) if ready or ahead else None
                if manifests is not None and lists.due(session, night, manifests):
                    break
                reading = meanwhile(_read_model, session, night, options)
                tables = session.lake_cache.small_tables().union(ALSO_READ)
                meanwhile(compile_pages)
                meanwhile(expectations.start)  # one thread imports all libraries, one after the other
                preparing = meanwhile(prepare, session.lake.root, session.settings.params, tables)
                meanwhile(_refuse_altered, session, night)
                _require_news(session, night, options)
                if session.redone:
                    session.warn(wording.sentence("night_redone"))
                decided = options.decided if night == options.first else ()
                for each in decided:
                    (session.state if each.is_applied else session.warn)(each.says)
                ingest_until(session, night, manifests)
                link_and_derive(session)
                model = _model(session, night, options, reading)
                preparing.result()
            messages = list(session.warnings), list(session.states)
            records = session.lake.next_sequence() - 1
            ready.append(Ready(night, model, dict(session.seconds), *messages, started_at, records, decided))
            session.loaded_ahead = night
    except Exception as error:
        failure = error
    return Loaded(ready, session.lake.loads(), failure)


def _refuse_altered(session: Session, night: date) -> None:
    """Compare the lake's files with its records, as deep as the night does."""
    with session.stage("compare") as facts:
        facts["bytes"] = session.lake.refuse_altered_on(night, _records_before(session.settings, night))


def _records_before(settings: Settings, night: date) -> int:
    """How many commit records the lake had for the last night published before this one."""
    before = [n for n in published_nights(settings) if n < night][-1:]
    run = read_run(settings, before[0]) if before else None
    return int((run or {}).get("lake", {}).get("records", 0))


def _run_batch(session: Session, engine: Engine, loaded: Loaded) -> Iterator[Run]:
    ready, nights = loaded.ready, [each.night for each in loaded.ready]
    before = [n for n in published_nights(session.settings) if n < nights[0]][-1:]
    earlier = _earlier_rows(session, "flags", before)
    flagged = [] if earlier is None else sorted(earlier["change_id"])
    unscored = sorted(
        {p for night in nights for p in run_record.unscored_payees(run_record.drops_of(loaded.loads, night))}
    )
    session.seconds.clear()
    session.night = nights[0]
    with ExitStack() as stack:
        with _recording_failure(session, nights[0]):
            with session.stage("hold"):
                session.lake_cache.register(loaded.loads)
            stack.enter_context(focus(session, nights, flagged, unscored))
            batch = NightBatch(session, nights, flagged, [each.model for each in ready], engine)
        shared = {stage: took / len(ready) for stage, took in session.seconds.items()}
        for each in ready:
            session.seconds.clear()
            session.seconds |= each.seconds | shared
            session.night = each.night
            session.warnings[:], session.states[:] = each.warnings, each.states
            with _recording_failure(session, each.night):
                run = _publish(session, each, batch)
            failed_path(session.settings, each.night).unlink(missing_ok=True)
            yield run


@contextmanager
def _recording_failure(session: Session, night: date) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        try:
            session.lake.refuse_damage(error)
        except PayeeWatchError as damage:
            damage.__cause__ = error
            cause: Exception = damage
        else:
            cause = error
        with_facts(cause, night=night)
        is_ours = isinstance(cause, PayeeWatchError)
        message = str(cause) if is_ours else f"internal error: {place(cause)}"
        _record_failure(session, night, getattr(cause, "exit_code", 1), type(cause).__name__, message)
        raise cause from cause.__cause__


def _publish(session: Session, ready: Ready, batch: NightBatch) -> Run:
    settings, night = session.settings, ready.night
    cutoff = settings.params.cutoff(night)
    purged_on = (read_run(settings, night) or {}).get("purged_on")
    if purged_on:
        session.warn(wording.sentence("night_purged", days=", ".join(purged_on)))
    before = [n for n in published_nights(settings) if n < night][-1:]
    earlier, earlier_scores = (_earlier_rows(session, folder, before) for folder in ("flags", "scores"))
    flagged = [] if earlier is None else sorted(earlier["change_id"])
    view = batch.of(night, flagged)
    payees = session.con.execute(PAYEES, {"cutoff": cutoff}).fetchall()[0][0]
    decision_inputs = at_decision(
        session.con, published_files(settings, "scores"), view.context.decisions, settings.params
    )
    with background() as meanwhile:  # only that thread uses the connection
        counting = meanwhile(_lake_facts, session, night, view.context.changes)
        with session.stage("score") as facts:
            scored = view.scored() if view.scored else None
            scores = score(view.frame, ready.model, view.context.weakly_matched(), scored=scored)
            scores = scores.assign(age_days=view.frame["age_days"])
            at_risk = view.amounts.by_change["at_risk_cents"].sum()
            facts |= {"rows_out": len(scores), "at_risk_cents": int(at_risk)}
        reading = meanwhile(read_changes, session.con, cutoff)
        with session.stage("flag") as facts:
            queues = flag(
                night, scores, view.context, view.amounts, payees, settings.params, session.keys,
                earlier, earlier_scores, decision_inputs,
            )  # fmt: skip
            facts |= {
                "open": queues.facts["open_changes"],
                "flagged": queues.facts["flagged"],
                "new": queues.facts["new"],
            }
    reading.result()
    known_before = None if earlier_scores is None else set(earlier_scores["change_id"])
    if view.context.exposures.empty and not any(each["exposed"] for each in counting.result()["lists"]):
        session.warn(wording.sentence("nobody_exposed" if counting.result()["lists"] else "no_list_in_force"))
    with session.stage("watch") as facts:
        so_far = counting.result() | {"flagged": queues.facts, "model": run_record.model_facts(ready.model)}
        drift = watch(session, night, ready.model, view.frame, scores, so_far)
        facts |= {"unlike": len(drift["keys"]), "new": drift["new"]}
    shadow = shadows(session, night, view, payees, decision_inputs, queues, ready.model.version)
    more_facts = counting.result() | {"shadow": shadow, "drift": drift}
    more_facts |= {"purged_on": purged_on} if purged_on else {}  # until the next purge, each run says it
    run = _run_facts(session, ready, view, scores, queues, known_before, more_facts)
    return _write_outputs(session, night, ready.model, view, scores, queues, run)


def _require_news(session: Session, night: date, options: Options) -> None:
    folder = session.settings.folder("inbox") / night.isoformat()
    loaded = any(load.kind == "drop" and load.day == night for load in session.lake.loads())
    is_closed_day = is_closed(session.settings.params.calendar, night)
    if loaded or is_closed_day or folder.is_dir() or (options.no_news and night >= options.named_from):
        return
    if options.no_news:
        raise InputMissing(
            f"{folder}: no drop for night {night}, which runs before {options.named_from}; --no-news counts for "
            f"the nights that you name: run payeewatch night {night} --no-news if none will come"
        )
    later = next((day for day in drop_days(folder.parent) if day > night), None)
    hint = f"; the next one is of {later}: is that its day?" if later else ""
    raise InputMissing(
        f"{folder}: no drop for night {night}; wait for it, or run with --no-news if none will come{hint}"
    )


def _model(session: Session, night: date, options: Options, reading: Future[Model]) -> Model:
    with session.stage("model") as facts:
        model = reading.result()
        model_registry.check(model, night, options.allow_hindsight)
        facts |= {"version": model.version, "trained_as_of": model.facts["trained_as_of"]}
    champion = model.uncorrected.version if model.uncorrected else model.version
    is_champions = not options.model and not read_run(session.settings, night)
    if is_champions and (recorded := promotions.unrecorded(session.settings, champion)):
        session.warn(wording.sentence("champion_unrecorded", version=champion, recorded=recorded))
    for warning in model.warnings:
        session.state(warning)
    return model


def _read_model(session: Session, night: date, options: Options) -> Model:
    """The model asked for; for a night published before, the one it used; else the champion, with what it learned
    from the verdicts known before the night.

    A version is read once per process; an alias may move, so it is looked up every time.
    """
    from payeewatch.features.registry import FEATURES

    published = read_run(session.settings, night)
    which = options.model or (published["model"]["version"] if published else None)
    settings = session.settings
    version = model_registry.version_of(settings, which) if which else learned_versions.in_force(settings, night)
    model = model_registry.load(settings, version)
    model.check_features(tuple(FEATURES.values()))
    return model


def _earlier_rows(session: Session, folder: str, nights: Sequence[date]) -> pd.DataFrame | None:
    """The flags or scores of the last night published before."""
    paths = [session.settings.folder(folder) / f"{night}.parquet" for night in nights]
    if not paths or not paths[0].exists():
        return None
    try:
        return pd.read_parquet(paths[0], columns=EARLIER[folder])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise cannot_be_read(paths[0], error) from error


PAYEES = "SELECT count(DISTINCT payee_id) FROM sightings WHERE known_at <= $cutoff"


def _lake_facts(session: Session, night: date, changes: pd.DataFrame) -> Run:
    """The facts of the night's run record that come from the lake: what was read, and where the euros went."""
    loads, cutoff = session.lake.loads(), session.settings.params.cutoff(night)
    drops = run_record.drops_of(loads, night)
    tables = run_record.tables(drops)
    with session.stage("account"):
        return {
            "drops": run_record.drops_read(drops),
            "tables": tables,
            "verdicts": run_record.verdicts_read(loads, night),
            "euros": run_record.euros(session.con, session.lake, drops, changes, cutoff),
            "assumed_known": {name: facts["assumed_known"] for name, facts in tables.items() if facts["assumed_known"]},
            "lists": coverage(session, night, changes["change_id"].tolist()),
            "purges": run_record.purges_since(loads, night),
            "unscored_changes": run_record.unscored_changes(session.con, drops, cutoff),
        }


def _run_facts(
    session: Session,
    ready: Ready,
    view: NightView,
    scores: pd.DataFrame,
    queues: Queues,
    known_before: set[str] | None,
    lake_facts: Run,
) -> Run:
    """The night's run record: what was read, where the euros went, what was flagged."""
    return {
        "night": ready.night,
        "state": "published",
        **lake_facts,
        "changes": {
            "open": len(view.frame),
            "new": None if known_before is None else len(set(view.frame["change_id"]) - known_before),
            "derived": int(view.frame["derived"].sum()),
        },
        "scored": len(scores),
        "flagged": {name: queues.facts[name] for name in ("hold", "review", "audit", "new", "carried_over")},
        "capacity": queues.facts["capacity"],
        "audit_probability": queues.facts["audit_probability"],
        "queues": queues.facts,
        "model": run_record.model_facts(ready.model),
        "decisions": [each.facts() for each in ready.decided],
        "warnings": list(session.warnings),
        "warning_codes": _codes(session.warnings),
        "states": list(session.states),
        "state_codes": _codes(session.states),
        "accepted": session.accepts.get(ready.night, ""),
        "started_at": ready.started_at.isoformat(timespec="seconds"),
        "lake": {"records": ready.records},
        "versions": _versions() | {"key_version": session.keys.token_version},
    }


def _codes(sentences: Sequence[str]) -> list[dict[str, Any] | None]:
    """The code and the numbers of each sentence, for screens in other languages."""
    return [each.coded if isinstance(each, Sentence) else None for each in sentences]


def _write_outputs(
    session: Session,
    night: date,
    model: Model,
    view: NightView,
    scores: pd.DataFrame,
    queues: Queues,
    run: Run,
) -> Run:
    """Judge every table, then write every file, and publish them together.

    Raises:
        BrokenPromise: a table is not what it promises to be; nothing is written.
    """
    settings, publication = session.settings, Publication(session.settings, night)
    with session.stage("publish") as facts:
        model_name = ModelName(model.name, model.version, model.run_id)
        with background() as meanwhile:  # only that thread uses the connection until it ends
            reading = meanwhile(evidence_table, session.con, night, queues, settings.params)
            flagged = view.frame[view.frame["change_id"].isin(queues.change_ids())]
            why = reasons(flagged, model)
            add_places(why, queues, model.weights, settings.params.flag)
            reasons_by_change = dict(
                zip(why["change_id"], zip(why["reasons"], why["reassuring"], strict=True), strict=True)
            )
            flags = flags_table(queues, reasons_by_change, model_name)
            scored = scores_table(night, scores, view.context, queues, model_name)
            judge_flags(flags, night, len(queues.flags))
            judge_scores(scored, night, len(view.frame))
            evidence = reading.result()
        judge_evidence(evidence, night, set(flags["flag_id"].to_pylist()))
        write_parquet(publication.path("scores", f"{night}.parquet"), scored)
        write_parquet(publication.path("evidence", f"{night}.parquet"), evidence)
        write_holds(publication.path("holds", f"{night}.csv"), _proposals(session, night, queues, view.amounts))
        write_csv(publication.path("flags", f"{night}.csv"), flags)
        write_parquet(publication.path("flags", f"{night}.parquet"), flags)
        facts |= {"flags": flags.num_rows}
    with session.stage("report"):
        history = earlier_runs(settings, night)
        page = report(night, flags, scored, evidence, run, history)
        write_text(publication.path("reports", f"{night}.html"), page)
        write_text(publication.path("reports", f"{night}-quality.html"), _quality_page(session, night))
    run |= {"ended_at": datetime.now(UTC).isoformat(timespec="seconds")}
    run |= {"seconds": {stage: round(took, 3) for stage, took in session.seconds.items()}}
    run |= {"files": {name: asdict(content_of(path)) for name, path in publication.files(PUBLISHED).items()}}
    write_hashed(publication.path("runs", f"{night}.json"), run)
    publication.publish()
    return run


def _proposals(session: Session, night: date, queues: Queues, euros: Amounts) -> list[Hold]:
    """Holds to propose; one proposed the night before keeps its end."""
    settings = session.settings
    before = [n for n in published_nights(settings) if n < night][-1:]
    expiries = read_expiries(settings.folder("holds") / f"{before[0]}.csv") if before else {}
    return holds(night, queues, euros.pending, settings.params.holds.business_days, expiries)


def _quality_page(session: Session, night: date, refusal: str = "") -> str:
    drops = [load for load in session.lake.loads() if load.kind == "drop"]
    tonight = [load.facts for load in run_record.drops_of(drops, night)]
    return quality_page(night, tonight, [load.facts for load in drops if load.known_on < night], refusal)


def _record_failure(session: Session, night: date, exit_code: int, error: str, message: str) -> None:
    """Write that the night failed, beside the run records. If that cannot be written, only the log says it."""
    record: dict[str, Any] = {
        "night": night,
        "state": "failed",
        "exit_code": exit_code,
        "error": error,
        "message": shown(message),
        "failed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {stage: round(took, 3) for stage, took in session.seconds.items()},
    }
    try:
        write_json(failed_path(session.settings, night), record)
        if exit_code in (InputRefused.exit_code, FeedUnusual.exit_code):
            write_text(
                session.settings.folder("reports") / f"{night}-quality.html", _quality_page(session, night, message)
            )
    except PayeeWatchError as write_error:
        session.log("failed", night=night, unrecorded=str(write_error))


@cache
def _versions() -> dict[str, str]:
    names = ("payeewatch", "duckdb", "pandas", "pyod", "scikit-learn")
    return {name: metadata.version(name) for name in names} | {"python": platform.python_version()}
