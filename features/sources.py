"""What features are computed from: the change itself, relations to lake tables, and streams of dated events."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import narwhals as nw

from payeewatch.features.engines.engine import Frame, Refused
from payeewatch.features.formulas import Row, refuse_hours
from payeewatch.features.versions import Tables, reach, visible

Columns = Callable[[Row, Row], dict[str, nw.Expr]]
"""(a row of the relation, the change) -> further columns of the relation."""

Rows = Callable[[Tables, Frame, Frame], Frame]
"""(tables, spine, the values of the column joined on) -> rows with `known_at` and `superseded_at`."""


@dataclass(frozen=True)
class Change:
    """The spine itself: formulas over it run row by row, and may use features of other sources."""

    @property
    def prefix(self) -> str:
        return ""


CHANGE = Change()


@dataclass(frozen=True)
class Relation:
    """The spine joined once to one lake table, each row as it was known at an instant.

    `through` joins to another relation instead of the spine. `happened` names the instant of an event, which must
    lie in the past; a plan (a planned payment, a change yet to take effect) has none: it is known and future.
    `at` is the spine's instant whose knowledge counts: the night's cut-off unless said otherwise.
    """

    name: str
    table: str
    on: str
    to: str
    columns: Columns = lambda row, change: {}
    through: Relation | None = None
    happened: str | None = None
    at: str = "cutoff_at"
    rows: Rows | None = None

    @property
    def prefix(self) -> str:
        return f"{self.name}__"

    @property
    def row(self) -> Row:
        """Its columns, for the formulas of relations that go through it."""
        return Row(self.prefix)

    def joined(self, tables: Tables, spine: Frame) -> Frame:
        """Every visible row of the relation, joined to its spine row."""
        source = self.through.joined_once(tables, spine) if self.through else spine
        rows = self._rows(tables, spine, source)
        named = {name: self.prefix + name for name in rows.collect_schema().names()}
        rows = rows.filter(~nw.col(self.on).is_null()).rename(named)
        frame = source.join(rows, left_on=self.to, right_on=named[self.on], how="inner")
        is_visible = visible(nw.col(self.at), self.prefix)
        if self.happened:
            is_visible = is_visible & (nw.col(named[self.happened]) <= nw.col("cutoff_at"))
        further = self._further(set(frame.collect_schema().names()), tables.zone)
        return frame.filter(is_visible).select(nw.all(), **further)

    def _further(self, columns: set[str], zone: str) -> dict[str, nw.Expr]:
        row, change = Row(self.prefix, zone), Row(zone=zone)
        further = {self.prefix + name: expr for name, expr in self.columns(row, change).items()}
        refuse_hours(self.name, further)
        self.require(f"the relation {self.name}", row.columns_used | change.columns_used, columns)
        return further

    def require(self, who: str, columns_used: Collection[str], columns: Collection[str]) -> None:
        """Refuse a formula that uses columns which the joined rows do not have."""
        missing = sorted(set(columns_used).difference(columns))
        if missing:
            raise Refused(f"{who}: it asks for {', '.join(missing)}, which is not there; {reach(self.table)}")

    def joined_once(self, tables: Tables, spine: Frame) -> Frame:
        """The joined rows, computed once; the spine's many columns are not stored with them but joined again."""
        return spine.join(self.joined_columns(tables, spine), on="row", how="inner")

    def joined_columns(self, tables: Tables, spine: Frame) -> Frame:
        """The columns of the relation and `row`, without the spine's other columns, computed once."""
        of_spine = set(spine.collect_schema().names()) - {"row"}

        def build() -> Frame:
            joined = self.joined(tables, spine)
            return joined.select(*(name for name in joined.collect_schema().names() if name not in of_spine))

        return tables.once(("joined", self.name), build)

    def _rows(self, tables: Tables, spine: Frame, source: Frame) -> Frame:
        values = source.select(nw.col(self.to).alias(self.on))
        if self.rows:
            return self.rows(tables, spine, values)
        rows = tables.with_stored_ends(self.table)
        if rows is not None:
            return rows
        reached = f"{self.through.name if self.through else 'spine'}.{self.to}"
        return tables.touching(self.table, self.on, values, reached)


@dataclass(frozen=True)
class Stream:
    """Dated events, counted by key in one pass, for any number of events per key.

    `events` gives one row per (key, own) with `at`, the instant from which it counts; `key` and `own` name the spine's
    columns. A change that has the key is itself among the events, and its own event is never counted.
    """

    name: str
    key: str
    own: str
    events: Callable[[Tables, Frame], Frame]

    @property
    def prefix(self) -> str:
        return ""


Source = Change | Relation | Stream
