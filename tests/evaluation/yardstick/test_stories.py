"""Whether reasons tell a planted story: counted once a change, on its last night in hold or review."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from payeewatch.evaluation.yardstick.insurer import Truth
from payeewatch.evaluation.yardstick.stories import STORIES, stories
from payeewatch.features import FEATURES

OTHERS = ["bank_surprise", "is_online_bank", "channel_surprise"]


def truth(**typologies: str) -> Truth:
    changes = pd.DataFrame({
        "change_id": list(typologies), "typology": list(typologies.values()), "is_fraud": True, "silent": False,
        "payee_id": "P", "account_hint": "", "known_on": pd.Timestamp(2024, 9, 1),
    })  # fmt: skip
    return Truth(pd.DatetimeIndex([]), 1000, changes, pd.DataFrame())


def publish(folder: Path, night: str, **reasons: list[str]) -> None:
    rows = [
        {"change_id": change_id, "payee_id": "P", "derived": False, "queue": "review", "account_hint": "FR",
         "reasons": [{"feature": name} for name in names]}
        for change_id, names in reasons.items()
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / f"{night}.parquet")


def test_a_story_is_told_among_the_first_three_or_later(tmp_path: Path) -> None:
    publish(tmp_path, "2024-09-01", A=["is_member_dead"], B=[*OTHERS, "is_member_dead"], C=OTHERS, D=OTHERS)
    told = stories(tmp_path, truth(A="T16", B="T16", C="T16", D="another kind"))
    assert told == [{"typology": "T16", "flagged": 3, "first": 1, "any": 2}]


def test_what_counts_is_the_last_night(tmp_path: Path) -> None:
    publish(tmp_path, "2024-09-01", A=["is_member_dead"])
    publish(tmp_path, "2024-09-02", A=OTHERS)
    assert stories(tmp_path, truth(A="T16")) == [{"typology": "T16", "flagged": 1, "first": 0, "any": 0}]


def test_without_flags_there_is_no_story(tmp_path: Path) -> None:
    assert stories(tmp_path, truth(A="T16")) == []


def test_every_story_is_told_by_features_that_exist() -> None:
    assert frozenset().union(*STORIES.values()) <= FEATURES.keys()
