"""What a command works with: settings, keys, the lake, a private database connection, and its log."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, TypeVar

import duckdb

from payeewatch.pipeline.home import keys as tokens
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.runs import published_nights
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.shown import printable, shown
from payeewatch.pipeline.store.lake import WORK, Lake
from payeewatch.pipeline.store.lake_cache import LakeCache

LOG = logging.getLogger("payeewatch")


@dataclass
class Session:
    """One command's work. `seconds` adds up what each stage took; `warnings` lists what a person should know, and
    `states` what is so every night until something is done about it.
    """

    settings: Settings
    keys: Keys
    lake: Lake
    con: duckdb.DuckDBPyConnection
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)
    accepts: Mapping[date, str] = field(default_factory=dict)  # day -> why it is let through what stops it
    night: date | None = None  # the night being run, for the log
    redone: date | None = None  # the published night that is run again as if it were not published
    loaded_ahead: date | None = None  # a range's last night that is loaded and will be published

    @cached_property
    def lake_cache(self) -> LakeCache:
        """The lake tables kept in memory."""
        return LakeCache(self.lake, self.con)

    def last_published(self) -> date | None:
        """The last night that nothing learned now may change: it is published, or loaded in order to be."""
        published = [night for night in published_nights(self.settings) if night != self.redone]
        return max([*published[-1:], *([self.loaded_ahead] if self.loaded_ahead else [])], default=None)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage and log one line for it; what the block puts into the mapping is on that line."""
        facts: dict[str, Any] = {}
        started = time.perf_counter()
        yield facts
        took = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.log(name, **facts, seconds=round(took, 3))

    def log(self, stage: str, **facts: object) -> None:
        """One structured line: ids, counts and euros only."""
        self._write(logging.INFO, {"stage": stage} | facts)

    def warn(self, message: str) -> None:
        """Add a warning to the run record and the report, and log it once."""
        if message not in self.warnings:
            self.warnings.append(message)
        if message not in self.warned:
            self.warned.add(message)
            self._write(logging.WARNING, {"warning": message})

    def state(self, message: str) -> None:
        """Add a state to the run record, and log it once."""
        if message not in self.states:
            self.states.append(message)
        if message not in self.warned:
            self.warned.add(message)
            self._write(logging.INFO, {"state": message})

    def _write(self, level: int, facts: dict[str, object]) -> None:
        LOG.log(level, "%s", json.dumps({"night": self.night} | facts, ensure_ascii=False, default=str))


@contextmanager
def second_session(session: Session) -> Iterator[Session]:
    """A second session of the same command, for another thread: with its own connection, seconds and warnings."""
    with session.lake.connect(spill=session.lake.root / WORK / str(os.getpid())) as con:
        tokens.register(con, session.keys)
        yield replace(session, con=con, seconds={}, warnings=[], states=[])


Item = TypeVar("Item")


def progress(items: Iterator[Item], total: int, unit: str) -> Iterator[Item]:
    """The items, with a bar on a terminal in place of log lines."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    LOG.setLevel(logging.WARNING)
    yield from tqdm(items, total=total, unit=unit)


class JsonLines(logging.Formatter):
    """One JSON object per line: time (UTC), level, stage, night, run, and the facts of the message."""

    def __init__(self) -> None:
        super().__init__()
        self.run = secrets.token_hex(6)

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        facts = json.loads(message) if message.startswith("{") else {"message": message}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "stage": facts.pop("stage", None),
            "night": facts.pop("night", None),
            "run": self.run,
        }
        facts = {name: shown(value) if isinstance(value, str) else value for name, value in facts.items()}
        return printable(json.dumps(line | facts, ensure_ascii=False))


def log_to_standard_error(level: int = logging.INFO) -> None:
    """Structured log lines on standard error; `run` in them is the same in every line of a command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOG.handlers[:] = [handler]
    LOG.setLevel(level)
    LOG.propagate = False
