"""Loading drops: what reaches the lake, when it is known, and what happens to odd drops."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.vault import reveal
from payeewatch.pipeline.ingest.ingest import check, ingest
from payeewatch.pipeline.ingest.profile import Profile
from payeewatch.pipeline.ingest.reference import check_reference, load_reference
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP, Load
from tests.breach_lists import person, put_list
from tests.inbox import (
    account,
    csv_text,
    describe,
    good,
    inbox_session,
    looks_of,
    national_id,
    put_drop,
    rows_of,
    whole_drop,
)

FIRST, SECOND, THIRD = date(2024, 4, 1), date(2024, 4, 2), date(2024, 4, 3)


def evening(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 21, 59, 59, 999999)  # summer in Paris


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with inbox_session(home) as opened:
        yield opened


def drops(loads: list[Load]) -> list[Load]:
    return [load for load in loads if load.kind == "drop"]


def statuses(session: Session, claim: str = "C1") -> list[tuple[str, datetime]]:
    query = f"SELECT status, known_at FROM claims WHERE claim_id = '{claim}' ORDER BY known_at, version"
    return [(status, known_at) for status, known_at in rows_of(session, query, "claims")]


def test_every_table_reaches_the_lake_and_identities_as_tokens_and_keys(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", outcomes=[good("outcomes")])
    (load,) = drops(ingest(session, FIRST))
    assert load.mode == "first"
    assert set(load.files) == {
        "members", "providers", "claims", "bank_changes", "account_events", "payments", "outcomes", "sightings",
        "accounts", "member_spellings",
    }  # fmt: skip
    for table in load.files:
        columns = [row[0] for row in rows_of(session, f'DESCRIBE "{table}"', table)]
        assert columns == list(SCHEMAS[table])
    token = session.con.execute(f"SELECT account_token('{account(1)}')").fetchall()[0][0]
    assert rows_of(session, "SELECT DISTINCT account, reimbursed_cents FROM claims", "claims") == [(token, 2010)]
    rows = rows_of(session, f"SELECT country, bank_code, last_four FROM accounts WHERE account = '{token}'", "accounts")
    assert rows == [("FR", "99001", account(1)[-4:])]
    assert rows_of(session, "SELECT department FROM providers", "providers") == [("974",)]  # three figures overseas
    ((year, department, person, holder, names, words, surnames),) = rows_of(
        session,
        "SELECT birth_year, department, person_key, holder_key, len(name_keys), len(name_tokens), len(surname_tokens)"
        " FROM members",
        "members",
    )
    assert (year, department) == (1985, "75")
    assert person == holder  # she is her own opening-right holder
    assert names > 0
    assert words > surnames == 2  # with the spellings that a holder's name may have


def test_originals_are_sealed_for_those_who_may_open_them(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", payments=[good("payments", planned_on="never")])
    ingest(session, FIRST)
    vault, token = home / "vault", rows_of(session, "SELECT account FROM claims", "claims")[0][0]
    assert reveal(session.keys, vault, "account", token) == account(1)
    assert reveal(session.keys, vault, "holder", "B1") == "Zoé Dupond-Essai"
    member = json.loads(reveal(session.keys, vault, "member", "M1") or "")
    assert (member["family_name"], member["national_id"]) == ("Dupond-Essai", national_id(1)[:13])
    row = json.loads(reveal(session.keys, vault, "quarantine", "2024-04-01/payments/0") or "")
    assert row["iban"] == account(1)


def test_only_new_or_changed_members_are_sealed_again(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", members=[good("members", 1), good("members", 2)])
    put_drop(
        home, "2024-04-02", members=[good("members", 1, guarantee_level=5), good("members", 2, family_name="Nouvel")]
    )
    ingest(session, SECOND)
    (sealed,) = (home / "vault" / "member" / "drop=2024-04-02").iterdir()
    assert session.con.execute(f"SELECT ref FROM '{sealed}'").fetchall() == [("M2",)]


def test_a_row_that_comes_again_replaces_and_leaves_its_history(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", claims=[good("claims", status="received")], payments=[good("payments", 2)])
    put_drop(home, "2024-04-02", claims=[good("claims", status="settled")])
    ingest(session, SECOND)
    assert statuses(session) == [("received", datetime(2024, 3, 2, 10)), ("settled", evening(SECOND))]


def test_the_later_row_of_a_key_wins_and_is_counted(session: Session, home: Path) -> None:
    folder = whole_drop(home, "2024-04-01")
    (folder / "claims.csv").rename(folder / "claims-0001.csv")
    (folder / "claims-0002.csv").write_text(
        csv_text([good("claims", status="pended"), good("claims", status="rejected")]), encoding="utf-8"
    )
    (load,) = drops(ingest(session, FIRST))
    facts = load.facts["tables"]["claims"]
    assert (facts["rows_read"], facts["rows_accepted"], facts["duplicates"]) == (3, 1, 2)
    assert facts["cents"] == {"read": 6030, "accepted": 2010, "rejected": 0, "duplicate": 4020}
    assert statuses(session)[-1][0] == "rejected"


def test_a_load_tells_of_which_tables_every_key_came_once(session: Session, home: Path) -> None:
    twice = [good("claims", known_at=f"2024-03-0{day}T09:00:00") for day in (2, 5)]
    whole_drop(home, "2024-04-01", claims=twice, payments=[good("payments"), good("payments", 2)])
    put_drop(home, "2024-04-02", claims=[good("claims")])
    first, second = drops(ingest(session, SECOND))
    assert {"payments", "members"} <= set(first.facts["keys_once"])
    assert "claims" not in first.facts["keys_once"]
    assert second.facts["keys_once"] == ["claims"]


def test_every_form_of_file_loads(session: Session, home: Path) -> None:
    folder = put_drop(home, "2024-04-01", members=[good("members")])
    (folder / "claims.csv.gz").write_bytes(gzip.compress(csv_text([good("claims")]).encode()))
    (folder / "payments-0001.ndjson").write_text(json.dumps(good("payments")), encoding="utf-8")
    source = csv_text([good("bank_changes")])
    (home / "changes.csv").write_text(source, encoding="utf-8")
    session.con.execute(
        f"COPY (FROM read_csv('{home / 'changes.csv'}', all_varchar = true)) TO '{folder / 'bank_changes.parquet'}'"
    ).fetchall()
    (load,) = drops(ingest(session, FIRST))
    assert {table: facts["rows_accepted"] for table, facts in load.facts["tables"].items()} == dict.fromkeys(
        ("members", "claims", "bank_changes", "payments"), 1
    )


def test_rows_and_euros_are_reconciled(session: Session, home: Path) -> None:
    rows = [good("claims", 1), good("claims", 2, cared_on="?"), good("claims", 3, reimbursed_amount="?")]
    whole_drop(home, "2024-04-01", claims=rows)
    facts = drops(ingest(session, FIRST))[0].facts["tables"]["claims"]
    assert (facts["rows_read"], facts["rows_accepted"], facts["rows_rejected"]) == (3, 1, 2)
    assert facts["cents"] == {"read": 4020, "accepted": 2010, "rejected": 2010, "duplicate": 0}
    assert facts["amounts_unreadable"] == 1


def test_loading_again_does_nothing_whatever_the_times_of_the_files(session: Session, home: Path) -> None:
    folder = whole_drop(home, "2024-04-01")
    assert len(ingest(session, FIRST)) == 2  # the drop, and the shipped table of banks
    assert ingest(session, FIRST) == []
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert ingest(session, FIRST) == []


def test_only_drops_up_to_the_day_are_loaded(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    put_drop(home, "2024-04-03", claims=[good("claims", 2)])
    assert [load.day for load in drops(ingest(session, SECOND))] == [FIRST]
    assert [load.day for load in drops(ingest(session, THIRD))] == [THIRD]


def test_an_empty_drop_is_a_drop(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    put_drop(home, "2024-04-02")
    assert [(load.day, load.files) for load in drops(ingest(session, SECOND))][1] == (SECOND, {})
    assert ingest(session, SECOND) == []


def test_folders_and_files_that_are_nobodys_are_left_alone(session: Session, home: Path) -> None:
    folder = whole_drop(home, "2024-04-01")
    (folder / "notes.txt").write_text("hello", encoding="utf-8")
    (folder / ".claims.csv.swp").write_text("hello", encoding="utf-8")
    (home / "inbox" / "old").mkdir()
    (load,) = drops(ingest(session, FIRST))
    assert load.facts["ignored_files"] == ["notes.txt"]


def test_a_first_drop_tells_of_the_files_that_nobody_read_as_check_does(session: Session, home: Path) -> None:
    folder = whole_drop(home, "2024-04-01")
    (folder / "bank_changes-2.xlsx").write_bytes(b"x")
    look = "drop of 2024-04-01: nobody reads bank_changes-2.xlsx; see the names of tables in docs/input.md"
    assert [str(each) for each in check(session)[0]["looks"]] == [look]
    ingest(session, FIRST)
    assert looks_of(session) == [look]


def test_a_given_known_at_stays_within_the_drops_day(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    rows = [
        good("claims", 2, known_at="2024-04-02T09:00:00"),
        good("claims", 3, known_at="2024-03-01T09:00:00"),
        good("claims", 4, known_at="2024-05-01T09:00:00"),
    ]
    put_drop(home, "2024-04-02", claims=rows)
    loads = drops(ingest(session, SECOND))
    assert statuses(session, "C2")[0][1] == datetime(2024, 4, 2, 9)
    assert statuses(session, "C3")[0][1] == datetime(2024, 4, 1, 22)
    assert statuses(session, "C4")[0][1] == evening(SECOND)
    assert loads[1].facts["tables"]["claims"]["clamped_known"] == 2


def test_a_late_drop_is_known_now(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    put_drop(home, "2024-04-03", claims=[good("claims", 3)])
    ingest(session, THIRD)
    put_drop(home, "2024-04-02", claims=[good("claims", 2, known_at="2024-04-02T09:00:00")])
    (load,) = ingest(session, THIRD)
    assert (load.mode, load.day, load.known_on) == ("late", SECOND, THIRD)
    assert statuses(session, "C2") == [("settled", evening(THIRD))]


def test_a_late_drop_never_counts_in_a_published_night(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    ingest(session, FIRST)
    write_json(home / "runs" / "2024-04-02.json", {})
    put_drop(home, "2024-04-02", claims=[good("claims", 2)])
    (load,) = ingest(session, SECOND)
    assert (load.mode, load.known_on) == ("late", THIRD)
    assert statuses(session, "C2") == [("settled", evening(THIRD))]


def test_of_a_changed_drop_only_what_changed_is_known_now(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", claims=[good("claims", 1), good("claims", 2)])
    put_drop(home, "2024-04-02", claims=[good("claims", 2, status="reversed")])
    ingest(session, SECOND)
    before = {claim: statuses(session, claim) for claim in ("C1", "C2")}
    put_drop(home, "2024-04-01", claims=[good("claims", 1, status="rejected"), good("claims", 2)])
    (load,) = ingest(session, SECOND)
    assert load.mode == "changed"
    assert load.facts["tables"]["claims"]["rows_unchanged"] == 1
    assert statuses(session, "C1") == [*before["C1"], ("rejected", evening(SECOND))]
    assert statuses(session, "C2") == before["C2"]
    assert ingest(session, SECOND) == []


def test_a_pair_is_sighted_once(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", bank_changes=[good("bank_changes", old_iban=None)])
    put_drop(home, "2024-04-02", claims=[good("claims", 2, payee_id="P1", iban=account(1)), good("claims", 3)])
    ingest(session, SECOND)
    columns = "payee_id, seen_on_table, seen_at, known_at"
    assert rows_of(session, f"SELECT {columns} FROM sightings ORDER BY payee_id", "sightings") == [
        ("P1", "claims", datetime(2024, 3, 2, 10), datetime(2024, 3, 2, 10)),
        ("P3", "claims", datetime(2024, 3, 2, 10), evening(SECOND)),
        ("PR1", "providers", datetime(2015, 5, 4, 22), datetime(2015, 5, 4, 22)),
    ]
    assert rows_of(session, "SELECT count(*), count(DISTINCT account) FROM accounts", "accounts") == [(4, 4)]


def test_versions_are_unique_and_in_order(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", payments=[good("payments", n, status="returned") for n in range(1, 40)])
    put_drop(home, "2024-04-02", payments=[good("payments", 3)])
    ingest(session, SECOND)
    rows = rows_of(session, "SELECT payment_id, status, version FROM payments ORDER BY version", "payments")
    assert len({version for _, _, version in rows}) == len(rows) == 39 * 3 + 1
    assert rows[-1][:2] == ("Y3", "sent")


def test_the_same_input_gives_the_same_bytes(home: Path, tmp_path: Path) -> None:
    whole_drop(home, "2024-04-01", claims=[good("claims", n) for n in range(1, 300)])
    contents = []
    for _ in range(2):
        with inbox_session(home) as session:
            ingest(session, FIRST)
            contents.append({p.name + p.parts[-3]: p.read_bytes() for p in sorted((home / "lake").rglob("*.parquet"))})
        (home / "lake" / "loads").rename(tmp_path / f"loads-{len(contents)}")
        (home / "lake" / "head.json").unlink()
    assert len(contents[0]) > 5
    assert contents[0] == contents[1]


def test_an_inbox_without_a_required_table_is_missing_input(session: Session, home: Path) -> None:
    with pytest.raises(InputMissing, match="no drop up to 2024-04-01 holds members"):
        ingest(session, FIRST)
    put_drop(home, "2024-04-01", members=[good("members")])
    with pytest.raises(InputMissing, match="holds claims"):
        ingest(session, FIRST)


def test_checking_writes_nothing(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", claims=[good("claims", cared_on="?")])
    before = sorted(home.rglob("*"))
    (facts,) = check(session, FIRST)
    assert facts["refused"] is None
    assert facts["tables"]["claims"]["rows_rejected"] == 1
    assert sorted(home.rglob("*")) == before
    assert check(session, SECOND) == []


@pytest.mark.parametrize("export", ['delimiter = ";"', 'encoding = "latin-1"', 'encoding = "windows-1252"'])
def test_a_profile_does_not_describe_the_banks_we_ship(session: Session, home: Path, export: str) -> None:
    (home / "profile.toml").write_text(f"[export]\n{export}\n")
    load_reference(session, Profile.load(session.settings))
    (names,) = rows_of(session, "SELECT count(*) FROM reference_banks WHERE name LIKE '%Épargne%'", "reference_banks")
    assert names[0] > 0
    assert check_reference(session) == []


def test_what_nobody_reads_beside_the_reference_tables_is_said(session: Session, home: Path) -> None:
    (home / "reference").mkdir()
    mergers = "old_bank_code,new_bank_code,from,to\n99001,99002,2024-01-01,\n"
    (home / "reference" / "MERGERS.CSV").write_text(mergers)  # read in any case
    (home / "reference" / "acounts.csv").touch()
    profile = Profile()
    (load,) = load_reference(session, profile)
    assert set(load.files) == {"reference_banks", "reference_mergers"}
    assert looks_of(session) == [
        "reference: nobody reads acounts.csv; see the names of files in docs/input.md",
    ]
    assert [str(look) for look in check_reference(session)[0]["looks"]] == looks_of(session)
    (home / "reference" / "banques.xlsx").touch()
    assert load_reference(session, profile) == []
    assert [each.split(";")[0] for each in session.warnings] == ["reference: nobody reads banques.xlsx"]
    assert [each.split(";")[0] for each in session.states] == ["reference: nobody reads acounts.csv"]


def test_a_change_that_comes_again_for_another_account_is_said(session: Session, home: Path) -> None:
    """Or it would end a hold without a word; what else is corrected is no news."""
    whole_drop(home, "2024-04-01", bank_changes=[good("bank_changes", 1), good("bank_changes", 2)])
    corrected = good("bank_changes", 1, new_iban=account(9)), good("bank_changes", 2, channel="portal")
    put_drop(home, "2024-04-02", bank_changes=corrected)
    ingest(session, date(2024, 4, 2))
    assert [each for each in looks_of(session) if each.startswith("bank_changes: 1 known")] == [
        "bank_changes: 1 known changes came again for another account or payee, and payments to the one before are no"
        f" longer proposed to be held: {corrected[0]['change_id']}"
    ]


def test_a_reference_table_that_changed_is_said(session: Session, home: Path) -> None:
    """It explains a change to a reviewer: an account on it is an institution's."""
    (home / "reference").mkdir()
    path = home / "reference" / "accounts.csv"
    row = f"{account(7)},institution,Hospital,,\n"
    path.write_text("iban,kind,label,valid_from,valid_to\n" + row)
    (load,) = load_reference(session, Profile())
    assert load.facts["feed"]["looks"] == []
    path.write_text(path.read_text().replace(row, f"{account(8)},institution,Hospital,,\n"))
    load_reference(session, Profile())
    assert looks_of(session) == ["reference/accounts: has changed: 1 rows, 1 before"]
    path.unlink()
    load_reference(session, Profile())
    assert looks_of(session)[1:] == ["reference/accounts: has changed: 0 rows, 1 before"]


def test_reference_tables_replace_the_ones_before(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    ingest(session, FIRST)
    assert rows_of(session, "SELECT count(*) FROM reference_banks WHERE kind = 'neobank'", "reference_banks")[0][0] > 2
    (home / "reference").mkdir()
    (home / "reference" / "accounts.csv").write_text(
        f"iban,kind,label,valid_from,valid_to\n{account(7)},institution,Résidence,2020-01-01,\n", encoding="utf-8"
    )
    (home / "reference" / "banks.csv").write_text("country,bank_code,name,group,kind\nFR,99001,Banque X,,bank\n")
    (home / "reference" / "mergers.csv").write_text(
        "old_bank_code,new_bank_code,from,to,known_at\n99001,99002,2024-01-01,,2024-02-01T00:00:00\n"
    )
    (load,) = ingest(session, FIRST)
    assert load.kind == "reference"
    assert rows_of(session, "SELECT bank_code, name FROM reference_banks", "reference_banks") == [("99001", "Banque X")]
    token = session.con.execute(f"SELECT account_token('{account(7)}')").fetchall()[0][0]
    query = "SELECT account, kind, known_at FROM reference_accounts"
    assert rows_of(session, query, "reference_accounts") == [(token, "institution", datetime(1900, 1, 1))]
    assert rows_of(session, "SELECT known_at FROM reference_mergers", "reference_mergers") == [(datetime(2024, 2, 1),)]
    assert ingest(session, FIRST) == []


def test_reference_tables_are_read_again_when_their_description_changes(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01")
    (home / "reference").mkdir()
    (home / "reference" / "accounts.csv").write_text(
        f"iban,kind,label\n{account(7)},employer,Usine\n", encoding="utf-8"
    )
    describe(session, '[reference_accounts.columns]\nNOM = "label"\n')
    ingest(session, FIRST)
    describe(session, '[reference_accounts.values.kind]\nemployer = "guardian"\n')
    (load,) = ingest(session, FIRST)
    assert load.kind == "reference"
    assert rows_of(session, "SELECT kind FROM reference_accounts", "reference_accounts") == [("guardian",)]
    assert ingest(session, FIRST) == []


def test_reference_tables_of_an_earlier_version_are_read_again_if_they_are_described(
    session: Session, home: Path
) -> None:
    whole_drop(home, "2024-04-01")
    (home / "reference").mkdir()
    (home / "reference" / "accounts.csv").write_text(
        f"iban,kind,label\n{account(7)},employer,Usine\n", encoding="utf-8"
    )
    (load, _) = ingest(session, FIRST)
    del load.facts["profile"]
    write_json(session.lake.root / "loads" / f"{load.sequence:08d}.json", dataclasses.asdict(load))
    session.lake.reload()
    describe(session, '[claims]\ndate = "%d/%m/%Y"\n')
    assert ingest(session, FIRST) == []
    describe(session, '[reference_accounts.values.kind]\nemployer = "guardian"\n')
    assert [load.kind for load in ingest(session, FIRST)] == ["reference"]


NAMES = "member_id, name_keys, name_tokens"


def as_an_earlier_version(session: Session, load: Load) -> None:
    """Rewrite a load as a version wrote it that knew one form of each name."""
    for path in load.files["members"]:
        session.con.execute(
            f"COPY (SELECT * REPLACE (name_keys[:1] AS name_keys, name_tokens[:1] AS name_tokens) FROM read_parquet("
            f"'{session.lake.root / path}', hive_partitioning = false)) TO '{session.lake.root / path}.new'"
            " (FORMAT parquet)"
        )
        Path(f"{session.lake.root / path}.new").replace(session.lake.root / path)
    (record,) = (session.lake.root / "loads").glob(f"{load.sequence:08d}.json")
    content = json.loads(record.read_text())
    del content["facts"]["name_forms"]
    write_json(record, content)
    session.lake.reload()
    session.lake_cache.clear()


def test_members_of_an_earlier_version_get_new_forms_while_their_drop_is_there(session: Session, home: Path) -> None:
    people = [good("members", 1), good("members", 2, family_name="Müller"), good("members", 3, birth_date="19500000")]
    whole_drop(home, "2024-04-01", members=people)
    (load,) = drops(ingest(session, FIRST))
    everything = rows_of(session, "SELECT * FROM members ORDER BY version", "members")
    as_an_earlier_version(session, load)
    assert rows_of(session, "SELECT * FROM members ORDER BY version", "members") != everything
    spellings = "SELECT member_id, keys, version FROM member_spellings ORDER BY version"
    written = [*load.files["member_spellings"]]
    before = rows_of(session, spellings, "member_spellings")
    (again,) = ingest(session, FIRST)
    assert (again.kind, again.facts["renewed"], again.facts["rows"]) == ("forms", [load.sequence], 3)
    assert again.files["member_spellings"] != written
    assert [each[0] for each in before] == ["M1", "M2"]  # the birth date of M3 is incomplete
    assert rows_of(session, spellings, "member_spellings")[::2] == before
    assert rows_of(session, "SELECT * FROM members ORDER BY version", "members") == everything
    assert ingest(session, FIRST) == []


def test_members_whose_drop_is_gone_or_says_another_name_keep_their_keys(session: Session, home: Path) -> None:
    whole_drop(home, "2024-04-01", members=[good("members", 1), good("members", 2, family_name="Moreau")])
    (load,) = drops(ingest(session, FIRST))
    as_an_earlier_version(session, load)
    earlier = rows_of(session, f"SELECT {NAMES} FROM members ORDER BY version", "members")
    drop = home / "inbox" / "2024-04-01"
    drop.rename(home / "away")
    assert ingest(session, FIRST) == []
    assert rows_of(session, f"SELECT {NAMES} FROM members ORDER BY version", "members") == earlier
    whole_drop(home, "2024-04-01", members=[good("members", 1), good("members", 2, family_name="Durand")])
    assert [(each.kind, each.facts.get("rows")) for each in ingest(session, FIRST)] == [("drop", None), ("forms", 1)]
    until = (load.sequence + 1) * VERSION_STEP
    query = f"SELECT {NAMES} FROM members WHERE version < {until} ORDER BY version"
    first, second = rows_of(session, query, "members")
    assert first != earlier[0]
    assert second == earlier[1]


def test_names_that_are_patterns_elsewhere_are_literal(tmp_path: Path) -> None:
    other, home = tmp_path / "hoXme1", tmp_path / "ho*me[1]"
    put_drop(other, str(FIRST), claims=[good("claims", 8)])
    folder = whole_drop(home, str(FIRST))
    for number, part in enumerate(("claims-1.csv", "claims-[1].csv", "claims-*.csv"), start=1):
        (folder / part).write_text(csv_text([good("claims", number)]))
    (folder / "claims.csv").unlink()
    put_list(home / "breaches", "*", [person(1)])
    put_list(home / "breaches", "TPO-1", [person(2), person(3)])
    with inbox_session(home) as session:
        load_until(session, FIRST)
        claims = rows_of(session, "SELECT DISTINCT claim_id FROM claims ORDER BY ALL", "claims")
        people = rows_of(session, "SELECT breach_id, count(*) FROM people GROUP BY 1 ORDER BY 1", "people")
        kept = reveal(session.keys, session.settings.folder("vault"), "member", "M1")
    assert claims == [("C1",), ("C2",), ("C3",)]
    assert people == [("*", 1), ("TPO-1", 2)]
    assert kept
