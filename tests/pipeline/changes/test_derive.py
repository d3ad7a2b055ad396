"""Changes: announced, derived, whose they are, and the same however the days were loaded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.changes import derive as derivation
from payeewatch.pipeline.changes.derive import derive
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import lake_cache
from tests.lake_rows import Row, evening, lake_session, put

BEGIN = "2024-01-01"


@pytest.fixture(params=["held", "by name", "joined"])
def session(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Claims read from memory, and from their files for few payees and for many."""
    monkeypatch.setattr(lake_cache, "LARGEST_BYTES", 2**20 if request.param == "held" else 0)
    monkeypatch.setattr(derivation, "FEW_PAYEES", 0 if request.param == "joined" else 1_000)
    with lake_session(tmp_path) as opened:
        yield opened


def sighting(payee: str, account: str, at: str, **more: object) -> Row:
    return {
        "payee_id": payee, "account": account, "payee_type": "member", "seen_at": at, "known_at": at,
        "seen_on_table": "claims",
    } | more  # fmt: skip


def announced(change: str, payee: str, old: str | None, new: str, at: str, **more: object) -> Row:
    return {
        "change_id": change, "payee_id": payee, "payee_type": "member", "requested_at": at, "effective_at": at,
        "old_account": old, "new_account": new, "channel": "portal", "name_check": "match", "known_at": at,
    } | more  # fmt: skip


def member(member_id: str, household: str, role: str = "policyholder", known_at: str = BEGIN, **more: object) -> Row:
    return {"member_id": member_id, "household_id": household, "role": role, "known_at": known_at} | more


def paid(claim: str, member_id: str, payee: str, known_at: str = BEGIN) -> Row:
    return {"claim_id": claim, "member_id": member_id, "payee_id": payee, "known_at": known_at}


ALREADY = [sighting("P0", "a0", BEGIN), sighting("P1", "a1", BEGIN)]


def changes(session: Session, *columns: str, night: str = "2030-01-01") -> list[tuple[object, ...]]:
    """The last version of every change as known on a night."""
    session.lake.register(session.con, "changes")
    return session.con.execute(
        f"""SELECT {", ".join(columns)} FROM changes WHERE known_at <= $cutoff
            QUALIFY row_number() OVER (PARTITION BY change_id ORDER BY known_at DESC, version DESC) = 1
            ORDER BY requested_at, payee_id, new_account""",
        {"cutoff": evening(night)},
    ).fetchall()


def test_an_announced_change_keeps_every_version(session: Session) -> None:
    put(session, "2024-05-01", bank_changes=[announced("C1", "P1", "a1", "a2", "2024-05-01 10:00", channel="portal")])
    derive(session)
    put(
        session,
        "2024-05-03",
        bank_changes=[announced("C1", "P1", "a1", "a3", "2024-05-01 10:00", known_at="2024-05-03 09:00")],
    )
    derive(session)
    assert changes(session, "new_account", night="2024-05-02") == [("a2",)]
    assert changes(session, "new_account", night="2024-05-03") == [("a3",)]


def test_nothing_new_makes_no_load(session: Session) -> None:
    put(session, "2024-05-01", sightings=ALREADY)
    assert derive(session) is not None
    assert derive(session) is None
    put(session, "2024-05-02", members=[member("M1", "H1")])
    assert derive(session) is None


def test_an_account_never_announced_is_a_derived_change(session: Session) -> None:
    put(session, "2024-05-01", sightings=[*ALREADY, sighting("P1", "a2", "2024-03-01 08:00")])
    derive(session)
    columns = ("derived", "payee_id", "old_account", "new_account", "channel", "name_check", "auth_strength")
    assert changes(session, *columns) == [(True, "P1", "a1", "a2", "unknown", "not_run", None)]
    ((change_id, requested, effective),) = changes(
        session, "change_id", "requested_at::VARCHAR", "effective_at::VARCHAR"
    )
    assert str(change_id).startswith("D-")
    assert len(str(change_id)) == 18
    assert requested == effective == "2024-03-01 08:00:00"


@pytest.mark.parametrize("as_old", [True, False])
def test_an_account_announced_before_it_is_seen_is_no_derived_change(session: Session, as_old: bool) -> None:
    old, new = ("a2", "a9") if as_old else ("a1", "a2")
    put(
        session,
        "2024-05-01",
        sightings=[*ALREADY, sighting("P1", "a2", "2024-03-05")],
        bank_changes=[announced("C1", "P1", old, new, "2024-03-01")],
    )
    derive(session)
    assert changes(session, "change_id") == [("C1",)]


def test_an_announcement_of_the_same_day_comes_in_time(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        sightings=[*ALREADY, sighting("P1", "a2", "2024-03-05 08:00")],
        bank_changes=[announced("C1", "P1", "a1", "a2", "2024-03-05 18:00")],
    )
    derive(session)
    assert changes(session, "change_id") == [("C1",)]


def test_an_announcement_to_another_payee_does_not_count(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        sightings=[*ALREADY, sighting("P1", "a2", "2024-03-05")],
        bank_changes=[announced("C1", "P0", "a0", "a2", "2024-03-01")],
    )
    derive(session)
    assert changes(session, "payee_id", "derived") == [("P0", False), ("P1", True)]


@pytest.mark.parametrize(("first_seen", "derived"), [("2024-03-30", False), ("2024-04-02", True)])
def test_a_first_account_is_news_only_for_a_payee_newly_paid(session: Session, first_seen: str, derived: bool) -> None:
    put(session, "2024-06-01", sightings=[*ALREADY, sighting("P9", "a9", first_seen)])
    derive(session)
    assert changes(session, "payee_id", "old_account") == ([("P9", None)] if derived else [])


def test_a_providers_row_may_show_the_change(session: Session) -> None:
    row = sighting(
        "PR1", "b2", "1999-01-01", payee_type="provider", seen_on_table="providers", known_at="2024-06-01 20:00"
    )
    first = sighting("PR1", "b1", "1999-01-01", payee_type="provider", seen_on_table="providers", known_at="1999-01-01")
    put(session, "2024-06-01", sightings=[*ALREADY, first, row])
    derive(session)
    columns = ("payee_id", "old_account", "new_account", "requested_at::VARCHAR", "member_id", "household_id")
    assert changes(session, *columns) == [("PR1", "b1", "b2", "2024-06-01 20:00:00", None, None)]


def test_one_mistyped_year_does_not_make_everybody_new(session: Session) -> None:
    many = [sighting(f"P{n}", f"x{n}", "2024-04-15") for n in range(2000)]
    put(session, "2024-06-01", sightings=[sighting("P", "a", "1924-01-01"), *many])
    derive(session)
    assert changes(session, "payee_id") == []


def test_a_planned_payment_is_a_change_from_the_day_it_is_known(session: Session) -> None:
    planned = sighting("P1", "a2", "2024-05-20", known_at="2024-05-15 21:00", seen_on_table="payments")
    put(session, "2024-05-15", sightings=[*ALREADY, planned])
    derive(session)
    assert changes(session, "requested_at::VARCHAR") == [("2024-05-15 21:00:00",)]


def test_the_account_before_is_the_one_in_effect_then(session: Session) -> None:
    put(
        session,
        "2024-06-01",
        sightings=[*ALREADY, sighting("P1", "a9", "2024-05-01")],
        bank_changes=[
            announced("C1", "P1", "a1", "a2", "2024-02-01"),
            announced("C2", "P1", "a2", "a3", "2024-04-20", effective_at="2024-05-20"),
        ],
    )
    derive(session)
    assert changes(session, "old_account", "new_account")[-1] == ("a2", "a9")


@pytest.mark.parametrize(("announced_on", "taken_over"), [("2024-03-30", "C1"), ("2024-04-02", None)])
def test_an_announcement_within_thirty_days_takes_over(
    session: Session, announced_on: str, taken_over: str | None
) -> None:
    put(session, "2024-03-01", sightings=[*ALREADY, sighting("P1", "a2", "2024-03-01")])
    derive(session)
    put(session, announced_on, bank_changes=[announced("C1", "P1", "a1", "a2", "2024-02-20", known_at=announced_on)])
    derive(session)
    assert changes(session, "superseded_by", night="2024-03-15") == [(None,)]
    by_kind = dict(changes(session, "derived", "superseded_by"))
    assert by_kind == {True: taken_over, False: None}


def test_an_announcement_loaded_after_the_same_nights_derivation_still_takes_over(session: Session) -> None:
    put(session, "2024-03-01", sightings=[*ALREADY, sighting("P1", "a2", "2024-03-01", known_at=evening("2024-03-01"))])
    derive(session)
    late = announced("C1", "P1", "a1", "a2", "2024-02-20", known_at=evening("2024-03-01"))
    put(session, "2024-02-20", bank_changes=[late])
    derive(session)
    assert changes(session, "derived", "superseded_by", night="2024-03-01") == [(False, None), (True, "C1")]


def test_the_member_is_the_policyholder_of_the_household_most_often_paid(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        members=[
            member("M1", "H1"), member("M2", "H1", "child"), member("M3", "H2", "policyholder"),
            member("M7", "H3", "other"), member("M6", "H3", "other"),
        ],
        claims=[
            paid("c1", "M2", "P1"), paid("c2", "M1", "P1"), paid("c2", "M1", "P1", "2024-02-01"),
            paid("c3", "M3", "P1"), paid("c4", "M7", "P2"), paid("c5", "M3", "P1", "2024-03-01"),
            paid("c6", "M3", "P1", "2024-03-01"),
        ],
        bank_changes=[announced("C1", "P1", None, "x1", "2024-02-02"), announced("C2", "P2", None, "x2", "2024-02-02")],
    )  # fmt: skip
    derive(session)
    assert changes(session, "change_id", "member_id", "household_id") == [("C1", "M1", "H1"), ("C2", "M6", "H3")]


def test_a_derived_change_without_claims_belongs_to_the_member_that_showed_it(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        members=[member("M1", "H1"), member("M2", "H1", "spouse")],
        sightings=[*ALREADY, sighting("P1", "a2", "2024-03-01", member_id="M2", seen_on_table="payments")],
    )
    derive(session)
    assert changes(session, "member_id", "household_id") == [("M1", "H1")]


def test_a_household_is_the_one_known_that_night_not_later(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        members=[member("M1", "H1"), member("M1", "H2", known_at="2024-03-10")],
        bank_changes=[
            announced("C1", "P1", "a1", "a2", "2024-03-09", member_id="M1"),
            announced("C2", "P1", "a2", "a3", "2024-03-10", member_id="M1"),
            announced("C3", "P2", None, "a4", "2024-03-11", member_id="M404"),
        ],
    )
    derive(session)
    assert changes(session, "member_id", "household_id") == [("M1", "H1"), ("M1", "H2"), ("M404", None)]


def test_holder_share_counts_the_holders_words_among_the_households_names(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        members=[
            member("M1", "H1", name_tokens=[1, 2]), member("M2", "H1", "spouse", name_tokens=[3, 4]),
            member("M3", "H1", "spouse", name_tokens=[9]), member("M3", "H2", name_tokens=[9], known_at="2024-02-01"),
        ],
        bank_changes=[
            announced("C1", "P1", "a1", "a2", "2024-03-01", member_id="M1", holder_tokens=[1, 3, 7, 8]),
            announced("C2", "P1", "a1", "a2", "2024-03-02", member_id="M1", holder_tokens=[9]),
            announced("C3", "P1", "a1", "a2", "2024-03-03", member_id="M1"),
            announced("C4", "PR", "a1", "a2", "2024-03-04", payee_type="provider", holder_tokens=[1]),
        ],
    )  # fmt: skip
    derive(session)
    assert changes(session, "holder_share") == [(2 / 4,), (0.0,), (None,), (None,)]


DAYS = [date(2024, 1, 1) + timedelta(days=50 * n) for n in range(5)]
PAYEES, ACCOUNTS = st.sampled_from(["P1", "P2"]), st.sampled_from(["a", "b", "c"])
KINDS = st.sampled_from(["seen", "announced"])
FACTS = st.lists(
    st.tuples(KINDS, st.integers(0, 4), st.integers(0, 23), PAYEES, ACCOUNTS, ACCOUNTS),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=FACTS)
def test_loading_at_once_or_drop_by_drop_gives_the_same_changes(
    facts: list[tuple[str, int, int, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs, drops = set(), []
    for number, day in enumerate(DAYS):
        rows: dict[str, list[Row]] = {"sightings": [], "bank_changes": [], "claims": [], "members": []}
        for position, (kind, on, hour, payee, account, other) in enumerate(facts):
            at = f"{day} {hour:02d}:00"
            if on != number:
                continue
            if kind == "announced":
                rows["bank_changes"].append(announced(f"C{position}", payee, other, account, at))
            elif (payee, account) not in pairs:
                pairs.add((payee, account))
                rows["sightings"].append(sighting(payee, account, at))
                rows["claims"].append(paid(f"c{position}", f"M{position % 3}", payee, at))
                rows["members"].append(member(f"M{position % 3}", f"H{position % 2}", known_at=at))
        drops.append((str(day), {table: part for table, part in rows.items() if part}))

    def load(stepwise: bool) -> list[list[tuple[object, ...]]]:
        with lake_session(tmp_path_factory.mktemp("lake")) as session:
            for day, rows in drops:
                put(session, day, **rows)
                if stepwise:
                    derive(session)
            derive(session)
            columns = (
                "change_id",
                "derived",
                "old_account",
                "new_account",
                "member_id",
                "household_id",
                "superseded_by",
            )
            return [changes(session, *columns, night=str(day)) for day in DAYS]

    assert load(stepwise=True) == load(stepwise=False)
