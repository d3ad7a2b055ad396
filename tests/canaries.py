"""Canaries: identities planted in an insurer's files, and a search for them in everything a night leaves behind.

    planted = plant(home / "inbox", home / "breaches")
    ... run nights ...
    assert_absent(home / "lake", planted)

The search reads every file below a folder, and inside what is packed: gzip, zip (a model), Parquet, SQLite.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

NAMES = ("family_name", "given_names", "birth_name", "holder_name")
DATES = ("birth_date",)
NATIONAL_IDS = ("national_id", "holder_national_id")
ACCOUNTS = ("iban", "old_iban", "new_iban")
SHORTEST = 6
"""Characters. A shorter value occurs by chance."""

FAMILY, GIVEN_NAME, BIRTH_NAME, HOLDER = "Canarivoltigeon", "Zéphyrinde", "Canarimartelle", "Canariholderian"
NATIONAL_ID, BIRTH, BBAN = "284129999987693", "19841231", "99777777770987654321099"
ACCOUNT = f"FR{98 - int(BBAN + '152700') % 97:02d}{BBAN}"
CANARY = (FAMILY, GIVEN_NAME, BIRTH_NAME, HOLDER, NATIONAL_ID, NATIONAL_ID[:13], BIRTH, ACCOUNT, BBAN)
"""What `plant` gives: identities that occur nowhere else."""


def identities(*folders: Path, most: int = 5_000) -> list[str]:
    """Identities as they stand in the CSV files below some folders: names, national ids, birth dates, accounts.

    Single words of names are left out when they are short; at most `most` values of each column are looked for.
    """
    by_column: dict[str, dict[str, None]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.csv*")):
            for row in _rows(path):
                for column in (*NAMES, *NATIONAL_IDS, *ACCOUNTS, *DATES):
                    value = (row.get(column) or "").strip()
                    values_of_column = by_column.setdefault(column, {})
                    if len(value) >= SHORTEST and len(values_of_column) < most:
                        values_of_column[value] = None
    return sorted({value for values in by_column.values() for value in values})


def plant(inbox: Path, breaches: Path) -> list[str]:
    """Give one member, its bank changes and one listed person identities that occur nowhere else. Returns them.

    Every other cell stays as it is. The first drop that has the table is changed.
    """
    _change(
        sorted(inbox.glob("*/members*.csv"))[0],
        {
            "family_name": FAMILY, "given_names": GIVEN_NAME, "birth_name": BIRTH_NAME, "birth_date": BIRTH,
            "national_id": NATIONAL_ID, "holder_national_id": NATIONAL_ID,
        },
    )  # fmt: skip
    _change(sorted(inbox.glob("*/bank_changes*.csv"))[0], {"new_iban": ACCOUNT, "holder_name": HOLDER})
    _change(
        sorted(breaches.glob("*/people*.csv"))[0],
        {"family_name": FAMILY, "given_names": GIVEN_NAME, "birth_date": BIRTH, "national_id": NATIONAL_ID},
    )
    return list(CANARY)


def assert_absent(folder: Path, values: Iterable[str]) -> None:
    """Fail when a value occurs in a file below the folder, in any case and with or without its marks."""
    places = {f"{where}: {len(value)} characters" for where, value in occurrences(folder, values)}
    assert not places, f"identities in {sorted(places)}"


def occurrences(folder: Path, values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(file, value) for every value that a file below the folder, or the file itself, holds."""
    by_form = {form: value for value in values if value for form in _forms(value)}
    for path in sorted([folder, *folder.rglob("*")]):
        if path.is_file():
            for where, content in _contents(path.relative_to(folder).as_posix(), path.read_bytes(), path):
                text = content.lower()
                yield from ((where, value) for form, value in by_form.items() if form in text)


def _forms(value: str) -> set[bytes]:
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    texts = {value, plain, value.replace(" ", ""), unicodedata.normalize("NFD", value)}
    escaped = json.dumps(value)[1:-1].encode()
    return {text.lower().encode(code) for text in texts for code in ("utf-8", "utf-16-le")} | {escaped.lower()}


def _contents(where: str, raw: bytes, path: Path | None) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and those of what is packed in it."""
    yield where, raw
    if raw[:2] == b"\x1f\x8b":
        yield from _contents(f"{where} (unpacked)", gzip.decompress(raw), None)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            for name in packed.namelist():
                yield from _contents(f"{where}/{name}", packed.read(name), None)
    elif raw[:4] == b"PAR1":
        for column, text in _parquet_texts(raw):
            yield f"{where}:{column}", text
    elif raw[:16] == b"SQLite format 3\0" and path is not None:
        yield where, _sqlite_text(path)


def _parquet_texts(raw: bytes) -> Iterator[tuple[str, bytes]]:
    table = pq.read_table(io.BytesIO(raw))
    for name in table.column_names:
        values = table.column(name).to_pylist()
        yield name, "\n".join(str(value) for value in values if value is not None).encode()


def _sqlite_text(path: Path) -> bytes:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as opened:
        names = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [str(row) for name in names for row in opened.execute(f'SELECT * FROM "{name}"')]
    return "\n".join(rows).encode()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig", errors="replace")
    yield from csv.DictReader(io.StringIO(text))


def _change(path: Path, cells: dict[str, str]) -> None:
    """Put cells into the first row of a CSV file."""
    rows = list(_rows(path))
    rows[0] |= {name: value for name, value in cells.items() if name in rows[0]}
    columns: Sequence[str] = list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
