"""The process that the server starts to freeze evidence: one at a time, and again after a night."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Request
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import CaseRequest
from payeewatch.triage.roles import Role
from payeewatch.triage.server import evidence_process
from payeewatch.triage.server.evidence_process import EvidenceProcess
from payeewatch.triage.workspace import keys
from tests.triage.conftest import MORNING, user


@pytest.fixture
def waiting(house: Settings) -> CaseRequest:
    by_hand.write_request(house, keys(), Request("X1", "0123456789ab", datetime(2024, 9, 26, tzinfo=UTC)))
    return CaseRequest.objects.create(change_id="X1", payee_id="P1", by=user(Role.REVIEWER), at=MORNING, reason="Why.")


def ending_with(exit_code: int, notes: Path) -> EvidenceProcess:
    """A process that notes that it was started, in which home, and ends with a code."""
    code = f"import os; open({str(notes)!r}, 'a').write(os.environ['PAYEEWATCH_HOME'] + '\\n'); os._exit({exit_code})"
    return EvidenceProcess((sys.executable, "-c", code))


def after_its_end(process: EvidenceProcess) -> None:
    assert process.process
    process.process.wait()
    process.look_after()


def test_without_a_request_no_process_is_started(house: Settings, tmp_path: Path) -> None:
    process = ending_with(0, tmp_path / "notes")
    process.look_after()
    assert process.process is None


def test_a_request_starts_one_process_in_the_home(house: Settings, waiting: CaseRequest, tmp_path: Path) -> None:
    process = ending_with(0, tmp_path / "notes")
    process.look_after()
    first = process.process
    process.look_after()
    assert first
    assert process.process in (first, None) or first.poll() is not None
    first.wait()
    assert (tmp_path / "notes").read_text().splitlines()[0] == str(house.home)


@pytest.mark.parametrize("exit_code", [14, 13])
def test_what_stopped_it_is_noted_and_it_is_tried_again_later(
    waiting: CaseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    at = [100.0]
    monkeypatch.setattr(evidence_process.time, "monotonic", lambda: at[0])
    process = ending_with(exit_code, tmp_path / "notes")
    process.look_after()
    after_its_end(process)
    waiting.refresh_from_db()
    assert (waiting.last_exit, process.process) == (exit_code, None)
    at[0] += evidence_process.PAUSE_SECONDS + 1
    process.look_after()
    assert process.process


def test_with_the_setting_off_the_server_starts_nothing(
    house: Settings, waiting: CaseRequest, tmp_path: Path, settings: Any
) -> None:
    triage = house.params.triage.model_copy(update={"answer_requests": False})
    settings.PAYEEWATCH = replace(house, params=house.params.model_copy(update={"triage": triage}))
    process = ending_with(0, tmp_path / "notes")
    process.look_after()
    assert process.process is None


def test_the_command_is_the_products_own() -> None:
    starts: Callable[[], EvidenceProcess] = EvidenceProcess
    assert starts().command[1:] == ("-P", "-m", "payeewatch", "evidence")
