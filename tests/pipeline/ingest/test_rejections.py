"""A check says why rows would be rejected, and where the first of them are, without quarantine and without --json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch.pipeline.ingest.ingest import check
from payeewatch.pipeline.ingest.rejections import lines
from payeewatch.pipeline.session import Session
from tests.conftest import Home, copy_of
from tests.inbox import csv_text, good, inbox_session, put_drop, whole_drop

DAY = "2024-04-01"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def rejected(session: Session) -> list[dict[str, Any]]:
    (facts,) = check(session)
    found: list[dict[str, Any]] = facts["rejections"]
    return found


def test_rules_are_named_with_their_column_their_rows_and_the_first_lines(session: Session) -> None:
    rows = [good("claims", n, cared_on="?" if n % 2 else "2024-03-01") for n in range(1, 9)]
    rows += [good("claims", 9, billed_amount="x")] + [good("claims", n) for n in range(10, 20)]
    whole_drop(session.settings.home, DAY, claims=rows)
    by_date, by_amount = rejected(session)
    assert by_date["first"] == ["claims.csv line 2", "claims.csv line 4", "claims.csv line 6"]
    assert (by_amount["column"], by_amount["first"]) == ("billed_amount", ["claims.csv line 10"])
    assert list(lines([by_date])) == [
        "claims.cared_on: 4 rejected (cared_on_unreadable), it must be a date such as 2024-12-31, or of the source"
        " profile's form: claims.csv line 2, claims.csv line 4, claims.csv line 6, ..."
    ]


def test_a_cell_of_several_lines_a_blank_line_and_a_line_that_is_no_row_are_counted(session: Session) -> None:
    drop = whole_drop(session.settings.home, DAY)
    ordinary = csv_text([good("claims", 1, invoice_hash="two\nlines"), good("claims", 2)]).splitlines(keepends=True)
    bad = csv_text([good("claims", 3, cared_on="?")]).splitlines(keepends=True)[1]
    (drop / "claims.csv").write_text("".join([*ordinary, "\n", "C9,M1\n", bad]))
    first = {each["rule"]: each["first"] for each in rejected(session)}
    assert first == {"unreadable_line": ["claims.csv line 6"], "cared_on_unreadable": ["claims.csv line 7"]}


def test_each_file_of_a_table_has_its_own_lines(session: Session) -> None:
    drop = whole_drop(session.settings.home, DAY, claims=[good("claims", n) for n in range(1, 6)])
    (drop / "claims-2.ndjson").write_text(
        "\n".join(json.dumps(row) for row in (good("claims", 7), good("claims", 8, status="?"), good("claims", 9)))
    )
    source = drop / "claims.csv"
    duckdb.sql(
        f"COPY (SELECT * REPLACE (CASE WHEN claim_id = 'C4' THEN 'odd' ELSE claim_id END AS claim_id,"
        f" CASE WHEN claim_id = 'C4' THEN '?' ELSE status END AS status) FROM read_csv('{source}', all_varchar = true))"
        f" TO '{drop / 'claims-3.parquet'}'"
    )
    assert [each["first"] for each in rejected(session)] == [["claims-2.ndjson line 2", "claims-3.parquet row 4"]]


def test_the_command_says_it_in_plain_words_and_points_to_nothing_that_it_does_not_write(
    trained: Home, tmp_path: Path
) -> None:
    home = copy_of(trained, tmp_path)
    put_drop(home.path, "2025-01-01", bank_changes=[good("bank_changes", n, new_iban="FR00") for n in (1, 2)])
    said = home.done("check", "--day", "2025-01-01").stdout
    assert "2 rows, 2 to be rejected" in said
    assert "bank_changes.new_iban: 2 rejected (new_iban_wrong), it must be an IBAN" in said
    assert "bank_changes.csv line 2, bank_changes.csv line 3" in said
    assert "quarantine" not in said
    put_drop(home.path, "2025-01-01", bank_changes=[good("bank_changes", n, new_iban="FR00") for n in range(1, 8)])
    refused = home.run("check", "--day", "2025-01-01")
    assert refused.exit_code == 12
    assert "bank_changes.csv line 2, bank_changes.csv line 3, bank_changes.csv line 4, ..." in refused.output
