"""Where a flag would stand without one of its reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.evidence import Weights
from payeewatch.pipeline.home.settings import Flag
from payeewatch.pipeline.night.queues import Queues, expected_loss_cents


def add_places(why: pd.DataFrame, queues: Queues, weights: Weights | None, params: Flag) -> None:
    """Set `place_without` of the reasons in `why`, which has the columns of `reasons` and one row per scored flag.

    The place is among all changes scored on the night, by the loss expected of each. Without weights no part of the
    score can be taken away and the chance told again: the place stays null.
    """
    if weights is None:
        return
    losses = np.sort(queues.losses.to_numpy())
    flags = {row["change_id"]: row for row in queues.flags}
    for change_id, reasons in zip(why["change_id"], why["reasons"], strict=True):
        own = queues.losses[change_id]
        for reason in reasons:
            without = _loss_without(flags[change_id], reason["points"], weights, params)
            larger = len(losses) - int(np.searchsorted(losses, without, side="right")) - int(own > without)
            reason["place_without"] = larger + 1


def _loss_without(flag: dict[str, Any], points: float, weights: Weights, params: Flag) -> int:
    chance = weights.chance(np.array([flag["score"] - points]))
    at_risk = np.array([flag["at_risk_cents"]], dtype=np.int64)
    age = np.array([flag["age_days"]], dtype=np.float64)
    return int(expected_loss_cents(np.array([flag["p_value"]]), at_risk, params, chance, age)[0])
