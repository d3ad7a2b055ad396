"""Chances are compared with the truth segment by segment, at each insurer's own rate of fraud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from payeewatch.evaluation.yardstick.insurer import Insurer, Truth
from payeewatch.evaluation.yardstick.segments import (
    FIRST,
    PAST_LOG,
    PROVIDER,
    REPLACED,
    SEGMENTS,
    Nights,
    by_segment,
    log_odds_by_segment,
    main,
    segments,
)

NIGHT = pd.Timestamp(2025, 3, 1)


def nights(chance: float, is_fraud: np.ndarray, segment: np.ndarray) -> Nights:
    """One night that gives every change the same chance."""
    scores = pd.DataFrame({
        "night": NIGHT, "change_id": [f"C{at}" for at in range(len(segment))], "segment": segment,
        "score": np.log(chance / (1 - chance)), "is_fraud": is_fraud, "counts": True, "flagged_on": pd.NaT,
    })  # fmt: skip
    return Nights("made up", Truth(pd.DatetimeIndex([NIGHT]), 1000, pd.DataFrame(), pd.DataFrame()), scores)


def drawn(odds: float) -> Nights:
    """Half first accounts, half replaced ones of which 10 % are dishonest; the odds differ by a factor."""
    segment = np.repeat(np.array([FIRST, REPLACED], dtype=object), 2000)
    rate = np.where(segment == FIRST, 0.1 * odds / (0.9 + 0.1 * odds), 0.1)
    return nights(0.02, np.random.default_rng(3).random(4000) < rate, segment)


def test_a_change_has_the_first_segment_that_fits() -> None:
    rows = pd.DataFrame({
        "change_id": list("ABCDE"), "payee_type": ["provider", *["member"] * 4],
        "derived": [True, True, False, False, False],
    })  # fmt: skip
    log = pd.DataFrame({
        "change_id": list("CDE"), "old_iban": [None, None, "old"], "channel": ["mobility_mandate", "portal", "portal"],
    })  # fmt: skip
    assert segments(rows, log).tolist() == [PROVIDER, PAST_LOG, "mandate", FIRST, REPLACED]


def test_at_its_own_rate_an_insurer_expects_what_was_found() -> None:
    rows = by_segment([drawn(0.2)], flagged=False)
    assert sum(row[3] for row in rows) == pytest.approx(sum(row[4] for row in rows))
    (_, _, stated, _, found), (_, many, _, own, found_first) = rows
    assert stated == pytest.approx(40)
    assert many == 2000
    assert own > 2 * found_first
    assert found > found_first


def test_without_fraud_an_insurer_expects_none_at_its_own_rate() -> None:
    nobody = nights(0.02, np.zeros(10, dtype=bool), np.repeat(np.array([REPLACED], dtype=object), 10))
    assert by_segment([nobody], flagged=False) == [(REPLACED, 10, pytest.approx(0.2), 0.0, 0)]


def test_flags_are_counted_on_the_night_that_first_offered_them() -> None:
    one = nights(0.5, np.array([True]), np.array([REPLACED], dtype=object))
    later = one.scores.assign(night=NIGHT + pd.Timedelta(days=1), score=0.0, flagged_on=NIGHT + pd.Timedelta(days=1))
    early = one.scores.assign(score=-9.0, flagged_on=NIGHT + pd.Timedelta(days=1))
    both = Nights(one.name, one.truth, pd.concat([early, later], ignore_index=True))
    assert by_segment([both], flagged=True)[0][2] == pytest.approx(0.5)
    assert by_segment([both], flagged=False)[0][2] < 0.01


@pytest.mark.parametrize("odds", [0.2, 1.0, 3.0])
def test_odds_that_evidence_misses_in_a_segment_are_learned(odds: float) -> None:
    learned = log_odds_by_segment([drawn(odds)])
    assert learned[FIRST] == pytest.approx(np.log(odds), abs=0.35)
    assert {name: by for name, by in learned.items() if name != FIRST} == pytest.approx(
        dict.fromkeys(set(SEGMENTS) - {FIRST, REPLACED}, 0.0), abs=1e-3
    )


def insurer(folder: Path) -> Path:
    """Twenty changes of one night, of which the highest score alone is dishonest; D19 is none of the log."""
    ids = [f"C{at}" for at in range(19)] + ["D19"]
    (folder / "truth").mkdir(parents=True)
    (folder / "inbox" / "2025-02-28").mkdir(parents=True)
    facts = {"first_scored": "2025-03-01", "last_scored": "2025-03-01", "member_payees": 10_000}
    (folder / "truth" / "world.json").write_text(json.dumps(facts), encoding="utf-8")
    none = pd.Series([pd.NaT] * 19, dtype="datetime64[us]")
    pd.DataFrame({
        "change_id": ids[:19], "is_fraud": [True, *[False] * 18], "typology": None, "benign_cause": None,
        "campaign_id": None, "known_on": NIGHT, "in_score_period": True, "revealed_on": none,
        "first_fraud_value_date": none,
    }).to_parquet(folder / "truth" / "changes.parquet")  # fmt: skip
    paid = pd.DataFrame({"change_id": ["C0"], "amount": [10.0], "value_date": [NIGHT]})
    paid.to_parquet(folder / "truth" / "fraud_payments.parquet")
    log = pd.DataFrame({"change_id": ids[:19], "old_iban": ["old", *[None] * 18], "channel": "portal"})
    log.to_csv(folder / "inbox" / "2025-02-28" / "bank_changes.csv", index=False)
    return folder


def keep(kept: Path, digest: str) -> None:
    rows = pd.DataFrame({
        "change_id": [f"C{at}" for at in range(19)] + ["D19"], "payee_id": "P", "payee_type": "member",
        "derived": [*[False] * 19, True], "age_days": 0, "score": [2.0, *[-4.0] * 19],
    })  # fmt: skip
    for kind, frame in (("scores", rows), ("flags", rows[:1].assign(queue="review", account_hint="FR"))):
        (kept / kind).mkdir(parents=True)
        frame.to_parquet(kept / kind / "2025-03-01.parquet")
    (kept / "nights.json").write_text(json.dumps({"insurer": digest}), encoding="utf-8")


def test_the_command_prints_segments_of_kept_nights_and_refuses_those_of_other_files(tmp_path: Path) -> None:
    folder = insurer(tmp_path / "one")
    missing = CliRunner().invoke(main, [str(folder), "--nights", str(tmp_path)])
    assert "run payeewatch.evaluation.foreign on one first" in missing.output
    keep(tmp_path / "nights" / "one", Insurer(folder).digest())
    done = CliRunner().invoke(main, [str(folder), "--nights", str(tmp_path / "nights")])
    lines = [line.split() for line in done.output.splitlines()]
    assert [REPLACED.split()[0], "replaced", "1", "0.9", "1.0", "1"] in lines
    (folder / "inbox" / "2025-03-01").mkdir()
    (folder / "inbox" / "2025-03-01" / "claims.csv").write_text("claim_id\n", encoding="utf-8")
    refused = CliRunner().invoke(main, [str(folder), "--nights", str(tmp_path / "nights")])
    assert "is of other files of one" in refused.output
