"""What a measurement needs from the engine that computes it.

Features, relations and the spine are narwhals expressions over lazy frames. An engine reads lake tables into such
frames, computes them, and gives the result as pandas.

Inside, every instant and date is a whole number of microseconds since 1970 (UTC): whole numbers compare equally on
every engine, instants of two types do not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import narwhals as nw
import pandas as pd
import pyarrow as pa

Frame = nw.LazyFrame[Any]
DAY = 86_400_000_000
"""Microseconds in a day."""


class Refused(ValueError):
    """A formula or a column that cannot be computed. The message names it and says what to do."""


class WrongAnswer(Exception):
    """An engine failed, or its answer is not complete. The message says what to do."""


@dataclass(frozen=True)
class Question:
    """Which changes to measure, and how.

    `build` gives two frames: a `change_id` for each row of the answer, and the answer. `loads` are the small tables
    that `build` passes to `Engine.load`, in that order. Two questions of one `kind` differ in those rows only; a
    question without a kind is asked once.
    """

    build: Callable[[Engine], tuple[Frame, Frame]]
    loads: tuple[pa.Table, ...] = ()
    kind: Hashable = None


Meanwhile = Callable[[list[str]], None]
"""Is called with the ids of the changes, each once, before or while their numbers are computed."""


class Engine(ABC):
    """Reads tables, computes frames and answers questions, one after another."""

    name: ClassVar[str]

    @abstractmethod
    def read(self, table: str, columns: Sequence[str]) -> Frame:
        """All versions of a table's rows, instants and dates as microseconds; columns that it lacks are left out."""

    @abstractmethod
    def load(self, rows: pa.Table) -> Frame:
        """A frame of a small table of this process."""

    @abstractmethod
    def keep(self, frame: Frame) -> Frame:
        """The frame, computed once and stored, to be read many times."""

    @abstractmethod
    def collect(self, frame: Frame) -> pd.DataFrame:
        """The frame's rows as pandas."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what `keep` and `load` stored."""

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        """The spine with the columns of frames that have at most one line per spine `row`; to be read once."""
        return reduce(lambda wide, frame: wide.join(frame, on="row", how="left"), numbers, spine)

    def answer(self, question: Question, meanwhile: Meanwhile | None = None) -> pd.DataFrame:
        """The rows that a question asks for.

        Raises:
            Refused: a formula or a column that cannot be computed.
            WrongAnswer: the engine failed.
        """
        changes, numbers = question.build(self)
        ids = self.collect(changes.select("change_id"))["change_id"]
        if meanwhile:
            meanwhile(sorted(set(ids)))
        rows = self.collect(numbers)
        if len(rows) != len(ids):
            raise WrongAnswer(
                f"the engine {self.name} measured {len(rows)} rows of {len(ids)}; run it again, or with --engine duckdb"
            )
        return rows
