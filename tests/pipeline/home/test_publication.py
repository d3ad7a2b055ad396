"""A night's files: all new, or all those of before, wherever the command that writes them is killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.home import publication
from payeewatch.pipeline.home.publication import Publication, finish, half_published
from payeewatch.pipeline.home.settings import Settings

NIGHT = date(2024, 9, 23)
NAMES = [(folder, f"{NIGHT}.json") for folder in ("runs", "scores", "flags")]
MOMENTS = 2 + len(NAMES)
"""Before the note, at each file, and before the note is deleted."""


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder, name in NAMES:
        (tmp_path / "home" / folder).mkdir(parents=True)
        (tmp_path / "home" / folder / name).write_text("old")
    return Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})


def contents(settings: Settings) -> list[str]:
    return [(settings.folder(folder) / name).read_text() for folder, name in NAMES]


def kill_at(settings: Settings, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Kill the process before the note, a renaming or the deletion of the note, whichever comes at that place."""
    steps, unlink = iter(range(MOMENTS)), Path.unlink

    def until_killed(do: Callable[..., object]) -> Callable[..., object]:
        def step(*words: object, **options: object) -> object:
            is_step = do is not unlink or words[0] == settings.folder("runs") / publication.FILE
            if is_step and next(steps) == moment:
                raise Killed
            return do(*words, **options)

        return step

    monkeypatch.setattr(publication, "write_json", until_killed(publication.write_json))
    monkeypatch.setattr(publication, "put_in_place", until_killed(publication.put_in_place))
    monkeypatch.setattr(Path, "unlink", until_killed(unlink))


def write_new(settings: Settings) -> Publication:
    new = Publication(settings, NIGHT)
    for folder, name in NAMES:
        new.path(folder, name).write_text("new")
    return new


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_publication_ends_with_all_files_of_one_kind(settings: Settings, moment: int) -> None:
    new = write_new(settings)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(settings, patch, moment)
        with pytest.raises(Killed):
            new.publish()
    assert half_published(settings) == (NIGHT if moment else None)
    assert contents(settings)[0] == ("new" if moment == MOMENTS - 1 else "old")  # the run record comes last
    finish(settings)
    assert contents(settings) == ["new" if moment else "old"] * len(NAMES)
    assert half_published(settings) is None
    assert list(settings.home.rglob(".*")) == []


def test_files_that_were_never_published_are_deleted_by_the_next_publication(settings: Settings) -> None:
    write_new(settings)
    Publication(settings, NIGHT)
    assert contents(settings) == ["old"] * len(NAMES)
    assert list(settings.home.rglob(".*")) == []
