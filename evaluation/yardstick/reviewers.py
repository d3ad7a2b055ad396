"""Reviewers of an insurer of the yardstick: they decide the best-ranked flags of each night, and always rightly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa

from payeewatch.evaluation.yardstick.figures import picks
from payeewatch.evaluation.yardstick.insurer import Truth, recognised
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.pipeline.home.tabular import write_parquet

AT = timedelta(days=1, hours=9)
"""When the flags of a night are decided: the next morning, so that the next night knows of it."""


class Reviewers:
    """As many reviews a night as `reviews` per 100,000 member payees; what a night does not use can be made later.

    The home gets what they decide as the application hands verdicts over: `outcomes/<day>.parquet`.
    """

    def __init__(self, home: Path, truth: Truth, reviews: int) -> None:
        self.home, self.truth = home, truth
        self.a_night = reviews * truth.member_payees / 1e5
        self.offered: list[pd.DataFrame] = []

    def decide(self, night: pd.Timestamp, flags: pd.DataFrame) -> bool:
        """Decide flags of a night (change_id, payee_id, derived, rank, queue, account_hint, night): whether any was."""
        self.offered.append(flags[flags["queue"] != "audit"])
        offered = pd.concat(self.offered, ignore_index=True)
        picked = picks(offered, self.truth.nights[self.truth.nights <= night], self.a_night)
        decided = offered[offered["change_id"].isin(picked.index[picked == night]) & (offered["night"] == night)]
        if decided.empty:
            return False
        hints = dict(zip(decided["change_id"], decided["account_hint"], strict=True))
        true_ids = recognised(decided, self.truth, hints)["change_id"]
        is_fraud = self.truth.of_change["is_fraud"].reindex(true_ids).fillna(False).to_numpy(dtype=bool)
        at = night + AT
        outcomes = {
            "outcome_id": [f"R-{change_id}" for change_id in decided["change_id"]],
            "change_id": decided["change_id"],
            "decided_at": pd.Series(at, index=decided.index, dtype="datetime64[us]"),
            "verdict": [FRAUD_VERDICTS[0] if fraud else HONEST_VERDICT for fraud in is_fraud],
            "reason_code": None,
            "source": "reviewer",
            "decided_by": "R1",  # so small an insurer has one reviewer
        }
        rows = pd.DataFrame(outcomes).astype({"reason_code": "string"})
        write_parquet(self.home / "outcomes" / f"{at.date()}.parquet", pa.Table.from_pandas(rows, preserve_index=False))
        return True
