"""Nights measured together: one pass over the lake for several nights, then each by itself as it would have been.

Measuring ten nights takes little longer than measuring two. Each night uses only what was known on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import product

import duckdb
import pandas as pd

from payeewatch.features.engines.engine import Engine
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.amounts import Amounts, amounts
from payeewatch.pipeline.changes.context import ChangeContext, contexts_by_cutoff
from payeewatch.pipeline.changes.expectations import broken_promises, check_promises
from payeewatch.pipeline.changes.measure import measure, measure_named
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.frames import are_among, texts
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.session import Session

CLOSING = """
WITH begun AS (
    SELECT change_id, greatest(requested_at, effective_at, min(known_at) OVER (PARTITION BY change_id)) AS begun_at
    FROM changes
)
SELECT DISTINCT change_id FROM begun
WHERE begun_at > CAST($first AS TIMESTAMP) - to_days($window + 2)
  AND begun_at <= CAST($last AS TIMESTAMP) - to_days($window - 2)
ORDER BY change_id
"""
"""A superset: `features/spine.py` says from when exactly the age of a change counts."""


@dataclass(frozen=True)
class NightView:
    """What a night sees: its open changes as measured, and what the queues need to know of them and of those flagged
    before. `scored` waits for what the night's model gives for the frame's rows, where it was asked.
    """

    frame: pd.DataFrame
    context: ChangeContext
    amounts: Amounts
    scored: Callable[[], pd.DataFrame] | None = None


class NightBatch:
    """What several nights see of changes, over a lake that is loaded, linked and registered for all of them."""

    def __init__(
        self,
        session: Session,
        nights: Sequence[date],
        flagged: Collection[str] = (),
        models: Sequence[Model] = (),
        engine: Engine | None = None,
    ) -> None:
        """Measure every night; `flagged` are the changes that the night before the first one carries over.

        With `models`, one per night, the measured rows are scored while the rest is looked up, and after that.
        `engine` measures; by default DuckDB.
        """
        con, params = session.con, session.settings.params
        self._params = params
        cutoffs = [params.cutoff(night) for night in nights]

        def look_up(change_ids: list[str]) -> None:
            with session.stage("context"):
                self._contexts = contexts_by_cutoff(con, sorted({*change_ids, *flagged}), cutoffs)

        with session.stage("measure") as facts:
            engine = engine or PlannedEngine(con)
            frame = _measure_all(engine, con, params, nights, flagged, look_up)
            facts |= {"nights": len(nights), "rows_out": len(frame), "engine": engine.name}
        self._frame = frame
        self._broken = broken_promises(frame)
        self._measured = dict(list(frame.groupby("as_of")))
        meanwhile = ThreadPoolExecutor(1)
        self._scoring: dict[date, Future[pd.DataFrame]] = {
            night: meanwhile.submit(model.score, self._rows(night))
            for night, model in zip(nights, models, strict=False)
        }
        meanwhile.shutdown(wait=False)  # it ends with its work
        with session.stage("amounts"):
            changes = {
                cutoff: context.changes.assign(
                    is_decided=are_among(context.changes["change_id"], context.decisions["change_id"])
                )
                for cutoff, context in self._contexts.items()
            }
            self._amounts = amounts(con, changes, params.timezone)

    def _rows(self, night: date) -> pd.DataFrame:
        return self._measured.get(pd.Timestamp(night), self._frame.iloc[:0])

    def open_changes(self) -> set[str]:
        """The changes that are open on any of the nights, flagged or not."""
        in_window = self._frame["age_days"].to_numpy() <= self._params.observe.window_days
        pending = (texts(euros.pending["change_id"]) for euros in self._amounts.values())
        return set(texts(self._frame["change_id"])[in_window]).union(*pending)

    def of(self, night: date, flagged: Collection[str]) -> NightView:
        """What the night alone would have seen: changes in their window, with a payment pending, or flagged before.

        All nights are checked at once; if that check finds something, this night is checked by itself.

        Raises:
            BrokenPromise: a feature of a change that the night sees breaks its promise.
        """
        measured, scoring = self._rows(night), self._scoring.get(night)
        cutoff = self._params.cutoff(night)
        context, euros = self._contexts[cutoff], self._amounts[cutoff]
        by_right = are_among(measured["change_id"], {*texts(euros.pending["change_id"]), *flagged})
        in_window = measured["age_days"].to_numpy() <= self._params.observe.window_days
        is_seen = in_window | by_right
        frame = measured[is_seen].reset_index(drop=True)
        if self._broken.result():
            check_promises(frame)
        change_ids = {*texts(frame["change_id"]), *flagged}

        def rows(of: pd.DataFrame) -> pd.DataFrame:
            return of[are_among(of["change_id"], change_ids)].reset_index(drop=True)

        return NightView(
            frame,
            ChangeContext(rows(context.changes), rows(context.exposures), rows(context.decisions)),
            Amounts(rows(euros.by_change), rows(euros.pending)),
            (lambda: scoring.result()[is_seen].reset_index(drop=True)) if scoring else None,
        )


def _measure_all(
    engine: Engine,
    con: duckdb.DuckDBPyConnection,
    params: Params,
    nights: Sequence[date],
    flagged: Collection[str],
    look_up: Callable[[list[str]], None],
) -> pd.DataFrame:
    """All changes that are open or flagged on any of the nights, and some more, ordered by change_id and night.

    `look_up` is called with the ids of all these changes, while they are measured.
    """
    also = _closing(con, params, nights) if len(nights) > 1 else []
    frame = measure(engine, params, nights, sorted({*also, *flagged}), meanwhile=look_up)
    missing = _open_on_some(frame, nights)
    if not missing:
        return frame
    rows = measure_named(engine, params, product(missing, nights))
    both = pd.concat([frame, rows], ignore_index=True).drop_duplicates(["change_id", "as_of"])
    return both.sort_values(["change_id", "as_of"], ignore_index=True)


def _closing(con: duckdb.DuckDBPyConnection, params: Params, nights: Sequence[date]) -> list[str]:
    """The changes whose window ends within these nights: once flagged, they are measured further."""
    window = {"first": nights[0], "last": nights[-1], "window": params.observe.window_days}
    return [row[0] for row in con.execute(CLOSING, window).fetchall()]


def _open_on_some(frame: pd.DataFrame, nights: Sequence[date]) -> list[str]:
    """The changes that are not open on every night after their first: once flagged, they are measured on all of them.

    An example is a change past its window whose payment was sent, even if another comes before the last night.
    """
    nights_open = frame.groupby("change_id")["as_of"].agg(["min", "size"])
    coming = len(nights) - pd.DatetimeIndex(list(nights)).searchsorted(nights_open["min"])
    return sorted(nights_open.index[nights_open["size"] < coming])
