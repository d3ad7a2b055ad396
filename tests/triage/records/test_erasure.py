"""The clocks in the reviewers' database, and a person who is to be forgotten in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import (  # fmt: skip
    Attachment,
    AuditRecord,
    Decision,
    Evidence,
    Flag,
    Hold,
    Night,
    Note,
    Step,
    Tally,
    Tombstone,
    User,
)
from payeewatch.triage.records import audit, damage, erasure
from payeewatch.triage.server import housekeeping
from payeewatch.triage.work.search import search
from tests.retention_cases import CASES, OVER
from tests.triage.conftest import do, signed_in

pytestmark = pytest.mark.django_db


def close(flag: Flag, verdict: str, clocked: Any, days_ago: int = 1) -> None:
    Flag.objects.filter(pk=flag.pk).update(
        state=Flag.State.CLOSED, verdict=verdict, closed_at=clocked.at - timedelta(days=days_ago)
    )


def purge(clocked: Any, days: int = 0, *, dry_run: bool = False) -> dict[str, dict[str, int]]:
    return erasure.purge(clocked.at.date() + timedelta(days=days), (), dry_run=dry_run)


def test_flags_go_when_the_common_clock_says(reviewed: Settings, first: Flag, clocked: Any) -> None:
    until = clocked.at.date()
    zone, flags = ZoneInfo(reviewed.params.timezone), []
    for case in CASES:
        flag = Flag.objects.get(pk=first.pk)
        flag.pk, flag.first_flagged_on = case.name, until - timedelta(days=case.flagged)
        if case.decided is not None:
            local = datetime.fromisoformat(f"{until - timedelta(days=case.decided)}T{case.at}")
            flag.state, flag.verdict, flag.closed_at = Flag.State.CLOSED, case.verdict, local.replace(tzinfo=zone)
        flags.append(flag)
    Flag.objects.all().delete()
    Flag.objects.bulk_create(flags)
    over, others = erasure.flags_over(until)
    assert over == OVER
    assert others == {case.name for case in CASES} - OVER


def test_what_is_not_pertinent_goes_the_day_after_it_closed(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    close(first, "benign", clocked, days_ago=0)
    assert purge(clocked).get("not_pertinent") == {}
    assert purge(clocked, days=1, dry_run=True)["not_pertinent"]["triage/flags"] == 1
    assert Flag.objects.filter(pk=first.pk).exists()
    assert purge(clocked, days=1)["not_pertinent"]["triage/flags"] == 1
    assert not Flag.objects.filter(pk=first.pk).exists()
    assert Tombstone.objects.get(kind="flag").clock == "not_pertinent"
    assert [finding for finding in audit.verify().findings if finding.what.startswith("was changed")] == []


def test_a_second_look_is_waited_for(first: Flag, clocked: Any) -> None:
    close(first, "benign", clocked)
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    assert purge(clocked).get("not_pertinent") == {}


def test_a_verdict_that_the_pipeline_does_not_have_yet_is_waited_for(
    first: Flag, cast: dict[str, User], clocked: Any
) -> None:
    close(first, "benign", clocked)
    step = Step.objects.create(
        step_id=uuid4(), flag=first, user=cast["second"], action="benign", at=clocked.at, before={}, version_after=2
    )
    decision = Decision.objects.create(
        flag=first, step=step, kind="verdict", state="in_force", by=cast["second"], at=clocked.at, verdict="benign"
    )
    assert purge(clocked).get("not_pertinent") == {}
    Decision.objects.filter(pk=decision.pk).update(handed_over_at=clocked.at)
    assert purge(clocked)["not_pertinent"]["triage/flags"] == 1


def test_a_pertinent_case_stays_five_years(first: Flag, clocked: Any) -> None:
    close(first, "confirmed_fraud", clocked, days_ago=0)
    Flag.objects.exclude(pk=first.pk).delete()
    assert purge(clocked, days=1825)["closed"] == {}
    assert purge(clocked, days=1826)["closed"]["triage/flags"] == 1


@pytest.mark.parametrize("state", [Flag.State.NEW, Flag.State.PROPOSED, Flag.State.EXPIRED])
def test_what_nobody_judged_goes_after_six_months(first: Flag, clocked: Any, state: str) -> None:
    Flag.objects.exclude(pk=first.pk).delete()
    Flag.objects.filter(pk=first.pk).update(state=state)
    days = (first.first_flagged_on - clocked.at.date()).days + 183
    assert purge(clocked, days=days - 1)["qualify"] == {}
    assert purge(clocked, days=days)["qualify"]["triage/flags"] == 1


def test_all_that_hangs_on_a_flag_goes_with_it(
    reviewed: Settings, first: Flag, cast: dict[str, User], clocked: Any
) -> None:
    close(first, "duplicate", clocked)
    folder = reviewed.folder("triage") / "attachments"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("x")
    elsewhere = reviewed.folder("triage") / "elsewhere"
    elsewhere.write_text("x")
    by, at = cast["reviewer"], clocked.at
    Note.objects.create(flag=first, by=by, at=at, text="told")
    for name in ("kept", "../elsewhere", ".."):  # the others somebody wrote in the database
        Attachment.objects.create(
            flag=first, by=by, at=at, name="a", stored_as=name, content_type="text/plain", size=1, digest=""
        )
    assert purge(clocked)["not_pertinent"] == {"triage/flags": 1, "triage/notes": 1, "triage/attachments": 3}
    assert not (folder / "kept").exists()
    assert elsewhere.exists()
    assert not Evidence.objects.filter(flag_id=first.pk).exists()


def test_many_flags_go_in_parts_as_they_would_at_once(cast: dict[str, User], clocked: Any) -> None:
    one, two, *_ = flags = Flag.objects.order_by("pk")
    last = flags[len(flags) - 1]
    for flag in flags[: len(flags) - 1]:
        close(flag, "benign", clocked)
    Flag.objects.filter(pk__in=[one.pk, two.pk, last.pk]).update(ring=one.pk, ring_size=3)
    outcomes = []
    for part in (1000, 2):
        with pytest.MonkeyPatch.context() as patched, transaction.atomic():
            patched.setattr(erasure, "PART", part)
            assert purge(clocked)["not_pertinent"]["triage/flags"] == len(flags) - 1
            last.refresh_from_db()
            tallied = sorted(Tally.objects.values_list("period", "of", "value", "verdict", "flags"))
            outcomes.append(
                (tallied, sorted(Tombstone.objects.values_list("token")), last.ring == last.pk, last.ring_size)
            )
            transaction.set_rollback(True)
    assert len(flags) > 5
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2:] == (True, 1)


def test_a_purge_takes_its_turn_at_the_log_before_it_locks_a_flag(
    first: Flag, clocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(first, "benign", clocked)
    there = []
    monkeypatch.setattr(audit, "take_turn", lambda: there.append(Flag.objects.filter(pk=first.pk).exists()))
    purge(clocked, dry_run=True)
    assert there == []
    purge(clocked)
    assert there[0]


def test_the_tally_counts_on_and_names_no_flag(first: Flag, clocked: Any) -> None:
    for flag in Flag.objects.all():
        close(flag, "benign", clocked)
    many = Flag.objects.count()
    purge(clocked)
    assert sum(Tally.objects.filter(of="queue").values_list("flags", flat=True)) == many
    assert set(Tally.objects.exclude(of="came").values_list("verdict", flat=True)) == {"benign"}
    assert all(row.period.day == 1 for row in Tally.objects.exclude(of__in=["came", "went"]))


def test_a_purged_list_leaves_frozen_evidence_and_the_chip(reviewed: Settings, clocked: Any) -> None:
    flag = Flag.objects.exclude(breach_ids=[]).first()
    assert flag
    breach_id = flag.breach_ids[0]
    assert erasure.purge(clocked.at.date(), {breach_id}, dry_run=False)["lists"]["triage/evidence"]
    assert not any(breach_id in each.breach_ids for each in Flag.objects.all())
    assert not any(breach_id in str(each.body) for each in Evidence.objects.all())
    assert [str(each) for each in damage.every()] == []


def test_a_person_is_forgotten_and_the_log_stays_whole(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    other = Flag.objects.exclude(payee_id=first.payee_id).exclude(member_id=first.member_id).first()
    assert other
    Note.objects.create(
        flag=other, by=cast["second"], at=clocked.at, text=f"like {first.member_id}, and {first.payee_id}."
    )
    body = Evidence.objects.filter(flag=other).first()
    assert body
    neighbours = [{"payee_id": first.payee_id, "relation": "same_account", "flag_id": first.pk}]
    Evidence.objects.filter(pk=body.pk).update(body=body.body | {"neighbours": neighbours})
    do(cast["reviewer"], other, "duplicate", duplicate_of=first.pk, evidence_kind="none")
    ids = {"member": [first.member_id], "change": [first.change_id], "payee": [first.payee_id], "flag": [first.pk]}
    dry = erasure.erase(ids, clocked.at.date(), dry_run=True)
    assert erasure.erase(ids, clocked.at.date(), dry_run=False) == dry
    assert not Flag.objects.filter(member_id=first.member_id).exists()
    assert Note.objects.get().text == "like [erased], and [erased]."
    assert Evidence.objects.get(pk=body.pk).body["neighbours"] == []
    assert str(first.member_id) not in str(list(AuditRecord.objects.values_list("details", flat=True)))
    assert set(Tombstone.objects.values_list("kind", flat=True)) == {"flag", "member", "payee", "change"}
    assert [str(each) for each in damage.every()] == []
    assert [finding for finding in audit.verify().findings if finding.what.startswith("was changed")] == []


def test_a_person_leaves_the_run_record_of_a_night_and_other_people_stay(first: Flag, clocked: Any) -> None:
    night = Night.objects.order_by("night").last()
    assert night
    unscored = [{"change_id": "C-1", "payee_id": first.payee_id}, {"change_id": "C-2", "payee_id": "another"}]
    Night.objects.filter(pk=night.pk).update(run=night.run | {"unscored_changes": unscored})
    ids = {"member": [first.member_id], "change": [first.change_id], "payee": [first.payee_id], "flag": [first.pk]}
    erasure.erase(ids, clocked.at.date(), dry_run=False)
    night.refresh_from_db()
    assert night.run["unscored_changes"] == unscored[1:]


CANARY = "Zephirinconnu"


def test_what_somebody_wrote_anywhere_is_gone_after_a_purge_and_the_log_stays_whole(
    first: Flag, cast: dict[str, User], clocked: Any
) -> None:
    browser, flag = signed_in(cast["senior"]), f"/flags/{first.pk}"
    form = {"value": "account", "why": "complaint", "more": f"for {CANARY}"}
    assert browser.post(f"{flag}/reveal", form).status_code == 200
    for address in (f"/?q={CANARY}&breach={CANARY}&{CANARY}=1", f"/search?q={CANARY}"):
        assert browser.get(address).status_code == 200
    b"".join(browser.get(f"/export/flags.csv?q={CANARY}&breach={CANARY}&{CANARY}=1&queue=review").streaming_content)
    auditor = signed_in(cast["auditor"])
    for name in ("user", "action", "flag"):
        assert auditor.get(f"/audit?{name}={CANARY}").status_code == 200
    assert signed_in(cast["second"]).post("/sign-in", {"username": CANARY, "password": CANARY}).status_code < 500
    do(cast["senior"], first, "escalate", text=CANARY)
    do(cast["senior"], first, "note", text=CANARY)
    do(cast["senior"], first, "benign", reason="B99", evidence_kind="none", note=CANARY)
    assert any(CANARY in text for text in everything())
    Decision.objects.update(state="in_force", handed_over_at=clocked.at)
    close(first, "benign", clocked)
    Flag.objects.filter(pk=first.pk).update(needs_second_look=False)
    assert purge(clocked)["not_pertinent"]["triage/flags"] == 1
    assert [text[:200] for text in everything() if CANARY in text] == []
    assert [finding for finding in audit.verify().findings if finding.what.startswith("was changed")] == []


def test_the_log_names_no_payment_and_no_change(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    flag, payment = first, "YPAYMENT01"
    Hold.objects.create(
        flag=flag, payment_id=payment, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id,
        hold_until=clocked.at.date(), state="proposed", at=clocked.at,
    )  # fmt: skip
    do(cast["senior"], flag, "hold", confirm=True)
    clocked.at += timedelta(days=9)
    housekeeping.tidy()
    search(cast["senior"], flag.change_id)
    details = str(list(AuditRecord.objects.values_list("details", flat=True)))
    assert [
        each for each in (flag.change_id, *flag.holds.values_list("payment_id", flat=True)) if each and each in details
    ] == []


def test_names_that_stay_for_good_look_like_nobodys_number(house: Settings) -> None:
    with pytest.raises(ValidationError, match="Take another name"):
        User(username="1 92 02 99 990 001", role="reviewer", password="x").full_clean()
    User(username="second reviewer 12", role="reviewer", password="x").full_clean(exclude=["username"])


def everything() -> list[str]:
    """Every row of the application's tables, as text; what axes counts of sign-ins goes by its own clock."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            if table.startswith("triage_"):
                cursor.execute(f'SELECT * FROM "{table}"')
                rows += [str(row) for row in cursor.fetchall()]
    return rows


def test_a_purge_unblocks_no_account(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=10)
    assert purge(clocked, days=1826)["closed"] == {}
    expired, stays = erasure.flags_over(clocked.at.date() + timedelta(days=1826))
    assert (first.pk in expired, first.pk in stays) == (False, True)
    clocked.at += timedelta(minutes=1)
    housekeeping.tidy()
    for state in ("released", "held"):  # written in the database: holds/current.csv says what is so
        with connection.cursor() as cursor:
            cursor.execute("UPDATE triage_hold SET state = %s WHERE flag_id = %s", [state, first.pk])
        assert purge(clocked, days=1826)["closed"] == {}
    do(cast["reviewer"], first, "put_right", confirm=True)
    clocked.at += timedelta(minutes=1)
    housekeeping.tidy()
    assert purge(clocked, days=1826)["closed"]["triage/flags"] == 1


def test_an_erasure_counts_the_holds_that_it_ends(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    ids = {"member": [first.member_id], "change": [], "payee": [], "flag": [], "account": []}
    many = first.holds.filter(state="held").count()
    assert erasure.erase(ids, clocked.at.date(), dry_run=True)["triage/holds in force"] == many > 0
