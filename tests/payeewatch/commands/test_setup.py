"""`payeewatch migrate` over a whole home: the nights that follow are those of a home that needed no migration."""

from __future__ import annotations

import json
import os
import shlex
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from payeewatch.__main__ import main
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake_format import FILE, FORMAT, UNFINISHED
from tests.conftest import NIGHTS, Home, copy_of
from tests.earlier_lakes import IN_CHAIN, back_to_format_0

NEXT = str(NIGHTS[-1] + timedelta(days=1))
PUBLISHED = ("flags", "scores", "evidence", "holds")
LASTING = (*PUBLISHED, "vault", "runs", "quarantine", "reports")


@pytest.fixture(scope="module")
def todays(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Loaded from nothing, with published nights, a person erased and a list purged. Not to be written to."""
    home = copy_of(published, tmp_path_factory.mktemp("todays"))
    flags = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    member = next(flag["member_id"] for flag in flags if flag["member_id"])
    home.done("purge", "--until", str(NIGHTS[-1]), "--member", member)
    first_list = sorted(path for path in (home.path / "breaches").iterdir() if path.is_dir())[0].name
    home.done("lists", "withdraw", first_list, "--reason", "sent by mistake")
    home.done("purge", "--until", str(NIGHTS[-1]))
    kinds = [json.loads(path.read_text())["kind"] for path in sorted((home.path / "lake" / "loads").glob("*.json"))]
    assert {"erasure", "purge"} <= set(kinds)
    return home


@pytest.fixture
def earlier(todays: Home, tmp_path: Path) -> Home:
    """The same home as the version before wrote it."""
    home = copy_of(todays, tmp_path / "earlier")
    back_to_format_0(home.path / "lake")
    return home


def people(home: Home) -> list[tuple[object, ...]]:
    """Every row of the people of breach lists, whatever their order."""
    files = ", ".join(text(path) for path in sorted((home.path / "lake" / "people").rglob("*.parquet")))
    with duckdb.connect() as con:
        return con.execute(f"SELECT * FROM read_parquet([{files}], hive_partitioning = false) ORDER BY ALL").fetchall()


def loads(home: Home) -> list[dict[str, object]]:
    """Every commit record without what it says of the bytes of files."""
    records = [json.loads(path.read_text()) for path in sorted((home.path / "lake" / "loads").glob("*.json"))]
    return [{name: each[name] for name in each if name not in IN_CHAIN} for each in records]


def test_a_migrated_home_publishes_the_nights_of_one_that_was_loaded_by_this_version(
    todays: Home, earlier: Home, tmp_path: Path
) -> None:
    answer = json.loads(earlier.done("migrate", "--json").stdout)
    assert (answer["format"], answer["to"], answer["dry_run"]) == (0, FORMAT, False)
    assert answer["steps"][0]["files"] == len(list((earlier.path / "lake" / "people").rglob("*.parquet"))) > 0
    assert earlier.bytes_of(*LASTING) == todays.bytes_of(*LASTING)
    assert loads(earlier)[:-1] == loads(todays)
    assert loads(earlier)[-1]["kind"] == "replaced"  # the decisions, by a file with a column more
    assert people(earlier) == people(todays)
    assert any(row[6] is not None for row in people(earlier))  # a first given name's key

    nightly = copy_of(todays, tmp_path / "todays")
    for home in (earlier, nightly):
        home.done("night", NEXT)
    after = earlier.bytes_of(*PUBLISHED)
    assert f"flags/{NEXT}.parquet" in after
    assert after == nightly.bytes_of(*PUBLISHED)


def test_a_dry_run_says_what_would_be_done_and_leaves_no_trace(earlier: Home) -> None:
    before = earlier.bytes_of("lake")
    output = earlier.done("migrate", "--dry-run").stdout
    assert f"format  0 -> {FORMAT}" in output
    assert "bytes of free space needed" in output
    assert "nothing has been changed" in output
    assert earlier.bytes_of("lake") == before


def test_a_home_of_this_version_needs_no_migration(todays: Home, tmp_path: Path) -> None:
    home = copy_of(todays, tmp_path)
    assert "nothing to do" in home.done("migrate").stdout
    assert json.loads(home.done("migrate", "--json").stdout)["steps"] == []


def test_an_empty_home_has_nothing_to_migrate(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    assert "is empty" in home.done("migrate").stdout


def test_the_home_is_closed_whatever_the_umask_is(tmp_path: Path) -> None:
    home, umask = Home(tmp_path / "home", tmp_path / "keys.json"), os.umask(0)
    try:
        home.done("init")
        modes = {path.name: path.stat().st_mode & 0o777 for path in [home.path, *home.path.iterdir()]}
        assert {name: mode for name, mode in modes.items() if mode != 0o750} == {"vault": 0o700, "triage": 0o700}
        assert (home.path / "lake" / "key-check.json").stat().st_mode & 0o007 == 0
        for path in [home.path, *home.path.iterdir()]:
            path.chmod(0o777)
        home.done("init")
        assert {path.name: path.stat().st_mode & 0o777 for path in [home.path, *home.path.iterdir()]} == modes
    finally:
        os.umask(umask)


def test_a_lake_whose_key_file_is_gone_gets_no_other_one(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    home.key_file.unlink()
    result = home.run("init", "--json")
    assert (result.exit_code, home.key_file.exists()) == (10, False)
    assert "put that key file there" in json.loads(result.stdout)["message"]


OTHERS = sorted(set(main.commands) - {"doctor", "migrate", "restore", "status"})
"""Commands that need a home of this form; one that is restored gets the form of the backup."""


def example(name: str) -> list[str]:
    """The command line of a command's example, without the home it names."""
    line = (main.commands[name].help or "").strip().splitlines()[-1]
    words = shlex.split(line.strip().removeprefix("Example: payeewatch ").split(" < ")[0])
    if "--home" in words:
        del words[words.index("--home") : words.index("--home") + 2]
    return words


@pytest.fixture
def small(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    return home


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_command_is_refused_over_a_home_of_another_form(small: Home, name: str) -> None:
    lake = small.path / "lake"
    for number, advice in ((FORMAT - 1, "payeewatch migrate"), (FORMAT + 1, "install PayeeWatch 7.0.0")):
        (lake / FILE).write_text(json.dumps({"format": number, "written_by": "PayeeWatch 7.0.0"}))
        before = small.bytes_of(".")
        result = small.run(*example(name), "--json")
        assert result.exit_code == 15, result.output
        assert advice in json.loads(result.stdout)["message"]
        assert small.bytes_of(".") == before


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_command_waits_for_a_migration_that_was_begun(small: Home, name: str) -> None:
    (small.path / "lake" / UNFINISHED).write_text('{"format": 0, "files": null}')
    result = small.run(*example(name))
    assert result.exit_code == 15
    assert "not finished; run: payeewatch migrate" in result.stderr


def test_a_migration_of_a_later_version_is_left_to_that_version(small: Home) -> None:
    (small.path / "lake" / FILE).write_text(json.dumps({"format": FORMAT + 1, "written_by": "PayeeWatch 7.0.0"}))
    result = small.run("migrate")
    assert result.exit_code == 15
    assert "install PayeeWatch 7.0.0" in result.stderr
