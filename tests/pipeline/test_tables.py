"""The declarations hold together: what checks, casts, the lake and the docs are made from."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.store.lake import SCHEMAS
from payeewatch.pipeline.tables import (
    BANK_CHANGES,
    CLAIMS,
    DERIVED_TABLES,
    DROP_TABLES,
    IDENTITY_KINDS,
    LAKE_STAMPS,
    LAKE_TYPES,
    MEMBERS,
    PEOPLE,
    REFERENCE_TABLES,
    Kind,
    Table,
)

ALL = [*DROP_TABLES.values(), PEOPLE, *REFERENCE_TABLES.values()]


def test_money_and_accounts_change_their_names_inside() -> None:
    assert CLAIMS.column("reimbursed_amount").lake_name == "reimbursed_cents"
    assert CLAIMS.column("iban").lake_name == "account"
    assert BANK_CHANGES.column("old_iban").lake_name == "old_account"
    assert CLAIMS.column("claim_id").lake_name == "claim_id"


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_no_column_is_declared_twice(table: Table) -> None:
    names = [column.name for column in table.columns]
    lake = [c.lake_name for c in table.columns if c.kind in LAKE_TYPES] + [name for name, _, _ in table.derived]
    assert len(set(names)) == len(names)
    assert len(set(lake)) == len(lake)
    assert list(table.lake_columns) == [*lake, *LAKE_STAMPS]


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_an_enum_lists_its_values_and_falls_back_to_one_of_them(table: Table) -> None:
    for column in table.columns:
        assert bool(column.values) == (column.kind is Kind.ENUM)
        assert not column.falls_back or "unknown" in column.values


def test_no_identity_reaches_the_lake_as_it_is() -> None:
    assert IDENTITY_KINDS - {Kind.ACCOUNT} == set(Kind) - set(LAKE_TYPES)
    assert not {"national_id", "birth_date", "family_name", "given_names", "postal_code"} & set(SCHEMAS["members"])
    assert not [name for columns in SCHEMAS.values() for name in columns if "iban" in name or "holder_name" in name]


def test_references_name_tables_that_come_before() -> None:
    earlier: list[str] = []
    for table in DROP_TABLES.values():
        assert {other for _, other in table.references} <= set(earlier)
        assert {column for column, _ in table.references} <= {column.name for column in table.columns}
        earlier.append(table.name)


def test_a_key_is_a_column_that_is_never_null() -> None:
    for table in DROP_TABLES.values():
        assert not table.column(table.key).nullable


def test_claims_and_members_are_required_and_nothing_else() -> None:
    assert [table.name for table in DROP_TABLES.values() if table.required] == [MEMBERS.name, CLAIMS.name]


def test_every_lake_table_is_stamped() -> None:
    assert set(DERIVED_TABLES) <= set(SCHEMAS)
    for columns in SCHEMAS.values():
        assert list(columns)[-3:] == list(LAKE_STAMPS)
