"""Small worlds for features: lake tables from text tables, measured on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from payeewatch.features import FEATURES
from payeewatch.features.engines.engine import Engine, Frame, Question
from payeewatch.features.engines.pandas import PandasEngine
from payeewatch.features.engines.spark import SparkEngine
from payeewatch.features.formulas import Formula
from payeewatch.features.formulas import Row as FormulaRow
from payeewatch.features.measuring import measure_features
from payeewatch.features.registry import FAMILIES, Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.sources import Source
from payeewatch.features.spine import Night, calendar, open_changes
from payeewatch.features.spine import names as changes_named
from payeewatch.features.versions import USES, Tables
from payeewatch.pipeline.store.lake import SCHEMAS

Row = dict[str, object]

CHANGE: Row = {
    "change_id": "X1", "derived": False, "payee_id": "P1", "payee_type": "member", "member_id": "M1",
    "household_id": "H1", "requested_at": "2024-06-10", "effective_at": "2024-06-10", "old_account": "A0",
    "new_account": "A1", "channel": "portal", "name_check": "match",
}  # fmt: skip
"""The change that tests vary."""

DEFAULTS: dict[str, Row] = {
    "changes": CHANGE,
    "claims": {
        "payee_id": "P1", "care_family": "dental", "has_public_record": True, "status": "settled",
        "reimbursed_cents": 100_00,
    },
    "payments": {"payee_id": "P1", "account": "A1", "cents": 100_00, "status": "planned"},
    "members": {
        "member_id": "M1", "household_id": "H1", "joined_on": "2020-01-01", "legal_protection": "none",
        "residence": "home",
    },
    "account_events": {"member_id": "M1"},
    "exposures": {"member_id": "M1", "match_quality": "exact"},
    "lists": {"list_known_on": "2024-03-01", "is_purged": False, "known_at": "2024-03-01"},
    "accounts": {"country": "FR"},
}  # fmt: skip
HAPPENED = {"changes": "requested_at", "claims": "received_at", "account_events": "occurred_at", "members": "joined_on"}
"""Where a test does not say when a row became known: when it happened, else at the beginning."""


def rows_of(name: str, text: str) -> list[Row]:
    """The rows of a text table: a header line, then one row per line; `-` is null; columns left out have defaults."""
    header, *lines = [line.split() for line in text.strip().splitlines()]
    rows = []
    for number, line in enumerate(lines):
        row: Row = dict(DEFAULTS.get(name, {}))
        row |= {column: None if cell == "-" else cell for column, cell in zip(header, line, strict=True)}
        row = {USES[name].key[0]: f"{name}{number}", "version": number, "key_version": 1} | row
        row.setdefault("known_at", row.get(HAPPENED.get(name, ""), "2020-01-01"))
        rows.append(row)
    return rows


def fill(con: duckdb.DuckDBPyConnection, tables: dict[str, list[Row]]) -> None:
    """Make every lake table, with the given rows in those that are named."""
    for name, schema in SCHEMAS.items():
        con.execute(f'CREATE OR REPLACE TABLE "{name}" (' + ", ".join(f'"{c}" {t}' for c, t in schema.items()) + ")")
        if tables.get(name):
            names = list(dict.fromkeys(column for row in tables[name] for column in row))
            con.register(
                "given", pa.table({column: pa.array([row.get(column) for row in tables[name]]) for column in names})
            )
            casts = ", ".join(f'CAST("{column}" AS {schema[column]}) AS "{column}"' for column in names)
            con.execute(f'INSERT INTO "{name}" BY NAME SELECT {casts} FROM given')
            con.unregister("given")


def pandas_engine(con: duckdb.DuckDBPyConnection) -> PandasEngine:
    """The same tables as data frames."""
    arrow: dict[str, pa.Table] = {name: con.table(name).to_arrow_table() for name in USES}
    return PandasEngine({name: rows.to_pandas(types_mapper=pd.ArrowDtype) for name, rows in arrow.items()})


def night(day: str) -> Night:
    """A night whose day is the UTC day."""
    on = date.fromisoformat(day)
    opens = datetime(on.year, on.month, on.day)
    return Night(on, opens, opens + timedelta(days=1) - timedelta(microseconds=1))


def spark_engine(spark: SparkSession, con: duckdb.DuckDBPyConnection, folder: Path) -> SparkEngine:
    """The same tables as Parquet files below a folder."""
    work = Path(mkdtemp(dir=folder))

    def files(table: str) -> list[str]:
        path = work / f"{table}.parquet"
        con.execute(f"COPY {table} TO '{path}' (FORMAT parquet)")
        return [str(path)]

    return SparkEngine(spark, files, work)


def question(*days: str, names: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> Question:
    """The open changes of those nights, with every feature or those named."""
    nights = [night(day) for day in days]

    def build(engine: Engine) -> tuple[Frame, Frame]:
        tables = Tables(engine, "UTC")
        spine = open_changes(tables, nights, 180, extra)
        return spine, measure_features(tables, spine, names)

    return Question(build, (calendar(nights), changes_named(extra)), ("tests", *names))


def measure_open(engine: Engine, *days: str, names: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """What the engine answers to that question."""
    frame = engine.answer(question(*days, names=names, extra=extra))
    engine.forget()
    return frame


@contextmanager
def trial_feature(source: Source, formula: Callable[..., Formula], name: str = "on_trial") -> Iterator[str]:
    """A feature that is there for as long as the test."""

    def function(row: FormulaRow) -> Formula:
        """A feature on trial."""
        return formula(row)

    function.__name__ = name
    family = Family("payeewatch.features.trial", "A family on trial.", Lens.REQUEST)
    try:
        family.feature(source, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO)(function)
        yield name
    finally:
        FEATURES.pop(name, None)
        FAMILIES.pop("trial", None)
