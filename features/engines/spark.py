"""Measures on a Spark that reads the lake's own files: on a cluster by Spark Connect, or on this machine.

A frame that is stored is written as Parquet into the folder of the run. This process and Spark must see the same files
under the same paths; the rows of each file are counted on both sides, so a Spark that sees other files is refused.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from grpc import RpcError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - so it is called wherever Spark is
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.util import is_remote_only

from payeewatch.features.engines.engine import DAY, Engine, Frame, WrongAnswer
from payeewatch.features.engines.spark_functions import agreed_functions

LOCAL = "local"
"""In place of an address: a Spark of this machine, started for the run."""
TRIES = 4
"""How often an address that does not answer is tried: about five seconds."""


class NoSpark(Exception):
    """No Spark answers; the message says what to do."""


@contextmanager
def connect(remote: str) -> Iterator[SparkSession]:
    """A session with the Spark at an address such as `sc://host:15002`, or LOCAL.

    Raises:
        NoSpark: nothing answers there.
    """
    with _address(remote) as address, agreed_functions():
        spark = _session(address)
        try:
            yield spark
        finally:
            spark.stop()


@contextmanager
def _address(remote: str) -> Iterator[str]:
    """The address to connect to; Sail is started for LOCAL, where it is installed."""
    if remote != LOCAL:
        yield remote
    elif find_spec("pysail"):
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        try:
            yield "sc://{}:{}".format(*server.listening_address)
        finally:
            server.stop()
    elif is_remote_only():
        raise NoSpark(
            "it must be the address of a Spark Connect server, such as sc://spark.example.org:15002; for a Spark of"
            " this machine pip install pysail"
        )
    else:
        yield "local[*]"


def _session(address: str) -> SparkSession:
    try:
        if address.startswith("local"):
            spark: SparkSession = SparkSession.builder.remote(address).getOrCreate()
        else:
            spark = ConnectSession.builder.remote(address).create()
            _greet(spark)
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        return spark
    except (PySparkException, RpcError) as error:
        raise NoSpark(
            f"no Spark Connect server answers there ({type(error).__name__}); start it, or fix the address"
        ) from error


def _greet(spark: SparkSession) -> None:
    """The first call, with few tries: by default Spark waits ten minutes for a server that is not there."""
    policies = spark.client.get_retry_policies()
    spark.client.set_retry_policies([DefaultPolicy(max_retries=TRIES)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it raises what it warns about
            spark.conf.get("spark.sql.session.timeZone")
    except (PySparkException, RpcError):
        spark.release_session_on_close = False  # no server is there
        spark.stop()
        raise
    spark.client.set_retry_policies(policies)


class SparkEngine(Engine):
    """Reads the files of each lake table that `files` names, at least one; `folder` belongs to the run alone."""

    name = "spark"

    def __init__(self, spark: SparkSession, files: Callable[[str], Sequence[str]], folder: Path) -> None:
        self.spark = spark
        self.files = files
        self.folder = folder
        self.tables: dict[str, DataFrame] = {}
        self.paths: list[Path] = []

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        if table not in self.tables:
            files = [Path(path) for path in self.files(table)]
            with _without_values():
                self.tables[table] = _whole(self.spark.read.parquet(*map(str, files)), files)
        rows = self.tables[table]
        kinds = dict(rows.dtypes)
        return _frame(rows.select(*(_in_microseconds(name, kinds[name]) for name in columns if name in kinds)))

    def load(self, rows: pa.Table) -> Frame:
        path = self._new(".parquet")
        pq.write_table(rows, path)
        with _without_values():
            return _frame(_whole(self.spark.read.parquet(str(path)), [path]))

    def keep(self, frame: Frame) -> Frame:
        path, rows = self._new(), nw.to_native(frame)
        with _without_values():
            rows.write.parquet(str(path))
            written = self.spark.read.schema(rows.schema).parquet(str(path))
            return _frame(_whole(written, sorted(path.glob("*.parquet"))))

    def collect(self, frame: Frame) -> pd.DataFrame:
        with _without_values():
            rows: pd.DataFrame = nw.to_native(frame).toArrow().to_pandas()
            return rows

    def forget(self) -> None:
        for path in self.paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.paths.clear()
        self.tables.clear()

    def _new(self, suffix: str = "") -> Path:
        self.paths.append(self.folder / f"measured-{len(self.paths)}{suffix}")
        return self.paths[-1]


def _whole(rows: DataFrame, files: Sequence[Path]) -> DataFrame:
    """The rows, if Spark sees as many as this process does in their files."""
    here, there = _rows_in(files), rows.count()
    if here != there:
        folder = files[0].parent if files else "the lake's .work folder"
        raise WrongAnswer(
            f"{folder}: Spark sees {there} rows where this machine sees {here}; Spark and this machine must see the"
            " lake under the same path"
        )
    return rows


def _rows_in(files: Sequence[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in files)


@contextmanager
def _without_values() -> Iterator[None]:
    """Replace Spark's message, which may have values of a row, by the kind of the error."""
    try:
        yield
    except (PySparkException, RpcError) as error:
        kind = getattr(error, "getCondition", lambda: None)() if isinstance(error, PySparkException) else None
        raise WrongAnswer(
            f"the engine spark failed ({type(error).__name__}{f', {kind}' if kind else ''}); its server's log says"
            " more; run it again, or with --engine duckdb"
        ) from error


def _frame(rows: DataFrame) -> Frame:
    frame: Frame = nw.from_native(rows)
    return frame


def _in_microseconds(name: str, kind: str) -> Column:
    column = F.col(f"`{name}`")
    if kind.startswith("timestamp"):
        column = F.unix_micros(column.cast("timestamp"))
    elif kind == "date":
        column = F.unix_date(column).cast("bigint") * F.lit(DAY)
    return column.alias(name)
