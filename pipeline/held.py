"""Lake tables held in memory: a connection reads each of the lake's files once, however many nights it runs.

A held table knows when each of its versions was superseded, so that nobody works that out night after night. Tables
too large to hold stay views of their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from pipeline.lake import SCHEMAS, Lake, Load

LARGEST_BYTES = 48 * 2**20
"""The most that the files of a held table may weigh; in memory it weighs about ten times as much."""

# A later row of the same key ends a version, whichever file brought it: so look at every version of the keys added.
FIND_ENDS = """
CREATE OR REPLACE TEMP TABLE held_ends AS
    WITH added AS (SELECT DISTINCT {key} FROM {held} WHERE rowid >= $first),
    ends AS (
        SELECT rowid AS place, superseded_at AS was,
               lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, version) AS superseded_at
        FROM {held} WHERE $first = 0 OR ({key}) IN (FROM added)
    )
    SELECT place, superseded_at FROM ends WHERE superseded_at IS DISTINCT FROM was
"""
WRITE_ENDS = "UPDATE {held} SET superseded_at = e.superseded_at FROM held_ends AS e WHERE {held}.rowid = e.place"


@dataclass
class Held:
    """What a connection holds of the lake: table -> the files that its rows came from, as of which commits."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    files: dict[str, list[str]] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)

    def register(self, loads: Sequence[Load] | None = None) -> None:
        """Make a view of every lake table, as `Lake.register` does, as committed now or by `loads`.

        The view of a held table has a further column, `superseded_at`: when the next version of the row became known;
        null while there is none.
        """
        from features.versions import USES

        loads = list(self.lake.loads() if loads is None else loads)
        if loads == self.loads and self.loads:
            return
        for table in SCHEMAS:
            files = self.lake.files(table, loads)
            if table in USES and files and sum(Path(path).stat().st_size for path in files) <= LARGEST_BYTES:
                self._hold(table, ", ".join(f'"{name}"' for name in USES[table].key), files)
                self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM held_{table}')
            else:
                self.lake.register(self.con, table, loads=loads)
        self.loads = loads

    def _hold(self, table: str, key: str, files: list[str]) -> None:
        """Add the files not held yet; begin anew when one held was taken away."""
        held, name = self.files.get(table, []), f"held_{table}"
        if held != files[: len(held)] or not held:
            held = []
            columns = ", ".join(f'"{column}" {kind}' for column, kind in SCHEMAS[table].items())
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns}, superseded_at TIMESTAMP)")
        new = files[len(held) :]
        if not new:
            return
        first = self.con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in new)
        columns = ", ".join(f'"{column}"' for column in SCHEMAS[table])
        self.con.execute(
            f"INSERT INTO {name} SELECT {columns}, NULL FROM read_parquet([{listed}], hive_partitioning = false)"
        )
        self.con.execute(FIND_ENDS.format(held=name, key=key), {"first": first})
        self.con.execute(WRITE_ENDS.format(held=name))
        self.con.execute("DROP TABLE held_ends")
        self.files[table] = files
