"""What MLflow shows of a version: its card, written from the run, and an example of its input.

Nothing of a person is in either: the example is the usual change of each party.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.model import Model

FIGURES = {
    "calibration.share_p05": "share of the latest references with p <= 0.05 (about 0.05 is right)",
    "calibration.ks": "largest excess of small p-values among the latest references",
    "doubtful": "references left out because they score like frauds",
}
"""Metrics on the card, and what they say."""


def example_rows(model: Model) -> pd.DataFrame:
    """One row per party, as a measured frame has them: every feature at its median for the youngest changes."""
    names = [record["name"] for record in model.features]
    rows = [
        {
            "change_id": f"example-{party}",
            "as_of": pd.Timestamp(model.facts["trained_as_of"]),
            "party": party,
            "derived": False,
            "age_days": 0,
        }
        | dict(zip(names, np.asarray(group.usual[0], dtype=np.float64), strict=True))
        for party, group in sorted(model.groups.items())
    ]
    return pd.DataFrame(rows).astype({"age_days": np.int64} | dict.fromkeys(names, np.float64))


def card(model: Model, tags: Mapping[str, str]) -> str:
    """The card of a version, in Markdown."""
    facts, learned_from = model.facts, tags.get("learned_from")
    what = f"Corrects version {learned_from} by verdicts known until" if learned_from else "Trained as of"
    lines = [
        f"**{what} {facts['known_until']}.** Ranks changes of payee and account for review by people. It says nothing "
        "about a person and decides nothing: an unusual change is not an accusation.",
        "",
        "| | |",
        "|---|---|",
        f"| learned from | {facts['changes']:,} past changes; {facts['left_out']:,} confirmed as fraud left out |",
        f"| features | {len(model.features)} |",
        f"| lenses that are absent | {_absent(model)} |",
        f"| data | lake up to load {tags.get('lake_sequence') or '?'}, digest {tags.get('lake_fingerprint') or '?'} |",
        f"| code | {tags.get('code_version', '?')} |",
        *(f"| {says} | {model.metrics[name]:.4g} |" for name, says in FIGURES.items() if name in model.metrics),
        *([f"| verdicts | {tags['verdicts']} |"] if "verdicts" in tags else []),
        *([f"| note | {tags['note']} |"] if "note" in tags else []),
        "",
        "Not for judging members, pricing, or refusing a payment without a person.",
        *(["", "Warnings:", "", *(f"* {warning}" for warning in model.warnings)] if model.warnings else []),
    ]
    return "\n".join(lines)


def _absent(model: Model) -> str:
    absent = [f"{lens} ({party})" for party, group in sorted(model.groups.items()) for lens in group.absent]
    return ", ".join(absent) or "none"
