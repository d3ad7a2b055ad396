"""The rooms keep apart: features <- pipeline -> files, the simulator on its own, and a command that starts at once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "pipeline", "simulator", "triage")
OURS = (*ROOMS, "evaluation", "tests", "benchmarks", "notebooks")
MODULES = {f"{room}.{path.stem}": path for room in ROOMS for path in sorted((ROOT / room).glob("*.py"))}
HEAVY = {
    "django",
    "duckdb",
    "great_expectations",
    "jinja2",
    "mlflow",
    "narwhals",
    "numpy",
    "pandas",
    "pyarrow",
    "pyod",
    "sklearn",
}

MAY_IMPORT = {
    "features": {"features"},
    "pipeline": {"features", "pipeline"},
    "simulator": {"simulator"},
    "triage": {"pipeline", "triage"},
}
ALSO = {("payeewatch.commands.nights", "simulator"), ("payeewatch.commands.nights", "evaluation"), ("payeewatch.commands.nights", "triage"),
        ("payeewatch.commands.people", "triage")}  # fmt: skip
"""What `payeewatch simulate`, `evaluate`, `backtest`, `triage`, `purge` and `person` need."""

TRIAGE_READS = {
    "charts",
    "command",
    "errors",
    "files",
    "holds",
    "published",
    "runs",
    "settings",
    "tokens",
    "vault",
    "withdraw",
    "wording",
}
"""What of the pipeline the reviewers' application may use: what was published, and never the lake."""

EXERCISED_BY = {
    "payeewatch.features.docs": "features/test_registry.py",
    "payeewatch.features.formulas": "features/test_measuring.py",
    "payeewatch.features.relations": "features/test_measuring.py",
    "payeewatch.features.sources": "features/test_measuring.py",
    "payeewatch.features.streams": "features/test_measuring.py",
    "payeewatch.features.versions": "features/test_measuring.py",
    "payeewatch.pipeline.ingest.casts": "pipeline/test_read.py",
    "payeewatch.pipeline.pages.checks": "pipeline/test_checks.py",
    "payeewatch.command": "pipeline/test_cli.py",
    "payeewatch.pipeline.home.errors": "test_docs.py",
    "payeewatch.pipeline.pages.inputs": "test_docs.py",
    "payeewatch.pipeline.ingest.tokenise": "pipeline/test_history.py",
    "payeewatch.pipeline.detector.lens": "pipeline/test_model.py",
    "payeewatch.pipeline.loading": "pipeline/test_night.py",
    "payeewatch.pipeline.breaches.people": "pipeline/test_lists.py",
    "payeewatch.pipeline.breaches.rejected_people": "pipeline/test_lists.py",
    "payeewatch.pipeline.detector.pyfunc_model": "pipeline/test_model_store.py",
    "payeewatch.pipeline.ingest.reference": "pipeline/test_ingest.py",
    "payeewatch.pipeline.ingest.seal": "pipeline/test_ingest.py",
    "payeewatch.pipeline.ingest.first_seen": "pipeline/test_ingest.py",
    "payeewatch.pipeline.privacy.data_subject": "pipeline/test_erase.py",
    "payeewatch.pipeline.privacy.subject_access": "pipeline/test_forgetting.py",
    "payeewatch.pipeline.ingest.staging": "pipeline/test_bad_input.py",
    "payeewatch.triage.access.docs": "triage/test_access.py",
    "payeewatch.pipeline.store.tombstones": "pipeline/test_erase.py",
    "payeewatch.triage.apps": "triage/test_actions.py",
    "payeewatch.triage.clock": "triage/test_desk.py",
    "payeewatch.triage.language.feature_labels": "triage/test_sayings.py",
    "payeewatch.triage.workspace": "triage/test_desk.py",
    "payeewatch.triage.middleware": "triage/test_access.py",
    "payeewatch.triage.models": "triage/test_desk.py",
    "payeewatch.triage.exchange.openapi": "triage/test_api.py",
    "payeewatch.triage.access.passwords": "triage/test_users.py",
    "payeewatch.triage.verdict_codes": "triage/test_verdicts.py",
    "payeewatch.triage.roles": "triage/test_desk.py",
    "payeewatch.triage.access.route": "triage/test_access.py",
    "payeewatch.triage.settings": "triage/test_access.py",
    "payeewatch.triage.evidence.related_flags": "triage/test_centre.py",
    "payeewatch.triage.urls": "triage/test_access.py",
    "payeewatch.triage.language.labels": "triage/test_sayings.py",
    "payeewatch.triage.wsgi": "triage/test_access.py",
}
"""Modules that need no test file of their own, and the one that would fail with them. The simulator is one machine."""

HASHED = {
    "payeewatch.pipeline.ingest.checks", "payeewatch.pipeline.ingest.drops", "payeewatch.pipeline.breaches.lists", "payeewatch.pipeline.detector.model", "payeewatch.pipeline.detector.calibration", "payeewatch.pipeline.training.fit",
    "payeewatch.pipeline.home.keys", "payeewatch.pipeline.changes.measure",
    "payeewatch.triage.work.attachments", "payeewatch.triage.records.audit", "payeewatch.triage.work.case_file", "payeewatch.triage.exchange.import_night", "payeewatch.triage.settings", "payeewatch.triage.work.verdicts",
}  # fmt: skip
"""Where Python hashes: files, rules, models, code; draws by the insurer's own numbers; and, with a key, the rest."""


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and str(node.value).endswith(".py"):
            found.add(f"{path.parent.name}.{str(node.value).removesuffix('.py')}")  # a library reads it as code
    return frozenset(found)


def reached(start: Path) -> set[str]:
    """The modules of ours that a test file imports, its fixtures too, and those that they import, and so on."""
    tests = (path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
    ours = MODULES | {".".join(path.with_suffix("").parts): ROOT / path for path in tests}
    found: set[str] = set()
    fixtures = start.with_name("conftest.py")
    waiting = [start, fixtures] if start.parent.name in ROOMS and fixtures.exists() else [start]
    while waiting:
        named = imports(waiting.pop())
        named |= {f"{name.split('.')[0]}.__init__" for name in named if name.split(".")[0] in ROOMS}
        waiting += [ours[name] for name in named if name in ours and name not in found]
        found |= named & ours.keys()
    return found


def sources(*rooms: str) -> Iterator[tuple[Path, str]]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in {".py", ".sql", ".j2", ".css"}:
                yield path, path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str) -> None:
    allowed = MAY_IMPORT[name.split(".")[0]] | {room for module, room in ALSO if module == name}
    assert {module.split(".")[0] for module in imports(MODULES[name])} & set(OURS) <= allowed


def test_reviewers_never_read_the_lake() -> None:
    used = {module for path, _ in sources("triage") if path.suffix == ".py" for module in imports(path)}
    modules = {name.split(".")[1] for name in used if name.startswith("pipeline.")}
    assert modules <= TRIAGE_READS


def test_the_truth_is_the_simulators_alone() -> None:
    told = [path.name for path, text in sources("features", "pipeline") if re.search(r"\btruth\b", text, re.IGNORECASE)]
    assert told == ["cli.py"]  # the options that say where it goes and where to compare with it
    tree = ast.parse(MODULES["payeewatch.commands.nights"].read_text(encoding="utf-8"))
    speaking = [ast.unparse(node) for node in tree.body if re.search(r"\btruth\b", ast.unparse(node), re.IGNORECASE)]
    assert [re.findall(r"^def (\w+)", text, re.MULTILINE) for text in speaking] == [["evaluate"], ["simulate"]]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__init__")])
def test_every_module_has_its_test(name: str) -> None:
    room, module = name.split(".")
    own = ROOT / "tests" / room / f"test_{module}.py"
    if room == "simulator" and not own.exists():
        own = ROOT / "tests" / "simulator" / "test_insurer.py"
    if name in EXERCISED_BY:
        assert not own.exists(), f"{name} has a test file now; take it off the list"
        own = ROOT / "tests" / EXERCISED_BY[name]
    assert own.exists()
    assert name in reached(own)


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert {name.split(".")[1] for name in MODULES} & {"utils", "helpers", "common", "base", "manager", "misc"} == set()


def test_nothing_is_left_undone() -> None:
    words = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|NotImplemented" + "Error")
    assert [path.name for path, text in sources(*ROOMS, "tests", "benchmarks") if words.search(text)] == []


def test_identities_are_hashed_with_a_key_only() -> None:
    plain = re.compile(r"\b(?:sha1|sha224|sha256|sha384|sha512|md5)\s*\(")
    sql = {path.name for path, text in sources("features", "pipeline") if path.suffix == ".sql" and plain.search(text)}
    assert sql == {"canonical.sql"}
    quoted = {
        name for name, path in MODULES.items() if plain.search(path.read_text()) and "hashlib" not in imports(path)
    }
    assert quoted == set()
    hashing = {
        name for name, path in MODULES.items() if "hashlib" in imports(path) and not name.startswith("simulator")
    }
    assert hashing == HASHED


def test_pages_load_nothing_from_anywhere() -> None:
    outside = re.compile(r"https?://|<script|@import|url\((?!\s*['\"]?(?:data:|#))")
    assert [path.name for path, text in sources("pipeline") if path.suffix != ".py" and outside.search(text)] == []


def test_nothing_calls_a_network() -> None:
    callers = {"requests", "httpx", "urllib", "urllib.request", "http.client", "socket", "aiohttp", "ftplib", "smtplib"}
    assert [name for name, path in MODULES.items() if imports(path) & callers] == [
        "payeewatch.triage.exchange.notices",  # off unless an address is set
        "payeewatch.triage.server.serve",  # listens
    ]


def test_the_command_starts_without_the_heavy_libraries() -> None:
    shown = "import sys, payeewatch.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", shown], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "click" in loaded
    assert set(loaded) & HEAVY == set()


def test_help_answers_at_once() -> None:
    def seconds(*words: str) -> float:
        took = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            took.append(time.perf_counter() - started)
        return median(took)

    # a busy machine slows the interpreter's own start as well
    assert seconds("-m", "payeewatch", "--help") < max(0.3, 8 * seconds("-c", "pass"))
