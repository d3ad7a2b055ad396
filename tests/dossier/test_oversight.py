"""What people did is recomputed from the verdicts that were handed over and from the bare rows of the audit log."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest
from django.db import connection

from benchmarks.morning import PEOPLE, SHOWN, Team, play
from payeewatch.dossier import words
from payeewatch.dossier.build import _statement
from payeewatch.dossier.facts.model import model_facts
from payeewatch.dossier.facts.records import incident_facts
from payeewatch.dossier.facts.work import VERDICTS, oversight_facts, review, security_facts
from payeewatch.dossier.reading import Reading, Review
from payeewatch.dossier.statements import Fact, State
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock
from payeewatch.triage.access.api_tokens import make
from payeewatch.triage.figures.oversight import oversight
from payeewatch.triage.models import Flag, User
from payeewatch.triage.records.audit import record
from payeewatch.triage.roles import Role
from payeewatch.triage.server.housekeeping import tidy
from payeewatch.triage.work import verdicts
from tests.triage.conftest import MORNING, clocked, imported, nights_home, reviewed, user  # noqa: F401

ROWS = "SELECT number, at, {quoted}, role, action, flag_id, details FROM triage_auditrecord ORDER BY number"

# A verdict and the last time the same user opened the flag before; in a played morning nobody opens a flag twice.
VERDICTS_GIVEN = """
SELECT v.number, epoch(v.moment) - max(epoch(o.moment)) AS seconds, count(o.number) AS opened
FROM log AS v LEFT JOIN log AS o
  ON o.action = 'view' AND o.who = v.who AND o.flag_id = v.flag_id AND o.number < v.number
WHERE v.action IN ('benign', 'inconclusive', 'confirmed_fraud', 'attempt_stopped')
GROUP BY v.number, v.moment ORDER BY seconds
"""
SECOND_LOOKS = """
SELECT count(*), count(*) FILTER (s.verdict = v.verdict) FROM log AS s JOIN log AS v USING (flag_id)
WHERE s.kind = 'second_look' AND v.kind = 'verdict' AND v.state = 'in_force'
"""


@pytest.fixture
def played(reviewed: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:  # noqa: F811
    """A morning of a team, handed over; the payees of the first five flags are taken for dishonest."""
    team = Team(MORNING, {name: user(Role(role), name) for name, role in PEOPLE.items()})
    monkeypatch.setattr(clock, "now", team.now)
    first = Flag.objects.filter(is_current=True).order_by("place").values_list("payee_id", flat=True)[:5]
    play(team, {*first}, left_open=1)
    again = Flag.objects.filter(verdict="benign").order_by("flag_id").first()
    assert again
    again.needs_second_look = True  # the draw takes a few of a hundred
    again.save()
    assert team.who_has_not_judged(again) == "senior"
    with monkeypatch.context() as everybody_judged:
        everybody_judged.setattr(verdicts, "has_judged", lambda flag, person: True)
        assert team.who_has_not_judged(again) is None
    team.do("senior", again, "second_look", verdict="inconclusive", evidence_kind="document")
    team.later(reviewed.params.triage.undo_seconds + 1)
    tidy()
    return reviewed


def log() -> duckdb.DuckDBPyConnection:
    """The rows of the audit log in a database of their own."""
    with connection.cursor() as cursor:
        cursor.execute(ROWS.format(quoted=connection.ops.quote_name("user")))
        rows = cursor.fetchall()
    con = duckdb.connect()
    frame = pd.DataFrame(rows, columns=["number", "moment", "who", "role", "action", "flag_id", "details"])  # noqa: F841
    con.execute("""CREATE TABLE log AS SELECT number, CAST(moment AS TIMESTAMP) AS moment, who, role, action, flag_id,
                   details->>'kind' AS kind, details->>'verdict' AS verdict, details->>'state' AS state FROM frame""")
    return con


def facts_of(settings: Settings) -> dict[str, Fact | None]:
    home = Reading(settings, MORNING.date())
    home = Reading(settings, MORNING.date(), review(home))
    incidents = incident_facts(home)
    return {
        **oversight_facts(home),
        **security_facts(home),
        "restores": incidents["restores"],
        "accepted_rows": incidents["accepted_rows"],
        "precision": model_facts(home)["precision"],
    }


def values(facts: dict[str, Fact | None], name: str) -> dict[str, Any]:
    fact = facts[name]
    assert fact
    return dict(fact.values)


def test_the_oversight_log_is_what_people_did_by_another_road(played: Settings) -> None:
    facts, con = facts_of(played), log()
    given = con.execute(VERDICTS_GIVEN).fetchall()
    seconds = [each[1] for each in given if each[2]]
    files = str(played.folder("outcomes") / "*.parquet")
    handed_over = Counter(
        dict(
            con.execute(
                "SELECT verdict, count(DISTINCT change_id) FROM read_parquet($1) GROUP BY 1", [files]
            ).fetchall()
        )
    )
    fact = facts["verdicts"]
    assert fact
    assert {code: many for code, (_, many) in zip(VERDICTS, fact.rows, strict=True) if many} == dict(handed_over)
    assert handed_over.keys() == {"benign", "attempt_stopped", "confirmed_fraud"}
    assert (fact.values["verdicts"], fact.values["standing"]) == (len(given), handed_over.total())
    assert (values(facts, "overruled")["hits"], values(facts, "overruled")["of"]) == (
        handed_over["benign"], handed_over.total(),
    )  # fmt: skip
    assert values(facts, "precision")["hits"] == handed_over.total() - handed_over["benign"]
    assert (values(facts, "unopened")["hits"], values(facts, "unopened")["of"]) == (
        len(given) - len(seconds), len(given),
    )  # fmt: skip
    times = values(facts, "seconds")
    assert times == {
        "median": round(float(pd.Series(seconds).median())),
        "tenth": round(seconds[len(seconds) // 10]),
        "of": len(seconds),
    }
    looked_again = con.execute(SECOND_LOOKS).fetchone()
    assert tuple(values(facts, "second_looks").values()) == looked_again == (1, 0)
    many = Counter(dict(con.execute("SELECT action, count(*) FROM log GROUP BY 1").fetchall()))
    approvals, holds = values(facts, "approvals"), values(facts, "holds")
    assert (approvals["approved"], approvals["returned"]) == (many["approve"], many["return_proposal"])
    assert holds["held"] == many["hold"] > 0
    assert values(facts, "reveals") == {"shown": SHOWN, "refused": 0, "exports": 0}
    saw = con.execute("SELECT count(DISTINCT who), count(*) FROM log WHERE action = 'reveal' GROUP BY role").fetchall()
    reveals = facts["reveals"]
    assert reveals
    assert sorted(row[1:] for row in reveals.rows) == sorted(saw)
    assert sum(row[2] for row in reveals.rows) == SHOWN


def test_records_by_role_are_all_records_and_users_and_tokens_those_of_the_database(played: Settings) -> None:
    facts, con = facts_of(played), log()
    roles = facts["roles"]
    assert roles
    (total,) = con.execute("SELECT count(*) FROM log").fetchone() or (0,)
    assert sum(many for _, many in roles.rows) == total == values(facts, "log")["records"]
    assert values(facts, "log")["findings"] == 0
    assert (facts["tokens_in_force"], facts["restores"], facts["accepted_rows"]) == (None, None, None)
    make("archive", ["flags", "runs"])
    restored = record(None, "restore", made_at="2024-09-24T06:00:00+00:00")
    accepted = record(None, "accept_rows", accepted=["hold 1", "hold 2"], reason="repaired")
    someone = User.objects.order_by("pk").first()
    assert someone
    someone.household_id, someone.subject = "H1", "anna@provider"
    someone.save()
    facts = facts_of(played)
    tokens, users = facts["tokens_in_force"], facts["users"]
    assert tokens
    assert users
    assert tokens.rows == (("archive", "flags, runs"),)
    assert facts["restores"]
    assert facts["restores"].rows == ((restored.number, MORNING.date(), "2024-09-24 06:00"),)
    assert facts["accepted_rows"]
    assert facts["accepted_rows"].rows == ((accepted.number, MORNING.date(), 2),)
    assert sum(row[1] for row in users.rows) == users.values["many"] == User.objects.count()
    assert (users.values["own"], users.values["single"]) == (1, 1)


def test_a_log_that_begins_after_the_day_is_not_said_to_be_missing(played: Settings) -> None:
    home = Reading(played, MORNING.date() - timedelta(days=2))
    facts = oversight_facts(Reading(played, home.as_of, Review(oversight(home.until))))
    entry = words.texts("oversight")["statements"]["log"]
    statement = _statement(home, "oversight.log", "5.1", entry, facts, {})
    assert statement.state == State.STATED
    assert "none; the first ones are later" in statement.text["en"]


def readings(played: Settings, *days: int) -> list[Reading]:
    """The home as of days after the morning's."""
    homes = [Reading(played, MORNING.date() + timedelta(days=each)) for each in days]
    return [replace(each, review=review(each)) for each in homes]


def check_what_later_days_say(played: Settings) -> None:
    """What is judged not pertinent stands until it is purged; no hold is said to end before one can."""
    closed = Flag.objects.filter(state="closed", verdict="benign").count()
    reviews = [each.review for each in readings(played, -1, 0, 1)]
    assert [each and (each.standing, each.standing_from_before) for each in reviews] == [
        (0, 0), (closed, 0), (closed, closed),
    ]  # fmt: skip
    assert closed > 0
    entry = words.texts("oversight")["statements"]["holds"]
    texts = [
        _statement(each, "oversight.holds", "5.9", entry, oversight_facts(each), {}).text["en"]
        for each in readings(played, 0, 30)
    ]
    assert "by themselves: 0 (none could yet: the first that people set was to end after" in texts[0]
    assert "behind a fraud confirmed since, a hold has no end)" in texts[0]
    assert "by themselves: 0;" in texts[1]


def test_what_people_do_after_the_day_is_not_in_it(played: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    check_what_later_days_say(played)
    team = Team(MORNING, {"senior": user(Role.SENIOR, "later")})
    before = facts_of(played)
    monkeypatch.setattr(clock, "now", lambda: MORNING + timedelta(days=1))
    flag = Flag.objects.filter(state="new").order_by("flag_id").first()
    assert flag
    team.do("senior", flag, "benign", reason="B01", evidence_kind="document")
    assert facts_of(played) == before
