"""How much the queue changes with another seed, or after the next training.

    payeewatch measure --as-of D --out measured.parquet
    python -m payeewatch.evaluation.stability measured.parquet

trains on the measured changes with five seeds, and says how much of the top twenty of that day's open changes two of
these models share, on average.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from payeewatch.evaluation.replay import Training
from payeewatch.features import FEATURES
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.surprise import DetectorFeature
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.fit import train
from payeewatch.pipeline.training.training import fit, read_frame

TOPS = (20, 100)
OTHER_SEEDS = (1,)
"""Added to the seed of `params.yaml`."""
SEEDS, TOP = 5, 20
"""Of the command: so many models, and the length of the list that they share."""


@click.command(help=__doc__)
@click.argument("measured", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(measured: tuple[Path, ...]) -> None:
    means = []
    for path in measured:
        shared = shared_by_seeds(read_frame(path), Params.read(DEFAULT_PARAMS), tuple(FEATURES.values()))
        means.append(float(np.mean(shared)))
        click.echo(f"{path}: {means[-1]:.3f} of the top {TOP} shared ({min(shared):.3f} to {max(shared):.3f})")
    click.echo(f"mean {np.mean(means):.3f}")


def shared_by_seeds(frame: pd.DataFrame, params: Params, features: Sequence[DetectorFeature]) -> list[float]:
    """For each pair of models trained with SEEDS seeds, what they share of the TOP of the last day's open changes."""
    since = frame["as_of"].max() - pd.Timedelta(days=params.observe.window_days)
    last = frame[frame["as_of"] > since].sort_values(["as_of", "change_id"]).drop_duplicates("change_id", keep="last")
    seeds = [params.model_copy(update={"seed": params.seed + added}) for added in range(SEEDS)]
    scores = [train(frame, each, features=features).score(last)["score"].to_numpy() for each in seeds]
    names = last["change_id"].to_numpy()
    return [shared_top(names, ours, theirs, TOP) for ours, theirs in combinations(scores, 2)]


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


if __name__ == "__main__":
    main()
