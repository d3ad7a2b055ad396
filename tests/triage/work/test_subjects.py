"""The pages of a member, a payee, an account, an agent and a device."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AuditRecord, Evidence, Flag, User
from payeewatch.triage.records import erasure
from payeewatch.triage.roles import Role
from payeewatch.triage.work.subjects import KINDS
from tests.triage.conftest import MORNING, do, flag_of, signed_in, user


@pytest.fixture
def flags(house: Settings) -> dict[str, Flag]:
    """Two flags by one agent, to one account and from one device; a third that has the account before."""
    made = {
        "one": flag_of("01", account="a" * 32, actor_id="AG016"),
        "two": flag_of("02", account="a" * 32, actor_id="AG016"),
        "three": flag_of("03", account="b" * 32, account_before="a" * 32),
        "other": flag_of("04", account="c" * 32),
    }
    tie = {"payee_id": "P02", "relation": "same_device", "flag_id": made["two"].pk}
    body = {
        "neighbours": [tie],
        "actor_changes": [{"at": "2024-09-25T20:15:00", "change_id": "X9", "payee_id": "P9", "flag_id": None}],
        "device_uses": [{"at": "2024-09-25T20:10:00", "kind": "login", "member_id": "00000777"}],
    }
    Evidence.objects.filter(flag=made["one"]).update(body=body)
    return made


def shown(person: User, flag: Flag, kind: str) -> set[str]:
    answer = signed_in(person).get(f"/flags/{flag.pk}/about/{kind}")
    assert answer.status_code == 200
    return {row.pk for row in answer.context["rows"]}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("member", ["one"]),
        ("payee", ["one"]),
        ("account", ["one", "two", "three"]),
        ("agent", ["one", "two"]),
        ("device", ["one", "two"]),
    ],
)
def test_a_subject_has_all_its_flags_and_each_look_is_recorded(
    flags: dict[str, Flag], kind: str, names: list[str]
) -> None:
    assert shown(user(Role.AUDITOR), flags["one"], kind) == {flags[name].pk for name in names}
    record = AuditRecord.objects.get(action="view_subject")
    assert (record.flag_id, record.details["kind"], record.details["flags"]) == (flags["one"].pk, kind, len(names))


def test_an_agent_and_a_device_tell_what_else_they_did(flags: dict[str, Flag]) -> None:
    client = signed_in(user(Role.REVIEWER))
    assert "25 Sep 2024, 22:15" in client.get(f"/flags/{flags['one'].pk}/about/agent").text  # in Paris
    assert "Signed in" in client.get(f"/flags/{flags['one'].pk}/about/device").text


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_scientist_sees_pseudonyms(flags: dict[str, Flag], kind: str) -> None:
    page = signed_in(user(Role.SCIENTIST)).get(f"/flags/{flags['one'].pk}/about/{kind}").text
    numbers = ("AG016", "P01", "P02", "X01", "H01", "00000777", "a" * 32, "…5977")
    assert [number for number in numbers if number in page] == []


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_sees_their_own_household(flags: dict[str, Flag], kind: str) -> None:
    relative = user(Role.REVIEWER, "relative", household_id="H02")
    assert signed_in(relative).get(f"/flags/{flags['two'].pk}/about/{kind}").status_code == 403
    assert flags["two"].pk not in shown(relative, flags["one"], kind)


def test_what_is_purged_is_gone_here_too(flags: dict[str, Flag]) -> None:
    ids = {"member": ["02"], "change": ["X02"], "payee": ["P02"], "flag": [flags["two"].pk], "account": []}
    erasure.erase(ids, MORNING.date(), dry_run=False)
    assert flags["two"].pk not in shown(user(Role.AUDITOR), flags["one"], "account")


def test_a_second_look_stays_blind(flags: dict[str, Flag]) -> None:
    do(user(Role.REVIEWER), flags["two"], "inconclusive", evidence_kind="none")
    Flag.objects.filter(pk=flags["two"].pk).update(needs_second_look=True)
    page = signed_in(user(Role.REVIEWER, "second")).get(f"/flags/{flags['one'].pk}/about/account").text
    assert "Inconclusive" not in page
    assert "Inconclusive" in signed_in(user(Role.AUDITOR)).get(f"/flags/{flags['one'].pk}/about/account").text


def test_open_changes_without_a_flag_are_shown(cast: dict[str, User], first: Flag) -> None:
    answer = signed_in(cast["reviewer"]).get(f"/flags/{first.pk}/about/payee")
    assert first.change_id not in [each.change_id for each in answer.context["scored"]]
    Flag.objects.filter(pk=first.pk).update(change_id="X-other")
    answer = signed_in(cast["reviewer"]).get(f"/flags/{first.pk}/about/payee")
    assert first.change_id in [each.change_id for each in answer.context["scored"]]


@pytest.mark.parametrize("kind", ["household", "agent"])
def test_a_subject_that_a_flag_does_not_have_is_no_page(flags: dict[str, Flag], kind: str) -> None:
    assert signed_in(user(Role.AUDITOR)).get(f"/flags/{flags['other'].pk}/about/{kind}").status_code == 404
