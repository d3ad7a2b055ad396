"""A second person approves a version in a real browser."""

from __future__ import annotations

from playwright.sync_api import expect

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.roles import Role
from tests.triage.browser.conftest import Visit
from tests.triage.browser.test_pages import violations
from tests.triage.conftest import user
from tests.triage.work.test_model_versions import handed_over, put_board


def test_a_senior_approves_what_a_data_scientist_proposed(
    visit: Visit, house: Settings, transactional_db: None
) -> None:
    put_board(house)
    page = visit(user(Role.SENIOR), "/models")
    proposal = page.locator("#proposal-2")
    expect(proposal).to_contain_text("finds more")
    assert violations(page) == []
    proposal.get_by_label("Why").fill("as compared")
    proposal.get_by_role("button", name="Approve").click()
    expect(proposal).to_contain_text("Approved by senior")
    expect(proposal.get_by_role("button", name="Approve")).to_have_count(0)
    assert [(each.version, each.who) for each in handed_over()] == [("2", "senior")]
