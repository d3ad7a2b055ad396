"""The files by which the reviewers' application asks for evidence, and is refused."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Refusal, Request
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings

ASKED = Request("X/../1", "0123456789ab", datetime(2024, 9, 26, 7, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    Keys.create(tmp_path / "keys.json", random.Random(1).randbytes)
    return Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys.load(settings.key_file)


def test_a_request_is_read_as_it_was_written(settings: Settings, keys: Keys) -> None:
    by_hand.write_request(settings, keys, ASKED)
    (path,) = by_hand.request_files(settings)
    assert by_hand.read_request(path) == ASKED


def test_asking_twice_leaves_one_request(settings: Settings, keys: Keys) -> None:
    for by in ("0123456789ab", "ba9876543210"):
        by_hand.write_request(settings, keys, Request(ASKED.change_id, by, ASKED.asked_at))
    assert len(by_hand.request_files(settings)) == 1


def test_a_change_id_never_names_a_file(settings: Settings, keys: Keys) -> None:
    name = by_hand.name_of(keys, ASKED.change_id)
    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")
    for path in (by_hand.request_path, by_hand.answer_path, by_hand.refusal_path):
        assert path(settings, name).is_relative_to(settings.folder("evidence"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"change_id": "X", "by": "a", "asked_at": "yesterday"}'])
def test_what_is_no_request_is_none(settings: Settings, text: str) -> None:
    path = by_hand.request_path(settings, "a" * 32)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert by_hand.read_request(path) is None


def test_a_refusal_says_why_and_names_nobody(settings: Settings, keys: Keys) -> None:
    name = by_hand.name_of(keys, ASKED.change_id)
    assert by_hand.read_refusal(by_hand.refusal_path(settings, name)) is None
    by_hand.write_refusal(settings, name, Refusal.UNKNOWN, ASKED.asked_at)
    (path,) = by_hand.refusal_files(settings)
    assert by_hand.read_refusal(path) is Refusal.UNKNOWN
    assert ASKED.change_id not in path.read_text()
