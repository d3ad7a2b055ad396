"""What happens only because time passes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.export_decisions import HandOverCounts
from payeewatch.triage.models import AuditRecord, Flag, Night, User
from payeewatch.triage.records.damage import NOT_OURS
from payeewatch.triage.seals import name_of
from payeewatch.triage.server.housekeeping import TidyResult, check, tidy
from tests.triage.conftest import Clock, do
from tests.triage.test_seals import sql


def test_nothing_to_do_is_done_again_and_again(cast: dict[str, User]) -> None:
    records = AuditRecord.objects.count()
    assert tidy() == TidyResult([], 0, 0, 0, HandOverCounts())
    assert AuditRecord.objects.count() == records


def test_a_night_that_is_not_there_yet_is_published(reviewed: Settings) -> None:
    last = Night.objects.latest("night").night
    Night.objects.filter(night=last).update(digest="of other files")
    assert tidy().published == [last]


def test_a_hold_ends_by_itself_after_its_last_day(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "extend", confirm=True)
    clocked.at += timedelta(days=7)  # Thursday, the last day
    assert tidy().holds_ended == 0
    clocked.at += timedelta(days=1)
    assert tidy().holds_ended == 1
    assert set(first.holds.values_list("state", flat=True)) == {"expired"}
    assert first.decisions.get().state == "replaced"  # nothing is left that could be held longer
    assert AuditRecord.objects.get(action="hold_ended").details["holds"][0][1] == "2024-10-03"


def test_a_hold_that_ends_because_its_proposal_was_exchanged_is_told(
    cast: dict[str, User], first: Flag, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    proposal = first.decisions.get()
    sql("UPDATE triage_decision SET id = id + 1000, state = 'replaced', handed_over_at = at")  # as many rows as before
    clocked.at += timedelta(days=8)
    assert tidy().holds_ended == 1
    assert {record.details["row"] for record in AuditRecord.objects.filter(action=NOT_OURS)} >= {name_of(proposal)}


def test_a_flag_put_off_comes_back_on_its_day(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "snooze", until="2024-09-28")
    clocked.at += timedelta(days=1)
    assert tidy().woken == 0
    clocked.at += timedelta(days=1)
    assert tidy().woken == 1
    first.refresh_from_db()
    assert (first.state, first.woken_by, first.snoozed_until) == ("new", "date_came", None)


def test_a_suppressed_flag_comes_back_on_its_day(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "suppress", until="2024-09-28", note="Known")
    do(cast["senior"], first, "approve")
    clocked.at += timedelta(days=2)
    assert tidy().woken == 1


def test_a_flag_nobody_judged_in_time_expires_with_what_waited(
    cast: dict[str, User], first: Flag, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    Flag.objects.exclude(pk=first.pk).update(state="closed")
    clocked.at += timedelta(days=183)
    assert tidy().expired == 0
    clocked.at += timedelta(seconds=1)
    assert tidy().expired == 1
    first.refresh_from_db()
    assert (first.state, first.verdict, first.decisions.get().state) == ("expired", "", "replaced")


def test_what_was_decided_is_handed_over(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    clocked.at += timedelta(minutes=1)
    assert tidy().handed_over.verdicts == 1


def test_a_night_that_cannot_be_published_stops_no_hold_file(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    clocked.at += timedelta(minutes=1)
    night = Night.objects.latest("night").night
    (reviewed.folder("flags") / f"{night}.parquet").write_bytes(b"no Parquet")
    tidy()
    assert first.flag_id in (reviewed.folder("holds") / "current.csv").read_text()
    assert (reviewed.folder("holds") / "2024-09-26-reviewed.csv").exists()


def test_a_record_or_a_row_that_no_page_looks_at_is_named_within_the_hour(
    cast: dict[str, User], first: Flag, clocked: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="document")
    clocked.at += timedelta(minutes=1)
    tidy()  # handed over
    check()
    assert not caplog.records
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_decision SET verdict = 'inconclusive'")
        cursor.execute("UPDATE triage_auditrecord SET action = 'view' WHERE number = 1")
    check()
    causes = [json.loads(record.message).get("cause", "") for record in caplog.records]
    assert any("was changed or put in" in each for each in causes)
    assert AuditRecord.objects.filter(action=NOT_OURS, details__row__startswith="decision").exists()
