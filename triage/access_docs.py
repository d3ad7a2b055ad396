"""The table of docs/access.md, from routes and actions: `python -m payeewatch.triage.access_docs` writes it."""

from __future__ import annotations

import os
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "access.md"
START, END = "<!-- who may do what: by `make docs` -->\n", "<!-- end of who may do what -->"


def with_table(page: str) -> str:
    """The page with its table renewed from the code."""
    before, rest = page.split(START)
    return f"{before}{START}{table()}{END}{rest.split(END)[1]}"


def table() -> str:
    """Every address and every action, with one column per role."""
    from payeewatch.triage.roles import ANYBODY, Role
    from payeewatch.triage.urls import ROUTES
    from payeewatch.triage.work.workflow import ACTIONS

    head = " | ".join(role.replace("scientist", "data scientist") for role in Role.values)
    lines = [f"| address or action | {head} |", "|---|" + ":-:|" * len(Role)]
    for route in ROUTES:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", route.path)
        marks = ["anybody" if route.roles is ANYBODY else "yes" if role in route.roles else "" for role in Role]
        lines.append(f"| `{' '.join(route.methods)} /{path}` | {' | '.join(marks)} |")
    for action in ACTIONS.values():
        marks = ["yes" if role in action.roles else "" for role in Role]
        lines.append(f"| to a flag: `{action.name}` | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
    import django

    django.setup()
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
