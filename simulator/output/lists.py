"""Breach lists: who is on them, and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import months, stream, years
from payeewatch.simulator.output.files import TableFile
from payeewatch.simulator.population import names
from payeewatch.simulator.population.identities import format_national_ids, outsider_ids
from payeewatch.simulator.population.people import People
from payeewatch.simulator.text import NONE, digits, fixed_width, words

CHUNK = 2_000_000


@dataclass
class Persons:
    """People as a list sees them, members or not."""

    ids: np.ndarray
    has_id: np.ndarray
    holder_ids: np.ndarray
    family: np.ndarray
    given_name: np.ndarray
    second_given_name: np.ndarray
    birth: np.ndarray  # YYYYMMDD as a number
    rank: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Names as they are, in plain capitals, and misspelt: one after the other."""

    surnames: np.ndarray
    given_names: np.ndarray
    surname_count: int
    given_count: int
    women: int

    @classmethod
    def of(cls, surnames: np.ndarray, given_names: np.ndarray, women: int) -> Vocabulary:
        forms = [np.concatenate([v, names.to_plain_capitals(v), names.misspell(v)]) for v in (surnames, given_names)]
        return cls(forms[0], forms[1], len(surnames), len(given_names), women)


def listed_members(
    seed: int, people: People, lists: tuple[p.Breach, ...] = p.LISTS, reserved: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """For each list, which members are on it. A list of contracts covers households, but for a few of their persons.

    The identities that could be used to enrol (`reserved` households) are on nearly every list: stolen identities
    would come from there.
    """
    members_by_list = {}
    for breach in lists:
        rng = stream(seed, f"listed {breach.breach_id}")
        households = rng.random(int(people.household.max()) + 1) < breach.coverage
        persons = rng.random(len(people.household))
        whole = households[people.household] & (persons < 0.97)
        on = whole if breach.by_household else persons < breach.coverage
        if reserved is not None:
            on |= np.isin(people.household, reserved) & (persons < 0.9)
        members_by_list[breach.breach_id] = on
    return members_by_list


def write_lists(
    seed: int,
    folder: Path,
    people: People,
    members_by_list: dict[str, np.ndarray],
    words: Vocabulary,
    outside: int,
    form: str,
    end: int,
    lists: tuple[p.Breach, ...] = p.LISTS,
) -> None:
    """Every list with its manifest."""
    formats = {"csv": ("csv",), "parquet": ("parquet",), "mixed": ("csv", "csv.gz", "parquet")}[form]
    for place, breach in enumerate(lists):
        manifest = {
            "breach_id": breach.breach_id, "title": breach.title, "source": "notified processor",
            "notification_ref": f"ART33-{breach.breach_id}", "exposed_from": _day(end - breach.exposed_days_ago - 3),
            "exposed_to": _day(end - breach.exposed_days_ago), "known_at": _day(end - breach.known_days_ago),
            "fields_exposed": list(breach.fields), "purge_on": _day(end - breach.known_days_ago + 1826),
        }  # fmt: skip
        target = folder / breach.breach_id
        target.mkdir(parents=True, exist_ok=True)
        (target / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
        members = np.flatnonzero(members_by_list[breach.breach_id])
        extension = formats[place % len(formats)]
        with TableFile(target / f"people.{extension}") as file:
            for table in _chunks(seed, breach, people, members, words, round(outside * breach.outside_share)):
                file.write(table)


def _chunks(
    seed: int, breach: p.Breach, people: People, members: np.ndarray, words: Vocabulary, outside: int
) -> Iterator[pa.Table]:
    """Members and outsiders mixed, in chunks."""
    rng = stream(seed, f"list {breach.breach_id}")
    members = rng.permutation(members)
    count = max(1, -(-(len(members) + outside) // CHUNK))
    for place, part in enumerate(np.array_split(members, count)):
        strangers = outside // count + (place < outside % count)
        both = pa.concat_tables([
            _list_table(rng, _members(people, part), words, breach.contact_only),
            _list_table(rng, _outsiders(rng, strangers, words), words, breach.contact_only),
        ])  # fmt: skip
        yield both.take(pa.array(rng.permutation(both.num_rows)))


def _members(people: People, rows: np.ndarray) -> Persons:
    return Persons(
        ids=people.ids[rows], has_id=people.has_id[rows], holder_ids=people.ids[people.holder[rows]],
        family=people.family[rows], given_name=people.given_name[rows],
        second_given_name=people.second_given_name[rows],
        birth=birth_number(people.born_on[rows], people.incomplete[rows]), rank=people.rank[rows],
    )  # fmt: skip


def _outsiders(rng: np.random.Generator, count: int, words: Vocabulary) -> Persons:
    sex = rng.integers(0, 2, count)
    born = rng.integers(-14_600, 19_700, count)  # 1930 to 2023
    ids = outsider_ids(rng, sex, years(born), months(born))
    child = born > 13_000
    given_name = names.popular(rng, words.women, count) + sex * words.women
    second = names.popular(rng, words.women, count) + sex * words.women
    return Persons(
        ids=ids, has_id=~child | (rng.random(count) < p.CHILD_HAS_OWN_ID),
        holder_ids=np.where(child[:, None], np.roll(ids, 1, axis=0), ids),
        family=names.popular(rng, words.surname_count, count), given_name=given_name,
        second_given_name=np.where(rng.random(count) < 0.4, second, NONE),
        birth=birth_number(born, np.zeros(count, bool)), rank=np.where(rng.random(count) < 0.01, 2, 1),
    )  # fmt: skip


def birth_number(born: np.ndarray, incomplete: np.ndarray) -> np.ndarray:
    """YYYYMMDD; YYYY0000 where only the year is known."""
    day = born.astype("datetime64[D]")
    in_month = (day - day.astype("datetime64[M]")).astype(np.int64) + 1
    return years(born) * 10_000 + np.where(incomplete, 0, months(born) * 100 + in_month)


def _list_table(rng: np.random.Generator, persons: Persons, vocabulary: Vocabulary, contact_only: bool) -> pa.Table:
    """People as the list has them: some digits wrong, some names in capitals, swapped or misspelt."""
    count = len(persons.birth)
    ids = _misread(rng, persons.ids)
    missing = ~persons.has_id | (rng.random(count) < p.ID_MISSING) | contact_only
    holder = _misread(rng, persons.holder_ids)
    style = np.where(rng.random(count) < p.NAME_PLAIN, 1, 0)
    style = np.where(rng.random(count) < p.NAME_TYPO, 2, style)
    family = words(vocabulary.surnames, persons.family + style * vocabulary.surname_count)
    first = words(vocabulary.given_names, persons.given_name + np.minimum(style, 1) * vocabulary.given_count)
    second = words(
        vocabulary.given_names,
        np.where(
            persons.second_given_name == NONE,
            NONE,
            persons.second_given_name + np.minimum(style, 1) * vocabulary.given_count,
        ),
    )
    given_names = pc.binary_join_element_wise(first, second, " ", null_handling="skip")
    swapped = pa.array(rng.random(count) < p.NAME_SWAPPED)
    birth = persons.birth + np.where(rng.random(count) < p.BIRTH_ERROR, np.where(persons.birth % 10 < 8, 1, -1), 0)
    return pa.table({
        "national_id": format_national_ids(ids, rng.integers(0, 2, count), missing),
        "holder_national_id": format_national_ids(holder, np.zeros(count, np.int64), np.full(count, contact_only)),
        "family_name": pc.if_else(swapped, given_names, family),
        "given_names": pc.if_else(swapped, family, given_names),
        "birth_date": fixed_width(digits(birth, 8)),
        "birth_rank": pa.array(persons.rank, pa.int32(), mask=rng.random(count) < p.RANK_MISSING),
    })  # fmt: skip


def _misread(rng: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """A wrong digit of the order number, in a few; the key then is the wrong number's own."""
    wrong = np.flatnonzero(rng.random(len(ids)) < p.ID_ERROR)
    misread = ids.copy()
    misread[wrong, 12] = ord("0") + (ids[wrong, 12] - ord("0") + rng.integers(1, 10, len(wrong))) % 10
    return misread


def _day(day: int) -> object:
    return np.datetime64(day, "D").item()
