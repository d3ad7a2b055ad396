"""The security page: the tests it names exist, and each requirement of ASVS 5.0 level 2 has a row with evidence."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d+\.\d+\.", line)
]
LEVEL_2 = """
    1.1:1-2 1.2:1-9 1.3:1-11 1.4:1-3 1.5:1-2  2.1:1-3 2.2:1-3 2.3:1-4 2.4:1-1
    3.2:1-2 3.3:1-4 3.4:1-6 3.5:1-5 3.7:1-2  4.1:1-3 4.2:1-1 4.3:1-2 4.4:1-4  5.1:1-1 5.2:1-3 5.3:1-2 5.4:1-3
    6.1:1-3 6.2:1-12 6.3:1-4 6.4:1-4 6.5:1-5 6.6:1-3 6.8:1-4  7.1:1-3 7.2:1-4 7.3:1-2 7.4:1-5 7.5:1-2 7.6:1-2
    8.1:1-2 8.2:1-3 8.3:1-1 8.4:1-1  9.1:1-3 9.2:1-4
    10.1:1-2 10.2:1-2 10.3:1-4 10.4:1-11 10.5:1-5 10.6:1-2 10.7:1-3
    11.1:1-2 11.2:1-3 11.3:1-3 11.4:1-4 11.5:1-1 11.6:1-1  12.1:1-3 12.2:1-2 12.3:1-4
    13.1:1-1 13.2:1-5 13.3:1-2 13.4:1-5  14.1:1-2 14.2:1-4 14.3:1-3  15.1:1-3 15.2:1-3 15.3:1-7
    16.1:1-1 16.2:1-5 16.3:1-4 16.4:1-3 16.5:1-3  17.1:1-1 17.2:1-4 17.3:1-2
"""
"""Section: first and last requirement of levels 1 and 2, in version 5.0.0; those of level 3 come after them."""


def requirements() -> list[str]:
    """Every number of levels 1 and 2."""
    sections = [re.split("[:-]", each) for each in LEVEL_2.split()]
    return [f"{section}.{number}" for section, first, last in sections for number in range(int(first), int(last) + 1)]


def numbers(cell: str) -> list[str]:
    """The numbers in the first cell of a row: single ones, and ranges written with `to`, over sections too."""
    every, named = requirements(), []
    for part in cell.split(", "):
        first, _, last = part.partition(" to ")
        named += every[every.index(first) : every.index(last or first) + 1]
    return named


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_test_that_the_page_names_exists() -> None:
    missing = [
        (path, name) for path, name in NAMED_TESTS if not (ROOT / path).exists() or name not in functions_of(path)
    ]
    assert missing == []
    assert len(NAMED_TESTS) > 100


def test_every_attacker_has_a_control_with_a_test() -> None:
    table = PAGE.split("## Who attacks")[1].split("###")[0]
    rows = [line for line in table.splitlines() if line.startswith("| **")]
    assert len(rows) > 15
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::test_", row)] == []


def test_every_requirement_of_level_2_has_one_row() -> None:
    assert len(requirements()) == 253  # as many as the standard says it has
    assert sorted(number for row in ROWS for number in numbers(row[0])) == sorted(requirements())


def test_every_row_has_its_state_and_evidence_that_exists() -> None:
    for _, _, state, evidence in ROWS:
        assert state in {"yes", "part", "no", "—"}
        assert evidence
        paths = re.findall(r"`([\w.-]+/[\w./-]+|params\.yaml|requirements\.lock)(?:::\w+)?`", evidence)
        assert [path for path in paths if not (ROOT / path).exists()] == []
