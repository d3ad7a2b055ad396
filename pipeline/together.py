"""Nights measured together: one pass over the lake for several nights, then each by itself as it would have been.

To measure ten nights takes little longer than to measure two, and as of each night only what it knew is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import duckdb
import pandas as pd

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
        self.session, self.nights = session, list(nights)
        with session.stage("measure") as told:
            params = session.settings.params
            also = _closing(session.con, params, nights) if len(self.nights) > 1 else []
            frame = measure(session.con, params, nights, sorted({*also, *flagged}))
            told |= {"nights": len(self.nights), "rows_out": len(frame)}
        self.frame = frame  # as measured at first, by change and night
        self._empty = frame.iloc[:0]
        self._by_night = _by_night(frame)
        self._gone = set(flagged) - set(self._measured(self.nights[0])["change_id"])  # another change took them over

    def of(self, night: date, flagged: Collection[str]) -> pd.DataFrame:
        """What is measured as of a night, in order of change_id: all that is open, all flagged, and perhaps more.

        Flagged changes that are open no longer, such as one past its window whose payment has left, may be missing.
        All that are flagged are then measured on all the nights to come, so that it is seldom done.
        """
        found = self._measured(night)
        if set(flagged) <= set(found["change_id"]) | self._gone:
            return found
        coming = self.nights[self.nights.index(night) :]
        with self.session.stage("measure left out") as told:
            params = self.session.settings.params
            also = measure(self.session.con, params, coming, sorted(flagged), only_extra=True)
            told |= {"nights": len(coming), "rows_out": len(also)}
        self._gone |= set(flagged) - set(also.loc[also["as_of"] == pd.Timestamp(night), "change_id"])
        for day, rows in _by_night(also).items():
            known = self._by_night.get(day, self._empty)
            news = rows[~rows["change_id"].isin(known["change_id"])]
            together = pd.concat([known, news], ignore_index=True)
            self._by_night[day] = together.sort_values("change_id", ignore_index=True)
        return self._measured(night)

    def _measured(self, night: date) -> pd.DataFrame:
        return self._by_night.get(pd.Timestamp(night), self._empty)


def only_open(
    measured: pd.DataFrame, found: Standing, euros: Amounts, flagged: Collection[str], window_days: int
) -> tuple[pd.DataFrame, Standing, Amounts]:
    """What the night itself would have measured: in its window, or with a payment pending, or flagged before."""
    by_right = measured["change_id"].isin({*euros.pending["change_id"], *flagged})
    frame = measured[(measured["age_days"] <= window_days) | by_right].reset_index(drop=True)
    kept = {*frame["change_id"], *flagged}

    def of(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["change_id"].isin(kept)].reset_index(drop=True)

    return (
        frame,
        Standing(of(found.changes), of(found.exposures), of(found.decisions)),
        Amounts(of(euros.by_change), of(euros.pending)),
    )


def _closing(con: duckdb.DuckDBPyConnection, params: Params, nights: Sequence[date]) -> list[str]:
    """The changes whose window ends within these nights: once flagged, they are measured on."""
    window = {"first": nights[0], "last": nights[-1], "window": params.observe.window_days}
    return [row[0] for row in con.execute(CLOSING, window).fetchall()]


def _by_night(frame: pd.DataFrame) -> dict[pd.Timestamp, pd.DataFrame]:
    nights = frame.groupby("as_of", sort=True)
    return {pd.Timestamp(str(night)): rows.reset_index(drop=True) for night, rows in nights}
