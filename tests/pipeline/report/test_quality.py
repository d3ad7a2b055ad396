"""The quality page: what it says, and what it must never show."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest

from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.report.quality import adds_up, quality_page
from tests.inbox import account, good, inbox_session, whole_drop

NIGHT = date(2024, 4, 1)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp("quality") / "home"
    claims = [good("claims", n) for n in range(1, 9)] + [
        good("claims", 9, cared_on="?"),
        good("claims", 1, channel="?"),
    ]
    folder = whole_drop(home, "2024-04-01", claims=claims, bank_changes=[good("bank_changes", new_iban="FR<b>")])
    (folder / "<script>.txt").write_text("", encoding="utf-8")
    with inbox_session(home) as session:
        yield next(load.facts for load in ingest(session, NIGHT) if load.kind == "drop")


def daily(facts: dict[str, Any], day: str, rows: int) -> dict[str, Any]:
    drop = copy.deepcopy(facts) | {"day": day, "mode": "next"}
    drop["tables"]["claims"]["rows_read"] = rows
    return drop


def test_it_says_what_was_read_and_rejected(facts: dict[str, Any]) -> None:
    page = quality_page(NIGHT, [facts])
    assert "15 rows read, 2 rejected" in page
    assert "must be a date such as 2024-12-31" in page
    assert "cell made “unknown”" in page
    assert "201.00 EUR" in re.sub(r"\s", " ", page)
    assert "1 bank change</strong>" in page or "1 bank change rejected" in page
    assert "assumed" in page


def test_it_loads_nothing_and_runs_nothing(facts: dict[str, Any]) -> None:
    page = quality_page(NIGHT, [facts])
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Reader().feed(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    links = [attrs["href"] for _, attrs in tags if attrs.get("href")]
    assert all(link and link.startswith(("#", "2024-04-01.html")) for link in links)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_it_shows_no_cell_and_escapes_names(facts: dict[str, Any]) -> None:
    page = quality_page(NIGHT, [facts])
    assert account(1) not in page
    assert "Dupond" not in page
    assert "FR<b>" not in page
    assert "&lt;script&gt;.txt" in page


def test_volumes_stand_beside_the_usual_of_daily_drops(facts: dict[str, Any]) -> None:
    history = [facts] + [daily(facts, f"2024-04-0{n}", 100 + n) for n in range(2, 9)]
    page = quality_page(date(2024, 4, 9), [daily(facts, "2024-04-09", 40)], history)
    assert "usually 102 to 108" in page
    assert "too few drops" in quality_page(date(2024, 4, 2), [daily(facts, "2024-04-02", 40)], history[:1])


def test_a_refused_drop_says_why(facts: dict[str, Any]) -> None:
    page = quality_page(NIGHT, [facts], refusal="drop 2024-04-01: too many <rows> are rejected")
    assert "stopped before anything was scored" in page
    assert "too many &lt;rows&gt;" in page


def test_a_night_without_news_says_so() -> None:
    assert "Nothing new was sent." in quality_page(NIGHT, [])


def test_a_count_that_does_not_add_up_shows(facts: dict[str, Any]) -> None:
    lost = copy.deepcopy(facts)
    lost["tables"]["claims"]["rows_accepted"] -= 1
    cents = copy.deepcopy(facts)
    cents["tables"]["claims"]["cents"]["rejected"] += 1
    assert all(adds_up(drop) for drop in facts["tables"].values())
    assert not adds_up(lost["tables"]["claims"])
    assert not adds_up(cents["tables"]["claims"])
    assert '<span class="chip bad">no</span>' in quality_page(NIGHT, [lost])
