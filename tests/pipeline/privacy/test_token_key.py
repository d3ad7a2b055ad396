"""A new token key for persons: who is found gets a new key, who is gone still matches, and who is erased stays so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import killed_at
from payeewatch.pipeline.breaches.lists import load_lists
from payeewatch.pipeline.breaches.people import ERASED_BY
from payeewatch.pipeline.home.errors import InputMissing, SettingsError
from payeewatch.pipeline.home.keys import Keys, register, register_version
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.privacy import erase, token_key
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import kept_tokens
from payeewatch.pipeline.store.tombstones import NAMES, NUMBERS
from payeewatch.pipeline.tables import LAKE_TABLES
from tests.breach_lists import put_list
from tests.inbox import good, inbox_session, national_id, put_drop, rows_of

FIRST, NEXT, LAST = date(2024, 3, 20), date(2024, 3, 21), date(2024, 3, 22)
SURNAMES = {1: "Dupond-Essai", 2: "Müller-Essai", 3: "Essai ép. Moreau", 4: "O'Essaidon"}


def member(number: int) -> dict[str, Any]:
    given = {"given_names": ("Zoé Anne", "Jean-Paul", "Ève")[number % 3], "birth_date": f"198501{10 + number}"}
    return good("members", number, family_name=SURNAMES[number], **given)


def on_list(number: int, **changed: Any) -> dict[str, Any]:
    columns = ("national_id", "holder_national_id", "family_name", "given_names", "birth_date", "birth_rank")
    return {column: member(number)[column] for column in columns} | changed


NAMELESS = {"national_id": None, "holder_national_id": None, "birth_rank": None}


def fill(home: Path) -> None:
    """M1 and M2 came with the first drop, M3 with the next. On the list: M1, M3, and M2 by name only."""
    first_drop(home)
    put_drop(home, str(NEXT), members=[member(3)], bank_changes=[good("bank_changes", 2, holder_name="M. Müller")])
    put_list(home / "breaches", "TPO-1", [on_list(1), on_list(3), on_list(2, **NAMELESS)])


def first_drop(home: Path, *members: dict[str, Any]) -> None:
    rows = list(members) or [member(1), member(2)]
    put_drop(home, str(FIRST), members=rows, claims=[good("claims")], bank_changes=[good("bank_changes", 1)])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with all of this loaded, under its first token key."""
    folder = tmp_path_factory.mktemp("start")
    fill(folder / "home")
    with inbox_session(folder / "home") as session:
        load(session)
    return folder


@pytest.fixture
def home(start: Path, tmp_path: Path) -> Path:
    return copy(start, tmp_path)


def copy(start: Path, folder: Path) -> Path:
    shutil.rmtree(folder / "home", ignore_errors=True)
    shutil.copytree(start / "home", folder / "home")
    shutil.copy2(start / "home-keys.json", folder / "home-keys.json")
    return folder / "home"


def load(session: Session, until: date = NEXT) -> None:
    ingest(session, until)
    load_lists(session, until)
    link_and_derive(session)


def renew(session: Session) -> token_key.Renewal:
    return token_key.renew(session, token_key.begin(session.settings.key_file, session))


def rows(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    """All tables with keys of persons, without the version of the key."""
    return {
        table: rows_of(session, f"SELECT * EXCLUDE (key_version) FROM {table} ORDER BY ALL", table)
        for table in kept_tokens.KEYS
    }


def keys_in(session: Session) -> set[int]:
    """Every key of a person in the lake."""
    nested = [value for table in kept_tokens.KEYS for row in _keys_of(session, table) for value in row]
    flat = [key for value in nested for key in (value if isinstance(value, list) else [value])]
    return {key for key in flat if key is not None}


def _keys_of(session: Session, table: str) -> list[tuple[Any, ...]]:
    scalars, lists = kept_tokens.KEYS[table]
    return rows_of(session, f"SELECT {', '.join([*scalars, *lists])} FROM {table}", table)


def exposed(session: Session) -> dict[str, str]:
    query = "SELECT member_id, arg_max(match_quality, version) FROM exposures GROUP BY ALL"
    return dict(rows_of(session, query, "exposures"))


def test_every_column_with_keys_of_persons_is_renewed() -> None:
    keyed = {
        name: {c for c, kind in table.columns.items() if kind == "BIGINT[]"} for name, table in LAKE_TABLES.items()
    }
    declared = {name: set(kept_tokens.KEYS.get(name, ((), ()))[1]) for name in keyed}
    assert declared == keyed
    named = {name: {c for c in table.columns if c.endswith("_key")} for name, table in LAKE_TABLES.items()}
    assert {name: set(kept_tokens.KEYS.get(name, ((), ()))[0]) for name in named} == named
    assert ERASED_BY.keys() == {*NUMBERS, *NAMES, "spelling_keys"}


def test_a_lake_with_a_new_token_key_is_as_if_it_had_always_had_it(start: Path, home: Path, tmp_path: Path) -> None:
    with inbox_session(home) as session:
        before, matches, old = keys_in(session), exposed(session), Keys.load(session.settings.key_file)
        done = renew(session)
        assert (done.keys, done.gone, done.by_chance, set(done.rows)) == (len(before), 0, 0, {2})
        renewed, keys = rows(session), Keys.load(session.settings.key_file)
        refuse_former_key_files(session, old)
        keys.check(start / "home" / "lake", note=False)  # as of a backup made before
    with inbox_session(home) as session:
        assert (session.keys.person_version, session.keys.kept, session.keys.token_version) == (2, {}, 1)
        assert (exposed(session), len(matches)) == (matches, 3)
        assert before & keys_in(session) == set()  # the former key alone makes none of them
        load(session)
        assert rows(session) == renewed
    fill(tmp_path / "other")
    shutil.copy2(tmp_path / "home-keys.json", tmp_path / "other-keys.json")
    with inbox_session(tmp_path / "other") as session:
        session.keys = replace(keys, persons=2)
        register(session.con, session.keys)
        load(session)
        assert rows(session) == renewed


def refuse_former_key_files(session: Session, old: Keys) -> None:
    with pytest.raises(SettingsError, match="token does not fit"):
        old.check(session.lake.root)
    other = replace(old, token=old.token | {3: b"x" * 32})
    with pytest.raises(SettingsError, match="lasting does not fit"):
        replace(other, token_version=3).check(session.lake.root)
    with pytest.raises(SettingsError, match="have token key 2, which the key file does not have"):
        kept_tokens.keys_of(session.lake, other)


def test_who_is_gone_from_inbox_and_lists_keeps_the_key_and_still_matches(home: Path) -> None:
    with inbox_session(home) as session:
        before = {
            row[0]: row for row in rows_of(session, "SELECT member_id, person_key, name_keys FROM members", "members")
        }
    shutil.rmtree(home / "inbox" / str(FIRST))
    put_list(home / "breaches", "TPO-1", [on_list(3)])
    with inbox_session(home) as session:
        done = renew(session)
        assert (done.gone > 0, set(done.rows)) == (True, {1, 2})
        versions = dict(rows_of(session, "SELECT member_id, key_version FROM members", "members"))
        assert versions == {"M1": 1, "M2": 1, "M3": 2}
    put_drop(home, str(LAST), members=[member(1), member(4)])
    put_list(home / "breaches", "TPO-2", [on_list(1), on_list(2, **NAMELESS), on_list(4)])
    with inbox_session(home) as session:
        load(session, LAST)
        now = rows_of(session, "SELECT member_id, person_key, name_keys FROM members ORDER BY version", "members")
        assert [row for row in now if row[0] in {"M1", "M2"}] == [before["M1"], before["M2"], before["M1"]]
        query = "SELECT member_id, match_quality FROM exposures WHERE breach_id = 'TPO-2' ORDER BY 1"
        found = rows_of(session, query, "exposures")
        assert found == [("M1", "exact"), ("M2", "probable"), ("M4", "exact")]
        register_version(session.con, session.keys, 1)
        id_13 = national_id(4)[:13]
        assert session.con.execute(f"SELECT id_key('{id_13}') <> id_key_v1('{id_13}')").fetchall() == [(True,)]


def test_a_second_new_key_renews_who_came_back_and_keeps_who_did_not(home: Path, tmp_path: Path) -> None:
    with inbox_session(home) as session:
        before = keys_of_members(session)
    shutil.move(home / "inbox" / str(FIRST), tmp_path / "aside")
    shutil.rmtree(home / "breaches" / "TPO-1")
    with inbox_session(home) as session:
        renew(session)
        second = keys_of_members(session)
        assert (second["M1"], second["M2"]) == (before["M1"], before["M2"])
    shutil.move(tmp_path / "aside", home / "inbox" / str(FIRST))
    first_drop(home, member(2))
    shutil.rmtree(home / "inbox" / str(NEXT))
    with inbox_session(home) as session:
        done = renew(session)
        third = keys_of_members(session)
        assert (done.version, third["M1"], third["M3"]) == (3, before["M1"], second["M3"])
    put_drop(home, str(LAST), members=[member(1), member(2), member(3)])
    with inbox_session(home) as session:
        load_again = keys_of_members(session)
        ingest(session, LAST)
        assert keys_of_members(session) == load_again == third


def keys_of_members(session: Session) -> Mapping[str, int]:
    """The key of each member's person, in every version the same one."""
    found = rows_of(session, "SELECT DISTINCT member_id, person_key FROM members", "members")
    assert len(found) == len(dict(found))
    return dict(found)


def test_who_was_erased_before_stays_off_lists_that_come_later(home: Path) -> None:
    with inbox_session(home) as session:
        for each in ("M1", "M2", "M3"):
            erase.erase(session, erase.begin(session, each, NEXT), dry_run=False)
            erase.finish(session.settings)
        put_drop(home, str(LAST), members=[member(4)])
        load(session, LAST)
        renew(session)
    one_name = on_list(2, **NAMELESS, given_names=None)
    two_names = on_list(1, **NAMELESS, family_name="Autre ép. Dupond-Essai")
    rows = [on_list(1), on_list(3), on_list(2, **NAMELESS), one_name, two_names, *[on_list(4)] * 9]
    put_list(home / "breaches", "TPO-2", rows)
    with inbox_session(home) as session:
        load(session, LAST)
        name = f"name_key('DUPOND ESSAI JEAN PAUL', '{member(1)['birth_date']}')"
        of_both = rows_of(session, f"SELECT name_key = {name} FROM people WHERE person_key IS NULL", "people")
        assert (len(of_both) > 50, (True,) in of_both) == (True, False)
        query = "SELECT count(*) FROM people WHERE breach_id = 'TPO-2' AND unusable IS NOT NULL"
        assert rows_of(session, query, "people") == [(11,)]  # those of M4, an empty one, and the one of two names
        spelt = "SELECT count(*) FROM people_spellings WHERE breach_id = 'TPO-2'"
        assert rows_of(session, spelt, "people_spellings") == [(1,)]
        keyed = "SELECT count(*) FROM people WHERE breach_id = 'TPO-2' AND person_key IS NOT NULL"
        assert (rows_of(session, keyed, "people"), exposed(session)) == ([(9,)], {"M4": "exact"})


def test_a_change_that_is_killed_is_before_or_after_it_and_goes_on(start: Path, tmp_path: Path) -> None:
    home = copy(start, tmp_path)
    with inbox_session(home) as session:
        before = rows(session)

    def change() -> None:
        with inbox_session(home) as session:
            renew(session)

    with killed_at(None) as undisturbed:
        change()
    seen = set()
    for at in (3, undisturbed.count - 3):
        copy(start, tmp_path)
        with killed_at(at):
            change()
        with inbox_session(home) as session:
            version = session.keys.person_version
            seen.add(version)
            assert (rows(session) == before) == (version == 1)
            keys = Keys.load(session.settings.key_file).token
            if version == 1:
                done = renew(session)
                assert (done.version, done.gone) == (2, 0)
                assert keys.items() <= Keys.load(session.settings.key_file).token.items()
            assert list(kept_tokens.rows_by_version(session.lake)) == [2]
    assert seen == {1, 2}


def test_no_source_or_an_empty_lake_is_refused_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    with inbox_session(tmp_path / "empty") as session, pytest.raises(InputMissing, match="is empty"):
        renew(session)
    with inbox_session(home) as session:
        before = rows(session)
    shutil.rmtree(home / "inbox")
    shutil.rmtree(home / "breaches")
    with inbox_session(home) as session:
        with pytest.raises(InputMissing, match="has no row of the lake any more"):
            renew(session)
        assert (rows(session), session.keys.person_version) == (before, 1)
    with inbox_session(home) as session:
        assert (rows(session), session.keys.person_version) == (before, 1)
