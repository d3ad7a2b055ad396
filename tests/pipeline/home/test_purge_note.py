"""A purge that is killed and run again ends as one that nothing disturbed."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path

import pytest

from benchmarks.kills import killed_at
from payeewatch.pipeline.home import purge_note
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import NIGHTS, Home, copy_of

UNTIL = "2025-04-15"
"""Half a year after the nights: every flag's time is over."""
KILLS = 6


def purge(home: Home, at: int | None = None) -> int:
    """Purge, killed at the change number `at`; returns how many changes there were."""
    with killed_at(at) as moments:
        result = home.run("purge", "--until", UNTIL)
        assert result.exit_code == 0, result.output
    return moments.count


def contents(home: Home) -> dict[str, bytes]:
    """All that a purge leaves, but what the report of the last one counted."""
    folders = ("lake", "vault", "flags", "scores", "evidence", "runs", "reports", "holds", "releases", "outcomes")
    files = home.bytes_of(*folders)
    return {name: content for name, content in files.items() if "purge-" not in name and ".lock" not in name}


@pytest.fixture(scope="module")
def source(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = copy_of(published, tmp_path_factory.mktemp("purged"), without=["inbox", "mlflow"])
    assert (home.path / "reports" / f"{NIGHTS[0]}.html").exists()
    return home


def test_killed_anywhere_and_run_again_it_ends_as_an_undisturbed_one(source: Home, tmp_path: Path) -> None:
    whole = copy_of(source, tmp_path / "whole")
    moments = purge(whole)
    expected = contents(whole)
    assert moments > 30
    assert json.loads(expected[f"runs/{NIGHTS[0]}.json"])["purged_on"] == [UNTIL]
    assert f"reports/{NIGHTS[0]}.html" in expected
    for at in sorted(random.Random(3).sample(range(1, moments), KILLS)):
        home = copy_of(source, tmp_path / str(at))
        assert purge(home, at) >= at
        purge(home)
        again = contents(home)
        assert [name for name in {*again, *expected} if again.get(name) != expected.get(name)] == [], at


def test_a_note_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    nights = [date(2024, 9, 23), date(2024, 9, 24)]
    purge_note.begin(settings, nights)
    assert purge_note.note_flags(settings, {"F1"}) == {"F1"}
    purge_note.note_change(settings, "flags/2024-09-23.parquet")
    note = purge_note.begin(settings, [])
    assert (note.imported, note.flags, note.nights) == (tuple(nights), ("F1",), {nights[0]})
    assert purge_note.note_flags(settings, {"F2"}) == {"F1", "F2"}
    purge_note.note_done(settings)
    purge_note.end(settings)
    assert purge_note.read_note(settings) is None


def test_a_note_that_says_nothing_is_refused(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    purge_note.begin(settings)
    (tmp_path / "home" / "releases" / purge_note.FILE).write_text("{}")
    with pytest.raises(StoreError, match="purging"):
        purge_note.read_note(settings)
