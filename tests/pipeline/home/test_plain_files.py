"""What others put into a folder and is no file: refused before it is opened."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.breaches.people import find_people
from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.ingest.drops import find_drops, fingerprinted
from payeewatch.pipeline.ingest.profile import Profile
from payeewatch.pipeline.ingest.reference import reference_parts

DAY = date(2024, 4, 1)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, Callable[[Path], object]] = {
    "is a pipe": os.mkfifo,
    "is a socket": _socket,
    "is a link that leads out of": lambda path: path.symlink_to("/etc/hostname"),
    "leads out": lambda path: path.symlink_to("/dev/zero"),
    "cannot be looked at": lambda path: path.symlink_to(path.name),
}


def _drop(inbox: Path) -> object:
    (drop,) = find_drops(inbox, Profile(), DAY)
    return fingerprinted(drop, inbox)


READERS: dict[str, Callable[[Path], object]] = {
    "inbox/2024-04-01/claims-0001.csv": lambda path: _drop(path.parent.parent),
    "inbox/2024-04-01/.hidden": lambda path: _drop(path.parent.parent),
    "breaches/TPO-1/manifest.yaml": lambda path: Manifest.read(path.parent),
    "breaches/TPO-1/people.csv": lambda path: find_people(path.parent),
    "reference/banks.csv": lambda path: reference_parts(path.parent, Profile()),
}


@pytest.mark.parametrize("place", READERS)
@pytest.mark.parametrize("why", ODD)
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, place: str, why: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    ODD[why](path)
    with pytest.raises(InputRefused, match=why) as refusal:
        READERS[place](path)
    assert path.name in str(refusal.value)


@pytest.mark.parametrize(
    ("folder", "read"),
    [
        ("inbox/2024-04-01", lambda folder: _drop(folder.parent)),
        ("breaches/TPO-1", lambda folder: Manifest.read(folder)),
    ],
)
def test_a_folder_that_is_a_link_to_elsewhere_is_refused(
    tmp_path: Path, folder: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "manifest.yaml").write_text("breach_id: TPO-1")
    (tmp_path / folder).parent.mkdir()
    (tmp_path / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputRefused, match="leads out of"):
        read(tmp_path / folder)


def test_a_name_that_forges_a_line_is_refused_on_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "inbox" / str(DAY)
    folder.mkdir(parents=True)
    (folder / "claims-\x1b[2J\npayeewatch: done.csv").write_text("claim_id\n")
    with pytest.raises(InputRefused, match="control or invisible") as refusal:
        _drop(folder.parent)
    assert str(refusal.value).isprintable()


def test_links_within_the_folder_and_files_are_plain(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "c").mkdir()
    assert oddities(sorted(tmp_path.iterdir()), tmp_path) == []
