"""Correct: a champion, and the verdicts of its changes, to the model that has learned from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.calibration import cells
from payeewatch.pipeline.detector.evidence import DOUBTFUL, LENS, SEGMENTS, Steps, Weights, offset, segment_of
from payeewatch.pipeline.detector.learning import NOBODY, Bools, Correction, Judged, Unjudged, lesson, part_of
from payeewatch.pipeline.detector.lens import PARTIES
from payeewatch.pipeline.detector.model import Model, Uncorrected
from payeewatch.pipeline.detector.surprise import Floats, Ints
from payeewatch.pipeline.frames import change_keys
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.training.fit import MOST_REFERENCES


@dataclass(frozen=True)
class Verdicts:
    """Changes with a verdict, one row each: how far their evidence went when they were judged; see `Judged`."""

    change: Ints
    steps: Steps
    segment: Ints
    is_fraud: Bools
    weight: Floats
    week: Ints
    reviewer: Ints

    @classmethod
    def of(cls, champion: Model, rows: pd.DataFrame, weight: Floats) -> Verdicts:
        """From measured rows with is_fraud, known_on (a date) and decided_by (text, null if unknown), one a change.

        Raises:
            ModelError: the champion has no weights.
        """
        return cls(
            change=change_keys(rows["change_id"], champion.facts["seed"]),
            steps=champion.steps(rows),
            segment=segment_of(rows["party"].to_numpy(dtype=object), rows["derived"].to_numpy(dtype=bool)),
            is_fraud=rows["is_fraud"].to_numpy(dtype=bool),
            weight=weight,
            week=np.array([(day.toordinal() - 1) // 7 for day in rows["known_on"]], dtype=np.int64),  # ISO weeks
            reviewer=_reviewers(rows["decided_by"]),
        )


def _reviewers(decided_by: pd.Series[str]) -> Ints:
    """A number for each person who decided, NOBODY where nobody is named. Who decided more than half counts as nobody
    too: the others are too few to say what would be learned without that person.
    """
    numbers, _ = pd.factorize(decided_by, use_na_sentinel=True)
    counts = np.bincount(numbers[numbers >= 0], minlength=1)
    is_most = counts[numbers] > len(numbers) / 2
    return np.where((numbers < 0) | is_most, NOBODY, numbers).astype(np.int64)


@dataclass(frozen=True)
class Learned:
    """What an update moved. The losses are those of a `Lesson`."""

    multipliers: dict[str, float]  # by group of evidence
    offsets: dict[str, float]  # by segment
    at_bound: tuple[str, ...]  # the groups that the verdicts would move further
    counts: dict[str, int]  # verdicts, frauds
    loss_before: float
    loss_after: float
    holds: bool  # whether the loss fell; else nothing was moved

    def metrics(self) -> dict[str, float]:
        """The figures as MLflow has them."""
        offsets = {name.replace(" ", "_"): by for name, by in self.offsets.items()}
        return {
            **{f"multiplier.{name}": by for name, by in self.multipliers.items()},
            **{f"offset.{name}": by for name, by in offsets.items()},
            **{name: float(many) for name, many in self.counts.items()},
            "loss.before": self.loss_before,
            "loss.after": self.loss_after,
        }


def corrected(champion: Model, verdicts: Verdicts, params: Params) -> tuple[Model, Learned]:
    """The champion with its weights corrected by verdicts, and its references scored by the corrected weights.

    Raises:
        ModelError: the champion has no weights or was read without its references.
    """
    weights, references = champion.weights, champion.references
    if weights is None or references is None:
        raise ModelError("only a model with weights and references can learn from verdicts; train again")
    names, group = groups_of(weights)
    references = references.rows(~np.isin(references.change, verdicts.change[verdicts.is_fraud]))
    segment = segment_of(references.party, references.derived)
    points = weights.points(references.steps)
    unjudged = Unjudged(by_group(points, group), weights.score(points, segment), segment)
    judged = _judged(verdicts, weights, group)
    learned = lesson(judged, unjudged, weights.offset, params.learn)
    shares = np.bincount(segment, minlength=len(SEGMENTS)) / len(segment)

    def weights_of(one: Correction) -> Weights:
        base = weights.base + float(unjudged.usual @ (1 - one.multipliers)) - float(shares @ one.offsets)
        return weights.corrected(one.multipliers[group], one.offsets, base)

    moved = weights_of(learned.whole)
    score = moved.score(moved.points(references.steps), segment)
    part = np.where(np.isin(references.change, verdicts.change), part_of(references.change), -1)
    for at, other in enumerate(learned.others):
        of_others, own = weights_of(other), part == at
        score[own] = of_others.score(of_others.points(references.steps[own]), segment[own])
    moved = replace(moved, offset=offset(score, params.flag.base_rate))
    honest = replace(references, score=score).without_doubtful(DOUBTFUL, verdicts.change[~verdicts.is_fraud])
    compared = cells(honest, PARTIES, champion.ages, params.train.reference_min, MOST_REFERENCES)
    model = replace(
        champion,
        weights=moved,
        cells=compared,
        metrics={**champion.metrics, **references.counts(honest, compared)},
        uncorrected=Uncorrected(champion.version, weights, champion.cells),
        references=None,
    )
    at_bound = learned.whole.at_bound(params.learn)
    return model, Learned(
        multipliers=dict(zip(names, learned.whole.multipliers.tolist(), strict=True)),
        offsets=dict(zip(SEGMENTS, learned.whole.offsets.tolist(), strict=True)),
        at_bound=tuple(name for name, is_at in zip(names, at_bound, strict=True) if is_at),
        counts={"verdicts": len(verdicts.change), "frauds": int(verdicts.is_fraud.sum())},
        loss_before=learned.loss_before,
        loss_after=learned.loss_after,
        holds=learned.holds,
    )


def groups_of(weights: Weights) -> tuple[tuple[str, ...], Ints]:
    """The names of the groups of evidence, and the group of each shape: a feature's shapes are one, a lens is one."""
    named = [f"lens_{shape.name}" if shape.reading == LENS else shape.name for shape in weights.shapes]
    names = tuple(dict.fromkeys(named))
    return names, np.array([names.index(name) for name in named], dtype=np.int64)


def by_group(points: Floats, group: Ints) -> Floats:
    """Rows by groups: the points of each group's shapes, added in one order."""
    out = np.zeros((len(points), int(group.max()) + 1))
    for at, of in enumerate(group):
        out[:, of] += points[:, at]
    return out


def _judged(verdicts: Verdicts, weights: Weights, group: Ints) -> Judged:
    points = weights.points(verdicts.steps)
    rest = {name: values for name, values in vars(verdicts).items() if name != "steps"}
    return Judged(points=by_group(points, group), score=weights.score(points, verdicts.segment), **rest)
