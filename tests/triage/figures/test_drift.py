"""Drift of a night's scores, and the nights' pages."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.figures.drift import drift, ks, psi
from payeewatch.triage.models import Night, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import MORNING, signed_in, user


def write(folder: Path, night: str, shift: float = 0.0, rows: int = 400, model: str = "1", gaps: int = 0) -> None:
    values = np.random.default_rng(int(night[-2:])).normal(shift, 1, rows)
    columns = {name: pa.array(values) for name in ("score", "p_value", "lens_request", "lens_company")}
    columns["lens_claims"] = pa.array([None] * gaps + values[gaps:].tolist())
    names = {"change_id": [f"C{n}" for n in range(rows)], "segment": ["one"] * rows, "model_version": [model] * rows}
    flag_ids = pa.array(["F" if n < rows * (0.1 + shift / 10) else None for n in range(rows)], pa.string())
    pq.write_table(pa.table(columns | names | {"flag_id": flag_ids}), folder / f"{night}.parquet")


@pytest.fixture
def scored(reviewed: Settings) -> Settings:
    for path in reviewed.folder("scores").glob("*"):
        path.unlink()
    for day in range(10, 20):
        write(reviewed.folder("scores"), f"2024-08-{day}")
    return reviewed


def state_of(settings: Settings) -> str:
    result = drift(settings, date(2024, 8, 20))
    assert result
    return result.columns[0].state


def test_nothing_moves_where_nothing_moved(scored: Settings) -> None:
    result = drift(scored, date(2024, 8, 19))
    assert result
    assert {each.name: each.state for each in result.columns}["score"] == "good"
    assert len(result.reference) == 9
    assert not result.other_model


def test_scores_that_moved_by_half_their_spread_are_shown(scored: Settings) -> None:
    write(scored.folder("scores"), "2024-08-20", shift=1.0, gaps=40)
    result = drift(scored, date(2024, 8, 20))
    assert result
    columns = {each.name: each for each in result.columns}
    assert columns["score"].state == "bad"
    assert (columns["score"].ks or 0) > 0.3
    assert columns["lens_claims"].missing == 0.1
    assert (result.segments[0].flagged, result.segments[0].flagged_before) == (0.2, 0.1)


def test_another_model_version_is_shown(scored: Settings) -> None:
    write(scored.folder("scores"), "2024-08-20", model="2")
    result = drift(scored, date(2024, 8, 20))
    assert result
    assert result.other_model


def test_too_few_scores_say_nothing(scored: Settings) -> None:
    write(scored.folder("scores"), "2024-08-20", rows=20)
    result = drift(scored, date(2024, 8, 20))
    assert result
    assert {(each.psi, each.state) for each in result.columns} == {(None, "few")}


def test_a_night_rewritten_is_measured_again(scored: Settings) -> None:
    write(scored.folder("scores"), "2024-08-20")
    assert state_of(scored) == "good"
    write(scored.folder("scores"), "2024-08-20", shift=3.0)
    assert state_of(scored) == "bad"


def test_the_first_night_has_nothing_to_be_compared_with(scored: Settings) -> None:
    assert drift(scored, date(2024, 8, 10)) is None
    assert drift(scored, date(2024, 7, 1)) is None


def test_measures_are_those_of_the_textbook() -> None:
    assert psi([0.5, 0.5], [0.5, 0.5]) == 0
    assert psi([0.6, 0.4], [0.5, 0.5]) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert ks(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert ks(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1


def test_the_nights_pages_show_what_was_read_and_refused(cast: dict[str, User]) -> None:
    client = signed_in(cast["auditor"])
    assert client.get(reverse("nights")).status_code == 200
    for night in Night.objects.all():
        page = client.get(reverse("night", args=[night.night])).content.decode()
        for name, facts in night.run["tables"].items():
            assert f"<code>{name}</code>" in page
            assert all(rule in page for rule in facts["rejections"])
        assert all(each["title"] in page for each in night.run["lists"])
    assert client.get(reverse("night", args=["2020-01-01"])).status_code == 404


def test_the_page_of_a_night_says_what_is_unlike_the_training(house: Settings) -> None:
    moved = {"segment": "member announced", "column": "amount", "changes": 112, "side": "higher", "share": 0.41}
    facts = {
        "reference": "3", "false_alarms_a_year": 1.0, "moved": [moved | {"usual": 0.1, "psi": 0.6}],
        "pools": {"member announced": {"changes": 112, "nights": 9, "references": 800}},
    }  # fmt: skip
    run = {"model": {"name": "payeewatch", "version": "3"}, "tables": {}, "drift": facts}
    night = Night.objects.create(night=MORNING.date(), digest="", published_at=MORNING, run=run)
    client, address = signed_in(user(Role.SCIENTIST)), reverse("night", args=[night.night.isoformat()])
    page = client.get(address).text
    for text in ("version 3 was trained on", "<code>amount</code>", "41 %", "112 changes of the last 9 nights"):
        assert text in page
    Night.objects.update(run=run | {"drift": facts | {"moved": []}})
    assert "Nothing is unlike the training." in client.get(address).text
    Night.objects.update(run=run | {"drift": {"reference": None}})
    assert "Beside the training" not in client.get(address).text
