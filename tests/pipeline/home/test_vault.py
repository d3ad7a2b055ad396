"""Sealed originals: only the right key opens them, and only where they were put."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.errors import SettingsError, StoreError
from payeewatch.pipeline.home.keys import Keys
from tests.lake_rows import KEYS

DAY = date(2024, 3, 1)
NAMES = "(VALUES ('M1', 'Zoé Dupond-Essai'), ('M2', NULL), (NULL, 'nobody'), ('M3', 'Anne')) t(ref, original)"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def test_what_is_sealed_can_be_revealed(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)
    assert vault.reveal(KEYS, tmp_path, "member", "M1") == "Zoé Dupond-Essai"
    assert vault.reveal(KEYS, tmp_path, "member", "M2") is None
    assert vault.reveal(KEYS, tmp_path, "member", "M9") is None
    assert vault.reveal(KEYS, tmp_path, "account", "M1") is None


def test_the_last_sealed_counts_whatever_its_day(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    vault.seal(con, KEYS, tmp_path, "SELECT 'M1' AS ref, 'Dupond' AS original", "member", DAY, 7)
    vault.seal(con, KEYS, tmp_path, "SELECT 'M1' AS ref, 'Moreau' AS original", "member", date(2024, 2, 1), 8)
    assert vault.reveal(KEYS, tmp_path, "member", "M1") == "Moreau"


def test_the_file_holds_nothing_in_clear_and_is_its_owners(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)
    assert path is not None
    sealed = con.execute("SELECT sealed FROM read_parquet($1)", [str(path)]).fetchall()
    assert b"Dupond" not in b"".join(row[0] for row in sealed)
    assert path.stat().st_mode & 0o077 == 0


def test_equal_originals_are_sealed_differently(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    same = "SELECT 'M' || range AS ref, 'Dupond' AS original FROM range(50)"
    path = vault.seal(con, KEYS, tmp_path, same, "member", DAY, 1)
    assert con.execute("SELECT count(DISTINCT sealed) FROM read_parquet($1)", [str(path)]).fetchall() == [(50,)]


def test_nothing_to_seal_leaves_no_file(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)
    assert vault.seal(con, KEYS, tmp_path, f"FROM {NAMES} WHERE ref = 'M9'", "member", DAY, 1) is None
    assert not list(tmp_path.rglob("*.parquet"))


def test_another_key_does_not_open_it(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)
    other = Keys(KEYS.token, 1, b"x" * 32, KEYS.audit)
    with pytest.raises(SettingsError, match="does not open"):
        vault.reveal(other, tmp_path, "member", "M1")


def test_a_value_moved_to_another_row_does_not_open(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)
    con.execute(f"CREATE TABLE moved AS SELECT kind, 'M9' AS ref, sealed FROM read_parquet('{path}') WHERE ref = 'M1'")
    con.execute(f"COPY moved TO '{path}' (FORMAT parquet)")
    with pytest.raises(SettingsError, match="does not open"):
        vault.reveal(KEYS, tmp_path, "member", "M9")


def test_many_rows_span_several_chunks(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    many = vault.ROWS_AT_ONCE + 10
    vault.seal(
        con, KEYS, tmp_path, f"SELECT range AS ref, 'n' || range AS original FROM range({many})", "holder", DAY, 1
    )
    assert vault.reveal(KEYS, tmp_path, "holder", "0") == "n0"
    assert vault.reveal(KEYS, tmp_path, "holder", str(many - 1)) == f"n{many - 1}"


def test_originals_of_rejected_rows_go_after_thirty_days(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    for day in (date(2024, 1, 30), date(2024, 1, 31), DAY):
        vault.seal(con, KEYS, tmp_path, f"SELECT '{day}/claims/0' AS ref, 'row' AS original", "quarantine", day, 1)
    vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", date(2024, 1, 1), 1)
    assert vault.purge_quarantined(tmp_path, DAY) == [date(2024, 1, 30)]
    assert vault.reveal(KEYS, tmp_path, "quarantine", "2024-01-30/claims/0") is None
    assert vault.reveal(KEYS, tmp_path, "quarantine", "2024-01-31/claims/0") == "row"
    assert vault.reveal(KEYS, tmp_path, "member", "M3") == "Anne"


def test_a_vault_that_cannot_be_written_is_a_store_error(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "member").write_text("a file where the folder should be")
    with pytest.raises(StoreError):
        vault.seal(con, KEYS, tmp_path, f"FROM {NAMES}", "member", DAY, 1)


def test_nothing_in_the_pipeline_or_the_features_reveals() -> None:
    root = Path(__file__).parents[3]
    for path in [*(root / "pipeline").rglob("*.py"), *(root / "features").rglob("*.py")]:
        if path.name != "vault.py":
            used = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
            used |= {
                a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) for a in n.names
            }
            assert not {"reveal", "reveal_all"} & used, path.name


def test_only_fairness_opens_what_is_sealed_of_births() -> None:
    root = Path(__file__).parents[3]
    rooms = ("pipeline", "features", "evaluation", "triage", "payeewatch/commands")
    paths = [path for room in rooms for path in (root / room).rglob("*.py") if path.name != "vault.py"]
    naming = {path.name for path in paths if re.search(r"\bBIRTH\b|reveal_all", path.read_text(encoding="utf-8"))}
    # sealed by one, deleted by two, and exported to the person alone
    assert naming == {"groups.py", "seal.py", "erase.py", "purge.py", "subject_access.py"}
