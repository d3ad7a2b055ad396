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
from payeewatch.features.local_time import spans_of
from payeewatch.features.spine import Night
from payeewatch.features.versions import SUPERSEDED_AT, USES
from payeewatch.pipeline.changes import measure
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import SCHEMAS, WORK

PLAN = "plan.json"
"""A file in the lake's folder: the plan of an ordinary night. Making a plan takes a second."""
SPARK_REMOTE = "PAYEEWATCH_SPARK_REMOTE"


def engine_of(session: Session, name: str = "duckdb") -> AbstractContextManager[Engine]:
    """The engine of that name, over what the session has registered at the time of each question.

    Raises:
        SettingsError: Spark is not installed, or does not answer at its address.
    """
    return ENGINES[name](session)


def _duckdb(session: Session) -> AbstractContextManager[Engine]:
    return nullcontext(PlannedEngine(session.con))


@contextmanager
def _spark(session: Session) -> Iterator[Engine]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it warns about pandas 3, which is not used here
            from payeewatch.features.engines.spark import LOCAL, NoSpark, SparkEngine, connect
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
            with connect(remote) as spark:
                yield SparkEngine(spark, _files(session, Path(folder)), Path(folder))
        except NoSpark as error:
            # after the first `;` an address may hold a password
            raise SettingsError(f"{SPARK_REMOTE} is {remote.partition(';')[0]!r}: {error}") from error


def _files(session: Session, folder: Path) -> Callable[[str], list[str]]:
    """The Parquet files of a lake table as the session has registered it; for an empty table, a file without rows."""

    def files(table: str) -> list[str]:
        paths = session.lake_cache.view_files[table]
        if not paths:
            empty = folder / f"{table}.parquet"
            session.con.execute(f"COPY ({session.lake.scan(table, [])}) TO {text(empty)} (FORMAT parquet)")
            return [str(empty)]
        return paths

    return files


ENGINES: Mapping[str, Callable[[Session], AbstractContextManager[Engine]]] = {"duckdb": _duckdb, "spark": _spark}


def prepare(lake: Path, params: Params, tables_with_ends: Collection[str]) -> None:
    """Plan how nights are measured, before the lake is loaded; or use the stored plan, if this code made it.

    `tables_with_ends` are the tables that will have the ends of their versions as a column.

    Raises:
        StoreError: the lake cannot be written.
    """
    columns = in_use(
        {table: SCHEMAS[table] | ({SUPERSEDED_AT: "TIMESTAMP"} if table in tables_with_ends else {}) for table in USES}
    )
    some_night = Night(date(2000, 1, 1), datetime(2000, 1, 1), datetime(2000, 1, 1))
    question = measure.question_of([some_night], params)
    key = question.kind, columns
    if key in PLANS:
        return
    digest = _plan_digest(params, columns)
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads((lake / PLAN).read_text(encoding="utf-8"))
        if stored.pop("made_of") == digest:
            PLANS[key] = Plan.from_json(stored)
            return
    write_json(lake / PLAN, {"made_of": digest, **dataclasses.asdict(plan_of(question, columns))})


def _plan_digest(params: Params, columns: Columns) -> str:
    """A digest of all that a plan depends on: the code, the libraries that it uses, and the question.

    The offsets of the time zone are part of it: a government may change them, and then only the machine's data change.
    """
    versions = metadata.version("duckdb"), metadata.version("narwhals")
    made_of = versions, params.observe.window_days, spans_of(params.timezone), columns
    digest = hashlib.sha256(repr(made_of).encode())
    for path in (Path(measure.__file__), *sorted(Path(features.__file__).parent.rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
