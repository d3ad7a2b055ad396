"""Who may open a case by hand, about what, and what happens when two do."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.home import by_hand as files
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.import_by_hand import import_answers
from payeewatch.triage.models import AuditRecord, CaseRequest, Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.work.by_hand import NotFound, ask, openable, request_of
from tests.triage.conftest import Answer, user


@pytest.fixture
def change(cast: dict[str, User], by_hand_answer: Answer) -> str:
    return str(by_hand_answer.row["change_id"])


def test_asking_leaves_a_request_in_the_home_and_a_record(
    cast: dict[str, User], change: str, reviewed: Settings
) -> None:
    request = ask(cast["senior"], change, "The member telephoned.")
    assert isinstance(request, CaseRequest)
    assert (request.change_id, request.state, request.reason) == (change, "waiting", "The member telephoned.")
    assert len(files.request_files(reviewed)) == 1
    record = AuditRecord.objects.get(action="ask_for_case")
    assert change not in str(record.details)


def test_asking_twice_leaves_one_request(cast: dict[str, User], change: str, reviewed: Settings) -> None:
    first = ask(cast["reviewer"], change, "Once.")
    assert ask(cast["reviewer"], f" {change} ", "Twice.") == first
    assert CaseRequest.objects.count() == 1
    assert len(files.request_files(reviewed)) == 1


def test_two_users_leave_one_file_and_both_reasons(cast: dict[str, User], change: str, reviewed: Settings) -> None:
    ask(cast["reviewer"], change, "One.")
    ask(cast["second"], change, "Two.")
    assert set(CaseRequest.objects.values_list("reason", flat=True)) == {"One.", "Two."}
    assert len(files.request_files(reviewed)) == 1


def test_a_flagged_change_leads_to_its_flag_and_the_reason_is_a_note(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    assert openable(cast["reviewer"], first.change_id).flag == first
    assert ask(cast["reviewer"], first.change_id, "The member telephoned.") == first
    assert first.notes.get().text == "The member telephoned."
    assert not files.request_files(reviewed)


def test_an_unknown_change_and_one_of_ones_own_household_answer_alike(
    cast: dict[str, User], by_hand_answer: Answer, first: Flag, reviewed: Settings
) -> None:
    row = by_hand_answer.row
    relatives = [
        user(Role.REVIEWER, "of-household", household_id=row["household_id"]),
        user(Role.REVIEWER, "of-member", member_id=row["member_id"]),
    ]
    asked = [(each, row["change_id"]) for each in relatives]
    for person, change in [*asked, (cast["relative"], first.change_id), (cast["reviewer"], "X0"), (relatives[0], "")]:
        with pytest.raises(NotFound):
            openable(person, change)
        with pytest.raises(NotFound):
            ask(person, change, "Why not.")
    assert not CaseRequest.objects.exists()
    assert not files.request_files(reviewed)


def test_a_request_about_ones_own_household_is_not_shown(
    cast: dict[str, User], change: str, by_hand_answer: Answer
) -> None:
    request = ask(cast["reviewer"], change, "The member telephoned.")
    assert isinstance(request, CaseRequest)
    assert request_of(cast["second"], request.pk) == request
    relative = user(Role.REVIEWER, "of-household", household_id=by_hand_answer.row["household_id"])
    for person, pk in ((relative, request.pk), (cast["second"], request.pk + 1)):
        with pytest.raises(NotFound):
            request_of(person, pk)


def test_a_home_that_cannot_be_written_loses_nothing(cast: dict[str, User], change: str, reviewed: Settings) -> None:
    folder = reviewed.folder("evidence") / "requests"
    folder.write_text("in the way")
    assert isinstance(ask(cast["reviewer"], change, "The member telephoned."), CaseRequest)
    assert import_answers() == []
    folder.unlink()
    assert import_answers() == []
    assert len(files.request_files(reviewed)) == 1
    assert CaseRequest.objects.get().reason == "The member telephoned."
