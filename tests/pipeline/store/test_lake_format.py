"""The number of the lake's format: written with the first commit, and what is refused because of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store import lake_format
from payeewatch.pipeline.store.lake import SCHEMAS, Load
from payeewatch.pipeline.store.lake_format import BEFORE_CHAIN, BEFORE_NUMBERS, FILE, FORMAT, UNFINISHED, write_format
from tests.earlier_lakes import back_to_format_0
from tests.lake_rows import lake_session, put

FORMS = {
    1: {
        "accounts": "account country bank_code last_four",
        "account_events": "event_id member_id occurred_at kind channel actor_id device_token ip_country network",
        "bank_changes": "change_id payee_id payee_type member_id requested_at effective_at old_account new_account"
        " channel actor_id auth_strength name_check device_token document_hash holder_tokens account_distance",
        "changes": "change_id derived payee_id payee_type member_id household_id requested_at effective_at old_account"
        " new_account channel actor_id auth_strength name_check device_token document_hash holder_share"
        " account_distance superseded_by",
        "claims": "claim_id member_id provider_id cared_on received_at care_family channel has_public_record"
        " billed_cents reimbursed_cents ceiling_left_cents payee_id payee_type account status invoice_hash",
        "exposures": "member_id breach_id match_quality list_share",
        "lists": "breach_id title exposed_from exposed_to list_known_on fields purge_on people_count is_purged",
        "members": "member_id household_id contract_id role birth_rank sex joined_on left_on died_on guarantee_level"
        " legal_protection residence broker_id employer_id birth_year department person_key holder_key id_key name_keys"
        " name_tokens surname_tokens",
        "outcomes": "outcome_id change_id decided_at verdict reason_code source",
        "payments": "payment_id payee_id member_id account cents claim_ids planned_on value_date status return_reason",
        "people": "breach_id birth_rank person_key holder_key id_key name_key first_name_key unusable",
        "people_spellings": "breach_id name_key keys",  # added later: lakes without these two are of the same format
        "member_spellings": "member_id keys",
        "providers": "provider_id finess rpps specialty opened_on closed_on account department",
        "reference_accounts": "account kind label valid_from valid_to",
        "reference_banks": "country bank_code name group kind",
        "reference_mergers": "old_bank_code new_bank_code from to",
        "sightings": "payee_id account payee_type member_id seen_at seen_on_table",
        "loads/*.json": "sequence kind day known_on source fingerprint mode files removed undoes facts",
    },
    2: {"loads/*.json": "sequence kind day known_on source fingerprint mode files removed undoes facts before contents"
        " replaces"},
    3: {"outcomes": "outcome_id change_id decided_at verdict reason_code source decided_by"},
}  # fmt: skip
"""Format -> table -> columns before the stamps, as lakes of that format hold them. A line here is never edited, and
what a format does not name is as in the one before."""
STAMPS = ["key_version", "known_at", "version"]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def unnumbered(session: Session) -> Session:
    """A lake as it was written before lakes had a number."""
    put(session, "2024-05-01", kind="list", people=[{"breach_id": "B1", "name_key": 1}], lists=[{"breach_id": "B1"}])
    (session.lake.root / FILE).unlink()
    return session


def test_a_lakes_format_changes_only_with_its_number() -> None:
    columns_now = {table: " ".join(columns) for table, columns in SCHEMAS.items()}
    form = {name: columns for number in range(1, FORMAT + 1) for name, columns in FORMS[number].items()}
    expected = {table: " ".join([columns, *STAMPS]) for table, columns in form.items() if table in SCHEMAS}
    assert columns_now == expected, "raise FORMAT, add the step of the migration, and a form here"
    assert [each.name for each in dataclasses.fields(Load)] == form["loads/*.json"].split()


def test_the_first_commit_says_the_number_and_who_wrote_it(session: Session) -> None:
    assert session.lake.format() is None
    session.lake.check()
    put(session, "2024-05-01", lists=[{"breach_id": "B1"}])
    content = json.loads((session.lake.root / FILE).read_text())
    assert content["format"] == FORMAT
    assert content["written_by"].startswith("PayeeWatch ")
    session.lake.check()


def test_a_later_commit_does_not_change_the_number(session: Session) -> None:
    write_format(session.lake.root)
    before = (session.lake.root / FILE).stat().st_mtime_ns
    put(session, "2024-05-01", lists=[{"breach_id": "B1"}])
    assert (session.lake.root / FILE).stat().st_mtime_ns == before


def test_a_lake_of_todays_columns_without_a_number_is_of_format_1(unnumbered: Session) -> None:
    assert unnumbered.lake.format() == BEFORE_CHAIN
    with pytest.raises(StoreError, match=f"format 1, .* writes format {FORMAT}; run: payeewatch migrate"):
        unnumbered.lake.check()
    assert not (unnumbered.lake.root / FILE).exists()


def test_a_lake_of_name_keys_in_one_column_is_to_be_migrated(session: Session) -> None:
    put(session, "2024-05-01", kind="list", people=[{"breach_id": "B1", "name_key": 1}])
    back_to_format_0(session.lake.root)
    assert session.lake.format() == BEFORE_NUMBERS
    with pytest.raises(StoreError, match=f"format 0, .* writes format {FORMAT}; run: payeewatch migrate"):
        session.lake.check()


def test_a_lake_of_a_format_that_never_had_a_number_is_refused_by_its_columns(unnumbered: Session) -> None:
    with duckdb.connect() as con:
        for path in map(Path, unnumbered.lake.files("lists")):
            rows = f"read_parquet({text(path)}, hive_partitioning = false)"
            con.execute(f"CREATE TABLE old AS SELECT * EXCLUDE (fields) FROM {rows}")
            con.execute(f"COPY old TO {text(path)} (FORMAT parquet)")
    with pytest.raises(StoreError, match=r"has no format number, .*lists lacks fields.*history again") as refused:
        unnumbered.lake.check()
    assert refused.value.exit_code == 15


def test_a_lake_of_a_later_version_is_refused_with_the_version_that_wrote_it(session: Session) -> None:
    (session.lake.root / FILE).write_text('{"format": 99, "written_by": "PayeeWatch 9.9.0"}')
    with pytest.raises(StoreError, match=rf"format 99, written by PayeeWatch 9\.9\.0; .* up to {FORMAT}: install"):
        session.lake.check()


def test_a_migration_that_is_not_finished_is_named_first(session: Session) -> None:
    put(session, "2024-05-01", lists=[{"breach_id": "B1"}])
    (session.lake.root / UNFINISHED).write_text("{}")
    with pytest.raises(StoreError, match="not finished; run: payeewatch migrate"):
        session.lake.check()


@pytest.mark.parametrize("content", ["", "[]", '{"format": "new"}', '{"format": 1}', "null"])
def test_a_format_file_that_says_no_number_is_refused(session: Session, content: str) -> None:
    (session.lake.root / FILE).write_text(content)
    with pytest.raises(StoreError, match=r"format\.json: cannot be read .*restore it"):
        session.lake.check()


def test_the_version_is_the_packages_own() -> None:
    assert lake_format.this_version().startswith("PayeeWatch 0.")
