"""The first screen of a flag, on a desk's screen: headline, stakes and story, in few words."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from payeewatch.triage.models import Flag, User
from tests.triage.browser.conftest import Visit

MOST_WORDS = 250
FLAGS = 12
MEASURE = """() => {
    const pane = document.querySelector(".centre").getBoundingClientRect()
    const story = document.querySelector(".story").getBoundingClientRect()
    const parts = ["#headline", ".strip", ".story"].map((name) => document.querySelector(name).innerText)
    return [story.bottom <= pane.bottom, parts.join(" ").split(/\\s+/).filter(Boolean).length]
}"""


@pytest.mark.parametrize("language", ["en", "fr"])
def test_headline_stakes_and_story_are_on_the_first_screen(visit: Visit, cast: dict[str, User], language: str) -> None:
    User.objects.filter(pk=cast["reviewer"].pk).update(language=language)
    page: Page = visit(cast["reviewer"])
    for flag_id in Flag.objects.filter(is_current=True).order_by("rank").values_list("pk", flat=True)[:FLAGS]:
        page.goto(f"/flags/{flag_id}")
        is_visible, words = page.evaluate(MEASURE)
        assert is_visible, f"{flag_id}: the story ends below the first screen"
        assert words <= MOST_WORDS, f"{flag_id}: {words} words"


def test_what_is_odd_is_marked_and_the_chart_comes_below_the_story(visit: Visit, cast: dict[str, User]) -> None:
    flag = Flag.objects.filter(is_current=True).order_by("rank").first()
    assert flag
    page = visit(cast["reviewer"], f"/flags/{flag.pk}")
    assert page.locator(".story mark").count() >= 1
    places = [page.locator(name).bounding_box() for name in ("#headline", ".strip", ".story", "#h-timeline")]
    tops = [place["y"] for place in places if place]
    assert tops == sorted(tops)
    assert len(tops) == 4
