"""Controls to compare the model with: chance, euros, two rules, a scorecard, other detectors, and an upper bound.

Each learns from the same frames as the model and ranks the same rows. Rules and weights were fixed
before any result was seen, and are not tuned to the synthetic insurers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.evaluation.pyod_detectors import new_detector
from payeewatch.evaluation.replay import Detector
from payeewatch.pipeline.home.errors import ModelError

Floats = NDArray[np.float64]

NEVER = -np.inf
MOST_LEARNED = 5_000
"""Rows an outside detector learns from, the latest of the frame: ECOD compares every row with all of them."""
RULE_DAYS = 30
RULE_HOUSEHOLDS = 3
RULE_EUROS = 300.0

SCORECARD: dict[str, tuple[float, float, float]] = {
    # feature: (from, up to and with, points); unknown gives none
    "name_check_doubt": (2, np.inf, 2),
    "fitted_unrecorded_claims_since_change": (1, np.inf, 2),
    "unrelated_households_on_account": (1, np.inf, 2),
    "unrecorded_amount_since_change": (300, np.inf, 1),
    "email_changes_14d": (1, np.inf, 1),
    "new_devices_7d": (1, np.inf, 1),
    "is_online_bank": (1, 1, 1),
    "auth_weakness": (3, np.inf, 1),
    "is_mobility_mandate": (1, 1, -2),
    "is_institution_account": (1, 1, -2),
}
"""Points as an experienced reviewer would give them; equal points are ordered by the euros at risk."""


class Chance:
    """Any open change as likely as any other."""

    name = "random"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        # drawn by name, so that it does not depend on how many other changes are open
        return np.array(
            [
                zlib.crc32(f"{self.seed}|{night}|{change}".encode())
                for change, night in zip(frame["change_id"], frame["as_of"], strict=True)
            ],
            dtype=np.float64,
        )


class Euros:
    """The most euros at risk first."""

    name = "amount"

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        return np.where(at_risk > 0, at_risk.astype(np.float64), NEVER)


class SharedAccount:
    """R0: changed at most 30 days ago, and the account is used by three households or more."""

    name = "rule R0"

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        fires = (frame["age_days"] <= RULE_DAYS) & (frame["other_households_on_account"] >= RULE_HOUSEHOLDS - 1)
        return _euros_where(fires, at_risk)


class UnrecordedEuros:
    """R1: changed at most 30 days ago, and 300 euros or more claimed since that no public record confirms."""

    name = "rule R1"

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        fires = (frame["age_days"] <= RULE_DAYS) & (frame["unrecorded_amount_since_change"] >= RULE_EUROS)
        return _euros_where(fires, at_risk)


class Scorecard:
    """Points added up, see SCORECARD."""

    name = "scorecard"

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        points = np.zeros(len(frame))
        for feature, (low, high, worth) in SCORECARD.items():
            points += worth * frame[feature].between(low, high).to_numpy()
        return points + at_risk / 1e12  # cents never make up for a point


class Outliers:
    """A PyOD detector with its defaults, on the features as they are: unknown is the median. It gives no reasons."""

    def __init__(self, name: str, kind: str, seed: int) -> None:
        self.name = name
        self.kind = kind
        self.seed = seed
        self.columns: list[str] = []
        self.middle: Floats = np.zeros(0)
        self.detector: Any = None

    def learn(self, frame: pd.DataFrame) -> None:
        latest = frame.sort_values(["as_of", "change_id"], kind="stable").tail(MOST_LEARNED)
        values = latest[feature_names(frame)]
        varying = values.nunique(dropna=True) > 1
        self.columns = list(varying.index[varying])
        self.middle = values[self.columns].median().to_numpy(dtype=np.float64)
        self.detector = new_detector(self.kind, self.seed)
        try:
            self.detector.fit(self._values(latest))
        except Exception as error:  # other people's code, on data it may not be made for
            raise ModelError(
                f"--detector {self.kind}: PyOD cannot fit it on {len(latest):,} rows of {len(self.columns)} features "
                f"({type(error).__name__}); name another one"
            ) from error

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        if frame.empty:
            return np.zeros(0)
        ranked: Floats = self.detector.decision_function(self._values(frame))
        return ranked

    def _values(self, frame: pd.DataFrame) -> Floats:
        values = frame[self.columns].to_numpy(dtype=np.float64)
        return np.where(np.isnan(values), self.middle, values)


class Supervised:
    """Gradient boosting on the labels of other worlds. Real insurers do not have these labels: it is an upper bound."""

    name = "supervised"

    def __init__(self, frames: Sequence[pd.DataFrame], labels: Sequence[NDArray[np.bool_]], seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.columns = feature_names(frames[0])
        values = np.concatenate([frame[self._inputs()].to_numpy(dtype=np.float64) for frame in frames])
        self.detector = HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=10, random_state=seed,
            class_weight="balanced",
        )  # fmt: skip
        self.detector.fit(values, np.concatenate(labels))

    def learn(self, frame: pd.DataFrame) -> None:
        pass

    def rank(self, frame: pd.DataFrame, at_risk: NDArray[np.int64]) -> Floats:
        if frame.empty:
            return np.zeros(0)
        ranked: Floats = self.detector.predict_proba(frame[self._inputs()].to_numpy(dtype=np.float64))[:, 1]
        return ranked

    def _inputs(self) -> list[str]:
        return [*self.columns, "age_days"]


def controls(seed: int, more: Sequence[str] = ()) -> list[Detector]:
    """Every control but the supervised one, which needs other worlds; and `more` detectors of PyOD by their class."""
    usual: list[Detector] = [
        Chance(seed),
        Euros(),
        SharedAccount(),
        UnrecordedEuros(),
        Scorecard(),
        Outliers("isolation forest", "IForest", seed),
        Outliers("ECOD", "ECOD", seed),
        Outliers("HBOS", "HBOS", seed),
    ]
    names = [name.rpartition(".")[2] for name in more]
    others = [name for name in dict.fromkeys(names) if name not in {detector.name for detector in usual}]
    return [*usual, *(Outliers(name, name, seed) for name in others)]


def feature_names(frame: pd.DataFrame) -> list[str]:
    """The features among a measured frame's columns."""
    from payeewatch.features import FEATURES

    return [name for name in FEATURES if name in frame]


def _euros_where(fires: pd.Series, at_risk: NDArray[np.int64]) -> Floats:
    return np.where(fires.to_numpy(), at_risk.astype(np.float64), NEVER)
