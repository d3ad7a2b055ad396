"""An answer of the pipeline becomes one flag, and nothing is lost when something goes wrong."""

from __future__ import annotations

import json

import pytest

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Refusal
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.export_decisions import _outcome_row
from payeewatch.triage.exchange.import_by_hand import MOST_TRIES, import_answers
from payeewatch.triage.exchange.import_night import publish
from payeewatch.triage.exchange.notices import digest
from payeewatch.triage.figures import purged_totals, team
from payeewatch.triage.models import AuditRecord, CaseRequest, Decision, Evidence, Flag, Night, Note, Tally, User
from payeewatch.triage.records import erasure
from payeewatch.triage.work.by_hand import ask
from payeewatch.triage.work.filters import audit_sample, work_list
from payeewatch.triage.workspace import keys
from tests.triage.conftest import MORNING, Answer, Clock, do

REASON = "The member telephoned: the reimbursement went elsewhere."


@pytest.fixture
def asked(cast: dict[str, User], by_hand_answer: Answer) -> CaseRequest:
    request = ask(cast["reviewer"], by_hand_answer.row["change_id"], REASON)
    assert isinstance(request, CaseRequest)
    return request


@pytest.fixture
def opened(reviewed: Settings, asked: CaseRequest, by_hand_answer: Answer) -> Flag:
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    return Flag.objects.get(pk=flag_id)


def test_an_answer_becomes_a_flag_to_review_with_the_reason_as_first_note(
    opened: Flag, asked: CaseRequest, by_hand_answer: Answer, cast: dict[str, User]
) -> None:
    row = by_hand_answer.row
    assert (opened.queue, opened.origin, opened.state, opened.place) == ("review", "by_hand", "new", 0)
    assert (opened.change_id, opened.p_value, opened.score) == (row["change_id"], row["p_value"], row["score"])
    assert [(note.by, note.text) for note in opened.notes.all()] == [(cast["reviewer"], REASON)]
    asked.refresh_from_db()
    assert (asked.state, asked.flag, asked.reason) == ("opened", opened, "")
    assert AuditRecord.objects.filter(action="open_by_hand", flag_id=opened.pk).count() == 1


def test_its_evidence_has_what_a_nights_flag_has(opened: Flag) -> None:
    body = opened.evidence.get().body
    assert set(body) == set(Evidence.objects.exclude(flag=opened).first().body)
    assert body["timeline"]


def test_it_is_first_on_the_list_and_never_in_the_audit_sample(opened: Flag, cast: dict[str, User]) -> None:
    listed = work_list(cast["reviewer"]).order_by("is_waiting", "place").exclude(queue="hold")
    assert listed.first() == opened
    assert opened not in audit_sample(cast["reviewer"])


def test_a_later_night_leaves_it_in_work(opened: Flag, reviewed: Settings, cast: dict[str, User]) -> None:
    last = Night.objects.latest("night")
    Night.objects.filter(pk=last.pk).update(digest="")
    publish(reviewed, last.night)
    opened.refresh_from_db()
    assert opened.is_current
    assert opened in work_list(cast["reviewer"])


def test_a_night_that_flags_it_too_finds_the_same_flag_and_it_stays_by_hand(opened: Flag, reviewed: Settings) -> None:
    flags = Flag.objects.count()
    other = Flag.objects.filter(is_current=True, origin="night").exclude(queue="audit").first()
    Flag.objects.filter(pk=other.pk).update(origin="by_hand", rank=0, place=0)
    last = Night.objects.latest("night")
    Night.objects.filter(pk=last.pk).update(digest="")
    publish(reviewed, last.night)
    other.refresh_from_db()
    assert (other.origin, other.place > 0, Flag.objects.count()) == ("by_hand", True, flags)


def test_two_users_who_ask_get_one_flag_with_both_reasons(
    reviewed: Settings, asked: CaseRequest, cast: dict[str, User], by_hand_answer: Answer
) -> None:
    second = ask(cast["second"], asked.change_id, "A colleague saw it too.")
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    assert [note.text for note in Note.objects.filter(flag=flag_id)] == [REASON, "A colleague saw it too."]
    second.refresh_from_db()
    assert second.flag_id == flag_id
    assert import_answers() == []


def test_a_change_that_was_flagged_meanwhile_keeps_its_flag(
    reviewed: Settings, asked: CaseRequest, by_hand_answer: Answer, opened: Flag, cast: dict[str, User]
) -> None:
    Flag.objects.filter(pk=opened.pk).update(change_id="X-announced", queue="hold", origin="night")
    CaseRequest.objects.filter(pk=asked.pk).update(state="waiting", flag=None, reason="Once more.")
    by_hand_answer.put(reviewed)
    assert import_answers() == [opened.pk]
    opened.refresh_from_db()
    assert (opened.queue, opened.origin) == ("hold", "night")
    assert opened.notes.filter(text="Once more.").exists()


def test_nothing_is_imported_while_the_request_waits(reviewed: Settings, asked: CaseRequest) -> None:
    assert import_answers() == []
    asked.refresh_from_db()
    assert asked.state == "waiting"


def test_a_request_that_was_lost_is_written_again(reviewed: Settings, asked: CaseRequest) -> None:
    (path,) = by_hand.request_files(reviewed)
    first = path.read_bytes()
    path.unlink()
    assert import_answers() == []
    assert path.read_bytes() == first


def test_a_request_names_the_user_by_a_pseudonym(reviewed: Settings, asked: CaseRequest) -> None:
    (path,) = by_hand.request_files(reviewed)
    facts = json.loads(path.read_text())
    assert set(facts) == {"change_id", "by", "asked_at"}
    assert asked.by.username not in path.read_text()


def test_a_refusal_is_told_and_the_reason_stays(reviewed: Settings, asked: CaseRequest) -> None:
    name = by_hand.name_of(keys(), asked.change_id)
    by_hand.write_refusal(reviewed, name, Refusal.UNKNOWN, MORNING)
    by_hand.request_path(reviewed, name).unlink()
    assert import_answers() == []
    asked.refresh_from_db()
    assert (asked.state, asked.why, asked.reason) == ("refused", "unknown", REASON)


def test_a_damaged_answer_is_asked_for_again_and_given_up_in_the_end(
    reviewed: Settings, asked: CaseRequest, by_hand_answer: Answer
) -> None:
    name = by_hand.name_of(keys(), asked.change_id)
    for tries in range(1, MOST_TRIES + 1):
        by_hand_answer.put(reviewed)
        by_hand.answer_path(reviewed, name).write_bytes(b"PAR1")
        assert import_answers() == []
        asked.refresh_from_db()
        assert asked.tries == tries
        assert by_hand.request_path(reviewed, name).exists() == (tries < MOST_TRIES)
    assert (asked.state, asked.why, asked.reason) == ("refused", "damaged", REASON)
    assert not Flag.objects.filter(origin="by_hand").exists()


def test_an_answer_of_a_night_that_is_not_imported_waits_for_it(
    reviewed: Settings, asked: CaseRequest, by_hand_answer: Answer
) -> None:
    last = Night.objects.latest("night").night
    Flag.objects.filter(night=last).delete()
    Night.objects.filter(night=last).delete()
    by_hand_answer.put(reviewed)
    assert import_answers() == []
    publish(reviewed, last)
    assert len(import_answers()) == 1


def test_nothing_is_imported_while_a_purge_is_at_work(
    reviewed: Settings, asked: CaseRequest, by_hand_answer: Answer
) -> None:
    by_hand_answer.put(reviewed)
    with exclusive_lock(reviewed):
        assert import_answers() == []
    assert len(import_answers()) == 1


def test_no_precision_counts_it_before_or_after_a_purge(opened: Flag, clocked: Clock) -> None:
    today = clocked.at.date()
    Flag.objects.filter(pk=opened.pk).update(state="closed", verdict="confirmed_fraud", closed_at=MORNING)
    opened.refresh_from_db()
    assert team.precision(today, ["hold", "review"]).of == 0
    purged_totals.keep([opened])
    assert team.precision(today, ["hold", "review"]).of == 0
    assert Tally.objects.get(of="queue").value == "by_hand"


def test_its_verdict_is_handed_over_with_its_origin(opened: Flag, cast: dict[str, User]) -> None:
    do(cast["reviewer"], opened, "benign", reason="B13", evidence_kind="none", confidence=2)
    decision = Decision.objects.get(flag=opened)
    row = _outcome_row(decision)
    assert (row["outcome_id"], row["source"], row["verdict"]) == (f"H-{decision.step_id}", "reviewer", "benign")


def test_the_notice_of_a_night_does_not_count_it(opened: Flag) -> None:
    night = Night.objects.get(night=opened.night_id)
    with_it = digest(night)
    opened.delete()
    assert digest(night) == with_it


def test_a_purge_forgets_the_flag_and_its_request(opened: Flag, reviewed: Settings) -> None:
    Flag.objects.filter(pk=opened.pk).update(first_flagged_on="2023-01-01")
    erasure.purge(MORNING.date(), [], dry_run=False)
    assert not Flag.objects.filter(pk=opened.pk).exists()
    assert not CaseRequest.objects.exists()


def test_a_purge_forgets_a_request_that_led_to_nothing(asked: CaseRequest, reviewed: Settings) -> None:
    erasure.purge(MORNING.date(), [], dry_run=False)
    assert CaseRequest.objects.exists()
    CaseRequest.objects.update(at="2023-01-01T00:00+00:00")
    counts = erasure.purge(MORNING.date(), [], dry_run=False)
    assert counts["case_requests"] == {"triage/case_requests": 1}
    assert not CaseRequest.objects.exists()


@pytest.mark.parametrize("kind", ["member", "change", "payee"])
def test_an_erased_person_has_no_request(asked: CaseRequest, kind: str) -> None:
    ids: dict[str, list[str]] = {"member": [], "change": [], "payee": [], "flag": []}
    ids[kind] = [getattr(asked, f"{kind}_id")]
    ids["member"] = ids["member"] or ["M-other"]
    erasure.erase(ids, MORNING.date(), dry_run=False)
    assert not CaseRequest.objects.exists()
