"""What a night is about to publish is judged: a promise that is broken stops it before anything is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.changes import batch
from payeewatch.pipeline.expectations import BrokenPromise
from payeewatch.pipeline.home.published import FLAGS_PROMISES, SCORES_PROMISES
from payeewatch.pipeline.night import expectations, night
from payeewatch.pipeline.night.evidence import EVIDENCE_PROMISES
from payeewatch.pipeline.night.queues import Queue
from tests.conftest import NIGHTS, Home, copy_of

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ("flags", "scores", "evidence", "holds", "reports")
Damage = Callable[[pa.Table], pa.Table]


def table_of(home: Home, name: str) -> pa.Table:
    return pq.read_table(home.path / name / f"{NIGHTS[0]}.parquet")


def judge(home: Home, name: str, damage: Damage) -> None:
    """Judge a table of the first night, damaged, as the night would."""
    whole = table_of(home, name)
    if name == "evidence":
        expectations.judge_evidence(damage(whole), NIGHTS[0], set(table_of(home, "flags")["flag_id"].to_pylist()))
    else:
        getattr(expectations, f"judge_{name}")(damage(whole), NIGHTS[0], whole.num_rows)


def with_column(name: str, change: Callable[[Any], Any]) -> Damage:
    """The table with the first value of a column changed."""

    def damage(table: pa.Table) -> pa.Table:
        field = table.schema.field(name)
        values = table[name].to_pylist()
        values[0] = change(values[0])
        return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))

    return damage


@pytest.mark.parametrize("name", ["flags", "scores", "evidence"])
def test_what_was_published_keeps_its_promises(published: Home, name: str) -> None:
    judge(published, name, lambda table: table)


@pytest.mark.parametrize(
    ("name", "damage", "broken"),
    [
        ("flags", with_column("night", lambda was: date(2020, 1, 1)), "night must be a value that belongs here"),
        ("flags", with_column("reasons", lambda was: None), "reasons must not be null"),
        ("flags", with_column("queue", lambda was: "other"), "queue must be one of hold, review, audit"),
        ("flags", with_column("rank", lambda was: 2), "rank must come once"),
        ("flags", with_column("rank", lambda was: 0), "rank must be 1 or more"),
        ("flags", with_column("p_value", lambda was: 0.0), "p_value must be above 0 and at most 1"),
        ("flags", with_column("amount_at_risk", lambda was: -was - 1), "amount_at_risk must be 0 or more"),
        ("flags", lambda table: table.slice(1), "there must be"),
        ("flags", lambda table: table.drop_columns("run_id"), "the columns must be those of the schema"),
        ("scores", with_column("score", lambda was: np.inf), "score must be finite"),
        ("scores", with_column("change_id", lambda was: None), "change_id must not be null"),
        ("scores", with_column("exposures", lambda was: None), "exposures must not be null"),
        ("scores", lambda table: pa.concat_tables([table, table.slice(0, 1)]), "change_id must come once"),
        ("scores", lambda table: table.select(table.column_names[::-1]), "the columns must be those of the schema"),
        (
            "scores",
            lambda table: table.set_column(
                table.schema.get_field_index("score"), "score", pc.cast(table["score"], pa.float32())
            ),
            "other types in score",
        ),
        ("evidence", with_column("timeline", lambda was: None), "timeline must not be null"),
        ("evidence", with_column("change", lambda was: None), "change must not be null"),
        ("evidence", with_column("flag_id", lambda was: "F-0"), "flag_id must be a value that belongs here"),
        ("evidence", lambda table: table.slice(1), "there must be"),
    ],
)
def test_a_damaged_table_is_named(published: Home, name: str, damage: Damage, broken: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{name}: the table breaks its promises: .*{re.escape(broken)}"):
        judge(published, name, damage)


def damaged(make: Callable[..., pa.Table], damage: Damage) -> Callable[..., pa.Table]:
    return lambda *args, **named: damage(make(*args, **named))


@pytest.mark.parametrize(
    ("maker", "damage", "message"),
    [
        ("flags_table", with_column("p_value", lambda was: 1.5), "flags: .*p_value must be above 0 and at most 1"),
        ("scores_table", with_column("account", lambda was: None), "scores: .*account must not be null"),
        ("evidence_table", lambda table: table.slice(1), "evidence: .*there must be"),
    ],
)
def test_a_table_that_is_damaged_on_the_way_is_not_published(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: str, damage: Damage, message: str
) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of(*PUBLISHED, "runs")
    monkeypatch.setattr(night, maker, damaged(getattr(night, maker), damage))
    failed = home.run("night", str(NIGHTS[-1]))
    assert failed.exit_code == 1
    assert re.search(message, failed.output)
    failure = home.path / "runs" / f"{NIGHTS[-1]}.failed.json"
    facts = json.loads(failure.read_text(encoding="utf-8"))
    assert (facts["state"], facts["exit_code"], facts["error"]) == ("failed", 1, "BrokenPromise")
    assert re.search(message, facts["message"])
    failure.unlink()
    assert home.bytes_of(*PUBLISHED, "runs") == before


def test_a_feature_that_breaks_its_promise_stops_its_own_night_of_a_range(
    trained: Home, published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nights that are measured together are judged together, and those before the broken one are published."""

    def broken(frame: pd.DataFrame) -> pd.DataFrame:
        on_night = frame["as_of"] == pd.Timestamp(NIGHTS[1])
        return frame.assign(is_first_account=frame["is_first_account"].mask(on_night, np.inf))

    measure = batch.measure
    monkeypatch.setattr(batch, "measure", lambda *args, **named: broken(measure(*args, **named)))
    monkeypatch.setattr(night, "_nights_at_once", lambda *args: len(NIGHTS))
    home = copy_of(trained, tmp_path)
    failed = home.run("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1]))
    assert failed.exit_code == 1
    assert "measured changes: the table breaks its promises: is_first_account must be from 0 to 1" in failed.output
    assert sorted(path.name for path in (home.path / "runs").iterdir()) == [
        f"{NIGHTS[0]}.json", f"{NIGHTS[1]}.failed.json",
    ]  # fmt: skip
    assert [path.stem for path in (home.path / "scores").iterdir()] == [str(NIGHTS[0])]
    of_first = f"flags/{NIGHTS[0]}.parquet"
    assert home.bytes_of("flags")[of_first] == published.bytes_of("flags")[of_first]


def test_training_refuses_a_feature_that_breaks_its_promise(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from payeewatch.pipeline.training import training

    measure = training.measure_past
    monkeypatch.setattr(training, "measure_past", lambda *args: measure(*args).assign(is_first_account=np.nan))
    home = copy_of(trained, tmp_path)
    failed = home.run("train", "--as-of", str(NIGHTS[0]))
    assert failed.exit_code == 1
    assert "is_first_account must not be null" in failed.output


def test_the_queues_of_the_promise_are_those_of_the_night() -> None:
    assert FLAGS_PROMISES.columns["queue"].values == tuple(Queue)


def test_the_outputs_page_says_null_where_the_promise_does() -> None:
    page = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    nullable_in_docs = {}
    for names, kind in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", page.split("## holds")[0], re.MULTILINE):
        nullable_in_docs |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind.endswith(", null"))
    for promises in (FLAGS_PROMISES, SCORES_PROMISES, EVIDENCE_PROMISES):
        nullable = {name: promise.nullable for name, promise in promises.columns.items() if name in nullable_in_docs}
        differing = {name for name, null in nullable.items() if null != nullable_in_docs[name]}
        assert differing == {"scores": {"flag_id", "p_value_uncorrected"}, "evidence": {"before"}}.get(
            promises.table, set()
        )
    plain = " ".join(page.split())
    assert "`flag_id` is null unless the change is in a queue" in plain
    assert "`before` is null for a first account" in plain
