"""Human oversight is counted from the audit log as the application writes it, and never of one person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from payeewatch.triage.figures.oversight import counted, oversight
from payeewatch.triage.records import audit
from payeewatch.triage.roles import Role
from tests.triage.conftest import Clock, do, flag_of, user

AT = datetime(2024, 9, 26, 7, tzinfo=UTC)
GROUNDS = {"evidence_kind": "call_back_made", "confidence": "2", "note": ""}


def row(number: int, seconds: int, action: str, flag: str = "F-1", user: str = "anna", **details: object) -> tuple:
    return (number, AT + timedelta(seconds=seconds), user, "reviewer", action, flag, details, f"{number:064x}")


def verdict(number: int, seconds: int, flag: str, what: str, state: str = "in_force", **more: object) -> tuple:
    return row(number, seconds, what, flag, kind="verdict", verdict=what, state=state, **more)


def test_time_on_evidence_runs_from_opening_to_the_same_persons_verdict() -> None:
    counts = counted(
        [
            row(1, 0, "view"),
            row(2, 40, "view"),  # the page again: the same sitting
            verdict(3, 90, "F-1", "benign"),
            verdict(4, 95, "F-2", "benign"),  # never opened
            row(5, 100, "view", "F-3", "bea"),
            verdict(6, 120, "F-3", "benign"),  # opened by somebody else
        ]
    )
    assert counts.seconds == [90.0]
    assert (counts.unopened.hits, counts.unopened.of) == (2, 3)


def test_exports_with_originals_tokens_in_force_and_the_first_end_of_a_hold_are_told() -> None:
    counts = counted(
        [
            row(1, 0, "make_token", token="payments", scopes=["runs"]),
            row(2, 1, "make_token", token="archive", scopes=["flags", "health"]),
            row(3, 2, "make_token", token="archive", scopes=["flags"]),  # its earlier token stops working
            row(4, 3, "revoke_token", token="payments"),
            row(5, 4, "right_of_access", with_originals=True),
            row(6, 5, "right_of_access", with_originals=False),
            row(7, 6, "hold", until="2024-10-07"),
            row(8, 7, "hold", until="2024-10-03"),
            row(9, 8, "hold", until=""),  # behind a confirmed fraud
            row(10, 9, "hold_ended", holds=[[1, "2024-10-03", "held"], [2, "2024-10-03", "proposed"]]),
            row(11, 10, "hold_ended", holds=[[3, "2024-10-03", "proposed"]]),  # nobody held it
        ]
    )
    assert (counts.holds_ended, counts.proposals_ended) == (1, 2)
    assert (counts.tokens, counts.first_hold_end) == ({"archive": ["flags"]}, "2024-10-03")
    assert (counts.exports_with_originals, counts.rights) == (1, {"access": 2})


def test_a_flag_opened_long_before_was_opened_but_its_time_is_not_known() -> None:
    counts = counted([row(1, 0, "view"), verdict(2, 7200, "F-1", "benign")])
    assert (counts.unopened.hits, counts.seconds) == (0, [])


def test_only_verdicts_that_stand_are_counted_by_kind() -> None:
    counts = counted(
        [
            verdict(1, 0, "F-1", "confirmed_fraud", "pending"),
            row(2, 10, "approve", user="carl", kind="verdict", verdict="confirmed_fraud", state="in_force"),
            verdict(3, 20, "F-2", "benign"),
            row(4, 25, "undo", "F-2", undone="benign"),
            verdict(5, 30, "F-3", "benign"),
            row(6, 40, "approve", "F-3", kind="reopen", state="in_force"),
            verdict(7, 50, "F-4", "benign"),
            row(8, 60, "second_look", "F-4", kind="second_look", verdict="benign"),
            row(9, 70, "return_proposal", "F-5"),
        ]
    )
    assert dict(counts.verdicts) == {"confirmed_fraud": 1, "benign": 1}
    assert (counts.overruled.hits, counts.overruled.of) == (1, 2)
    assert counts.done == {
        "approved": 2, "approved_unopened": 2, "returned": 1, "second_looks": 1, "second_looks_alike": 1,
    }  # fmt: skip


def test_a_proposal_and_what_is_taken_back_move_no_hold_and_no_verdict() -> None:
    approved = {"user": "carl", "state": "in_force"}
    counts = counted(
        [
            row(1, 0, "hold", until="2024-10-02"),
            row(2, 1, "undo", undone="hold"),
            row(3, 2, "hold", until="2024-10-03"),
            row(4, 3, "extend", kind="extend", state="pending"),
            row(5, 4, "return_proposal", user="carl", kind="extend", state="returned"),
            row(6, 5, "extend", kind="extend", state="pending"),
            row(7, 6, "approve", kind="extend", **approved),
            row(8, 7, "release", kind="release", state="pending"),
            row(9, 8, "approve", kind="release", **approved),
            row(10, 9, "undo", user="carl", undone="approve"),
            verdict(11, 20, "F-2", "confirmed_fraud", "pending"),
            row(12, 21, "approve", "F-2", kind="verdict", verdict="confirmed_fraud", **approved),
            row(13, 22, "approve", "F-2", kind="put_right", **approved),
            row(14, 23, "undo", "F-2", user="carl", undone="approve"),  # the fraud stands
            row(15, 24, "release", "F-3", kind="release", state="in_force"),
            verdict(16, 25, "F-4", "benign"),
            row(17, 26, "approve", "F-4", kind="reopen", **approved),
            row(18, 27, "undo", "F-4", user="carl", undone="approve"),
            verdict(19, 28, "F-5", "benign"),
            row(20, 29, "come_back", "F-5", user="", verdict="benign"),
        ]
    )
    done = {name: many for name, many in counts.done.items() if many}
    assert done == {"held": 1, "returned": 1, "approved": 2, "approved_unopened": 2, "extended": 1, "released": 1}
    assert counts.verdicts == {"confirmed_fraud": 1, "benign": 1}
    assert counts.first_hold_end == "2024-10-03"


def test_a_case_that_people_opened_by_hand_says_nothing_about_what_nights_choose() -> None:
    counts = counted(
        [
            row(1, 0, "open_by_hand"),
            verdict(2, 1, "F-1", "confirmed_fraud"),
            verdict(3, 2, "F-2", "benign"),
            verdict(4, 3, "F-3", "duplicate"),
        ]
    )
    assert counts.verdicts.total() == 3
    assert (counts.followed.hits, counts.followed.of) == (0, 1)
    assert (counts.overruled.hits, counts.overruled.of) == (1, 1)


def test_purges_rights_and_breaks_are_taken_from_the_log() -> None:
    counts = counted(
        [
            row(1, 0, "purge", "", "", until="2024-09-25", flags={"closed": 2, "expired": 1}),
            row(2, 1, "right_of_access", "", ""),
            row(3, 2, "erase_person", "", ""),
            row(4, 3, "audit_break", "", "", cause="missing"),
            row(7, 5, "restore", "", "", made_at="2024-09-24T06:00:00+00:00"),
            *(row(each, 4, "publish", "", "", night="2024-09-24", new=each - 4) for each in (5, 6)),  # run again
        ]
    )
    assert (counts.nights, counts.flags) == (1, 3)
    assert counts.purges == [(1, "2024-09-25", 3)]
    assert dict(counts.rights) == {"access": 1, "erasure": 1}
    assert counts.breaks[0][2] == "missing"
    assert [(number, made_at) for number, _, made_at in counts.restores] == [(7, "2024-09-24T06:00:00+00:00")]
    assert counts.roles == {}


def test_what_the_application_writes_is_what_is_counted(house: object, clocked: Clock) -> None:
    reviewer, senior, flag = user(Role.REVIEWER), user(Role.SENIOR), flag_of("0001")
    audit.record(reviewer, "view", flag.flag_id)
    clocked.at += timedelta(seconds=50)
    do(reviewer, flag, "confirmed_fraud", reason="F01", **GROUNDS)
    before = clocked()
    clocked.at += timedelta(seconds=50)
    do(senior, flag, "approve", decision=str(flag.decisions.get().pk))
    counts = oversight(clocked())
    assert (counts.verdicts["confirmed_fraud"], counts.seconds, counts.done["approved"]) == (1, [50.0], 1)
    assert oversight(before).done["approved"] == 0  # as of then
