"""The filters of keys that stay under a former token key: who was kept is always found, and nobody else newly so."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.home.keys import Keys, is_kept
from payeewatch.pipeline.store.kept_tokens import LEAST_BITS, MOST_BITS, filter_of, filters_of

KEYS = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=40)


def found_in(bits: bytes | None, keys: list[int]) -> set[int]:
    """The keys that SQL finds in a filter."""
    if bits is None:
        return set()
    condition = is_kept(Keys({1: b"k" * 32}, 1, b"v" * 32, b"a" * 32, kept={1: bits}), 1, "key")
    with duckdb.connect() as con:
        rows = con.execute(f"SELECT key FROM (SELECT unnest($1::BIGINT[]) AS key) WHERE {condition}", [keys]).fetchall()
    return {key for (key,) in rows}


@settings(max_examples=15, deadline=None)
@given(KEYS, KEYS, KEYS)
def test_whoever_stays_is_found_and_nobody_newly(gone: list[int], back: list[int], others: list[int]) -> None:
    everybody = [*gone, *back, *others]
    first = filters_of(np.array([*gone, *back], dtype=np.int64), {}, 1)
    assert found_in(first.get(1), everybody) >= {*gone, *back}
    second = filters_of(np.array([*gone, *others], dtype=np.int64), first, 2)
    assert found_in(second.get(2), everybody) >= {*gone, *others}
    assert {*gone} <= found_in(second.get(1), everybody) <= found_in(first.get(1), everybody)


@pytest.mark.parametrize(("many", "bits"), [(1, LEAST_BITS), (100, 8192), (10**6, MOST_BITS)])
def test_a_filter_grows_with_its_keys_up_to_a_bound(many: int, bits: int) -> None:
    keys = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, many, dtype=np.int64)
    assert 8 * len(filter_of(keys)) == bits


def test_few_look_kept_who_are_not() -> None:
    keys = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 12_000, dtype=np.int64)
    assert len(found_in(filter_of(keys[:2_000]), keys[2_000:].tolist())) < 0.002 * 10_000


def test_no_keys_leave_no_filter() -> None:
    assert filters_of(np.array([], dtype=np.int64), {}, 1) == {}
