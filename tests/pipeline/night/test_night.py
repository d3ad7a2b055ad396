"""Nights, end to end: the same again, missed ones caught up, failures that leave what stood."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from payeewatch.pipeline.home.published import FLAGS_SCHEMA, SCORES_SCHEMA
from payeewatch.pipeline.night.queues import WhyNot
from tests import canaries
from tests.conftest import HISTORY, NIGHTS, Home, copy_of

PUBLISHED = ("flags", "scores", "evidence")
COMING = [NIGHTS[-1] + timedelta(days=n) for n in range(1, 5)]


def run_of(home: Home, night: date) -> dict[str, object]:
    return json.loads((home.path / "runs" / f"{night}.json").read_text())


def test_nights_run_again_give_the_same_bytes_whatever_came_later(published: Home, tmp_path: Path) -> None:
    """With later drops and a verdict in the lake, and clocks set back."""
    home = copy_of(published, tmp_path)
    before = home.bytes_of(*PUBLISHED, "holds")
    assert len(before) == 5 * len(NIGHTS)
    for path in (home.path / "inbox" / str(NIGHTS[0])).iterdir():
        os.utime(path, (0, 0))
    put_verdict(home, COMING[0], next(iter(queue_of(home, NIGHTS[-1]))))
    home.done("ingest", "--until", str(COMING[2]))
    assert list((home.path / "lake" / "outcomes").rglob("*.parquet"))
    home.done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1]))
    assert home.bytes_of(*PUBLISHED, "holds") == before


def test_a_night_measured_by_spark_publishes_the_same_bytes(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    answer = home.done("night", str(NIGHTS[-1]), "--engine", "spark")
    assert '"engine": "spark"' in answer.stderr
    assert home.bytes_of(*PUBLISHED, "holds") == published.bytes_of(*PUBLISHED, "holds")


def disturb(home: Home) -> str:
    """A verdict that reaches a later night than it was made, a drop that came late, one that changed and a purge.

    Returns the change that was judged.
    """
    announced = [f for f in queue_of(home, NIGHTS[-1]).values() if f["queue"] != "audit" and not f["derived"]]
    flag, other = sorted(announced, key=lambda f: f["p_value"])[:2]
    put_verdict(home, COMING[2], flag["change_id"], decided_on=COMING[0])
    put_payment(home, COMING[1], other)
    end_list(home, COMING[3])
    (changed,) = (home.path / "inbox" / str(NIGHTS[0])).glob("payments*")
    changed.write_text("".join(changed.read_text().splitlines(keepends=True)[:-1]))
    return str(flag["change_id"])


@pytest.fixture(scope="module")
def one_by_one(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Four nights more, each by a command of its own."""
    home = copy_of(published, tmp_path_factory.mktemp("alone"))
    disturb(home)
    for night in COMING:
        home.done("night", str(night))
    return home


def test_nights_measured_together_publish_what_each_alone_does_although_one_failed_before(
    published: Home, one_by_one: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one fails when others are loaded ahead of it: they are published when it is run again."""
    monkeypatch.setattr("payeewatch.pipeline.night.night.NIGHTS_AT_ONCE", 2)
    home, words = copy_of(published, tmp_path), ["night", "--from", str(COMING[0]), "--to", str(COMING[-1])]
    judged = disturb(home)
    in_the_way = home.path / "flags" / f"{COMING[0]}.parquet"
    (in_the_way / "a folder").mkdir(parents=True)
    assert home.run(*words).exit_code == 15
    assert json.loads((home.path / "runs" / f"{COMING[0]}.failed.json").read_text())["exit_code"] == 15
    shutil.rmtree(in_the_way)
    answer = home.done(*words)
    assert home.bytes_of(*PUBLISHED, "holds") == one_by_one.bytes_of(*PUBLISHED, "holds")
    assert [int(many) for many in re.findall('"nights": ([0-9]+)', answer.output)] == [2, 1, 1]
    assert [judged in queue_of(home, night) for night in COMING] == [True, True, False, False]


def test_a_refused_drop_stops_a_range_after_the_nights_before_it(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found while the nights before it are published; `test_plan.py` has one that is found when they are loaded."""
    monkeypatch.setattr("payeewatch.pipeline.night.night.NIGHTS_AT_ONCE", 2)
    home, nights = copy_of(published, tmp_path), COMING[:3]
    (path,) = (home.path / "inbox" / str(nights[-1])).glob("claims*")
    path.write_text("claim_id,member_id\nC1,M1\n")
    assert home.run("night", "--from", str(nights[0]), "--to", str(nights[-1])).exit_code == 12
    assert run_of(home, nights[-2])["state"] == "published"
    assert sorted(path.stem for path in (home.path / "flags").glob("*.csv")) == [
        str(n) for n in (*NIGHTS, *nights[:-1])
    ]
    failed = json.loads((home.path / "runs" / f"{nights[-1]}.failed.json").read_text())
    assert failed["exit_code"] == 12


def test_missed_nights_are_caught_up_in_order(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    answer = json.loads(home.done("night", str(COMING[1]), "--json").stdout)
    assert [run["night"] for run in answer["nights"]] == [str(COMING[0]), str(COMING[1])]
    (version,) = json.loads((home.path / "models.json").read_text())["versions"]  # as the application shows it
    assert version["served"]["nights"] == len(NIGHTS) + 2


def test_flags_and_scores_have_the_promised_columns(published: Home) -> None:
    night = NIGHTS[-1]
    flags = pq.read_table(published.path / "flags" / f"{night}.parquet")
    scores = pq.read_table(published.path / "scores" / f"{night}.parquet")
    assert flags.schema.equals(FLAGS_SCHEMA)
    assert scores.schema.equals(SCORES_SCHEMA)
    ranks = flags["rank"].to_pylist()
    assert ranks == list(range(1, len(ranks) + 1))
    changes = scores["change_id"].to_pylist()
    assert len(set(changes)) == len(changes)
    assert set(flags["change_id"].to_pylist()) <= set(changes)
    assert min(scores["p_value"].to_pylist()) > 0
    queued = {row["change_id"] for row in scores.to_pylist() if row["why_not"] is None}
    assert queued == set(flags["change_id"].to_pylist())


def test_nothing_but_nights_lies_in_flags_and_scores(published: Home) -> None:
    assert sorted(path.name for path in (published.path / "flags").iterdir()) == sorted(
        f"{night}.{form}" for night in NIGHTS for form in ("csv", "parquet")
    )
    assert sorted(path.name for path in (published.path / "scores").iterdir()) == [f"{n}.parquet" for n in NIGHTS]


def test_a_change_keeps_its_flag_over_nights(published: Home) -> None:
    first, second = (
        {row["change_id"]: row for row in pq.read_table(published.path / "flags" / f"{night}.parquet").to_pylist()}
        for night in NIGHTS[:2]
    )
    both = first.keys() & second.keys()
    assert both
    for change in both:
        assert second[change]["flag_id"] == first[change]["flag_id"]
        assert second[change]["first_flagged_on"] == first[change]["first_flagged_on"]
        assert not second[change]["is_new"]


def test_rows_and_euros_add_up_to_the_file(published: Home) -> None:
    night = NIGHTS[-1]
    run = run_of(published, night)
    euros = run["euros"]
    files = sorted((published.path / "inbox" / str(night)).glob("claims*"))
    reader = "read_parquet" if files[0].suffix == ".parquet" else "read_csv"
    rows, cents = duckdb.sql(
        f"SELECT count(*), CAST(round(sum(TRY_CAST(reimbursed_amount AS DECIMAL(18,2)))*100) AS BIGINT) "
        f"FROM {reader}({[str(path) for path in files]}{', all_varchar=true' if reader == 'read_csv' else ''})"
    ).fetchall()[0]
    assert run["tables"]["claims"]["rows_read"] == rows
    assert euros["claims_in_cents"] == cents
    assert euros["claims_in_cents"] == (
        euros["payable_to_changed_accounts_cents"] + euros["out_of_scope_cents"] + euros["rejected_cents"]
    )


def test_a_night_without_a_drop_waits_or_runs_without_news(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    shutil.rmtree(home.path / "inbox" / str(NIGHTS[0]))
    refused = home.run("night", str(NIGHTS[0]))
    assert refused.exit_code == 11
    assert "--no-news" in refused.output
    assert f"the next one is of {NIGHTS[1]}: is that its day?" in refused.output
    assert (home.path / "runs" / f"{NIGHTS[0]}.failed.json").exists()
    home.done("night", str(NIGHTS[0]), "--no-news")
    assert not (home.path / "runs" / f"{NIGHTS[0]}.failed.json").exists()
    assert (home.path / "flags" / f"{NIGHTS[0]}.parquet").exists()


def test_without_a_model_the_night_says_what_to_do(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path, without=["mlflow"])
    refused = home.run("night", str(NIGHTS[0]))
    assert refused.exit_code == 13
    assert "payeewatch train" in refused.output
    assert not list((home.path / "flags").iterdir())


def test_a_model_that_knows_later_things_is_refused(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    home.done("train", "--as-of", str(NIGHTS[-1]), "--promote")
    refused = home.run("night", str(NIGHTS[0]), "--model", "champion")
    assert refused.exit_code == 13
    assert str(NIGHTS[-1]) in refused.output
    home.done("night", str(NIGHTS[0]), "--model", "champion", "--allow-hindsight")
    assert run_of(home, NIGHTS[0])["model"]["version"] == "2"
    home.done("night", str(NIGHTS[1]))
    assert run_of(home, NIGHTS[1])["model"]["version"] == "1"


def test_a_refused_drop_stops_the_night_and_leaves_what_stood(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of(*PUBLISHED)
    drop = home.path / "inbox" / str(NIGHTS[-1] + timedelta(days=1))
    for path in drop.glob("claims*"):
        path.unlink()
    (drop / "claims.csv").write_text("claim_id,member_id\nC1,M1\n")
    refused = home.run("night", str(NIGHTS[-1] + timedelta(days=1)))
    assert refused.exit_code == 12
    assert "claims.csv" in refused.output
    assert home.bytes_of(*PUBLISHED) == before


def test_a_changed_drop_counts_from_the_next_night_only(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of(*PUBLISHED)
    drop = home.path / "inbox" / str(NIGHTS[0])
    (path,) = drop.glob("payments*")
    assert path.suffix == ".csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    home.done("night", str(NIGHTS[-1]))
    assert home.bytes_of(*PUBLISHED) == before
    home.done("night", str(NIGHTS[-1] + timedelta(days=1)))
    modes = [drop["mode"] for drop in run_of(home, NIGHTS[-1] + timedelta(days=1))["drops"]]
    assert "changed" in modes
    assert "next" in modes


def test_two_nights_at_once_are_refused_and_the_first_one_ever_stands_alone(trained: Home, tmp_path: Path) -> None:
    import fcntl

    home = copy_of(trained, tmp_path)
    with (home.path / "lake" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = home.run("night", str(NIGHTS[2]))
    assert refused.exit_code == 14
    home.done("night", str(NIGHTS[2]))
    assert [path.name for path in (home.path / "runs").iterdir()] == [f"{NIGHTS[2]}.json"]


def test_a_store_that_cannot_be_written_is_named(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    shutil.rmtree(home.path / "scores")
    (home.path / "scores").write_text("a file where the folder should be")
    refused = home.run("night", str(NIGHTS[-1]))
    assert refused.exit_code == 15
    assert "scores" in refused.output


KILLED = """
import os, signal, sys
from pathlib import Path
from payeewatch.__main__ import main
real, remaining = Path.replace, [{puts}]
def replace(path, target):
    remaining[0] -= 1
    if remaining[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, target)
Path.replace = replace
sys.argv[1:] = {words!r}
main()
"""


def test_a_killed_night_leaves_whole_files_and_runs_again(trained: Home, published: Home, tmp_path: Path) -> None:
    """Killed before a file of its load is put in place. `benchmarks/harness.py` kills nights everywhere."""
    home = copy_of(trained, tmp_path)
    environ = os.environ | {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    words = ["night", str(NIGHTS[0])]
    script = tmp_path / "killed.py"  # a file: PySpark takes `python -c` for its own doctests
    script.write_text(KILLED.format(puts=12, words=words))
    process = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    for path in [*(home.path / "flags").glob("2*.parquet"), *(home.path / "lake").rglob("0*.parquet")]:
        pq.read_table(path)
    home.done(*words)
    files = home.bytes_of(*PUBLISHED, "holds")
    assert len(files) == 5
    assert files.items() <= published.bytes_of(*PUBLISHED, "holds").items()


def test_a_night_leaves_no_identity_behind(planted: Home) -> None:
    home, canary = planted, canaries.CANARY
    identities = canaries.identities(home.path / "inbox", home.path / "breaches", most=40)
    assert set(canary) & set(identities)
    theirs_or_sealed = {"inbox", "breaches", "reference", "vault"}
    for path in (path for path in home.path.iterdir() if path.name not in theirs_or_sealed):
        canaries.assert_absent(path, [*canary, *(value for value in identities if len(value) > 12)])
    said = (home.path.parent / "said.txt").read_text().lower()
    assert str(NIGHTS[0]) in said
    assert not [value for value in canary if value.lower() in said]


def test_history_loaded_by_a_night_equals_history_loaded_before(trained: Home, published: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path, without=["lake", "vault"])
    home.done("init")
    home.done("night", str(NIGHTS[0]))
    assert home.bytes_of("flags").items() <= published.bytes_of("flags").items()
    assert NIGHTS[0] > HISTORY


def test_a_reviewed_flag_leaves_the_queue_and_comes_back_on_new_evidence(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    reviewed, later = NIGHTS[-1] + timedelta(days=1), NIGHTS[-1] + timedelta(days=2)
    queue = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    flag = min((f for f in queue if f["queue"] != "audit" and not f["derived"]), key=lambda f: f["p_value"])

    put_verdict(home, reviewed, flag["change_id"])
    home.done("night", str(reviewed))
    assert flag["change_id"] not in queue_of(home, reviewed)
    scores = pq.read_table(home.path / "scores" / f"{reviewed}.parquet").to_pylist()
    (why_not,) = [row["why_not"] for row in scores if row["change_id"] == flag["change_id"]]
    assert why_not == WhyNot.DECIDED
    assert [file["rows_accepted"] for file in run_of(home, reviewed)["verdicts"]] == [1]  # type: ignore[attr-defined]

    put_payment(home, later, flag)
    home.done("night", str(later))
    flag_again = queue_of(home, later)[flag["change_id"]]
    assert (flag_again["flag_id"], flag_again["first_flagged_on"]) == (flag["flag_id"], later)
    assert flag_again["amount_at_risk"] >= 1234


def queue_of(home: Home, night: date) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(home.path / "flags" / f"{night}.parquet").to_pylist()
    return {row["change_id"]: row for row in rows}


def put_verdict(home: Home, day: date, change_id: str, decided_on: date | None = None) -> None:
    """A reviewer's verdict of a morning, the day's if no other is given, exported as the day's file."""
    decision_day = decided_on or day
    row = {"outcome_id": "R1", "change_id": change_id, "decided_at": datetime.fromisoformat(f"{decision_day}T08"),
           "verdict": "benign", "reason_code": None, "source": "reviewer"}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), home.path / "outcomes" / f"{day}.parquet")


def end_list(home: Home, day: date) -> None:
    """Let the time of the list that most people are on be up on a day."""
    manifest = max(home.path.glob("breaches/*/people*"), key=lambda path: path.stat().st_size).with_name(
        "manifest.yaml"
    )
    facts = yaml.safe_load(manifest.read_text())
    manifest.write_text(yaml.safe_dump(facts | {"purge_on": day}))


def put_payment(home: Home, day: date, flag: dict[str, Any]) -> None:
    """A payment planned to a flag's new account, known on a day."""
    files = [str(path) for path in (home.path / "inbox").glob("*/bank_changes*.csv")]
    iban = duckdb.sql(
        f"SELECT new_iban FROM read_csv({files}, all_varchar = true, union_by_name = true)"
        f" WHERE change_id = '{flag['change_id']}'"
    ).fetchall()[0][0]
    (home.path / "inbox" / str(day) / "payments-0002.csv").write_text(
        "payment_id,payee_id,member_id,iban,amount,claim_ids,planned_on,value_date,status,return_reason\n"
        f"NEW1,{flag['payee_id']},{flag['member_id']},{iban},1234.00,,{day + timedelta(days=3)},,planned,\n"
    )
