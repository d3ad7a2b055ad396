"""What was published is removed: rows, entries of lists, and what only names them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.published import SHADOW_SCHEMA
from payeewatch.pipeline.home.scrub import WITHDRAWN, Removal, scrub, scrub_row, without
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.tabular import write_parquet
from payeewatch.pipeline.privacy.redact import withdraw

PERSON = Removal(ids=frozenset({"C1", "P1"}))


def test_a_row_about_the_person_goes() -> None:
    assert scrub_row({"change_id": "C1", "score": 1.0}, PERSON, "scores") is None
    assert scrub_row({"change_id": "C2", "score": 1.0}, PERSON, "scores") == {"change_id": "C2", "score": 1.0}


@pytest.mark.parametrize(
    ("entries", "remaining"),
    [
        ([{"payee_id": "P1", "relation": "same_account"}, {"payee_id": "P2"}], [{"payee_id": "P2"}]),
        ([{"kind": "claims", "ids": ["C1"], "amount": Decimal(3)}], []),
        (
            [{"kind": "claims", "ids": ["C1", "C2"], "amount": Decimal(3)}],
            [{"kind": "claims", "ids": ["C2"], "amount": None}],
        ),
        (["C1", "C2"], ["C2"]),
        ([None, {"at": None}], [None, {"at": None}]),
    ],
)
def test_entries_that_name_the_person_go_and_sums_over_them(entries: list[object], remaining: list[object]) -> None:
    assert scrub(entries, PERSON) == remaining


def test_an_account_that_names_the_person_is_empty() -> None:
    assert scrub_row({"flag_id": "F", "before": {"account": "P1"}}, PERSON, "evidence") == {
        "flag_id": "F", "before": None,
    }  # fmt: skip


def test_what_the_story_of_another_flag_says_of_the_person_goes() -> None:
    row = {
        "flag_id": "F", "usual_monthly_amount": Decimal(9),
        "claims": [{"claim_id": "C1", "provider_id": "R"}, {"claim_id": "C2", "provider_id": "R"}],
        "actor_changes": [{"change_id": "X", "payee_id": "P1", "flag_id": None}],
        "own_changes": [{"change_id": "C1"}], "device_uses": [{"kind": "login", "member_id": "P1"}],
        "exposed": [{"breach_id": "TPO-1"}], "member": {"age_band": "40-49"},
    }  # fmt: skip
    removal = Removal(ids=PERSON.ids, lists=frozenset({"TPO-1"}))
    assert scrub_row(row, removal, "evidence") == {
        "flag_id": "F", "usual_monthly_amount": None, "claims": [{"claim_id": "C2", "provider_id": "R"}],
        "actor_changes": [], "own_changes": [], "device_uses": [], "exposed": [], "member": {"age_band": "40-49"},
    }  # fmt: skip


def test_a_flag_whose_time_is_over_leaves_its_change_scored() -> None:
    removal = Removal(flags=frozenset({"F1"}))
    assert scrub_row({"flag_id": "F1"}, removal, "flags") is None
    assert scrub_row({"flag_id": "F1"}, removal, "evidence") is None
    assert scrub_row({"flag_id": "F1", "why_not": None}, removal, "scores") == {"flag_id": None, "why_not": WITHDRAWN}
    other = {"flag_id": "F2", "neighbours": [{"payee_id": "P", "flag_id": "F1"}]}
    assert scrub_row(other, removal, "evidence") == {
        "flag_id": "F2",
        "neighbours": [{"payee_id": "P", "flag_id": None}],
    }


def test_a_purged_list_takes_the_reasons_that_tell_of_it() -> None:
    row = {
        "exposures": [{"breach_id": "TPO-1"}, {"breach_id": "EMP-1"}],
        "reasons": [{"feature": "exposure_surprise"}, {"feature": "change_hour"}],
        "timeline": [{"kind": "exposure_known", "ids": ["TPO-1"], "amount": None}],
    }
    assert scrub_row(row, Removal(lists=frozenset({"TPO-1"})), "flags") == {
        "exposures": [{"breach_id": "EMP-1"}], "reasons": [{"feature": "change_hour"}], "timeline": [],
    }  # fmt: skip


def test_a_record_loses_the_entries_that_name_somebody() -> None:
    run = {"unscored_changes": [{"payee_id": "P1"}, {"payee_id": "P2"}], "night": "2024-09-23"}
    assert without(run, frozenset({"P1"})) == ({"unscored_changes": [{"payee_id": "P2"}], "night": "2024-09-23"}, 1)


def test_holds_of_now_and_accounts_put_right_forget_the_person(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    current = settings.folder("holds") / "current.csv"
    put_right = settings.folder("outcomes") / "2024-09-27-put-right.csv"
    for path in (current, put_right):
        write_text(path, "change_id,payee_id\nC1,P1\nC2,P2\n")
    counts = withdraw(settings, PERSON, date(2024, 10, 1), dry_run=True)
    assert (counts.rows["holds"], counts.rows["outcomes"]) == (1, 1)
    assert "P1" in current.read_text()
    withdraw(settings, PERSON, date(2024, 10, 1), dry_run=False)
    assert current.read_text() == put_right.read_text() == "change_id,payee_id\nC2,P2\n"


def by_hand_row(flag_id: str, change_id: str, *neighbours: str) -> dict[str, object]:
    return {
        "flag_id": flag_id,
        "change_id": change_id,
        "neighbours": [{"payee_id": each, "flag_id": None} for each in neighbours],
    }


@pytest.mark.parametrize("removal", [PERSON, Removal(flags=frozenset({"F1"}))], ids=["a person", "a flag"])
def test_a_case_by_hand_goes_with_its_file(tmp_path: Path, removal: Removal) -> None:
    settings = Settings.load(tmp_path, {})
    own, other = (by_hand.answer_path(settings, name) for name in ("a" * 32, "b" * 32))
    write_parquet(own, pa.Table.from_pylist([by_hand_row("F1", "C1")]))
    write_parquet(other, pa.Table.from_pylist([by_hand_row("F2", "C2", "P9")]))
    before = other.read_bytes()
    assert withdraw(settings, removal, date(2024, 10, 1), dry_run=True).rows["evidence/by-hand"] == 1
    assert own.exists()
    withdraw(settings, removal, date(2024, 10, 1), dry_run=False)
    assert by_hand.answer_files(settings) == [other]
    assert other.read_bytes() == before


def test_a_case_by_hand_about_somebody_else_forgets_the_person(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    path = by_hand.answer_path(settings, "a" * 32)
    write_parquet(path, pa.Table.from_pylist([by_hand_row("F2", "C2", "P1", "P9")]))
    withdraw(settings, PERSON, date(2024, 10, 1), dry_run=False)
    (row,) = pq.read_table(path).to_pylist()
    assert [each["payee_id"] for each in row["neighbours"]] == ["P9"]


def test_a_request_about_the_person_goes_and_others_stay(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    for change in ("C1", "C2"):
        facts = {"change_id": change, "by": "0123456789ab", "asked_at": "2024-09-26T07:00:00+00:00"}
        write_json(by_hand.request_path(settings, change), facts)
    assert withdraw(settings, PERSON, date(2024, 10, 1), dry_run=True).rows["evidence/requests"] == 1
    withdraw(settings, PERSON, date(2024, 10, 1), dry_run=False)
    assert [path.stem for path in by_hand.request_files(settings)] == ["C2"]


def test_a_night_in_shadow_forgets_the_person_and_the_flag(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    path = settings.folder("shadow") / "2" / "2024-09-26.parquet"
    rows = [{"change_id": each, "flag_id": f"F-{each}", "rank": 1} for each in ("C1", "C2", "C3")]
    write_parquet(path, pa.Table.from_pylist(rows, schema=SHADOW_SCHEMA))
    removal = Removal(ids=PERSON.ids, flags=frozenset({"F-C2"}))
    assert withdraw(settings, removal, date(2024, 10, 1), dry_run=True).rows["shadow"] == 2
    assert pq.read_table(path).num_rows == 3
    withdraw(settings, removal, date(2024, 10, 1), dry_run=False)
    remaining = pq.read_table(path).to_pylist()
    assert [(row["change_id"], row["flag_id"]) for row in remaining] == [("C2", None), ("C3", "F-C3")]


def test_a_packed_report_that_names_the_person_is_deleted(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    folder = settings.folder("reports") / "backtest-2024-05-01-2024-05-09"
    named, other = pa.array(["C0", "C1"] * 500), pa.array(["C0", "C2"] * 500)
    write_parquet(folder / "scores.parquet", pa.table({"change_id": named}))
    write_parquet(folder / "by-kind.parquet", pa.table({"change_id": named.dictionary_encode()}))
    write_parquet(folder / "flags.parquet", pa.table({"change_id": other}))
    write_text(folder / "cut.parquet", "no table")
    assert withdraw(settings, PERSON, date(2024, 10, 1), dry_run=False).rows["reports"] == 3
    assert [path.name for path in folder.iterdir()] == ["flags.parquet"]
