"""Measure: every feature of every change that a night, many nights, or the training sees.

The engine reads the lake tables; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from payeewatch.features import FEATURES
from payeewatch.features.engines.engine import Engine, Frame, Question, Refused, WrongAnswer
from payeewatch.features.measuring import measure_features
from payeewatch.features.spine import (
    Night,
    ages_of,
    calendar,
    learning_changes,
    microseconds,
    named_changes,
    names,
    open_changes,
    pairs_of,
    spans_past,
)
from payeewatch.features.versions import Tables
from payeewatch.pipeline.detector.calibration import change_keys
from payeewatch.pipeline.detector.lens import PARTIES
from payeewatch.pipeline.frames import texts
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.settings import Params

AT_ONCE = 60_000
"""At most so many past or named changes are measured in one pass, to limit the memory; each reads the large tables."""

IDENTITY = ("change_id", "payee_id", "as_of", "party", "derived", "age_days", "channel")
"""The columns of a measured frame before its features."""


def measure(
    engine: Engine,
    params: Params,
    nights: Sequence[date],
    extra: Sequence[str] = (),
    *,
    meanwhile: Callable[[list[str]], None] | None = None,
) -> pd.DataFrame:
    """Every change open on each night, and the changes named in `extra`, as that night knew them.

    `meanwhile` is called with the ids of the changes, before the numbers are complete: with the DuckDB of a night,
    while they are joined into one frame.

    One row per (change_id, as_of), in that order: IDENTITY, then one float64 column per feature (NaN: unknown).
    `payeewatch.pipeline.changes.expectations` checks whether the numbers keep the promises of the features.

    Raises:
        PayeeWatchError: the engine cannot compute a feature.
    """
    spine_nights = [_night(params, day) for day in nights]
    with _engine_errors(engine):
        return _with_types(engine.answer(question_of(spine_nights, params, extra), meanwhile))


def measure_named(engine: Engine, params: Params, pairs: Iterable[tuple[str, date]]) -> pd.DataFrame:
    """Named changes, open or not, each on the nights that it is named with, as that night knew it; as `measure`.

    A night that did not know the change has no row.

    Raises:
        PayeeWatchError: the engine cannot compute a feature.
    """
    pairs = sorted(set(pairs))
    nights = [_night(params, day) for day in sorted({day for _, day in pairs})]
    window_days = params.observe.window_days

    def question(some: Sequence[tuple[str, date]]) -> Question:
        def find(tables: Tables) -> Frame:
            return named_changes(tables, nights, window_days, some)

        kind = _kind("named", window_days, params.timezone)
        return Question(_builder(find, params), (calendar(nights), pairs_of(some)), kind)

    return _in_parts(engine, pairs, question)


def question_of(nights: Sequence[Night], params: Params, extra: Sequence[str] = ()) -> Question:
    """The changes of some nights and their features. Questions of one window and one time zone have one kind."""
    window_days = params.observe.window_days

    def find(tables: Tables) -> Frame:
        return open_changes(tables, nights, window_days, extra)

    kind = _kind("nights", window_days, params.timezone)
    return Question(_builder(find, params), (calendar(nights), names(extra)), kind)


def _kind(*facts: Hashable) -> Hashable:
    """A kind of question about the features as they are: a notebook may add one."""
    return *facts, tuple(each.function for each in FEATURES.values())


def measure_past(engine: Engine, params: Params, as_of: date) -> pd.DataFrame:
    """Past changes at several ages of their life, none later than `as_of`, each as its night knew it.

    The ages are `train.ages_days` and, past the window, `train.past_window_days` with a payment pending. The changes
    are all of the last `train.history_days`; or `train.most_changes` of members, and as many of providers, by hash.

    The columns and the order are those of `measure`.

    Raises:
        PayeeWatchError: the engine cannot compute a feature.
    """
    train = params.train
    since = as_of - timedelta(days=train.history_days)
    oldest = max(train.ages_days, default=0)
    days = (as_of - since).days + oldest + 366
    nights = [_night(params, as_of - timedelta(days=back)) for back in range(days, -1, -1)]
    window = params.observe.window_days

    def question(ids: Sequence[str]) -> Question:
        def find(tables: Tables) -> Frame:
            return learning_changes(tables, nights, train.ages_days, since, window, train.past_window_days, ids)

        loads = calendar(nights), ages_of(train.ages_days), spans_past(window, train.past_window_days), names(ids)
        return Question(_builder(find, params), loads, _kind("past", as_of, since, window, params.timezone))

    with _engine_errors(engine):
        ids = _drawn(engine, params, nights[-1], nights[-1 - (as_of - since).days - oldest])
    return _in_parts(engine, ids, question)


def _in_parts(engine: Engine, asked: Sequence[Any], question: Callable[[Sequence[Any]], Question]) -> pd.DataFrame:
    """The answers to questions of at most AT_ONCE of what is asked for, in its order."""
    parts = []
    for first in range(0, max(len(asked), 1), AT_ONCE):
        with _engine_errors(engine):
            parts.append(engine.answer(question(asked[first : first + AT_ONCE])))
    return _with_types(pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0])


def _drawn(engine: Engine, params: Params, last: Night, first: Night) -> list[str]:
    """The ids of the past changes to learn from, in their order: those with the lowest keys.

    A key depends on nothing but the seed and the change, so that no later change has a say. Changes from before the
    `first` night, which only a waiting payment keeps open, are drawn at the same rate as the others.
    """
    known = engine.read("changes", ["change_id", "payee_type", "known_at"])
    known = known.filter(nw.col("known_at") <= microseconds(last.cutoff_at))
    known = known.group_by("change_id").agg(nw.col("payee_type").min(), nw.col("known_at").min())
    changes = engine.collect(known).sort_values("change_id", ignore_index=True)
    key, known_at = change_keys(changes["change_id"], params.seed), changes["known_at"].to_numpy()
    is_drawn = np.ones(len(changes), dtype=bool)
    for payee_type in PARTIES:
        of_type = changes["payee_type"].to_numpy() == payee_type
        counted = np.sort(key[of_type & (known_at >= microseconds(first.opens_at))])
        if len(counted) > params.train.most_changes:
            is_drawn[of_type] = key[of_type] <= counted[params.train.most_changes - 1]
    return list(texts(changes["change_id"][is_drawn]))


def _builder(find: Callable[[Tables], Frame], params: Params) -> Callable[[Engine], tuple[Frame, Frame]]:
    """The `build` of a question: the spine from `find`, and its features."""

    def build(engine: Engine) -> tuple[Frame, Frame]:
        tables = Tables(engine, params.timezone)
        spine = find(tables)
        return spine, measure_features(tables, spine)

    return build


@contextmanager
def _engine_errors(engine: Engine) -> Iterator[None]:
    """Raise an engine's errors as PayeeWatchError; at the end, drop what the engine stored."""
    try:
        yield
    except (Refused, WrongAnswer) as error:
        raise PayeeWatchError(str(error)) from error
    finally:
        engine.forget()


def _with_types(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        as_of=pd.to_datetime(rows["as_of"], unit="us").astype("datetime64[us]"),
        party=rows["is_provider"].map({True: "provider", False: "member"}).astype(str),
        age_days=rows["age_days"].astype("int64"),
        derived=rows["derived"].astype(bool),
    )[[*IDENTITY, *FEATURES]]


def _night(params: Params, day: date) -> Night:
    return Night(day, params.cutoff(day - timedelta(days=1)) + timedelta(microseconds=1), params.cutoff(day))
