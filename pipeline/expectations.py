"""Great Expectations judges what is measured and what is about to be published, by the promises of each table.

It has a thread of its own, because it takes seconds to load and judges one frame after the other: `start` begins to
load it during other work, and every judgement waits for it and fails if loading failed. It never calls a network, and
neither its messages nor ours hold a value of a frame.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.promises import Promise, Promises

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite

_THREAD = ThreadPoolExecutor(1, thread_name_prefix="expectations")

WHICH_RULES = {"result_format": "BOOLEAN_ONLY"}
HOW_MANY_ROWS = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}

RULES_AT_ONCE = 20
"""More of them take longer over the rows of a training, fewer over the rows of a night."""


class BrokenPromise(PayeeWatchError):
    """A table breaks what it promises. The message names table, columns, rules and counts, and no value."""


@dataclass(frozen=True)
class Rule:
    """One expectation: its column (none if it is about the whole table), what must hold, and how it is checked."""

    column: str
    sentence: str
    expectation: str  # the name of its class
    arguments: Mapping[str, Any]
    except_where: tuple[str, str] | None = None  # a column and a value: rows with that value are not checked

    @property
    def names(self) -> Sequence[str]:
        """The columns that are read to check it; none if it is about the whole table."""
        own: Sequence[str] = self.arguments.get("column_list") or [self.column]
        return own if self.column else ()


def start() -> Future[Any]:
    """Begin to load Great Expectations, unless it is loaded; the future is done once it is."""
    return _THREAD.submit(_batches)


def judge(
    promises: Promises, frame: pd.DataFrame, rows: int | None = None, among: Mapping[str, Collection[Any]] | None = None
) -> None:
    """Have a frame judged; see `judging`.

    Raises:
        BrokenPromise: the frame breaks a promise.
    """
    broken = judging(promises, frame, rows, among).result()
    if broken:
        raise BrokenPromise(f"{promises.table}: the table breaks its promises: {'; '.join(broken)}")


def judging(
    promises: Promises, frame: pd.DataFrame, rows: int | None = None, among: Mapping[str, Collection[Any]] | None = None
) -> Future[list[str]]:
    """The rules that a frame breaks, in words, as soon as they are known.

    Args:
        rows: how many rows the frame must have.
        among: columns, and the values that each may have in this frame only.
    """
    return _THREAD.submit(_broken, [*rules(promises), *_rules_of_one_frame(rows, among or {})], frame)


def rules(promises: Promises) -> list[Rule]:
    """All rules of a table; the one about its columns is the first."""
    names = list(promises.columns)
    all_rules = [
        Rule(
            "", "the columns must be those of the schema, in their order",
            "ExpectTableColumnsToMatchOrderedList", {"column_list": names},
        )
    ]  # fmt: skip
    for name, promise in promises.columns.items():
        all_rules += _column_rules(name, promise)
    all_rules += [_unique(names) for names in promises.unique]
    return all_rules


def _column_rules(name: str, promise: Promise) -> Iterator[Rule]:
    of_column: dict[str, Any] = {"column": name}
    if promise.nullable_where:
        sentence = f"must not be null, except for a {promise.nullable_where[1]}"
        yield Rule(name, sentence, "ExpectColumnValuesToNotBeNull", of_column, promise.nullable_where)
    elif not promise.nullable:
        yield Rule(name, "must not be null", "ExpectColumnValuesToNotBeNull", of_column)
    if promise.values:
        sentence = f"must be one of {', '.join(promise.values)}"
        yield Rule(name, sentence, "ExpectColumnValuesToBeInSet", of_column | {"value_set": list(promise.values)})
    if promise.bounds:
        bounds = promise.bounds
        within = {"min_value": bounds.low, "max_value": bounds.high, "strict_min": bounds.is_above_low}
        yield Rule(name, f"must be {bounds}", "ExpectColumnValuesToBeBetween", of_column | within)


def _unique(names: tuple[str, ...]) -> Rule:
    if len(names) == 1:
        return Rule(names[0], "must come once", "ExpectColumnValuesToBeUnique", {"column": names[0]})
    return Rule(
        " and ".join(names), "must come once together", "ExpectCompoundColumnsToBeUnique", {"column_list": list(names)}
    )


def _rules_of_one_frame(rows: int | None, among: Mapping[str, Collection[Any]]) -> Iterator[Rule]:
    if rows is not None:
        yield Rule("", f"there must be {rows} rows", "ExpectTableRowCountToEqual", {"value": rows})
    for name, values in among.items():
        arguments = {"column": name, "value_set": list(values)}
        yield Rule(name, "must be a value that belongs here", "ExpectColumnValuesToBeInSet", arguments)


def suite(rule_list: Sequence[Rule]) -> ExpectationSuite:
    """The rules as a suite of Great Expectations, each with its place among them in `meta`."""
    from great_expectations import ExpectationSuite, expectations

    return ExpectationSuite(
        name="promises",
        expectations=[
            getattr(expectations, rule.expectation)(**rule.arguments, meta={"place": place})
            for place, rule in enumerate(rule_list)
        ],
    )


def _broken(rule_list: Sequence[Rule], frame: pd.DataFrame) -> list[str]:
    """The broken rules, with how many rows break each. Without the right columns nothing else can be checked.

    To count takes twice as long as to find out whether there is anything to count.
    """
    columns, *others = rule_list
    for part, rows in (([columns], frame.iloc[:0]), (others, frame)):
        broken = [rule for rule, outcome in _outcomes(part, rows, WHICH_RULES) if not outcome.success]
        if broken:
            return [_in_words(rule, outcome.result) for rule, outcome in _outcomes(broken, rows, HOW_MANY_ROWS)]
    return []


def _outcomes(rule_list: Sequence[Rule], frame: pd.DataFrame, form: Mapping[str, Any]) -> list[tuple[Rule, Any]]:
    """Each rule with its outcome. One that could not be checked counts as broken.

    Rules that leave out the same rows are checked together, on the remaining rows. Great Expectations copies all that
    it is given for each column that has nulls: so it gets the columns of a few rules at a time.
    """
    results = []
    for where, group in _groups(rule_list):
        columns = dict.fromkeys(name for rule in group for name in rule.names)
        rows = frame[list(columns)] if all(rule.names for rule in group) else frame
        rows = rows[frame[where[0]] != where[1]] if where else rows
        batch = _batches().get_batch(batch_parameters={"dataframe": rows.reset_index(drop=True)})
        outcomes = {
            outcome.expectation_config.meta["place"]: outcome
            for outcome in batch.validate(suite(group), result_format=dict(form)).results
        }
        results += [(rule, outcomes[place]) for place, rule in enumerate(group)]
    return results


def _groups(rule_list: Sequence[Rule]) -> Iterator[tuple[tuple[str, str] | None, Sequence[Rule]]]:
    """The rules that are checked together, with the rows that they leave out."""
    for where in dict.fromkeys(rule.except_where for rule in rule_list):
        alike = [rule for rule in rule_list if rule.except_where == where]
        for first in range(0, len(alike), RULES_AT_ONCE):
            yield where, alike[first : first + RULES_AT_ONCE]


def _in_words(rule: Rule, result: Mapping[str, Any]) -> str:
    if not rule.column:
        return rule.sentence
    count = result.get("unexpected_count")
    return f"{rule.column} {rule.sentence} ({f'broken on {count} rows' if count else 'could not be asked'})"


@cache
def _batches() -> Any:
    """Great Expectations, started once per process; it sends nothing to its makers.

    Garbage is not collected meanwhile: its import creates none, and the collector takes a third of its time. It imports
    PySpark where that is installed, and asks it for nothing: what PySpark thinks of pandas is no news for an operator.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    warnings.filterwarnings("ignore", category=FutureWarning, module="pyspark")
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        import great_expectations as gx
        import great_expectations.expectations
    finally:
        if is_collecting:
            gc.enable()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("frames")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")
