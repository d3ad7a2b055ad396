"""Tokens of other systems: scopes, revocation, rate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import RequestFactory

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.access.api_tokens import NotAdmitted, admit, make, revoke
from payeewatch.triage.models import ApiToken, AuditRecord
from payeewatch.triage.records import damage
from payeewatch.triage.seals import EARLIER, name_of
from tests.triage.conftest import Clock
from tests.triage.test_seals import put_back, sql


def refused(token: str, scope: str = "flags") -> int:
    with pytest.raises(NotAdmitted) as refusal:
        admit(request(token), scope)
    return refusal.value.status


def request(token: str):
    return RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"} if token else {})


def test_a_token_opens_its_scopes_alone(reviewed: Settings) -> None:
    token = make("payments", ["flags"])
    assert admit(request(token), "flags").name == "payments"
    assert refused(token, "runs") == 403
    assert refused("") == refused("pwt_anything") == 401


def test_only_a_hash_is_kept_and_the_log_says_who_was_let_in(reviewed: Settings) -> None:
    token = make("payments", ["flags"])
    row = ApiToken.objects.get()
    assert token not in str(vars(row))
    assert AuditRecord.objects.get(action="make_token").details == {"token": "payments", "scopes": ["flags"]}


def test_a_revoked_or_replaced_token_opens_nothing(reviewed: Settings) -> None:
    old = make("payments", ["flags"])
    new = make("payments", ["flags"])
    assert refused(old) == 401
    assert admit(request(new), "flags")
    assert revoke("payments")
    assert refused(new) == 401
    assert not revoke("payments")


def test_a_token_that_was_changed_in_the_database_opens_nothing_and_is_named(reviewed: Settings) -> None:
    token, row = make("payments", ["flags"]), ApiToken.objects.get()
    sql('UPDATE triage_apitoken SET scopes = \'["flags", "tokens"]\'')
    assert refused(token, "tokens") == refused(token) == 401
    assert [each.name for each in damage.that_counts()] == [name_of(row)]
    put_back(row)
    assert admit(request(token), "flags")
    revoke("payments")
    put_back(row)
    assert refused(token) == 401
    assert [str(each) for each in damage.that_counts()] == [f"{name_of(row)} {EARLIER}"]


def test_too_many_requests_in_a_minute_are_put_off(
    reviewed: Settings, clocked: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tokens, "REQUESTS_PER_MINUTE", 3)
    token = make("payments", ["flags"])
    for _ in range(3):
        admit(request(token), "flags")
    assert refused(token) == 429
    clocked.at += timedelta(minutes=1)
    assert admit(request(token), "flags")
