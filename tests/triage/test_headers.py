"""What every kind of answer says to the browser: pages, parts, files, downloads, the API, refusals and redirections."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.roles import Role
from payeewatch.triage.work import attachments
from tests.triage.conftest import flag_of, signed_in, user

ADDRESSES = {
    "/sign-in": (200, "text/html; charset=utf-8"),
    "/queue/lists": (200, "text/html; charset=utf-8"),
    "/flags/F-none": (404, "text/html; charset=utf-8"),
    "/users": (403, "text/html; charset=utf-8"),
    "/static/triage/triage.css": (200, 'text/css; charset="utf-8"'),
    "/static/triage/triage.js": (200, 'text/javascript; charset="utf-8"'),
    "/export/flags.csv": (200, "text/csv; charset=utf-8"),
    "/api/v1/flags": (401, "application/json"),
    "/api/v1/openapi.json": (200, "application/json"),
    "/api/nowhere": (404, "application/json"),
    "/health": (503, "application/json"),  # this house has no night
    "/metrics": (401, "text/plain"),
}
"""Address -> status and kind of its answer to a reviewer."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_is_taken_as_what_it_is_and_framed_nowhere(house: Settings, address: str) -> None:
    client = Client() if address == "/sign-in" else signed_in(user(Role.REVIEWER))
    answer = client.get(address)
    assert (answer.status_code, answer["Content-Type"]) == ADDRESSES[address]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert not any(name.startswith("Access-Control") for name in answer.headers)  # no other site reads an answer


def test_a_request_for_another_host_is_refused_and_is_no_fault(house: Settings) -> None:
    assert Client().get("/sign-in", headers={"host": "elsewhere.example"}).status_code == 400


def test_an_attachment_is_a_download_in_a_sandbox(house: Settings) -> None:
    person, flag = user(Role.REVIEWER), flag_of("00001234")
    stored = attachments.attach(person, flag.pk, SimpleUploadedFile("page.html", b"<b>plain enough</b>"))
    answer = signed_in(person).get(f"/flags/{flag.pk}/attachments/{stored.pk}")
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_over_https_a_page_is_asked_for_again_and_a_token_sent_in_clear_is_refused(
    house: Settings, settings: Any
) -> None:
    settings.IS_HTTPS = settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True
    client = Client(headers={"Authorization": f"Bearer {api_tokens.make('payments', api_tokens.SCOPES)}"})
    assert client.get("/sign-in")["Location"] == "https://testserver/sign-in"
    for address in ("/api/v1/flags", "/metrics"):
        assert client.get(address).status_code == 403
        answer = client.get(address, headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == 200
        assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
