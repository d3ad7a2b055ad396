"""What stays of a fairness report: its page, its machine form, and a run in MLflow."""

from __future__ import annotations

from pathlib import Path

from payeewatch.evaluation.fairness.groups import ATTRIBUTES, RATES, Fairness
from payeewatch.evaluation.page import environment
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.settings import Settings

EXPERIMENT = "payeewatch-fairness"


def write(settings: Settings, result: Fairness, out: Path) -> str:
    """Write the page and its machine form, and log both as a run of MLflow. Returns the run's id."""
    files = [out / "fairness.html", out / "fairness.json"]
    write_text(files[0], page(result))
    write_json(files[1], result.as_dict())
    of = f" of version {result.version}" if result.version else ""
    name = f"fairness{of} {result.first} to {result.last}"
    tags = {"first": str(result.first), "last": str(result.last)} | ({"version": result.version} if of else {})
    return model_registry.log_run(settings, EXPERIMENT, name, _metrics(result), files, tags)


def page(result: Fairness) -> str:
    """One self-contained page of shares by group."""
    attributes = [
        (words, [group for group in result.groups if group.attribute == name])
        for name, words in ATTRIBUTES.items()
        if name != "birth" or result.births_known
    ]
    return environment().get_template("fairness.html.j2").render(result=result, attributes=attributes)


def _metrics(result: Fairness) -> dict[str, float]:
    """The shares as MLflow names them, such as `age.30_to_44.flagged`."""
    shares = {
        f"{group.attribute}.{group.name.replace(' ', '_')}.{name}": getattr(group, name).share
        for group in (result.whole, *result.groups)
        for name in RATES
        if group.changes
    }
    return {name: share for name, share in shares.items() if share is not None}
