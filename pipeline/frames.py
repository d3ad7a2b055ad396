"""Rows out of pandas frames and back, quickly: ids as Python texts or keys, rows as mappings, instants as datetimes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Row = dict[str, Any]


def nights_frame(cutoffs: Sequence[datetime]) -> pd.DataFrame:
    """The cut-offs as a table of one column, `cutoff`."""
    return pd.DataFrame({"cutoff": np.array(cutoffs, dtype="datetime64[us]")})


def by_cutoff(rows: pd.DataFrame, cutoffs: Sequence[datetime]) -> list[pd.DataFrame]:
    """The rows of each cut-off, from rows in the order of their column `cutoff`."""
    instants = rows["cutoff"].to_numpy(dtype="datetime64[us]")
    rows = rows.drop(columns="cutoff")
    nights = nights_frame(cutoffs)["cutoff"].to_numpy()
    starts, ends = (np.searchsorted(instants, nights, side=side) for side in ("left", "right"))
    return [rows.iloc[start:end].reset_index(drop=True) for start, end in zip(starts, ends, strict=True)]


def records(frame: pd.DataFrame) -> list[Row]:
    """A frame's rows as mappings; a missing text or instant is None."""
    names = [str(name) for name in frame.columns]
    columns = [_values(frame.iloc[:, at]) for at in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series) -> list[Any]:
    # pandas hands out the items of these columns one by one, many times slower
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return list(column.to_numpy().astype("datetime64[us]").astype(object))
    if isinstance(column.dtype, pd.StringDtype):
        return list(pa.array(column, from_pandas=True).to_pylist())
    return list(column.tolist())


def are_among(ids: pd.Series | pd.Index, choices: Collection[str]) -> NDArray[np.bool_]:
    """Which ids are among the choices: what `isin` says, which takes long for many texts."""
    among = frozenset(choices)
    return np.fromiter(map(among.__contains__, texts(ids)), dtype=bool, count=len(ids))


def texts(ids: pd.Series | pd.Index) -> NDArray[np.object_]:
    """Ids as Python's own texts: pandas hands them out one by one, many times slower."""
    return ids.to_numpy(dtype=object)


def change_keys(change_ids: Iterable[str], seed: int) -> NDArray[np.int64]:
    """A number for each change, drawn by hash: it does not depend on other changes, and its order means nothing."""
    digests = (hashlib.blake2b(f"{seed}:change:{name}".encode(), digest_size=8).digest() for name in change_ids)
    return np.array([int.from_bytes(digest) >> 1 for digest in digests], dtype=np.int64)


def day_of(value: Any) -> date | None:
    """A date from pandas' form of it; None if it is missing."""
    if value is None or pd.isna(value):
        return None
    return value.date() if isinstance(value, datetime) else value  # a pandas Timestamp is a datetime


def instant_of(value: Any) -> datetime | None:
    """An instant from pandas' form of it; None if it is missing."""
    if value is None or pd.isna(value):
        return None
    return value if type(value) is datetime else pd.Timestamp(value).to_pydatetime()
