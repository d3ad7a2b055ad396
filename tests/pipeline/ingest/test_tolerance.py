"""Tolerance: what refuses a drop whatever its size, and what is only worth a look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest.ingest import DropRefused, ingest
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.ingest.tolerance import looks, over_tolerance
from payeewatch.pipeline.ingest.typed_rows import staged_columns
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import CLAIMS
from tests.inbox import good, inbox_session, looks_of, whole_drop

DAY = date(2024, 4, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def rows(table: str, bad: int, fine: int, **changed: Any) -> list[dict[str, Any]]:
    changes = [changed] * bad + [{}] * fine
    return [good(table, number, **each) for number, each in enumerate(changes, start=1)]


def refusal(session: Session, **tables: list[dict[str, Any]]) -> str:
    """Why a drop is refused; nothing when it is not."""
    whole_drop(session.settings.home, "2024-04-01", **tables)
    try:
        ingest(session, DAY)
    except DropRefused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(("bad", "fine", "is_refused"), [(4, 0, False), (5, 0, True), (5, 4, True), (5, 5, False)])
def test_five_rows_that_are_more_than_half_refuse_a_table(
    session: Session, bad: int, fine: int, is_refused: bool
) -> None:
    says = refusal(session, bank_changes=rows("bank_changes", bad, fine, new_iban="FR0012345"))
    assert bool(says) is is_refused
    if is_refused:
        assert f"{bad} of {bad + fine} rows of bank_changes are rejected (new_iban_wrong {bad})" in says


def test_all_rows_of_a_table_though_few_are_a_look(session: Session) -> None:
    assert refusal(session, bank_changes=rows("bank_changes", 4, 0, new_iban="FR0012345")) == ""
    says = (
        "drop of 2024-04-01: nothing of bank_changes can be used; 4 rejected (new_iban_wrong 4);"
        " see quarantine/2024-04-01/"
    )
    assert looks_of(session) == [says]


@pytest.mark.parametrize(("bad", "fine", "is_refused"), [(4, 0, False), (5, 4, True), (5, 5, False)])
@pytest.mark.parametrize(
    ("table", "column", "cell"), [("members", "national_id", "2.85019E+14"), ("bank_changes", "channel", "WEB")]
)
def test_five_cells_that_are_more_than_half_of_an_identifiers_or_codes_column_refuse_it(
    session: Session, table: str, column: str, cell: str, bad: int, fine: int, is_refused: bool
) -> None:
    blank = [good(table, number, **{column: None}) for number in range(100, 150)]  # empty cells say nothing
    says = refusal(session, **{table: rows(table, bad, fine, **{column: cell}) + blank})
    assert bool(says) is is_refused
    if is_refused:
        assert f"{bad} of {bad + fine} filled cells of {table}.{column} are unusable" in says
        assert (f"[{cell} {bad}]" in says) is (column == "channel")  # a code is named, an identity is not
        assert cell not in says or column == "channel"


def test_a_refusal_names_what_rejects_and_no_warning(session: Session) -> None:
    claims = rows("claims", 6, 0, cared_on="?", member_id="nobody", provider_id="nobody")
    assert "(cared_on_unreadable 6)" in refusal(session, claims=claims)


def test_a_refusal_names_the_codes_that_are_not_listed(session: Session) -> None:
    staged = Staged(CLAIMS, DAY, (), rows_read=12, rows_rejected=11)
    staged.broken.update({"care_family_unlisted": 11, "member_id_unresolved": 12})
    staged.codes_unlisted = {"care_family": {"KIN": 2, "PH4": 9}, "channel": {"X": 1}}
    session.con.execute("ATTACH ':memory:' AS staging")
    columns = ", ".join(f"{name} {kind}" for name, kind in staged_columns(CLAIMS).items())
    session.con.execute(f"CREATE TABLE {staged.relation} ({columns})")
    says = over_tolerance(session.con, staged, session.settings.params.ingest)
    assert says == (
        "11 of 12 rows of claims are rejected (care_family_unlisted 11 [PH4 9, KIN 2]), more than 50% and at least"
        " 5 rows"
    )


def test_a_table_without_rows_is_no_look() -> None:
    assert looks(Staged(CLAIMS, DAY, ())) == []
