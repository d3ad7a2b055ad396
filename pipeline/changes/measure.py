"""Measure: every feature of every change that a night, many nights, or the training sees.

The views of the lake tables must be registered on the connection; nothing is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta
from importlib import metadata
from pathlib import Path

import duckdb
import pandas as pd

from payeewatch import features
from payeewatch.features import FEATURES
from payeewatch.features.engine import DuckEngine, Plan
from payeewatch.features.measuring import measured
from payeewatch.features.spine import Night, calendar, learning_changes, named_changes, names, open_changes
from payeewatch.features.versions import ENDS, SERIAL, USES, Tables
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.store.lake import SCHEMAS

IDENTITY = ("change_id", "payee_id", "as_of", "party", "derived", "age_days", "channel")
"""The columns of a measured frame before its features."""

Columns = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Lake tables, and of each the columns that features use, with their SQL types."""
Asked = tuple[int, bool, Columns]
"""Of a plan: the window in days, whether only named changes are measured, and over what."""

_PLANS: dict[Asked, Plan] = {}
PLAN = "plan.json"
"""Below the lake: the plan of an ordinary night. To make it takes a second."""


def prepare(lake: Path, window_days: int, told: Collection[str]) -> None:
    """Plan the measuring of nights on a lake that need not be loaded yet, or take over the plan the same code made.

    `told` are the tables that will tell when their versions end.

    Raises:
        StoreError: the lake cannot be written.
    """
    tables = {table: SCHEMAS[table] | ({ENDS: "TIMESTAMP"} if table in told else {}) for table in USES}
    asked = window_days, False, _columns(tables)
    if asked in _PLANS:
        return
    made_of = _made_of(asked)
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((lake / PLAN).read_text(encoding="utf-8"))
        if kept["made_of"] == made_of:
            _PLANS[asked] = Plan(tuple(kept["queries"]), kept["last"], kept["spine"])
            return
    plan = _plan(asked)
    write_json(lake / PLAN, {"made_of": made_of, **dataclasses.asdict(plan)})


def _made_of(asked: Asked) -> str:
    """A digest of all that a plan follows from: code, what it is written with, and what is asked."""
    told = hashlib.sha256(repr((metadata.version("duckdb"), metadata.version("narwhals"), asked)).encode())
    for path in (Path(__file__), *sorted(Path(features.__file__).parent.rglob("*.py"))):
        told.update(path.read_bytes())
    return told.hexdigest()


def measure(
    con: duckdb.DuckDBPyConnection,
    params: Params,
    nights: Sequence[date],
    extra: Sequence[str] = (),
    *,
    only_extra: bool = False,
    meanwhile: Callable[[list[str]], None] | None = None,
) -> pd.DataFrame:
    """Every change open on each night, and the changes named in `extra`, as that night knew them.

    With `only_extra`, the named ones alone. While the numbers are put side by side, which keeps one processor busy,
    `meanwhile` is called with the ids of the changes and may use the connection.

    One row a (change_id, as_of), in that order: IDENTITY, then one float64 column a feature (NaN: unknown). Whether the
    numbers keep what the features promise is for `payeewatch.pipeline.changes.expectations` to say.
    """
    wanted = [_night(params, day) for day in nights]
    engine = DuckEngine(con)
    try:
        plan = _plan((params.observe.window_days, only_extra, _columns(_described(con))))
        engine.follow(plan, [calendar(wanted), names(extra)])
        with ThreadPoolExecutor(1) as thread:
            answering = thread.submit(engine.answer)
            if meanwhile:
                found = con.sql(f"SELECT DISTINCT change_id FROM measured_{plan.spine}").to_arrow_table()
                meanwhile(found.column(0).to_pylist())
            return _typed(answering.result())
    finally:
        engine.close()


def _described(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {table: {} for table in USES}
    for table, column, kind in con.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
    ).fetchall():
        found.get(table, {})[column] = kind
    return found


def _columns(tables: Mapping[str, Mapping[str, str]]) -> Columns:
    """In one order, whatever the tables' own."""
    used = {table: (*use.key, *use.columns, *SERIAL, ENDS) for table, use in USES.items()}
    return tuple((table, tuple((c, tables[table][c]) for c in used[table] if c in tables[table])) for table in USES)


def _plan(asked: Asked) -> Plan:
    """The queries that measure nights, which are the same whatever the tables hold: so they are found on empty ones."""
    if asked in _PLANS:
        return _PLANS[asked]
    window_days, only_extra, columns = asked
    night = [Night(date(2000, 1, 1), datetime(2000, 1, 1), datetime(2000, 1, 1))]
    with duckdb.connect(config={"threads": 1}) as con:
        for table, of_table in columns:
            listed = ", ".join(f'"{name}" {kind}' for name, kind in of_table)
            con.execute(f'CREATE TABLE "{table}" ({listed})')
        engine = DuckEngine(con)
        tables = Tables(engine)
        spine = named_changes(tables, night, ()) if only_extra else open_changes(tables, night, window_days)
        number = len(engine.queries) - 1
        engine.collect(measured(tables, spine))
        _PLANS[asked] = engine.plan(number)
    return _PLANS[asked]


def measure_past(con: duckdb.DuckDBPyConnection, params: Params, as_of: date) -> pd.DataFrame:
    """Every past change at several ages of its life, none later than `as_of`, each as its night knew it.

    The ages are `train.ages_days` and, past the window, `train.past_window_days` with a payment pending.

    The same columns and order as `measure`, over the last `train.history_days`."""
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
        return _typed(engine.collect(measured(tables, spine)))
    finally:
        engine.close()


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        as_of=pd.to_datetime(rows["as_of"], unit="us").astype("datetime64[us]"),
        party=rows["is_provider"].map({True: "provider", False: "member"}).astype(str),
        age_days=rows["age_days"].astype("int64"),
        derived=rows["derived"].astype(bool),
    )[[*IDENTITY, *FEATURES]]


def _night(params: Params, day: date) -> Night:
    return Night(day, params.cutoff(day - timedelta(days=1)) + timedelta(microseconds=1), params.cutoff(day))
