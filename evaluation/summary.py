"""Summarise insurers: means and spreads over seeds, and the paired differences between each control and the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from payeewatch.evaluation.assess import MODEL

MEASURES = (
    "precision", "recall", "prevented_euros", "prevented_share", "before_first_payment_share", "days_to_flag",
    "net_euros", "marginal_euros", "precision_ceiling", "flagged", "found", "frauds",
)  # fmt: skip
COMPARED = ("recall", "prevented_euros", "precision", "average_precision")
CONFIDENCE = 0.95

Worlds = Sequence[tuple[str, int, Mapping[str, Any]]]
"""(tier, seed, an assessment as a mapping)."""


def summary(worlds: Worlds) -> dict[str, Any]:
    """Tier -> its worlds' figures together. A tier with one world has no spread and no differences."""
    return {tier: _tier([(seed, assessment) for t, seed, assessment in worlds if t == tier]) for tier in _tiers(worlds)}


def _tiers(worlds: Worlds) -> list[str]:
    return list(dict.fromkeys(tier for tier, _, _ in worlds))


def _tier(worlds: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    def all_rows(part: str) -> pd.DataFrame:
        frames = [pd.DataFrame(assessment[part]).assign(seed=seed) for seed, assessment in worlds if assessment[part]]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    figures, rankings = all_rows("figures"), all_rows("rankings")
    facts = [assessment["facts"] for _, assessment in worlds]
    return {
        "seeds": [seed for seed, _ in worlds],
        "facts": {
            name: sum(fact[name] for fact in facts) / len(facts)
            for name in (
                "nights",
                "units",
                "frauds",
                "open_a_night",
                "capacity",
                "lost_euros_at_stake",
                "cases_without_change",
            )
        }
        | {name: facts[0][name] for name in ("first", "last", "retrain_days", "review_euros", "triage_days")},
        "figures": _means(figures, ["detector", "capacity"], MEASURES),
        "rankings": _means(rankings, ["detector"], ("average_precision", "prevalence", "lift")),
        "differences": _differences(figures, ["capacity"]) + _differences(rankings, []),
        "typologies": _pooled(all_rows("typologies"), "typology"),
        "causes": _pooled(all_rows("causes"), "cause"),
        "calibration": _calibration(all_rows("calibration")),
        "stability": _means(all_rows("stability"), ["kind", "top"], ("jaccard",)),
    }


def _means(frame: pd.DataFrame, keys: list[str], measures: Sequence[str]) -> list[dict[str, Any]]:
    if frame.empty:
        return []
    out = []
    for key, part in frame.groupby(keys, sort=False, dropna=False):
        row = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True)) | {"worlds": len(part)}
        for measure in measures:
            values = part[measure].astype(float).dropna()
            row[measure] = _number(values.mean())
            row[f"{measure}_sd"] = _number(values.std()) if len(values) > 1 else None
        out.append(row)
    return out


def _differences(frame: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    """Each detector minus the model, world by world, so that differences between worlds cancel out."""
    out: list[dict[str, Any]] = []
    if frame.empty:
        return out
    measures = [name for name in COMPARED if name in frame]
    of_model = frame[frame["detector"] == MODEL].set_index([*keys, "seed"])
    for key, part in frame[frame["detector"] != MODEL].groupby(["detector", *keys], sort=False):
        own = part.set_index([*keys, "seed"])
        for measure in measures:
            less = (own[measure].astype(float) - of_model[measure].astype(float)).dropna()
            if len(less) > 1:
                names = key if isinstance(key, tuple) else (key,)
                row = dict(zip(["detector", *keys], names, strict=True))
                out.append(row | {"measure": measure} | paired_difference(less))
    return out


def paired_difference(less: pd.Series) -> dict[str, Any]:
    """Mean of paired differences with its t interval."""
    from scipy.stats import t

    spread = float(less.std()) / math.sqrt(len(less))
    reach = float(t.ppf(0.5 + CONFIDENCE / 2, len(less) - 1)) * spread
    mean = float(less.mean())
    return {"worlds": len(less), "mean": mean, "low": mean - reach, "high": mean + reach}


def _pooled(frame: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Sums of counts over worlds."""
    if frame.empty:
        return []
    sums = frame.groupby(["detector", kind], sort=False)[["units", "flagged"]].sum().reset_index()
    rows = sums.assign(share=sums["flagged"] / sums["units"]).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _calibration(frame: pd.DataFrame) -> list[dict[str, Any]]:
    from payeewatch.pipeline.intervals import exact_interval

    if frame.empty:
        return []
    out = []
    for key, part in frame.groupby(["changes", "segment", "level"], sort=False):
        changes, segment, level = str(key[0]), str(key[1]), float(str(key[2]))
        n, observed = int(part["n"].sum()), int(part["observed"].sum())
        low, high = exact_interval(observed, n)
        out.append(
            {
                "changes": changes,
                "segment": segment,
                "level": level,
                "n": n,
                "observed": observed,
                "expected": n * level,
                "share": observed / n,
                "low": low,
                "high": high,
                "keeps_its_word": bool(low <= level),
            }
        )
    return out


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
