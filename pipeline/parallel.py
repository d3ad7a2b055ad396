"""Work side by side: as many items at once as there are processors, each with a connection of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import duckdb

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def own_connection(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for another thread to the same database, in UTC too: a setting of the one given is not its own.

    It does not see the temporary tables of the one given.
    """
    with con.cursor() as own:
        own.execute("SET TimeZone = 'UTC'")
        yield own


def side_by_side(
    con: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection, Item], Made], items: Iterable[Item]
) -> Iterator[Made]:
    """Do the work for as many items at once as there are processors, and yield what it makes in their order.

    Each has its `own_connection`.
    """

    def one(item: Item) -> Made:
        with own_connection(con) as own:
            return work(own, item)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, items)
