"""Writes the rules section of docs/checks.md from checks.py: `python -m payeewatch.pipeline.pages.checks`."""

from __future__ import annotations

import re
from pathlib import Path

from payeewatch.pipeline.ingest.checks import rules
from payeewatch.pipeline.tables import DROP_TABLES, REFERENCE_TABLES, Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
SECTION = re.compile(r"(<!-- rules: [^\n]*-->\n).*?(<!-- end of rules -->)", re.DOTALL)


def with_rules(page: str) -> str:
    """The page with its rules section written again."""
    sections = [
        *(_rules_section(table, table.name) for table in DROP_TABLES.values()),
        *(_rules_section(table, f"reference/{table.name}") for table in REFERENCE_TABLES.values()),
    ]
    return SECTION.sub(lambda match: match[1] + "\n" + "\n".join(sections) + "\n" + match[2], page)


def _rules_section(table: Table, title: str) -> str:
    lines = [f"### {title}", "", "| rule | column | what must hold | cost |", "|---|---|---|---|"]
    lines += [
        f"| `{rule.name}` | {f'`{rule.column}`' if rule.column else '–'} | {rule.sentence} | {rule.severity} |"
        for rule in rules(table)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
