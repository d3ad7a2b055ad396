"""The API answers as its OpenAPI document says, whatever is asked: cases drawn from the document by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.openapi import DOCUMENT
from payeewatch.triage.wsgi import application

CASES = 12
"""Of each operation, and as many again that the document does not allow."""
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = application
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations() if result.ok().path != "/api/tokens"]
"""All but the second address of one view."""

drawn = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def token(reviewed: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A token that opens everything, as often as asked, while a request does not close the test's connection."""
    monkeypatch.setattr(api_tokens, "REQUESTS_PER_MINUTE", 100_000)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield api_tokens.make("payments", api_tokens.SCOPES)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_an_answer_is_as_the_document_says(
    token: str, operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    @seed(26)
    @drawn
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    ask()
