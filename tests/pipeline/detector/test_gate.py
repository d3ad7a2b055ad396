"""The gate before a promotion: what refuses a challenger, and which comparison counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import gate, model_registry
from payeewatch.pipeline.detector.gate import ComparisonFigures
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params, Settings

PARAMS = Params.read(DEFAULT_PARAMS).promotion
GOOD = ComparisonFigures("run", nights=14, champion_flagged=40, flagged=50, share_p05=0.05, p05_interval=(0.04, 0.06))


def refused(compared: ComparisonFigures | None) -> str:
    return "; ".join(gate.refusals(compared, PARAMS, "3"))


def test_a_challenger_without_a_comparison_is_refused() -> None:
    assert "payeewatch compare champion 3" in refused(None)


def test_a_challenger_like_the_champion_passes() -> None:
    assert refused(GOOD) == ""


@pytest.mark.parametrize(
    ("share", "interval", "passes"),
    [
        (0.09, (0.072, 0.11), False),
        (0.09, (0.069, 0.12), True),  # chance could explain it
        (0.01, (0.001, 0.029), False),
        (0.01, (0.0, 0.04), True),
    ],
)
def test_p_values_may_miss_their_word_by_chance_only(share: float, interval: tuple[float, float], passes: bool) -> None:
    said = refused(replace(GOOD, share_p05=share, p05_interval=interval))
    assert passes == (said == "")
    assert passes or "it must be 3% to 7%" in said


def test_more_flags_than_the_stated_multiple_are_refused() -> None:
    assert refused(replace(GOOD, flagged=67)) == ""  # 1.5 times 40, and 0.5 for each of 14 nights
    said = refused(replace(GOOD, flagged=68))
    assert said == "it would flag 68 changes where the champion flags 40; at most 67 are allowed"


@pytest.mark.parametrize(
    ("nights", "champion_flagged", "most"), [(14, 0, 7), (14, 1, 8), (1, 0, 0), (2, 1, 2), (28, 0, 14)]
)
def test_a_few_flags_more_a_night_are_no_reason_to_refuse(nights: int, champion_flagged: int, most: int) -> None:
    compared = replace(GOOD, nights=nights, champion_flagged=champion_flagged)
    assert refused(replace(compared, flagged=most)) == ""
    assert f"at most {most} are allowed" in refused(replace(compared, flagged=most + 1))


def test_without_more_flags_a_night_the_multiple_alone_counts() -> None:
    params = PARAMS.model_copy(update={"more_flags_a_night": 0})
    assert gate.most_flags(GOOD, params) == 60


def test_the_newest_comparison_of_the_two_counts_whichever_was_named_first(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    assert gate.newest_comparison(settings, "1", "2") is None
    for (a, b), flagged in {("1", "2"): (10, 20), ("2", "1"): (30, 40), ("1", "3"): (50, 60)}.items():
        metrics = gate.metrics_of("a", flagged[0], 0.04, (0.03, 0.05)) | gate.metrics_of(
            "b", flagged[1], 0.06, (0.05, 0.07)
        )
        metrics[gate.NIGHTS] = 14
        model_registry.log_run(settings, gate.COMPARISONS, f"compare {a} {b}", metrics, [], {"a": a, "b": b})
    compared = gate.newest_comparison(settings, "1", "2")
    assert compared
    assert (compared.nights, compared.champion_flagged, compared.flagged) == (14, 40, 30)
    assert (compared.share_p05, compared.p05_interval) == (0.04, (0.03, 0.05))
    assert gate.newest_comparison(settings, "2", "3") is None
