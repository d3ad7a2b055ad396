"""Writes the lists of docs/checks.md: `python -m payeewatch.pipeline.pages.checks`.

The rules of input rows come from `pipeline/ingest/checks.py`, those of what is measured and published from the promises
that Great Expectations judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from payeewatch.pipeline import expectations
from payeewatch.pipeline.changes.expectations import measured_promises
from payeewatch.pipeline.home.promises import Promises
from payeewatch.pipeline.home.published import FLAGS_PROMISES, SCORES_PROMISES
from payeewatch.pipeline.ingest.checks import rules
from payeewatch.pipeline.night.evidence import EVIDENCE_PROMISES
from payeewatch.pipeline.tables import DROP_TABLES, REFERENCE_TABLES, Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"


def whole(page: str) -> str:
    """The page with its lists written again."""
    promised = (measured_promises(), FLAGS_PROMISES, SCORES_PROMISES, EVIDENCE_PROMISES)
    page = _with_list(page, "promises", map(_of_promises, promised))
    sections = [
        *(_of_table(table, table.name) for table in DROP_TABLES.values()),
        *(_of_table(table, f"reference/{table.name}") for table in REFERENCE_TABLES.values()),
    ]
    return _with_list(page, "rules", sections)


def _with_list(page: str, name: str, sections: Iterable[str]) -> str:
    place = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return place.sub(lambda match: match[1] + "\n" + "\n".join(sections) + "\n" + match[2], page)


def _of_table(table: Table, title: str) -> str:
    lines = [f"### {title}", "", "| rule | column | what must hold | cost |", "|---|---|---|---|"]
    lines += [f"| `{rule.name}` | {_code(rule.column)} | {rule.sentence} | {rule.severity} |" for rule in rules(table)]
    return "\n".join(lines) + "\n"


def _of_promises(promises: Promises) -> str:
    lines = [f"### {promises.table}", "", "| column | what must hold | expectation |", "|---|---|---|"]
    lines += [
        f"| {_code(rule.column)} | {rule.sentence} | `{rule.expectation}` |" for rule in expectations.rules(promises)
    ]
    return "\n".join(lines) + "\n"


def _code(column: str) -> str:
    return f"`{column}`" if column else "–"


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
