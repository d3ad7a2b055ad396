"""One page that compares a world with published figures: `python -m payeewatch.simulator.page OUT.html`."""

from __future__ import annotations

import argparse
import html
import tempfile
from collections.abc import Sequence
from pathlib import Path

from payeewatch.simulator.figures import Figure, Home, figures
from payeewatch.simulator.insurer import simulate
from payeewatch.simulator.tiers import TIERS

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: left; }
tr { border-bottom: 1px solid #dde3ea; } .number { text-align: right; } .misses { color: #a33; font-weight: 600; }
svg { display: block; margin: .5rem 0 1.5rem; } text { font: 12px system-ui, sans-serif; fill: #1c2733; }
.bar { fill: #5b8db8; } .range { fill: #cfdce8; } .mark { fill: #1c4f7c; }
"""
CHARTS = (
    ("Changes of account a month", "by cause: waves of banks stand out, January and September too",
     "SELECT strftime(requested_at::TIMESTAMP, '%Y-%m'), count(*) FROM bank_changes GROUP BY 1 ORDER BY 1"),
    ("Honest changes by cause", "look-alikes of fraud, each with its share",
     "SELECT cause, count(*) FROM true_changes WHERE NOT is_fraud GROUP BY 1 ORDER BY 2 DESC, 1"),
    ("Fraud cases by kind", "see the catalogue in the simulator's page",
     "SELECT typology, count(*) FROM true_losses GROUP BY 1 ORDER BY 1"),
    ("Paid by care family, euros a member and year", "",
     "SELECT care_family, sum(reimbursed_amount) / any_value(years) FROM claims, span "
     "WHERE status IN ('settled', 'received', 'pended') GROUP BY 1 ORDER BY 2 DESC"),
    ("Days from a change to its first payment, fraud", "a rule that watches so many days sees what lies to its left",
     "SELECT (first_payment_on - begun_on)::INT // 10 * 10 AS days, count(*) FROM true_losses "
     "WHERE change_id IS NOT NULL AND first_payment_on IS NOT NULL GROUP BY 1 ORDER BY 1"),
    ("How cases came to light", "", "SELECT coalesce(found_by, 'not yet, or never'), count(*) FROM true_losses "
     "GROUP BY 1 ORDER BY 2 DESC, 1"),
)  # fmt: skip


def page(home: Home, title: str) -> str:
    """The page as HTML that needs nothing else."""
    parts = [f"<h1>{html.escape(title)}</h1>", "<p>Nobody in it exists. Each figure stands beside what is published ",
             "or, where nothing is, an estimate.</p>", _table(figures(home))]  # fmt: skip
    for name, remark, sql in CHARTS:
        rows = [(str(label), float(value)) for label, value in home.ask(sql)]
        parts += [f"<h2>{html.escape(name)}</h2>", f"<p>{html.escape(remark)}</p>" if remark else "", _bars(rows)]
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(entries: Sequence[Figure]) -> str:
    rows = [
        f'<tr><td>{html.escape(one.sentence)}</td><td class="number{"" if one.fits else " misses"}">{one.value:,.2f} '
        f'{one.unit}</td><td>{_range(one)}</td><td class="number">{one.low:g} to {one.high:g}</td>'
        f"<td>{html.escape(one.source)}</td></tr>"
        for one in entries
    ]
    head = "<tr><th>figure</th><th>here</th><th></th><th>believed</th><th>published</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _range(one: Figure) -> str:
    """The believed range as a band, and where this world lies."""
    low, width = one.low - (one.high - one.low) / 2, 2 * (one.high - one.low)
    place = min(max((one.value - low) / width, 0), 1) * 118
    band = '<rect class="range" x="30" y="3" width="60" height="6"/>'
    mark = f'<rect class="mark" x="{place:.1f}" y="0" width="3" height="12"/>'
    return f'<svg width="120" height="12" role="img" aria-label="{one.value:.2f}">{band}{mark}</svg>'


def _bars(rows: Sequence[tuple[str, float]]) -> str:
    most = max((value for _, value in rows), default=1.0) or 1.0
    lines = [
        f'<text x="150" y="{22 * place + 15}" text-anchor="end">{html.escape(label)}</text>'
        f'<rect class="bar" x="158" y="{22 * place + 3}" width="{500 * value / most:.1f}" height="16"/>'
        f'<text x="{164 + 500 * value / most:.1f}" y="{22 * place + 15}">{value:,.0f}</text>'
        for place, (label, value) in enumerate(rows)
    ]
    return f'<svg width="760" height="{22 * len(rows) + 4}" role="img">{"".join(lines)}</svg>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tier", choices=TIERS, default="standard")
    parser.add_argument("--members", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, truth = Path(folder) / "home", Path(folder) / "truth"
        simulate(home, options.members, 540, seed=options.seed, truth=truth, tier=options.tier, drops=3, form="parquet")
        title = f"The synthetic insurer, tier {options.tier}, {options.members:,} members, seed {options.seed}"
        options.out.write_text(page(Home(home, truth), title), encoding="utf-8")


if __name__ == "__main__":
    main()
