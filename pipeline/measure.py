"""Measure: every feature of every change that a night, many nights, or the training sees.

The views of the lake tables must be registered on the connection; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from features import FEATURES
from features.engine import DuckEngine, Plan
from features.measuring import measured
from features.registry import Missing, Unit
from features.spine import Night, calendar, learning_changes, named_changes, names, open_changes
from features.versions import ENDS, USES, Tables
from pipeline.errors import PayeeWatchError
from pipeline.settings import Params

IDENTITY = ("change_id", "payee_id", "as_of", "party", "derived", "age_days", "channel")
"""The columns of a measured frame before its features."""

_PLANS: dict[tuple[int, bool, frozenset[str]], Plan] = {}
"""Window in days, only named changes or not, tables that tell when their versions end -> a night's statements."""

TELL_ENDS = f"SELECT table_name FROM duckdb_columns() WHERE column_name = '{ENDS}'"


def measure(
    con: duckdb.DuckDBPyConnection,
    params: Params,
    nights: Sequence[date],
    extra: Sequence[str] = (),
    *,
    only_extra: bool = False,
) -> pd.DataFrame:
    """Every change open on each night, and the changes named in `extra`, as that night knew them.

    With `only_extra`, the named ones alone.

    One row a (change_id, as_of), in that order: IDENTITY, then one float64 column a feature (NaN: unknown).

    Raises:
        PayeeWatchError: a feature broke what it promises.
    """
    wanted = [_night(params, day) for day in nights]
    window = params.observe.window_days
    plan = window, only_extra, frozenset(USES) & {name for (name,) in con.execute(TELL_ENDS).fetchall()}
    engine = DuckEngine(con)
    try:
        if plan in _PLANS:
            return _checked(engine.follow(_PLANS[plan], [calendar(wanted), names(extra)]))
        tables = Tables(engine)
        spine = named_changes(tables, wanted, extra) if only_extra else open_changes(tables, wanted, window, extra)
        frame = engine.collect(measured(tables, spine))
        _PLANS[plan] = engine.plan()
        return _checked(frame)
    finally:
        engine.close()


def measure_past(con: duckdb.DuckDBPyConnection, params: Params, as_of: date) -> pd.DataFrame:
    """Every past change at several ages of its life, none later than `as_of`, each as its night knew it.

    The ages are `train.ages_days` and, past the window, `train.past_window_days` with a payment pending.

    The same columns and order as `measure`, over the last `train.history_days`.

    Raises:
        PayeeWatchError: a feature broke what it promises.
    """
    since = as_of - timedelta(days=params.train.history_days)
    margin = max(params.train.ages_days, default=0) + 366
    days = (as_of - since).days + margin
    nights = [_night(params, as_of - timedelta(days=back)) for back in range(days, -1, -1)]
    engine = DuckEngine(con)
    try:
        tables = Tables(engine)
        spine = learning_changes(
            tables, nights, params.train.ages_days, since, params.observe.window_days, params.train.past_window_days
        )
        return _checked(engine.collect(measured(tables, spine)))
    finally:
        engine.close()


def faults(frame: pd.DataFrame) -> list[str]:
    """What in a measured frame breaks the promises of the registry, in words; ids and values are not quoted."""
    found = []
    if frame.duplicated(["change_id", "as_of"]).any():
        found.append("a change is measured twice as of one night")
    of_provider = (frame["party"] == "provider").to_numpy()
    for feature in FEATURES.values():
        values = frame[feature.name].to_numpy(dtype=np.float64)
        nulls = int((np.isnan(values) & ~(of_provider & feature.is_member_only)).sum())
        if nulls and feature.missing is not Missing.UNKNOWN:
            found.append(f"{feature.name}: null on {nulls} rows; it must never be")
        limit = {Unit.SHARE: 1.0, Unit.YESNO: 1.0}.get(feature.unit, float("inf"))
        low = float("-inf") if feature.unit in (Unit.RATIO, Unit.EUR, Unit.DAYS) else 0.0
        outside = int(((values < low) | (values > limit) | np.isinf(values)).sum())
        if outside:
            found.append(f"{feature.name}: outside {low:g} to {limit:g} on {outside} rows")
    return found


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    frame = rows.assign(
        as_of=pd.to_datetime(rows["as_of"], unit="us").astype("datetime64[us]"),
        party=rows["is_provider"].map({True: "provider", False: "member"}).astype(str),
        age_days=rows["age_days"].astype("int64"),
        derived=rows["derived"].astype(bool),
    )[[*IDENTITY, *FEATURES]]
    found = faults(frame)
    if found:
        raise PayeeWatchError("the measured features break their promises: " + "; ".join(found))
    return frame


def _night(params: Params, day: date) -> Night:
    return Night(day, params.cutoff(day - timedelta(days=1)) + timedelta(microseconds=1), params.cutoff(day))
