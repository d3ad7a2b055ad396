"""What a night says of the feeds it loads, and of those that brought nothing to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.session import Session
from tests.breach_lists import person, put_list
from tests.inbox import good, inbox_session, put_drop, whole_drop

USELESS = "payments.value_date: 8 of 8 filled cells cannot be used"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        put_list(opened.settings.folder("breaches"), "L-1", [person(1)])
        yield opened


def states_of(session: Session, day: int) -> list[str]:
    session.states.clear()
    load_until(session, date(2024, 4, day))
    return [state for state in session.states if state.startswith(USELESS)]


def test_the_states_of_a_feed_stay_until_its_next_drop(session: Session) -> None:
    home, spoiled = session.settings.home, [good("payments", n, value_date="NULL") for n in range(1, 9)]
    for day in (1, 2):
        whole_drop(home, f"2024-04-0{day}", payments=spoiled)
    assert len(states_of(session, 2)) == 1
    assert len(states_of(session, 3)) == 1  # no drop
    put_drop(home, "2024-04-04", claims=[good("claims", 4)])
    assert len(states_of(session, 4)) == 1  # a drop without payments
    put_drop(home, "2024-04-05", payments=[good("payments", n) for n in range(11, 19)])
    assert states_of(session, 5) == []
    assert len(states_of(session, 4)) == 1  # the night again
