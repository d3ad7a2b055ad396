"""Files are replaced whole or not at all, whatever goes wrong while writing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import is_running, only_holder, replace_whole, write_json, write_private, write_text

OVER_THE_LIMIT = """
import resource, sys
from pathlib import Path
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path(sys.argv[1]), "long " * 1000)
except StoreError as error:
    print(error.exit_code, error)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_file_is_written_and_its_folder_made(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "page.html", "één\n")
    assert (tmp_path / "deep" / "er" / "page.html").read_bytes() == "één\n".encode()
    assert names(tmp_path / "deep" / "er") == ["page.html"]


def test_json_has_days_and_paths_as_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"night": date(2024, 9, 23), "at": Path("x"), "name": "é"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"night": "2024-09-23", "at": "x", "name": "é"}


def test_a_writer_that_fails_leaves_what_stood_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def fails(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        replace_whole(path, fails)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_what_stood_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    output = subprocess.run(
        [sys.executable, "-c", OVER_THE_LIMIT, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith(f"15 {path}: cannot be written")
    assert "free space" in output
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_under_duckdb_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written") as refused:
        replace_whole(
            tmp_path / "a.parquet",
            lambda temporary: duckdb.sql("SELECT range FROM range(1000000)").write_parquet("/dev/full"),
        )
    assert refused.value.exit_code == 15
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("a file")
    with pytest.raises(StoreError, match="flags"):
        write_text(tmp_path / "flags" / "a.txt", "x")


def test_what_a_killed_command_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    dead, alive = dead_process(), os.getppid()
    for process in (dead, alive):
        (tmp_path / f".a[1].txt.{process}.part").write_text("half")
    (tmp_path / f".b.txt.{dead}.part").write_text("another file's")
    write_text(tmp_path / "a[1].txt", "whole")
    assert names(tmp_path) == sorted([f".a[1].txt.{alive}.part", f".b.txt.{dead}.part", "a[1].txt"])


def test_a_process_is_running_until_it_has_ended() -> None:
    assert is_running(os.getpid())
    assert is_running(1)
    assert not is_running(dead_process())


def test_nobody_reads_a_private_file_by_putting_theirs_in_its_place(tmp_path: Path) -> None:
    """The number of a process can be guessed, and so can the name of its temporary file."""
    planted = tmp_path / f".access.json.{os.getpid()}.part"
    with planted.open("w+", encoding="utf-8") as theirs:
        replace_whole(tmp_path / "access.json", lambda temporary: write_private(temporary, "secret"))
        assert (theirs.read(), (tmp_path / "access.json").read_text()) == ("", "secret")
    planted.touch()
    with pytest.raises(FileExistsError):
        write_private(planted, "secret")


def test_a_reader_of_the_home_cannot_hold_its_locks(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for mode in (None, 0o640):  # a new one, and one of an earlier version
        if mode:
            lock.chmod(mode)
        with only_holder(lock, wait=False) as is_free:
            assert is_free
            assert lock.stat().st_mode & 0o777 == 0o600
