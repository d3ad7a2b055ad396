"""A member telephones: from the member's number to a verdict, in a real browser, in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.import_by_hand import import_answers
from payeewatch.triage.models import Flag, User
from tests.triage.browser.conftest import DESKTOP, Visit, wait_for_answer, wait_for_page
from tests.triage.browser.test_pages import check, violations
from tests.triage.conftest import Answer

REASON = "The member telephoned: the reimbursement went elsewhere."
Picture = Callable[[Page, str], None]


def look_up(page: Page, number: str, search: str) -> None:
    page.goto("/search")
    page.locator("#asked").fill(number)
    with wait_for_page(page):
        page.get_by_role("main").get_by_role("button", name=search).click()


def test_a_number_leads_to_a_case_and_to_a_verdict(
    visit: Visit, cast: dict[str, User], reviewed: Settings, by_hand_answer: Answer, picture: Picture
) -> None:
    page = visit(cast["reviewer"])
    look_up(page, by_hand_answer.row["member_id"], "Search")
    check(page, picture, "look-up")
    with wait_for_page(page):
        page.get_by_role("button", name=f"Open a case about change {by_hand_answer.row['change_id']}").click()
    check(page, picture, "open-case")
    page.get_by_label("Why, and what was said").fill(REASON)
    page.get_by_role("button", name="Open the case").click()
    expect(page.get_by_text("The evidence is being frozen")).to_be_visible()
    check(page, picture, "case-request")
    assert by_hand_answer.row["change_id"] not in page.url
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    page.wait_for_url(re.compile(f"/flags/{flag_id}"))  # the page looks by itself
    expect(page.locator(".evidence-head")).to_contain_text("Opened by hand")
    expect(page.locator("#rows > li").first).to_contain_text("By hand")
    expect(page.locator("#act")).to_contain_text(REASON)
    check(page, picture, "case-by-hand")
    page.set_viewport_size(DESKTOP)
    page.keyboard.press("r")
    expect(page.locator("#act details.is-benign[open]")).to_be_visible()
    for key in ("1", "2"):
        page.keyboard.press(key)
    with wait_for_answer(page):
        page.keyboard.press("Control+Enter")
    assert Flag.objects.get(pk=flag_id).verdict == "benign"


@pytest.mark.parametrize("exit_code", [None, 14])
def test_the_pages_are_accessible_in_french(
    visit: Visit, cast: dict[str, User], by_hand_answer: Answer, picture: Picture, exit_code: int | None
) -> None:
    from payeewatch.triage.models import CaseRequest

    User.objects.filter(pk=cast["reviewer"].pk).update(language="fr")
    page = visit(cast["reviewer"])
    look_up(page, by_hand_answer.row["member_id"], "Chercher")
    assert violations(page) == []
    picture(page, "look-up-fr")
    with wait_for_page(page):
        page.get_by_role("button", name="Ouvrir un dossier").first.click()
    assert violations(page) == []
    picture(page, "open-case-fr")
    page.locator("textarea[name=reason]").fill("L’assuré a téléphoné.")
    page.get_by_role("button", name="Ouvrir le dossier").click()
    expect(page.locator("#case-request")).to_be_visible()  # the answer to the click has arrived
    CaseRequest.objects.update(last_exit=exit_code)
    page.goto(page.url)
    expect(page.locator("#case-request")).to_contain_text("est en cours" if exit_code else "figés")
    assert violations(page) == []
    picture(page, f"case-request-fr-{exit_code}")


def test_without_javascript_one_looks_again(
    visit: Visit, cast: dict[str, User], reviewed: Settings, by_hand_answer: Answer
) -> None:
    page = visit(cast["reviewer"], java_script_enabled=False)
    look_up(page, by_hand_answer.row["change_id"], "Search")
    page.get_by_role("button", name="Open a case").click()
    page.get_by_label("Why, and what was said").fill(REASON)
    with wait_for_page(page):
        page.get_by_role("button", name="Open the case").click()
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    page.get_by_role("link", name="Look again").click()
    expect(page).to_have_url(re.compile(f"/flags/{flag_id}"))
