"""Measures on data frames in memory, one per lake table: for tests, notebooks and small samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import narwhals as nw
import pandas as pd
import pyarrow as pa

from payeewatch.features.engines.engine import Engine, Frame


class PandasEngine(Engine):
    """Stores nothing outside the frames themselves."""

    name = "pandas"

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = tables

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        rows = self.tables[table]
        return self.load(pa.Table.from_pandas(rows[[c for c in columns if c in rows]], preserve_index=False))

    def load(self, rows: pa.Table) -> Frame:
        for index, field in enumerate(rows.schema):
            if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
                instants = rows.column(index).cast(pa.timestamp("us")).cast(pa.int64())
                rows = rows.set_column(index, field.name, instants)
        frame: Frame = nw.from_native(rows.to_pandas(types_mapper=pd.ArrowDtype)).lazy()
        return frame

    def keep(self, frame: Frame) -> Frame:
        return frame

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = frame.collect(backend="pandas").to_native().reset_index(drop=True)
        return rows

    def forget(self) -> None:
        """There is nothing to drop."""
