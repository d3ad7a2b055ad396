"""Every main page: WCAG 2.2 AA in light and dark, no sideways scrolling on a desk's screen and on a tablet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from payeewatch.triage.models import Flag, User
from payeewatch.triage.urls import ROUTES
from tests.triage.browser.conftest import DESKTOP, PHONE, TABLET, Visit, wait_for_page
from tests.triage.conftest import do

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVERYTHING = {"type": "tag", "values": TAGS}
OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""What may differ between the themes, which set nothing but colours."""
THEMES = {"light": EVERYTHING, "dark": OF_COLOURS}


def violations(page: Page, rules: dict[str, object] = EVERYTHING, within: str | None = None) -> list[str]:
    options = {"runOnly": rules, "resultTypes": ["violations"]}  # not each node that is as it should be
    findings = Axe().run(page, context=within, options=options).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:160]}"
        for each in findings
        for node in each["nodes"]
    ]


def addresses(role: str, flag: Flag) -> Iterator[str]:
    """What a role's menu leads to, and a flag."""
    yield from (f"/{each.path}" for each in ROUTES if each.menu and role in each.roles and "<" not in each.path)
    if role != "administrator":
        yield f"/flags/{flag.flag_id}"
        yield f"/flags/{flag.flag_id}/about/account"


@pytest.mark.parametrize("role", ["senior", "auditor", "administrator"])
def test_every_page_is_accessible_and_fits(
    visit: Visit, cast: dict[str, User], first: Flag, role: str, picture
) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check", note="Called.")
    page = visit(cast[role])
    for address in addresses(role, first):
        page.goto(address)
        name = address.strip("/").split("/")[0] or "queue"
        for theme, rules in THEMES.items():
            page.emulate_media(color_scheme=theme)
            assert violations(page, rules) == [], f"{address} in {theme}"
            picture(page, f"{role}-{name}-{theme}")
        for size in (TABLET, PHONE, DESKTOP):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{address} at {size}"


@pytest.mark.parametrize("role", ["senior", "auditor", "administrator"])
def test_every_page_is_accessible_in_french(visit: Visit, cast: dict[str, User], first: Flag, role: str) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check", note="Rappel fait.")
    User.objects.filter(pk=cast[role].pk).update(language="fr")
    page = visit(cast[role])
    for address in addresses(role, first):
        page.goto(address)
        assert violations(page) == [], address
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)
            wide = "[...document.querySelectorAll('.pane')].filter((one) => one.scrollWidth > one.clientWidth).length"
            assert page.evaluate(wide) == 0, f"a pane of {address} at {size}"
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{address} at {size}"


def test_printing_a_flag_prints_that_flag_only(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.emulate_media(media="print")
    for part in ("#queue", "#act", ".top", ".foot", ".banner"):
        for each in page.locator(part).all():
            expect(each).to_be_hidden()
    expect(page.locator("#headline")).to_be_visible()
    others = Flag.objects.exclude(member_id=first.member_id).exclude(member_id=None)
    words = page.inner_text("body")
    assert not [flag.member_id for flag in others if flag.member_id in words and flag.ring != first.ring]


def test_on_a_tablet_the_verdicts_stay_in_sight(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}", viewport=TABLET)
    button = page.locator("#act summary[data-key=r]")
    expect(button).to_be_in_viewport()
    button.click()
    expect(page.locator("#act details.is-benign[open] [type=radio]").first).to_be_in_viewport()


def check(page: Page, picture: Callable[[Page, str], None], name: str) -> None:
    for theme, rules in THEMES.items():
        page.emulate_media(color_scheme=theme)
        assert violations(page, rules) == [], f"{name} in {theme}"
        picture(page, f"{name}-{theme}")
    for size in (TABLET, PHONE, DESKTOP):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{name} at {size}"


def test_pages_off_the_menu_are_accessible_and_fit(visit: Visit, cast: dict[str, User], first: Flag, picture) -> None:
    ties = Flag.objects.filter(is_current=True).exclude(household_id=first.household_id)[:2]
    for flag in ties:
        Flag.objects.filter(pk=flag.pk).update(ring=ties[0].pk, ring_size=2)
    page = visit(cast["senior"], "/queue/below")
    check(page, picture, "below-capacity")
    for name, number in {"flagged": first.change_id, "unknown": "X0"}.items():
        page.goto("/search")
        page.get_by_label("Number", exact=True).fill(number)
        with wait_for_page(page):
            page.get_by_role("main").get_by_role("button", name="Search").click()
        check(page, picture, f"search-{name}")
    page.goto(f"/rings/{ties[0].pk}")
    check(page, picture, "ring")
    with wait_for_page(page):
        page.get_by_role("button", name="Snooze").click()
    page.get_by_label("Until it is more unusual or more is at risk").check()
    check(page, picture, "ring-form")
    with wait_for_page(page):
        page.get_by_role("button", name="See what it would do").click()
    check(page, picture, "ring-dry-run")


def test_what_opens_on_a_page_is_accessible(visit: Visit, cast: dict[str, User], first: Flag, picture) -> None:
    page = visit(cast["senior"], f"/flags/{first.flag_id}")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    check(page, picture, "keys")
    page.keyboard.press("Escape")
    page.locator("#act details.more > summary").click()
    for summary in page.locator("#act details.deed > summary").all():
        summary.click()
        assert violations(page, within="#act") == [], summary.inner_text()
    assert violations(page) == []
    picture(page, "deed-open")
    page.get_by_role("link", name="Reveal a full value").click()
    expect(page.locator("section#reveal")).to_be_visible()
    for name in ("narrow", "views", "user"):
        summary = page.locator(f"details.{name} > summary")
        summary.click()
        if name == "views":
            expect(page.locator(".views nav a").first).to_contain_text(re.compile(r"\d"))  # the counts came
        page.wait_for_selector("body:not(.is-busy)")  # what waits is paler
        check(page, picture, name)
        summary.click()
    for each in page.locator("main details.as-table > summary").all():
        each.click()
    expect(page.get_by_text("No similar flag was judged yet.")).to_be_visible()  # it came when it was opened
    page.wait_for_selector("body:not(.is-busy)")
    check(page, picture, "tables")
