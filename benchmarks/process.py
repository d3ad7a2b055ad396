"""Run a command as a whole process, and measure its elapsed time, processor time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessResult:
    """The measures and the output of one finished process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: list[str], extra: Mapping[str, str] | None = None) -> ProcessResult:
    """Run a command to its end; if it fails, stop the benchmark and show its output."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | dict(extra or {})
    )
    assert process.stdout is not None
    output = process.stdout.read()
    # wait4 gives this child's own use of memory; getrusage would give the largest of all children so far
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return ProcessResult(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def payeewatch(home: Path, *words: str) -> ProcessResult:
    """Run one of the product's commands on a home, with the benchmark's own keys."""
    command = [str(Path(sys.executable).with_name("payeewatch")), *words]
    return run(command, {"PAYEEWATCH_HOME": str(home), "PAYEEWATCH_KEY_FILE": str(home.with_name("keys.json"))})
