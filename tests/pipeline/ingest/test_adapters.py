"""Adapters: a file per table, and a format in which one file holds a whole drop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest import adapters
from payeewatch.pipeline.ingest.adapters import Part, file_part, file_per_table, files_of, parts_of
from payeewatch.pipeline.ingest.drops import find_drops
from payeewatch.pipeline.ingest.formats.batches import Batch
from payeewatch.pipeline.ingest.formats.readers import suffixes
from payeewatch.pipeline.ingest.ingest import check, ingest
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.lake import Load
from payeewatch.pipeline.tables import REFERENCE_TABLES, Table
from tests.inbox import good, inbox_session, put_drop, rows_of, whole_drop

FIRST, SECOND = date(2024, 4, 1), date(2024, 4, 2)
TABLES = ("members", "providers", "claims", "bank_changes", "account_events", "payments")
EXPORTS = {table: Export() for table in TABLES}


def lines_of(path: Path, con: duckdb.DuckDBPyConnection, table: Table, export: Export) -> Batch:
    """The lines of a bundle that name one table."""
    cells = ", ".join(f"line ->> '$.{column.name}' AS {name(column.name)}" for column in table.columns)
    query = (
        f"SELECT {cells}, CAST(NULL AS VARCHAR) AS unreadable"
        f" FROM read_ndjson_objects({text(str(path))}) AS lines(line) WHERE line ->> '$.table' = {text(table.name)}"
    )
    return Batch((path,), "bundle", query, {column.name: "VARCHAR" for column in table.columns})


def bundle(files: Sequence[Path], exports: Mapping[str, Export]) -> dict[str, list[Part]]:
    """The adapter of a toy format: every line of a file names its table."""
    tables: dict[str, list[Part]] = {}
    for path in (path for path in files if path.name.endswith(".bundle")):
        for table in sorted({json.loads(line)["table"] for line in path.read_text(encoding="utf-8").splitlines()}):
            tables.setdefault(table, []).append(Part((path,), partial(lines_of, path)))
    return tables


def put_bundle(folder: Path, *rows: tuple[str, Mapping[str, Any]], called: str = "all.bundle") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"table": table} | row) for table, row in rows]
    (folder / called).write_text("\n".join(lines), encoding="utf-8")
    return folder / called


def everything(number: int = 1) -> list[tuple[str, dict[str, Any]]]:
    return [(table, good(table, number)) for table in reversed(TABLES)]


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "ADAPTERS", (*adapters.ADAPTERS, bundle))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def drops(loads: list[Load]) -> list[Load]:
    return [load for load in loads if load.kind == "drop"]


def lake_of(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows_of(session, f"SELECT * FROM {name(table)}", table) for table in (*TABLES, "sightings")}


@pytest.mark.usefixtures("bundles")
def test_one_file_with_every_table_loads_as_a_file_per_table_does(session: Session, tmp_path: Path) -> None:
    home = session.settings.home
    put_bundle(home / "inbox" / "2024-04-01", *everything())
    put_bundle(home / "inbox" / "2024-04-02", ("claims", good("claims", 2)))
    first, second = drops(ingest(session, SECOND))
    assert (set(first.facts["tables"]), set(second.facts["tables"])) == (set(TABLES), {"claims"})
    assert first.facts["tables"]["claims"]["files"] == ["all.bundle"]
    from_bundle = lake_of(session)
    with inbox_session(tmp_path / "other", PAYEEWATCH_KEY_FILE=str(session.settings.key_file)) as other:
        whole_drop(other.settings.home, "2024-04-01")
        put_drop(other.settings.home, "2024-04-02", claims=[good("claims", 2)])
        ingest(other, SECOND)
        assert lake_of(other) == from_bundle
    assert min(len(rows) for rows in from_bundle.values()) > 0


@pytest.mark.usefixtures("bundles")
def test_a_bundles_bad_rows_go_to_quarantine_and_files_beside_it_are_named(session: Session) -> None:
    folder = session.settings.folder("inbox") / "2024-04-01"
    put_bundle(folder, *everything(), ("claims", good("claims", 2, cared_on="never")))
    (folder / "notes.txt").touch()
    (load,) = drops(ingest(session, FIRST))
    assert load.facts["tables"]["claims"]["rows_rejected"] == 1
    assert load.facts["ignored_files"] == ["notes.txt"]
    assert (session.settings.folder("quarantine") / "2024-04-01" / "claims.parquet").exists()


@pytest.mark.usefixtures("bundles")
def test_a_bundle_is_loaded_once_and_a_changed_one_for_what_changed(session: Session) -> None:
    folder = session.settings.folder("inbox") / "2024-04-01"
    put_bundle(folder, *everything())
    ingest(session, FIRST)
    assert ingest(session, FIRST) == []
    put_bundle(folder, *everything(), ("claims", good("claims", 2)))
    (load,) = drops(ingest(session, FIRST))
    assert (load.mode, set(load.files) & set(TABLES)) == ("changed", {"claims"})


@pytest.mark.usefixtures("bundles")
def test_a_bundle_and_a_file_of_the_same_table_are_read_in_the_order_of_their_names(session: Session) -> None:
    folder = whole_drop(session.settings.home, "2024-04-01", claims=[good("claims", status="pended")])
    for called in ("a.bundle", "d.bundle"):
        put_bundle(folder, ("claims", good("claims", status="rejected")), called=called)
    (drop,) = find_drops(session.settings.folder("inbox"), Profile(), FIRST)
    assert [path.name for part in drop.tables["claims"] for path in part.files] == [
        "a.bundle",
        "claims.csv",
        "d.bundle",
    ]
    ingest(session, FIRST)
    (status,) = rows_of(session, "SELECT status FROM claims ORDER BY known_at DESC, version DESC LIMIT 1", "claims")
    assert status == ("rejected",)


def broken(con: duckdb.DuckDBPyConnection, table: Table, export: Export) -> Batch:
    raise InputRefused("2024-04-01/all.bundle: cannot be read: it is not valid bundle")


def test_a_bundle_that_cannot_be_read_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    put_bundle(session.settings.folder("inbox") / "2024-04-01", *everything())
    monkeypatch.setattr(
        adapters, "ADAPTERS", (lambda files, exports: {"claims": [Part((path,), broken) for path in files]},)
    )
    assert [report["refused"] for report in check(session)] == [
        "2024-04-01/all.bundle: cannot be read: it is not valid bundle"
    ]


def test_a_file_belongs_to_the_adapter_that_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file_names: list[list[str]] = []

    def last(files: Sequence[Path], exports: Mapping[str, Export]) -> dict[str, list[Part]]:
        file_names.append([path.name for path in files])
        return {"claims": [file_part(path) for path in files]}

    monkeypatch.setattr(adapters, "ADAPTERS", (file_per_table, last, last))
    files = [tmp_path / called for called in ("members.csv", "claims.csv", "other.csv")]
    tables = parts_of(files, EXPORTS)
    assert file_names == [["other.csv"], []]
    assert {table: [part.files[0].name for part in parts] for table, parts in tables.items()} == {
        "claims": ["claims.csv", "other.csv"],
        "members": ["members.csv"],
    }
    assert files_of(tables) == set(files)


def test_every_suffix_is_a_file_of_its_table() -> None:
    files = [Path(f"claims{suffix}") for suffix in suffixes()]
    assert files_of(file_per_table([*files, Path("claims"), Path("claims.zip")], EXPORTS)) == set(files)


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("fdec*.txt", {"FDEC1.TXT"}),
        ("fdec*.dat.gz", {"fdec2.dat.gz"}),
        ("fdec*", {"fdec3.csv"}),  # the endings that a reader reads, not `.md5`
        ("fdec*.*", {"fdec3.csv"}),
    ],
)
def test_a_profile_may_spell_out_an_ending_of_its_own(pattern: str, files: set[str]) -> None:
    folder = [Path(each) for each in ("FDEC1.TXT", "fdec2.dat.gz", "fdec3.csv", "fdec3.csv.md5", "claims.csv")]
    assert {path.name for path in files_of(file_per_table(folder, {"claims": Export(files=pattern)}))} == files


def test_a_file_of_an_ending_of_the_profile_is_read_as_csv(tmp_path: Path) -> None:
    (tmp_path / "fban.txt").write_text("country\tbank_code\tname\tkind\nFR\t30004\tBanque\tbank\n")
    export = Export(files="fban*.txt", delimiter="\t")
    (part,) = parts_of(tmp_path.iterdir(), {"banks": export})["banks"]
    with duckdb.connect() as con:
        batch = part.batch(con, REFERENCE_TABLES["banks"], export)
        assert con.execute(f"SELECT count(*) FROM ({batch.query})").fetchall() == [(1,)]
