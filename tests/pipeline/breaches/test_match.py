"""Who is on which list: the cascade, versions of both sides, and what ordinary recording errors cost."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from payeewatch.pipeline.breaches.coverage import coverage
from payeewatch.pipeline.breaches.lists import load_lists
from payeewatch.pipeline.breaches.match import link
from payeewatch.pipeline.home.keys import NAME_FORMS, SPELLINGS
from payeewatch.pipeline.ingest.spellings import keys_of
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import FORMS, SCHEMAS, VERSION_STEP, Load
from tests.breach_lists import Person, national_id, person, put_list
from tests.lake_rows import evening, lake_session, put

BEGIN, LEARNED = "2024-01-01", "2024-02-01"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def put_members(session: Session, day: str = BEGIN, left_on: str | None = None, **people: Person) -> None:
    """One drop of members, keyed as ingest keys them."""
    con, lake, sequence = session.con, session.lake, session.lake.next_sequence()
    rows = [{"member_id": member_id, "birth_name": None} | p for member_id, p in people.items()]
    con.register("clear", pa.Table.from_pylist(rows))
    key_query = """
        SELECT *, person_key(own, born) AS person_key, person_key(holder, born) AS holder_key, id_key(own) AS id_key,
            name_keys(family_name, given_names, CAST(birth_name AS VARCHAR), born) AS name_keys
        FROM (SELECT *, canonical_national_id(CAST(national_id AS VARCHAR)) AS own,
            canonical_national_id(CAST(holder_national_id AS VARCHAR)) AS holder,
            canonical_birth_date(birth_date) AS born FROM clear)"""
    stamps = {"known_at": f"TIMESTAMP '{evening(day)}'", "version": f"{sequence * VERSION_STEP} + row_number() OVER ()",
             "left_on": f"CAST({repr(left_on) if left_on else 'NULL'} AS DATE)", "key_version": "1"}  # fmt: skip
    copied_columns = {"member_id", "birth_rank", "person_key", "holder_key", "id_key", "name_keys"}
    cells = ", ".join(f"{stamps.get(c, c if c in copied_columns else 'NULL')} AS {c}" for c in SCHEMAS["members"])
    on = date.fromisoformat(day)
    files = [lake.write(con, f"SELECT {cells} FROM ({key_query})", "members", on, sequence)]
    as_text = "born AS birth_date, CAST(birth_name AS VARCHAR) AS birth_name"
    spellings = f"""
        SELECT place AS member_id, keys, {stamps["key_version"]} AS key_version, {stamps["known_at"]} AS known_at,
            {stamps["version"]} AS version
        FROM ({keys_of(f"SELECT * REPLACE ({as_text}), member_id AS place FROM ({key_query})")})"""
    spelling_files = [lake.write(con, spellings, "member_spellings", on, sequence)]
    con.unregister("clear")
    of_drop = {"members": files, "member_spellings": spelling_files}
    lake.commit(Load(sequence, "drop", on, on, day, "", files=of_drop))


def put_people(
    session: Session, *people: Person, breach_id: str = "TPO-1", until: str = LEARNED, **changes: object
) -> None:
    put_list(session.settings.folder("breaches"), breach_id, list(people), **changes)
    load_lists(session, date.fromisoformat(until))


def exposures(session: Session, at: str = "2025-01-01") -> dict[tuple[str, str], str]:
    """(member, list) -> match quality, as seen on an evening."""
    rows = session.con.execute(
        f"SELECT member_id, breach_id, match_quality FROM ({session.lake.scan('exposures')})"
        " WHERE known_at <= $1 QUALIFY row_number() OVER"
        " (PARTITION BY member_id, breach_id ORDER BY known_at DESC, version DESC) = 1",
        [evening(at)],
    ).fetchall()
    return {(member_id, breach_id): quality for member_id, breach_id, quality in rows if quality}


def quality(session: Session, member: Person, *people: Person) -> str | None:
    put_members(session, M1=member)
    put_people(session, *people)
    link(session)
    return exposures(session).get(("M1", "TPO-1"))


CHILD = {"national_id": None, "holder_national_id": national_id(7), "birth_date": "20150317"}


# The cascade


def one(number: int, **changes: Any) -> Person:
    """A person whose ids, names and birth date are nobody else's."""
    letter = chr(ord("a") + number)
    names = {"family_name": f"Essai{letter * 3}on", "given_names": f"Zo{letter * 2}"}
    return person(number, **names, birth_date=f"{1930 + 3 * number}0117") | changes


def child(number: int) -> Person:
    return CHILD | {"holder_national_id": national_id(500 + number), "birth_date": f"{2000 + number}0317"}


CASCADE: list[tuple[Person, Person, str | None]] = [
    (one(1), one(1), "exact"),
    (one(2), one(2, family_name=None, given_names=None), "exact"),
    (one(3, **child(3)), one(3, **child(3)), "holder"),
    (one(4), one(4, national_id=None), "holder"),
    (one(5), one(5, birth_date="19500101", holder_national_id=None), "id_only"),
    (one(6), one(6, birth_date="19480000"), "id_only"),
    (one(7), one(7, birth_date=None), "id_only"),
    (one(8, birth_date="19540000"), one(8), "id_only"),
    (one(9), one(9, birth_rank=2), "id_only"),
    (one(10), one(10, birth_rank=None), "exact"),
    (one(11), one(11, national_id=None, holder_national_id=None), "probable"),
    (one(12, national_id=None, holder_national_id=None), one(12), "probable"),
    (one(13), one(23, birth_date=one(13)["birth_date"]), None),
    (one(14), one(24, family_name=one(14)["family_name"]), None),
    (one(15, **child(15)), one(25, national_id=child(15)["holder_national_id"]), None),
]
"""A member, the person on the list, and the best level of the pair."""


def test_the_cascade_gives_the_best_level(session: Session) -> None:
    put_members(session, **{f"M{n}": member for n, (member, _, _) in enumerate(CASCADE)})
    put_people(session, *(listed for _, listed, _ in CASCADE))
    link(session)
    assert exposures(session) == {(f"M{n}", "TPO-1"): level for n, (_, _, level) in enumerate(CASCADE) if level}


NAMELESS = {"national_id": None, "holder_national_id": None}
WORDINGS = (
    "DURAND", "MARTIN EPOUSE DURAND", "MARTIN EP DURAND", "DURAND NEE MARTIN", "MARTIN VEUVE DURAND", "MADAME DURAND",
    "DURAND (MARTIN)",
)  # fmt: skip


def test_a_woman_is_found_by_either_name_in_every_wording(session: Session) -> None:
    """Each is called otherwise and born another day, so that nobody is found in place of another."""
    eva = [
        one(n, **NAMELESS, family_name="Durand", birth_name="Martin") for n in range(len(WORDINGS))
    ]  # fmt: skip
    put_members(session, **{f"M{n}": each for n, each in enumerate(eva)})
    put_people(session, *(each | {"family_name": wording} for each, wording in zip(eva, WORDINGS, strict=True)))
    link(session)
    assert exposures(session) == {(f"M{n}", "TPO-1"): "probable" for n in range(len(WORDINGS))}


def forget_forms(session: Session, load: Load) -> None:
    """Rewrite a load as an earlier version recorded it: without the number of its forms of names."""
    (path,) = (session.lake.root / "loads").glob(f"{load.sequence:0>8}*.json")
    record = json.loads(path.read_text())
    del record["facts"]["name_forms"]
    path.write_text(json.dumps(record))


def test_a_list_of_an_earlier_version_is_read_again_and_counted_while_it_is_gone(session: Session) -> None:
    put_members(session, M1=person(1))
    put_list(session.settings.folder("breaches"), "TPO-1", [person(1), person(2)])
    (first,) = load_lists(session, date.fromisoformat(LEARNED))
    forget_forms(session, first)
    linked = link(session)
    assert linked is not None
    assert linked.facts["earlier_name_forms"] == {"members": 1, "people": 2}
    before = exposures(session)
    (again,) = load_lists(session, date.fromisoformat(LEARNED))
    assert again.files["people"] != first.files["people"]
    assert again.removed == first.files["people"]
    assert load_lists(session, date.fromisoformat(LEARNED)) == []
    linked = link(session)
    assert linked is not None
    assert linked.facts["earlier_name_forms"] == {"members": 1, "people": 0}  # no drop of these members says its forms
    assert exposures(session) == before == {("M1", "TPO-1"): "exact"}


def test_everybody_is_linked_again_when_members_got_new_forms(session: Session) -> None:
    put_members(session, M1=person(1, **NAMELESS, family_name="Durand"))
    put_people(session, person(1, **NAMELESS, family_name="Moreau"))
    link(session)
    assert link(session) is None
    on = date.fromisoformat(LEARNED)
    facts = {"renewed": [1], "rows": 1, "name_forms": NAME_FORMS}
    session.lake.commit(Load(session.lake.next_sequence(), FORMS, on, on, FORMS, "", facts=facts))
    linked = link(session)
    assert linked is not None
    assert linked.facts["earlier_name_forms"] == {"members": 0, "people": 0}


def test_a_pair_keeps_its_best_level(session: Session) -> None:
    worse = person(1, national_id=None, holder_national_id=None)
    assert quality(session, person(1), worse, person(1), person(1, birth_date="19500101")) == "exact"


def test_a_null_rank_matches_no_twin_when_the_book_has_both(session: Session) -> None:
    twin = CHILD | {"family_name": None, "given_names": None}
    put_members(session, M1=person(1, **CHILD, birth_rank=1), M2=person(1, **CHILD, birth_rank=2))
    put_people(session, person(1, **twin, birth_rank=None))
    link(session)
    assert exposures(session) == {}


def test_twins_are_told_apart_by_rank_and_by_name(session: Session) -> None:
    put_members(
        session,
        M1=person(1, **CHILD, birth_rank=1, given_names="Zoé"),
        M2=person(1, **CHILD, birth_rank=2, given_names="Anne"),
    )
    put_people(session, person(1, **CHILD, birth_rank=None, given_names="Anne"))
    put_people(session, person(1, **CHILD, birth_rank=1, given_names="Zoé"), breach_id="TPO-2")
    link(session)
    assert exposures(session) == {("M2", "TPO-1"): "probable", ("M1", "TPO-2"): "holder"}


def test_a_rank_stops_being_unique_when_the_twin_becomes_known(session: Session) -> None:
    nameless = {"family_name": None, "given_names": None}
    put_members(session, M1=person(1, **CHILD, birth_rank=1))
    put_people(session, person(1, **(CHILD | nameless), birth_rank=None))
    link(session)
    put_members(session, "2024-03-01", M2=person(1, **CHILD, birth_rank=2))
    link(session)
    assert exposures(session, "2024-02-29") == {("M1", "TPO-1"): "holder"}
    assert exposures(session, "2024-03-01") == {}


def test_one_person_insured_twice_is_exposed_twice(session: Session) -> None:
    put_members(session, M1=person(1), M2=person(1))
    put_people(session, person(1, birth_rank=None))
    link(session)
    assert exposures(session) == {("M1", "TPO-1"): "exact", ("M2", "TPO-1"): "exact"}


# Versions


def test_an_exposure_is_known_when_the_later_of_both_sides_is(session: Session) -> None:
    put_members(session, M1=person(1))
    put_members(session, "2024-03-05", M2=person(2))
    put_people(session, person(1), person(2))
    link(session)
    assert exposures(session, "2024-01-31") == {}
    assert exposures(session, "2024-02-01") == {("M1", "TPO-1"): "exact"}
    assert exposures(session, "2024-03-05") == {("M1", "TPO-1"): "exact", ("M2", "TPO-1"): "exact"}


def test_a_corrected_member_is_linked_anew_from_that_day(session: Session) -> None:
    put_members(session, M1=person(1, national_id=None, holder_national_id=None))
    put_people(session, person(1))
    link(session)
    put_members(session, "2024-03-01", M1=person(1))
    link(session)
    put_members(session, "2024-04-01", M1=person(5))
    link(session)
    assert exposures(session, "2024-02-29") == {("M1", "TPO-1"): "probable"}
    assert exposures(session, "2024-03-31") == {("M1", "TPO-1"): "exact"}
    assert exposures(session, "2024-04-01") == {}


def test_a_member_sent_again_unchanged_adds_nothing(session: Session) -> None:
    put_members(session, M1=person(1))
    put_people(session, person(1))
    link(session)
    put_members(session, "2024-03-01", M1=person(1))
    load = link(session)
    assert load is not None
    assert load.files == {}


def test_nothing_new_needs_no_load(session: Session) -> None:
    put_members(session, M1=person(1))
    put_people(session, person(1))
    assert link(session) is not None
    assert link(session) is None
    put(session, "2024-03-01", providers=[{"provider_id": "P1"}])
    assert link(session) is None


def test_a_new_list_meets_the_members_already_there(session: Session) -> None:
    put_members(session, M1=person(1), M2=person(2))
    put_people(session, person(1))
    link(session)
    put_people(session, person(2), breach_id="EMP-1", known_at="2024-03-01", until="2024-03-01")
    link(session)
    assert exposures(session) == {("M1", "TPO-1"): "exact", ("M2", "EMP-1"): "exact"}
    assert exposures(session, "2024-02-29") == {("M1", "TPO-1"): "exact"}


def published(session: Session, night: str) -> None:
    session.settings.folder("runs").mkdir(exist_ok=True)
    (session.settings.folder("runs") / f"{night}.json").write_text("{}")


def test_a_list_keeps_the_share_of_the_book_it_covered_when_it_became_known(session: Session) -> None:
    def shares() -> list[float]:
        rows = session.con.execute(f"SELECT DISTINCT list_share FROM ({session.lake.scan('exposures')})").fetchall()
        return [row[0] for row in rows]

    book = {f"M{n}": person(n, family_name="Essai" + "abcdefghijklmno"[n // 10] * 2) for n in range(150)}
    put_members(session, **book)
    put_people(session, *[book[f"M{n}"] for n in range(30)], person(9000))
    link(session)
    assert shares() == pytest.approx([(30 + 1) / (150 + 1)])
    put_members(session, "2024-03-01", **{f"N{n}": person(9000 + n) for n in range(500)})
    link(session)
    assert shares() == pytest.approx([(30 + 1) / (150 + 1)])


def test_a_replaced_list_ends_and_begins_exposures_after_the_last_published_night(session: Session) -> None:
    put_members(session, M1=person(1), M2=person(2))
    put_people(session, person(1))
    link(session)
    published(session, "2024-02-10")
    put_people(session, person(2), until="2024-02-11")
    link(session)
    assert exposures(session, "2024-02-10") == {("M1", "TPO-1"): "exact"}
    assert exposures(session, "2024-02-11") == {("M2", "TPO-1"): "exact"}


def test_a_purged_list_leaves_no_exposure_in_any_version_and_others_stay(session: Session) -> None:
    put_members(session, M1=person(1))
    put_people(session, person(1))
    put_people(session, person(1), breach_id="EMP-1", purge_on="2024-03-01")
    link(session)
    load_lists(session, date(2024, 3, 1))
    link(session)
    assert exposures(session, "2024-02-29") == exposures(session, "2024-03-01") == {("M1", "TPO-1"): "exact"}
    remaining = session.con.execute(f"SELECT DISTINCT breach_id FROM ({session.lake.scan('exposures')})").fetchall()
    assert remaining == [("TPO-1",)]
    put_members(session, "2024-03-02", M2=person(1))
    link(session)
    assert exposures(session) == {("M1", "TPO-1"): "exact", ("M2", "TPO-1"): "exact"}


@pytest.mark.parametrize("order", ["once", "by day", "lists first"])
def test_the_same_exposures_however_the_days_were_loaded(session: Session, order: str) -> None:
    days: list[Callable[[], None]] = [
        lambda: put_members(session, M1=person(1), M2=person(2, national_id=None, holder_national_id=None)),
        lambda: put_members(session, "2024-02-20", M2=person(2), M3=person(3, **CHILD)),
        lambda: put_members(session, "2024-03-20", M1=person(9), M4=person(4)),
    ]
    lists: list[Callable[[], None]] = [
        lambda: put_people(session, person(1), person(2)),
        lambda: put_people(
            session, person(3, **CHILD), person(4), breach_id="EMP-1", known_at="2024-03-01", until="2024-03-01"
        ),
    ]
    steps = {
        "once": days + lists,
        "by day": [*days[:1], lists[0], days[1], lists[1], days[2]],
        "lists first": lists + days,
    }
    for step in steps[order]:
        step()
        if order != "once":
            link(session)
    link(session)
    evenings = ("2024-01-31", "2024-02-19", "2024-02-29", "2024-03-19")
    assert [sorted(exposures(session, day).items()) for day in evenings] == [
        [],
        [(("M1", "TPO-1"), "exact"), (("M2", "TPO-1"), "probable")],
        [(("M1", "TPO-1"), "exact"), (("M2", "TPO-1"), "exact")],
        [(("M1", "TPO-1"), "exact"), (("M2", "TPO-1"), "exact"), (("M3", "EMP-1"), "holder")],
    ]  # fmt: skip
    assert exposures(session) == {
        ("M2", "TPO-1"): "exact", ("M3", "EMP-1"): "holder", ("M4", "EMP-1"): "exact",
    }  # fmt: skip


# Coverage


def test_coverage_counts_the_book_and_the_changes(session: Session) -> None:
    put_members(session, **{f"M{n}": person(n) for n in range(10)})
    put(session, BEGIN, changes=[{"change_id": f"C{n}", "member_id": f"M{n}"} for n in (1, 2, 3, 8)])
    put_people(session, *(person(n) for n in range(4)), person(4, national_id=None, holder_national_id=None))
    link(session)
    session.lake_cache.register()
    (of_list,) = coverage(session, date(2024, 3, 1), ["C1", "C2", "C3", "C8"])
    assert of_list["by_quality"] == {"exact": 4, "probable": 1}
    assert (of_list["people"], of_list["exposed"], of_list["exposed_share"]) == (5, 5, 5 / 10)
    assert of_list["lift"] == (3 / 4) / (5 / 10)
    assert of_list["sentence"] is None


def test_coverage_leaves_out_members_who_left_and_lists_not_yet_known(session: Session) -> None:
    put_members(session, left_on="2024-02-15", M1=person(1))
    put_members(session, M2=person(2))
    put_people(session, person(1))
    link(session)
    session.lake_cache.register()
    assert coverage(session, date(2024, 1, 31), []) == []
    (of_list,) = coverage(session, date(2024, 2, 20), [])
    assert (of_list["exposed"], of_list["exposed_share"], of_list["lift"]) == (0, 0.0, None)


@pytest.mark.parametrize(
    ("exposed", "says"), [(100, "Nearly all members (100.0%)"), (1, "Hardly a member (1.0%)"), (50, None)]
)
def test_coverage_says_when_exposure_cannot_discriminate(session: Session, exposed: int, says: str | None) -> None:
    members = {f"M{n}": person(0) for n in range(exposed)} | {f"N{n}": person(5) for n in range(100 - exposed)}
    put_members(session, **members)
    put_people(session, person(0))
    link(session)
    session.lake_cache.register()
    (of_list,) = coverage(session, date(2024, 3, 1), [])
    assert (of_list["sentence"] or "").startswith(says or "")
    assert (of_list["sentence"] is None) == (says is None)


# Errors in names and birth dates

SYLLABLES = [f"{consonant}{vowel}" for consonant in "bcdfgjklmnprstvz" for vowel in "aeiou"]


def of_many_names(serial: int) -> Person:
    """One of a book in which names and birth dates are rarely shared."""
    draw = random.Random(serial)
    family_name, given_names = ("".join(draw.choices(SYLLABLES, k=3)).title() for _ in range(2))
    born = f"{draw.randint(1930, 2009)}{draw.randint(1, 12):02d}{draw.randint(1, 12):02d}"
    return person(serial, **NAMELESS, family_name=family_name, given_names=given_names, birth_date=born)


def misspelt(member: Person) -> Person:
    return member | {"family_name": member["family_name"][:-1] + "é" * 2}


def measured(load: Load | None, breach_id: str = "TPO-1") -> dict[str, Any]:
    assert load is not None
    return dict(load.facts["spellings"][breach_id])


BOOK = {f"M{n}": of_many_names(n) for n in range(300)}
LISTED = [*(of_many_names(n) for n in range(200)), *(misspelt(of_many_names(n)) for n in range(200, 240))]


def test_a_misspelt_name_is_found_where_chance_finds_nobody(session: Session) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED, *(of_many_names(n) for n in range(1000, 1200)))
    model = measured(link(session))
    assert exposures(session) == {(f"M{n}", "TPO-1"): "probable" for n in range(240)}
    assert (model["people"], model["certain_people"], model["certain_members"]) == (440, 200, 200)
    assert model["levels"][SPELLINGS[0]] == {"found": 40, "by_chance": 1.1, "counts": True}
    assert model["levels"][SPELLINGS[1]]["counts"] is False


@pytest.mark.parametrize(
    ("level", "error"),
    list(enumerate([
        lambda p: misspelt(p),
        lambda p: p | {"birth_date": p["birth_date"][:4] + p["birth_date"][6:] + p["birth_date"][4:6]},
        lambda p: p | {"birth_date": p["birth_date"][:6] + "28"},
        lambda p: p | {"given_names": p["given_names"][0] + "xqx"},
        lambda p: p | {"family_name": p["family_name"][0] + "xqx"},
        lambda p: p | {name: p[name][:2] + "xqx" for name in ("family_name", "given_names")},
        lambda p: p | {"given_names": None},
        lambda p: p | {"family_name": None},
    ])),
)  # fmt: skip
def test_each_level_tolerates_its_error(session: Session, level: int, error: Callable[[Person], Person]) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED[:200], *(error(of_many_names(n)) for n in range(200, 240)))
    levels = measured(link(session))["levels"]
    assert [name for name, each in levels.items() if each["counts"]] == [SPELLINGS[level]]
    assert levels[SPELLINGS[level]]["found"] >= 35  # where day and month are the same, nothing is exchanged
    assert set(exposures(session)) == {(f"M{n}", "TPO-1") for n in range(240)}


def test_look_alikes_on_a_list_are_not_taken_for_misspelt_members(session: Session) -> None:
    """Others of the same surname and birth date, beside members who are certain and beside members who are not."""
    look_alikes = [each | {"given_names": f"Xq{each['given_names']}"} for each in BOOK.values()]
    put_members(session, **BOOK)
    put_people(session, *LISTED[:200], *look_alikes)
    model = measured(link(session))
    assert model["levels"]["surname, birth date"]["found"] == 100
    assert model["levels"]["surname, birth date"]["counts"] is False
    assert len(exposures(session)) == 200


def test_a_list_may_name_people_several_times(session: Session) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED[:200], *LISTED[:200], *(misspelt(of_many_names(n)) for n in range(150, 240)))
    assert measured(link(session))["levels"][SPELLINGS[0]]["counts"] is True
    assert len(exposures(session)) == 240


def test_a_twin_of_somebody_listed_is_not_exposed(session: Session) -> None:
    """Twins share surname and birth date: so many are seen beside people who are certain that the level is left out."""
    twins = {f"T{n}": each | {"given_names": f"Zo{each['given_names']}"} for n, each in enumerate(BOOK.values())}
    put_members(session, **BOOK, **twins)
    put_people(session, *LISTED)
    model = measured(link(session))
    assert model["levels"]["surname, birth date"]["counts"] is False
    assert {member_id[0] for member_id, _ in exposures(session)} == {"M"}


def test_a_small_book_tolerates_no_error(session: Session) -> None:
    assert quality(session, BOOK["M1"], misspelt(BOOK["M1"])) is None


def test_a_person_with_a_number_is_not_compared_by_spelling(session: Session) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED[:200], *(each | {"national_id": national_id(n)} for n, each in enumerate(LISTED[200:])))
    assert measured(link(session))["people"] == 200
    assert len(exposures(session)) == 200


def test_which_levels_count_is_decided_once_for_a_version_of_a_list(session: Session) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED, misspelt(of_many_names(900)))
    decided = measured(link(session))
    twins = {f"T{n}": BOOK[f"M{n}"] | {"family_name": f"{BOOK[f'M{n}']['family_name']}a"} for n in range(200)}
    put_members(session, "2024-03-01", M900=of_many_names(900), **twins)
    later = link(session)
    assert later is not None
    assert later.facts["spellings"] == {}
    assert exposures(session)["M900", "TPO-1"] == "probable"
    put_people(session, *LISTED, until="2024-03-02")
    assert measured(link(session)) != decided


@pytest.mark.parametrize("is_list_first", [True, False])
def test_the_same_errors_are_tolerated_whichever_side_comes_first(session: Session, is_list_first: bool) -> None:
    steps: list[Callable[[], None]] = [lambda: put_members(session, **BOOK), lambda: put_people(session, *LISTED)]
    for step in reversed(steps) if is_list_first else steps:
        step()
        link(session)
    assert len(exposures(session)) == 240


def test_a_purged_list_leaves_no_spelling(session: Session) -> None:
    put_members(session, **BOOK)
    put_people(session, *LISTED, purge_on="2024-03-01")
    link(session)
    assert session.lake.files("people_spellings")
    load_lists(session, date(2024, 3, 1))
    assert not list((session.lake.root / "people_spellings").rglob("*.parquet"))


# Ordinary recording errors

SURNAMES = (
    "Lefèvre", "Dupond", "De La Tour", "Le Goff", "d'Arvor", "Martin-Durand", "Benali", "Garçon", "Noël",
    "Van Den Berg", "Saint-Pierre", "Müller", "Œuvrard", "Petit", "Roux", "El Amrani", "Mac Carthy", "Fauré",
    "Bernard", "Thomas",
)  # fmt: skip
GIVEN_NAMES = (
    "Zoé",
    "Anne",
    "Jean-Paul",
    "Marie",
    "Léa",
    "Hugo",
    "Noël",
    "André",
    "François",
    "Karim",
    "Inès",
    "Luc",
    "Paul",
)


def without_marks(text: str) -> str:
    folded = text.replace("Œ", "OE").replace("œ", "oe")
    return unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()


def without_particles(text: str) -> str:
    name_parts = [
        w for w in text.replace("'", " ").split() if w.lower() not in {"de", "la", "le", "d", "van", "den", "el"}
    ]
    return " ".join(name_parts)


ERRORS: tuple[Callable[[Person, Person], Person], ...] = (
    lambda p, m: p | {c: without_marks(p[c]) for c in ("family_name", "given_names")},
    lambda p, m: p | {c: p[c].upper() for c in ("family_name", "given_names")},
    lambda p, m: p | {c: p[c].replace("-", " ") for c in ("family_name", "given_names")},
    lambda p, m: p | {"family_name": without_particles(p["family_name"])},
    lambda p, m: p | {"family_name": m["birth_name"] or p["family_name"]},
    lambda p, m: p | {"family_name": p["given_names"], "given_names": p["family_name"]},
    lambda p, m: p | {"given_names": p["given_names"].split(" ")[0]},
    lambda p, m: p | {"given_names": p["given_names"].split(" ")[-1]},
)


def somebody(draw: random.Random, serial: int) -> Person:
    given_names = draw.sample(GIVEN_NAMES, draw.choice((1, 1, 2)))
    born = f"{draw.randint(1940, 2005)}{draw.randint(1, 12):02d}{draw.randint(1, 28):02d}"
    own = national_id(serial, f"99{draw.randint(100, 999)}")
    return person(serial) | {
        "family_name": draw.choice(SURNAMES) + (f"-{draw.choice(SURNAMES)}" if draw.random() < 0.2 else ""),
        "given_names": " ".join(given_names), "birth_name": draw.choice(SURNAMES) if draw.random() < 0.3 else None,
        "birth_date": born, "national_id": own, "holder_national_id": own,
    }  # fmt: skip


def recorded(draw: random.Random, member: Person) -> Person:
    """The member as another organisation wrote it down: up to two ordinary errors, and identifiers often missing."""
    copy = {name: member[name] for name in person(0)}
    for error in draw.sample(ERRORS, draw.choice((0, 1, 1, 2))):
        copy = error(copy, member)
    if draw.random() < 0.7:
        copy |= {"national_id": None, "holder_national_id": None}
    return copy


def look_alike(draw: random.Random, member: Person) -> Person:
    """Somebody else, who shares the name, or the family and the birth date, but not both."""
    other = {name: member[name] for name in person(0)} | {"national_id": None, "holder_national_id": None}
    if draw.random() < 0.5:
        return other | {"birth_date": f"{int(member['birth_date']) // 10000 - 1}{member['birth_date'][4:]}"}
    used = set(member["given_names"].replace("-", " ").split())
    return other | {"given_names": draw.choice([n for n in GIVEN_NAMES if not used & set(n.split("-"))])}


def test_ordinary_recording_errors_cost_little(session: Session) -> None:
    draw = random.Random(7)
    members = {f"M{n}": somebody(draw, n) for n in range(1200)}
    exposed = [m for m in members if draw.random() < 0.5]
    people: list[Any] = [recorded(draw, members[m]) for m in exposed]
    people += [look_alike(draw, m) for m in members.values()]
    people += [somebody(draw, n) for n in range(5000, 6000)]
    put_members(session, **members)
    put_people(session, *draw.sample(people, len(people)))
    link(session)
    matches = {member_id for member_id, _ in exposures(session)}
    right = matches & set(exposed)
    assert len(right) / len(matches) >= 0.995
    assert len(right) / len(exposed) >= 0.97
