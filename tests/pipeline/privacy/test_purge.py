"""The clocks of the pipeline's stores: what goes, what stays, and that counting changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home import by_hand, vault
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.privacy import purge
from payeewatch.pipeline.session import Session
from tests.lake_rows import KEYS, lake_session, put
from tests.retention_cases import CASES, OVER

UNTIL = date(2025, 9, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        put(opened, "2024-01-01", outcomes=[])
        yield opened


def put_flags(session: Session, night: str, **flags: date) -> None:
    """A night's flags, by flag_id (its change is named alike), and when each was first flagged."""
    path = session.settings.folder("flags") / f"{night}.parquet"
    path.parent.mkdir(exist_ok=True)
    rows = [{"flag_id": name, "change_id": name, "first_flagged_on": on} for name, on in flags.items()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    write_json(session.settings.folder("runs") / f"{night}.json", {"model": {"version": "1"}})


def outcome(change_id: str, verdict: str, on: str) -> dict[str, object]:
    at = datetime.fromisoformat(f"{on}T10:00")
    return {"outcome_id": change_id, "change_id": change_id, "verdict": verdict, "decided_at": at}


def test_flags_go_by_what_was_decided_about_them(session: Session) -> None:
    put_flags(
        session, "2025-08-31", unjudged_old=date(2025, 1, 1), unjudged=date(2025, 8, 1), benign=date(2025, 8, 1),
        fraud=date(2021, 1, 1), old_fraud=date(2020, 1, 1), unclear=date(2025, 8, 1), today=date(2025, 8, 1),
        again=date(2025, 8, 20),
    )  # fmt: skip
    verdicts = {
        "benign": ("benign", "2025-08-15"), "fraud": ("confirmed_fraud", "2021-02-01"),
        "old_fraud": ("confirmed_fraud", "2020-08-30"), "unclear": ("inconclusive", "2025-08-15"),
        "today": ("benign", "2025-09-01"), "again": ("benign", "2025-08-15"),
    }  # fmt: skip
    put(session, "2025-08-31", outcomes=[outcome(name, verdict, on) for name, (verdict, on) in verdicts.items()])
    assert purge.find_expired_flags(session, UNTIL) == {"unjudged_old", "benign", "old_fraud"}


def test_flags_go_when_the_common_clock_says(session: Session) -> None:
    zone, outcomes = ZoneInfo(session.settings.params.timezone), []
    put_flags(session, "2025-08-31", **{case.name: UNTIL - timedelta(days=case.flagged) for case in CASES})
    for case in (case for case in CASES if case.decided is not None):
        local = datetime.fromisoformat(f"{UNTIL - timedelta(days=case.decided or 0)}T{case.at}").replace(tzinfo=zone)
        row = outcome(case.name, case.verdict, str(UNTIL))
        outcomes.append(row | {"decided_at": local.astimezone(UTC).replace(tzinfo=None)})
    put(session, "2025-08-31", outcomes=outcomes)
    assert purge.find_expired_flags(session, UNTIL) == OVER


def test_a_dry_run_changes_nothing_and_a_second_purge_finds_nothing(session: Session) -> None:
    put_flags(session, "2025-08-31", benign=date(2025, 8, 1), kept=date(2025, 8, 1))
    put_flags(session, "2024-01-15", benign=date(2024, 1, 15))
    put(session, "2025-08-31", outcomes=[outcome("benign", "benign", "2025-08-15")])
    before = sorted((path, path.read_bytes()) for path in session.settings.home.rglob("*") if path.is_file())
    dry_counts = purge.purge(session, UNTIL, dry_run=True).clocks
    assert sorted((path, path.read_bytes()) for path in session.settings.home.rglob("*") if path.is_file()) == before
    assert dry_counts["nights"] == {"flags": 1}
    assert dry_counts["flags"]["flags"] == 2
    assert purge.purge(session, UNTIL, dry_run=False).clocks == dry_counts
    assert purge.purge(session, UNTIL, dry_run=False).clocks == {}
    remaining = pq.read_table(session.settings.folder("flags") / "2025-08-31.parquet").to_pylist()
    assert [row["flag_id"] for row in remaining] == ["kept"]


def put_case(session: Session, name: str, on: date) -> Path:
    """Evidence of a case by hand, about a change that is named as its flag."""
    path = by_hand.answer_path(session.settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"flag_id": name, "change_id": name, "first_flagged_on": on, "night": on, "origin": "by_hand"}
    pq.write_table(pa.Table.from_pylist([row]), path)
    return path


def test_a_case_by_hand_goes_as_a_flag_does(session: Session) -> None:
    put_flags(session, "2025-08-31", kept=date(2025, 8, 1))
    old, new, benign = (
        put_case(session, name, on)
        for name, on in {"old": date(2025, 1, 1), "new": date(2025, 8, 1), "benign": date(2025, 8, 1)}.items()
    )
    put(session, "2025-08-31", outcomes=[outcome("benign", "benign", "2025-08-15")])
    assert purge.find_expired_flags(session, UNTIL) == {"old", "benign"}
    counts = purge.purge(session, UNTIL, dry_run=False).clocks
    assert counts["flags"]["evidence/by-hand"] == 2
    assert [path.exists() for path in (old, new, benign)] == [False, True, False]


def test_a_case_by_hand_that_the_reviewers_have_stays(session: Session) -> None:
    put_flags(session, "2025-08-31", kept=date(2025, 8, 1))
    path = put_case(session, "old", date(2025, 1, 1))
    purge.purge(session, UNTIL, dry_run=False, kept_flags={"old"})
    assert path.exists()


def test_a_refusal_goes_after_thirty_days(session: Session) -> None:
    at = datetime(2025, 7, 1, tzinfo=UTC)
    for name in ("old", "new"):
        by_hand.write_refusal(session.settings, name, by_hand.Refusal.UNKNOWN, at)
    os.utime(by_hand.refusal_path(session.settings, "old"), (at.timestamp(), at.timestamp()))
    os.utime(by_hand.refusal_path(session.settings, "new"), (at.timestamp() + 50 * 86400,) * 2)
    purge.purge(session, UNTIL, dry_run=False)
    assert [path.stem for path in by_hand.refusal_files(session.settings)] == ["new"]


def test_the_reviewers_database_decides_about_the_flags_it_knows(session: Session) -> None:
    put_flags(session, "2025-08-31", old=date(2025, 1, 1), new=date(2025, 8, 1))
    clocks = purge.purge(session, UNTIL, dry_run=True, expired_flags={"new"}, kept_flags={"old"}).clocks
    assert clocks["flags"]["flags"] == 1


def test_the_last_night_stays_however_old(session: Session) -> None:
    put_flags(session, "2023-01-01", f=date(2023, 1, 1))
    put_flags(session, "2023-01-02", f=date(2025, 9, 1))
    assert purge.purge(session, UNTIL, dry_run=False).clocks["nights"] == {"flags": 1}
    assert (session.settings.folder("flags") / "2023-01-02.parquet").exists()


def test_quarantine_goes_after_thirty_days_with_its_originals(session: Session) -> None:
    for day in ("2025-08-01", "2025-08-02", "2025-08-01-reviewed"):
        (session.settings.folder("quarantine") / day).mkdir(parents=True)
        (session.settings.folder("quarantine") / day / "claims.parquet").write_bytes(b"")
    rows = "SELECT '2025-08-01/claims/0' AS ref, 'x' AS original"
    vault.seal(session.con, KEYS, session.settings.folder("vault"), rows, "quarantine", date(2025, 8, 1), 1)
    assert purge.purge(session, UNTIL, dry_run=False).clocks["quarantine"] == {"quarantine": 2, "vault/quarantine": 1}
    assert [path.name for path in session.settings.folder("quarantine").iterdir()] == ["2025-08-02"]


def test_originals_that_nobody_needs_are_deleted(session: Session) -> None:
    put(session, "2025-08-31", members=[{"member_id": "M1"}], sightings=[{"payee_id": "P1", "account": "A1"}])
    folder = session.settings.folder("vault")
    for kind, refs in {"member": ("M1", "M2"), "birth": ("M1",), "account": ("A1", "A2"), "holder": ("B1",)}.items():
        rows = " UNION ALL ".join(f"SELECT '{ref}' AS ref, 'x' AS original" for ref in refs)
        vault.seal(session.con, KEYS, folder, rows, kind, UNTIL, 1)
    assert purge.purge(session, UNTIL, dry_run=False).clocks["vault"] == {
        "vault/member": 1, "vault/birth": 1, "vault/account": 1, "vault/holder": 1,  # nobody wants births here
    }  # fmt: skip
    assert vault.reveal(KEYS, folder, "account", "A1") == "x"
    assert vault.reveal(KEYS, folder, "account", "A2") is None


def test_verdicts_stay_while_their_change_may_come_back(session: Session) -> None:
    put(session, "2025-08-31", outcomes=[
        outcome("old", "benign", "2025-02-01"), outcome("new", "benign", "2025-08-01"),
        outcome("fraud", "confirmed_fraud", "2022-02-01"),
    ])  # fmt: skip
    assert purge.purge(session, UNTIL, dry_run=False).clocks["outcomes"] == {"lake/outcomes": 1}
    remaining = session.con.execute(f"SELECT change_id FROM ({session.lake.scan('outcomes')}) ORDER BY 1").fetchall()
    assert remaining == [("fraud",), ("new",)]


def test_the_models_of_kept_nights_stay(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[date, set[str]]] = []
    monkeypatch.setattr(
        model_registry, "purge", lambda settings, last, used, *, dry_run: calls.append((last, used)) or 2
    )
    put_flags(session, "2025-08-31", f=date(2025, 8, 31))
    write_json(session.settings.folder("runs") / "2023-01-01.json", {"model": {"version": "7"}})
    assert purge.purge(session, UNTIL, dry_run=True).clocks["models"] == {"mlflow": 2}
    assert calls == [(date(2023, 6, 24), {"1"})]  # 800 days before; the night of version 7 is older


def test_nights_in_shadow_go_like_nights_and_their_version_stays_until_then(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    used_versions: list[set[str]] = []
    monkeypatch.setattr(
        model_registry, "purge", lambda settings, last, used, *, dry_run: used_versions.append(used) or 0
    )
    put_flags(session, "2025-08-31", f=date(2025, 8, 31))
    folder = session.settings.folder("shadow") / "3"
    folder.mkdir(parents=True)
    for night in ("2024-01-15", "2025-08-31"):
        pq.write_table(pa.Table.from_pylist([{"change_id": "f", "flag_id": None}]), folder / f"{night}.parquet")
    plan = {"version": "3", "nights": 1, "after": "2024-01-14", "who": "anna", "stopped_after": None}
    write_json(folder / "plan.json", plan)
    assert purge.purge(session, UNTIL, dry_run=False).clocks["nights"] == {"shadow": 1}
    assert sorted(path.name for path in folder.iterdir()) == ["2025-08-31.parquet", "plan.json"]
    assert used_versions == [{"1", "3"}]
    (folder / "2025-08-31.parquet").unlink()
    purge.purge(session, UNTIL, dry_run=False)
    assert used_versions[-1] == {"1"}


def test_files_that_no_commit_names_go(session: Session) -> None:
    stray = session.lake.root / "people" / "drop=2024-01-01" / "00000099-0.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"tokens of a list that was deleted")
    assert purge.purge(session, UNTIL, dry_run=False).clocks["strays"] == {"lake": 1}
    assert not stray.exists()
