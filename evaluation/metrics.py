"""The main figures of evaluations for DVC: `python -m payeewatch.evaluation.metrics --out FILE FILES`.

They are read from what `payeewatch evaluate` wrote, so that no insurer is evaluated again for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from payeewatch.pipeline.home.files import write_json

MODEL, QUEUE = "payeewatch", "payeewatch, as queued"
"""As `assess.py` calls them; a test compares. Imported from there, every edit of the detector would run this again."""
OF_RANKING = ("average_precision", "lift")
OF_QUEUE = ("precision", "recall", "prevented_euros", "days_to_flag", "flagged")
PLACES = 4
"""Digits after the point, so that the figures do not differ by the last bit of a machine."""


def metrics(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Tier -> the means over its insurers: of the model's ranking, of the queues, and of the queues' p-values.

    A figure that is not known, such as the recall of insurers without fraud, is left out.
    """
    return {tier: _of_tier(part) for each in evaluations for tier, part in each["tiers"].items()}


def _of_tier(part: Mapping[str, Any]) -> dict[str, float]:
    ranking: Mapping[str, Any] = next((row for row in part["rankings"] if row["detector"] == MODEL), {})
    queue: Mapping[str, Any] = next((row for row in part["figures"] if row["detector"] == QUEUE), {})
    found = {f"{MODEL}.{name}": ranking.get(name) for name in OF_RANKING}
    found |= {f"queue.{name}": queue.get(name) for name in OF_QUEUE}
    found |= {f"{row['changes']}.{row['segment']}.share_p{row['level']:g}": row["share"] for row in part["calibration"]}
    return {name.replace(" ", "_"): round(float(value), PLACES) for name, value in found.items() if value is not None}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file of figures.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(out: Path, files: tuple[Path, ...]) -> None:
    """Write the main figures of the evaluations in FILES."""
    write_json(out, metrics([json.loads(file.read_text(encoding="utf-8")) for file in files]))


if __name__ == "__main__":
    main()
