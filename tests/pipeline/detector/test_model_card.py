"""What MLflow shows of a version."""

from __future__ import annotations

from payeewatch.pipeline.detector.model_card import card, example_rows
from tests.measured import measured, small_model


def test_the_example_is_a_row_that_the_model_scores() -> None:
    model = small_model()
    rows = example_rows(model)
    assert list(rows["party"]) == sorted(model.groups)
    assert model.score(rows)["p_value"].min() > 0.05  # the usual change is not unusual
    measured_columns = set(measured(2).columns)
    assert set(rows) <= measured_columns


def test_the_example_names_no_change() -> None:
    ids = set(measured(900)["change_id"])
    assert not ids & set(example_rows(small_model())["change_id"])


def test_the_card_is_written_from_the_run() -> None:
    text = card(small_model(), {"lake_sequence": "7", "lake_fingerprint": "abc", "note": "a first try"})
    assert "| learned from | 900 past changes; 0 confirmed as fraud left out |" in text
    assert "| data | lake up to load 7, digest abc |" in text
    assert "| note | a first try |" in text
    assert all(warning in text for warning in small_model().warnings)


def test_the_card_of_a_correction_names_its_champion() -> None:
    assert "Corrects version 4 by verdicts" in card(small_model(), {"learned_from": "4"})
