"""What goes wrong while working: two users on one flag, a lost connection, a wrong key, a form sent twice."""

from __future__ import annotations

from django.conf import settings as django
from playwright.sync_api import Page, Route, expect

from payeewatch.triage.models import Decision, Flag, Note, Step, User
from tests.triage.browser.conftest import Visit, wait_for_answer
from tests.triage.conftest import PASSWORD, do, signed_in


def open_note(page: Page, text: str) -> None:
    page.keyboard.press("m")
    page.keyboard.type(text)


def test_a_key_pressed_twice_acts_once(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    open_note(page, "Called.")
    with wait_for_answer(page):
        page.evaluate(
            """() => { for (const each of [1, 2, 3]) document.activeElement.dispatchEvent(
            new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, bubbles: true})) }"""
        )
    assert Note.objects.count() == 1


def test_a_key_does_not_act_on_the_flag_that_is_leaving(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    waiting: list[Route] = []
    page.route("**/do/inconclusive*", lambda route: waiting.append(route))
    page.keyboard.press("i")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("body.is-busy")
    for key in "csn":
        page.keyboard.press(key)
    with wait_for_answer(page):
        waiting[0].continue_()
    assert list(Step.objects.values_list("flag_id", "action")) == [(first.flag_id, "inconclusive")]


def test_a_key_acts_on_the_open_flag_only(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(page.get_by_text("Press Enter to open the flag first.")).to_be_visible()
    assert not Step.objects.exists()


def test_keys_are_off_while_typing(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    open_note(page, "c n j ? 1")
    assert page.locator("#note-text").input_value() == "c n j ? 1"
    assert not Step.objects.exists()


def test_the_list_of_keys_holds_the_focus_until_it_is_closed(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("c")
    for _tab in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#keys')")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    assert not Step.objects.exists()


def test_the_timeline_keeps_its_zoom_while_a_form_is_open(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    zoom = page.locator("[data-zoom][aria-pressed=true]")
    page.keyboard.press("r")
    expect(page.locator("#act details.is-benign[open]")).to_be_visible()
    page.keyboard.press("-")
    expect(zoom).to_have_attribute("data-zoom", "90")
    page.keyboard.press("Escape")
    page.keyboard.press("-")
    expect(zoom).to_have_attribute("data-zoom", "all")


def test_of_two_reviewers_one_wins_and_the_other_is_told(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    one, two = (visit(cast[name], f"/flags/{first.flag_id}") for name in ("reviewer", "second"))
    for page in (one, two):
        page.keyboard.press("i")
        page.keyboard.press("1")
    with wait_for_answer(one):
        one.keyboard.press("Control+Enter")
    two.locator("#act details.deed[open] textarea").fill("Mine.")
    with wait_for_answer(two):
        two.keyboard.press("Control+Enter")
    expect(two.locator("#refused")).to_contain_text("reviewer")
    expect(two.locator("#refused")).to_contain_text("Mine.")
    assert two.evaluate("document.activeElement.id") == "refused"
    assert Decision.objects.count() == 1


def test_a_lost_connection_keeps_what_was_chosen_and_sent_again_it_is_done_once(
    visit: Visit, cast: dict[str, User], first: Flag, picture
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.route("**/do/note*", lambda route: (route.fetch(), route.abort())[1])  # it arrives, its answer is lost
    open_note(page, "Called the number of 2019.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages")).to_contain_text("No connection")
    picture(page, "lost-connection")
    assert page.locator("#note-text").input_value() == "Called the number of 2019."
    page.unroute("**/do/note*")
    with wait_for_answer(page):
        page.keyboard.press("Control+Enter")
    assert Note.objects.count() == 1


def test_a_session_that_ended_is_told_and_what_was_written_stays(
    visit: Visit, cast: dict[str, User], first: Flag
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    open_note(page, "Called.")
    page.context.clear_cookies(name=django.SESSION_COOKIE_NAME)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages")).to_contain_text("Your session has ended")
    assert page.locator("#note-text").input_value() == "Called."
    assert not Note.objects.exists()


def test_after_signing_in_again_the_form_is_sent_with_the_new_token(
    visit: Visit, cast: dict[str, User], first: Flag
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    open_note(page, "Called.")
    page.context.clear_cookies()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages")).to_contain_text("Your session has ended")
    with page.context.expect_page() as opened:
        page.locator("#messages a").click()
    tab = opened.value
    tab.get_by_label("Username").fill("reviewer")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.locator("#rows")).to_be_visible()
    page.bring_to_front()
    with wait_for_answer(page):
        page.locator("#note-text").press("Control+Enter")
    assert Note.objects.get().text == "Called."


def test_another_user_does_not_send_what_the_first_one_wrote(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    open_note(page, "Called.")
    page.context.clear_cookies()
    session = signed_in(cast["second"]).cookies[django.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": django.SESSION_COOKIE_NAME, "value": session, "url": page.url.split("/flags")[0]}]
    )
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages")).to_contain_text("The server could not do this")
    assert not Note.objects.exists()
    page.reload()
    expect(page.locator("#act details[data-action=note][open]")).to_have_count(0)


def test_what_was_written_is_there_again_when_the_page_is_loaded_anew(
    visit: Visit, cast: dict[str, User], first: Flag
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.keyboard.press("r")
    page.keyboard.press("3")
    page.locator("#benign-note").fill("The bank was merged.")
    page.goto("/team")
    page.goto(f"/flags/{first.flag_id}")
    expect(page.locator("#benign-note")).to_have_value("The bank was merged.")
    expect(page.locator("#act details[data-action=benign][open] [name=reason][value=B03]")).to_be_checked()
    with wait_for_answer(page):
        page.locator("#benign-evidence_kind_2").check()
        page.keyboard.press("Control+Enter")
    page.goto(f"/flags/{first.flag_id}")
    assert page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('draft')).length") == 0


def test_a_refusal_keeps_the_place_and_the_form(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    table = page.locator("main details.as-table > summary").first
    table.click()
    page.evaluate("document.querySelector('.centre').scrollTop = 400")
    page.keyboard.press("r")
    page.keyboard.press("-")  # the tenth reason
    page.locator("#act [name=reason][value=B99]").check()
    page.locator("#benign-evidence_kind_2").check()
    page.evaluate("document.querySelector('#act').dataset.old = '1'")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#act:not([data-old])")
    expect(page.locator("#refused")).to_contain_text("Say in a note what")
    assert page.evaluate("document.querySelector('.centre').scrollTop") == 400
    expect(page.locator("main details.as-table").first).to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.id") == "benign-note"
    expect(page.locator("#act [name=reason][value=B99]")).to_be_checked()


def test_the_key_of_a_note_leads_to_the_note_of_the_open_verdict(
    visit: Visit, cast: dict[str, User], first: Flag
) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}")
    page.keyboard.press("r")
    page.keyboard.press("1")
    page.keyboard.press("m")
    assert page.evaluate("document.activeElement.id") == "benign-note"
    expect(page.locator("#act [name=reason][value=B01]")).to_be_checked()


def test_without_javascript_a_form_sent_again_is_done_once(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"], f"/flags/{first.flag_id}", java_script_enabled=False)
    page.locator("#act summary", has_text="Note").click()
    page.locator("#note-text").fill("Called.")
    with page.expect_request("**/do/note*") as request:
        page.locator("#act details.deed[open]").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text(f"Note · {first.flag_id}")).to_be_visible()
    second_answer = page.request.post(
        request.value.url,
        data=request.value.post_data,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Referer": page.url},
    )
    assert "Already done." in second_answer.text()
    assert Note.objects.count() == 1


def test_the_list_stands_still_and_marks_what_changed(visit: Visit, cast: dict[str, User], first: Flag) -> None:
    page = visit(cast["reviewer"])
    before = page.locator("#rows > li").evaluate_all("rows => rows.map(row => row.id)")
    do(cast["second"], first, "inconclusive", evidence_kind="none")
    page.evaluate("lookForNews()")
    expect(page.locator(f"#row-{first.flag_id}.is-changed")).to_be_visible()
    assert page.locator("#rows > li").evaluate_all("rows => rows.map(row => row.id)") == before
