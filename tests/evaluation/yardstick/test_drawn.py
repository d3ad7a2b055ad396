"""Drawn insurers in the form of the yardstick: a small one, whose truth must agree with its own feeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from payeewatch import simulator
from payeewatch.evaluation.yardstick.drawn import END, Wanted, drawn_insurer, refuse_learned
from payeewatch.evaluation.yardstick.insurer import CORRECTION, DRAWN, Insurer, Truth
from payeewatch.pipeline.detector.evidence import shipped
from payeewatch.pipeline.home.errors import InputRefused

WANTED = Wanted(members=800, days=300, nights=40, cases_factor=12)
SEED = 1009


@pytest.fixture(scope="module")
def insurer(tmp_path_factory: pytest.TempPathFactory) -> Insurer:
    return drawn_insurer(tmp_path_factory.mktemp("insurers") / "drawn-1009", SEED, WANTED)


@pytest.fixture(scope="module")
def truth(insurer: Insurer) -> Truth:
    return insurer.truth()


def rows(insurer: Insurer, table: str) -> pd.DataFrame:
    files = [str(path) for path in sorted((insurer.folder / "inbox").glob(f"*/{table}*.parquet"))]
    found = f"read_parquet({files}, filename = true, union_by_name = true)"
    return duckdb.sql(f"SELECT *, split_part(filename, '/', -2)::TIMESTAMP AS day FROM {found}").df()


def test_its_nights_are_the_last_drops(insurer: Insurer, truth: Truth) -> None:
    assert (insurer.origin, len(truth.nights), truth.nights[-1]) == (DRAWN, 40, pd.Timestamp(END))
    assert len(list((insurer.folder / "inbox").iterdir())) == 41
    claims = rows(insurer, "claims")
    assert truth.member_payees == claims.loc[claims["payee_type"] != "provider", "payee_id"].nunique()


def test_announced_changes_are_known_with_the_first_drop_that_has_them(insurer: Insurer, truth: Truth) -> None:
    first = rows(insurer, "bank_changes").groupby("change_id")["day"].min()
    announced = truth.changes[~truth.changes["silent"]].set_index("change_id")
    assert announced["known_on"].astype("datetime64[us]").to_dict() == first.astype("datetime64[us]").to_dict()
    assert (announced["in_score_period"] == (announced["known_on"] >= truth.nights[0])).all()
    assert announced["in_score_period"].sum() > 10


def test_what_no_feed_announces_has_an_account_that_the_feeds_show(insurer: Insurer, truth: Truth) -> None:
    silent = truth.changes[truth.changes["silent"]]
    assert len(silent)
    shown = pd.concat([rows(insurer, "payments"), rows(insurer, "claims")])[["payee_id", "iban", "day"]].dropna()
    hints = shown["iban"].str[:2] + " " + shown["iban"].str[4:12] + " " + shown["iban"].str[-4:]
    first = shown.assign(account_hint=hints).groupby(["payee_id", "account_hint"])["day"].min()
    expected = first.reindex(pd.MultiIndex.from_frame(silent[["payee_id", "account_hint"]]))
    assert silent["known_on"].astype("datetime64[us]").tolist() == expected.astype("datetime64[us]").tolist()


def test_payments_are_those_to_a_dishonest_account(insurer: Insurer, truth: Truth) -> None:
    fraud = truth.of_change[truth.of_change["is_fraud"]]
    assert set(truth.payments["change_id"]) <= set(fraud.index)
    payments = rows(insurer, "payments").sort_values("day").drop_duplicates("payment_id", keep="last")
    paid = truth.payments.merge(payments, on="payment_id", suffixes=("", "_sent"))
    assert len(paid) == len(truth.payments) > 0
    assert paid["payee_id"].tolist() == fraud["payee_id"].reindex(paid["change_id"]).tolist()
    assert [float(amount) for amount in paid["amount_sent"]] == paid["amount"].tolist()
    assert paid["value_date"].tolist() == paid["value_date_sent"].fillna(paid["planned_on"]).tolist()
    first = truth.payments.groupby("change_id")["value_date"].min()
    assert fraud["first_fraud_value_date"].dropna().to_dict() == first.to_dict()


def test_only_dishonest_changes_have_a_kind_and_only_honest_ones_a_cause(truth: Truth) -> None:
    changes = truth.changes
    assert (changes["typology"].notna() == changes["is_fraud"]).all()
    assert (changes["benign_cause"].isna() == changes["is_fraud"]).all()
    assert "restored" not in set(changes["benign_cause"])
    assert changes.loc[changes["is_fraud"], "campaign_id"].notna().all()
    assert CORRECTION not in set(changes.loc[changes["is_fraud"], "benign_cause"])


def test_its_sample_is_drawn_likewise_of_other_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate, made = simulator.simulate, []

    def watched(out: Path, **words: Any) -> dict[str, int]:
        made.append((out.name, words["tier"], words["seed"]))
        return simulate(out, **words)

    monkeypatch.setattr(simulator, "simulate", watched)
    insurer = drawn_insurer(tmp_path / "drawn", SEED, replace(WANTED, members=100, nights=2, sample_members=100))
    (_, tier, seed), (name, sample_tier, sample_seed) = made
    assert insurer.sample == Insurer(tmp_path / "drawn" / "sample", DRAWN)
    assert (name, sample_tier) == ("sample", tier)
    assert sample_seed != seed == SEED


def test_one_that_stands_is_kept_and_another_size_is_another(insurer: Insurer, tmp_path: Path) -> None:
    wanted = replace(WANTED, members=100, nights=2)
    path = drawn_insurer(tmp_path / "drawn", SEED, wanted).folder / "truth" / "changes.parquet"
    written = path.stat().st_mtime_ns
    drawn_insurer(tmp_path / "drawn", SEED, wanted)
    assert path.stat().st_mtime_ns == written
    drawn_insurer(tmp_path / "drawn", SEED, replace(wanted, members=101))
    assert path.stat().st_mtime_ns > written
    assert insurer.folder != tmp_path


def test_insurers_that_the_shipped_weights_were_learned_from_are_refused() -> None:
    record = shipped().record
    last = record["first"] + record["insurers"] + len(record["left_out"]) - 1
    refuse_learned([last + 1, last + 2])
    for seed in (record["first"], last, *record["left_out"]):
        with pytest.raises(InputRefused, match=f"take seeds from {last + 1} on"):
            refuse_learned([last + 1, seed])
