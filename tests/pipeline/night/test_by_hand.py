"""Evidence of one change for a case that a person opens: the same as that of a flag, and nothing else changes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Refusal, Request
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.published import FLAGS_SCHEMA
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.night.by_hand import BY_HAND_SCHEMA
from payeewatch.pipeline.night.evidence import EVIDENCE_SCHEMA
from payeewatch.pipeline.opening import opened
from tests.conftest import NIGHTS, Home, copy_of

NIGHT = NIGHTS[-1]
OUTPUTS = ("flags", "scores", "runs", "reports", "holds", "lake")


@pytest.fixture
def home(published: Home, tmp_path: Path) -> Home:
    return copy_of(published, tmp_path)


def rows(home: Home, folder: str, night: date = NIGHT) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(home.path / folder / f"{night}.parquet").to_pylist()
    return rows


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def frozen(home: Home, change: str, *words: str) -> dict[str, Any]:
    (answered,) = json.loads(home.done("evidence", change, *words, "--json").stdout)["answered"]
    table = pq.read_table(answered["file"])
    assert table.schema.equals(BY_HAND_SCHEMA)
    (row,) = table.to_pylist()
    assert row["flag_id"] == answered["flag_id"]
    return dict(row)


def ask(home: Home, change: str, at: datetime = datetime(2024, 9, 26, 7, tzinfo=UTC)) -> Path:
    settings, keys = settings_of(home), Keys.load(home.key_file)
    by_hand.write_request(settings, keys, Request(change, "0123456789ab", at))
    return by_hand.request_path(settings, by_hand.name_of(keys, change))


def unflagged(home: Home) -> dict[str, Any]:
    return next(row for row in rows(home, "scores") if row["why_not"])


def without_places(reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "place_without"} for each in reasons]


@pytest.mark.parametrize("night", [NIGHTS[0], NIGHT], ids=["with later nights in the lake", "the last night"])
def test_a_flagged_change_is_frozen_as_its_night_froze_it(home: Home, night: date) -> None:
    flag = rows(home, "flags", night)[0]
    (evidence,) = [row for row in rows(home, "evidence", night) if row["flag_id"] == flag["flag_id"]]
    row = frozen(home, flag["change_id"], "--on", str(night))
    assert {name: row[name] for name in EVIDENCE_SCHEMA.names} == evidence
    own = {"queue", "rank", "is_new", "first_flagged_on", "reasons"}
    assert {name: row[name] for name in FLAGS_SCHEMA.names if name not in own} == {
        name: value for name, value in flag.items() if name not in own
    }
    assert without_places(row["reasons"]) == without_places(flag["reasons"])


def test_a_change_that_was_not_flagged_has_evidence_in_the_review_queue(home: Home) -> None:
    scored = unflagged(home)
    before = home.bytes_of(*OUTPUTS) | home.bytes_of("evidence")
    row = frozen(home, scored["change_id"])
    assert (row["queue"], row["origin"], row["night"]) == ("review", "by_hand", NIGHT)
    same = ("score", "p_value", "p_value_uncorrected", "member_id", "household_id", "payee_id", "account", "exposures")
    assert {name: row[name] for name in same} == {name: scored[name] for name in same}
    assert any(fact["kind"] in ("change_requested", "account_first_seen") for fact in row["timeline"])
    after = home.bytes_of(*OUTPUTS) | home.bytes_of("evidence")
    assert {name: content for name, content in after.items() if name in before and "/.lock" not in name} == {
        name: content for name, content in before.items() if "/.lock" not in name
    }
    assert [name for name in after if name not in before and "/.lock" not in name] == [
        str(path.relative_to(home.path)) for path in by_hand.answer_files(settings_of(home))
    ]


def test_the_same_change_gives_the_same_bytes_again(home: Home) -> None:
    change = unflagged(home)["change_id"]
    home.done("evidence", change)
    (path,) = by_hand.answer_files(settings_of(home))
    first = path.read_bytes()
    home.done("evidence", change)
    assert path.read_bytes() == first


def test_an_earlier_night_knows_only_what_it_knew(home: Home) -> None:
    change = next(row["change_id"] for row in rows(home, "scores", NIGHTS[0]) if row["why_not"])
    row = frozen(home, change, "--on", str(NIGHTS[0]))
    (scored,) = [each for each in rows(home, "scores", NIGHTS[0]) if each["change_id"] == change]
    assert (row["night"], row["p_value"]) == (NIGHTS[0], scored["p_value"])
    last = settings_of(home).params.cutoff(NIGHTS[0])
    assert all(claim["received_at"] <= last for claim in row["claims"])


def test_waiting_requests_are_answered_and_taken_away(home: Home) -> None:
    changes = [row["change_id"] for row in rows(home, "scores") if row["why_not"]][:2]
    paths = [ask(home, change) for change in changes]
    answered = json.loads(home.done("evidence", "--json").stdout)["answered"]
    assert sorted(each["change_id"] for each in answered) == sorted(changes)
    assert len(by_hand.answer_files(settings_of(home))) == 2
    assert not any(path.exists() for path in paths)
    assert json.loads(home.done("evidence", "--json").stdout) == {"answered": []}


def test_a_change_nobody_knows_is_refused_and_others_are_answered(home: Home) -> None:
    good, bad = unflagged(home)["change_id"], "X-nobody-knows"
    ask(home, good)
    ask(home, bad)
    answered = json.loads(home.done("evidence", "--json").stdout)["answered"]
    assert {each["change_id"]: each["refusal"] for each in answered} == {good: None, bad: "unknown"}
    (refusal,) = by_hand.refusal_files(settings_of(home))
    assert by_hand.read_refusal(refusal) is Refusal.UNKNOWN
    assert not by_hand.request_files(settings_of(home))


def test_an_unknown_change_on_the_command_line_is_missing_input(home: Home) -> None:
    result = home.run("evidence", "X-nobody-knows")
    assert result.exit_code == 11
    assert "was not known on" in result.output
    assert not by_hand.refusal_files(settings_of(home))


def test_a_night_that_is_not_published_is_missing_input(home: Home) -> None:
    result = home.run("evidence", unflagged(home)["change_id"], "--on", "2024-09-27")
    assert result.exit_code == 11
    assert "night 2024-09-27 is not published" in result.output


def test_before_any_night_a_request_goes_on_waiting(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    path = ask(home, "X1")
    result = home.run("evidence")
    assert result.exit_code == 11
    assert "no night was published yet" in result.output
    assert path.exists()


def test_while_another_command_writes_a_request_goes_on_waiting(home: Home) -> None:
    path = ask(home, unflagged(home)["change_id"])
    with opened(settings_of(home)):
        assert home.run("evidence").exit_code == 14
    assert path.exists()
    home.done("evidence")
    assert not path.exists()


def test_a_file_that_is_no_request_stops_nothing(home: Home) -> None:
    path = ask(home, unflagged(home)["change_id"])
    broken = path.with_name("broken.json")
    broken.write_text("{")
    assert len(json.loads(home.done("evidence", "--json").stdout)["answered"]) == 1
    assert not broken.exists()
