"""Which engine measures: DuckDB over the session's own tables, or a Spark that reads the lake's files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import date, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from payeewatch import features
from payeewatch.features.engines.engine import Engine
from payeewatch.features.engines.plan import PLANS, Columns, Plan, PlannedEngine, in_use, plan_of
from payeewatch.features.spine import Night
from payeewatch.features.versions import ENDS, USES
from payeewatch.pipeline.changes import measure
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import SCHEMAS, WORK

PLAN = "plan.json"
"""Below the lake: the plan of an ordinary night. To make it takes a second."""
SPARK_REMOTE = "PAYEEWATCH_SPARK_REMOTE"


def engine_of(session: Session, name: str = "duckdb") -> AbstractContextManager[Engine]:
    """The engine of that name, over what the session has registered whenever it is asked.

    Raises:
        SettingsError: what Spark needs is not installed, or nothing answers at its address.
    """
    return ENGINES[name](session)


def _duckdb(session: Session) -> AbstractContextManager[Engine]:
    return nullcontext(PlannedEngine(session.con))


@contextmanager
def _spark(session: Session) -> Iterator[Engine]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it warns of pandas 3, which it is not given here
            from payeewatch.features.engines.spark import LOCAL, NoSpark, SparkEngine, connected
    except ImportError as error:
        raise SettingsError(
            f"--engine spark: {(error.name or 'pyspark').partition('.')[0]} is not installed;"
            " pip install 'payeewatch[spark]', or measure with --engine duckdb"
        ) from error
    remote = os.environ.get(SPARK_REMOTE) or LOCAL
    work = session.lake.root / WORK / str(os.getpid())
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="spark-", dir=work) as folder:
        try:
            with connected(remote) as spark:
                yield SparkEngine(spark, _files(session, Path(folder)), Path(folder))
        except NoSpark as error:
            # after the first `;` an address may hold a password
            raise SettingsError(f"{SPARK_REMOTE} is {remote.partition(';')[0]!r}: {error}") from error


def _files(session: Session, folder: Path) -> Callable[[str], list[str]]:
    """The Parquet files of a lake table as the session has it registered: of an empty one a file without rows."""

    def files(table: str) -> list[str]:
        found = session.lake_cache.view_files[table]
        if not found:
            empty = folder / f"{table}.parquet"
            session.con.execute(f"COPY ({session.lake.scan(table, [])}) TO {text(empty)} (FORMAT parquet)")
            return [str(empty)]
        return found

    return files


ENGINES: Mapping[str, Callable[[Session], AbstractContextManager[Engine]]] = {"duckdb": _duckdb, "spark": _spark}


def prepare(lake: Path, window_days: int, told: Collection[str]) -> None:
    """Plan the measuring of nights on a lake that need not be loaded yet, or take over the plan the same code made.

    `told` are the tables that will tell when their versions end.

    Raises:
        StoreError: the lake cannot be written.
    """
    columns = in_use({table: SCHEMAS[table] | ({ENDS: "TIMESTAMP"} if table in told else {}) for table in USES})
    some_night = Night(date(2000, 1, 1), datetime(2000, 1, 1), datetime(2000, 1, 1))
    question = measure.question_of([some_night], window_days)
    asked = question.kind, columns
    if asked in PLANS:
        return
    made_of = _made_of(window_days, columns)
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((lake / PLAN).read_text(encoding="utf-8"))
        if kept.pop("made_of") == made_of:
            PLANS[asked] = Plan.from_json(kept)
            return
    write_json(lake / PLAN, {"made_of": made_of, **dataclasses.asdict(plan_of(question, columns))})


def _made_of(window_days: int, columns: Columns) -> str:
    """A digest of all that a plan follows from: code, what it is written with, and what is asked."""
    versions = metadata.version("duckdb"), metadata.version("narwhals")
    told = hashlib.sha256(repr((versions, window_days, columns)).encode())
    for path in (Path(measure.__file__), *sorted(Path(features.__file__).parent.rglob("*.py"))):
        told.update(path.read_bytes())
    return told.hexdigest()
