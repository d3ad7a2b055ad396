"""The command about breach lists: `lists`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("lists")
@click.argument("action", type=click.Choice(["withdraw"]), required=False)
@click.argument("breach_id", required=False)
@click.option("--reason", default="", help="Why the list is withdrawn; it is kept in the lake's record.")
@click.option("--on", "day", type=DAY, help="The day that counts; default: the last night published, else today.")
def lists(settings: Settings, action: str | None, breach_id: str | None, reason: str, day: date | None) -> Answer:
    """Show the breach lists in force; or take one out of the lake: its people, and who was on it.

    Example: payeewatch lists withdraw TPO-1 --reason duplicate
    """
    if action and not (breach_id and reason.strip()):
        raise click.UsageError("name the list and a reason: payeewatch lists withdraw ID --reason REASON")
    from payeewatch.pipeline.breaches.lists import lists_in_force, withdraw_list
    from payeewatch.pipeline.opening import opened

    with opened(settings, writing=bool(action)) as session:
        on = day or session.last_published() or date.today()
        if action and breach_id:
            withdraw_list(session, breach_id, on, reason.strip())
        in_force = lists_in_force(session, on)
    rows = [
        {
            "breach_id": load.source,
            "title": load.facts["title"],
            "people": load.facts["people"]["rows"],
            "known_at": load.facts["known_at"],
            "purge_on": load.facts["purge_on"],
        }
        for load in in_force
    ]
    lines = [f"{breach_id} is withdrawn"] if action else []
    lines += [
        f"{row['breach_id']:<16} {row['people']:>9,} people  until {row['purge_on']}  {row['title']}" for row in rows
    ]
    return {"on": on, "withdrawn": breach_id if action else None, "lists": rows}, lines or ["no list is in force"]
