"""A changed source profile: said once of the first drop that is read with it, and a state from then on."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.profile_changes import FACT, changes, marks
from payeewatch.pipeline.store.lake import Load
from tests.conftest import HISTORY, NIGHTS, Home, copy_of

PLAIN, OTHER = Profile(), Profile({"claims": Export(decimal=",")})
PROFILE = '[claims]\nnulls = ["n/a"]\n'


def read(day: int, profile: Profile, *tables: str) -> Load:
    on = date(2024, 9, day)
    return Load(day, "drop", on, on, str(on), "f", facts={FACT: marks(profile, tables)})


def codes(profile: Profile, *loads: Load) -> tuple[list[Any], list[Any]]:
    told = changes(marks(profile, ["claims", "members"]), loads)
    return [each.coded for each in told.looks], [each.coded for each in told.states]


def test_nothing_is_said_while_the_profile_is_the_same() -> None:
    assert codes(OTHER, read(1, OTHER, "claims", "members"), read(2, OTHER, "members")) == ([], [])
    assert codes(PLAIN) == ([], [])


def test_a_change_is_said_of_the_table_and_of_the_last_drop_that_had_it() -> None:
    looks, states = codes(OTHER, read(1, PLAIN, "claims"), read(2, PLAIN, "claims"), read(3, PLAIN, "members"))
    assert looks == [{"code": "profile_changed", "params": {"table": "claims", "day": "2024-09-02"}}]
    assert states == [
        {"code": "read_with_other_profile", "params": {"table": "claims", "day": "2024-09-02", "many": 2}}
    ]


def test_it_is_said_once_and_stays_a_state() -> None:
    looks, states = codes(OTHER, read(1, PLAIN, "claims"), read(2, OTHER, "claims"))
    assert looks == []
    assert [each["code"] for each in states] == ["read_with_other_profile"]


def test_loads_of_an_earlier_version_say_nothing() -> None:
    on = date(2024, 9, 1)
    assert codes(OTHER, Load(1, "drop", on, on, str(on), "f", facts={"tables": {"claims": {}}})) == ([], [])


def test_a_setting_that_says_what_would_be_so_anyway_changes_no_mark() -> None:
    assert marks(Profile({"claims": Export(delimiter=",")}), ["claims"]) == marks(PLAIN, ["claims"])


def test_the_first_night_of_a_changed_profile_warns_and_later_ones_have_a_state(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    (home.path / "profile.toml").write_text(PROFILE)
    home.done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[1]))
    first, second = (json.loads((home.path / "runs" / f"{night}.json").read_text()) for night in NIGHTS[:2])
    assert "profile_changed" in [coded["code"] for coded in first["warning_codes"]]
    assert "profile_changed" not in [coded["code"] for coded in second["warning_codes"]]
    for run in (first, second):
        assert "read_with_other_profile" in [coded["code"] for coded in run["state_codes"]]


def test_before_the_first_night_all_drops_are_read_again(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    (home.path / "profile.toml").write_text(PROFILE)
    assert "nothing new" in home.done("ingest", "--until", str(HISTORY)).stdout
    again = json.loads(home.done("ingest", "--until", str(HISTORY), "--again", "--json").stdout)
    assert "first" in [load["mode"] for load in again["loads"]]
    assert "claims" not in str(again["warnings"])
    home.done("night", str(NIGHTS[0]))
    run = json.loads((home.path / "runs" / f"{NIGHTS[0]}.json").read_text())
    assert "read_with_other_profile" not in str(run["state_codes"])


@pytest.mark.parametrize(("gone", "why"), [(False, "is published"), (True, "is not in the inbox any more")])
def test_drops_are_not_read_again_once_a_night_is_published_or_they_are_gone(
    trained: Home, published: Home, tmp_path: Path, gone: bool, why: str
) -> None:
    home = copy_of(trained if gone else published, tmp_path)
    if gone:
        shutil.rmtree(home.path / "inbox" / str(HISTORY))
    refused = home.run("ingest", "--until", str(HISTORY), "--again")
    assert refused.exit_code == 2
    assert why in refused.output
