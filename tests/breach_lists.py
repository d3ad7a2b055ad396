"""Breach lists for tests: folders as an insurer receives them, filled with people who do not exist."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import yaml

Person = dict[str, Any]
COLUMNS = ("national_id", "holder_national_id", "family_name", "given_names", "birth_date", "birth_rank")


def manifest(folder: str, **changes: object) -> dict[str, object]:
    """A good manifest with some values changed; a value of None removes the entry."""
    whole: dict[str, object] = {
        "breach_id": folder, "title": "Third-party payment operator", "source": "notified processor",
        "notification_ref": "ART33-1", "exposed_from": "2024-01-10", "exposed_to": "2024-01-12",
        "known_at": "2024-02-01", "fields_exposed": ["name", "birth_date", "national_id"], "purge_on": "2029-02-01",
    }  # fmt: skip
    return {name: value for name, value in (whole | changes).items() if value is not None}


def national_id(serial: int, place: str = "99999") -> str:
    """Thirteen characters and their key, for a birth place that does not exist."""
    body = f"285{1 + serial % 12:02d}{place}{1 + serial % 999:03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def person(serial: int, **changes: Any) -> Person:
    """A person with every column filled, some of them changed."""
    return {
        "national_id": national_id(serial), "holder_national_id": national_id(serial),
        "family_name": f"Essai{'abcdefghij'[serial % 10]}on", "given_names": "Zoé",
        "birth_date": f"1985{1 + serial % 12:02d}17", "birth_rank": 1,
    } | changes  # fmt: skip


def as_csv(people: list[Person], columns: tuple[str, ...] = COLUMNS) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(people)
    return buffer.getvalue().encode()


def put_list(breaches: Path, breach_id: str, people: list[Person], form: str = "people.csv", **changes: object) -> Path:
    """Write a list's folder; replaces an existing one."""
    folder = breaches / breach_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest(breach_id, **changes)))
    for old in folder.glob("people*"):
        old.unlink()
    if form.endswith(".parquet"):
        import pandas as pd

        pd.DataFrame(people).to_parquet(folder / form)
    else:
        raw = as_csv(people)
        (folder / form).write_bytes(gzip.compress(raw) if form.endswith(".gz") else raw)
    return folder
