"""What a feed can do wrong, each with its clear error or its quiet handling, and never a cell in a message."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import InputRefused, StoreError
from payeewatch.pipeline.ingest.ingest import DropRefused, check, ingest
from payeewatch.pipeline.session import Session
from tests.inbox import account, csv_text, good, inbox_session, rows_of, whole_drop

DAY = date(2024, 4, 1)
SECRETS = ("Dupond", account(1), "19850117")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def drop(session: Session) -> Path:
    return whole_drop(session.settings.home, "2024-04-01")


def refused(session: Session, says: str) -> str:
    """The message of a refusal: it names file and cause, quotes no cell, and nothing is loaded."""
    with pytest.raises(InputRefused, match=says) as refusal:
        ingest(session, DAY)
    assert [load for load in session.lake.loads() if load.kind == "drop"] == []
    assert not any(secret in str(refusal.value) for secret in SECRETS)
    assert refusal.value.exit_code == 12
    return str(refusal.value)


def many(count: int, **changed: Any) -> list[dict[str, Any]]:
    return [good("claims", number, **changed) for number in range(1, count + 1)]


def test_a_gzip_that_is_cut_short(session: Session, drop: Path) -> None:
    whole = gzip.compress(csv_text(many(3000)).encode())
    (drop / "claims.csv").unlink()
    (drop / "claims.csv.gz").write_bytes(whole[: len(whole) * 2 // 3])
    refused(session, r"2024-04-01/claims.csv.gz: .*gzip stream is cut short")


def test_a_gzip_that_is_none(session: Session, drop: Path) -> None:
    (drop / "claims.csv").rename(drop / "claims.csv.gz")
    refused(session, r"claims.csv.gz: is not packed with gzip")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("claims.ndjson", json.dumps(good("claims")) + "\n" + '{"claim_id": "C2", "mem'),
        ("claims.csv", csv_text([good("claims", 1), good("claims", 2)])[:-60]),
        ("claims.csv", csv_text([good("claims", 1), good("claims", 2, claim_id='C"2')])[:-60]),
        ("claims.csv.gz", csv_text([good("claims", 1), good("claims", 2)])[:-60]),
    ],
)
def test_a_last_line_that_is_cut_off_means_the_file_is_not_complete(
    session: Session, drop: Path, name: str, text: str
) -> None:
    (drop / "claims.csv").unlink()
    packed = gzip.compress if name.endswith(".gz") else bytes
    (drop / name).write_bytes(packed(text.encode()))
    refused(session, f"2024-04-01/{name}: is not complete: its last line has no line end, and is no")


@pytest.mark.parametrize("name", ["claims.csv", "claims.ndjson"])
def test_a_last_line_may_lack_its_line_end(session: Session, drop: Path, name: str) -> None:
    (drop / "claims.csv").unlink()
    lines = csv_text(many(2)) if name == "claims.csv" else "\n".join(json.dumps(row) for row in many(2))
    (drop / name).write_text(lines.rstrip("\n"), encoding="utf-8")
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    assert load.facts["tables"]["claims"]["rows_accepted"] == 2


def test_another_encoding_in_a_cell(session: Session, drop: Path) -> None:
    (drop / "members.csv").write_bytes(csv_text([good("members")]).encode("latin-1"))
    refused(session, r"members.csv: .*encoding.*source profile")


def test_another_encoding_in_the_header(session: Session, drop: Path) -> None:
    (drop / "members.csv").write_bytes("numéro,à".encode("latin-1"))
    refused(session, r"members.csv: .*encoding")


def test_another_encoding_throughout(session: Session, drop: Path) -> None:
    (drop / "members.csv").write_bytes(csv_text([good("members")]).encode("utf-16"))
    refused(session, r"members.csv: .*encoding")


def test_a_missing_required_column(session: Session, drop: Path) -> None:
    row = good("claims")
    del row["cared_on"], row["status"]
    (drop / "claims.csv").write_text(csv_text([row]), encoding="utf-8")
    refused(session, "claims.csv: lacks the required columns cared_on, status")


def test_a_missing_required_key_in_json(session: Session, drop: Path) -> None:
    row = good("claims")
    del row["cared_on"]
    (drop / "claims.csv").unlink()
    (drop / "claims.ndjson").write_text(json.dumps(row), encoding="utf-8")
    refused(session, "claims.ndjson: lacks the required column cared_on")


def test_a_column_twice(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_text("claim_id,claim_id\nC1,C1\n", encoding="utf-8")
    refused(session, "claims.csv: has the column claim_id twice")


def test_an_empty_file(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_bytes(b"")
    refused(session, "claims.csv: is empty")


def test_a_parquet_file_that_is_none(session: Session, drop: Path) -> None:
    (drop / "claims.csv").rename(drop / "claims.parquet")
    refused(session, "claims.parquet: cannot be read: it is not valid parquet")


def test_a_folder_with_the_name_of_a_file(session: Session, drop: Path) -> None:
    (drop / "claims-0002.csv").mkdir()
    refused(session, "claims-0002.csv")


def test_a_delimiter_of_another_land(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_text(csv_text([good("claims")], delimiter=";"), encoding="utf-8")
    refused(session, "claims.csv: lacks the required columns .*source profile")


def test_a_column_of_the_wrong_type(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_text(csv_text(many(60, received_at="12.5")), encoding="utf-8")
    says = refused(session, "60 of 60 rows of claims are rejected")
    assert "received_at_unreadable 60" in says
    assert (session.settings.folder("quarantine") / "2024-04-01" / "claims.parquet").exists()


def test_a_parquet_column_of_the_wrong_type(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_text(csv_text(many(60)), encoding="utf-8")
    session.con.execute(
        f"COPY (SELECT * REPLACE ([1, 2] AS cared_on, 1.5 AS received_at) FROM"
        f" read_csv('{drop / 'claims.csv'}', all_varchar = true)) TO '{drop / 'claims.parquet'}'"
    ).fetchall()
    (drop / "claims.csv").unlink()
    refused(session, r"claims.parquet: cared_on must hold text, numbers or dates; now it is integer\[\]")


def test_more_bad_rows_than_tolerated_stop_the_night_with_all_that_was_found(session: Session, drop: Path) -> None:
    (drop / "claims.csv").write_text(csv_text(many(51, cared_on="?")), encoding="utf-8")
    with pytest.raises(DropRefused) as refusal:
        ingest(session, DAY)
    assert refusal.value.facts["tables"]["claims"]["rows_rejected"] == 51
    (facts,) = check(session)
    assert facts["refused"] == str(refusal.value).split("; see quarantine/")[0]  # a check writes none
    assert facts["tables"]["claims"]["rows_rejected"] == 51


def test_bad_rows_within_the_tolerance_do_not(session: Session, drop: Path) -> None:
    few = many(25, cared_on="?") + many(25)  # half of them, but not more than that and not more than 50
    (drop / "claims.csv").write_text(csv_text(few), encoding="utf-8")
    assert [load.facts["tables"]["claims"]["rows_accepted"] for load in ingest(session, DAY)[1:]] == [25]
    share = [good("claims", n, cared_on="?" if n <= 60 else "2024-03-01") for n in range(1, 6001)]  # one in a hundred
    (drop / "claims.csv").write_text(csv_text(share), encoding="utf-8")
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    assert load.facts["tables"]["claims"]["rows_rejected"] == 60


def test_lines_with_too_few_or_too_many_cells_are_single_bad_rows(session: Session, drop: Path) -> None:
    with (drop / "claims.csv").open("a", encoding="utf-8") as file:
        file.write("C2,M1\n" + "x," * 40 + "\n")
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    facts = load.facts["tables"]["claims"]
    assert (facts["rows_read"], facts["rows_accepted"], facts["rules"]["unreadable_line"]["rows"]) == (3, 1, 2)


def test_long_cells_formulas_and_quotes_are_only_text_here(tmp_path: Path) -> None:
    ids = ["C1", "C2", "=1+1", "O'Hara\"; --"]
    rows = [good("claims", number, claim_id=claim_id) for number, claim_id in enumerate(ids, start=1)]
    rows[0] |= {"invoice_hash": "x" * 1_000_000}
    rows[1] |= {"provider_id": "é" * 1_000_000}
    with inbox_session(tmp_path / "it's a home") as session:
        whole_drop(session.settings.home, "2024-04-01", claims=rows)
        ingest(session, DAY)
        found = rows_of(session, "SELECT DISTINCT invoice_hash, claim_id FROM claims", "claims")
    assert sorted(found) == sorted((None, claim_id) for claim_id in ids)


def test_a_file_nobody_may_read() -> None:
    """As another user, because nothing is forbidden to root."""
    home = Path(tempfile.mkdtemp()) / "home"
    try:
        with inbox_session(home) as session:
            drop = whole_drop(home, "2024-04-01")
            (drop / "claims.csv").chmod(0)
            home.parent.chmod(0o755)
            for path in [home / "lake", *(home / "lake").rglob("*")]:
                path.chmod(0o777)
            before = os.geteuid()
            if before == 0:
                os.seteuid(65534)
            try:
                with pytest.raises(InputRefused, match=r"claims.csv: cannot be read: Permission denied"):
                    ingest(session, DAY)
            finally:
                os.seteuid(before)
    finally:
        shutil.rmtree(home.parent)


def test_a_lake_nobody_may_write(session: Session, drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left on device"):
        ingest(session, DAY)
    monkeypatch.undo()
    assert session.lake.loads() == []
    assert len(ingest(session, DAY)) == 2


def test_a_run_killed_at_any_stage_is_made_good_by_the_next(
    session: Session, drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    for stage in ("write_sightings", "write_accounts", "seal_originals", "quarantine"):
        monkeypatch.setattr(f"payeewatch.pipeline.ingest.ingest.{stage}", die)
        with pytest.raises(KeyboardInterrupt):
            ingest(session, DAY)
        monkeypatch.undo()
        assert [load for load in session.lake.loads() if load.kind == "drop"] == [], stage
    ingest(session, DAY)
    assert rows_of(session, "SELECT count(*), count(DISTINCT version) FROM claims", "claims") == [(2, 2)]
