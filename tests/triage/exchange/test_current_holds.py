"""What people hold, of now and of a past day."""

from __future__ import annotations

import csv
from datetime import date, timedelta

import pytest

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.hold_files import COLUMNS, holds_text
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange import current_holds
from payeewatch.triage.exchange.current_holds import holds_on
from payeewatch.triage.models import Flag, Night, User
from payeewatch.triage.roles import Role
from payeewatch.triage.server.housekeeping import tidy
from tests.triage.conftest import Clock, do, flag_of, user

YES = {"confirm": True}
FRAUD = {"reason": "F02", "evidence_kind": "bank_check"}
BENIGN = {"reason": "B01", "evidence_kind": "document"}
TODAY, UNTIL = date(2024, 9, 26), "2024-10-03"
HEADER = ",".join(COLUMNS) + "\n"


@pytest.fixture
def own(house: Settings) -> dict[str, User]:
    """A reviewer and a senior in a home without nights."""
    return {str(role): user(role) for role in (Role.REVIEWER, Role.SENIOR)}


def current(settings: Settings) -> list[dict[str, str]]:
    with (settings.folder("holds") / "current.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def settle(clocked: Clock) -> None:
    """Let the last step become final, and do what time does."""
    clocked.at += timedelta(seconds=11)
    tidy()


def confirm(own: dict[str, User], flag: Flag) -> None:
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    do(own["senior"], flag, "approve")


def test_nothing_held_is_a_header_alone(house: Settings, db: None) -> None:
    tidy()
    assert (house.folder("holds") / "current.csv").read_text() == HEADER


def test_what_is_held_is_there_from_the_end_of_the_undo_to_the_release(
    own: dict[str, User], house: Settings, clocked: Clock
) -> None:
    flag = flag_of("00001234")
    for payment, amount in (("Y1", "80.5"), ("", None)):
        flag.holds.create(
            payment_id=payment, amount=amount, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id,
            hold_until=date(2024, 10, 1), state="proposed", at=clocked.at,
        )  # fmt: skip
    do(own["reviewer"], flag, "hold", **YES)
    tidy()
    assert current(house) == []
    settle(clocked)
    rows = current(house)
    assert [(row["payment_id"], row["amount"], row["hold_until"]) for row in rows] == [
        ("", "", UNTIL), ("Y1", "80.50", UNTIL),
    ]  # fmt: skip
    assert {(row["payee_id"], row["account"], row["flag_id"]) for row in rows} == {
        (flag.payee_id, flag.account, flag.flag_id)
    }
    do(own["reviewer"], flag, "release", **YES)
    tidy()
    assert current(house) == rows  # a release that may be undone has not happened
    settle(clocked)
    assert current(house) == []


def test_an_undone_release_never_leaves_a_trace(own: dict[str, User], house: Settings, clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    settle(clocked)
    before = current(house)
    do(own["reviewer"], flag, "release", **YES)
    clocked.at += timedelta(seconds=5)
    tidy()
    do(own["reviewer"], flag, "undo")
    for _ in range(3):
        settle(clocked)
        assert current(house) == before


def test_two_flags_that_hold_the_same_are_one_row_that_ends_last(
    own: dict[str, User], house: Settings, clocked: Clock
) -> None:
    first, other = flag_of("00001234"), flag_of("00005678", payee_id="P00001234")
    do(own["reviewer"], first, "hold", **YES)
    clocked.at += timedelta(days=1)
    do(own["reviewer"], other, "hold", **YES)
    settle(clocked)
    assert [(row["flag_id"], row["hold_until"]) for row in current(house)] == [(other.flag_id, "2024-10-04")]
    confirm(own, first)
    settle(clocked)
    assert [(row["flag_id"], row["hold_until"]) for row in current(house)] == [(first.flag_id, "")]


def test_a_hold_is_gone_on_the_day_after_its_last(own: dict[str, User], house: Settings, clocked: Clock) -> None:
    do(own["reviewer"], flag_of("00001234"), "hold", **YES)
    clocked.at += timedelta(days=7)
    tidy()
    assert len(current(house)) == 1
    clocked.at += timedelta(days=1)
    tidy()
    assert current(house) == []


@pytest.mark.parametrize("automatic", [True, False])
def test_what_the_last_night_proposed_counts_if_the_payment_system_applies_it(
    own: dict[str, User], house: Settings, clocked: Clock, automatic: bool
) -> None:
    object.__setattr__(house.params.holds, "automatic", automatic)  # parameters are frozen
    last, earlier = flag_of("00001234"), flag_of("00005678")
    for flag in (last, earlier):
        flag.holds.create(
            payment_id="", payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id,
            hold_until=date(2024, 10, 1), state="proposed", at=clocked.at,
        )  # fmt: skip
    rows = [current_holds._as_row(hold) for hold in last.holds.all()]
    write_text(house.folder("holds") / f"{Night.objects.get().night}.csv", holds_text(rows))
    Night.objects.create(night=date(2030, 1, 1), digest="", published_at=clocked.at, run={})  # as somebody put one in
    tidy()
    assert [row["flag_id"] for row in current(house)] == [last.flag_id] * automatic
    do(own["reviewer"], last, "benign", **BENIGN)
    settle(clocked)
    assert current(house) == []  # a person decided


def test_the_file_is_written_for_changes_alone(own: dict[str, User], house: Settings, clocked: Clock) -> None:
    assert current_holds.write()
    assert not current_holds.write()
    do(own["reviewer"], flag_of("00001234"), "hold", **YES)
    clocked.at += timedelta(seconds=11)
    assert current_holds.write()
    assert not current_holds.write()


def test_a_file_that_somebody_changed_or_deleted_comes_back(house: Settings, db: None) -> None:
    path = house.folder("holds") / "current.csv"
    current_holds.write()
    for spoil in (path.unlink, lambda: path.write_text("nothing")):
        spoil()
        assert current_holds.write()
        assert path.read_text() == HEADER


def test_nothing_is_written_beside_a_purge(house: Settings, db: None) -> None:
    with exclusive_lock(house):
        assert not current_holds.write()
    assert current_holds.write()


def test_a_past_day_is_read_from_the_files_of_decisions(own: dict[str, User], house: Settings, clocked: Clock) -> None:
    flag, other = flag_of("00001234"), flag_of("00005678")
    do(own["reviewer"], flag, "hold", **YES)  # 26 September
    do(own["reviewer"], other, "hold", **YES)
    settle(clocked)
    clocked.at += timedelta(days=2)
    do(own["reviewer"], flag, "release", **YES)  # 28 September
    settle(clocked)
    clocked.at += timedelta(days=2)
    confirm(own, other)  # 30 September
    settle(clocked)
    clocked.at += timedelta(days=20)
    tidy()
    assert held(date(2024, 9, 25)) == {}
    assert held(date(2024, 9, 27)) == {flag.flag_id: UNTIL, other.flag_id: UNTIL}
    assert held(date(2024, 9, 28)) == {other.flag_id: UNTIL}
    assert held(date(2024, 10, 1)) == held(date(2024, 10, 20)) == held(date(2025, 10, 20)) == {other.flag_id: ""}


def test_a_hold_that_lasts_longer_than_its_file_is_still_told(
    own: dict[str, User], house: Settings, clocked: Clock
) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    settle(clocked)
    for path in house.folder("holds").glob("*-reviewed.csv"):
        path.unlink()
    clocked.at += timedelta(days=500)
    tidy()
    assert held(date(2025, 12, 1)) == {flag.flag_id: ""} == {row["flag_id"]: "" for row in current(house)}


def held(day: date) -> dict[str, str]:
    return {hold.flag_id: str(hold.hold_until or "") for hold in holds_on(day)}
