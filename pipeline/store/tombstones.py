"""What stays of an erased person: keyed hashes of their ids, so that data that is sent again is ignored.

They are in the commit records of erasures and are made with the audit key: neither the lake nor the token key shows
whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.lake import Load

ERASURE = "erasure"
"""The kind of load that records one."""
UNFINISHED_ERASURE = "erasing.json"
"""Below the lake: an erasure that was started; the next command that writes finishes it."""
COLUMNS = {"member_id": "member", "payee_id": "payee", "change_id": "change"}
"""Columns of drops that say whose a row is, and the kind of id that they contain."""
NUMBERS = ("person_key", "id_key", "holder_key")
NAMES = ("name_key", "first_name_key")
"""Columns of a breach list's people: keys of numbers, keys of names."""


@dataclass(frozen=True)
class Tombstones:
    """Every tombstone of the lake."""

    tokens: frozenset[str] = frozenset()

    @classmethod
    def of(cls, loads: Iterable[Load]) -> Tombstones:
        return cls(frozenset(t for load in loads if load.kind == ERASURE for t in load.facts["tombstones"]))

    def delete_erased(self, con: duckdb.DuckDBPyConnection, rows: str, columns: Sequence[str]) -> int:
        """Delete erased people's rows from a staged table, and their claims from others' payments.

        Returns how many rows are deleted.
        """
        if not self.tokens:
            return 0
        many = 0
        for column in [column for column in COLUMNS if column in columns]:
            ids = f"SELECT DISTINCT {name(column)} AS id FROM {rows} WHERE {name(column)} IS NOT NULL"
            erased = f"SELECT id FROM ({ids}) WHERE {self._has(text(COLUMNS[column]), 'id')}"
            deleted_rows = con.execute(f"DELETE FROM {rows} WHERE {name(column)} IN ({erased})").fetchall()
            many += int(deleted_rows[0][0])
        if "claim_ids" in columns:
            is_erased = self._has("'claim'", "c")
            con.execute(
                f"UPDATE {rows} SET claim_ids = nullif(array_to_string(list_filter(string_split(claim_ids, '|'),"
                f" LAMBDA c: NOT {is_erased}), '|'), '') WHERE claim_ids IS NOT NULL"
                f" AND len(list_filter(string_split(claim_ids, '|'), LAMBDA c: {is_erased})) > 0"
            )
        return many

    def people(self, rows: str, versions: Sequence[int] = ()) -> str:
        """SQL of a breach list's people without those who were erased.

        Where the rows have their keys under other versions of the token key, too (`person_key_v1`), these count.
        """
        if not self.tokens:
            return rows
        by_number = " OR ".join(
            self._has(text(key), f"CAST({each} AS VARCHAR)") for key, each in _under(NUMBERS, versions)
        )
        nameless = " AND ".join(f"{key} IS NULL" for key in NUMBERS)
        by_name = " OR ".join(
            self._has(text("name_key"), f"CAST({each} AS VARCHAR)") for _, each in _under(NAMES, versions)
        )
        return f"SELECT * FROM ({rows}) WHERE NOT coalesce({by_number} OR ({nameless} AND ({by_name})), false)"

    def spellings(self, rows: str, keys: str, versions: Sequence[int] = ()) -> str:
        """SQL of rows with spellings (column `keys`) without those with one name only that is an erased person's."""
        if not self.tokens:
            return rows
        is_erased = self._has(text("spelling_key"), "CAST(key AS VARCHAR)")
        by_spelling = " OR ".join(
            f"len(list_filter({each}, LAMBDA key: key IS NOT NULL AND {is_erased})) > 0"
            for _, each in _under([keys], versions)
        )
        return f"SELECT * FROM ({rows}) WHERE name_key IS NOT NULL OR NOT coalesce({by_spelling}, false)"

    def other_names(self, forms: str, versions: Sequence[int]) -> str:
        """SQL of the keys of a person's other names without those of erased persons.

        `forms` is SQL of a list of structs: of each key as it is (`old`), and under every version (`v1`).
        """
        is_erased = " OR ".join(self._has(text("name_key"), f"CAST(form.v{each} AS VARCHAR)") for each in versions)
        others = f"list_filter({forms}, LAMBDA form: NOT ({is_erased}))"
        return f"list_transform({others}, LAMBDA form: form.old)"

    def _has(self, kind: str, value: str) -> str:
        tokens = ", ".join(text(token) for token in sorted(self.tokens))
        return f"coalesce(tombstone({kind}, {value}) IN ({tokens}), false)"


def _under(columns: Iterable[str], versions: Sequence[int]) -> list[tuple[str, str]]:
    """Columns of keys, each with its names under every version."""
    return [(column, each) for column in columns for each in (column, *(f"{column}_v{v}" for v in versions))]


NO_TOMBSTONES = Tombstones()
