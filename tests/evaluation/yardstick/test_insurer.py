"""An insurer of the yardstick: the product gets everything but the truth, and changes past the log are recognised."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.evaluation.yardstick.insurer import CHANGES, GIVEN, PAYMENTS, Insurer, Truth, hint_fits, recognised
from payeewatch.pipeline.home.errors import InputMissing, InputRefused

ACCOUNT = "FR 30002970 2257"


def written(folder: Path) -> Insurer:
    for name in ("inbox/2024-09-01", "breaches/L1", "truth", "sample/truth"):
        (folder / name).mkdir(parents=True)
    (folder / "inbox" / "2024-09-01" / "claims.csv").write_text("claim_id\n")
    (folder / "params.yaml").write_text("seed: 1\n")
    facts = {"first_scored": "2024-09-02", "last_scored": "2024-09-05", "member_payees": 10}
    (folder / "truth" / "world.json").write_text(json.dumps(facts))
    days = ("known_on", "revealed_on", "first_fraud_value_date")
    row = dict.fromkeys(CHANGES, "X1") | {"is_fraud": True, "in_score_period": True} | dict.fromkeys(days, "2024-09-03")
    pd.DataFrame([row]).to_parquet(folder / "truth" / "changes.parquet")
    pd.DataFrame({"change_id": ["X1"], "amount": [10.0], "value_date": ["2024-09-04"]}).to_parquet(
        folder / "truth" / "fraud_payments.parquet"
    )
    return Insurer(folder)


def test_the_product_gets_what_the_insurer_sends_and_no_truth(tmp_path: Path) -> None:
    insurer = written(tmp_path / "one")
    (insurer.folder / "inbox").chmod(0o555)
    insurer.give(tmp_path / "home")
    (insurer.folder / "inbox").chmod(0o755)
    assert {path.name for path in (tmp_path / "home").iterdir()} == set(GIVEN) - {"reference"}
    assert not [path for path in (tmp_path / "home").rglob("*") if "truth" in path.name]
    assert (tmp_path / "home" / "inbox").stat().st_mode & 0o200


def test_a_truth_is_read_with_its_nights(tmp_path: Path) -> None:
    truth = written(tmp_path).truth()
    assert (len(truth.nights), truth.second_half, truth.member_payees) == (4, pd.Timestamp("2024-09-04"), 10)
    assert truth.changes["known_on"].tolist() == [pd.Timestamp("2024-09-03")]
    assert truth.changes["silent"].tolist() == [False]
    assert written(tmp_path / "other").dishonest() == {"X1"}


@pytest.mark.parametrize(("name", "columns"), [("changes", CHANGES), ("fraud_payments", PAYMENTS)])
def test_a_truth_that_lacks_a_column_says_which(tmp_path: Path, name: str, columns: set[str]) -> None:
    insurer = written(tmp_path)
    path = insurer.folder / "truth" / f"{name}.parquet"
    lacking = sorted(columns)[0]
    pd.read_parquet(path).drop(columns=lacking).to_parquet(path)
    with pytest.raises(InputRefused, match=f"{name}.parquet: lacks {lacking};"):
        insurer.truth()
    path.unlink()
    with pytest.raises(InputMissing, match=name):
        insurer.truth()


def test_another_feed_another_night_or_another_sample_is_another_insurer(tmp_path: Path) -> None:
    insurer = written(tmp_path)
    digests = {insurer.digest()}
    (tmp_path / "inbox" / "2024-09-01" / "claims.csv").write_text("claim_id\nC1\n")
    digests.add(insurer.digest())
    (tmp_path / "sample" / "truth" / "changes.parquet").write_text("x")
    digests.add(insurer.digest())
    facts = tmp_path / "truth" / "world.json"
    facts.write_text(facts.read_text().replace("09-05", "09-06"))
    assert len(digests | {insurer.digest()}) == 4


def test_references_are_those_of_the_insurers_name(tmp_path: Path) -> None:
    (tmp_path / "references.csv").write_text("insurer,control,ap\na,scorecard,0.5\nb,scorecard,0.6\n")
    assert [row["ap"] for row in written(tmp_path / "insurer-b").references()] == [0.6]
    assert written(tmp_path / "elsewhere" / "insurer-b").references() == []


@pytest.mark.parametrize(
    ("hint", "fits"),
    [
        ("FR · 30002 · …2257", True),
        ("FR · 30002 Caisse du Bocage · …2257", True),
        ("FR · …2257", True),
        ("FR · 30003 · …2257", False),
        ("FR · 30002 · …2258", False),
        ("BE · 30002 · …2257", False),
        ("FR", False),
    ],
)
def test_a_hint_fits_country_bank_and_last_characters(hint: str, fits: bool) -> None:
    assert hint_fits(hint, ACCOUNT) == fits


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(2024, 9, number)


def rows(*rows: tuple[str, str, bool, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["change_id", "payee_id", "derived", "night"])
    return frame.assign(night=frame["night"].map(day))


def with_silent(*silent: tuple[str, str, int]) -> Truth:
    changes = pd.DataFrame(silent, columns=["change_id", "payee_id", "known_on"])
    changes = changes.assign(silent=True, account_hint=ACCOUNT, known_on=changes["known_on"].map(day))
    return Truth(pd.date_range(day(1), day(9)), 10, changes, pd.DataFrame())


def test_a_flagged_change_past_the_log_is_recognised_by_payee_and_hint() -> None:
    seen = rows(("D1", "P1", True, 3), ("D1", "P1", True, 5), ("D2", "P1", True, 5), ("X9", "P1", False, 5))
    known = recognised(seen, with_silent(("S1", "P1", 4)), {"D1": "FR · 30002 · …2257", "D2": "FR · 30002 · …0000"})
    assert known["change_id"].tolist() == ["D1", "S1", "D2", "X9"]


def test_one_without_a_hint_is_recognised_if_it_is_new_and_no_hint_fits_better() -> None:
    truth = with_silent(("S1", "P1", 4), ("S2", "P2", 4))
    seen = rows(("D1", "P1", True, 5), ("D2", "P1", True, 5), ("D3", "P2", True, 4), ("D4", "P2", True, 3))
    known = recognised(seen, truth, {"D1": "FR · 30002 · …2257"})
    assert known["change_id"].tolist() == ["S1", "D2", "S2", "D4"]
