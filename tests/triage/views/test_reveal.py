"""Full values from the vault: one per request, with a reason, after the record, never in a log."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import date

import duckdb
import pytest
from django.test import Client

from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AuditRecord, Flag, Note
from payeewatch.triage.roles import Role
from payeewatch.triage.views import reveal
from payeewatch.triage.workspace import keys
from tests.triage.conftest import Clock, flag_of, signed_in, user

CANARY = "Zephirinconnu"
NATIONAL_ID = "1920299990001"
ACCOUNT = "FR7699001029340429119685967"
HOLDER = "Zephirinconnu Tarvingal"


@pytest.fixture
def flag(house: Settings) -> Flag:
    """A flag whose member, account and holder are sealed in the vault."""
    member = json.dumps({"family_name": CANARY, "given_names": "Ana", "birth_name": None, "national_id": NATIONAL_ID})
    new_flag = flag_of("00001234")
    originals = {
        "member": ("00001234", member),
        "account": (new_flag.account, ACCOUNT),
        "holder": ("X00001234", HOLDER),
    }
    with duckdb.connect() as con:
        for kind, (ref, original) in originals.items():
            con.execute("CREATE OR REPLACE TABLE given AS SELECT $1 AS ref, $2 AS original", [ref, original])
            vault.seal(con, keys(), house.folder("vault"), "FROM given", kind, date(2024, 9, 26), 1)
    return new_flag


@pytest.fixture
def reviewer(house: Settings) -> Client:
    return signed_in(user(Role.REVIEWER))


def ask(client: Client, flag: Flag, value: str, why: str = "call_back", more: str = "", **words):
    return client.post(f"/flags/{flag.flag_id}/reveal", {"value": value, "why": why, "more": more}, **words)


def reveals() -> list[AuditRecord]:
    return list(AuditRecord.objects.filter(action__startswith="reveal").order_by("number"))


@pytest.mark.parametrize(
    ("value", "original"),
    [("family_name", CANARY), ("national_id", NATIONAL_ID), ("account", ACCOUNT), ("holder", HOLDER)],
)
def test_one_value_is_shown_and_no_other(flag: Flag, reviewer: Client, value: str, original: str) -> None:
    text = ask(reviewer, flag, value).text
    assert f">{original}<" in text
    assert [each for each in (NATIONAL_ID, ACCOUNT, "Ana", HOLDER) if each in text and each != original] == []
    assert original not in reviewer.get(f"/flags/{flag.flag_id}/reveal").text


def test_it_leaves_a_record_of_what_and_why_without_the_value(flag: Flag, reviewer: Client) -> None:
    ask(reviewer, flag, "national_id", "complaint", "the police asked")
    (record,) = reveals()
    assert (record.user, record.flag_id) == ("reviewer", flag.flag_id)
    note = Note.objects.get(flag=flag)
    assert record.details == {"value": "national_id", "why": "complaint", "note": note.pk}
    assert (note.text, note.by.username) == ("the police asked", "reviewer")
    page = signed_in(user(Role.AUDITOR)).get("/audit?action=reveal").text
    assert "the police asked" in page


def test_the_record_is_kept_before_the_vault_is_opened(
    flag: Flag, reviewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_counts: list[int] = []
    monkeypatch.setattr(vault, "reveal", lambda *words: record_counts.append(len(reveals())) or "")
    ask(reviewer, flag, "account")
    assert record_counts == [1]


@pytest.mark.parametrize("form_data", [{"why": ""}, {"why": "curiosity"}, {"value": ""}, {"value": "diagnosis"}])
def test_without_a_reason_or_for_anything_else_nothing_is_shown(
    flag: Flag, reviewer: Client, form_data: dict[str, str]
) -> None:
    answer = ask(reviewer, flag, **{"value": "account", **form_data})
    assert answer.status_code == 400
    assert ACCOUNT not in answer.text
    assert reveals() == []


@pytest.mark.parametrize(
    "more",
    [
        f"called about {ACCOUNT}",
        "1 92 02 99 990 001",
        "1.85.05.2A.123.456",
        "FR76 9900 1029 3404 2911",
        "2a: 192022a123456",
    ],
)
def test_a_reason_that_looks_like_an_identity_is_refused(flag: Flag, reviewer: Client, more: str) -> None:
    answer = ask(reviewer, flag, "account", more=more)
    assert answer.status_code == 400
    assert "Say it without the number" in answer.text
    assert reveals() == []


def test_a_reason_may_hold_a_date(flag: Flag, reviewer: Client) -> None:
    assert ask(reviewer, flag, "account", more="asked on 12/11/2024, again on 13").status_code == 200


def test_it_is_not_kept_in_any_cache_and_goes_when_one_leaves(flag: Flag, reviewer: Client) -> None:
    answer = ask(reviewer, flag, "account", headers={"HX-Request": "true"})
    assert "no-store" in answer["Cache-Control"]
    assert "data-fades" in answer.text
    assert 'hx-history="false"' in answer.text


@pytest.mark.parametrize("role", [Role.SCIENTIST, Role.AUDITOR, Role.ADMINISTRATOR])
def test_nobody_but_reviewers_reveals(flag: Flag, role: Role) -> None:
    assert ask(signed_in(user(role)), flag, "account").status_code == 403
    assert reveals() == []


def test_nobody_reveals_about_their_own_household(flag: Flag) -> None:
    client = signed_in(user(Role.SENIOR, "relative", household_id=flag.household_id))
    assert ask(client, flag, "account").status_code == 403
    assert reveals() == []


def test_an_auditor_sees_that_it_was_seen(flag: Flag, reviewer: Client) -> None:
    ask(reviewer, flag, "family_name", "bank_check")
    page = signed_in(user(Role.AUDITOR)).get("/audit?action=reveal").text
    assert flag.flag_id in page
    assert "bank_check" in page
    assert CANARY not in page


def test_a_day_has_a_limit_and_the_log_hears_of_it(
    flag: Flag, reviewer: Client, settings, clocked: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    home = settings.PAYEEWATCH
    triage = home.params.triage.model_copy(update={"reveals_a_day": 2})
    settings.PAYEEWATCH = replace(home, params=home.params.model_copy(update={"triage": triage}))
    answers = [ask(reviewer, flag, "account") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert ACCOUNT not in answers[2].text
    assert [each.action for each in reveals()] == ["reveal", "reveal", "reveal_refused"]
    assert "more than 2 full values" in caplog.text
    clocked.at = clocked.at.replace(day=27)
    assert ask(signed_in(user(Role.SENIOR)), flag, "account").status_code == 200


def test_what_the_vault_does_not_have_is_said(flag: Flag, reviewer: Client) -> None:
    assert "no value here" in ask(reviewer, flag, "birth_name").text


def test_a_payee_who_is_no_member_has_no_names_to_reveal(flag: Flag) -> None:
    flag.member_id, flag.derived = None, True
    assert list(reveal.revealable(flag)) == [reveal.Value.ACCOUNT]


def test_the_page_of_a_flag_leads_there_for_reviewers_alone(flag: Flag, reviewer: Client) -> None:
    page = f"/flags/{flag.flag_id}"
    assert f"{page}/reveal" in reviewer.get(page).text
    for role in (Role.AUDITOR, Role.SCIENTIST):
        assert f"{page}/reveal" not in signed_in(user(role)).get(page).text


def failing(*words: object) -> str:
    raise ValueError(f"{CANARY} broke it")


@pytest.mark.parametrize("where", ["vault", "page"])
def test_no_failure_tells_the_value(
    flag: Flag, reviewer: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    if where == "vault":
        monkeypatch.setattr(vault, "reveal", failing)
    else:
        real = reveal.render
        monkeypatch.setattr(
            reveal, "render", lambda *words, **more: failing() if words[2].get("shown") else real(*words, **more)
        )
    caplog.set_level(logging.DEBUG)
    answer = ask(reviewer, flag, "family_name")
    assert answer.status_code == 500
    assert "The vault could not be opened" in answer.text
    assert CANARY not in answer.text
    assert CANARY not in caplog.text
    assert "failed: ValueError" in caplog.text


def test_a_reveal_that_goes_well_is_in_no_log(
    flag: Flag, reviewer: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(reviewer, flag, "family_name")
    assert CANARY not in caplog.text + "".join(capfd.readouterr())
