"""The watch of a night: is it unlike what its model was trained on? Told once, then a state; it may stop the night."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import chain, islice
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.drift_reference import P_VALUE, SCORE, TENTHS, DriftReference
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.feeds.usual import FAR, count_distance
from payeewatch.pipeline.feeds.watch import MUCH_LESS, MUCH_MORE
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.errors import FeedUnusual
from payeewatch.pipeline.home.runs import Run, published_nights, read_run
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.night.drift_window import LONGEST, Moved, Pool, log_level, log_tail, moved, pools
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import known_at_cutoff, last_decision

Facts = dict[str, Any]
MOST_TOLD = 5
"""Columns that a night's warnings name; the command names all."""
POOL_FACTS = ("changes", "nights", "references")
USUAL_NIGHTS, LEAST_NIGHTS = 28, 14
VERDICT_DAYS, LEAST_VERDICTS, LEAST_DIFFERENCE = 28, 20, 0.2
VERDICTS = """
WITH decided AS (SELECT verdict, decided_at FROM ({known}) WHERE decided_at <= $cutoff {last})
SELECT list_contains($fraud::VARCHAR[], verdict::VARCHAR) AS is_fraud, decided_at > $since AS is_late, count(*)
FROM decided GROUP BY ALL
"""


@dataclass(frozen=True)
class Told:
    """What is unlike the usual: a key by which the next nights know it again, and its sentence."""

    key: str
    says: Sentence


def watch(session: Session, night: date, model: Model, frame: pd.DataFrame, scores: pd.DataFrame, run: Run) -> Facts:
    """Compare a night with the training of its model, and say what is new.

    Args:
        frame, scores: of the open changes, row by row.
        run: what the night counted so far: `flagged` and `lists`.

    Raises:
        FeedUnusual: something new is unlike, `watch.stop` is set, and the night was not accepted.
    """
    settings, version = session.settings, str(run["model"]["champion"])
    reference = model_registry.load_drift_reference(settings, version)
    limit = settings.params.watch.false_alarms_a_year
    facts: Facts = {"reference": version if reference else None, "false_alarms_a_year": limit, "tonight": {}}
    if reference is None:
        session.state(sentence("drift_no_reference", version=version))
    else:
        facts["tonight"] = counted(reference, _columns(model, frame, scores))
    earlier = _earlier(settings, night, version)
    before = list(islice(earlier, USUAL_NIGHTS))
    every = chain([{"drift": facts}], before, earlier) if reference else []
    by_segment = pools(each["drift"]["tonight"] for each in every)
    found = moved(by_segment, limit)
    level = log_level(by_segment, limit)
    told = [
        *(Told(f"{each.segment}/{each.column}", _sentence_of(each)) for each in found),
        *_flags(run, before), *_lists(run, before), *_verdicts(session, night, level),
    ]  # fmt: skip
    known = {key for each in before for key in each["drift"]["keys"]}
    new = [each for each in told if each.key not in known]
    _say(session, night, new, len(told) - len(new))
    return facts | {
        "pools": {name: {key: getattr(pool, key) for key in POOL_FACTS} for name, pool in by_segment.items()},
        "moved": [asdict(each) for each in found],
        "keys": [each.key for each in told],
        "new": len(new),
    }


def counted(reference: DriftReference, frame: pd.DataFrame) -> Facts:
    """The tenths of the changes that are due tonight, by segment and column."""
    out: Facts = {}
    for each in reference.places(frame):
        references = max(each.references.values())
        out[each.segment] = {
            "changes": max(len(values) for values in each.places.values()),
            "references": references,
            "fewer": {column: many for column, many in each.references.items() if many < references},
            "tenths": {column: " ".join(map(str, _tenths(values))) for column, values in each.places.items()},
        }
    return out


def pooled(settings: Settings, night: date) -> dict[str, Pool]:
    """The pools of a published night, from the run records."""
    run = read_run(settings, night) or {}
    if not run.get("drift", {}).get("reference"):
        return {}
    before = _earlier(settings, night, str(run["model"]["champion"]))
    return pools([run["drift"]["tonight"], *(each["drift"]["tonight"] for each in before)])


def _columns(model: Model, frame: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What is compared. A model that learned from verdicts is compared as it was before: by its p-value then."""
    names = ["change_id", "party", "derived", "age_days", *(record["name"] for record in model.features)]
    columns = frame[names].assign(**{P_VALUE: scores["p_value_uncorrected"].to_numpy()})
    return columns if model.uncorrected else columns.assign(**{SCORE: scores["score"].to_numpy()})


def _tenths(places: np.ndarray) -> list[int]:
    at = np.minimum((places * TENTHS).astype(np.int64), TENTHS - 1)
    return [int(many) for many in np.bincount(at, minlength=TENTHS)]


def _earlier(settings: Settings, night: date, version: str) -> Iterator[Run]:
    """The run records before a night, the last one first, for as long as the model was this one."""
    for each in reversed([n for n in published_nights(settings) if n < night][-LONGEST:]):
        run = read_run(settings, each) or {}
        if "drift" not in run or run["model"]["champion"] != version:
            return
        yield run


def _sentence_of(each: Moved) -> Sentence:
    facts = {"share": each.share, "changes": each.changes, "usually": each.usual}
    return sentence(f"drift_{each.side}", column=each.column, segment=each.segment, **facts)


def _is_far(count: float, usual: Sequence[float]) -> bool:
    """Whether a count is unlike those of the nights before: far, and by much."""
    if len(usual) < LEAST_NIGHTS:
        return False
    ratio = (count + 1) / (median(usual) + 1)
    return not MUCH_LESS < ratio < MUCH_MORE and abs(count_distance(count, usual)) >= FAR


def _flags(run: Run, before: Sequence[Run]) -> Iterator[Told]:
    usual = [each["flagged"]["new"] for each in before]
    new = run["flagged"]["new"]
    if _is_far(new, usual):
        yield Told("flags", sentence("drift_flags", changes=new, typical=round(median(usual))))


def _lists(run: Run, before: Sequence[Run]) -> Iterator[Told]:
    for each in run["lists"]:
        earlier = [one for past in before for one in past["lists"] if _is_same(one, each)]
        if each["exposed_share"] is not None and _is_far(each["exposed"], [one["exposed"] for one in earlier]):
            usual = median(one["exposed_share"] for one in earlier)
            says = sentence("drift_list", breach_id=each["breach_id"], share=each["exposed_share"], usually=usual)
            yield Told(f"list/{each['breach_id']}", says)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["breach_id"] == other["breach_id"] and one["exposed_share"] is not None


def _verdicts(session: Session, night: date, level: float) -> Iterator[Told]:
    """Whether the last verdicts are fraud more often, or less often, than those before."""
    cutoff = session.settings.params.cutoff(night)
    query = VERDICTS.format(known=known_at_cutoff(session.con, "outcomes"), last=last_decision("change_id"))
    values = {"cutoff": cutoff, "since": cutoff - timedelta(days=VERDICT_DAYS), "fraud": list(FRAUD_VERDICTS)}
    counts = {(late, fraud): many for fraud, late, many in session.con.execute(query, values).fetchall()}
    late, then = (sum(counts.get((when, fraud), 0) for fraud in (True, False)) for when in (True, False))
    if min(late, then) < LEAST_VERDICTS:
        return
    frauds, before = counts.get((True, True), 0), counts.get((False, True), 0)
    share, usual = frauds / late, before / then
    chances = (
        log_tail(frauds, late, before + 1, then - before + 1),
        log_tail(late - frauds, late, then - before + 1, before + 1),
    )
    if abs(share - usual) >= LEAST_DIFFERENCE and min(chances) <= level:
        yield Told("verdicts", sentence("drift_verdicts", share=share, changes=late, usually=usual))


def _say(session: Session, night: date, new: Sequence[Told], old: int) -> None:
    """Warn of what is new, and state what goes on.

    Raises:
        FeedUnusual: something is new, `watch.stop` is set, and the night was not accepted.
    """
    if old:
        session.state(sentence("drift_goes_on", many=old))
    for each in new[:MOST_TOLD]:
        session.warn(each.says)
    if len(new) > MOST_TOLD:
        session.warn(sentence("drift_more", many=len(new) - MOST_TOLD))
    if not new or not session.settings.params.watch.stop:
        return
    reason = session.accepts.get(night)
    if not reason:
        raise FeedUnusual(
            f"night {night} is unlike the training of its model and is not published (watch.stop): "
            f"{'; '.join(each.says for each in new[:MOST_TOLD])}. If that is right, publish it with --accept "
            f"{night}:REASON, and train again; see docs/retraining.md"
        )
    session.warn(sentence("drift_accepted", reason=reason))
