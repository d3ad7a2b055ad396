"""NDJSON: keys that come late, and what is no NDJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.session import Session
from tests.inbox import good
from tests.staged_claims import read_claims


def as_ndjson(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = (json.dumps({key: cell for key, cell in row.items() if cell is not None}) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_a_key_that_first_comes_late_is_read(session: Session, tmp_path: Path, spelled: Any) -> None:
    rows = [good("claims", number, iban=None) for number in range(1_200)] + [good("claims", 1_200, invoice_hash="late")]
    path = as_ndjson(tmp_path / "claims.ndjson", [{spelled(key): cell for key, cell in row.items()} for row in rows])
    staged, read = read_claims(session, path)
    assert (staged.broken, staged.missing_columns) == ({}, ())
    assert (read[-1]["invoice_hash"], read[-1]["iban"] is not None) == ("late", True)


@pytest.mark.parametrize("late", ["HASH", "hash", "Invoice_Hash"])
def test_a_late_key_may_be_spelled_unlike_the_profile_and_the_first_lines(
    session: Session, tmp_path: Path, late: str
) -> None:
    rows = [good("claims", number) for number in range(1_200)] + [good("claims", 1_200) | {late: "late"}]
    export = Export(columns={"Hash": "invoice_hash"} if late.lower() == "hash" else {})
    (_, read) = read_claims(session, as_ndjson(tmp_path / "claims.ndjson", rows), export=export)
    assert read[-1]["invoice_hash"] == "late"


def test_a_key_that_no_line_has_takes_its_default(session: Session, tmp_path: Path) -> None:
    export = Export(defaults={"provider_id": "PR7"})
    _, read = read_claims(
        session, as_ndjson(tmp_path / "claims.ndjson", [good("claims", provider_id=None)]), export=export
    )
    assert read[0]["provider_id"] == "PR7"


def test_a_late_key_has_the_name_that_the_profile_says(session: Session, tmp_path: Path) -> None:
    rows = [good("claims", number) for number in range(1_200)] + [good("claims", 1_200, HASH="late")]
    path = as_ndjson(tmp_path / "claims.ndjson", rows)
    assert read_claims(session, path, export=Export(columns={"HASH": "invoice_hash"}))[1][-1]["invoice_hash"] == "late"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (json.dumps([good("claims")]), "is a JSON array; ndjson has one JSON object a line"),
        (json.dumps([good("claims")], indent=1), "is a JSON array"),
        ((json.dumps(good("claims")) + ",\n") * 3, "has lines that end in a comma"),
        (json.dumps(good("claims"), indent=1), "has lines that are no JSON objects"),
        ('"a"\n1\n', "has lines that are no JSON objects"),
    ],
)
def test_what_is_no_ndjson_is_called_what_it_is(session: Session, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "claims.ndjson").write_text(content, encoding="utf-8")
    with pytest.raises(InputRefused, match=says):
        read_claims(session, tmp_path / "claims.ndjson")
