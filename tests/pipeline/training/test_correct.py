"""A corrected champion is the champion with other points: exact reasons, one scale, p-values that stay honest."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.detector.evidence import SURPRISE
from payeewatch.pipeline.detector.learning import NOBODY
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.training.correct import Learned, Verdicts, corrected, groups_of
from payeewatch.pipeline.training.fit import train
from tests.measured import FACTS, FAST, LAST_DAY, WEIGHTS, measured, shape, unusual, weighed_model


def judged(frame: pd.DataFrame, is_fraud: object) -> pd.DataFrame:
    """One row a change, at the age of a week, with a verdict three days later."""
    rows = frame[frame["age_days"] == 7].reset_index(drop=True)
    known_on = pd.Series([day.date() for day in rows["as_of"]], dtype=object)
    return rows.assign(is_fraud=is_fraud, known_on=known_on, decided_by=None)


def some_verdicts(model: Model) -> Verdicts:
    """Honest ones of changes abroad, frauds of unusual ones: the company lens is right, the doubts are not."""
    honest = judged(measured(60, seed=5).assign(name_doubt=3.0), False)
    fraud = judged(measured(20, seed=6).assign(households=9.0), True)
    rows = pd.concat([honest, fraud], ignore_index=True)
    return Verdicts.of(model, rows, np.ones(len(rows)))


def learn(model: Model, verdicts: Verdicts) -> tuple[Model, Learned]:
    return corrected(replace(model, name="payeewatch", version="7"), verdicts, FAST)


@pytest.fixture(scope="module")
def learned() -> tuple[Model, Learned]:
    return learn(weighed_model(), some_verdicts(weighed_model()))


def test_evidence_that_misled_counts_less_and_evidence_that_was_right_counts_more(
    learned: tuple[Model, Learned],
) -> None:
    _, moved = learned
    assert moved.multipliers["name_doubt"] < 1 < moved.multipliers["households"]
    assert set(moved.multipliers) == {*(each.name for each in WEIGHTS.shapes[:-2]), "lens_request", "lens_company"}
    assert moved.counts == {"verdicts": 80, "frauds": 20}


@pytest.mark.parametrize(
    ("decided_by", "reviewer"),
    [
        (["A", "B", "A", "C", None], [0, 1, 0, 2, NOBODY]),
        ([None] * 5, [NOBODY] * 5),
        (["A"] * 5, [NOBODY] * 5),
        (["A", "A", "A", "B", None], [NOBODY, NOBODY, NOBODY, 1, NOBODY]),
    ],
    ids=["a team", "nobody named", "one person", "one who decides most"],
)
def test_who_decided_is_told_apart_unless_the_others_are_too_few(
    decided_by: list[str | None], reviewer: list[int]
) -> None:
    rows = judged(measured(5, seed=5), False).assign(decided_by=pd.array(decided_by, dtype="string"))
    assert Verdicts.of(weighed_model(), rows, np.ones(5)).reviewer.tolist() == reviewer


def test_what_one_person_alone_says_moves_less_where_verdicts_name_them() -> None:
    """A fifth of the verdicts on changes abroad, by one person, calls them fraud."""
    rows = judged(measured(100, seed=5).assign(name_doubt=3.0), False)
    hostile = np.arange(len(rows)) % 5 == 0
    rows = rows.assign(is_fraud=hostile)
    moved = []
    for names in (np.where(hostile, "E", np.where(np.arange(len(rows)) % 2, "A", "B")), None):
        _, learned = learn(
            weighed_model(), Verdicts.of(weighed_model(), rows.assign(decided_by=names), np.ones(len(rows)))
        )
        moved.append(sum(abs(by - 1) for by in learned.multipliers.values()))
    named, nobody = moved
    assert named < nobody


def test_a_feature_s_shapes_are_one_group_and_each_lens_is_one() -> None:
    twice = replace(WEIGHTS, shapes=(*WEIGHTS.shapes, shape("name_doubt", SURPRISE, [0.5], [0.0, 1.0])))
    names, group = groups_of(twice)
    assert [names[at] for at in group[-3:]] == ["lens_request", "lens_company", "name_doubt"]
    assert group[0] == group[-1]


def test_what_features_add_is_still_exactly_the_score(learned: tuple[Model, Learned]) -> None:
    frame = pd.concat([measured(60, seed=2), unusual(measured(20, seed=3))], ignore_index=True)
    score = learned[0].score(frame)["score"].to_numpy()
    assert learned[0].attribute(frame).sum(axis=1).to_numpy() == pytest.approx(score, abs=1e-9)


def test_scores_stay_on_the_champions_scale(learned: tuple[Model, Learned]) -> None:
    champion, references = weighed_model(), weighed_model().references
    assert champion.weights
    assert references
    before = champion.cells["member/announced/2"].scores
    after = learned[0].cells["member/announced/2"].scores
    assert not np.array_equal(before, after)
    scores = [
        weights.score(weights.points(references.steps), np.zeros(len(references.score), dtype=np.int64) + segment)
        for weights, segment in ((champion.weights, 0), (learned[0].weights, 0))
        if weights
    ]
    shares = np.array([(references.party == "member") & ~references.derived]).mean()
    assert shares > 0.5
    assert scores[1].mean() == pytest.approx(scores[0].mean(), abs=0.15)


def test_the_p_value_without_the_correction_is_the_champions_own(learned: tuple[Model, Learned]) -> None:
    frame = measured(100, seed=4)
    champion = weighed_model().score(frame)
    now = learned[0].score(frame)
    assert np.array_equal(now["p_value_uncorrected"], champion["p_value"])
    assert np.array_equal(champion["p_value_uncorrected"], champion["p_value"])
    assert not np.array_equal(now["p_value"], champion["p_value"])


def test_no_verdict_is_no_correction() -> None:
    frame = measured(60, seed=2)
    nothing = Verdicts.of(weighed_model(), judged(measured(60, seed=5), False).iloc[:0], np.ones(0))
    model, moved = learn(weighed_model(), nothing)
    assert set(moved.multipliers.values()) == {1.0}
    assert model.score(frame)["score"].to_numpy() == pytest.approx(weighed_model().score(frame)["score"].to_numpy())
    assert np.array_equal(model.score(frame)["p_value"], weighed_model().score(frame)["p_value"])


def test_a_corrected_model_reads_back_as_it_was_saved(learned: tuple[Model, Learned], tmp_path: Path) -> None:
    learned[0].save(tmp_path / "model.npz")
    frame = measured(30, seed=2)
    again = Model.load(tmp_path / "model.npz")
    assert again.score(frame).equals(learned[0].score(frame))
    assert again.uncorrected
    assert again.uncorrected.version == "7"
    assert again.fingerprint == learned[0].fingerprint != weighed_model().fingerprint


def test_references_read_back_as_they_were_saved(tmp_path: Path) -> None:
    champion = weighed_model()
    champion.save(tmp_path / "model.npz")
    champion.save_references(tmp_path / "references.npz")
    again = Model.load(tmp_path / "model.npz").with_references(tmp_path / "references.npz")
    verdicts = some_verdicts(champion)
    assert learn(again, verdicts)[0].fingerprint == learn(champion, verdicts)[0].fingerprint


def test_a_model_without_references_says_to_train_again(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no references .* run payeewatch train"):
        weighed_model().with_references(tmp_path / "references.npz")
    with pytest.raises(ModelError, match="train again"):
        learn(replace(weighed_model(), references=None), some_verdicts(weighed_model()))


def test_a_fraud_is_no_reference_any_more() -> None:
    champion = weighed_model()
    rows = judged(measured(900), True).iloc[:200]
    model, _ = learn(champion, Verdicts.of(champion, rows, np.ones(len(rows))))
    gone = set(Verdicts.of(champion, rows, np.ones(len(rows))).change.tolist())
    cell = "member/announced/2"
    assert gone & set(champion.cells[cell].changes.tolist())
    assert not gone & set(model.cells[cell].changes.tolist())
    assert champion.references
    left = set(champion.references.change.tolist()) - gone
    assert model.metrics["references"] + model.metrics["doubtful"] == len(left) < champion.metrics["references"]
    assert model.metrics["references.member.announced.2"] == len(model.cells[cell].scores)


def test_on_an_insurer_without_fraud_p_values_stay_honest_after_verdicts() -> None:
    """The most unusual tenth of the past is reviewed, and all of it is honest; a third of it are references."""
    p_values = []
    for seed in range(4):
        past, coming = measured(1500, seed=11 + seed), measured(1500, seed=41 + seed)
        champion = train(past, FAST, features=FACTS, as_of=LAST_DAY, weights=WEIGHTS)
        rows = judged(past, False)
        rows = rows[champion.score(rows)["score"].rank(ascending=False) <= 150].reset_index(drop=True)
        model, _ = learn(champion, Verdicts.of(champion, rows, np.ones(len(rows))))
        p_values.append(model.score(judged(coming, False))["p_value"].to_numpy())
    every = np.concatenate(p_values)
    assert 0.03 <= (every <= 0.05).mean() <= 0.07
    assert 0.005 <= (every <= 0.01).mean() <= 0.015


def test_the_day_it_knows_is_the_day_of_the_verdicts() -> None:
    model = weighed_model().known_until(date(2024, 7, 1))
    assert model.facts["known_until"] == "2024-07-01"
    assert model.facts["trained_as_of"] == weighed_model().facts["trained_as_of"]
