"""The search for canaries finds them wherever a night could leave them."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.canaries import assert_absent, identities, occurrences, plant

NAME = "Zéphyrinde Canarivoltigeon"


def as_sqlite(folder: Path, text: str) -> None:
    with sqlite3.connect(folder / "mlflow.db") as opened:
        opened.execute("CREATE TABLE params (value TEXT)")
        opened.execute("INSERT INTO params VALUES (?)", [text])
    opened.close()


def as_zip(folder: Path, text: str) -> None:
    with zipfile.ZipFile(folder / "model.skops", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("schema.json", json.dumps({"seen": text}))


LEAKS: dict[str, Callable[[Path, str], object]] = {
    "text": lambda folder, text: (folder / "night.log").write_text(f"bad row: {text}"),
    "upper case without marks": lambda folder, text: (folder / "n.log").write_text("ZEPHYRINDE CANARIVOLTIGEON"),
    "json escapes": lambda folder, text: (folder / "run.json").write_text(json.dumps(text)),
    "gzip": lambda folder, text: (folder / "a.csv.gz").write_bytes(gzip.compress(text.encode())),
    "parquet": lambda folder, text: pq.write_table(pa.table({"row": [text]}), folder / "f.parquet", compression="zstd"),
    "lists in parquet": lambda folder, text: pq.write_table(
        pa.table({"r": [[{"sentence": text}]]}), folder / "f.parquet"
    ),
    "sqlite": as_sqlite,
    "zip": as_zip,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(tmp_path: Path, leak: str) -> None:
    assert_absent(tmp_path, [NAME])
    LEAKS[leak](tmp_path, NAME)
    with pytest.raises(AssertionError, match="identities in") as failed:
        assert_absent(tmp_path, [NAME])
    assert "Canari" not in str(failed.value)


def test_planted_identities_stand_in_the_input(tmp_path: Path) -> None:
    for name, header in {
        "inbox/2024-01-01/members.csv": "member_id,national_id,birth_date,family_name,given_names",
        "inbox/2024-01-01/bank_changes.csv": "change_id,new_iban,holder_name",
        "breaches/TPO-1/people.csv": "national_id,family_name,given_names,birth_date",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{header}\n{header}\n")
    planted = plant(tmp_path / "inbox", tmp_path / "breaches")
    values = {value for _, value in occurrences(tmp_path, planted)}
    assert values >= {"Canarivoltigeon", "Canariholderian", "284129999987693", "19841231"}
    assert {"Canarivoltigeon", "284129999987693"} <= set(identities(tmp_path / "inbox"))
