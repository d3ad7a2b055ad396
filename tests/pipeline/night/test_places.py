"""Where a flag would stand without one of its reasons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.detector.evidence import Weights
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.night.places import add_places
from payeewatch.pipeline.night.queues import Queues, expected_loss_cents

FLAG = Params.read(DEFAULT_PARAMS).flag
WEIGHTS = Weights((), 0.0, offset=-4.0)
SCORES = {"A": 6.0, "B": 4.0, "C": 2.0, "D": 0.0}


def queues() -> Queues:
    scores = np.array(list(SCORES.values()))
    at_risk = np.zeros(len(scores), dtype=np.int64)
    cents = expected_loss_cents(np.full(len(scores), 0.01), at_risk, FLAG, WEIGHTS.chance(scores))
    flag = {"change_id": "A", "score": SCORES["A"], "p_value": 0.01, "at_risk_cents": 0, "age_days": 0.0}
    return Queues([flag], pd.DataFrame(), losses=pd.Series(cents, index=list(SCORES)))


@pytest.mark.parametrize(("points", "place"), [(0.5, 1), (3.0, 2), (5.0, 3), (6.5, 4), (-1.0, 1)])
def test_the_place_is_that_of_the_score_without_the_reason(points: float, place: int) -> None:
    why = pd.DataFrame({"change_id": ["A"], "reasons": [[{"points": points, "place_without": None}]]})
    add_places(why, queues(), WEIGHTS, FLAG)
    assert why["reasons"].iloc[0][0]["place_without"] == place


def test_a_model_without_weights_says_no_place() -> None:
    why = pd.DataFrame({"change_id": ["A"], "reasons": [[{"points": None, "place_without": None}]]})
    add_places(why, queues(), None, FLAG)
    assert why["reasons"].iloc[0][0]["place_without"] is None
