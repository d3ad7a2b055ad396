"""CSV: stray quotation marks, cells of several lines, and what a spreadsheet puts around a table."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.session import Session
from tests.inbox import csv_text, good
from tests.staged_claims import claims, read_claims


def test_cells_may_hold_quotes_delimiters_and_line_ends(session: Session, tmp_path: Path) -> None:
    odd = 'a "b", c\nd'
    (tmp_path / "claims.csv").write_text("\ufeff" + csv_text([good("claims", claim_id=odd)]), encoding="utf-8")
    assert read_claims(session, tmp_path / "claims.csv")[1][0]["claim_id"] == odd


ENCODINGS = ("utf-8", "latin-1", "windows-1252")


def swallowing(count: int, *places: int) -> str:
    """Claims without quoting, whose invoice hash begins with a quotation mark in some lines."""
    lines = csv_text([good("claims", number, invoice_hash="ab") for number in range(count)]).splitlines()
    for place in places:
        lines[place] = lines[place].removesuffix("ab") + '"ab'
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_stray_quote_costs_its_own_line_and_no_other(
    session: Session, tmp_path: Path, encoding: str, ending: str
) -> None:
    packed = gzip.compress if ending == ".csv.gz" else bytes
    for places, rejected in (((3,), 1), ((3, 390), 2), ((399,), 1), ((3, 4), 2)):
        (tmp_path / f"claims{ending}").write_bytes(packed(swallowing(400, *places).encode(encoding)))
        staged, rows = read_claims(session, tmp_path / f"claims{ending}", export=Export(encoding=encoding))
        assert (staged.rows_read, staged.broken["unreadable_line"]) == (400, rejected)
        assert {row["claim_id"] for row in rows if not row["failed"]} == {
            f"C{number}" for number in range(400) if number + 1 not in places
        }


def test_lines_between_two_stray_quotes_are_rows(session: Session, tmp_path: Path) -> None:
    lines = csv_text([good("claims", number) for number in range(400)]).splitlines()
    lines[3], lines[390] = lines[3].replace("consultation", '"consultation'), lines[390].replace("noemie", 'noemie"')
    (tmp_path / "claims.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    staged, _ = read_claims(session, tmp_path / "claims.csv")
    assert (staged.rows_read, staged.broken) == (400, {"unreadable_line": 1, "channel_unlisted": 1})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_cells_of_several_lines_are_honest(session: Session, tmp_path: Path, encoding: str) -> None:
    rows = [good("claims", n, comment=f'one, "{n}"\n\ntwo\n' if n % 3 else "") for n in range(1, 60)]
    (tmp_path / "claims.csv").write_bytes(csv_text(rows).encode(encoding))
    staged, read = read_claims(session, tmp_path / "claims.csv", export=Export(encoding=encoding))
    assert (staged.rows_read, staged.broken) == (59, {})
    assert [row["claim_id"] for row in read] == [f"C{n}" for n in range(1, 60)]


def test_what_a_spreadsheet_puts_before_a_header_is_left_aside(session: Session, tmp_path: Path) -> None:
    text = csv_text(claims())
    for encoding in ENCODINGS:
        for before in ("\n \r\n", "sep=,\n", '"SEP=,"\r\n', *(["\ufeff\ufeff"] if encoding == "utf-8" else [])):
            (tmp_path / "claims.csv").write_bytes((before + text).encode(encoding))
            staged, _ = read_claims(session, tmp_path / "claims.csv", export=Export(encoding=encoding))
            assert (staged.rows_read, staged.broken) == (2, {}), before
    (tmp_path / "claims.csv").write_text("sep=;\n" + csv_text(claims(), delimiter=";"), encoding="utf-8")
    assert read_claims(session, tmp_path / "claims.csv")[0].broken == {}


def test_leading_zeros_stay(session: Session, tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text(csv_text([good("claims", claim_id="007")]), encoding="utf-8")
    assert read_claims(session, tmp_path / "claims.csv")[1][0]["claim_id"] == "007"


def test_a_header_alone_is_no_rows(session: Session, tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text(csv_text(claims()).splitlines()[0] + "\n", encoding="utf-8")
    assert read_claims(session, tmp_path / "claims.csv")[0].rows_read == 0
