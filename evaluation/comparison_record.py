"""What stays of a comparison: its page, its machine form, and a run in MLflow, which the gate of promotions reads."""

from __future__ import annotations

from pathlib import Path

from payeewatch.evaluation.compare import Comparison, Side
from payeewatch.evaluation.comparison_page import page
from payeewatch.evaluation.exceedance import LEVELS
from payeewatch.pipeline.detector import gate, model_registry
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.settings import Settings


def write(settings: Settings, comparison: Comparison, out: Path) -> str:
    """Write the page and its machine form, and log both as a run of MLflow. Returns the run's id."""
    files = [out / "comparison.html", out / "comparison.json"]
    write_text(files[0], page(comparison))
    write_json(files[1], comparison.as_dict())
    a, b, span = comparison.a, comparison.b, comparison.span
    tags = {"a": a.version, "b": b.version, "first": str(span.first), "last": str(span.last)}
    name = f"compare {a.version} {b.version}"
    return model_registry.log_run(settings, gate.COMPARISONS, name, _metrics(comparison), files, tags)


def _metrics(comparison: Comparison) -> dict[str, float]:
    metrics: dict[str, float | None] = {
        gate.NIGHTS: comparison.nights,
        "gained": comparison.only_b.changes,
        "lost": comparison.only_a.changes,
        "both": comparison.both.changes,
        "gained.euros": comparison.only_b.euros,
        "lost.euros": comparison.only_a.euros,
        "queue_overlap": comparison.queue_overlap,
        "top_overlap": comparison.top_overlap,
        "rank_correlation": comparison.rank_correlation,
    }
    for name in gate.SIDES:
        side: Side = getattr(comparison, name)
        at = side.level(LEVELS[0])
        metrics |= gate.metrics_of(name, side.flagged.changes, at.share, (at.low, at.high))
        metrics |= {
            f"{name}.euros": side.flagged.euros,
            f"{name}.new_a_night": side.new_a_night,
            f"{name}.p01.share": side.level(LEVELS[1]).share,
            f"{name}.known_frauds_flagged": side.known_frauds_flagged,
            f"{name}.honest_flagged": side.honest_flagged,
            f"{name}.top_kept": side.top_kept,
        }
    return {name: float(value) for name, value in metrics.items() if value is not None}
