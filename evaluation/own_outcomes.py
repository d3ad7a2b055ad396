"""Estimates from an insurer's own verdicts, without a truth: the queues' precision, and how much they miss.

Verdicts exist for what was flagged only. The audit queue is drawn from below the cut with known probabilities, so a
change found there represents 1 / probability others (Horvitz and Thompson). docs/evaluation.md says what
remains unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, UNCLEAR_VERDICTS, WhyNot
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.runs import published_nights, read_run
from payeewatch.pipeline.intervals import exact_interval
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import VERDICTS
from payeewatch.pipeline.training.training import verdicts_at

HONEST = frozenset(VERDICTS).difference(FRAUD_VERDICTS, UNCLEAR_VERDICTS)
BELOW_THE_CUT = frozenset({str(WhyNot.FLOOR), str(WhyNot.CAPACITY)})
Z = 1.959963984540054  # of a 95 % interval
UNKNOWN = (
    "Verdicts are taken as right: a redirection that a reviewer took for honest is counted as honest.",
    "Changes that never stood in a night's scores, and payments without a change, are not in these figures.",
    "Changes that people opened by hand, and no night flagged, are not in these figures.",
    "An audited change is taken to have stayed below the cut, had it not been drawn.",
    "Changes audited and not decided are taken to be like those decided; the bounds of the precision do not.",
    "While the audit sample has found nothing, what is missed has an upper bound only; it falls as the sample grows.",
    "What reviewers prevented cannot be told from what would have been stopped otherwise.",
)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OwnOutcomes:
    """What verdicts say about the nights published so far."""

    nights: int
    queued: int  # changes ever in the hold or review queue
    decided: int  # of them, with a verdict that says something
    confirmed: int
    precision: Estimate  # among those decided
    precision_bounds: tuple[float, float]  # all others honest; all others not
    audited: int
    audited_decided: int
    audited_confirmed: int
    missed: Estimate  # dishonest changes that stood below the cut and never came above it
    recall: Estimate
    unknown: tuple[str, ...] = UNKNOWN

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def own_outcomes(session: Session) -> OwnOutcomes:
    """Estimate from every published night and the verdicts known on the last.

    Raises:
        InputMissing: no night was published.
    """
    settings = session.settings
    nights = published_nights(settings)
    if not nights:
        raise InputMissing(f"{settings.folder('runs')}: no night was published yet, so there is nothing to evaluate")
    flags = _read(session, "flags", nights, ["night", "change_id", "queue", "is_new"])
    scores = _read(session, "scores", nights, ["night", "change_id", "why_not"])
    drawn = {night: (read_run(settings, night) or {}).get("audit_probability") or 0.0 for night in nights}
    cutoff = settings.params.cutoff(nights[-1])
    verdicts = verdicts_at(session.con, cutoff)
    return estimate_outcomes(flags, scores, drawn, verdicts)


def estimate_outcomes(
    flags: pd.DataFrame, scores: pd.DataFrame, drawn: Mapping[date, float], verdicts: Mapping[str, str]
) -> OwnOutcomes:
    """The same from frames.

    Args:
        flags: night, change_id, queue, is_new. scores: night, change_id, why_not.
        drawn: night -> the probability that a change below the cut was drawn.
        verdicts: change_id -> the latest verdict.
    """
    queued = set(flags.loc[flags["queue"] != "audit", "change_id"])
    settled = {change: verdict for change, verdict in verdicts.items() if verdict not in UNCLEAR_VERDICTS}
    is_dishonest = {change: verdict in FRAUD_VERDICTS for change, verdict in settled.items()}
    decided = sorted(queued & set(is_dishonest))
    confirmed = sum(is_dishonest[change] for change in decided)
    is_draw = (flags["queue"] == "audit") & flags["is_new"]
    audited = sorted(set(flags.loc[is_draw, "change_id"]) - queued)
    judged = [change for change in audited if change in is_dishonest]
    confirmed_audits = [change for change in judged if is_dishonest[change]]
    chances = _inclusion(flags[is_draw], scores, drawn)
    missed = _missed(
        [chances[change] for change in confirmed_audits], [chances[change] for change in judged], len(audited)
    )
    return OwnOutcomes(
        nights=len(drawn),
        queued=len(queued),
        decided=len(decided),
        confirmed=confirmed,
        precision=Estimate(_share(confirmed, len(decided)), *exact_interval(confirmed, len(decided))),
        precision_bounds=(
            _share(confirmed, len(queued)),
            _share(confirmed + len(queued) - len(decided), len(queued)),
        ),
        audited=len(audited),
        audited_decided=len(judged),
        audited_confirmed=len(confirmed_audits),
        missed=missed,
        recall=Estimate(
            _share(confirmed, confirmed + missed.value),
            _share(confirmed, confirmed + missed.high),
            _share(confirmed, confirmed + missed.low),
        ),
    )


def _inclusion(draws: pd.DataFrame, scores: pd.DataFrame, drawn: Mapping[date, float]) -> dict[str, float]:
    """change_id -> the probability that it is drawn on any night on which it is below the cut.

    A change drawn early would have stayed below the cut: the nights after its draw on which it is still open count too.
    Without them, early draws would represent far too many changes.
    """
    drawn_on = draws.groupby("change_id")["night"].min().to_dict()
    after = pd.Series(
        [
            change in drawn_on and night >= drawn_on[change]
            for change, night in zip(scores["change_id"], scores["night"], strict=True)
        ],
        index=scores.index,
        dtype=bool,
    )
    below = scores.loc[scores["why_not"].isin(BELOW_THE_CUT) | after, ["night", "change_id"]]
    stood = pd.concat([below, draws[["night", "change_id"]]]).drop_duplicates()
    escaped = stood["night"].map(lambda night: math.log1p(-min(drawn.get(night, 0.0), 1 - 1e-12)))
    return dict(-escaped.groupby(stood["change_id"]).sum().map(math.expm1))


def _missed(confirmed: list[float], judged: list[float], audited: int) -> Estimate:
    """Horvitz and Thompson's total of the dishonest below the cut, from inclusion probabilities.

    The interval is normal around the total, and its upper end is never below what an exact interval of the sample's
    share allows: with nothing found it is about 3 / share sampled.
    """
    answered = len(judged) / audited if audited else 0.0
    if not answered:
        return Estimate(math.nan, 0.0, math.inf)
    weights = [1 / (chance * answered) for chance in confirmed]
    total = sum(weights)
    spread = math.sqrt(sum((1 - 1 / max(weight, 1.0)) * weight**2 for weight in weights))
    population = sum(1 / (chance * answered) for chance in judged)
    exact = exact_interval(len(confirmed), len(judged))[1] * population
    return Estimate(total, max(total - Z * spread, float(len(confirmed))), max(total + Z * spread, exact))


def _read(session: Session, folder: str, nights: list[date], columns: list[str]) -> pd.DataFrame:
    paths = [session.settings.folder(folder) / f"{night}.parquet" for night in nights]
    return pd.concat([pd.read_parquet(path, columns=columns) for path in paths if path.exists()], ignore_index=True)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
