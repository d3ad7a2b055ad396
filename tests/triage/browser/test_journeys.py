"""What each role does in a day, in a real browser."""

from __future__ import annotations

import csv
import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange import export_decisions
from payeewatch.triage.models import AuditRecord, Decision, Flag, User
from tests.triage.browser.conftest import Visit, wait_for_answer
from tests.triage.conftest import PASSWORD, Clock, do, flag_of, take_apart


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_somebody_signs_in_and_out(visit: Visit, cast: dict[str, User], picture) -> None:
    page = visit(None)
    picture(page, "sign-in")
    page.get_by_label("Username").fill("reviewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#rows")).to_be_visible()
    page.locator(".user summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("sign-in"))


def test_after_a_wrong_password_the_password_is_what_one_types_again(visit: Visit, cast: dict[str, User]) -> None:
    page = visit(None)
    page.get_by_label("Username").fill("reviewer")
    page.get_by_label("Password").fill("not it")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".errorlist")).to_contain_text("do not fit together")
    assert page.evaluate("document.activeElement.name") == "password"


SHIFTS = """() => { window.shifts = 0; new PerformanceObserver((list) => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifts += each.value;
}).observe({ type: "layout-shift", buffered: true }); }"""
"""Counts how much the page moves by itself."""
MOST_KEYS = 45


def test_a_reviewer_clears_ten_flags_with_the_keyboard_alone(visit: Visit, cast: dict[str, User], picture) -> None:
    for number in range(90_000, 90_010 - Flag.objects.filter(is_current=True).count()):
        flag_of(str(number), queue="review", rank=number)
    page = visit(cast["reviewer"])
    picture(page, "queue")
    press(page, "n")
    expect(page.locator("#work[data-flag]")).to_be_visible()
    page.evaluate(SHIFTS)
    keys = 1
    for _flag in range(10):
        press(page, "r")
        expect(page.locator("#act details.is-benign[open]")).to_be_visible()
        press(page, "1", "2")
        with wait_for_answer(page):
            press(page, "Control+Enter")
        keys += 4
        assert page.evaluate("document.activeElement.id") == "headline"
        expect(page.locator("#rows > li.is-open")).to_be_in_viewport()
    picture(page, "flag")
    assert keys <= MOST_KEYS
    assert page.evaluate("window.shifts") == 0
    assert Flag.objects.filter(decisions__verdict="benign").count() == 10
    decisions = set(Decision.objects.values_list("reason_code", "evidence_kind", "confidence"))
    assert decisions == {("B01", "call_back_failed", 2)}


@pytest.mark.parametrize(
    ("key", "action"),
    [("r", "benign"), ("f", "confirmed_fraud"), ("a", "attempt_stopped"), ("i", "inconclusive"), ("d", "duplicate"),
     ("w", "data_error"), ("h", "hold")],
)  # fmt: skip
def test_each_verdict_has_one_key(visit: Visit, cast: dict[str, User], first: Flag, key: str, action: str) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    press(page, key)
    expect(page.locator(f"#act details[data-action={action}][open] form")).to_be_visible()


def test_a_senior_goes_through_the_inbox_with_one_key_a_flag(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    one, two = Flag.objects.filter(is_current=True).exclude(pk=first.pk).order_by("place")[:2]
    for flag in (one, two):
        do(cast["reviewer"], flag, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    page = visit(cast["senior"], "/team")
    page.locator("#badges a", has_text="To approve 2").click()
    page.wait_for_url("**/?of=to_approve")
    press(page, "n")
    expect(page.locator(f"#work[data-flag={one.pk}]")).to_be_visible()
    with wait_for_answer(page):
        press(page, "y")
    expect(page.locator(f"#work[data-flag={two.pk}]")).to_be_visible()
    expect(page.locator("#badges")).to_contain_text("To approve 1")
    expect(page.locator("#many")).to_have_text("1")
    press(page, "b")
    page.keyboard.type("Call the member first.")
    with wait_for_answer(page):
        press(page, "Control+Enter")
    states = dict(Flag.objects.filter(pk__in=[one.pk, two.pk]).values_list("pk", "state"))
    assert states == {one.pk: "closed", two.pk: "returned"}


def test_flags_are_selected_freely_across_the_list(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    take_apart()
    page = visit(cast["reviewer"])
    press(page, "j", "x", "j", "j", "x", "t")
    expect(page.get_by_role("heading", level=1)).to_have_text("Selected flags")
    assert page.locator("input[name=flag]:checked").count() == 2
    page.get_by_role("button", name="Put into one case").click()
    page.get_by_role("button", name=re.compile("Do it to 2 flags")).click()
    expect(page.locator("#messages")).to_contain_text("Put into one case: 2 flags")
    assert Flag.objects.filter(ring_size=2).count() == 2


def test_a_step_is_undone_by_a_key(visit: Visit, cast: dict[str, User], first: Flag, picture) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    press(page, "i", "1")
    with wait_for_answer(page):
        press(page, "Control+Enter")
    expect(page.locator(".toast")).to_be_visible()
    picture(page, "undo")
    with wait_for_answer(page):
        press(page, "u")
    first.refresh_from_db()
    assert first.state == Flag.State.NEW


def test_a_senior_approves_and_the_payment_is_held(
    visit: Visit, cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock, picture
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    press(page, "h", "Space")
    with wait_for_answer(page):
        press(page, "Control+Enter")
    page.goto(f"/flags/{first.flag_id}")
    press(page, "f", "1", "4")
    with wait_for_answer(page):
        press(page, "Control+Enter")
    page.goto(f"/flags/{first.flag_id}?of=to_approve")
    expect(page.get_by_text("You proposed this; somebody else approves it.")).to_be_visible()
    page = visit(cast["senior"], f"/flags/{first.flag_id}?of=to_approve")
    picture(page, "to-approve")
    with wait_for_answer(page):
        page.get_by_role("button", name="Approve", exact=True).click()
    first.refresh_from_db()
    assert (first.state, first.verdict) == ("closed", "confirmed_fraud")
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    (path,) = reviewed.folder("holds").glob("*-reviewed.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert first.flag_id in {row["flag_id"] for row in csv.DictReader(file)}
    records = AuditRecord.objects.filter(flag_id=first.flag_id).exclude(action="view").order_by("number")
    assert list(records.values_list("user", "action")) == [
        ("reviewer", "hold"),
        ("reviewer", "confirmed_fraud"),
        ("senior", "approve"),
    ]


def test_a_senior_returns_a_proposal_with_a_reason(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    page = visit(cast["senior"], f"/flags/{first.flag_id}")
    page.locator("#act summary", has_text="Return").click()
    page.get_by_label("Why").first.fill("Call the member first.")
    with wait_for_answer(page):
        page.locator("#act details.deed[open]").get_by_role("button", name="Save", exact=True).click()
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    expect(page.get_by_text("Call the member first.")).to_be_visible()


def test_an_auditor_reads_everything_and_changes_nothing(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["auditor"], f"/flags/{first.flag_id}")
    expect(page.locator("#headline")).to_be_visible()
    assert page.locator("#act form, .queue-head [data-key=n], #rows input").count() == 0


def test_an_administrator_sees_no_flag(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["administrator"], f"/flags/{first.flag_id}")
    assert first.flag_id not in page.inner_text("body")
    assert first.account_hint not in page.content()
    assert page.locator("#rows, #headline").count() == 0


def test_a_data_scientist_sees_pseudonyms_alone(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["scientist"], f"/flags/{first.flag_id}")
    expect(page.locator("#headline")).to_be_visible()
    content = page.content()
    for flag in Flag.objects.filter(is_current=True):
        for number in (flag.member_id, flag.payee_id, flag.change_id):
            assert not number or number not in content


def test_language_and_colours_are_the_user_s_own(visit: Visit, cast: dict[str, User]) -> None:
    User.objects.filter(pk=cast["reviewer"].pk).update(language="fr", theme="dark")
    page = visit(cast["reviewer"])
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 21, 29)"
    page = visit(cast["senior"])
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(243, 245, 248)"
