"""Settings: where things are, and parameters that are checked before anything else happens."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings


def params_with(folder: Path, *path: str, to: Any = None, drop: bool = False) -> Path:
    """The default parameter file with one value changed or taken away."""
    raw = yaml.safe_load(DEFAULT_PARAMS.read_text())
    inner = raw
    for name in path[:-1]:
        inner = inner[name]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    params_file = folder / "params.yaml"
    params_file.write_text(yaml.safe_dump(raw))
    return params_file


def load(home: Path, **environ: str) -> Settings:
    return Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(home.parent / "keys.json")} | environ)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("flag.capacity", -5, "'flag.capacity' is -5; it must be a positive number of changes a night"),
        ("flag.capacity", 2.5, "'flag.capacity' is 2.5"),
        ("flag.capacity", True, "'flag.capacity' is True"),
        ("flag.floor_p", 1.5, "'flag.floor_p' is 1.5; it must be a probability"),
        ("flag.floor_p", float("nan"), "'flag.floor_p' is nan"),
        ("flag.floor_p", "small", "'flag.floor_p' is 'small'"),
        ("flag.floor_p", None, "'flag.floor_p' is None"),
        ("flag.reported_p90_days", 45, "'flag.reported_p90_days' is 45; it must be above reported_median_days, 45"),
        ("holds.automatic", 1, "'holds.automatic' is 1; it must be a bool"),
        ("train.ages_days", [1, -1], "'train.ages_days' is .*ages in days"),
        ("train.ages_days", 7, "'train.ages_days' is 7"),
        ("train.ages_days", [True], "'train.ages_days' is"),
        ("ingest.tolerance_overrides", {"claims": 2}, "'ingest.tolerance_overrides' is"),
        ("ingest.tolerance_overrides", {"clams": 0.1}, "'ingest.tolerance_overrides.clams' is not a table; .*claims"),
        (
            "ingest.tolerance_overrides",
            {1: 0.1},
            "'ingest.tolerance_overrides' is {1: 0.1}; it must be shares",
        ),
        ("triage.totp_roles", [1], r"'triage.totp_roles' is \[1\]; it must be a list of roles"),
        ("timezone", 5, "'timezone' is 5"),
        ("timezone", "Europe", "'timezone' is 'Europe'; it must be an IANA zone name"),
        ("timezone", "x" * 90, "'timezone' is 'x{40}'; "),
        ("timezone", "Europe/Atlantis", "'timezone' is 'Europe/Atlantis'; it must be an IANA zone name"),
        ("flag", 3, "'flag' must be a mapping"),
        ("flag.capacite", 3, "'flag.capacite' is not a parameter; known here: capacity,"),
        ("sead", 3, "'sead' is not a parameter"),
    ],
)
def test_a_wrong_value_says_which_and_what_it_must_be(tmp_path: Path, path: str, value: Any, says: str) -> None:
    params_file = params_with(tmp_path, *path.split("."), to=value)
    with pytest.raises(SettingsError, match=says) as refused:
        Params.read(params_file)
    assert str(params_file) in str(refused.value)
    assert refused.value.exit_code == 10


@pytest.mark.parametrize("path", ["seed", "flag.floor_p", "holds"])
def test_what_a_file_leaves_out_has_the_value_that_is_shipped(tmp_path: Path, path: str) -> None:
    left_out = params_with(tmp_path, *path.split("."), drop=True)
    assert path.split(".")[-1] not in left_out.read_text(encoding="utf-8")
    assert Params.read(left_out) == Params.read(DEFAULT_PARAMS)


def test_a_file_may_hold_no_more_than_one_value(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("flag: {capacity: 7}\n")
    shipped = Params.read(DEFAULT_PARAMS).flat()
    assert Params.read(tmp_path / "params.yaml").flat() == shipped | {"flag.capacity": 7}


@pytest.mark.parametrize("raw", [b"seed: [1", b"\xff\xfe\x00", b"- a list", b"", b"seed: !!python/object:os.system x"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(raw)
    with pytest.raises(SettingsError, match=r"params\.yaml"):
        Params.read(tmp_path / "params.yaml")


def test_a_whole_number_serves_where_a_share_is_meant_and_capacity_may_be_left_open(tmp_path: Path) -> None:
    assert Params.read(params_with(tmp_path, "flag", "hold_share", to=1)).flag.hold_share == 1.0
    assert Params.read(params_with(tmp_path, "flag", "capacity", to=None)).flag.capacity is None


def test_parameters_are_logged_by_dotted_name() -> None:
    flat = Params.read(DEFAULT_PARAMS).flat()
    assert flat["timezone"] == "Europe/Paris"
    assert flat["train.min_changes"] == 20
    assert not [name for name, value in flat.items() if isinstance(value, dict) and value]


def test_a_night_ends_at_midnight_where_the_insurer_is() -> None:
    params = Params.read(DEFAULT_PARAMS)
    assert params.cutoff(date(2024, 1, 15)) == datetime(2024, 1, 15, 22, 59, 59, 999999)
    assert params.cutoff(date(2024, 7, 15)) == datetime(2024, 7, 15, 21, 59, 59, 999999)
    assert params.cutoff(date(2024, 3, 31)) == datetime(2024, 3, 31, 21, 59, 59, 999999)  # a day of 23 hours


def test_without_a_home_it_says_how_to_name_one() -> None:
    with pytest.raises(SettingsError, match="PAYEEWATCH_HOME is not set"):
        Settings.load(None, {})


def test_home_comes_from_the_option_before_the_environment(tmp_path: Path) -> None:
    environ = {"PAYEEWATCH_HOME": str(tmp_path / "a"), "PAYEEWATCH_KEY_FILE": str(tmp_path / "k")}
    assert Settings.load(None, environ).home == tmp_path / "a"
    assert Settings.load(tmp_path / "b", environ).home == tmp_path / "b"


def test_every_folder_can_lie_elsewhere(tmp_path: Path) -> None:
    for name in FOLDERS:
        settings = load(tmp_path / "home", **{f"PAYEEWATCH_{name.upper()}_DIR": str(tmp_path / "away")})
        assert {n: f for n, f in settings.folders.items() if f != tmp_path / "home" / n} == {name: tmp_path / "away"}


def test_nothing_depends_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(Path("home"), {"PAYEEWATCH_KEY_FILE": "keys.json", "PAYEEWATCH_LAKE_DIR": "lake"})
    assert (settings.home, settings.key_file, settings.folder("lake")) == (
        tmp_path / "home", tmp_path / "keys.json", tmp_path / "lake",
    )  # fmt: skip


def test_a_key_file_among_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must lie outside the data"):
        load(tmp_path / "home", PAYEEWATCH_KEY_FILE=str(tmp_path / "home" / "keys.json"))
    with pytest.raises(SettingsError, match="must lie outside the data"):
        load(tmp_path / "home", PAYEEWATCH_INBOX_DIR=str(tmp_path / "in"), PAYEEWATCH_KEY_FILE=str(tmp_path / "in/k"))


def test_the_key_file_is_in_the_users_configuration_unless_said(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert settings.key_file == tmp_path / "config" / "payeewatch" / "keys.json"


def test_parameters_are_the_named_file_else_the_homes_else_the_defaults(tmp_path: Path) -> None:
    home, named = tmp_path / "home", tmp_path / "named"
    home.mkdir()
    named.mkdir()
    assert load(home).params_path == DEFAULT_PARAMS
    assert load(home, PAYEEWATCH_PARAMS=str(params_with(named, "seed", to=1))).params.seed == 1
    params_with(home, "seed", to=2)
    assert load(home).params.seed == 2
    with pytest.raises(SettingsError, match=r"none\.yaml: does not exist"):
        load(home, PAYEEWATCH_PARAMS=str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("name", ["a?b", "a\nb", "a\x1b[2J", "a\u202eb"])
def test_a_path_that_is_not_taken_as_it_is_written_is_refused_on_one_line(tmp_path: Path, name: str) -> None:
    for home, environ in (
        (tmp_path / name / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")}),
        (tmp_path / "home", {"PAYEEWATCH_INBOX_DIR": str(tmp_path / name)}),
    ):
        with pytest.raises(SettingsError, match="it must be a path without question marks") as refusal:
            load(home, **environ)
        assert str(refusal.value).isprintable()
