"""A backtest: replayed nights as files, and their flags compared with the verdicts known by now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.evaluation.replay import Judge, Replay
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.pipeline.home.files import replace_whole, write_json
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import last_decision

LATEST_VERDICTS = f"""
SELECT change_id, verdict, min(known_at) OVER (PARTITION BY change_id) AS first_known_at FROM outcomes
{last_decision("change_id")}
ORDER BY change_id
"""


KNOWN_VERDICTS = "SELECT change_id, verdict, known_at FROM outcomes ORDER BY decided_at, known_at, outcome_id"
"""The last one of a change and a day counts."""


@dataclass(frozen=True)
class Backtest:
    """A backtest's result without a truth: volumes, and the known cases that were flagged before they were known."""

    nights: int
    scored: int
    flagged: int
    known_cases: int  # confirmed by today, open on a replayed night before the verdict was known
    known_cases_flagged: int
    median_nights_ahead: float | None  # of the verdict
    trained_as_of: list[Any]

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def verdicts_of(session: Session) -> Judge:
    """The verdicts of the lake, by the day on which each becomes known; see `replay`."""
    rows = session.con.execute(KNOWN_VERDICTS).df()
    by_day: dict[date, dict[str, bool]] = {}
    for change_id, verdict, known_at in rows.itertuples(index=False):
        if verdict in FRAUD_VERDICTS or verdict == HONEST_VERDICT:
            day = session.settings.params.day_of(known_at.to_pydatetime().replace(tzinfo=UTC))
            by_day.setdefault(day, {})[change_id] = verdict in FRAUD_VERDICTS
    return lambda night, flagged: by_day.get(night + timedelta(days=1), {})


def compare_with_verdicts(session: Session, result: Replay) -> Backtest:
    """Compare the flags of replayed nights with every verdict in the lake."""
    verdicts = session.con.execute(LATEST_VERDICTS).df()
    confirmed = verdicts[verdicts["verdict"].isin(FRAUD_VERDICTS)].set_index("change_id")["first_known_at"]
    first_open = result.rows.groupby("change_id")["as_of"].min()
    cases = confirmed[confirmed.index.isin(first_open.index)]
    cases = cases[first_open.reindex(cases.index).to_numpy() < cases.to_numpy()]
    queued = result.flags[result.flags["queue"] != "audit"] if len(result.flags) else result.flags
    first_flag = pd.to_datetime(queued.groupby("change_id")["night"].min())
    ahead = (cases - first_flag.reindex(cases.index)).dropna()
    ahead = ahead[ahead > pd.Timedelta(0)]
    return Backtest(
        nights=len(result.nights),
        scored=len(result.rows),
        flagged=int(queued["change_id"].nunique()),
        known_cases=len(cases),
        known_cases_flagged=len(ahead),
        median_nights_ahead=float(np.median(ahead.dt.days)) if len(ahead) else None,
        trained_as_of=[each.as_of for each in result.trainings],
    )


def write(result: Replay, backtest: Backtest, out: Path) -> None:
    """Write scores, flags and facts of the nights, outside the folders of published nights."""
    replace_whole(out / "scores.parquet", lambda temporary: result.rows.to_parquet(temporary, index=False))
    flags = result.flags.drop(columns=["exposures", "reasons", "reassuring"], errors="ignore")
    replace_whole(out / "flags.parquet", lambda temporary: flags.to_parquet(temporary, index=False))
    write_json(out / "backtest.json", backtest.as_dict() | {"queues": result.facts})
