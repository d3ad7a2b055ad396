"""A sample of the damaged inputs: none is a fault, hangs or shows an identity."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fuzz import run
from tests.breach_lists import person, put_list
from tests.inbox import good, put_drop

TABLES = ("members", "providers", "claims", "bank_changes", "account_events", "payments", "outcomes")


def test_a_sample_of_damaged_inputs_is_read_or_refused_in_words(tmp_path: Path) -> None:
    put_drop(tmp_path, "2024-04-01", **{table: [good(table, n) for n in range(1, 9)] for table in TABLES})
    put_list(tmp_path / "breaches", "TPO-1", [person(n) for n in range(8)])
    said: list[str] = []
    results = run(tmp_path, 80, tmp_path / "fuzz.jsonl", said.append)
    assert said == []
    assert set(results) <= {"read", "refused, 10", "refused, 12"}
    assert results == run(tmp_path, 80, tmp_path / "fuzz.jsonl", said.append)  # it goes on where it was
