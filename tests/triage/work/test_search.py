"""Why a change is not in the queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AuditRecord, Flag, Night, User
from payeewatch.triage.work import search as module
from payeewatch.triage.work.search import WHY_NOT, below_capacity, scored_change, search
from payeewatch.triage.workspace import keys


@pytest.fixture
def scores(reviewed: Settings) -> pd.DataFrame:
    last = Night.objects.latest("night").night
    return pd.read_parquet(reviewed.folder("scores") / f"{last}.parquet")


def test_a_flagged_change_is_answered_with_its_flag(cast: dict[str, User], first: Flag) -> None:
    answer = search(cast["reviewer"], f" {first.change_id} ")
    assert (answer.flags, answer.scored) == ([first], [])
    token = tombstone_of(keys(), "change", first.change_id)
    assert AuditRecord.objects.get(action="search").details == {"changes": [token], "many": 1}


def test_an_unflagged_change_is_answered_with_why_not(cast: dict[str, User], scores: pd.DataFrame) -> None:
    row = scores[scores["why_not"].notna() & ~scores["change_id"].isin(Flag.objects.values_list("change_id"))].iloc[0]
    answer = search(cast["auditor"], row["change_id"])
    (scored,) = answer.scored
    assert (scored.why_not, scored.rank_before_cut, scored.p_value) == (
        row["why_not"], row["rank_before_cut"], row["p_value"],
    )  # fmt: skip
    assert scored.why == row["why_not"]
    assert answer.is_of_last_night


def test_a_change_no_longer_scored_is_looked_for_in_earlier_nights(
    cast: dict[str, User], scores: pd.DataFrame, reviewed: Settings
) -> None:
    last = Night.objects.latest("night").night
    change = scores.loc[scores["why_not"].notna(), "change_id"].iloc[0]
    Flag.objects.filter(change_id=change).delete()
    path = reviewed.folder("scores") / f"{last}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.compute.not_equal(table["change_id"], change)), path)
    answer = search(cast["reviewer"], change)
    assert (answer.is_found, answer.is_of_last_night, answer.scored[0].night < last) == (True, False, True)


def test_what_nobody_scored_is_not_an_open_change(cast: dict[str, User]) -> None:
    for query in ("X0", "", "  "):
        assert not search(cast["reviewer"], query).is_found
    assert not AuditRecord.objects.filter(action="search").exists()


def test_a_members_changes_are_found_by_who_sees_numbers(cast: dict[str, User], first: Flag) -> None:
    assert first in search(cast["senior"], first.member_id).flags
    for query in (first.member_id, first.payee_id, first.change_id):
        assert not search(cast["scientist"], query).is_found
    assert search(cast["scientist"], first.flag_id).flags == [first]


def test_nobody_finds_their_own_household(cast: dict[str, User], first: Flag, scores: pd.DataFrame) -> None:
    assert not search(cast["relative"], first.change_id).flags
    own = scores[scores["household_id"] == first.household_id]["change_id"]
    Flag.objects.all().delete()
    assert not any(search(cast["relative"], change).scored for change in own)
    assert search(cast["reviewer"], own.iloc[0]).scored


def test_every_reason_a_night_gives_can_be_said() -> None:
    from payeewatch.pipeline.night.queues import WhyNot

    assert set(WHY_NOT) == set(map(str, WhyNot))


def test_what_capacity_left_out_is_listed_by_rank(
    cast: dict[str, User], scores: pd.DataFrame, reviewed: Settings
) -> None:
    path = reviewed.folder("scores") / f"{Night.objects.latest('night').night}.parquet"
    changed = scores.assign(why_not=[module.CAPACITY if n < 3 else w for n, w in enumerate(scores["why_not"])])
    pq.write_table(pa.Table.from_pandas(changed, preserve_index=False), path)
    expected = sorted(changed.loc[changed["why_not"] == module.CAPACITY, "rank_before_cut"])
    assert [row.rank_before_cut for row in below_capacity(cast["reviewer"])] == expected


def test_a_members_changes_are_all_found_flagged_or_not(
    cast: dict[str, User], scores: pd.DataFrame, reviewed: Settings
) -> None:
    flag = Flag.objects.filter(is_current=True).exclude(member_id=None).first()
    assert flag
    other = scores.loc[scores["why_not"].notna(), "change_id"].iloc[0]
    path = reviewed.folder("scores") / f"{Night.objects.latest('night').night}.parquet"
    rows = pq.read_table(path).to_pylist()
    changed = [row | ({"member_id": flag.member_id} if row["change_id"] == other else {}) for row in rows]
    pq.write_table(pa.Table.from_pylist(changed, schema=pq.read_schema(path)), path)
    answer = search(cast["reviewer"], flag.member_id)
    assert flag in answer.flags
    assert other in [row.change_id for row in answer.scored]
    assert flag.change_id not in [row.change_id for row in answer.scored]


def test_a_change_of_long_ago_is_found_in_one_night_of_its_time(
    cast: dict[str, User], scores: pd.DataFrame, reviewed: Settings
) -> None:
    last = Night.objects.latest("night")
    old = [last.night - timedelta(days=days) for days in (100, 150, 190)]
    for night in old:
        Night.objects.create(night=night, digest="", published_at=last.published_at, run={})
    path = reviewed.folder("scores") / f"{last.night}.parquet"
    row = {**pq.read_table(path).to_pylist()[0], "night": old[2], "change_id": "X-old", "flag_id": None}
    table = pa.Table.from_pylist([row], schema=pq.read_schema(path))
    pq.write_table(table, path.with_name(f"{old[2]}.parquet"))
    found = scored_change(cast["reviewer"], "X-old")
    assert found
    assert found.night == old[2]


@pytest.mark.slow
def test_seventy_thousand_changes_are_searched_at_once(
    cast: dict[str, User], scores: pd.DataFrame, reviewed: Settings
) -> None:
    path = reviewed.folder("scores") / f"{Night.objects.latest('night').night}.parquet"
    table = pq.read_table(path)
    many = pa.concat_tables([table] * (70_000 // table.num_rows + 1))
    ids = pa.array([f"X{number}" for number in range(many.num_rows)])
    pq.write_table(many.set_column(many.column_names.index("change_id"), "change_id", ids), path, compression="zstd")
    searching = best_of(lambda: search(cast["reviewer"], "X60000"))
    assert search(cast["reviewer"], "X60000").scored
    assert searching < best_of(lambda: pq.read_table(path).to_pandas())


def best_of(act: Callable[[], object]) -> float:
    """The least processor seconds of five times: set beside each other in one run, since machines differ."""
    took = []
    for _ in range(5):
        started = time.process_time()
        act()
        took.append(time.process_time() - started)
    return min(took)
