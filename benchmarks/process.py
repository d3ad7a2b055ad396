"""Run a command as a whole process, and say how long it took, how much of it on a processor, and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """One process that came to its end."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: list[str], extra: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end; stop the benchmark with its words when it fails."""
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
    return Ran(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def payeewatch(home: Path, *words: str) -> Ran:
    """Run one of the product's commands on a home, with keys of the benchmark's own."""
    command = [str(Path(sys.executable).with_name("payeewatch")), *words]
    return run(command, {"PAYEEWATCH_HOME": str(home), "PAYEEWATCH_KEY_FILE": str(home.with_name("keys.json"))})
