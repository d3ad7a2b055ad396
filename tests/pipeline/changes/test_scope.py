"""A night over a large lake reads the rows of its own payees, and finds what it finds over all rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from payeewatch.features.engines.plan import PLANS, PlannedEngine
from payeewatch.pipeline.changes.amounts import amounts
from payeewatch.pipeline.changes.context import change_context
from payeewatch.pipeline.changes.engines import prepare
from payeewatch.pipeline.changes.measure import measure
from payeewatch.pipeline.changes.scope import ALSO_READ, focus, focus_on_changes
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import lake_cache
from tests.conftest import NIGHTS, Home
from tests.lake_rows import evening, lake_session, put, table

NIGHT = date(2024, 5, 10)
CHANGES = """
change_id  payee_id  new_account  effective_at  known_at    derived
X1         P1        new1         2024-05-01    2024-05-01  false
X2         P2        new2         2022-05-01    2022-05-01  false
X3         P3        new3         2022-05-01    2022-05-01  false
"""
CLAIMS = """
claim_id  payee_id
stays     P1
leaves    P1
comes     P9
old       P3
other     P9
"""
PAYMENTS = """
payment_id  payee_id  account  status
waits       P2        new2     planned
gone        P3        new3     planned
"""


@pytest.fixture(params=[(), ("claims", "payments")], ids=["keys may repeat", "keys come once"])
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A lake of which nothing is small enough to be held."""
    monkeypatch.setattr(lake_cache, "LARGEST_BYTES", 0)
    with lake_session(tmp_path) as opened_one:
        rows = {"changes": table(CHANGES), "claims": table(CLAIMS), "payments": table(PAYMENTS)}
        put(opened_one, "2024-05-01", facts={"keys_once": list(request.param)}, **rows)
        put(
            opened_one,
            "2024-05-02",
            claims=table("claim_id payee_id\nleaves P9\ncomes P1"),
            payments=table("payment_id payee_id account status\ngone P3 new3 sent"),
        )
        opened_one.lake_cache.register()
        yield opened_one


def versions(session: Session, key: str, rows: str) -> list[tuple[object, ...]]:
    return session.con.execute(f"SELECT {key}, payee_id, superseded_at FROM {rows} ORDER BY ALL").fetchall()


def test_a_row_that_moved_is_seen_to_move(session: Session) -> None:
    moved = evening("2024-05-02")
    with focus(session, [NIGHT], [], []):
        assert versions(session, "claim_id", "claims") == [
            ("comes", "P1", None), ("leaves", "P1", moved), ("leaves", "P9", None), ("stays", "P1", None)
        ]  # fmt: skip


def test_versions_that_a_load_made_of_one_row_end_one_another(session: Session) -> None:
    """Of a row that a later load brings again, the last of them ends when that is known."""
    instants = [evening(f"2024-04-{day}") for day in (20, 25, 28)]
    session.lake.root.joinpath("loads").rename(session.lake.root / "before")
    session.lake.reload()
    rows = [{"claim_id": claim, "payee_id": "P1", "known_at": at} for claim in ("C1", "C2") for at in instants]
    put(session, "2024-05-01", facts={"keys_once": ["claims"]}, changes=table(CHANGES), claims=rows)
    put(session, "2024-05-02", claims=table("claim_id payee_id\nC2 P1\nC3 P1"))
    session.lake_cache.register()
    later = evening("2024-05-02")
    with focus(session, [NIGHT], [], []):
        assert versions(session, "claim_id", "claims") == [
            ("C1", "P1", instants[1]), ("C1", "P1", instants[2]), ("C1", "P1", None),
            ("C2", "P1", instants[1]), ("C2", "P1", instants[2]), ("C2", "P1", later), ("C2", "P1", None),
            ("C3", "P1", None),
        ]  # fmt: skip


def test_a_row_that_moved_in_the_first_load_is_seen_to_move_too(session: Session) -> None:
    put(session, "2024-05-03", claims=[{"claim_id": "other", "payee_id": "P1", "known_at": evening("2024-04-30")}])
    session.lake_cache.register()
    with focus(session, [NIGHT], [], []):
        assert ("other", "P1", evening("2024-05-01")) in versions(session, "claim_id", "claims")


def test_the_payee_of_an_old_change_is_looked_at_while_a_payment_waits(session: Session) -> None:
    with focus(session, [NIGHT], [], []):
        assert versions(session, "payment_id", "payments") == [("waits", "P2", None)]


def test_the_payee_of_a_change_that_takes_effect_long_before_it_is_known_is_looked_at(session: Session) -> None:
    columns = "change_id payee_id new_account requested_at effective_at known_at derived"
    put(session, "2024-05-03", changes=table(f"{columns}\nX4 P9 new4 2021-01-01 2021-01-01 2024-05-03 false"))
    session.lake_cache.register()
    with focus(session, [NIGHT], [], []):
        assert ("other", "P9", None) in versions(session, "claim_id", "claims")


def test_payees_and_changes_may_be_named(session: Session) -> None:
    with focus(session, [NIGHT], ["X3"], ["P9"]):
        claims = {claim for claim, *_ in versions(session, "claim_id", "claims")}
    assert claims == {"stays", "leaves", "comes", "old", "other"}


def test_of_changes_alone_only_their_payees_are_read(session: Session) -> None:
    with focus_on_changes(session, ["X3"]):
        assert {payee for _, payee, _ in versions(session, "claim_id", "claims")} == {"P3"}
        assert {payee for _, payee, _ in versions(session, "payment_id", "payments")} == {"P3"}


def test_a_payment_that_waits_on_any_of_several_nights_counts(session: Session) -> None:
    before = date(2024, 5, 1)
    with focus(session, [before, NIGHT], [], []):
        assert versions(session, "payment_id", "payments") == [
            ("gone", "P3", evening("2024-05-02")), ("gone", "P3", None), ("waits", "P2", None)
        ]  # fmt: skip
    put(session, "2024-05-05", payments=table("payment_id payee_id account status\nnew P3 new3 planned"))
    put(session, "2024-05-06", payments=table("payment_id payee_id account status\nnew P3 new3 sent"))
    session.lake_cache.register()
    with focus(session, [date(2024, 5, 4), NIGHT], [], []):
        assert ("new", "P3", None) in versions(session, "payment_id", "payments")


def test_afterwards_every_row_is_there_again(session: Session) -> None:
    before = session.con.execute("SELECT * FROM claims ORDER BY ALL").fetchall()
    with focus(session, [NIGHT], [], []):
        assert len(session.con.execute("FROM claims").fetchall()) < len(before)
    assert session.con.execute("SELECT * FROM claims ORDER BY ALL").fetchall() == before


@pytest.mark.parametrize("largest", [lake_cache.LARGEST_BYTES, 0])
def test_the_plan_made_before_a_night_is_loaded_is_the_one_it_follows(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(lake_cache, "LARGEST_BYTES", largest)
    PLANS.clear()
    settings = Settings.load(published.path, {"PAYEEWATCH_KEY_FILE": str(published.key_file)})
    with opened(settings, writing=False) as session:
        prepare(tmp_path, settings.params, session.lake_cache.small_tables().union(ALSO_READ))
        monkeypatch.setattr("payeewatch.pipeline.changes.measure.measure_features", None)
        session.lake_cache.register()
        with focus(session, [NIGHTS[0]], [], []):
            assert len(measure(PlannedEngine(session.con), settings.params, [NIGHTS[0]])) > 20


@pytest.mark.parametrize("night", NIGHTS[-1:])
def test_a_night_finds_the_same_in_focus(published: Home, monkeypatch: pytest.MonkeyPatch, night: date) -> None:
    settings = Settings.load(published.path, {"PAYEEWATCH_KEY_FILE": str(published.key_file)})
    results = []
    for largest in (lake_cache.LARGEST_BYTES, 0):
        monkeypatch.setattr(lake_cache, "LARGEST_BYTES", largest)
        with opened(settings, writing=False) as session:
            params, cutoff = session.settings.params, session.settings.params.cutoff(night)
            session.lake_cache.register()
            with focus(session, [night], [], []):
                frame = measure(PlannedEngine(session.con), params, [night])
                changes = change_context(session.con, list(frame["change_id"]), cutoff).changes.assign(is_decided=True)
                euros = amounts(session.con, {cutoff: changes}, params.timezone)[cutoff]
            assert len(frame) > 20
            results.append((frame, euros.by_change, euros.pending))
    for whole, focused in zip(*results, strict=True):
        assert_frame_equal(whole, focused, check_exact=True)
