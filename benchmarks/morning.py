"""A morning of reviewers on the demo insurer: `make dossier`, or `python -m benchmarks.morning` with the demo's home.

The nights that wait are published, and two reviewers and a senior reviewer work through the list as the truth of the
synthetic insurer suggests: they open a flag, look at its evidence, and decide. As in life they are not perfect: some
decide without opening, some proposals come back, and some flags stay open. The clock starts at PAYEEWATCH_NOW and goes
on by the seconds that somebody takes. Only the demo is played on: nobody's real flags are judged like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb

from payeewatch.pipeline.home.settings import Settings

if TYPE_CHECKING:
    from django.test import Client

    from payeewatch.triage.models import Flag, User

TRUTH = Path(".demo/truth/changes.parquet")
PEOPLE = {"reviewer": "reviewer", "reviewer2": "reviewer", "senior": "senior", "auditor": "auditor"}
LEFT_OPEN = 8
"""Flags at the end of the list for which a morning has no time."""
UNOPENED_EVERY, INCONCLUSIVE_EVERY, RETURNED_EVERY = 12, 15, 4
SHOWN = 2
"""Accounts that somebody asks to see in full, to call a bank."""


@dataclass
class Team:
    """The people, and one clock for all."""

    at: datetime
    people: dict[str, User] = field(default_factory=dict)

    def now(self) -> datetime:
        return self.at

    def later(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)

    def signed_in(self, name: str) -> Client:
        """A browser of somebody who just signed in, because a session that nobody uses ends."""
        from django.test import Client

        client = Client(SERVER_NAME="localhost")
        client.force_login(self.people[name], backend="payeewatch.triage.access.known_users.KnownUsers")
        return client

    def look(self, name: str, flag: Flag, seconds: int) -> None:
        """Open a flag's page, and read it."""
        answer = self.signed_in(name).get(f"/flags/{flag.flag_id}")
        assert answer.status_code == 200, answer.status_code
        self.later(seconds)

    def see_account(self, name: str, flag: Flag) -> None:
        """Ask for the new account in full."""
        asked = {"value": "account", "why": "bank_check"}
        answer = self.signed_in(name).post(f"/flags/{flag.flag_id}/reveal", asked)
        assert answer.status_code == 200, answer.status_code
        self.later(40)

    def who_has_not_judged(self, flag: Flag) -> str | None:
        """Somebody for a second look: the senior reviewer, or a reviewer where the senior approved the verdict. None
        if all three judged it, as where a returned proposal was made again by the other reviewer: the flag waits.
        """
        from payeewatch.triage.work.verdicts import has_judged

        names = ("senior", "reviewer", "reviewer2")
        return next((name for name in names if not has_judged(flag, self.people[name])), None)

    def do(self, name: str, flag: Flag, action: str, **answers: Any) -> None:
        """Do something to a flag, as the form of its page sends it."""
        from payeewatch.triage.work import workflow

        flag.refresh_from_db()
        workflow.perform(action, self.people[name], flag.flag_id, uuid4(), flag.version, answers)


def main() -> None:
    from payeewatch.commands.review import start

    settings = Settings.load()
    start(settings)
    from payeewatch.triage import clock
    from payeewatch.triage.server.housekeeping import tidy

    team = Team(clock.now().replace(second=0, microsecond=0))
    clock.now = team.now
    tidy()  # as the server does: publish nights, end what is over, hand decisions over
    team.people = everybody()
    judged = play(team, dishonest_payees())
    team.later(settings.params.triage.undo_seconds + 60)
    tidy()
    print(f"morning   {team.at:%Y-%m-%d}: {judged} flags judged, {len(open_flags())} still open")


def everybody() -> dict[str, User]:
    """The cast; who is not there yet is made."""
    from payeewatch.triage.models import User

    return {
        name: User.objects.filter(username=name).first() or User.objects.create_user(name, role=role)
        for name, role in PEOPLE.items()
    }


def dishonest_payees() -> set[str]:
    """The payees whose account somebody else changed, as the simulator knows."""
    with duckdb.connect() as con:
        rows = con.execute("SELECT payee_id FROM read_parquet($1) WHERE is_fraud", [str(TRUTH)]).fetchall()
    return {payee for (payee,) in rows}


def open_flags() -> list[Flag]:
    """What a morning has to work on, in the order of the list."""
    from payeewatch.triage.models import OPEN, Flag

    return list(Flag.objects.filter(is_current=True, state__in=OPEN).order_by("place", "flag_id"))


def play(team: Team, dishonest: set[str], left_open: int = LEFT_OPEN) -> int:
    """Judge the list but its end; returns how many flags were judged."""
    todo = open_flags()
    todo = [flag for flag in todo[: max(len(todo) - left_open, 0)] if flag.state != "proposed"]
    for number, flag in enumerate(todo, 1):
        name = ("reviewer", "reviewer2")[number % 2]
        if number % UNOPENED_EVERY:
            team.look(name, flag, seconds=45 + number * 37 % 240)
        if flag.payee_id in dishonest:
            stop_payment(team, name, flag, number)
        elif number % INCONCLUSIVE_EVERY == 0:
            team.do(name, flag, "inconclusive", evidence_kind="call_back_failed")
        else:
            team.do(name, flag, "benign", reason="B01", evidence_kind="call_back_made")
        team.later(15)
    for number, flag in enumerate(waiting(), 1):
        approve(team, flag, number)
    for flag in drawn_again():
        if name := team.who_has_not_judged(flag):
            team.look(name, flag, seconds=120)
            team.do(name, flag, "second_look", verdict=flag.verdict, evidence_kind="document")
    return len(todo)


def stop_payment(team: Team, name: str, flag: Flag, number: int) -> None:
    """Hold, check the account with the bank, and propose that it was no change of the member's."""
    from payeewatch.triage.models import AuditRecord

    if AuditRecord.objects.filter(action="reveal").count() < SHOWN:
        team.see_account(name, flag)
    if not flag.holds.filter(state="held").exists():
        team.do(name, flag, "hold", confirm="on")
    verdict = "confirmed_fraud" if number % 2 else "attempt_stopped"
    team.do(name, flag, verdict, reason="F01", evidence_kind="bank_check")


def waiting() -> Iterator[Flag]:
    """Flags with a proposal before a second person."""
    from payeewatch.triage.models import Decision, Flag

    proposed = Decision.objects.filter(state=Decision.State.PENDING).values("flag_id")
    yield from Flag.objects.filter(pk__in=proposed).order_by("place", "flag_id")


def approve(team: Team, flag: Flag, number: int) -> None:
    """A senior reviewer looks at a proposal; now and then it comes back."""
    team.look("senior", flag, seconds=60 + number * 13 % 90)
    if number % RETURNED_EVERY:
        team.do("senior", flag, "approve")
    else:
        team.do("senior", flag, "return_proposal", because="Ask the bank first.")


def drawn_again() -> Iterator[Flag]:
    """Closed flags that were drawn for a second look."""
    from payeewatch.triage.models import Flag

    yield from Flag.objects.filter(needs_second_look=True).order_by("place", "flag_id")


if __name__ == "__main__":
    main()
