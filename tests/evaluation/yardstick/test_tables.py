"""Tables of a report: what stands in them, as text and on the page."""

from __future__ import annotations

import re
from typing import Any

from payeewatch.evaluation.yardstick.figures import ALL
from payeewatch.evaluation.yardstick.insurer import FOREIGN
from payeewatch.evaluation.yardstick.nights import PRODUCT, SCORECARD
from payeewatch.evaluation.yardstick.tables import Table, as_text, page, tables

AP: dict[str, Any] = {"nights": ALL, "reviews": None, "measure": "ap"}


def report() -> dict[str, Any]:
    mean = AP | {
        "detector": PRODUCT,
        "insurers": 2,
        "mean": 0.5,
        "se": 0.04,
        "lowest_without_one": 0.4,
        "highest_without_one": 0.6,
    }
    return {
        "command": "python -m payeewatch.evaluation.foreign FOLDER --out DIR",
        "origins": {FOREIGN: {
            "insurers": [{
                "name": "insurer-a", "changes": 90, "dishonest": 9, "flags_a_night": 1.25, "first_night_p0.05": 0.05,
                "first_night_p0.01": None, "all_nights_p0.05": 0.04, "all_nights_p0.01": 0.01,
                "first_night_distance": 0.06,
            }],
            "means": [mean],
            "differences": [AP | {"control": SCORECARD, "mean": 0.1, "low": -0.01, "high": 0.21}],
            "way": [AP | {"from": SCORECARD, "by": PRODUCT, "to": "boosting", "start": 0.4, "product": 0.5, "end": 0.8,
                          "share": 0.25}],
            "figures": [AP | {"row": f"insurer-a {PRODUCT}", "figure": 0.5, "se": None}],
            "typologies": [{"typology": "ring", "detector": PRODUCT, "reviews": reviews, "changes": 7, "found": found}
                           for reviews, found in ((5, 2), (20, 4))],
            "stories": [{"typology": "dead", "flagged": 4, "first": 2, "any": 3},
                        {"typology": "ring", "flagged": 6, "first": 5, "any": 5}],
        }},
        "likeness": [{"control": SCORECARD, "ours": 0.5, "foreign": 0.4, "difference": 0.1, "se": 0.03,
                      "allowed": 0.08, "is_like": False}],
        "same_order": True,
    }  # fmt: skip


def test_every_part_has_its_table_and_nights_without_figures_have_none() -> None:
    by_title = {table.title.split(": ")[-1]: table for table in tables(report())}
    assert len(by_title) == len(tables(report())) == 9
    assert by_title["means, all nights"].rows[0][:3] == [PRODUCT, "0.500 ±0.040", "–"]
    assert by_title["payeewatch minus another, all nights"].rows[0][:2] == [SCORECARD, "+0.100 (-0.010 to +0.210)"]
    assert by_title["found by kind of fraud, all nights"].rows[0][:3] == ["ring", "7", "2"]
    assert by_title["reasons that tell what was planted"].rows[-1] == ["together", "10", "7", "8"]
    assert by_title["flags and p-values"].rows[0][1:6] == ["90", "9", "1.25", "5.0%", "–"]
    assert by_title["Controls on ours beside foreign insurers"].rows[0][-1] == "no"


def test_with_one_insurer_none_can_be_left_out() -> None:
    facts = report()
    facts["origins"][FOREIGN]["means"][0] |= {"insurers": 1, "lowest_without_one": None}
    assert not [table for table in tables(facts) if "left out" in table.title]


def test_text_stands_in_columns() -> None:
    text = as_text(Table("Title", "A note.", ["", "AP"], [["one", "0.5"], ["another", "0.25"]]))
    assert text == "Title\nA note.\n\n           AP\none       0.5\nanother  0.25"


def test_the_page_stands_alone_and_has_every_table() -> None:
    html = page(report())
    assert not re.search(r"https?://|<script|@import", html)
    assert [table.title for table in tables(report()) if f"<h3>{table.title}</h3>" not in html] == []
    assert html.count('class="total"') == 3  # the product's own rows
