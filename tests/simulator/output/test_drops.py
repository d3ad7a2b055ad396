"""What goes wrong between the insurer's systems and the inbox, each fault by its own figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb

from payeewatch import simulator
from payeewatch.simulator.parameters import Feed, World
from payeewatch.simulator.tiers import TIERS

END = date(2024, 9, 29)
QUIET = Feed(broken_rows=False, again_share=0, double_share=0, late_share=0, backdated_share=0, empty_sunday=False)


def inbox(folder: Path, feed: Feed, days: int = 10) -> Path:
    tier = replace(TIERS["demo"], world=World(feed=feed))
    simulator.simulate(
        folder / "home", 1_500, 200, END, truth=folder / "truth", tier=tier, drops=days, form="csv", least_cases=3
    )
    return folder / "home" / "inbox"


def claims(folder: Path) -> dict[str, list[str]]:
    """Each drop's claim ids, in the order of the files."""
    return {
        drop.name: [
            line.split(",")[0].strip('"')
            for path in sorted(drop.glob("claims*.csv"))
            for line in path.read_text(encoding="utf-8").splitlines()[1:]
        ]
        for drop in sorted(folder.iterdir())
    }


def test_a_feed_without_faults_brings_every_row_once_a_drop_and_in_time(tmp_path: Path) -> None:
    folder = inbox(tmp_path, QUIET)
    assert all(max(Counter(ids).values()) == 1 for ids in claims(folder).values() if ids)
    late = duckdb.sql(
        "SELECT count(*) FROM (SELECT claim_id, min(try_cast(received_at AS DATE)) AS received, "
        "min(CAST(regexp_extract(filename, 'inbox/([0-9-]+)/', 1) AS DATE)) AS came "
        f"FROM read_csv('{folder}/*/claims*.csv', all_varchar = true, filename = true) GROUP BY 1) "
        "WHERE came > DATE '2024-09-19' AND came <> received"
    ).fetchall()
    assert late == [(0,)]


def test_rows_can_stand_twice_in_a_file(tmp_path: Path) -> None:
    ids = claims(inbox(tmp_path, replace(QUIET, double_share=0.2)))
    twice = sum(many == 2 for drop in list(ids.values())[1:] for many in Counter(drop).values())
    assert twice > 20


def test_claims_can_come_days_late(tmp_path: Path) -> None:
    in_time = claims(inbox(tmp_path / "one", QUIET))
    late = claims(inbox(tmp_path / "two", replace(QUIET, late_share=0.3)))
    day = "2024-09-22"
    assert len(set(late[day])) < 0.95 * len(set(in_time[day]))
    following = set().union(*(late[drop] for drop in late if drop > day))
    assert set(in_time[day]) - set(late[day]) <= following


def test_a_lost_day_has_no_folder_and_its_rows_come_the_day_after(tmp_path: Path) -> None:
    whole = claims(inbox(tmp_path / "one", QUIET))
    lost = claims(inbox(tmp_path / "two", replace(QUIET, lost_days=(4,))))
    assert set(whole) - set(lost) == {"2024-09-25"}
    assert set(whole["2024-09-25"]) <= set(lost["2024-09-26"])


def test_a_day_can_come_again(tmp_path: Path) -> None:
    whole = claims(inbox(tmp_path / "one", QUIET))
    resent = claims(inbox(tmp_path / "two", replace(QUIET, resent_days=(3,))))
    assert set(whole["2024-09-25"]) <= set(resent["2024-09-26"])
    assert not set(whole["2024-09-25"]) <= set(whole["2024-09-26"])


def test_changes_can_be_told_weeks_after_they_took_effect(tmp_path: Path) -> None:
    folder = inbox(tmp_path, replace(QUIET, backdated_share=0.5), days=30)
    late = duckdb.sql(
        "SELECT count(*) FROM (SELECT try_cast(requested_at AS DATE) AS asked, "
        "CAST(regexp_extract(filename, 'inbox/([0-9-]+)/', 1) AS DATE) AS came "
        f"FROM read_csv('{folder}/*/bank_changes*.csv', all_varchar = true, filename = true)) "
        "WHERE came > DATE '2024-08-31' AND came - asked BETWEEN 3 AND 32"
    ).fetchall()
    assert late[0][0] > 3


def test_what_the_insurer_does_not_have_is_missing_or_empty(tmp_path: Path) -> None:
    absent = ("account_events", "bank_changes.device_token", "bank_changes.name_check", "claims.iban")
    folder = inbox(tmp_path, replace(QUIET, absent=absent))
    assert not list(folder.glob("*/account_events*"))
    assert duckdb.sql(
        "SELECT count(device_token), count(document_hash) > 0, min(name_check), max(name_check) "
        f"FROM read_csv('{folder}/*/bank_changes*.csv', all_varchar = true)"
    ).fetchall() == [(0, True, "not_run", "not_run")]
    assert duckdb.sql(
        f"SELECT count(iban), count(payee_id) > 0 FROM read_csv('{folder}/*/claims*.csv', all_varchar = true)"
    ).fetchall() == [(0, True)]
