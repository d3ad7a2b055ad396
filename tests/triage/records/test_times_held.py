"""Since when, until when and what was held, also where the row of a hold was written again since."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from payeewatch.pipeline.home import hold_files
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import Hold, User
from payeewatch.triage.records.explanation import cases
from payeewatch.triage.records.times_held import times_held
from payeewatch.triage.roles import Role
from payeewatch.triage.server.housekeeping import tidy
from tests.triage.conftest import MORNING, Clock, do, flag_of, user

YES = {"confirm": True}
FIELDS = {
    "confirmed_fraud": {"reason": "F02", "evidence_kind": "bank_check"},
    "benign": {"reason": "B01", "evidence_kind": "document"},
    "reopen": {"note": "The bank calls back."},
}
SPANS = {"fortnight": 14, "weeks": 25, "year": 365}
FIRST, NIGHT = MORNING.date(), date(2024, 9, 24)
ENDS = date(2024, 10, 3)
MEMBER = "00001234"


class Desk:
    """A reviewer and a senior reviewer with one flag, and the days that pass."""

    def __init__(self, clocked: Clock) -> None:
        self.reviewer: User = user(Role.REVIEWER)
        self.senior: User = user(Role.SENIOR)
        self.flag, self.clocked = flag_of(MEMBER), clocked

    def propose(self, settings: Settings) -> None:
        """What nights proposed, the last of them again; the file of each night stays."""
        rows = {"payee_id": self.flag.payee_id, "account": self.flag.account, "change_id": self.flag.change_id}
        file: dict[str, Any] = {**rows, "old_change_id": "", "flag_id": self.flag.pk, "hold_until": ENDS}
        for night in (NIGHT, FIRST):
            path = settings.folder("holds") / f"{night}.csv"
            proposals = [hold_files.Hold(payment_id=number, amount="80", **file) for number in ("Y1", "")]
            hold_files.write_holds(path, proposals)
        for number, amount in (("Y1", 80), ("", None)):
            Hold.objects.create(
                flag=self.flag, payment_id=number, amount=amount, hold_until=ENDS, state="proposed", at=MORNING, **rows
            )

    def does(self, *actions: str) -> None:
        for action in actions:
            if action == "day":
                self.clocked.at += timedelta(days=1)
            elif action in SPANS:
                self.clocked.at += timedelta(days=SPANS[action])
                tidy()
            elif action == "approve":
                do(self.senior, self.flag, action)
            else:
                do(self.reviewer, self.flag, action, **FIELDS.get(action, YES))

    def told(self) -> list[tuple[str, str, date, date | None]]:
        return [(each.payment_id, str(each.became), each.since, each.until) for each in times_held([self.flag])]


def in_days(days: int) -> date:
    return FIRST + timedelta(days=days)


@pytest.fixture
def desk(house: Settings, clocked: Clock) -> Desk:
    return Desk(clocked)


CONFIRMED = ("confirmed_fraud", "approve")
LATER: list[tuple[tuple[str, ...], list[tuple[str, date, date | None]]]] = [
    (("hold",), [("held", FIRST, ENDS)]),
    (("hold", "day", *CONFIRMED, "weeks"), [("held", FIRST, None)]),  # written again by its block
    (("hold", "confirmed_fraud", "fortnight"), [("held", FIRST, date(2024, 10, 17))]),  # and by renewals
    (("hold", "confirmed_fraud", "weeks"), [("expired", FIRST, date(2024, 10, 17))]),
    (("hold", "confirmed_fraud", "weeks", "approve"),
     [("expired", FIRST, date(2024, 10, 17)), ("held", in_days(25), None)]),
    (("hold", "weeks"), [("expired", FIRST, ENDS)]),
    (("hold", "day", "benign"), [("released", FIRST, in_days(1))]),
    (("hold", "day", "release", "day", "hold"), [("released", FIRST, in_days(1)), ("held", in_days(2), ENDS)]),
    (("hold", *CONFIRMED, "day", "put_right", "weeks"), [("released", FIRST, in_days(1))]),
    (("hold", "undo"), []),
    (("hold", "day", "release", "undo"), [("held", FIRST, ENDS)]),
]  # fmt: skip


@pytest.mark.parametrize(("actions", "expected"), LATER, ids=lambda each: "-".join(map(str, each))[:40])
def test_a_hold_of_all_later_payments_is_told_since_its_first_record(
    desk: Desk, actions: tuple[str, ...], expected: list[tuple[str, date, date | None]]
) -> None:
    desk.does(*actions)
    assert desk.told() == [("", *each) for each in expected]


@pytest.mark.parametrize(
    ("actions", "is_automatic", "expected"),
    [
        ((), False, ("proposed", NIGHT, ENDS)),
        (("day", "benign"), False, ("not_held", NIGHT, None)),
        (("weeks",), False, ("not_held", NIGHT, None)),
        (("day", "hold", *CONFIRMED), False, ("held", in_days(1), None)),
        ((), True, ("held", NIGHT, ENDS)),
        (("day", "benign"), True, ("released", NIGHT, in_days(1))),
        (("day", "hold", "weeks"), True, ("expired", NIGHT, date(2024, 10, 4))),
    ],
)
def test_what_a_night_proposed_is_held_only_where_people_or_the_settings_did_so(
    desk: Desk, house: Settings, actions: tuple[str, ...], is_automatic: bool, expected: tuple[str, date, date | None]
) -> None:
    desk.propose(house)
    object.__setattr__(house.params.holds, "automatic", is_automatic)  # parameters are frozen
    desk.does(*actions)
    assert desk.told() == [("Y1", *expected), ("", *expected)]


def test_what_another_flag_holds_on_is_not_told_as_let_go(desk: Desk) -> None:
    """As after the verdict that a flag duplicates another one."""
    other = flag_of("00005678", payee_id=desk.flag.payee_id, account=desk.flag.account)
    desk.does("hold", "day")
    do(desk.reviewer, other, "hold", **YES)
    desk.does("day")
    do(desk.reviewer, desk.flag, "duplicate", duplicate_of=other.pk, evidence_kind="none", confidence="2")
    assert desk.flag.holds.get().state == Hold.State.RELEASED
    assert desk.told() == [("", "held", FIRST, date(2024, 10, 4))]
    desk.does("day")
    do(desk.reviewer, other, "benign", **FIELDS["benign"])
    assert desk.told() == [("", "released", FIRST, in_days(3))]


def test_the_letter_gets_payments_together_and_later_payments_apart(desk: Desk, house: Settings) -> None:
    desk.propose(house)
    desk.does("day", "hold", *CONFIRMED)
    (case,) = cases({"member": [MEMBER], "payee": [], "change": []})
    held = {"became": "held", "since": in_days(1), "until": None, "many": 1}
    assert case["held"] == [held | {"is_later": False, "amount": 80}, held | {"is_later": True, "amount": 0}]
    assert (case["status"], case["verdict"]) == ("decided", "confirmed_fraud")


@pytest.mark.parametrize(
    ("actions", "status"),
    [((), "open"), (("benign",), "decided"), (("benign", "reopen", "approve"), "reopened"), (("year",), "undecided")],
)
def test_the_letter_says_where_the_decision_stands(desk: Desk, actions: tuple[str, ...], status: str) -> None:
    desk.does(*actions)
    (case,) = cases({"member": [MEMBER], "payee": [], "change": []})
    assert (case["status"], case["verdict"]) == (status, "benign" if status == "decided" else "")
    assert (case["decided_on"] is None) == (status in ("open", "undecided"))
