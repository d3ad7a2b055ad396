"""Calibration of p-values: how often honest changes have a p-value at or below each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.intervals import exact_interval

LEVELS = (0.05, 0.01, 0.001)
ALL, NEW = "all", "known after training"


@dataclass(frozen=True)
class Exceedance:
    """Of `n` honest changes of a segment, `observed` had a p-value of at most `level`."""

    changes: str  # ALL, or those that the model in force cannot have learned from
    segment: str
    level: float
    n: int
    observed: int
    expected: float
    low: float  # interval of the share
    high: float

    @property
    def share(self) -> float:
        return self.observed / self.n if self.n else float("nan")

    @property
    def keeps_its_word(self) -> bool:
        """Whether no more changes are at or below the level than chance allows; fewer are fine."""
        return self.low <= self.level

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"share": self.share, "keeps_its_word": self.keeps_its_word}


def exceedances(
    rows: pd.DataFrame, honest: pd.Series, known_at: pd.Series, trained_as_of: Sequence[date], params: Params
) -> list[Exceedance]:
    """Count by segment, and over all segments.

    A change counts once per segment, on its first night in it: its later nights add nearly nothing new.

    Args:
        rows: change_id, as_of, segment, p_value of replayed nights.
        honest, known_at: by change_id.
        trained_as_of: the days whose knowledge the models in force had.
    """
    honest_rows = rows[honest.reindex(rows["change_id"]).fillna(True).to_numpy(dtype=bool)]
    days = np.array([np.datetime64(day) for day in trained_as_of])
    in_force = np.maximum(
        np.searchsorted(days, honest_rows["as_of"].to_numpy(dtype="datetime64[D]"), side="left") - 1, 0
    )
    cutoffs = np.array([params.cutoff(day) for day in trained_as_of], dtype="datetime64[us]")
    is_new = known_at.reindex(honest_rows["change_id"]).to_numpy(dtype="datetime64[us]") > cutoffs[in_force]
    result = []
    for name, part in ((ALL, honest_rows), (NEW, honest_rows[is_new])):
        first = part.sort_values(["as_of", "change_id"], kind="stable").drop_duplicates(["change_id", "segment"])
        once = first.drop_duplicates("change_id")
        result += _count_by_level(name, "all segments", once["p_value"])
        for segment, of_segment in first.groupby("segment"):
            result += _count_by_level(name, str(segment), of_segment["p_value"])
    return result


def _count_by_level(changes: str, segment: str, p_values: pd.Series) -> list[Exceedance]:
    n = len(p_values)
    counts = [int((p_values <= level).sum()) for level in LEVELS]
    return [
        Exceedance(changes, segment, level, n, observed, n * level, *exact_interval(observed, n))
        for level, observed in zip(LEVELS, counts, strict=True)
        if n
    ]
