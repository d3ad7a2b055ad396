"""What a measurement asks of whatever computes it.

Features, relations and the spine are narwhals expressions over lazy frames. An engine reads lake tables into such
frames, computes them, and gives the result as pandas.

Inside, every instant and date is a whole number of microseconds since 1970 (UTC): whole numbers compare alike on
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
    """A formula or a column that is not computed. The message names it and says what to do."""


class WrongAnswer(Exception):
    """An engine failed, or its answer cannot be whole. The message says what to do."""


@dataclass(frozen=True)
class Question:
    """Which changes to measure, and how.

    `build` gives two frames: a `change_id` for each row of the answer, and the answer. `loads` are the small tables
    that it gives to `Engine.load`, in that order. Two questions of one `kind` differ in those rows only; a question
    without a kind is asked once.
    """

    build: Callable[[Engine], tuple[Frame, Frame]]
    loads: tuple[pa.Table, ...] = ()
    kind: Hashable = None


Meanwhile = Callable[[list[str]], None]
"""Called with the ids of the changes, each once, while or before their numbers are computed."""


class Engine(ABC):
    """Reads tables, computes frames and answers questions; one question at a time."""

    name: ClassVar[str]

    @abstractmethod
    def read(self, table: str, columns: Sequence[str]) -> Frame:
        """All versions of a lake table's rows, instants and dates as microseconds: those of the columns that it has."""

    @abstractmethod
    def load(self, rows: pa.Table) -> Frame:
        """A small table of ours."""

    @abstractmethod
    def keep(self, frame: Frame) -> Frame:
        """The frame computed once, to be read many times."""

    @abstractmethod
    def collect(self, frame: Frame) -> pd.DataFrame:
        """The frame's rows as pandas."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what was kept and loaded."""

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        """The spine with the columns of frames that have one line a spine `row`, or none; to be read once."""
        return reduce(lambda wide, frame: wide.join(frame, on="row", how="left"), numbers, spine)

    def answer(self, question: Question, meanwhile: Meanwhile | None = None) -> pd.DataFrame:
        """What a question asks for.

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
