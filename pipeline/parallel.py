"""Work in parallel: many items at once, or one thread of work in the background."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def own_connection(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for another thread to the same database, in UTC too: it does not inherit settings.

    It does not see the temporary tables of the first connection.
    """
    with con.cursor() as own:
        own.execute("SET TimeZone = 'UTC'")
        yield own


Submit = Callable[..., Future[Any]]
"""Starts a function with its arguments in the background."""


@contextmanager
def background() -> Iterator[Submit]:
    """One thread for work in parallel to the caller's own.

    When the block ends, all of it is done, and a failure in it is raised even if nobody asked for the result. A failure
    of the block itself is raised first.
    """
    started: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as thread:

        def submit(work: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
            started.append(thread.submit(work, *args, **options))
            return started[-1]

        yield submit
    for each in started:
        each.result()


def in_parallel(
    con: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection, Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Do the work for as many items at once as there are processors, and yield the results in their order.

    Each has its `own_connection`.
    """

    def work_on(item: Item) -> Result:
        with own_connection(con) as own:
            return work(own, item)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work_on, items)
