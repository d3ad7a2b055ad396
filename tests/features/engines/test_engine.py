"""An answer has one row a change asked for, and what cannot be computed is refused by its name, on every engine."""

from __future__ import annotations

from dataclasses import replace

import narwhals as nw
import pytest

from payeewatch.features.engines.engine import Refused, WrongAnswer
from payeewatch.features.formulas import count
from payeewatch.features.local_time import local_hour
from payeewatch.features.relations import CLAIM
from payeewatch.features.sources import CHANGE, Relation
from payeewatch.features.versions import Tables
from tests.worlds import fill, measure_open, question, rows_of, trial_feature

NIGHT = "2024-06-30"


@pytest.fixture(autouse=True)
def two_changes(con) -> None:
    fill(con, {"changes": rows_of("changes", "change_id\nX2\nX1")})


def test_meanwhile_is_given_each_change_once(engine):
    change_ids = []
    frame = engine().answer(question("2024-06-29", NIGHT, names=("is_first_account",)), change_ids.extend)
    assert change_ids == ["X1", "X2"]
    assert list(frame["change_id"]) == ["X1", "X1", "X2", "X2"]


def test_an_answer_without_its_rows_is_no_answer(engine):
    one_question = question(NIGHT, names=("is_first_account",))

    def nothing(own):
        changes, numbers = one_question.build(own)
        return changes, numbers.filter(nw.col("change_id") == "X1")

    with pytest.raises(WrongAnswer, match="measured 1 rows of 2; run it again"):
        engine().answer(replace(one_question, build=nothing))


def test_a_formula_that_an_engine_cannot_compute_is_refused_by_its_name(engine):
    own = engine()
    refused = pytest.raises(Refused, match=f"on_trial: the engine {own.name} cannot compute its formula")
    with trial_feature(CHANGE, lambda change: change.channel.cum_sum()) as name, refused:
        measure_open(own, NIGHT, names=(name,))


def test_a_column_that_features_do_not_use_is_refused_with_what_asks_for_it(engine):
    claim = r"on_trial: it asks for claim__diagnosis, which is not there; .* in USES\['claims'\]"
    with trial_feature(CLAIM, lambda row: count(row.diagnosis == "x")) as name, pytest.raises(Refused, match=claim):
        measure_open(engine(), NIGHT, names=(name,))
    change = r"on_trial: it asks for nationality, which nothing makes; .* in USES\['changes'\]"
    with trial_feature(CHANGE, lambda row: row.nationality) as name, pytest.raises(Refused, match=change):
        measure_open(engine(), NIGHT, names=(name,))
    bad = Relation("bad", "claims", on="payee_id", to="payee_id", columns=lambda row, _: {"is_x": row.act == "x"})
    relation = r"the relation bad: it asks for bad__act, which is not there"
    with trial_feature(bad, lambda row: count(row.is_x)) as name, pytest.raises(Refused, match=relation):
        measure_open(engine(), NIGHT, names=(name,))


def test_a_table_or_column_out_of_reach_is_not_read(engine):
    tables = Tables(engine(), "UTC")
    with pytest.raises(Refused, match="claims: features do not use care_on, invoice_hash; "):
        tables.read("claims", ["claim_id", "care_on", "invoice_hash"])
    with pytest.raises(Refused, match="people: features do not use"):
        tables.read("people", ["breach_id"])


@pytest.mark.parametrize("part", ["hour", "weekday"])
def test_a_formula_that_asks_for_a_part_of_an_instant_without_a_zone_is_refused(part):
    """An hour in UTC is not the insurer's, and a whole number has none."""

    def local(instant: nw.Expr) -> nw.Expr:
        return getattr(instant.dt, part)()

    message = (
        f"it asks for '{part}' of an instant; instants are microseconds in UTC, .* use local_hour, local_weekday or"
    )
    with (
        pytest.raises(Refused, match=f"on_trial: {message}"),
        trial_feature(CHANGE, lambda row: local(row.requested_at)),
    ):
        pass
    with (
        pytest.raises(Refused, match=f"on_trial: {message}"),
        trial_feature(CLAIM, lambda row: count(local(row.received_at) > 20)),
    ):
        pass


def test_a_row_that_a_formula_did_not_get_has_no_zone():
    """The zone is known when measuring; such a row is made before."""
    refused = pytest.raises(Refused, match="claim__zone: only the rows that a formula gets know the time zone")
    with refused, trial_feature(CHANGE, lambda row: local_hour(row.requested_at, CLAIM.row.zone)):
        pass
