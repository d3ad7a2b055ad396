"""What the reviewers' application shows of models: written by the pipeline, which alone reads their store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from payeewatch.pipeline.detector import gate, model_registry
from payeewatch.pipeline.detector.promotions import Record, history, open_proposal
from payeewatch.pipeline.detector.version_list import Version, versions
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.model_board import Board, board_path, read_board
from payeewatch.pipeline.home.settings import Settings

VERSION_FACTS = (
    "version", "name", "note", "aliases", "trained_as_of", "known_until", "parent", "changes", "features", "gone",
)  # fmt: skip
LAST_RECORDS = 50


def write(settings: Settings, answers: Mapping[str, str] | None = None) -> None:
    """Write the board as the store is now. `answers` are the decisions that wait, and why; None: as they were.

    Raises:
        StoreError: it cannot be written.
    """
    if answers is None:
        answers = (read_board(settings) or {}).get("answers", {})
    write_json(board_path(settings), _board(settings) | {"answers": dict(answers)})


def _board(settings: Settings) -> Board:
    records, all_versions = history(settings), versions(settings)
    champion = model_registry.champion_version(settings)
    proposals = [open_proposal(records, each.version) for each in all_versions]
    return {
        "at": settings.now(),
        "by_two": settings.params.promotion.by_two,
        "champion": champion,
        "versions": [_version(settings, champion, each) for each in all_versions],
        "proposals": [_record(each) for each in proposals if each],
        "history": [_record(each) for each in records[-LAST_RECORDS:]],
    }


def _version(settings: Settings, champion: str, version: Version) -> dict[str, Any]:
    """A version; of one that could become the champion also what the gate says, and the comparison it read."""
    facts = {name: getattr(version, name) for name in VERSION_FACTS}
    facts |= {"served": asdict(version.served), "is_champion": version.version == champion}
    if version.version == champion or version.parent:
        return facts
    figures = gate.newest_comparison(settings, champion, version.version) if champion else None
    findings = gate.refusals(figures, settings.params.promotion, version.version) if champion else []
    return facts | {
        "findings": [{"sentence": str(each)} | each.coded for each in findings],
        "comparison": _comparison(settings, champion, version.version, figures.run_id) if figures else None,
    }


def _comparison(settings: Settings, champion: str, version: str, run_id: str) -> dict[str, Any] | None:
    """The figures of the comparison that the gate read; None where its file is gone."""
    path = settings.folder("mlflow") / "artifacts" / run_id / "artifacts" / "comparison.json"
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if figures["a"]["version"] == champion:
        return figures
    turned = {"a": "b", "b": "a", "only_a": "only_b", "only_b": "only_a"}
    return {turned.get(name, name): value for name, value in figures.items()}


def _record(record: Record) -> dict[str, Any]:
    return asdict(record) | {"decided_by": record.decided_by}
