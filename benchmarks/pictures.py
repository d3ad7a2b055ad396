"""The documents' pictures: `make pictures`, or `python -m benchmarks.pictures` on a demo insurer that is there.

A day of the reviewers is played on a copy of the demo insurer (`make demo` first), in a browser, once in each language,
and photographed at 1280 x 800 into docs/images/. Debian's Chromium is needed. Names of files say what is on them; the
French ones end in `-fr`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.triage import DEMO, LAST, demo_home, serving
from payeewatch.pipeline.home.settings import Settings

IMAGES = Path("docs/images")
SIZE: ViewportSize = {"width": 1280, "height": 800}
PEOPLE = {"reviewer": "reviewer", "reviewer2": "reviewer", "senior": "senior", "auditor": "auditor"}
COLOURS = 256
LANGUAGES = {"en": "", "fr": "-fr"}
"""Languages, and how the names of their pictures end."""


@dataclass(frozen=True)
class Cases:
    """Flags of the last night that the day is about."""

    takeover: str  # about to be paid, and alone
    dead: str  # care after a death
    ring: list[str]
    benign: str  # a payment to the account before had come back


@dataclass(frozen=True)
class Studio:
    """A browser with somebody's session, and where its pictures go."""

    browser: Browser
    address: str
    cookies: dict[str, list[Any]]
    ending: str

    def page(self, person: str, path: str = "/", **options: Any) -> Page:
        context = self.browser.new_context(viewport=SIZE, base_url=self.address, reduced_motion="reduce", **options)
        context.add_cookies(self.cookies[person])
        page = context.new_page()
        page.goto(path)
        return page

    def keep(self, page: Page, name: str) -> None:
        page.wait_for_load_state("networkidle")
        save(page, f"{name}{self.ending}")


def save(page: Page, name: str) -> None:
    """Write what the page looks like, in few colours: a third of the bytes, and nobody sees the difference."""
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, kmeans=3, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    for language in sys.argv[1:2]:
        photograph(language)
        return
    for language in LANGUAGES:  # a process each: a day begins with a home of its own
        subprocess.run([sys.executable, "-m", "benchmarks.pictures", language], check=True)
    report()


def photograph(language: str) -> None:
    """Play the day in one language."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in the thread that also asks the database
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        publish_nights(demo_home(Path(folder)))
        cookies, cases = sign_in(language), cases_of_the_day()
        with serving() as (address, _), photographer(language) as browser:
            sessions = {person: [{**cookie, "url": address} for cookie in own] for person, own in cookies.items()}
            studio = Studio(browser, address, sessions, LANGUAGES[language])
            for part in DAY:
                part(studio, cases)


@contextmanager
def photographer(language: str = "en") -> Iterator[Browser]:
    """Debian's Chromium."""
    options = ["--no-sandbox", f"--lang={language}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield browser
        browser.close()


def publish_nights(home: Settings) -> None:
    """Publish the demo's nights into a database of their own."""
    from payeewatch.commands.review import start

    start(home)
    from payeewatch.triage.exchange.import_night import publish, unpublished

    for night in unpublished(home):
        publish(home, night)


def sign_in(language: str) -> dict[str, list[dict[str, str]]]:
    """The cast with their sessions' cookies."""
    from django.test import Client

    from payeewatch.triage.models import User

    cookies = {}
    for name, role in PEOPLE.items():
        client = Client()
        user = User.objects.create_user(name, role=role, language=language)
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        cookies[name] = [{"name": key, "value": morsel.value} for key, morsel in client.cookies.items()]
    return cookies


def cases_of_the_day() -> Cases:
    """The flags to show: the first of their kind, as the night ranked them."""
    from payeewatch.triage.models import Evidence, Flag

    flags = list(Flag.objects.filter(is_current=True).order_by("place"))
    bodies = {each.flag_id: each.body for each in Evidence.objects.order_by("night")}

    def first(wanted: Callable[[Any, Any], bool]) -> str:
        return next(flag.pk for flag in flags if wanted(flag, bodies[flag.pk]))

    def died(body: Any) -> bool:
        return bool((body.get("member") or {}).get("died_on"))

    def results(body: Any) -> set[tuple[str, str]]:
        return {(check["check"], check["result"]) for check in body["benign_checks"]}

    rings = sorted((f for f in flags if f.ring_size > 1), key=lambda flag: (-flag.ring_size, flag.place))
    return Cases(
        takeover=first(lambda flag, body: flag.queue == "hold" and flag.ring_size == 1 and not died(body)),
        dead=first(lambda flag, body: flag.queue == "hold" and died(body)),
        ring=[flag.pk for flag in flags if flag.ring == rings[0].ring],
        benign=first(
            lambda flag, body: (
                flag.queue == "review" and any(check["result"] == "yes" for check in body["benign_checks"])
            )
        ),
    )


def do(person: str, flag_id: str, action: str, **answers: Any) -> None:
    """Do something to a flag that no picture shows."""
    from payeewatch.triage.models import Flag, User
    from payeewatch.triage.work import workflow

    user, flag = User.objects.get(username=person), Flag.objects.get(pk=flag_id)
    workflow.perform(action, user, flag_id, uuid4(), flag.version, answers)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page: Page) -> None:
    """Save, and wait until the panes show the answer."""
    page.evaluate("document.querySelector('#work').dataset.old = '1'")
    press(page, "Control+Enter")
    page.wait_for_selector("#work:not([data-old])")
    page.wait_for_selector("body:not(.is-busy)")


# The parts of the day ------------------------------------------------------------------------------------


def night_and_queue(studio: Studio, cases: Cases) -> None:
    page = studio.page("reviewer")
    studio.keep(page, "reviewing-queue")
    press(page, "n")
    page.wait_for_selector("#work[data-flag]")
    press(page, "?")
    studio.keep(page, "reviewing-keys")


def held_payment(studio: Studio, cases: Cases) -> None:
    page = studio.page("reviewer", f"/flags/{cases.takeover}")
    studio.keep(page, "reviewing-flag")
    if studio.ending:
        dark = studio.page("reviewer", f"/flags/{cases.takeover}", color_scheme="dark")
        studio.keep(dark, "reviewing-dark")
    press(page, "h", "Space")
    studio.keep(page, "reviewing-hold")
    saved(page)
    page.goto(f"/flags/{cases.takeover}")
    press(page, "f", "1", "2")
    saved(page)
    senior = studio.page("senior", f"/flags/{cases.takeover}?of=to_approve")
    studio.keep(senior, "reviewing-approve")
    press(senior, "y")
    senior.wait_for_selector("body:not(.is-busy)")


def dead_member(studio: Studio, cases: Cases) -> None:
    studio.keep(studio.page("reviewer", f"/flags/{cases.dead}"), "reviewing-dead")
    do("reviewer", cases.dead, "hold", confirm="on")
    do("reviewer", cases.dead, "confirmed_fraud", reason="F08", evidence_kind="document")


def ordinary_change(studio: Studio, cases: Cases) -> None:
    page = studio.page("reviewer2", f"/flags/{cases.benign}")
    press(page, "r", "4")
    studio.keep(page, "reviewing-benign")
    press(page, "3")
    saved(page)


def ring_approved(studio: Studio, cases: Cases) -> None:
    for flag_id in cases.ring:
        do("reviewer", flag_id, "hold", confirm="on")
        do("reviewer", flag_id, "attempt_stopped", reason="F02", evidence_kind="bank_check")
    page = studio.page("senior", f"/rings/{min(cases.ring)}")  # a ring has the name of its smallest flag
    page.locator("#bulk button[value=approve]").click()
    studio.keep(page, "reviewing-ring")
    page.locator("section[aria-labelledby=dry-run] form .button-main").click()
    page.wait_for_load_state("networkidle")


def put_right(studio: Studio, cases: Cases) -> None:
    page = studio.page("reviewer", f"/flags/{cases.takeover}")
    page.locator("#act details[data-action=put_right] summary").click()
    studio.keep(page, "reviewing-put-right")


def hand_over(studio: Studio, cases: Cases) -> None:
    studio.keep(studio.page("senior", "/team"), "reviewing-team")
    if not studio.ending:  # the audit log is not translated
        studio.keep(studio.page("auditor", "/audit"), "reviewing-audit")


def report() -> None:
    """The last night's report, as far as a screen shows it."""
    with photographer() as browser:
        page = browser.new_page(viewport=SIZE)
        page.goto((DEMO / "reports" / f"{LAST}.html").resolve().as_uri())
        save(page, "report")


DAY = (night_and_queue, held_payment, dead_member, ordinary_change, ring_approved, put_right, hand_over)

if __name__ == "__main__":
    main()
