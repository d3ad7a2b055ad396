"""What the queues read about a change, as known by a night."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from payeewatch.pipeline.changes.context import ChangeContext, at_decision, change_context, contexts_by_cutoff
from payeewatch.pipeline.frames import are_among
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake_cache import LakeCache
from tests.lake_rows import PARAMS, Row, evening, lake_session, put


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def change(change_id: str, **more: object) -> Row:
    return {
        "change_id": change_id, "payee_id": "P1", "payee_type": "member", "member_id": "M1", "household_id": "H1",
        "new_account": "new", "derived": change_id.startswith("D-"), "requested_at": "2024-05-01",
        "effective_at": "2024-05-01",
    } | more  # fmt: skip


def on_night(session: Session, night: str, *change_ids: str) -> ChangeContext:
    """As that night knew it: over files and over held tables, which tell when versions end, alone and among others."""
    cutoff = evening(night)
    others = [cutoff - timedelta(days=days) for days in (3, 1, -1, -4)]
    session.lake.register(session.con)
    result = change_context(session.con, change_ids, cutoff)
    among = [contexts_by_cutoff(session.con, change_ids, sorted([cutoff, *others]))[cutoff]]
    LakeCache(session.lake, session.con).register()
    among.append(contexts_by_cutoff(session.con, change_ids, sorted([cutoff, *others]))[cutoff])
    for other in among:
        for name in ("changes", "exposures", "decisions"):
            assert_frame_equal(plain(getattr(result, name)), plain(getattr(other, name)))
    return result


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the types that a column has by chance when nothing in it is known."""
    return frame.astype(object).where(frame.notna(), None)


def test_a_hint_names_country_bank_and_last_four_only(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        changes=[change("C1"), change("C2", new_account="other"), change("C3", new_account="unseen")],
        accounts=[
            {"account": "new", "country": "FR", "bank_code": "99001", "last_four": "1741"},
            {"account": "other", "country": "FR", "bank_code": "99002", "last_four": "2222"},
        ],
        reference_banks=[{"country": "FR", "bank_code": "99001", "name": "Banque X"}],
    )
    hints = on_night(session, "2024-05-01", "C1", "C2", "C3").changes["account_hint"].tolist()
    assert hints == ["FR · 99001 Banque X · …1741", "FR · 99002 · …2222", "unknown account"]


def test_an_announced_change_knows_the_derived_one_it_took_over_from_that_night_on(session: Session) -> None:
    put(session, "2024-05-01", changes=[change("D-1"), change("C1")])
    put(session, "2024-05-02", changes=[change("D-1", superseded_by="C1")])
    before = on_night(session, "2024-05-01", "C1", "D-1").changes
    after = on_night(session, "2024-05-02", "C1", "D-1").changes
    assert before["origin_id"].tolist() == ["C1", "D-1"]
    assert after["origin_id"].tolist() == ["D-1", "D-1"]


def lists(breach_id: str, known_on: str, **more: object) -> Row:
    return {"breach_id": breach_id, "list_known_on": known_on, "fields": ["name"], "is_purged": False} | more


def exposed(breach_id: str, match: str | None, **more: object) -> Row:
    return {"member_id": "M1", "breach_id": breach_id, "match_quality": match} | more


def test_exposures_are_those_of_the_member_on_lists_known_by_then(session: Session) -> None:
    put(
        session,
        "2024-05-01",
        changes=[change("C1"), change("C2", member_id="M2")],
        lists=[lists("B1", "2024-03-01"), lists("B2", "2024-02-01"), lists("B3", "2024-01-01", is_purged=True)],
        exposures=[exposed("B1", "probable"), exposed("B2", "exact"), exposed("B3", "exact")],
    )
    put(session, "2024-05-03", exposures=[exposed("B1", "exact"), exposed("B2", None)])
    before = on_night(session, "2024-05-02", "C1", "C2").exposures
    after = on_night(session, "2024-05-03", "C1", "C2").exposures
    assert before[["change_id", "breach_id", "match_quality"]].values.tolist() == [
        ["C1", "B2", "exact"],
        ["C1", "B1", "probable"],
    ]
    assert after[["breach_id", "match_quality"]].values.tolist() == [["B1", "exact"]]
    assert after["matched_at"].tolist() == [pd.Timestamp(evening("2024-05-01"))]


def outcome(outcome_id: str, change_id: str, decided_at: str, verdict: str, known_at: str) -> Row:
    return {
        "outcome_id": outcome_id, "change_id": change_id, "decided_at": decided_at, "verdict": verdict,
        "known_at": known_at,
    }  # fmt: skip


def test_the_latest_decision_known_by_then_wins(session: Session) -> None:
    put(
        session,
        "2024-05-09",
        changes=[change("C1"), change("C2"), change("D-1", superseded_by="C2")],
        outcomes=[
            outcome("O1", "C1", "2024-05-02", "benign", "2024-05-02"),
            outcome("O2", "C1", "2024-05-04", "confirmed_fraud", "2024-05-20"),
            outcome("O3", "D-1", "2024-05-03", "attempt_stopped", "2024-05-03"),
        ],
    )
    early = on_night(session, "2024-05-10", "C1", "C2").decisions
    late = on_night(session, "2024-05-20", "C1", "C2").decisions
    assert early[["change_id", "verdict"]].values.tolist() == [["C1", "benign"], ["C2", "attempt_stopped"]]
    assert late["verdict"].tolist() == ["confirmed_fraud", "attempt_stopped"]


def test_what_a_change_was_at_its_decision_is_read_from_the_last_night_before(session: Session, tmp_path: Path) -> None:
    scores = {}
    for night, p_value in ((date(2024, 5, 1), 0.5), (date(2024, 5, 2), 0.2), (date(2024, 5, 3), 0.1)):
        rows = {"night": [night], "change_id": ["C1"], "p_value": [p_value], "account": ["a1"]}
        scores[night] = tmp_path / f"{night}.parquet"
        pq.write_table(pa.table(rows), scores[night])
    decisions = pd.DataFrame({"change_id": ["C1", "C2"], "decided_at": [datetime(2024, 5, 3, 9), datetime(2023, 1, 1)]})
    result = at_decision(session.con, scores, decisions, PARAMS)
    assert result.to_dict("records") == [{"change_id": "C1", "decided_p": 0.2, "decided_account": "a1"}]
    assert at_decision(session.con, scores, decisions[1:], PARAMS).empty


def test_at_its_decision_a_change_had_the_p_value_without_what_was_learned_from_verdicts(
    session: Session, tmp_path: Path
) -> None:
    """A night of an earlier version did not say which that is; it had learned nothing."""
    scores = {}
    for night, more in ((date(2024, 5, 1), {}), (date(2024, 5, 2), {"p_value_uncorrected": [0.3]})):
        rows = {"night": [night], "change_id": ["C1"], "p_value": [0.2], "account": ["a1"]} | more
        scores[night] = tmp_path / f"{night}.parquet"
        pq.write_table(pa.table(rows), scores[night])
    decided_at = [datetime(2024, 5, 2, 9), datetime(2024, 5, 3, 9)]
    found = [
        at_decision(session.con, scores, pd.DataFrame({"change_id": ["C1"], "decided_at": [at]}), PARAMS)
        for at in decided_at
    ]
    assert [rows["decided_p"].tolist() for rows in found] == [[0.2], [0.3]]


@pytest.mark.parametrize("names", [set(), {"b"}, ["b", "d", "b"], {"a": 1, "c": 2}])
def test_ids_are_among_the_wanted_as_isin_says(names: Collection[str]) -> None:
    ids = pd.Series(["a", "b", None, "c", "b"], dtype="str")
    assert are_among(ids, names).tolist() == ids.isin(list(names)).tolist()


def test_nothing_asked_gives_nothing(session: Session) -> None:
    put(session, "2024-05-01", changes=[change("C1")])
    assert all(frame.empty for frame in vars(on_night(session, "2024-05-01")).values())
    assert set(asdict(on_night(session, "2024-05-01"))) == {"changes", "exposures", "decisions"}
