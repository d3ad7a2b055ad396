"""The API answers as its OpenAPI document says, whatever is asked: cases drawn from the document by schemathesis."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.openapi import DOCUMENT
from payeewatch.triage.wsgi import application

CASES = 25
"""Per operation, half of them asked as the document says and half not."""
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = application
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]

drawn = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_an_answer_is_as_the_document_says(
    reviewed: Settings, monkeypatch: pytest.MonkeyPatch, operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    monkeypatch.setattr(api_tokens, "REQUESTS_PER_MINUTE", 100_000)
    token = api_tokens.make("payments", api_tokens.SCOPES)

    @seed(26)
    @drawn
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    ask()
