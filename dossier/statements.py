"""What a dossier is made of: statements, each with its sources, and rows that somebody of the insurer fills in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

LANGUAGES = ("en", "fr")
Both = Mapping[str, str]
"""A text in each of LANGUAGES."""


class Kind(StrEnum):
    """What bears a statement out."""

    RUN = "run"
    MODEL = "model"
    SETTING = "setting"
    TEST = "test"
    AUDIT = "audit"
    LIST = "list"
    LAKE = "lake"
    CODE = "code"
    FILE = "file"
    ANSWER = "answer"


@dataclass(frozen=True, order=True)
class Source:
    """What bears a statement out, where it is, and a digest of it: when the digest differs, the statement is stale."""

    kind: Kind
    name: str
    digest: str = ""


@dataclass(frozen=True)
class Fact:
    """What the home says for one statement: the values of its text, the rows of its table, and where they come from.

    With `is_nothing` there is nothing to state, and the values belong to the text that says so.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    is_nothing: bool = False


class State(StrEnum):
    """Whether a statement says what it is there for."""

    STATED = "stated"
    NOT_THERE = "not_there"  # the home has nothing about it, and the statement says so
    FILLED = "filled"  # the insurer's own answer
    OPEN = "open"  # waits for the insurer or its counsel


@dataclass(frozen=True)
class Statement:
    """One numbered statement. `asks` is who fills it in, where the product cannot know it: `insurer` or `counsel`."""

    key: str
    number: str
    state: State
    text: Both
    sources: tuple[Source, ...]
    columns: tuple[Both, ...] = ()
    rows: tuple[tuple[Both, ...], ...] = ()
    asks: str = ""
    answer: Both | None = None


@dataclass(frozen=True)
class Part:
    """A chapter of the dossier."""

    key: str
    number: int
    title: Both
    intro: Both
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Finding:
    """Something that the first page says: what the home does not bear out, or what nobody answered yet."""

    code: str
    is_bad: bool
    text: Both


@dataclass(frozen=True)
class Question:
    """One question, its source in the law, and the statements that answer it.

    `was_read` is false where the text of the law was not read: then counsel must say where the question stands in it,
    under `key` in the file of answers. `lacks` is the part of the answer that no statement gives, if there is one.
    """

    key: str
    number: int
    text: Both
    law: Both
    was_read: bool
    answers: tuple[Statement, ...]
    lacks: Both | None = None

    @property
    def is_told(self) -> bool:
        """Whether all that is asked is told, wherever it stands in the law."""
        return not self.lacks and all(each.state in (State.STATED, State.FILLED) for each in self.answers)

    @property
    def is_answered(self) -> bool:
        return self.is_told and self.was_read


@dataclass(frozen=True)
class Dossier:
    """All of it, as of a day."""

    as_of: date
    insurer: str
    product: str
    made_from: Both
    findings: tuple[Finding, ...]
    parts: tuple[Part, ...]
    questions: tuple[Question, ...]

    @property
    def statements(self) -> Iterator[Statement]:
        return (each for part in self.parts for each in part.statements)

    @property
    def gaps(self) -> tuple[Statement, ...]:
        """What somebody still has to fill in."""
        return tuple(each for each in self.statements if each.state == State.OPEN)
