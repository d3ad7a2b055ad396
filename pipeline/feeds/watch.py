"""Judge a drop by its numbers: what stops it, what a person should look at, and what cannot be compared yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from math import prod
from statistics import fmean, median

from payeewatch.pipeline.feeds.calendar import is_compared, is_working_day
from payeewatch.pipeline.feeds.measures import Measured
from payeewatch.pipeline.feeds.usual import (
    FAR,
    FEW,
    IN_CLUMPS,
    OF_OTHER_DAYS,
    Share,
    chance_of_none,
    count_distance,
    level_distance,
    pooled,
    share_distance,
    usual_share,
)
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.tables import DROP_TABLES, Table

DROPS, FROM = 8, 4
"""The usual is of so many drops, from the 4th on."""
EXPECTED_DAYS = 20
"""A table that came on each of so many expected days always comes."""
WINDOW_DROPS = 14
"""Drops with few rows are pooled over so many."""
RATE_DROPS = 56
CHANCE_OF_NONE = 1 / 365
"""A run of empty days is a look when it is no more probable than this."""
CHANCE_OF_EMPTY = 1e-6
"""A column is emptied when chance would leave it empty in no more drops than this."""
MUCH_LESS, MUCH_MORE = 0.6, 5 / 3
"""Times its usual at which a count is material."""
LEAST_SHARE = {
    "null": 0.1, "unknown": 0.1, "unresolved": 0.05, "rejected": 0.02, "repeated": 0.05, "unchanged": 0.2,
    "known": 0.25, "distinct": 0.25, "value": 0.35, "large": 0.15, "zero": 0.15, "old": 0.15, "ahead": 0.15,
    "before": 0.12, "padded": 0.3, "seen": 0.35, "fell_back": 0.1,
}  # fmt: skip
"""Kind of share -> the least difference that is material."""
LEAST_LEVEL = {"median": 0.4, "age": 7.0, "newest": 5.0}
"""Kind of level -> likewise: powers of ten of cents, days."""
PRIORS: dict[str, Share] = {"unchanged rows": (5, 100), "repeated keys": (1, 100), "rejected rows": (1, 1000)}
"""Shares that are small everywhere, where there is nothing else to compare with."""


@dataclass(frozen=True)
class Past:
    """One drop in numbers; of the first, those of its history."""

    day: date
    tables: Mapping[str, Measured]
    is_history: bool = False


@dataclass
class Findings:
    """What stops a drop, what to look at, and what has no usual yet."""

    stops: list[Sentence] = field(default_factory=list)
    looks: list[Sentence] = field(default_factory=list)
    states: list[Sentence] = field(default_factory=list)


@dataclass(frozen=True)
class Watch:
    """One table of a drop beside those of the drops before, oldest first."""

    table: Table
    day: date
    tonight: Measured
    past: Sequence[Past]
    params: Params

    @cached_property
    def drops(self) -> list[tuple[date, Measured]]:
        """Earlier drops on days that can be compared, with the table or without it."""
        nothing = Measured()
        return [
            (each.day, each.tables.get(self.table.name, nothing))
            for each in self.past
            if not each.is_history and is_compared(self.params.calendar, each.day)
        ]

    @cached_property
    def history(self) -> Measured:
        """The first drop's."""
        first = next((each for each in self.past if each.is_history), None)
        return first.tables.get(self.table.name, Measured()) if first else Measured()

    def usual_rows(self, day: date | None = None) -> list[int]:
        """The counts that a day's is compared with: of its weekday, and never empty ones."""
        day = day or self.day
        return [
            measured.rows
            for when, measured in self.drops
            if when < day and when.weekday() == day.weekday() and measured.rows
        ][-DROPS:]

    def is_expected(self, day: date) -> bool:
        """Whether the table usually has enough rows on a day."""
        rows = self.usual_rows(day)
        return len(rows) >= FROM and median(rows) >= FEW

    # what stops

    def stops(self) -> Iterator[Sentence]:
        if is_compared(self.params.calendar, self.day):
            yield from self._too_few()
        if self.tonight.rows >= FEW:
            yield from self._emptied()
            yield from self._unresolved()

    def _too_few(self) -> Iterator[Sentence]:
        rows = self.tonight.rows
        if not rows and self.table.name in self.params.feeds and is_working_day(self.params.calendar, self.day):
            yield sentence("feed_declared_absent", table=self.table.name)
        elif self.is_expected(self.day):
            usual = median(self.usual_rows())
            if (not rows and self._always_comes()) or (self.table.required and rows <= usual / 10):
                yield sentence("feed_rows", table=self.table.name, rows=rows, typical=round(usual))

    def _always_comes(self) -> bool:
        expected = [measured.rows for day, measured in self.drops if self.is_expected(day)][-EXPECTED_DAYS:]
        return len(expected) == EXPECTED_DAYS and all(expected)

    def _of_size(self, label: str) -> list[Share]:
        """A share in each of the last drops that had rows enough."""
        nothing = Measured()
        every = (each.tables.get(self.table.name, nothing) for each in self.past if not each.is_history)
        return [m.shares[label] for m in every if label in m.shares and m.shares[label][1] >= FEW][-DROPS:]

    def _emptied(self) -> Iterator[Sentence]:
        for label, (empty, rows) in self.tonight.shares.items():
            if label.startswith("null ") and empty == rows:
                before = self._of_size(label)
                filled = [1 - k / n for k, n in before]
                if len(before) == DROPS and min(filled) > 1 / 20 and (1 - min(filled)) ** rows <= CHANCE_OF_EMPTY:
                    yield _share_sentence(self.table.name, label, 1.0, usual_share(before))

    def _unresolved(self) -> Iterator[Sentence]:
        for column, _ in self.table.references:
            label = f"unresolved {column}"
            if label not in self.tonight.shares:
                continue
            share, filled = self._of_filled(label, self.tonight)
            before = self._of_size(label)
            if filled >= FEW and share > 0.5 and len(before) >= FROM and max(k / n for k, n in before) <= 0.5:
                yield _share_sentence(self.table.name, label, share, usual_share(before))

    def _of_filled(self, label: str, measured: Measured) -> tuple[float, int]:
        part, rows = measured.shares[label]
        filled = rows - measured.shares.get(f"null {label.split(' ', 1)[1]}", (0, 0))[0]
        return part / max(1, filled), filled

    # what is worth a look

    def looks(self) -> Iterator[Sentence]:
        """The farthest number of each column, and the rows."""
        if not is_compared(self.params.calendar, self.day):
            return
        if self.tonight.rows:
            rows = list(self._rows())
            yield from rows
            found = [each for each in (*self._shares(), *self._levels()) if not rows or _kind(each[1]) not in OF_MIX]
            columns = {_column(label): (distance, label, words) for distance, label, words in sorted(found)}
            yield from (words for _, _, words in columns.values())
        else:
            yield from self._none()

    def _rows(self) -> Iterator[Sentence]:
        rows, usual = self.tonight.rows, self.usual_rows()
        if len(usual) >= FROM:
            middle = median(usual)
            ever = max(measured.rows for _, measured in self.drops)
            is_more = rows >= MUCH_MORE * middle and (middle >= FEW or rows > ever)
            if (is_more or rows <= MUCH_LESS * middle) and abs(count_distance(rows, usual)) >= FAR:
                yield sentence("feed_rows", table=self.table.name, rows=rows, typical=round(middle))
        elif self._of_weekday():
            middle = median(self._of_weekday())
            if rows <= MUCH_LESS * middle and count_distance(rows, self._of_weekday()) <= -FAR:
                yield sentence("feed_rows", table=self.table.name, rows=rows, typical=round(middle))

    def _of_weekday(self) -> list[int]:
        """The history's rows of the dates of the weekday."""
        weekday = self.day.weekday()
        dates = {date.fromisoformat(text): rows for text, rows in self.history.by_date.items()}
        return [
            rows
            for when, rows in dates.items()
            if when.weekday() == weekday and is_compared(self.params.calendar, when)
        ]

    def _none(self) -> Iterator[Sentence]:
        """A run of empty days, as rarely as chance would do it once a year."""
        run = [self.day]
        for when, measured in reversed(self.drops):
            if measured.rows:
                break
            run.append(when)
        counts = {date.fromisoformat(text): rows for text, rows in self.history.by_date.items()}
        counts = {when: rows for when, rows in counts.items() if is_compared(self.params.calendar, when)}
        counts |= {when: measured.rows for when, measured in self.drops if when < run[-1]}
        before = sorted(counts.items())[-RATE_DROPS:]
        chance = prod(_chance_of_none(day.weekday(), before) for day in run)
        if chance <= CHANCE_OF_NONE:
            if len(run) > 1:
                yield sentence("feed_empty_days", table=self.table.name, days=len(run))
            else:
                usual = [rows for when, rows in before if rows and when.weekday() == self.day.weekday()]
                yield sentence("feed_rows", table=self.table.name, rows=0, typical=round(median(usual)))

    def _shares(self) -> Iterator[tuple[float, str, Sentence]]:
        for label, share in self.tonight.shares.items():
            kind = _kind(label)
            if kind not in LEAST_SHARE or not share[1]:
                continue
            for now, references, unknown in self._references(label, share):
                usual = usual_share(references)
                difference, least = now[0] / now[1] - usual, LEAST_SHARE[kind]
                if kind not in BOTH_WAYS and difference < 0:
                    continue
                if abs(difference) >= least * (UNSURE if unknown else 1):
                    distance = abs(share_distance(now, references, unknown))
                    if distance >= FAR and not (unknown and self._came_before(label, now)):
                        yield distance, label, _share_sentence(self.table.name, label, now[0] / now[1], usual)
                        break

    def _references(self, label: str, share: Share) -> Iterator[tuple[Share, list[Share], float]]:
        """What is compared with what: tonight alone, and where it has few rows, together with the drops before."""
        before = [
            (when, m.shares[label])
            for when, m in self.drops
            if label in m.shares and self._is_of_size(m.shares[label][1])
        ]
        windows = [0] if share[1] >= FEW else [0, *range(1, min(WINDOW_DROPS, len(before)) + 1)]
        for size in windows:
            cut = len(before) - size
            part = share[0] + sum(k for _, (k, _) in before[cut:])
            whole = share[1] + sum(n for _, (_, n) in before[cut:])
            references, unknown = self._usual_shares(label, before[:cut])
            if references:
                yield (part, whole), references, unknown
            if whole >= FEW:
                return

    def _came_before(self, label: str, share: Share) -> bool:
        """Whether a drop since the first was so too; said of it once, it is how daily drops are."""
        before = pooled([m.shares[label] for _, m in self.drops if label in m.shares])
        return any(abs(share_distance(share, [each])) < FAR / 2 for each in before)

    def _is_of_size(self, rows: int) -> bool:
        """Whether a number is of so many rows as tonight's, about: large drops are often of another kind."""
        return 0 < rows < FEW or 1 / ALIKE <= rows / self.tonight.rows <= ALIKE

    def _usual_shares(self, label: str, before: Sequence[tuple[date, Share]]) -> tuple[list[Share], float]:
        of_weekday = [s for when, s in before if when.weekday() == self.day.weekday() and s[1] >= FEW][-DROPS:]
        if len(of_weekday) >= FROM:
            return of_weekday, 0.0
        is_comparable = self.tonight.rows < FEW or _kind(label) not in OF_MIX
        groups = pooled([s for _, s in before])
        if len(groups) >= FROM and is_comparable:
            return groups, IN_CLUMPS if self.tonight.rows < FEW else OF_OTHER_DAYS
        known = self.history.shares.get(label)
        if known and known[1] >= FEW:
            return [known], OF_OTHER_DAYS
        is_new = sum(bool(measured.rows) for _, measured in self.drops) < DROPS
        return ([PRIORS[label]], OF_OTHER_DAYS) if is_new and label in PRIORS else ([], 0.0)

    def _levels(self) -> Iterator[tuple[float, str, Sentence]]:
        for label, (level, rows) in self.tonight.levels.items():
            kind = _kind(label)
            if rows < FEW or kind not in LEAST_LEVEL:
                continue
            before = [
                (when, m.levels[label][0])
                for when, m in self.drops
                if label in m.levels and m.levels[label][1] >= FEW and self._is_of_size(m.levels[label][1])
            ]
            references = [value for when, value in before if when.weekday() == self.day.weekday()][-DROPS:]
            if len(references) < FROM:
                references = [value for _, value in before][-DROPS:]
            least = LEAST_LEVEL[kind]
            if len(references) < FROM:
                if kind != "median" or label not in self.history.levels:
                    continue
                references, least = [self.history.levels[label][0]], UNSURE * least
                if any(abs(level - value) < least for _, value in before):
                    continue
            usual = median(references)
            distance = abs(level_distance(level, references, least))
            if abs(level - usual) >= least and distance >= FAR:
                yield distance, label, _level_sentence(self.table.name, label, level, usual)

    def states(self) -> Iterator[Sentence]:
        """What has no usual yet."""
        if len(self.usual_rows()) < FROM and not self._of_weekday() and self.tonight.rows >= FEW:
            yield sentence("feed_without_usual", table=self.table.name)


OF_MIX = {"value", "known", "distinct", "before", "seen"}
"""Kinds of share that differ from weekday to weekday, and with the number of rows."""
UNSURE = 1.5
"""Times the least difference where what is compared is not of the weekday."""
ALIKE = 4
"""Times as many rows at which drops are no longer of one size."""
BOTH_WAYS = {"null", "distinct", "value", "large", "zero", "before", "padded", "seen"}
"""Kinds of share of which too small a one is odd too."""


def _chance_of_none(weekday: int, before: Sequence[tuple[date, int]]) -> float:
    """How probable an empty day of a weekday is: by its own counts, and by all of weekdays that are as busy."""
    by_weekday: dict[int, list[int]] = {}
    for when, rows in before:
        by_weekday.setdefault(when.weekday(), []).append(rows)
    own = by_weekday.get(weekday, [])
    if len(own) < FROM:
        return 1.0
    if median(own) >= FEW:
        return chance_of_none(own[-DROPS:])
    busy = [counts for counts in by_weekday.values() if 2 * fmean(counts) >= fmean(own)]
    alike = [rows for counts in busy for rows in counts]
    return max(chance_of_none(own[-DROPS:]), (alike.count(0) + 1) / (len(alike) + 2))


def judge(day: date, tonight: Mapping[str, Measured], past: Sequence[Past], params: Params) -> Findings:
    """What is unlike its usual in a drop."""
    findings = Findings()
    for table in DROP_TABLES.values():
        watch = Watch(table, day, tonight.get(table.name, Measured()), past, params)
        stops = list(watch.stops())
        findings.stops += stops
        said = {(each.code, each.params.get("column")) for each in stops}
        findings.looks += [each for each in watch.looks() if (each.code, each.params.get("column")) not in said]
        findings.states += watch.states()
    return findings


def _kind(label: str) -> str:
    return label.split(" ", 1)[0]


def _column(label: str) -> str:
    kind, rest = label.split(" ", 1)
    return rest.split("=")[0] if kind != "distinct" or rest != "keys" else "keys"


def _share_sentence(table: str, label: str, share: float, usual: float) -> Sentence:
    kind = _kind(label)
    shares = {"share": round(share, 4), "usually": round(usual, 4)}
    if kind in WHOLE_ROWS:
        return sentence(f"feed_{kind}", table=table, **shares)
    words = {"column": _column(label)}
    if kind in ("value", "before"):
        words[kind] = label.split("=", 1)[1]
    return sentence(f"feed_{kind}", table=table, **words, **shares)


WHOLE_ROWS = {"rejected", "repeated", "unchanged", "known"}


def _level_sentence(table: str, label: str, level: float, usual: float) -> Sentence:
    kind, column = label.split(" ", 1)
    if kind == "median":
        return sentence("feed_median", table=table, column=column, times=f"{10 ** (level - usual):.2g}")
    return sentence(f"feed_{kind}", table=table, column=column, days=round(level), typical=round(usual))
