"""The clocks in the reviewers' database, and a person who is to be forgotten in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from pipeline.settings import Settings
from triage import audit, retention
from triage.models import Attachment, AuditRecord, Decision, Evidence, Flag, Note, Step, Tally, Tombstone, User

pytestmark = pytest.mark.django_db


def close(flag: Flag, verdict: str, clocked: Any, days_ago: int = 1) -> None:
    Flag.objects.filter(pk=flag.pk).update(
        state=Flag.State.CLOSED, verdict=verdict, closed_at=clocked.at - timedelta(days=days_ago)
    )


def purge(clocked: Any, days: int = 0, *, really: bool = True) -> dict[str, dict[str, int]]:
    return retention.purge(clocked.at.date() + timedelta(days=days), (), really=really)


def test_what_is_not_pertinent_goes_the_day_after_it_closed(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    close(first, "benign", clocked, days_ago=0)
    assert purge(clocked).get("not_pertinent") == {}
    assert purge(clocked, days=1, really=False)["not_pertinent"]["triage/flags"] == 1
    assert Flag.objects.filter(pk=first.pk).exists()
    assert purge(clocked, days=1)["not_pertinent"]["triage/flags"] == 1
    assert not Flag.objects.filter(pk=first.pk).exists()
    assert Tombstone.objects.get(kind="flag").clock == "not_pertinent"
    assert [found for found in audit.verify().findings if found.what.startswith("was changed")] == []


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
    by, at = cast["reviewer"], clocked.at
    Note.objects.create(flag=first, by=by, at=at, text="told")
    Attachment.objects.create(
        flag=first, by=by, at=at, name="a", stored_as="kept", content_type="text/plain", size=1, digest=""
    )
    assert purge(clocked)["not_pertinent"] == {"triage/flags": 1, "triage/notes": 1, "triage/attachments": 1}
    assert not (folder / "kept").exists()
    assert not Evidence.objects.filter(flag_id=first.pk).exists()


def test_the_tally_counts_on_and_names_no_flag(first: Flag, clocked: Any) -> None:
    for flag in Flag.objects.all():
        close(flag, "benign", clocked)
    many = Flag.objects.count()
    purge(clocked)
    assert sum(Tally.objects.filter(of="queue").values_list("flags", flat=True)) == many
    assert set(Tally.objects.values_list("verdict", flat=True)) == {"benign"}
    assert all(row.month.day == 1 for row in Tally.objects.all())


def test_a_purged_list_leaves_frozen_evidence_and_the_chip(reviewed: Settings, clocked: Any) -> None:
    flag = Flag.objects.exclude(exposed_on=[]).first()
    assert flag
    gone = flag.exposed_on[0]
    assert retention.purge(clocked.at.date(), {gone}, really=True)["lists"]["triage/evidence"]
    assert not any(gone in each.exposed_on for each in Flag.objects.all())
    assert not any(gone in str(each.body) for each in Evidence.objects.all())


def test_a_person_is_forgotten_and_the_log_stays_whole(first: Flag, cast: dict[str, User], clocked: Any) -> None:
    other = Flag.objects.exclude(payee_id=first.payee_id).exclude(member_id=first.member_id).first()
    assert other
    Note.objects.create(
        flag=other, by=cast["second"], at=clocked.at, text=f"like {first.member_id}, and {first.payee_id}."
    )
    body = Evidence.objects.filter(flag=other).first()
    assert body
    body.body["neighbours"] = [{"payee_id": first.payee_id, "relation": "same_account", "flag_id": first.pk}]
    body.save()
    ids = {"member": [first.member_id], "change": [first.change_id], "payee": [first.payee_id], "flag": [first.pk]}
    dry = retention.erase(ids, clocked.at.date(), really=False)
    assert retention.erase(ids, clocked.at.date(), really=True) == dry
    assert not Flag.objects.filter(member_id=first.member_id).exists()
    assert Note.objects.get().text == "like [erased], and [erased]."
    assert Evidence.objects.get(pk=body.pk).body["neighbours"] == []
    assert str(first.member_id) not in str(list(AuditRecord.objects.values_list("details", flat=True)))
    assert set(Tombstone.objects.values_list("kind", flat=True)) == {"flag", "member", "payee", "change"}
    assert [found for found in audit.verify().findings if found.what.startswith("was changed")] == []
