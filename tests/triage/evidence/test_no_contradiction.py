"""No two sentences of a page contradict each other or the truth, for every cause of the simulator.

Evidence is frozen for changes of each kind of fraud and each honest cause, and what a page would say of them is
compared with what the insurer's own files say.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from payeewatch.pipeline.changes.context import change_context, exposures_by_change
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.night.evidence import evidence_table, read_changes
from payeewatch.pipeline.night.queues import Queues
from payeewatch.pipeline.opening import opened
from payeewatch.simulator import parameters, simulate
from payeewatch.simulator.fraud.frauds import UNCHANGED
from payeewatch.triage.evidence import evidence_panel, particulars
from payeewatch.triage.evidence.story import story
from payeewatch.triage.exchange.import_night import _as_json
from payeewatch.triage.language import phrases
from payeewatch.triage.models import User
from payeewatch.triage.roles import Role
from tests.conftest import LAST_DROP, NIGHTS, Home, home_in

NIGHT = NIGHTS[-1]
OF_EACH_CAUSE = 4
TOO_RARE = ("institution", "guardian")
"""Causes that so small an insurer does not have."""
FRAUDS = re.compile(r"T\d\d")


@dataclass(frozen=True)
class Page:
    """What the page of one change says, and the truth about it."""

    change_id: str
    cause: str
    body: dict[str, Any]
    member: dict[str, Any] | None  # the last row of the feed
    earlier: int  # how many changes of the payee the feed has before this one

    @property
    def headline(self) -> str:
        return phrases.headline(self.body, self.body["change"]["derived"], NIGHT)

    @cached_property
    def story(self) -> str:
        return "\n".join(f"{line.when}: {line.text}" for line in story(self.body, NIGHT, lambda _, value: value or ""))

    @property
    def honest(self) -> str:
        return "\n".join(sentence for sentence, _ in evidence_panel._honest(self.body)["sentences"])

    @property
    def asked_on(self) -> date:
        on = phrases.change_day(self.body)
        assert on
        return on

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return [fact for fact in self.body["timeline"] if fact["kind"] == kind]


def _make(folder: Path) -> None:
    """An insurer with far more fraud than life, so that each kind comes; loaded and linked, without model or night."""
    home = Home(folder / "home", folder / "keys.json")
    simulate(
        home.path, members=4_000, days=300, end=LAST_DROP, seed=7, truth=folder / "truth", form="csv", malformed=False,
        least_cases=350,
    )  # fmt: skip
    Keys.create(home.key_file, random.Random(7).randbytes)
    for words in (["init"], ["ingest", "--until", str(NIGHT)], ["link"]):
        home.done(*words)


@pytest.fixture(scope="module")
def pages(homes: Path) -> list[Page]:
    """The pages of a few changes of every cause, as the last night knows them."""
    home = home_in(homes / "every-cause", _make)
    return list(_pages(home, home.path.parent / "truth", home.path / "inbox"))


def _pages(home: Home, truth: Path, inbox: Path) -> Iterator[Page]:
    known = _feed(inbox, "bank_changes")
    causes = duckdb.sql("FROM read_parquet($truth)", params={"truth": str(truth / "changes.parquet")}).df()
    causes = causes[causes["change_id"].isin(known["change_id"])].sort_values("change_id")
    chosen = causes.groupby("cause").head(OF_EACH_CAUSE).set_index("change_id")
    members = _feed(inbox, "members").drop_duplicates("member_id", keep="last").set_index("member_id")
    settings = Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})
    with opened(settings, writing=False) as session:
        session.lake.register(session.con)
        cutoff = settings.params.cutoff(NIGHT)
        context = change_context(session.con, list(chosen.index), cutoff)
        exposures = exposures_by_change(context.exposures)
        flags: list[dict[str, Any]] = [
            {
                "flag_id": f"F-{row.change_id}", "change_id": row.change_id, "payee_id": row.payee_id,
                "exposures": exposures.get(row.change_id, []),
            }
            for row in context.changes.itertuples()
        ]  # fmt: skip
        read_changes(session.con, cutoff)
        rows = evidence_table(session.con, NIGHT, Queues(flags, pd.DataFrame()), settings.params).to_pylist()
    whose = context.changes.set_index("change_id")
    exposed = {flag["change_id"]: flag["exposures"] for flag in flags}
    asked = known.set_index("change_id")
    for row in rows:
        if row["change"] is None:
            continue
        change_id, member_id = row["change_id"], whose["member_id"].get(row["change_id"])
        more = {"exposures": exposed[change_id], "reasons": [], "reassuring": []}
        body = {name: json.loads(_as_json(value)) for name, value in (row | more).items()}
        own = known[known["payee_id"] == asked["payee_id"][change_id]]
        before = own[own["requested_at"] < asked["requested_at"][change_id]]
        member = members.loc[member_id].to_dict() if member_id in members.index else None
        yield Page(change_id, chosen["cause"][change_id], body, member, len(before))


def _feed(inbox: Path, table: str) -> pd.DataFrame:
    """A table of the drops until the night, as they were written."""
    files = sorted(path for path in inbox.glob(f"*/{table}*.csv") if path.parent.name <= str(NIGHT))
    return pd.concat([pd.read_csv(path, dtype=str) for path in files], ignore_index=True)


def test_every_kind_of_fraud_and_honest_cause_is_there(pages: list[Page]) -> None:
    causes = {page.cause for page in pages}
    assert causes >= {*parameters.TYPES, *parameters.CAUSES} - {*UNCHANGED, *TOO_RARE}, sorted(causes)
    assert all(page.headline and page.story for page in pages)


def test_a_dead_member_is_named_first_and_never_reassures(pages: list[Page]) -> None:
    dead = [page for page in pages if (page.body["member"] or {}).get("died_on")]
    assert dead
    for page in dead:
        assert page.member
        assert page.body["member"]["died_on"] == page.member["died_on"], page.change_id
        assert page.headline.startswith("The member died on"), page.change_id
        assert "he member died" in page.story
        assert particulars.member(page.body, NIGHT)[0][0].startswith("died on")
        assert "no life event" not in page.honest
    for page in pages:
        if page not in dead:
            assert "member died" not in page.headline + page.story, page.change_id


def test_only_a_death_of_somebody_else_is_an_honest_explanation(pages: list[Page]) -> None:
    for page in pages:
        (check,) = [each for each in page.body["benign_checks"] if each["check"] == "life_event"]
        died_on = (page.body["member"] or {}).get("died_on")
        if died_on and check["result"] == "yes":
            assert check["code"] != "life_left" or died_on not in check["params"], page.change_id


def test_an_account_was_had_before_only_if_it_was(pages: list[Page]) -> None:
    for page in pages:
        since = phrases.day_of(page.body["after"]["since"])
        assert since, page.change_id
        has_earlier = any(phrases.day_of(each["at"]) <= page.asked_on for each in page.body["own_changes"])
        if since < page.asked_on - timedelta(days=1):
            assert page.body["change"]["is_back"], page.change_id
        if "had before" in page.headline + page.story:
            assert page.body["change"]["is_back"], page.change_id
            assert has_earlier, page.change_id
        if FRAUDS.fullmatch(page.cause):
            assert "had before" not in page.headline + page.story, page.change_id


def test_no_other_change_known_means_that_the_feed_has_none(pages: list[Page]) -> None:
    for page in pages:
        if "no other change known" in page.headline:
            assert page.earlier == 0, page.change_id
            assert "earlier change of account" not in page.story, page.change_id
            assert page.body["change"]["changed_before_at"] is None, page.change_id


def test_a_first_account_has_no_other_bank_and_no_account_before(pages: list[Page], db: None) -> None:
    reviewer = User(username="r", role=Role.REVIEWER)
    firsts = [page for page in pages if page.body["before"] is None]
    assert firsts
    for page in firsts:
        before, after = evidence_panel._sides(page.body, reviewer)
        assert not before["is_there"]
        assert not after["is_other_bank"]
        assert not after["is_other_country"]
        assert "to one in" not in page.story, page.change_id


def test_who_else_has_the_account_is_said_the_same_everywhere(pages: list[Page]) -> None:
    for page in pages:
        shared = {each["payee_id"] for each in page.body["neighbours"] if each["relation"] == "same_account"}
        households = page.body["change"]["other_households"]
        assert ("nobody else" in page.headline) <= (not shared), page.change_id
        assert ("shared with" in page.headline) == (households > 0), page.change_id
        assert ("other household" in page.story) == (households > 0), page.change_id


def test_what_was_paid_is_said_the_same_everywhere(pages: list[Page]) -> None:
    for page in pages:
        sent = page.facts("payment_sent_to_new_account")
        assert ("nothing paid to it yet" in page.headline) <= (not sent), page.change_id
        assert ("paid to the new account" in page.story) == bool(sent), page.change_id
        if sent:
            assert "first payment" in page.headline, page.change_id


def test_the_check_of_the_name_is_said_the_same_everywhere(pages: list[Page]) -> None:
    for page in pages:
        result = page.body["change"]["name_check"]
        assert ("name does not match" in page.story) == (result == "no_match"), page.change_id
        assert ("name matches" in page.story) == (result == "match"), page.change_id


def test_an_exposure_is_named_only_if_it_came_before_the_change(pages: list[Page]) -> None:
    for page in pages:
        begun = {each["breach_id"]: each["exposed_from"] for each in page.body["exposed"]}
        days = [min(filter(None, (begun.get(e["breach_id"]), e["known_at"]))) for e in page.body["exposures"]]
        is_before = any(date.fromisoformat(day) <= page.asked_on for day in days)
        assert bool(re.search("of the member (perhaps )?exposed", page.story)) == is_before, page.change_id
        assert "exposed" not in page.headline


def test_what_decides_in_the_headline_is_in_the_story_too(pages: list[Page]) -> None:
    words = {
        "name does not match": "name does not match",
        "never seen before": "never seen before", "put back to the one before": "put back to the one before",
        "the same agent moved": "to the same account", "claimed for it without": "without a public record",
        "telephone number changed": "elephone number changed", "e-mail address changed": "-mail address changed",
    }  # fmt: skip
    seen = set()
    for page in pages:
        for in_headline, in_story in words.items():
            if in_headline in page.headline:
                seen.add(in_headline)
                assert in_story in page.story, (page.change_id, page.headline, page.story)
    assert len(seen) >= 5, seen


def test_details_that_changed_with_the_account_are_not_to_be_called(pages: list[Page]) -> None:
    for page in pages:
        if re.search("telephone number changed", page.story, re.IGNORECASE):
            phone = particulars.contacts(page.body)[0]
            assert not phone.is_safe, page.change_id
