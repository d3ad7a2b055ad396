"""The public page of criteria: what is looked at, how it counts, what is never used; without limits or weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payeewatch.dossier import words
from payeewatch.dossier.answers import Answer
from payeewatch.dossier.statements import Both
from payeewatch.features.registry import FEATURES, Feature, Suspicious

if TYPE_CHECKING:
    from payeewatch.pipeline.detector.evidence import Weights

NEVER_READ = (
    "sex", "postal_code", "department", "birth_date", "birth_year", "birth_rank", "national_id", "holder_national_id",
    "family_name", "given_names", "birth_name", "guarantee_level", "employer_id", "broker_id", "specialty",
)  # fmt: skip
"""Columns about a person that no feature reads; a test walks through what every feature asks for."""
LEAST_POINTS = 0.05
"""Points in log-odds, either way: less than this is no criterion."""


@dataclass(frozen=True)
class Criterion:
    """One line of the page: `counts` is against, for, either, or shown where it counts nothing in the model in use."""

    group: str
    text: Both
    counts: str


def criteria(weights: Weights | None = None) -> list[Criterion]:
    """The lines of the page, in the order of the features' families."""
    lines = []
    for entry in words.texts("criteria")["criteria"].values():
        features = [FEATURES[name] for name in entry["features"]]
        lines.append(Criterion(features[0].family, words.both(entry), counts_of(features, weights)))
    return lines


def columns_read() -> dict[str, set[str]]:
    """Feature -> every column that it, or a part of it, asks for, without the source's prefix."""
    from payeewatch.features.registry import PARTS

    everything: Mapping[str, Feature] = {**PARTS, **FEATURES}
    read: dict[str, set[str]] = {}
    for name in everything:
        waiting, reached = [name], {name}
        while waiting:
            asks = everything[waiting.pop()].asks
            waiting += [each for each in asks if each in everything and each not in reached]
            reached |= asks
        read[name] = {each.rpartition("__")[2] for each in reached}
    return {name: read[name] for name in FEATURES}


def page_content(
    answers: Mapping[str, Answer],
    insurer: str,
    weights: Weights | None = None,
    *,
    is_automatic: bool = False,
    has_sample: bool = True,
) -> dict[str, Any]:
    """What the template of the page needs.

    `is_automatic`: what a night proposes is held before people decide. `has_sample`: nights draw an audit sample.
    """
    texts = words.texts("criteria")
    open_rows = {"rights.contest": "contact_open", "rights.complaint": "complaint_open"}
    contacts = [answers[key].text if key in answers else words.both(texts[name]) for key, name in open_rows.items()]
    lines = criteria(weights)
    groups = [
        (words.both(name), [each for each in lines if each.group == key]) for key, name in texts["groups"].items()
    ]
    return {
        "texts": texts, "groups": groups, "contacts": contacts, "insurer": insurer, "is_automatic": is_automatic,
        "has_sample": has_sample,
    }  # fmt: skip


def directions_of(weights: Weights) -> dict[str, set[str]]:
    """Feature -> whether its points go against a change, for it, or both."""
    directions: dict[str, set[str]] = {}
    for shape in weights.shapes:
        found = directions.setdefault(shape.name, set())
        found |= {"against"} if shape.points.max() > LEAST_POINTS else set()
        found |= {"for"} if shape.points.min() < -LEAST_POINTS else set()
    return directions


def counts_of(features: Iterable[Feature], weights: Weights | None) -> str:
    """How features count in the model in use: by their points, and against a change by what the forests read.

    Without a model, the registry says it: a feature that explains a change is for it.
    """
    features, directions = list(features), directions_of(weights) if weights else None
    points = {each.name: (directions or {}).get(each.name, ()) for each in features}
    is_against = any(each.suspicious != Suspicious.CONTEXT or "against" in points[each.name] for each in features)
    if directions is None:
        is_for = any(each.suspicious == Suspicious.CONTEXT for each in features)
    else:
        is_for = any("for" in points[each.name] for each in features)
    if is_against:
        return "either" if is_for else "against"
    return "for" if is_for else "shown"
