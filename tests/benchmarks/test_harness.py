"""The harness of kills and faults: a sample of it, and what it reports of a command that is not safe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import harness
from tests.conftest import ROOT, Home

UNSAFE = """
import os, time
from pathlib import Path
from benchmarks.harness import Part, plan, run_part

def work(trial):  # writes in place; what is there is not written again
    for name in ("a", "b", "c"):
        path = trial.home / "runs" / name
        if not path.exists():
            with path.open("w") as file:
                file.write(name)
                os.fsync(file)
    return 0

source = Path("source")
(source / "home" / "runs").mkdir(parents=True)
(source / "keys").mkdir()
part = Part("unsafe", work, folders=("runs",))
todo = plan("unsafe", {kills}, {every}, 1)
for each in run_part(part, source, Path.cwd(), todo, time.monotonic() + 60):
    print(each["kind"], each["exit"], each["wrong"], each["differ"])
"""


def python(*words: str, cwd: Path, **environ: str) -> str:
    command = [sys.executable, *words]
    named = os.environ | {"PYTHONPATH": str(ROOT)} | environ
    result = subprocess.run(command, cwd=cwd, env=named, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_sample_of_kills_and_faults_ends_as_undisturbed_runs_do(published: Home, tmp_path: Path) -> None:
    words = ["--parts", "init,migrate", "--kills", "1", "--every", "30", "--out", str(tmp_path / "out.jsonl")]
    module = ["-m", "benchmarks.harness", str(published.path)]
    answer = json.loads(python(*module, *words, cwd=tmp_path, PAYEEWATCH_KEY_FILE=str(published.key_file)))
    assert answer["bad"] == []
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {(each["part"], each["kind"], each["exit"]) for each in results} >= {
        ("init", "kill", 137), ("migrate", "kill", 137), ("migrate", "fault", 15),
    }  # fmt: skip


def test_a_command_that_writes_in_place_and_knows_no_exit_code_is_reported(tmp_path: Path) -> None:
    lines = python("-c", UNSAFE.format(kills=9, every=1), cwd=tmp_path).splitlines()
    killed, faulted = lines[:9], lines[9:]
    assert len(faulted) == 6  # opens and flushes three files
    assert all("fault 70 ['exit 70']" in line for line in faulted)
    assert any("['runs/" in line for line in killed)  # an empty file, which the next run takes for a whole one


def test_the_table_counts_what_did_not_end_well(tmp_path: Path) -> None:
    good = {"part": "night", "kind": "fault", "at": [1], "of": 9, "exit": 15, "wrong": [], "differ": [], "left": []}
    bad = good | {"exit": 1, "wrong": ["exit 1", "again: exit 15"], "left": ["home/lake/.lock"]}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{harness.MARKS[0]}\nold\n{harness.MARKS[1]}\nafter\n")
    harness.write_table([good, bad, good | {"kind": "kill", "exit": 137, "differ": ["flags"]}], page)
    assert "| night | 9 | 1 | 2 | 1 of 2 | 1 of 3 | 1 |" in page.read_text()
    assert "old" not in page.read_text()
    assert page.read_text().startswith("before")
    assert page.read_text().endswith("after\n")
