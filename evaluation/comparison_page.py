"""The page of a comparison: one self-contained HTML file of figures. Figures in, text out."""

from __future__ import annotations

from collections.abc import Callable

from payeewatch.evaluation.compare import TOP, Comparison, Part, Side
from payeewatch.evaluation.page import environment
from payeewatch.pipeline.home import charts

MOST_REASONS = 12
"""Leading reasons that the page shows."""


def page(comparison: Comparison) -> str:
    """The page of two versions over the same nights."""
    a, b = comparison.a, comparison.b
    kinds = sorted({*a.flagged.kinds, *b.flagged.kinds})
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            title=f"Version {a.version} and version {b.version}",
            command=f"payeewatch compare {a.version} {b.version} --from {comparison.span.first} "
            f"--to {comparison.span.last}",
            comparison=comparison,
            sides=(a, b),
            parts=_parts(comparison),
            kinds=[(kind, [each.kinds.get(kind, 0) for _, each in _parts(comparison)]) for kind in kinds],
            reasons=_reasons(comparison),
            figures=[(name, kind, [of(side) for side in (a, b)]) for name, kind, of in FIGURES],
            picture=charts.rows(
                "Changes flagged",
                [
                    charts.Part(name, part.changes, f"{part.changes:,}", "bar" if at == 0 else "bar-soft")
                    for at, (name, part) in enumerate(_parts(comparison))
                ],
                name_width=190,
            ),
            top=TOP,
        )
    )


def _parts(comparison: Comparison) -> list[tuple[str, Part]]:
    return [
        ("flagged by both", comparison.both),
        (f"gained: by {comparison.b.version} only", comparison.only_b),
        (f"lost: by {comparison.a.version} only", comparison.only_a),
    ]


def _reasons(comparison: Comparison) -> list[tuple[str, list[int]]]:
    """Each leading reason, how often each side has it, the most frequent first."""
    counts = [side.flagged.reasons for side in (comparison.a, comparison.b)]
    names = sorted({*counts[0], *counts[1]}, key=lambda name: (-sum(each.get(name, 0) for each in counts), name))
    return [(name, [each.get(name, 0) for each in counts]) for name in names[:MOST_REASONS]]


FIGURES: tuple[tuple[str, str, Callable[[Side], float | None]], ...] = (
    ("changes flagged", "number", lambda side: side.flagged.changes),
    ("euros at risk when flagged", "euros", lambda side: side.flagged.euros),
    ("new flags a night", "number", lambda side: side.new_a_night),
    ("in the queue of a night", "number", lambda side: side.queued_a_night),
    ("changes proposed to hold", "number", lambda side: side.held),
    ("frauds known today, open before anybody knew", "number", lambda side: side.known_frauds),
    ("of these, flagged before anybody knew", "number", lambda side: side.known_frauds_flagged),
    ("nights ahead of the verdict (median)", "number", lambda side: side.nights_ahead),
    ("flagged, and honest by today's verdicts", "number", lambda side: side.honest_flagged),
    (f"top {TOP} of a night in the next night's (Jaccard)", "share", lambda side: side.top_kept),
    ("features", "number", lambda side: side.features),
)
"""Name, how it is worded, and the value of a side."""
