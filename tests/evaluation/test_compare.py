"""Two versions over the same nights: what one flags and the other does not, without hindsight, and without names."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.evaluation.compare import Comparison, compare
from payeewatch.evaluation.comparison_record import write
from payeewatch.pipeline.detector import gate
from payeewatch.pipeline.home.errors import InputMissing, ModelError
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from tests.conftest import HISTORY, LAST_DROP, NIGHTS, Home, copy_of

QUEUES = ("hold", "review")


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


@pytest.fixture(scope="module")
def home(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copy_of(challenged, tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def compared(home: Home) -> Comparison:
    with opened(settings_of(home)) as session:
        return compare(session, ("champion", "challenger"))


def test_the_last_published_nights_are_compared(compared: Comparison) -> None:
    assert (compared.span.first, compared.span.last, compared.nights) == (NIGHTS[0], NIGHTS[-1], len(NIGHTS))
    assert (compared.a.version, compared.b.version) == ("1", "2")


def test_the_champion_flags_what_it_flagged(compared: Comparison, home: Home) -> None:
    flags = pd.concat([pd.read_parquet(home.path / "flags" / f"{night}.parquet") for night in NIGHTS])
    queued = flags[flags["queue"].isin(QUEUES)].drop_duplicates("change_id")
    assert compared.a.flagged.changes == len(queued) > 3
    assert compared.a.flagged.euros == float(queued["amount_at_risk"].sum())
    assert sum(compared.a.flagged.kinds.values()) == sum(compared.a.flagged.reasons.values()) == len(queued)


def test_every_flag_is_gained_or_lost_or_in_both(compared: Comparison) -> None:
    both, gained, lost = compared.both.changes, compared.only_b.changes, compared.only_a.changes
    assert (both + lost, both + gained) == (compared.a.flagged.changes, compared.b.flagged.changes)
    assert (gained, lost) == (len(compared.gained), len(compared.lost))
    assert compared.rank_correlation
    assert 0.5 < compared.rank_correlation < 1


def test_calibration_has_exact_intervals(compared: Comparison) -> None:
    for side in (compared.a, compared.b):
        assert [each.level for each in side.calibration] == [0.05, 0.01, 0.001]
        assert all(each.low <= each.share <= each.high for each in side.calibration)


def test_the_gate_reads_what_is_logged_and_no_file_names_a_change(
    compared: Comparison, home: Home, tmp_path: Path
) -> None:
    settings = settings_of(home)
    write(settings, compared, tmp_path)
    found = gate.newest_comparison(settings, "1", "2")
    assert found
    assert (found.champion_flagged, found.flagged) == (compared.a.flagged.changes, compared.b.flagged.changes)
    assert found.nights == len(NIGHTS)
    scores = pd.read_parquet(home.path / "scores" / f"{NIGHTS[-1]}.parquet")
    ids = {*scores["change_id"], *scores["member_id"].dropna(), *scores["payee_id"], *scores["account"]}
    logged = settings.folder("mlflow") / "artifacts" / found.run_id / "artifacts"
    assert sorted(path.name for path in logged.iterdir()) == ["comparison.html", "comparison.json"]
    for path in (*logged.iterdir(), *tmp_path.iterdir()):
        words = set(re.findall(r"[\w-]+", path.read_text(encoding="utf-8")))
        assert not words & ids
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "://" not in page
    assert json.loads((tmp_path / "comparison.json").read_text())["a"]["version"] == "1"


def test_nights_of_which_a_version_knows_more_are_left_out_or_refused(home: Home, tmp_path: Path) -> None:
    later = copy_of(home, tmp_path)
    later.done("train", "--as-of", str(NIGHTS[1]), "--without", "holder_names_found_share")
    with opened(settings_of(later)) as session:
        result = compare(session, ("champion", "challenger"), NIGHTS[0], NIGHTS[-1])
        with pytest.raises(ModelError, match=f"version 3 knows what was known on {NIGHTS[1]}"):
            compare(session, ("champion", "3"), NIGHTS[0], NIGHTS[0])
    assert (result.span.first, result.span.left_out) == (NIGHTS[1], (NIGHTS[0],))


def test_a_night_without_a_drop_is_compared_too(home: Home, tmp_path: Path) -> None:
    later, night = copy_of(home, tmp_path), NIGHTS[-1] + timedelta(days=1)
    shutil.rmtree(later.path / "inbox" / str(night))
    later.done("night", str(night), "--no-news")
    with opened(settings_of(later)) as session:
        assert compare(session, ("champion", "challenger"), night).span.last == night


def test_what_came_later_changes_nothing(compared: Comparison, home: Home, tmp_path: Path) -> None:
    """The property of every backtest: a lake that knows more gives the same comparison of past nights."""
    later = copy_of(home, tmp_path)
    later.done("ingest", "--until", str(LAST_DROP))
    with opened(settings_of(later)) as session:
        again = compare(session, ("champion", "challenger"), NIGHTS[0], NIGHTS[-1])
    assert again.as_dict() == compared.as_dict()


def test_what_cannot_be_compared_says_why(home: Home, trained: Home, tmp_path: Path) -> None:
    with opened(settings_of(home)) as session:
        with pytest.raises(ModelError, match="are the same version, 1"):
            compare(session, ("champion", "1"))
        with pytest.raises(InputMissing, match="the lake ends on"):
            compare(session, ("1", "2"), None, date(2030, 1, 1))
        with pytest.raises(ModelError, match="without hindsight"):
            compare(session, ("1", "2"), None, HISTORY - timedelta(days=1))


def test_the_command_names_what_was_gained_and_writes_its_page(home: Home) -> None:
    answer = json.loads(home.done("compare", "2", "1", "--json").stdout)
    assert answer["a"]["version"] == "2"
    assert len(answer["gained"]) == answer["only_b"]["changes"]
    assert (Path(answer["out"]) / "comparison.html").exists()
