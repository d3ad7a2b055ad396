"""A small measured world: honest changes at six ages, a dozen features of every kind, drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.evidence import LENS, SURPRISE, VALUE, Shape, Weights
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.training.fit import train

AGES = (0, 2, 7, 21, 60, 120)
LAST_DAY = date(2024, 6, 30)


@dataclass(frozen=True)
class Fact:
    """As much of a feature as the detector reads."""

    name: str
    suspicious: str = "high"
    missing: str = "zero"
    lens: str = "request"
    unit: str = "count"
    usual: str | None = None
    is_member_only: bool = False
    family: str = ""
    sentence: str = ""
    definition: str = "as in the frame"
    topic: str = ""

    @classmethod
    def of(cls, family: str, name: str, **facts: object) -> Fact:
        return replace(cls(name, family=family, sentence=f"Number of {name}."), **facts)  # type: ignore[arg-type]


FACTS = (
    Fact.of("change", "changes_before"),
    Fact.of("change", "name_doubt", missing="unknown", unit="level"),
    Fact.of("change", "is_abroad", unit="yes or no"),
    Fact.of("exposure", "breach_lists", is_member_only=True),
    Fact.of("tenure", "member_days", suspicious="low", missing="unknown", unit="days"),
    Fact.of("channel", "is_mobility_mandate", suspicious="context", missing="never", unit="yes or no"),
    Fact.of("claims", "usual_amount", suspicious="context", missing="unknown", unit="EUR", lens="claims"),
    Fact.of("claims", "amount", unit="EUR", lens="claims", usual="usual_amount"),
    Fact.of("claims", "largest", unit="EUR", lens="claims"),
    Fact.of("claims", "claims", lens="claims"),
    Fact.of("company", "households", lens="company"),
    Fact.of("company", "payees_lately", lens="company"),
)
SHIPPED = Params.read(DEFAULT_PARAMS)
SMALL = SHIPPED.train.model_copy(update={"trees": 30, "samples_per_tree": 128, "reference_min": 100})
FAST = SHIPPED.model_copy(update={"train": SMALL})


def measured(changes: int, seed: int = 1, provider_share: float = 0.1) -> pd.DataFrame:
    """Honest changes, one row per age: amounts grow with age, everything else stays."""
    draw = np.random.default_rng(seed)

    def spread(values: object) -> np.ndarray:
        return np.repeat(np.asarray(values), len(AGES))

    age = np.tile(AGES, changes)
    requested_on = np.datetime64(LAST_DAY) - draw.integers(120, 700, changes)
    weekly = draw.gamma(0.5, 20.0, changes)
    is_provider = draw.random(changes) < provider_share
    amount = np.round(spread(weekly) * np.sqrt(age) * draw.uniform(0.5, 1.5, changes * len(AGES)), 2)
    columns = {
        "change_id": [f"C{seed}-{number:05d}" for number in spread(range(changes))],
        "payee_id": [f"P{seed}-{number // 2:05d}" for number in spread(range(changes))],
        "as_of": (spread(requested_on) + age.astype("timedelta64[D]")).astype("datetime64[us]"),
        "party": np.where(spread(is_provider), "provider", "member").astype(object),
        "derived": spread(draw.random(changes) < 0.2),
        "age_days": age,
        "channel": "portal",
        "changes_before": spread(draw.poisson(0.2, changes)),
        "name_doubt": spread(np.where(draw.random(changes) < 0.2, np.nan, draw.choice([0, 0, 0, 0, 1, 3], changes))),
        "is_abroad": spread(draw.random(changes) < 0.03),
        "breach_lists": spread(np.where(is_provider, np.nan, draw.poisson(0.3, changes))),
        "member_days": spread(np.where(draw.random(changes) < 0.05, np.nan, draw.integers(30, 4000, changes))),
        "is_mobility_mandate": spread(draw.random(changes) < 0.1),
        "usual_amount": spread(np.round(weekly * 2, 2)),
        "amount": amount,
        "largest": np.round(amount * 0.6, 2),
        "claims": np.floor(amount / 30),
        "households": spread(draw.choice([0, 0, 0, 0, 0, 0, 0, 0, 1, 2], changes)),
        "payees_lately": spread(draw.random(changes) < 0.05),
    }
    frame = pd.DataFrame(columns)
    return frame.astype({fact.name: "float64" for fact in FACTS})


def unusual(frame: pd.DataFrame) -> pd.DataFrame:
    """The same changes, each made unusual in every lens."""
    return frame.assign(name_doubt=3.0, is_abroad=1.0, amount=4000.0, largest=3000.0, claims=40.0, households=9.0)


@cache
def small_model() -> Model:
    """Trained on 900 changes; the same one for every test."""
    return train(measured(900), FAST, features=FACTS, as_of=LAST_DAY)


def shape(name: str, reading: str, edges: list[float], points: list[float], unknown: float = 0.0) -> Shape:
    return Shape(name, reading, np.array(edges, dtype=np.float64), np.array(points, dtype=np.float64), unknown)


WEIGHTS = Weights(
    shapes=(
        shape("name_doubt", VALUE, [0.5, 2.5], [-0.5, 0.25, 2.0], unknown=0.125),
        shape("households", SURPRISE, [0.0, 1.0], [-0.25, 0.0, 3.0]),
        shape("amount", SURPRISE, [-1.0, 0.5, 1.5], [-0.5, 0.0, 1.0, 1.5]),
        shape("breach_lists", SURPRISE, [0.5], [0.0, 0.75], unknown=-0.0625),
        shape("member_days", SURPRISE, [0.0], [-0.5, 0.5], unknown=1.0),
        shape("is_mobility_mandate", VALUE, [0.5], [0.125, -2.0]),
        shape("usual_amount", SURPRISE, [0.3], [0.0, -0.25]),
        shape("request", LENS, [0.5, 1.5], [-0.5, 0.25, 1.0]),
        shape("company", LENS, [0.25, 1.0], [-0.25, 0.5, 1.25]),
    ),
    base=-4.0,
)
"""What facts of the small world are worth, made up: every kind of reading, and one lens without a shape."""


@cache
def weighed_model() -> Model:
    """As `small_model`, with weights."""
    return train(measured(900), FAST, features=FACTS, as_of=LAST_DAY, weights=WEIGHTS)
