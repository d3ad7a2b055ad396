"""A replayed night is the night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest

from payeewatch.evaluation.replay import Replay, replay, replay_models, training_days
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.learning import Lesson
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.training import fit
from tests.conftest import NIGHTS, Home, copy_of

SCORED = ["change_id", "score", "p_value", "segment", "age_days", "lens_request", "lens_claims", "lens_company"]
FLAGGED = ["flag_id", "change_id", "queue", "rank", "score", "p_value", "first_flagged_on", "account", "origin_id"]


@pytest.fixture(scope="module")
def home(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lake that is loaded at once and knows what comes after the nights."""
    home = copy_of(trained, tmp_path_factory.mktemp("replayed"))
    with opened(settings_of(home)) as session:
        load_until(session, date(2024, 9, 28))
    return home


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def replay_of(settings: Settings, nights_together: int) -> Replay:
    with opened(settings, writing=False) as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr("payeewatch.evaluation.replay.CHUNK_NIGHTS", nights_together)
        session.lake_cache.register()
        return replay(session, NIGHTS[0], NIGHTS[-1], retrain_days=30)


@contextmanager
def learned_once() -> Iterator[None]:
    """Two replays of the same nights learn the same model: the second one takes the first one's."""
    models: dict[date, Model] = {}

    def learn(session: Session, as_of: date, *rest: Any) -> Model:
        if as_of not in models:
            models[as_of] = fit(session, as_of, *rest)
        return models[as_of]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("payeewatch.evaluation.replay.fit", learn)
        yield


@pytest.fixture(scope="module")
def replayed(home: Home) -> Replay:
    """The nights that were published, two at a time."""
    return replay_of(settings_of(home), nights_together=2)


@pytest.mark.parametrize("night", NIGHTS)
def test_scores_are_those_the_night_published(replayed: Replay, published: Home, night: date) -> None:
    theirs = pd.read_parquet(published.path / "scores" / f"{night}.parquet")
    ours = replayed.rows[replayed.rows["as_of"] == pd.Timestamp(night)]
    assert len(theirs) > 20
    pd.testing.assert_frame_equal(
        ours[SCORED].reset_index(drop=True), theirs[SCORED], check_dtype=False, check_exact=True
    )


@pytest.mark.parametrize("night", NIGHTS)
def test_flags_are_those_the_night_published(replayed: Replay, published: Home, night: date) -> None:
    theirs = pd.read_parquet(published.path / "flags" / f"{night}.parquet")
    ours = replayed.flags[replayed.flags["night"] == night].reset_index(drop=True)
    names = [name for name in FLAGGED if name in theirs]
    assert len(theirs) > 5
    pd.testing.assert_frame_equal(ours[names], theirs[names], check_dtype=False, check_exact=True)
    assert list(ours["at_risk_cents"]) == [int(euros * 100) for euros in theirs["amount_at_risk"]]


def test_models_that_are_given_see_what_they_saw_as_champion(home: Home, replayed: Replay) -> None:
    """Each has its own queues: beside another model, and given twice, a model makes the queues that it makes alone."""
    settings = settings_of(home)
    champion = model_registry.load(settings)
    with opened(settings, writing=False) as session:
        session.lake_cache.register()
        watched: list[tuple[str, int]] = []
        both = replay_models(
            session, NIGHTS[0], NIGHTS[-1], [champion, champion],
            lambda model, view, queues: watched.append((model.version, len(queues.flags))),
        )  # fmt: skip
    for result in both:
        pd.testing.assert_frame_equal(result.rows, replayed.rows)
        pd.testing.assert_frame_equal(result.flags[FLAGGED], replayed.flags[FLAGGED])
    assert len(watched) == 2 * len(NIGHTS)


def test_how_many_nights_are_read_together_changes_nothing(home: Home) -> None:
    """With a window of three days: flagged changes leave it while others are read ahead."""
    settings = settings_of(home)
    observe = settings.params.observe.model_copy(update={"window_days": 3})
    settings = replace(settings, params=settings.params.model_copy(update={"observe": observe}))
    with learned_once():
        one, all_of_them = (replay_of(settings, nights_together=many) for many in (1, len(NIGHTS)))
    pd.testing.assert_frame_equal(one.rows, all_of_them.rows)
    pd.testing.assert_frame_equal(one.flags, all_of_them.flags)
    past = one.rows[one.rows["age_days"] > 3]
    assert past["change_id"].isin(one.flags["change_id"]).any()


def test_verdicts_on_a_night_s_queue_are_learned_from_two_nights_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known the next night; what was learned after that counts from the night that follows. No sooner, no later."""
    monkeypatch.setattr(Lesson, "holds", True)  # a few verdicts of a small insurer teach nothing that holds
    flagged: list[list[str]] = []

    def judge(night: date, new: Sequence[str]) -> dict[str, bool]:
        flagged.append(list(new))
        return {change_id: at % 2 == 0 for at, change_id in enumerate(new)}

    first, last = date(2024, 9, 20), date(2024, 9, 25)  # over two weeks: one alone moves nothing
    with opened(settings_of(home), writing=False) as session, learned_once():
        session.lake_cache.register()
        plain, learning = (replay(session, first, last, 30, judge=each) for each in (None, judge))
    nights = sorted(plain.rows["as_of"].unique())
    same = [
        plain.rows.loc[plain.rows["as_of"] == night, "score"].equals(
            learning.rows.loc[learning.rows["as_of"] == night, "score"]
        )
        for night in nights
    ]
    assert len(flagged) == len(nights) == 6
    assert flagged[0]
    assert same[:2] == [True, True]
    assert not same[-1]


def test_models_know_what_was_known_the_day_before_they_serve() -> None:
    days = training_days(date(2024, 9, 1), date(2024, 9, 30), 10)
    assert days == [date(2024, 8, 31), date(2024, 9, 10), date(2024, 9, 20)]


def test_a_range_shorter_than_the_schedule_is_trained_for_once() -> None:
    assert training_days(date(2024, 9, 1), date(2024, 9, 1), 30) == [date(2024, 8, 31)]
