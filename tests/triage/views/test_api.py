"""The read API, as another system calls it: every answer is as the OpenAPI document says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.openapi import DOCUMENT
from payeewatch.triage.models import AuditRecord, Flag, Night


def called(token: str, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a call, checked against the document."""
    answer = Client(headers={"Authorization": f"Bearer {token}"}).get(path)
    body = answer.json()
    (described,) = [
        operations for address, operations in DOCUMENT["paths"].items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", address), path.partition("?")[0])
    ]  # fmt: skip
    schema = described["get"]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(body)
    return answer.status_code, body


@pytest.fixture
def token(reviewed: Settings) -> str:
    return api_tokens.make("payments", ["flags", "runs"])


def test_every_flag_comes_once_page_by_page(token: str) -> None:
    path, flag_ids = "/api/v1/flags?size=7", []
    while path:
        status, page = called(token, path)
        assert status == 200
        flag_ids += [flag["flag_id"] for flag in page["results"]]
        path = page["next"]
    assert flag_ids == sorted(Flag.objects.values_list("pk", flat=True))


def test_filters_compose_and_stay_on_the_next_page(token: str) -> None:
    night = Night.objects.latest("night").night
    path, flag_ids = f"/api/v1/flags?night={night}&queue=review&state=new&size=1", []
    while path:
        _, page = called(token, path)
        flag_ids += [flag["flag_id"] for flag in page["results"]]
        path = page["next"]
    assert flag_ids
    assert set(flag_ids) == set(
        Flag.objects.filter(night=night, state="new").exclude(queue="hold").values_list("pk", flat=True)
    )


def test_one_flag_and_the_nights(token: str) -> None:
    flag = Flag.objects.order_by("rank").first()
    assert called(token, f"/api/v1/flags/{flag.pk}")[1]["amount_at_risk"] == str(flag.amount_at_risk)
    for nothing in ("F-none", "F-%00", "F-0123456789abcdef"):
        assert called(token, f"/api/v1/flags/{nothing}")[0] == 404
    nights = called(token, "/api/v1/nights")[1]["results"]
    assert [each["night"] for each in nights] == [str(n.night) for n in Night.objects.order_by("night")]
    assert nights[0]["run"]["state"] == "published"


def test_no_account_but_its_token_and_its_hint(token: str) -> None:
    for flag in called(token, "/api/v1/flags?size=500")[1]["results"]:
        assert re.fullmatch(r"[0-9a-f]{32}", flag["account"])
        assert not re.search(r"[A-Z]{2}\d{2}[A-Z0-9]{10,}", str(flag))


@pytest.mark.parametrize(
    "query",
    [
        "night=yesterday",
        "night=09/25/2024",
        "queue=all",
        "queue=",
        "size=501",
        "size=0",
        "size=7&size=8",
        "after=F-0123456789abcdef%0a",
        "rank=1",
    ],
)
def test_a_filter_that_is_not_understood_is_told(token: str, query: str) -> None:
    status, body = called(token, f"/api/v1/flags?{query}")
    assert status == 400
    assert query.partition("=")[0] in body["message"]


def test_every_read_leaves_a_record_that_names_the_system(token: str) -> None:
    before = AuditRecord.objects.count()
    flag = Flag.objects.first()
    for path in ("/api/v1/flags?queue=hold", f"/api/v1/flags/{flag.pk}", "/api/v1/nights"):
        called(token, path)
    records = list(AuditRecord.objects.order_by("number").values("action", "flag_id", "details"))[before:]
    assert [each["action"] for each in records] == ["api_flags", "api_flag", "api_nights"]
    assert {each["details"]["token"] for each in records} == {"payments"}
    assert records[0]["details"]["filter"] == {"queue": "hold"}
    assert records[1]["flag_id"] == flag.pk


def test_nobody_writes_through_it(token: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {token}"})
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.generic(method, "/api/v1/flags").status_code == 405


def test_the_document_is_served_and_names_every_address(client: Client, reviewed: Settings) -> None:
    from payeewatch.triage.views.api import ROUTES

    assert client.get("/api/v1/openapi.json").json()["paths"].keys() == DOCUMENT["paths"].keys()
    served = {"/" + re.sub(r"<str:(\w+)>", r"{\1}", route.path) for route in ROUTES}
    assert served - {"/api/v1/openapi.json", "/api/", "/api/<path:rest>"} == DOCUMENT["paths"].keys()


@pytest.mark.parametrize("path", ["/api/v2/flags", "/api/v1/flag", "/api/", "/api/v1/flags/"])
def test_an_unknown_address_of_the_api_is_answered_in_json(client: Client, reviewed: Settings, path: str) -> None:
    for answer in (client.get(path), client.post(path)):
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
        assert "/api/v1/openapi.json" in answer.json()["message"]
