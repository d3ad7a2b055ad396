"""The process that freezes evidence for cases by hand: `payeewatch evidence`, started when a request waits.

The application itself never reads the lake. Where the application runs as another user than the nights, the setting
`triage.answer_requests` is off, and the operating system starts the command.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from payeewatch.pipeline.home.by_hand import request_files
from payeewatch.triage.models import CaseRequest
from payeewatch.triage.workspace import home

LOG = logging.getLogger("payeewatch")
COMMAND = (sys.executable, "-P", "-m", "payeewatch", "evidence")
PAUSE_SECONDS = 10
"""After a process that could not answer, such as while a night runs, the next one waits so long."""


@dataclass
class EvidenceProcess:
    """At most one process at a time."""

    command: Sequence[str] = COMMAND
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0

    def look_after(self) -> None:
        """Note how the last process ended, and start one if a request waits."""
        if self.process and self.process.poll() is not None:
            self._note_end(self.process.returncode)
            self.process = None
        if self.process or not home().params.triage.answer_requests or time.monotonic() < self.not_before:
            return
        if request_files(home()):
            environ = os.environ | {"PAYEEWATCH_HOME": str(home().home)}
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, env=environ)

    def _note_end(self, exit_code: int) -> None:
        """Put the exit code into the requests that still wait, for the page that waits."""
        waiting = CaseRequest.objects.filter(state=CaseRequest.State.WAITING)
        waiting.update(last_exit=exit_code or None)
        if exit_code:
            LOG.warning("%s", json.dumps({"stage": "evidence_process", "exit_code": exit_code}))
            self.not_before = time.monotonic() + PAUSE_SECONDS
