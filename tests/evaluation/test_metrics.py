"""The figures of an evaluation that DVC compares: those of the model and of its queues, by tier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from payeewatch.evaluation.assess import MODEL, QUEUE
from payeewatch.evaluation.metrics import main, metrics

FIGURES = {"precision": 0.5, "recall": None, "prevented_euros": 1000.123456, "days_to_flag": 3, "flagged": 20}


def part(**more: Any) -> dict[str, Any]:
    ranking = {"average_precision": 0.25, "lift": 50.0}
    return {
        "rankings": [{"detector": "amount", "average_precision": 0.9, "lift": 1.0}, {"detector": MODEL, **ranking}],
        "figures": [{"detector": MODEL, **FIGURES, "precision": 0.9}, {"detector": QUEUE, **FIGURES}],
        "calibration": [{"changes": "all", "segment": "member", "level": 0.05, "share": 0.048}],
    } | more


def test_each_tier_has_the_figures_of_the_model_and_its_queues_and_no_unknown_one() -> None:
    hard = part(rankings=[], figures=[], calibration=[])
    assert metrics([{"tiers": {"standard": part()}}, {"tiers": {"hard": hard}}]) == {
        "standard": {
            "payeewatch.average_precision": 0.25,
            "payeewatch.lift": 50.0,
            "queue.precision": 0.5,
            "queue.prevented_euros": 1000.1235,
            "queue.days_to_flag": 3.0,
            "queue.flagged": 20.0,
            "all.member.share_p0.05": 0.048,
        },
        "hard": {},
    }


def test_the_files_of_all_tiers_become_one(tmp_path: Path) -> None:
    files = [tmp_path / f"{tier}.json" for tier in ("standard", "clean")]
    for file in files:
        file.write_text(json.dumps({"tiers": {file.stem: part()}}))
    result = CliRunner().invoke(main, ["--out", str(tmp_path / "out.json"), *map(str, files)])
    assert result.exit_code == 0, result.output
    assert list(json.loads((tmp_path / "out.json").read_text())) == ["standard", "clean"]
