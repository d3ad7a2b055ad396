"""What `pip install` brings is what the repository has: modules, templates, styles, translations, data."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from payeewatch.pipeline.home.settings import DEFAULT_PARAMS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "pipeline", "simulator", "triage", "evaluation", "dossier")


def files(folder: Path) -> set[str]:
    """What the folder holds, without what Python writes beside it and without links to other folders."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that is built without a network, from a copy: a build leaves a folder behind."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in (*ROOMS, "payeewatch"):
        shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "params.yaml"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    (built,) = folder.iterdir()
    return set(zipfile.ZipFile(built).namelist())


def test_the_package_is_the_only_name_it_takes(contents: set[str]) -> None:
    assert {name.split("/")[0] for name in contents if ".dist-info/" not in name} == {"payeewatch"}


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_of_a_room_is_installed(contents: set[str], room: str) -> None:
    expected = {f"payeewatch/{room}/{name}" for name in files(ROOT / room)}
    assert expected == {name for name in contents if name.startswith(f"payeewatch/{room}/")}


def test_the_command_and_its_own_files_are_installed(contents: set[str]) -> None:
    own = {f"payeewatch/{name}" for name in files(ROOT / "payeewatch") if not name.startswith(ROOMS)}
    assert own == {name for name in contents if name.startswith("payeewatch/") and name.split("/")[1] not in ROOMS}
    assert any(name.endswith(".dist-info/entry_points.txt") for name in contents)


def test_what_is_tuned_is_one_file() -> None:
    assert DEFAULT_PARAMS == ROOT / "params.yaml"
