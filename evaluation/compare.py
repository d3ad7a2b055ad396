"""Compare two versions of the model over the same past nights: which queue each would have made.

Nothing here names a change or a person; only `Comparison.gained` and `.lost` have change ids, and no file gets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.evaluation.backtest import LATEST_VERDICTS, compare_with_verdicts
from payeewatch.evaluation.exceedance import ALL, Exceedance, exceedances
from payeewatch.evaluation.replay import Replay, replay_models
from payeewatch.evaluation.stability import shared_top
from payeewatch.pipeline.changes.batch import NightView
from payeewatch.pipeline.detector import gate, model_registry
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.reasons import reasons
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT, Queue
from payeewatch.pipeline.home.errors import InputMissing, ModelError
from payeewatch.pipeline.home.runs import published_nights
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.night.queues import Queues
from payeewatch.pipeline.session import Session

NIGHTS = 14
"""Published nights that are compared where no others are named."""
TOP = 20
"""The length of the list at the top whose members are compared."""
KNOWN_SINCE = "SELECT change_id, min(known_at) AS known_at FROM changes GROUP BY change_id ORDER BY change_id"
NO_REASON = "no reason"
QUEUES = [str(Queue.HOLD), str(Queue.REVIEW)]


@dataclass(frozen=True)
class Span:
    """The nights to compare, and those that were asked for and one of the models knows more than."""

    first: date
    last: date
    left_out: tuple[date, ...] = ()


@dataclass(frozen=True)
class Part:
    """Some flagged changes: how many, the euros at risk when they were flagged, their kinds and leading reasons, and
    what verdicts say of them today.
    """

    changes: int
    euros: float
    kinds: dict[str, int]
    reasons: dict[str, int]
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Side:
    """One version and the queues that it would have made."""

    version: str
    trained_as_of: str
    known_until: str
    features: int
    corrects: str  # the champion that it corrects by verdicts; else empty
    flagged: Part
    new_a_night: float
    queued_a_night: float
    held: int
    top_kept: float | None  # of the top of a night, the share that is in the top of the next one (Jaccard)
    known_frauds: int  # by today's verdicts, open on a night before anybody knew
    known_frauds_flagged: int  # before anybody knew
    nights_ahead: float | None  # of the verdict, in the middle
    honest_flagged: int  # that verdicts say are honest
    calibration: list[Exceedance]

    def level(self, level: float) -> Exceedance:
        return next(each for each in self.calibration if each.level == level)


@dataclass(frozen=True)
class Comparison:
    """Two versions, a and b, over the same nights; gained is what only b flags, lost what only a flags."""

    a: Side
    b: Side
    span: Span
    nights: int
    both: Part
    only_b: Part
    only_a: Part
    queue_overlap: float | None  # of a night's queues, on average (Jaccard)
    top_overlap: float | None
    rank_correlation: float | None  # of the scores of a night's open changes, on average (Spearman)
    least_rank_correlation: float | None
    gained: list[str] = field(repr=False)
    lost: list[str] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures, without any id of a change."""
        figures = asdict(self)
        del figures["gained"], figures["lost"]
        for side in gate.SIDES:
            figures[side]["calibration"] = [each.row() for each in getattr(self, side).calibration]
        return figures


def compare(session: Session, which: Sequence[str], first: date | None = None, last: date | None = None) -> Comparison:
    """Replay the nights that both versions may see, each with queues of its own that begin empty.

    Args:
        which: two versions or aliases.
        first, last: nights; by default, the last published ones.

    Raises:
        ModelError: a version does not exist or cannot serve, both are the same, or no night is late enough for both.
        InputMissing: no night is published, or the lake does not reach the last one.
    """
    models = _models(session.settings, which)
    span = _span(session, models, first, last)
    link_and_derive(session)
    session.lake_cache.register()
    leading: dict[str, dict[str, str]] = {model.version: {} for model in models}

    def watch(model: Model, view: NightView, queues: Queues) -> None:
        new = [row["change_id"] for row in queues.flags if row["is_new"] and row["queue"] in QUEUES]
        leading[model.version] |= _leading_reasons(model, view.frame[view.frame["change_id"].isin(new)])

    with session.stage("replay"):
        replays = replay_models(session, span.first, span.last, models, watch)
    verdicts = session.con.execute(LATEST_VERDICTS).df()
    known_at = session.con.execute(KNOWN_SINCE).df().set_index("change_id")["known_at"]
    firsts = [_first_flags(each, leading[model.version]) for each, model in zip(replays, models, strict=True)]
    sides = [
        _side(session, model, result, flags, verdicts, known_at)
        for model, result, flags in zip(models, replays, firsts, strict=True)
    ]
    a, b = (set(flags["change_id"]) for flags in firsts)
    correlations = _rank_correlations(*replays)
    return Comparison(
        a=sides[0],
        b=sides[1],
        span=span,
        nights=len(replays[0].nights),
        both=_part(firsts[1], a & b, verdicts),
        only_b=_part(firsts[1], b - a, verdicts),
        only_a=_part(firsts[0], a - b, verdicts),
        queue_overlap=_mean(_queue_overlaps(*replays)),
        top_overlap=_mean(_top_overlaps(*replays)),
        rank_correlation=_mean(correlations),
        least_rank_correlation=min(correlations, default=None),
        gained=sorted(b - a),
        lost=sorted(a - b),
    )


def replayed(session: Session, which: str, first: date | None, last: date | None) -> tuple[Model, Replay]:
    """The nights that one version would have made, as `compare` replays them; the lake's tables are then registered.

    Raises:
        ModelError, InputMissing: as `compare`.
    """
    models = _models(session.settings, [which])
    span = _span(session, models, first, last)
    link_and_derive(session)
    session.lake_cache.register()
    with session.stage("replay"):
        (result,) = replay_models(session, span.first, span.last, models)
    return models[0], result


def _models(settings: Settings, which: Sequence[str]) -> list[Model]:
    from payeewatch.features.registry import FEATURES

    versions = [model_registry.version_of(settings, each) for each in which]
    if len(set(versions)) < len(versions):
        raise ModelError(f"{which[0]} and {which[1]} are the same version, {versions[0]}; name two versions")
    models = [model_registry.load(settings, version) for version in versions]
    for model in models:
        model.check_features(tuple(FEATURES.values()))
    return models


def _span(session: Session, models: Sequence[Model], first: date | None, last: date | None) -> Span:
    """The nights on which no model has hindsight."""
    settings = session.settings
    newest = max(models, key=_first_night)
    since = _first_night(newest)
    published = [night for night in published_nights(settings) if first is None or night >= first]
    if last is None and not published:
        which = f"no night from {first} on" if first else "no night"
        raise InputMissing(f"{which} is published; run nights first, or name past nights with --from and --to")
    last = last or published[-1]
    drops = [load.day for load in session.lake.loads() if load.kind == "drop"]
    loaded = max([*drops, *published], default=date.min)  # a night can be published without a drop of its own
    if last > loaded:
        raise InputMissing(f"the lake ends on {loaded}, before {last}; run payeewatch ingest --until {last} first")
    if last < since:
        raise ModelError(
            f"model {newest.name} version {newest.version} knows what was known on {newest.facts['known_until']}; "
            f"no night up to {last} can be compared without hindsight: compare later nights, or train as of an "
            "earlier day"
        )
    if first is None:
        seen = [night for night in published if since <= night <= last]
        return Span(seen[-NIGHTS:][0] if seen else since, last)
    left_out = tuple(first + timedelta(days=n) for n in range(max((since - first).days, 0)))
    return Span(max(first, since), last, left_out)


def _first_night(model: Model) -> date:
    """The first night that may use a model; what it learned from verdicts counts from the night after."""
    known_until = date.fromisoformat(model.facts["known_until"])
    return known_until + timedelta(days=1) if model.uncorrected else known_until


def _leading_reasons(model: Model, frame: pd.DataFrame) -> dict[str, str]:
    """change_id -> the feature of its strongest reason."""
    if frame.empty:
        return {}
    reasons_by_row = reasons(frame, model)
    return {
        change_id: str(why[0]["feature"]) if why else NO_REASON
        for change_id, why in zip(reasons_by_row["change_id"], reasons_by_row["reasons"], strict=True)
    }


def _queued(result: Replay) -> pd.DataFrame:
    return result.flags[result.flags["queue"].isin(QUEUES)]


def _first_flags(result: Replay, leading: Mapping[str, str]) -> pd.DataFrame:
    """Each flagged change once, on the first night that put it into hold or review: change_id, euros, kind, reason."""
    queued = _queued(result).sort_values(["night", "rank"]).drop_duplicates("change_id")
    kinds = result.rows.drop_duplicates("change_id").set_index("change_id")[["party", "derived"]]
    of = kinds.reindex(queued["change_id"])
    return pd.DataFrame(
        {
            "change_id": queued["change_id"].to_numpy(dtype=object),
            "euros": queued["at_risk_cents"].to_numpy(dtype=np.float64) / 100 if len(queued) else [],
            "kind": [_kind(party, derived) for party, derived in of.itertuples(index=False)],
            "reason": [leading.get(change_id, NO_REASON) for change_id in queued["change_id"]],
        }
    )


def _kind(party: object, derived: object) -> str:
    return f"{party} {'derived' if derived is True else 'announced'}"


def _part(flags: pd.DataFrame, change_ids: set[str], verdicts: pd.DataFrame) -> Part:
    flags = flags[flags["change_id"].isin(change_ids)]
    last_verdicts = verdicts.set_index("change_id")["verdict"].reindex(flags["change_id"])
    counts = {
        "fraud": int(last_verdicts.isin(FRAUD_VERDICTS).sum()),
        "honest": int((last_verdicts == HONEST_VERDICT).sum()),
    }
    kinds, leading = (_counts(flags[name]) for name in ("kind", "reason"))
    euros = float(flags["euros"].sum())
    return Part(len(flags), euros, kinds, leading, counts | {"none": len(flags) - sum(counts.values())})


def _counts(values: pd.Series) -> dict[str, int]:
    """Each value and how often it occurs, the most frequent first."""
    counts = values.value_counts()
    return {str(name): int(many) for name, many in sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))}


def _side(
    session: Session, model: Model, result: Replay, flags: pd.DataFrame, verdicts: pd.DataFrame, known_at: pd.Series
) -> Side:
    queued, flagged = _queued(result), _part(flags, set(flags["change_id"]), verdicts)
    caught = compare_with_verdicts(session, result)
    honest = ~verdicts.set_index("change_id")["verdict"].isin(FRAUD_VERDICTS)
    trained = [date.fromisoformat(model.facts["trained_as_of"])]
    calibration = exceedances(result.rows, honest, known_at, trained, session.settings.params)
    return Side(
        version=model.version,
        trained_as_of=model.facts["trained_as_of"],
        known_until=model.facts["known_until"],
        features=len(model.features),
        corrects=model.uncorrected.version if model.uncorrected else "",
        flagged=flagged,
        new_a_night=flagged.changes / len(result.nights),
        queued_a_night=len(queued) / len(result.nights),
        held=int(queued.loc[queued["queue"] == str(Queue.HOLD), "change_id"].nunique()),
        top_kept=_mean(_tops_kept(result)),
        known_frauds=caught.known_cases,
        known_frauds_flagged=caught.known_cases_flagged,
        nights_ahead=caught.median_nights_ahead,
        honest_flagged=flagged.verdicts["honest"],
        calibration=[each for each in calibration if (each.changes, each.segment) == (ALL, "all segments")],
    )


def _by_night(result: Replay) -> dict[Any, pd.Series]:
    """Night -> the scores of its open changes by change_id."""
    return {night: rows.set_index("change_id")["score"] for night, rows in result.rows.groupby("as_of")}


def _rank_correlations(first: Replay, second: Replay) -> list[float]:
    theirs = _by_night(second)
    pairs = [(scores, theirs[night].reindex(scores.index)) for night, scores in _by_night(first).items()]
    correlations = [float(ours.rank().corr(other.rank())) for ours, other in pairs if len(ours) > 1]
    return [each for each in correlations if not np.isnan(each)]


def _top_overlaps(first: Replay, second: Replay) -> list[float]:
    theirs = _by_night(second)
    return _shared([(scores, theirs[night]) for night, scores in _by_night(first).items()])


def _tops_kept(result: Replay) -> list[float]:
    return _shared(list(pairwise(_by_night(result).values())))


def _shared(pairs: Sequence[tuple[pd.Series, pd.Series]]) -> list[float]:
    """What two lists of scores share of their tops, of the changes that both have; of few changes, that is chance."""
    shares = []
    for ours, theirs in pairs:
        both = sorted(set(ours.index) & set(theirs.index))
        if len(both) >= 2 * TOP:
            names = np.array(both, dtype=object)
            shares.append(shared_top(names, ours[both].to_numpy(), theirs[both].to_numpy(), TOP))
    return shares


def _queue_overlaps(first: Replay, second: Replay) -> list[float]:
    overlaps = []
    for night in first.nights:
        ours, theirs = (
            set(queued.loc[queued["night"] == night, "change_id"]) for queued in (_queued(first), _queued(second))
        )
        if ours | theirs:
            overlaps.append(len(ours & theirs) / len(ours | theirs))
    return overlaps


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
