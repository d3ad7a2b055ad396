"""The evaluation's report: one self-contained HTML page. Figures in, text out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from payeewatch.evaluation.assess import MODEL, MODEL_LOSS, QUEUE
from payeewatch.evaluation.exceedance import ALL, LEVELS, NEW
from payeewatch.pipeline.home import charts
from payeewatch.pipeline.home.charts import Part

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Facts = Mapping[str, Any]


def environment() -> Environment:
    """Where the pages' templates are, and how their figures are worded."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    folders = ("payeewatch.evaluation", "payeewatch.pipeline.report")
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"share": share, "euros": euros, "number": number, "signed": signed}
    return templates


def page(evaluation: Facts) -> str:
    """The page of one evaluation: `title`, `command` and, by tier, what `summary` gives."""
    tiers = [{"name": name} | dict(tier) | _page_parts(tier) for name, tier in evaluation["tiers"].items()]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(title=evaluation["title"], command=evaluation["command"], tiers=tiers, queue=QUEUE, model=MODEL)
    )


def _page_parts(tier: Facts) -> dict[str, Any]:
    """What the page shows of a tier besides its tables: figures at one capacity, and pictures."""
    figures = tier["figures"]
    capacities = sorted({row["capacity"] for row in figures if row["detector"] == MODEL})
    middle = _near_the_queue(figures, capacities)
    at_middle = [row for row in figures if row["capacity"] == middle and row["detector"] != QUEUE]
    queued = [row for row in figures if row["detector"] == QUEUE]
    return {
        "capacities": capacities,
        "middle": middle,
        "side_by_side": [*queued, *at_middle],
        "by_capacity": [row for row in figures if row["detector"] == MODEL],
        "recall_picture": _bars(f"Found, {number(middle)} a night", at_middle, "recall", share),
        "euros_picture": _bars(f"Euros prevented, {number(middle)} a night", at_middle, "prevented_euros", euros),
        "ap_picture": _bars("Average precision", tier["rankings"], "average_precision", share),
        "typologies_of_queue": [row for row in tier["typologies"] if row["detector"] == QUEUE],
        "causes_of_queue": sorted(
            (row for row in tier["causes"] if row["detector"] == QUEUE and row["flagged"]),
            key=lambda row: (-row["flagged"], row["cause"]),
        ),
        "levels": LEVELS,
        "calibration_kinds": [
            (kind, _by_segment([row for row in tier["calibration"] if row["changes"] == kind])) for kind in (ALL, NEW)
        ],
        "apart": [row for row in tier["differences"] if row.get("capacity") in (middle, None)],
    }


def _by_segment(rows: list[Facts]) -> list[tuple[str, list[Facts]]]:
    """Each segment with one row per level, youngest ages first; the total of all segments is first."""
    by_segment: dict[str, list[Facts]] = {}
    for row in rows:
        by_segment.setdefault(row["segment"], []).append(row)
    return sorted(by_segment.items(), key=lambda item: _place(item[0]))


def _place(segment: str) -> tuple[bool, str, int]:
    """`member derived 21-59d` goes by `member derived`, then by 21."""
    kind, _, ages = segment.removesuffix(" pending").rpartition(" ")
    age = re.match(r"\d+", ages)
    return segment != "all segments", kind, int(age.group()) if age else 0


def _near_the_queue(figures: list[Facts], capacities: list[float]) -> float:
    """The capacity at which the model makes about as many flags as the queues did."""
    queued = next((row["flagged"] for row in figures if row["detector"] == QUEUE), 0) or 0
    of_model = {row["capacity"]: row["flagged"] or 0 for row in figures if row["detector"] == MODEL}
    return min(capacities, key=lambda capacity: (abs(of_model[capacity] - queued), capacity), default=0.0)


def _bars(title: str, rows: list[Facts], measure: str, format_value: Any) -> Markup:
    rows_with_value = [row for row in rows if row[measure] is not None]
    ordered = sorted(rows_with_value, key=lambda row: (-row[measure], row["detector"]))
    parts = [
        Part(
            row["detector"],
            max(row[measure], 0.0),
            format_value(row[measure]),
            "bar" if row["detector"] in (MODEL, MODEL_LOSS) else "bar-soft",
        )
        for row in ordered
    ]
    return charts.rows(title, parts, name_width=190)


def share(value: float | None) -> str:
    """`12.3 %`; unknown is a dash."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if abs(value) >= 0.001 or value == 0 else f"{100 * value:.3f} %"


def euros(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} EUR"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}".rstrip("0").rstrip(".")


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+,.3f}" if abs(value) < 10 else f"{value:+,.0f}"
