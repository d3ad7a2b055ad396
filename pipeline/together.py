"""Nights measured together: one pass over the lake for several nights, then each by itself as it would have been.

To measure ten nights takes little longer than to measure two, and as of each night only what it knew is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.amounts import Amounts
from pipeline.measure import measure
from pipeline.session import Session
from pipeline.settings import Params
from pipeline.standing import Standing

CLOSING = """
SELECT DISTINCT change_id FROM changes
WHERE effective_at > CAST($first AS TIMESTAMP) - to_days($window + 2)
  AND effective_at <= CAST($last AS TIMESTAMP) - to_days($window - 1)
ORDER BY change_id
"""


class Together:
    """The measured changes of several nights, over a lake that is loaded, linked and registered for all of them."""

    def __init__(self, session: Session, nights: Sequence[date], flagged: Collection[str] = ()) -> None:
        """Measure every night; `flagged` are those the night before the first carries over."""
        con, params = session.con, session.settings.params
        with session.stage("measure") as told:
            also = _closing(con, params, nights) if len(nights) > 1 else []
            self.frame = measure(con, params, nights, sorted({*also, *flagged}))
            left = _left(self.frame, nights)
            if left:
                rows = measure(con, params, nights, left, only_extra=True)
                both = pd.concat([self.frame, rows], ignore_index=True).drop_duplicates(["change_id", "as_of"])
                self.frame = both.sort_values(["change_id", "as_of"], ignore_index=True)
            told |= {"nights": len(nights), "rows_out": len(self.frame)}
        self._by_night = {
            pd.Timestamp(str(night)): rows.reset_index(drop=True) for night, rows in self.frame.groupby("as_of")
        }

    def of(self, night: date) -> pd.DataFrame:
        """What is measured as of a night, by change_id: all that is open or flagged by then, and some more."""
        return self._by_night.get(pd.Timestamp(night), self.frame.iloc[:0])


def only_open(
    measured: pd.DataFrame, found: Standing, euros: Amounts, flagged: Collection[str], window_days: int
) -> tuple[pd.DataFrame, Standing, Amounts]:
    """What the night itself would have measured: in its window, or with a payment pending, or flagged before."""
    by_right = _are_among(measured["change_id"], {*_texts(euros.pending["change_id"]), *flagged})
    frame = measured[(measured["age_days"].to_numpy() <= window_days) | by_right].reset_index(drop=True)
    kept = {*_texts(frame["change_id"]), *flagged}

    def of(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[_are_among(rows["change_id"], kept)].reset_index(drop=True)

    return (
        frame,
        Standing(of(found.changes), of(found.exposures), of(found.decisions)),
        Amounts(of(euros.by_change), of(euros.pending)),
    )


def _are_among(ids: pd.Series, wanted: set[str]) -> NDArray[np.bool_]:
    return np.fromiter(map(wanted.__contains__, _texts(ids)), dtype=bool, count=len(ids))


def _texts(ids: pd.Series) -> NDArray[np.object_]:
    # pandas hands out its own strings one by one, many times slower
    return ids.to_numpy(dtype=object)


def _closing(con: duckdb.DuckDBPyConnection, params: Params, nights: Sequence[date]) -> list[str]:
    """The changes whose window ends within these nights: once flagged, they are measured on."""
    window = {"first": nights[0], "last": nights[-1], "window": params.observe.window_days}
    return [row[0] for row in con.execute(CLOSING, window).fetchall()]


def _left(frame: pd.DataFrame, nights: Sequence[date]) -> list[str]:
    """The changes that are not open on every night from their first on: once flagged, they are measured on all of them.

    Such as one past its window whose payment has left, even if the next one comes before the last night.
    """
    seen = frame.groupby("change_id")["as_of"].agg(["min", "size"])
    coming = len(nights) - pd.DatetimeIndex(list(nights)).searchsorted(seen["min"])
    return sorted(seen.index[seen["size"] < coming])
