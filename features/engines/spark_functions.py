"""Two functions that narwhals calls and that differ between Spark servers, replaced by ones that are the same on all.

* `try_divide` of fractions is refused by some servers, and of whole numbers gives whole numbers there.
* `log` is the natural logarithm; narwhals divides two of them for a logarithm to the base 10, where DuckDB has one
  function for it: the last digit differs, and a value that was equal to a learned one no longer is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import Column
from pyspark.sql.connect import functions


@contextmanager
def agreed_functions() -> Iterator[None]:
    """Within it, expressions are written with functions that give what DuckDB gives, bit for bit."""
    before = functions.try_divide, functions.log
    functions.try_divide, functions.log = _divide, functions.log10
    try:
        yield
    finally:
        functions.try_divide, functions.log = before


def _divide(above: Column, below: Column) -> Column:
    return functions.when(below != functions.lit(0), above.cast("double") / below.cast("double"))
