"""A stage's digest changes with the code that it uses, and with no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from payeewatch.evaluation.code import PACKAGE, STAGES, digest_of, used

DVC = yaml.safe_load((PACKAGE / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, to edit."""
    tmp_path = tmp_path_factory.mktemp("code")
    for room in ("features", "pipeline", "evaluation", "simulator"):
        shutil.copytree(PACKAGE / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "templates"))
    return tmp_path


def digests(root: Path) -> dict[str, str]:
    return {stage: digest_of(stage, root) for stage in STAGES}


@pytest.mark.parametrize(
    ("edited", "text", "changed"),
    [
        ("pipeline/ingest/tokenise.py", "STEPS = 5\n", {"ingest", "evaluate", "weights"}),
        ("pipeline/training/fit.py", "FOLDS = 6\n", {"train", "evaluate", "weights"}),
        ("pipeline/training/fit.py", "# a remark\n", set()),
        ("pipeline/backup/restore.py", "NEW = 1\n", set()),
        ("simulator/insurer.py", "NEW = 1\n", {"evaluate", "weights"}),
        ("pipeline/detector/data/weights.json", " ", {"train", "evaluate"}),
    ],
)
def test_an_edit_changes_the_stages_that_use_it(root: Path, edited: str, text: str, changed: set[str]) -> None:
    before = digests(root)
    with (root / edited).open("a", encoding="utf-8") as file:
        file.write(text)
    after = digests(root)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == changed


def test_what_a_stage_reads_of_the_lake_is_among_its_code() -> None:
    files = {stage: {str(path.relative_to(PACKAGE)) for path in used(stage)} for stage in STAGES}
    assert "pipeline/store/lake.py" in files["ingest"] & files["link"] & files["measure"]
    assert "features/bank.py" in files["measure"] & files["train"]
    assert "pipeline/ingest/ingest.py" not in files["measure"] | files["train"]


def test_every_stage_of_dvc_depends_on_its_own_digest() -> None:
    assert set(DVC) - {"code"} == set(STAGES)
    for stage in STAGES:
        assert f"dvc-home/code/{stage}.txt" in DVC[stage]["deps"]
    written = {path for out in DVC["code"]["outs"] for path in out}
    assert written == {f"dvc-home/code/{stage}.txt" for stage in STAGES}
    assert set(DVC["code"]["deps"]) == {"evaluation", "features", "pipeline", "simulator"}
