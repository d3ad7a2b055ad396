"""A real browser before the real server: Debian's Chromium, driven through Playwright, on three nights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from payeewatch.triage.models import User
from tests.triage.conftest import signed_in

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 800}
TABLET = {"width": 820, "height": 1180}
PHONE = {"width": 390, "height": 844}
PATIENCE = 20_000  # milliseconds that a slow machine is given

Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if not CHROMIUM:
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no chromium: apt-get install chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Playwright's loop runs in the thread that also makes the test's data, which Django would otherwise refuse."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        expect.set_options(timeout=PATIENCE)
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: Any) -> Any:
    """Started once the database is a file: before, it would share one connection among its threads."""
    return live_server


@pytest.fixture
def visit(browser: Browser, live_server: Any) -> Iterator[Visit]:
    """Opens an address as somebody, in its own browser profile. No request may leave for another host."""
    contexts: list[BrowserContext] = []
    urls: list[str] = []

    def open_as(person: User | None, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(
            **{"viewport": DESKTOP, "base_url": live_server.url, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: urls.append(request.url))
        if person:
            session = signed_in(person).cookies[django.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": django.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        contexts.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert {urlsplit(url).netloc for url in urls} <= {urlsplit(live_server.url).netloc}


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Keeps what a page looks like in the folder that TRIAGE_SCREENSHOTS names, if it names one."""
    folder = os.environ.get("TRIAGE_SCREENSHOTS")

    def keep(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return keep


@contextmanager
def wait_for_page(page: Page) -> Iterator[None]:
    """Waits until the page is loaded that a form leads to: a click alone does not."""
    with page.expect_navigation():
        yield


@contextmanager
def wait_for_answer(page: Page) -> Iterator[None]:
    """Waits until the panes show the answer to what is done inside."""
    page.evaluate("document.querySelector('#work').dataset.old = '1'")
    yield
    page.wait_for_selector("#work:not([data-old])")
    page.wait_for_selector("body:not(.is-busy)")
