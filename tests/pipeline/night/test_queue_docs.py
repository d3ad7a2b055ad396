"""docs/queues.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from payeewatch.pipeline.home.settings import Flag
from payeewatch.pipeline.night.queues import Queue, WhyNot, chance
from tests.lake_rows import PARAMS

PAGE = (Path(__file__).parents[3] / "docs" / "queues.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", [*Queue, *WhyNot])
def test_every_queue_and_every_reason_to_be_in_none_is_told(word: str) -> None:
    assert f"| {word} |" in PAGE or f"| `{word}` |" in PAGE


@pytest.mark.parametrize("name", Flag.model_fields)
def test_every_parameter_of_the_queues_is_told(name: str) -> None:
    assert f"`flag.{name}`" in PAGE


def test_the_likelihood_ratios_on_the_page_are_those_of_the_code() -> None:
    p = np.array([0.05, 0.005, 0.001, 0.0001])
    likely, rate = chance(p, PARAMS.flag.base_rate), PARAMS.flag.base_rate
    ratios = likely / (1 - likely) * (1 - rate) / rate
    words = " at p = 0.05, ".join((f"{ratios[0]:.1f}", f"{ratios[1]:.0f} at 0.005, {ratios[2]:.0f} at 0.001, "))
    assert f"{words}{ratios[3]:.0f} at 0.0001" in PAGE
