"""A home read in Python: measured frames, the verdicts known by a day, models and their scores.

It only reads: nothing is written to the home, and another command may write there at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import pandas as pd

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.measure import measure
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.runs import published_files, published_nights, read_run
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.fit import train
from payeewatch.pipeline.training.training import chosen_features, known_verdicts, measured_as_loaded

Day = date | str
"""A day, or its text such as 2024-12-31."""


def open_home(path: Path | str | None = None) -> Home:
    """The home of a folder, or of PAYEEWATCH_HOME, to read. It is open until `close`, or to the end of a `with`.

    Raises:
        SettingsError: no home is named, or its key file is not there or does not fit.
        InputMissing: there is no home in the folder.
    """
    settings = Settings.load(Path(path) if path is not None else None)
    if not settings.folder("lake").is_dir():
        raise InputMissing(
            f"{settings.home}: there is no home with a lake here; name its folder in PAYEEWATCH_HOME, as a whole path "
            "where Python was started in another folder, or run payeewatch init and ingest"
        )
    with ExitStack() as stack:
        session = stack.enter_context(opened(settings, writing=False))
        session.lake_cache.register()
        return Home(session, stack.pop_all())


@dataclass(frozen=True)
class Home:
    """A home to read. Its frames have keyed tokens and the insurer's own numbers, and no name, account or national id.

    Changes are those that were linked and derived: after `payeewatch ingest` alone, run `payeewatch link`.
    """

    session: Session
    stack: ExitStack

    def __enter__(self) -> Home:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory. The frames and models that it gave stay."""
        self.stack.close()

    @property
    def settings(self) -> Settings:
        """Where everything is, and the parameters."""
        return self.session.settings

    @cached_property
    def nights(self) -> list[date]:
        """The published nights, the oldest first."""
        return published_nights(self.settings)

    @property
    def last_night(self) -> date:
        """The last published night.

        Raises:
            InputMissing: no night was published.
        """
        if not self.nights:
            raise InputMissing(f"no night was published in {self.settings.home}; run payeewatch night first")
        return self.nights[-1]

    def measured(self, as_of: Day) -> pd.DataFrame:
        """What a training on a day learns from: every past change at several ages, each as its night knew it.

        One row per (change_id, as_of): change_id, payee_id, as_of, party, derived, age_days, channel, and one number
        per feature (NaN: unknown).

        Raises:
            InputMissing: the lake is empty.
        """
        return measured_as_loaded(self.session, _day(as_of))

    def open_changes(self, night: Day | None = None, also: Sequence[str] = ()) -> pd.DataFrame:
        """The changes open on a night, by default the last published one, measured as that night knew them; and those
        in `also`, open or not. The columns are those of `measured`.
        """
        day = _day(night) if night is not None else self.last_night
        return measure(PlannedEngine(self.session.con), self.settings.params, [day], also)

    def labels(self, as_of: Day) -> pd.Series:
        """The last verdict on each change, by change_id, as known by a day. One without is not thereby honest."""
        return pd.Series(known_verdicts(self.session, _day(as_of)), name="verdict", dtype=object).rename_axis(
            "change_id"
        )

    def model(self, which: str | int = model_registry.CHAMPION) -> Model:
        """The model of an alias (champion, challenger, learned) or a version number: `score`, `attribute`, `usual`.

        Raises:
            ModelError: there is none, or it cannot be read.
        """
        return model_registry.load(self.settings, str(which))

    def model_of(self, night: Day | None = None) -> Model:
        """The model that scored a published night, by default the last one.

        Raises:
            InputMissing: this night was not published.
        """
        day = _day(night) if night is not None else self.last_night
        run = read_run(self.settings, day)
        if run is None:
            raise InputMissing(
                f"night {day} was not published in {self.settings.home}; home.nights lists those that were"
            )
        return self.model(str(run["model"]["version"]))

    def published(
        self, what: Literal["flags", "scores", "evidence"], first: Day | None = None, last: Day | None = None
    ) -> pd.DataFrame:
        """What nights published, one below the other: all of them, or those from `first` to `last`.

        Raises:
            InputMissing: none of them was published.
        """
        low = _day(first) if first is not None else date.min
        high = _day(last) if last is not None else date.max
        paths = [path for night, path in published_files(self.settings, what).items() if low <= night <= high]
        if not paths:
            of = f" from {low} to {high}" if first is not None or last is not None else ""
            raise InputMissing(f"no night{of} was published in {self.settings.home}; run payeewatch night first")
        return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)

    def train(
        self,
        frame: pd.DataFrame,
        labels: Mapping[str, str] | pd.Series | None = None,
        *,
        features: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> Model:
        """A model trained on a measured frame, with the home's parameters. It is not registered: `payeewatch train` is.

        Args:
            labels: change_id -> verdict; changes confirmed as fraud are left out.
            features, without: on these features only, or on all others.

        Raises:
            ModelError: too few changes to learn from.
        """
        verdicts = {str(change): str(verdict) for change, verdict in labels.items()} if labels is not None else {}
        return train(frame, self.settings.params, verdicts, features=chosen_features(features, without))

    def query(self, sql: str) -> pd.DataFrame:
        """The answer of DuckDB; each table of the lake is a view of all versions of its rows."""
        answer: pd.DataFrame = self.session.con.execute(sql).df()
        return answer


def _day(day: Day) -> date:
    return day if isinstance(day, date) else date.fromisoformat(day)
