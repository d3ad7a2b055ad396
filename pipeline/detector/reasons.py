"""Reasons: which features caused a change's score, in sentences, and which suggest an honest change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from payeewatch.pipeline.detector.model import KEYS, Model
from payeewatch.pipeline.detector.surprise import DetectorFeature, Floats
from payeewatch.pipeline.home import findings, wording

MOST_REASONS = 5
MOST_REASSURING = 3
MOST_OF_A_FAMILY = 2
"""Five sentences about claims would hide who asked for the change."""

EXPLAINING = {
    "is_mobility_mandate": 1.0,
    "is_return_driven": 1.0,
    "is_return_to_earlier_account": 1.0,
    "is_announced_merger": 1.0,
    "is_institution_account": 1.0,
    "is_treasury": 1.0,
    "is_same_bank_group": 1.0,
    "bank_wave": 3.0,
}
"""CONTEXT features that explain a change honestly, from this value on."""

EXPLAINS = 10.0  # an explanation comes before any fact that is only ordinary
LEAST_POINTS = 0.05  # of a model with weights, to be worth a line: a twentieth more or less likely
LEAST_RARITY = 0.3  # of a number on its safe side, to be worth a line: twice as far out as the median


class ReasonFeature(DetectorFeature, Protocol):
    """The properties of a feature that reviewers see; payeewatch.features.registry.Feature has them."""

    @property
    def sentence(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def usual(self) -> str | None: ...
    @property
    def topic(self) -> str: ...


def reasons(frame: pd.DataFrame, model: Model, features: Sequence[ReasonFeature] | None = None) -> pd.DataFrame:
    """The reasons behind each row's score, in the frame's order. Features that the model does not know are no reason.

    Returns:
        change_id, as_of, reasons and reassuring: lists of mappings with the fields of REASON, strongest first.
    """
    if features is None:
        from payeewatch.features import FEATURES

        features = tuple(FEATURES.values())
    known = {record["name"] for record in model.features}
    features = [feature for feature in features if feature.name in known]
    names = [feature.name for feature in features]
    added = model.attribute(frame)[names].to_numpy()
    surprise = model.surprises(frame)[names].to_numpy()
    safe = model.safe_surprises(frame)[names].to_numpy()
    values = frame[names].to_numpy(dtype=np.float64)
    usual = usual_values(frame, model, features)[names].to_numpy()
    topics = _topics(features)
    points = _points_of_topics(added, topics)
    accuses = np.where(surprise > 0, added, 0.0)
    honest = np.column_stack([_speaks_for(f, values[:, at], safe[:, at]) for at, f in enumerate(features)])
    if model.weights:
        is_context = np.array([str(feature.suspicious).lower() == "context" for feature in features])
        is_different = ~np.isnan(values) & np.where(is_context, safe >= LEAST_RARITY, surprise > 0)
        tells = np.abs(points) >= LEAST_POINTS
        accuses = np.where(is_different & tells & (added > 0), points.clip(min=0), 0.0)
        honest = np.where((honest > 0) & tells & (added < 0), -points.clip(max=0), 0.0)
    says_nothing = _is_usual(values, usual)
    accuses, honest = np.where(says_nothing, 0.0, accuses), np.where(says_nothing, 0.0, honest)
    accuses, honest = _one_of_a_topic(accuses, added, topics), _one_of_a_topic(honest, -added, topics)
    accusing: list[list[dict[str, Any]]] = []
    reassuring: list[list[dict[str, Any]]] = []
    ranked, eased = _ranks(accuses), _ranks(honest)
    for row in range(len(frame)):
        strong = _strongest(ranked[row], features)
        calm = [at for at in eased[row] if at not in strong][:MOST_REASSURING]
        for chosen, out in ((strong, accusing), (calm, reassuring)):
            out.append([_reason(features[at], values[row, at], usual[row, at]) for at in chosen])
            for reason, at in zip(out[-1], chosen, strict=True):
                reason["points"] = float(points[row, at]) if model.weights else None
    columns = {name: frame[name].to_numpy() for name in KEYS}
    return pd.DataFrame(
        columns | {"reasons": pd.Series(accusing, dtype=object), "reassuring": pd.Series(reassuring, dtype=object)}
    ).set_index(frame.index)


def usual_values(frame: pd.DataFrame, model: Model, features: Sequence[ReasonFeature] | None = None) -> pd.DataFrame:
    """The usual value of each feature: the payee's own if there is one, otherwise the median of comparable changes."""
    if features is None:
        from payeewatch.features import FEATURES

        features = tuple(FEATURES.values())
    usual = model.usual(frame).reindex(columns=[feature.name for feature in features])
    for feature in features:
        if feature.usual:
            usual[feature.name] = frame[feature.usual].astype("float64").fillna(usual[feature.name])
    return usual


def _is_usual(values: Floats, usual: Floats) -> npt.NDArray[np.bool_]:
    """Where a value is unknown or near the usual one: `findings.is_usual` of each."""
    margin = findings.ALIKE * np.maximum(np.abs(values), np.abs(usual))
    return np.isnan(values) | (np.abs(values - usual) <= margin)


@lru_cache(maxsize=100_000)
def number_text(value: float, unit: str) -> str:
    """A feature's number as a reviewer reads it: `1,840.00 EUR`, `3 days`, `yes`, `12 %`, `1 in 300`."""
    return wording.measure_text(wording.measure(value, unit))


def _topics(features: Sequence[ReasonFeature]) -> list[list[int]]:
    """The positions of the features of each topic."""
    topics: dict[str, list[int]] = {}
    for at, feature in enumerate(features):
        topics.setdefault(feature.topic or feature.name, []).append(at)
    return list(topics.values())


def _points_of_topics(added: Floats, topics: Sequence[Sequence[int]]) -> Floats:
    """For each row and feature, what all features of its topic add together."""
    points = np.empty(added.shape)
    for topic in topics:
        points[:, topic] = added[:, topic].sum(axis=1, keepdims=True)
    return points


def _one_of_a_topic(strengths: Floats, added: Floats, topics: Sequence[Sequence[int]]) -> Floats:
    """The same strengths, but 0 for all features of a topic save the one, of those with a strength, that adds most."""
    out = np.zeros(strengths.shape)
    rows = np.arange(len(strengths))
    for topic in topics:
        adds = np.where(strengths[:, topic] > 0, added[:, topic], -np.inf)
        best = np.asarray(topic)[adds.argmax(axis=1)]
        out[rows, best] = strengths[rows, best]
    return out


def _strongest(ranked: Sequence[int], features: Sequence[ReasonFeature]) -> list[int]:
    of_family: dict[str, int] = {}
    chosen: list[int] = []
    for at in ranked:
        family = features[at].family
        of_family[family] = of_family.get(family, 0) + 1
        if of_family[family] <= MOST_OF_A_FAMILY and len(chosen) < MOST_REASONS:
            chosen.append(at)
    return chosen


def _ranks(strengths: Floats) -> list[list[int]]:
    """For each row, the positions of its positive strengths, strongest first, then in the features' order."""
    order = np.argsort(-strengths, axis=1, kind="stable")
    counts = (strengths > 0).sum(axis=1)
    return [row[:count].tolist() for row, count in zip(order, counts, strict=True)]


def _speaks_for(feature: ReasonFeature, values: Floats, safe: Floats) -> Floats:
    """How strongly each row's value suggests an honest change; 0 if it does not."""
    kind, unit = str(feature.suspicious).lower(), str(feature.unit).lower()
    if kind == "context":
        least = EXPLAINING.get(feature.name)
        return np.zeros(len(values)) if least is None else np.where(values >= least, EXPLAINS + safe, 0.0)
    is_best = np.zeros(len(values), dtype=bool)
    if kind == "high" and unit == "level":
        is_best = values == 0
    elif kind == "low" and unit in {"share", "yes or no"}:
        is_best = values == 1
    strength = np.where(is_best, LEAST_RARITY + safe, np.where(safe >= LEAST_RARITY, safe, 0.0))
    return np.where(np.isnan(values), 0.0, strength)


def _reason(feature: ReasonFeature, value: float, usual: float) -> dict[str, Any]:
    unit = str(feature.unit)
    now, before = number_text(value, unit), "" if math.isnan(usual) else number_text(usual, unit)
    reason = {
        "feature": feature.name,
        "value": now,
        "usual": before,
        "value_number": None if math.isnan(value) else float(value),
        "usual_number": None if math.isnan(usual) else float(usual),
        "unit": unit,
        "fact": feature.sentence,
        "points": None,
        "place_without": None,
    }
    return reason | {"sentence": _sentence(reason)}


def _sentence(reason: dict[str, Any]) -> str:
    """The reason in English, with the usual value where it tells something."""
    template, usual = findings.template(reason), findings.usual_to_say(reason)
    if not template:
        return _labelled(str(reason["fact"]).rstrip("."), reason["value"], reason["usual"])
    text = template % {"value": reason["value"]} if "%(value)s" in template else template
    return text if usual is None else f"{text.removesuffix('.')} (usually {reason['usual']})."


def _labelled(fact: str, now: str, before: str) -> str:
    """The reason of a feature that has no sentence of its own."""
    compared = f" (usually {before})" if before and before != now else ""
    if now == "yes":
        return f"{fact}{' (usually not)' if before == 'no' else ''}."
    return f"{fact}: {now}{compared}."
