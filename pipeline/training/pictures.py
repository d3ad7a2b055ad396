"""Pictures of a model over the rows that it learned from, for its run in MLflow: scores, calibration, features."""

from __future__ import annotations

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home import charts
from payeewatch.pipeline.home.charts import Part
from payeewatch.pipeline.report.report import environment
from payeewatch.pipeline.training.saved_model import p_values, sizes

NAME = "pictures.html"
MOST_ROWS = 5_000
"""Rows that the pictures are of, drawn from all: more would not look otherwise."""
BARS = 12
MOST_FEATURES = 20
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ title }}</title><style>{% include "page.css.j2" %}</style></head>
<body><div class="page">
<header class="masthead"><h1>{{ title }}</h1>
<p class="lede">Over {{ rows|number }} of the rows that it learned from: a change at several ages is several rows.</p>
</header>
{% for name, what, picture in pictures %}
<section><h2>{{ name }}</h2><p class="lede">{{ what }}</p><div class="panel">{{ picture }}</div></section>
{% endfor %}
</div></body></html>
"""


def pictures(model: Model, frame: pd.DataFrame) -> str:
    """An HTML page that loads nothing and names no change.

    `frame` is the measured frame that the model was fitted on: a row per change and age.
    """
    rows = frame if len(frame) <= MOST_ROWS else frame.sample(MOST_ROWS, random_state=0).sort_index()
    found = [
        ("Scores", "How many rows have a score between two values.", _scores(model.score(rows)["score"].to_numpy())),
        (
            "Calibration",
            "The share of rows with a p-value at or below a level. Of honest changes, it should be the level.",
            _calibration(p_values(model, rows)),
        ),
        (
            "Features",
            f"What a feature adds to a score, on average and whichever way: the {MOST_FEATURES} largest.",
            _features(sizes(model, rows)),
        ),
    ]
    title = f"Trained as of {model.facts['trained_as_of']}"
    return environment().from_string(PAGE).render(title=title, rows=len(rows), pictures=found)


def _scores(scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    counts, edges = np.histogram(scores, BARS)
    parts = [
        Part(f"{low:.2f} to {high:.2f}", float(count), f"{count:,}", "bar")
        for count, low, high in zip(counts, edges, edges[1:], strict=False)
    ]
    return charts.rows("Rows by score", parts)


def _calibration(table: pd.DataFrame) -> str:
    shares = table.set_index(table["level"].round(2))["share"]
    parts = [Part(f"p <= {level:g}", float(shares[level]), f"{shares[level]:.3f}", "bar") for level in LEVELS]
    return charts.rows("Share of rows with a p-value at or below a level", parts, whole=1.0)


def _features(table: pd.DataFrame) -> str:
    parts = [
        Part(str(name), float(size), f"{size:.3f}", "bar")
        for name, size in table.head(MOST_FEATURES)[["feature", "size"]].itertuples(index=False)
    ]
    return charts.rows("Mean size of what a feature adds to the score", parts, name_width=230)
