"""Tokens of accounts: in order, the same as the command's, and nothing of an account anywhere else."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import workspace
from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange import account_tokens
from payeewatch.triage.exchange.openapi import DOCUMENT
from payeewatch.triage.models import AuditRecord
from tests.canaries import assert_absent
from tests.conftest import Home
from tests.inbox import account

CANARY = account(777)


def posted(token: str, body: Any, path: str = "/api/v1/tokens") -> tuple[int, dict[str, Any]]:
    """Status and JSON of a call, checked against the document."""
    raw = body if isinstance(body, bytes | str) else json.dumps(body)
    client = Client(headers={"Authorization": f"Bearer {token}"}, enforce_csrf_checks=True)
    answer = client.post(path, raw, content_type="application/json")
    described = DOCUMENT["paths"][path.partition("?")[0]]["post"]["responses"][str(answer.status_code)]
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(answer.json())
    return answer.status_code, answer.json()


@pytest.fixture
def token(house: Settings) -> str:
    return api_tokens.make("payments", ["tokens"])


def test_tokens_come_in_order_and_are_those_of_the_command(token: str, house: Settings, tmp_path: Any) -> None:
    spaced = " ".join(account(2)[n : n + 4] for n in range(0, 34, 4)).lower()
    accounts = [account(1), spaced, "no account", account(1)[:-1] + str(9 - int(account(1)[-1])), "", account(3)]
    home = Home(tmp_path / "home", house.key_file)
    home.done("init")
    expected = home.run("token", stdin="\n".join(accounts) + "\n").stdout.split("\n")[:-1]
    status, answer = posted(token, accounts)
    assert (status, answer) == (200, {"tokens": [each or None for each in expected], "key_version": 1})
    assert [bool(each) for each in answer["tokens"]] == [True, True, False, False, False, True]
    assert posted(token, accounts, "/api/tokens") == (200, answer)


@pytest.mark.parametrize(
    "item", [None, 1, 1.5, True, [], {}, "\ud800", "a\0b", "9" * 100_000, "é" * 30, "FR" + "9" * 36, "'); DROP TABLE x"]
)
def test_what_is_no_account_is_null_and_stops_nothing(token: str, item: Any) -> None:
    _, answer = posted(token, [account(1), item, account(2)])
    assert [bool(each) for each in answer["tokens"]] == [True, False, True]


@pytest.mark.parametrize("body", ["", "{}", "null", '"x"', "[", "[" * 100_000, b"\xff", "[1,]", f'"{CANARY}"'])
def test_a_body_that_is_no_list_is_refused_without_a_quote(token: str, body: str | bytes) -> None:
    status, answer = posted(token, body)
    assert status == 400
    assert CANARY not in answer["message"]


def test_a_list_has_an_end(token: str) -> None:
    assert posted(token, [account(1)] * 1000)[0] == 200
    status, answer = posted(token, [account(1)] * 1001)
    assert (status, "at most 1000" in answer["message"]) == (400, True)
    assert posted(token, []) == (200, {"tokens": [], "key_version": 1})


def test_it_needs_its_own_scope_and_has_the_rate_of_every_token(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = api_tokens.make("reader", ["flags", "runs", "health"])
    assert posted(other, [])[0] == 403
    assert posted("pwt_none", [])[0] == 401
    assert Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/flags").status_code == 403
    assert Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/tokens").status_code == 405
    monkeypatch.setattr(api_tokens, "REQUESTS_PER_MINUTE", 1)
    posted(token, [])
    assert posted(token, [])[0] == 429


def test_an_account_is_never_kept_logged_or_answered_with(
    token: str, house: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture, monkeypatch: Any
) -> None:
    caplog.set_level(logging.DEBUG, logger="payeewatch")
    answers = [
        posted(token, [CANARY, f"{CANARY}0"]),
        posted(token, f'["{CANARY}"'),
        posted(token, {"account": CANARY}),
        posted(token, [CANARY], f"/api/v1/tokens?{CANARY}={CANARY}"),
    ]

    def broken(con: Any, accounts: Any) -> None:
        raise RuntimeError(f"cannot read {accounts}")

    monkeypatch.setattr(account_tokens, "tokens_of_accounts", broken)
    answers.append(posted(token, [CANARY]))
    assert [status for status, _ in answers] == [200, 400, 400, 400, 500]
    said = str(answers) + caplog.text + "".join(capfd.readouterr()) + str(list(AuditRecord.objects.values()))
    assert CANARY not in said
    assert CANARY[4:] not in said
    assert_absent(house.home, [CANARY])
    assert AuditRecord.objects.get(action="api_tokens").details == {"token": "payments", "count": 2, "wrong": 1}


def test_a_key_file_of_another_home_gives_no_tokens(token: str, house: Settings, tmp_path: Any) -> None:
    other = Keys.create(tmp_path / "other.json")
    house.folder("lake").mkdir(parents=True, exist_ok=True)
    other.check(house.folder("lake"))
    assert workspace.keys().token != other.token
    assert posted(token, [account(1)])[0] == 503
