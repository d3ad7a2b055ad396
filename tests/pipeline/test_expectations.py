"""Great Expectations receives the values and decides; what it says has counts and no value."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline import expectations
from payeewatch.pipeline.expectations import BrokenPromise, judge, judging, rules, start
from payeewatch.pipeline.home.promises import NULLABLE, Bounds, Promise, promises

PROMISES = promises(
    "things",
    ["id", "kind", "share", "known", "note", "day"],
    (("id",), ("kind", "day")),
    {
        "kind": Promise(values=("round", "square")),
        "share": Promise(bounds=Bounds(0, 1, is_above_low=True)),
        "known": Promise(nullable_where=("kind", "square"), bounds=Bounds()),
        "note": NULLABLE,
    },
)


def things(**changed: list[Any]) -> pd.DataFrame:
    columns = {
        "id": ["secret-1", "secret-2", "secret-3"],
        "kind": ["round", "square", "round"],
        "share": [0.5, 1.0, 1e-9],
        "known": [-3.0, np.nan, 1e300],
        "note": [None, "a", "a"],
        "day": [1, 1, 2],
    }
    return pd.DataFrame(columns | changed)


def test_a_table_that_keeps_its_promises_passes() -> None:
    judge(PROMISES, things(), rows=3, among={"day": [1, 2]})


def test_an_empty_table_keeps_every_promise() -> None:
    judge(PROMISES, things().iloc[:0], rows=0, among={"day": [1]})


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"id": ["secret-1", None, "secret-3"]}, ["id must not be null (broken on 1 rows)"]),
        ({"id": ["secret-1", "secret-1", "secret-3"]}, ["id must come once (broken on 2 rows)"]),
        ({"kind": ["round", "square", "oval"]}, ["kind must be one of round, square (broken on 1 rows)"]),
        ({"share": [0.0, 1.5, 0.5]}, ["share must be above 0 and at most 1 (broken on 2 rows)"]),
        ({"known": [np.nan, 1.0, 1.0]}, ["known must not be null, except for a square (broken on 1 rows)"]),
        ({"known": [-np.inf, 1.0, np.inf]}, ["known must be finite (broken on 2 rows)"]),
        ({"day": [1, 1, 1]}, ["kind and day must come once together (broken on 2 rows)"]),
        ({"day": [1, 1, 9]}, ["day must be a value that belongs here (broken on 1 rows)"]),
        (
            {"share": [0.5, 0.5, np.nan], "id": ["secret-1"] * 3},
            ["share must not be null (broken on 1 rows)", "id must come once (broken on 3 rows)"],
        ),
    ],
)
def test_what_breaks_a_promise_is_named_and_counted(changed: dict[str, list[Any]], broken: list[str]) -> None:
    assert sorted(judging(PROMISES, things(**changed), among={"day": [1, 2]}).result()) == sorted(broken)


def test_a_lost_row_and_a_wrong_column_are_broken_promises() -> None:
    assert judging(PROMISES, things(), rows=4).result() == ["there must be 4 rows"]
    columns = ["the columns must be those of the schema, in their order"]
    assert judging(PROMISES, things().drop(columns="kind")).result() == columns
    assert judging(PROMISES, things()[["kind", "id", "share", "known", "note", "day"]]).result() == columns


def test_rows_are_judged_whatever_they_are_numbered() -> None:
    twice = pd.concat([things(), things()])
    assert "id must come once (broken on 6 rows)" in judging(PROMISES, twice).result()


def test_no_value_is_said_anywhere(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BrokenPromise) as raised:
        judge(
            PROMISES, things(id=["secret-1"] * 3, share=["secret-2", "secret-3", "secret-3"]), among={"id": ["other"]}
        )
    assert str(raised.value).startswith("things: the table breaks its promises: ")
    assert "share must be above 0 and at most 1 (could not be asked)" in str(raised.value)
    output = str(raised.value) + "".join(capfd.readouterr()) + caplog.text
    assert "secret" not in output
    assert raised.value.exit_code == 1


def test_that_it_cannot_be_loaded_is_seen_by_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_it(name: str, *more: Any) -> Any:
        if name == "great_expectations":
            raise ImportError("it is broken")
        return load(name, *more)

    expectations._batches.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without_it)
    start()
    with pytest.raises(ImportError, match="it is broken"):
        judge(PROMISES, things())
    monkeypatch.undo()
    judge(PROMISES, things())


def test_every_rule_names_an_expectation() -> None:
    suite = expectations.suite(rules(PROMISES))
    assert [type(each).__name__ for each in suite.expectations] == [rule.expectation for rule in rules(PROMISES)]


def test_what_it_imports_has_nothing_to_tell_an_operator(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from payeewatch.pipeline.expectations import start\n\nstart().result()\n")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert ended.stdout + ended.stderr == ""


@pytest.mark.parametrize("at_once", [1, 3])
def test_how_many_rules_are_judged_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    wrong = things(share=[0.0, 1.5, 0.5], known=[np.nan, 1.0, 1.0], day=[1, 1, 1])
    together = judging(PROMISES, wrong, rows=4).result()
    monkeypatch.setattr(expectations, "RULES_AT_ONCE", at_once)
    assert judging(PROMISES, wrong, rows=4).result() == together
    assert len(together) == 4
