"""How much the queue changes with another seed, or after the next training."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.evaluation.replay import Training
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.training import fit

TOPS = (20, 100)
OTHER_SEEDS = (1,)
"""Added to the seed of `params.yaml`."""


@dataclasses.dataclass
class Stability:
    """Collects, at each training, how much of the first night's top two models share. Pass `watch` to `replay`."""

    session: Session
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    before: Model | None = None

    def watch(self, training: Training, frame: pd.DataFrame) -> None:
        """Compare the model in force with the one before it; the first, with models of other seeds."""
        tonight = frame[frame["as_of"] == frame["as_of"].min()].reset_index(drop=True)
        for other in OTHER_SEEDS if self.before is None else ():
            self._compare("another seed", training, tonight, self._retrained(training, other))
        if self.before is not None:
            self._compare("next training", training, tonight, self.before)
        self.before = training.model

    def _retrained(self, training: Training, added: int) -> Model:
        """The model that would have been trained with another seed."""
        params = self.session.settings.params
        settings = dataclasses.replace(
            self.session.settings, params=params.model_copy(update={"seed": params.seed + added})
        )
        session = dataclasses.replace(self.session, settings=settings)
        return fit(session, training.as_of, training.frame, training.verdicts)

    def _compare(self, kind: str, training: Training, frame: pd.DataFrame, other: Model) -> None:
        ours, theirs = (model.score(frame)["score"].to_numpy() for model in (training.model, other))
        names = frame["change_id"].to_numpy()
        for top in TOPS:
            if 2 * top <= len(frame):  # of fewer, sharing half is chance
                shared = shared_top(names, ours, theirs, top)
                self.rows.append({"kind": kind, "as_of": training.as_of, "top": top, "jaccard": shared})


def shared_top(names: np.ndarray, ours: np.ndarray, theirs: np.ndarray, top: int) -> float:
    """Jaccard's share of two top lists: in both, of those in either."""
    first, second = ({names[at] for at in np.lexsort((names, -scores))[:top]} for scores in (ours, theirs))
    return len(first & second) / len(first | second)
