"""Every main page: WCAG 2.2 AA in light and dark, no sideways scrolling on a desk's screen and on a tablet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.triage.browser.conftest import DESKTOP, TABLET, Visit
from tests.triage.conftest import do
from triage.models import Flag, User
from triage.urls import ROUTES

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}}).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:160]}"
        for each in found
        for node in each["nodes"]
    ]


def addresses(role: str, flag: Flag) -> Iterator[str]:
    """What a role's menu leads to, and a flag."""
    yield from (f"/{each.path}" for each in ROUTES if each.menu and role in each.roles and "<" not in each.path)
    if role != "administrator":
        yield f"/flags/{flag.flag_id}"


@pytest.mark.parametrize("role", ["senior", "auditor", "administrator"])
def test_every_page_is_accessible_and_fits(
    visit: Visit, cast: dict[str, User], first: Flag, role: str, picture
) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check", note="Called.")
    page = visit(cast[role])
    for address in addresses(role, first):
        page.goto(address)
        name = address.strip("/").split("/")[0] or "queue"
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert violations(page) == [], f"{address} in {theme}"
            picture(page, f"{role}-{name}-{theme}")
        for size in (TABLET, DESKTOP):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{address} at {size}"
