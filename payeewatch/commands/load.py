"""Commands that load the lake: `ingest`, `link`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from payeewatch.command import DAY, Answer, accept_option, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.session import Session
    from payeewatch.pipeline.store.lake import Load


@command("ingest", waits=True)
@click.option("--until", type=DAY, required=True, help="The last day to load.")
@click.option(
    "--again", is_flag=True, help="Read all drops again, as the source profile is now; before the first night."
)
@accept_option
def ingest(settings: Settings, until: date, again: bool, accepts: tuple[tuple[date, str], ...]) -> Answer:
    """Load every drop up to a day that is not in the lake yet, and the breach lists known by then.

    Example: payeewatch ingest --until 2024-12-31
    """
    from payeewatch.pipeline.loading import ingest_until
    from payeewatch.pipeline.opening import opened

    with opened(settings) as session:
        session.accepts = dict(accepts)
        if again:
            _begin_again(session)
        loads = ingest_until(session, until)
        warnings = list(session.warnings)
    answer = {"loads": [{"kind": load.kind, "source": load.source, "mode": load.mode} for load in loads]}
    return answer | {"warnings": warnings}, [_line(load) for load in loads] or ["nothing new"]


def _line(load: Load) -> str:
    source = "" if load.source == load.kind else load.source  # there is one of the reference tables
    return f"{load.kind:<9} {source}  {load.mode}".rstrip()


def _begin_again(session: Session) -> None:
    """Let no drop that is loaded count any more; they are read again."""
    from payeewatch.pipeline.loading import drop_gone, undo_since

    if published := session.last_published():
        raise click.UsageError(
            f"--again is for a home without nights, and night {published} is published; see docs/running.md, "
            '"A source profile that changed"'
        )
    if gone := drop_gone(session, date.min):
        raise click.UsageError(f"--again would read drop {gone} again, and it is not in the inbox any more")
    undo_since(session, date.min)


@command("link", waits=True)
def link(settings: Settings) -> Answer:
    """Find who is on which breach list, and which changes nobody announced, over all that is loaded.

    Example: payeewatch link
    """
    from payeewatch.pipeline.loading import link_and_derive
    from payeewatch.pipeline.opening import opened

    with opened(settings) as session:
        loads = link_and_derive(session)
    return {load.kind: load.facts for load in loads}, [f"{load.kind:<9} {load.facts}" for load in loads] or [
        "nothing new"
    ]
