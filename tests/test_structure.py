"""The rooms keep apart: features <- pipeline -> files, the simulator on its own, and a command that starts at once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import accumulate
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "pipeline", "simulator", "triage", "evaluation", "dossier")
"""The folders that `payeewatch/` links to; its own files are the command."""


def _name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name if name.startswith("payeewatch") else f"payeewatch.{name}"


FILES = {
    _name(path): path
    for room in (*ROOMS, "payeewatch")
    for path in sorted((ROOT / room).rglob("*.py"))
    if "migrations" not in path.parts
}
MODULES = {name: path for name, path in FILES.items() if path.name != "__init__.py"}
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
    "pydantic",
    "pyod",
    "sklearn",
}

LAYERS = """
    features
    pipeline.tables pipeline.sql pipeline.frames pipeline.parallel pipeline.intervals
    pipeline.home
    pipeline.store pipeline.expectations
    pipeline.session
    pipeline.migration
    pipeline.known_by pipeline.feeds
    pipeline.ingest
    pipeline.breaches
    pipeline.report
    pipeline.detector
    pipeline.changes
    pipeline.loading
    pipeline.training
    pipeline.night
    pipeline.privacy pipeline.pages
    pipeline.opening
    pipeline.backup
    pipeline.oncall
    triage.roles triage.identifying triage.verdict_codes triage.workspace triage.formats
    triage.clock triage.language triage.chain
    triage.listing
    triage.seals
    triage.stored_forms
    triage.frozen
    triage.models
    triage.figures
    triage.records
    triage.access
    triage.evidence triage.exchange
    triage.work
    triage.server triage.middleware triage.settings triage.wsgi triage.apps
    triage.views
    triage.urls
    triage.access_docs
    dossier
    simulator.text simulator.parameters simulator.figures
    simulator.chance simulator.tiers
    simulator.population
    simulator.life
    simulator.fraud
    simulator.output
    simulator.world
    simulator.insurer
    simulator
    simulator.loop simulator.page
    evaluation
    payeewatch
"""
"""Every file or folder of the house, from the ground up. What stands on a line imports lower lines only, and nothing
beside it; inside a folder there is no circle either."""

MOST_MODULES = 25
ONE_ROOM = ("payeewatch.pipeline.home", "payeewatch.pipeline.intervals")
"""What of the pipeline the reviewers' application may use: what was published, arithmetic, and never the lake."""

EXERCISED_BY = {
    "payeewatch.pipeline.home.model_board": "pipeline/detector/test_decisions.py",
    "payeewatch.pipeline.detector.board": "pipeline/detector/test_decisions.py",
    "payeewatch.pipeline.training.retrain": "payeewatch/commands/test_watch.py",
    "payeewatch.pipeline.home.scrub": "pipeline/privacy/test_redact.py",
    "payeewatch.pipeline.home.hold_files": "pipeline/night/test_hold_proposals.py",
    "payeewatch.pipeline.home.published": "pipeline/night/test_outputs.py",
    "payeewatch.pipeline.home.tabular": "pipeline/night/test_outputs.py",
    "payeewatch.pipeline.opening": "pipeline/test_session.py",
    "payeewatch.pipeline.backup.database": "pipeline/backup/test_backup.py",
    "payeewatch.pipeline.backup.manifest": "pipeline/backup/test_restore.py",
    "payeewatch.pipeline.migration.rewrite": "pipeline/migration/test_migrate.py",
    "payeewatch.pipeline.known_by": "pipeline/breaches/test_lists.py",
    "payeewatch.pipeline.sql": "pipeline/store/test_lake.py",
    "payeewatch.pipeline.frames": "pipeline/changes/test_context.py",
    "payeewatch.pipeline.breaches.coverage": "pipeline/breaches/test_match.py",
    "payeewatch.pipeline.breaches.spellings": "pipeline/breaches/test_match.py",
    "payeewatch.pipeline.ingest.spellings": "pipeline/ingest/test_ingest.py",
    "payeewatch.features.engines.duckdb": "features/test_measuring.py",
    "payeewatch.features.engines.pandas": "features/test_measuring.py",
    "payeewatch.features.engines.spark_functions": "features/engines/test_spark.py",
    "payeewatch.features.docs": "features/test_registry.py",
    "payeewatch.features.formulas": "features/test_measuring.py",
    "payeewatch.features.relations": "features/test_measuring.py",
    "payeewatch.features.sources": "features/test_measuring.py",
    "payeewatch.features.streams": "features/test_measuring.py",
    "payeewatch.features.versions": "features/test_measuring.py",
    "payeewatch.pipeline.feeds.measures": "pipeline/feeds/test_watch.py",
    "payeewatch.pipeline.ingest.feeds": "pipeline/feeds/test_watch.py",
    "payeewatch.pipeline.ingest.formats.batches": "pipeline/ingest/test_bad_input.py",
    "payeewatch.triage.chain": "triage/records/test_audit.py",
    "payeewatch.triage.records.damage": "triage/test_seals.py",
    "payeewatch.triage.stored_forms": "triage/test_seals.py",
    "payeewatch.triage.records.second_factors": "triage/views/test_second_factor.py",
    "payeewatch.pipeline.pages.checks": "pipeline/ingest/test_checks.py",
    "payeewatch.pipeline.home.errors": "test_docs.py",
    "payeewatch.pipeline.pages.inputs": "test_docs.py",
    "payeewatch.pipeline.ingest.tokenise": "pipeline/ingest/test_assumed_known.py",
    "payeewatch.pipeline.detector.lens": "pipeline/detector/test_model.py",
    "payeewatch.pipeline.breaches.people": "pipeline/breaches/test_lists.py",
    "payeewatch.pipeline.breaches.rejected_people": "pipeline/breaches/test_lists.py",
    "payeewatch.pipeline.detector.pyfunc_model": "pipeline/detector/test_model_registry.py",
    "payeewatch.pipeline.ingest.reference": "pipeline/ingest/test_ingest.py",
    "payeewatch.pipeline.ingest.seal": "pipeline/ingest/test_ingest.py",
    "payeewatch.pipeline.ingest.unread": "pipeline/ingest/test_ingest.py",
    "payeewatch.pipeline.ingest.typed_rows": "pipeline/ingest/test_staging.py",
    "payeewatch.pipeline.ingest.formats.reader": "pipeline/ingest/formats/test_readers.py",
    "payeewatch.pipeline.ingest.first_seen": "pipeline/ingest/test_ingest.py",
    "payeewatch.pipeline.privacy.data_subject": "pipeline/privacy/test_erase.py",
    "payeewatch.pipeline.privacy.subject_access": "payeewatch/commands/test_people.py",
    "payeewatch.triage.access_docs": "triage/test_access.py",
    "payeewatch.pipeline.store.tombstones": "pipeline/privacy/test_erase.py",
    "payeewatch.triage.apps": "triage/work/test_actions.py",
    "payeewatch.triage.clock": "triage/work/test_workflow.py",
    "payeewatch.triage.workspace": "triage/work/test_workflow.py",
    "payeewatch.triage.middleware": "triage/test_access.py",
    "payeewatch.triage.models": "triage/work/test_workflow.py",
    "payeewatch.triage.exchange.openapi": "triage/views/test_api.py",
    "payeewatch.triage.access.passwords": "triage/views/test_users.py",
    "payeewatch.triage.verdict_codes": "triage/work/test_verdicts.py",
    "payeewatch.triage.roles": "triage/work/test_workflow.py",
    "payeewatch.triage.access.request": "triage/test_access.py",
    "payeewatch.triage.access.route": "triage/test_access.py",
    "payeewatch.triage.settings": "triage/test_access.py",
    "payeewatch.triage.evidence.related_flags": "triage/evidence/test_evidence_panel.py",
    "payeewatch.triage.urls": "triage/test_access.py",
    "payeewatch.triage.language.labels": "triage/language/test_phrases.py",
    "payeewatch.catalogue": "triage/test_locale.py",
    "payeewatch.triage.wsgi": "triage/test_access.py",
}
"""Modules that need no test file of their own, and the one that would fail with them."""

TESTED_TOGETHER = {
    "payeewatch.simulator.": "simulator/test_insurer.py",  # one machine
    "payeewatch.evaluation.": "evaluation/test_evaluate.py",  # likewise
    "payeewatch.triage.views.": "triage/test_access.py",  # it walks every address
    "payeewatch.triage.formats.": "triage/test_locale.py",
    "payeewatch.commands.": "payeewatch/test_command.py",
    "payeewatch.dossier.": "dossier/test_build.py",
    "payeewatch.__main__": "payeewatch/test_command.py",
}
"""Folders whose modules may share the one test file that would fail with any of them."""

BY_ADDRESS = ("payeewatch.triage.views.", "payeewatch.triage.formats.")
"""What tests reach by an address or a language, without importing it."""

HASHED = {
    "payeewatch.features.definition",
    "payeewatch.pipeline.breaches.lists",
    "payeewatch.pipeline.changes.engines",
    "payeewatch.pipeline.frames",
    "payeewatch.pipeline.detector.model",
    "payeewatch.pipeline.home.contents",
    "payeewatch.pipeline.home.keys",
    "payeewatch.pipeline.ingest.drops",
    "payeewatch.pipeline.ingest.profile_changes",
    "payeewatch.pipeline.training.fit",
    "payeewatch.pipeline.training.training",
    "payeewatch.triage.exchange.import_night",
    "payeewatch.triage.frozen",
    "payeewatch.triage.seals",
    "payeewatch.triage.records.audit",
    "payeewatch.triage.settings",
    "payeewatch.triage.work.attachments",
    "payeewatch.triage.work.case_file",
    "payeewatch.triage.work.verdicts",
}
"""Where Python hashes: files, rules, models, code; draws by the insurer's own numbers; and, with a key, the rest."""


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module a file imports, wherever in it."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and str(node.value).endswith(".py"):
            beside = path.parent / str(node.value)  # a library reads it as code
            imported |= {_name(beside)} if beside.exists() and path in FILES.values() else set()
    return frozenset(imported)


@cache
def with_tests() -> dict[str, Path]:
    """Every module of ours, tests too."""
    tests = (path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
    return FILES | {".".join(path.with_suffix("").parts): ROOT / path for path in tests}


@cache
def with_packages(path: Path) -> frozenset[str]:
    """What a file imports, and the packages that it is in."""
    return frozenset(
        parent
        for name in imports(path)
        for parent in accumulate(name.split("."), lambda above, leaf: f"{above}.{leaf}")
    )


@cache
def reached(start: Path) -> set[str]:
    """The modules of ours that a test file imports, its fixtures too, and those that they import, and so on."""
    ours = with_tests()
    reached: set[str] = set()
    waiting = [start, *(folder / "conftest.py" for folder in start.parents if (folder / "conftest.py").exists())]
    while waiting:
        named = with_packages(waiting.pop())
        waiting += [ours[name] for name in named if name in ours and name not in reached]
        reached |= named & ours.keys()
    return reached


def sources(*rooms: str) -> Iterator[tuple[Path, str]]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in {".py", ".sql", ".j2", ".css"}:
                yield path, path.read_text(encoding="utf-8")


def place(name: str) -> str:
    """The file or folder of LAYERS in which a module stands."""
    parts = name.removeprefix("payeewatch.").split(".")
    floors = [".".join(parts[:most]) for most in (2, 1) if ".".join(parts[:most]) in FLOORS]
    return floors[0] if floors else "payeewatch"


FLOORS = {each: floor for floor, line in enumerate(LAYERS.strip().splitlines()) for each in line.split()}


@cache
def arrows(name: str) -> frozenset[str]:
    """The modules of ours that one imports; a package counts where the name imported is its own."""
    path = FILES[name]
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names if alias.name in FILES}
        elif isinstance(node, ast.ImportFrom) and node.module in FILES:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {each if each in FILES else node.module for each in named}
    return frozenset(imported - {name})


def test_every_file_has_its_place() -> None:
    assert {place(name) for name in FILES} >= FLOORS.keys()
    nowhere = {name for name in FILES if place(name) == "payeewatch" and FILES[name].parts[len(ROOT.parts)] in ROOMS}
    assert nowhere - {"payeewatch.pipeline", "payeewatch.triage"} == set()  # their own __init__ says what they are


@pytest.mark.parametrize("name", FILES)
def test_imports_go_one_way(name: str) -> None:
    here = place(name)
    upward = [each for each in arrows(name) if place(each) != here and FLOORS[place(each)] >= FLOORS[here]]
    assert upward == []


def test_no_circle_of_files() -> None:
    TopologicalSorter({name: arrows(name) for name in FILES}).prepare()  # raises CycleError, which names them


def test_the_installed_package_has_one_name() -> None:
    bare = {name for path in FILES.values() for name in imports(path) if name.split(".")[0] in ROOMS}
    assert bare == set()
    assert {path.name for path in (ROOT / "payeewatch").iterdir() if path.is_symlink()} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_folder_is_too_wide(room: str) -> None:
    modules = Counter(path.parent for path in (ROOT / room).rglob("*.py"))
    assert max(modules.values()) <= MOST_MODULES


def test_reviewers_never_read_the_lake() -> None:
    used = {each for name in FILES if place(name).startswith("triage") for each in arrows(name)}
    others = {each for each in used if not each.startswith("payeewatch.triage")}
    assert {each for each in others if not each.startswith(ONE_ROOM)} == set()


def test_the_simulator_knows_nobody_and_nobody_in_a_night_knows_it() -> None:
    for name in FILES:
        if place(name).split(".")[0] in {"features", "pipeline", "triage"}:
            assert not any(place(each).startswith(("simulator", "evaluation")) for each in arrows(name)), name
        if place(name).startswith("simulator"):
            assert all(place(each).startswith("simulator") for each in arrows(name)), name


def test_the_truth_is_the_simulators_alone() -> None:
    naming = [
        path.name for path, text in sources("features", "pipeline", "triage") if re.search(r"\btruth\b", text, re.I)
    ]
    assert naming == []
    tree = ast.parse((ROOT / "payeewatch" / "commands" / "evaluate.py").read_text(encoding="utf-8"))
    speaking = [ast.unparse(node) for node in tree.body if re.search(r"\btruth\b", ast.unparse(node), re.IGNORECASE)]
    assert [re.findall(r"^def (\w+)", text, re.MULTILINE) for text in speaking] == [["evaluate"], ["simulate"]]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_test(name: str) -> None:
    *folders, module = name.removeprefix("payeewatch.").split(".")
    own = ROOT.joinpath("tests", *(folders or ["payeewatch"]), f"test_{module}.py")
    folders = [path for prefix, path in TESTED_TOGETHER.items() if name.startswith(prefix)]
    if folders and not own.exists():
        own = ROOT / "tests" / folders[0]
    if name in EXERCISED_BY:
        assert not own.exists(), f"{name} has a test file now; take it off the list"
        own = ROOT / "tests" / EXERCISED_BY[name]
    assert own.exists()
    assert name in reached(own) or name.startswith(BY_ADDRESS)


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "helpers", "common", "base", "manager", "misc", "shared"}
    assert {name.rsplit(".", 1)[-1] for name in FILES} & empty == set()


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
        name
        for name, path in MODULES.items()
        if "hashlib" in imports(path) and not name.startswith(("payeewatch.simulator", "payeewatch.evaluation"))
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
        "payeewatch.triage.server.worker",  # answers, and cuts slow clients off
        "payeewatch.triage.views.oidc",  # speaks to the provider that is set
    ]


def test_the_command_starts_without_the_heavy_libraries() -> None:
    code = "import sys, payeewatch.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
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
