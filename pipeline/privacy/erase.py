"""Erase one person from the lake (every version), from what nights published, from quarantine and vault.

What will be erased is noted first, in `lake/erasing.json`, and the tombstones are committed; then every store is
rewritten file by file. If a run is interrupted, the next command that writes here finishes it from that note. The note
is deleted last, when the person is erased from the reviewers' database too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from payeewatch.pipeline.breaches import rejected_people
from payeewatch.pipeline.home import vault, wording
from payeewatch.pipeline.home.files import replace_whole, write_json
from payeewatch.pipeline.home.keys import Keys, tombstone_of
from payeewatch.pipeline.home.scrub import Removal, without
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.known_by import counts_from
from payeewatch.pipeline.privacy.data_subject import (
    Person,
    anonymise_condition,
    anonymised_columns,
    delete_conditions,
    find,
)
from payeewatch.pipeline.privacy.redact import withdraw
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.chain import RECORDS, record_names
from payeewatch.pipeline.store.lake import Lake, Load
from payeewatch.pipeline.store.tombstones import COLUMNS, ERASURE, UNFINISHED_ERASURE, Tombstones
from payeewatch.pipeline.tables import LAKE_TABLES

ACCOUNTS_USED = {
    name: [column for column in table.columns if column == "account" or column.endswith("_account")]
    for name, table in LAKE_TABLES.items()
    if name != "accounts"
}
"""Lake table -> the columns in which somebody has an account."""

BLANK = "{}"


@dataclass(frozen=True)
class Erasure:
    """The erasure of one person, and the day it counts for."""

    person: Person
    on: date

    @property
    def removal(self) -> Removal:
        return Removal(ids=self.person.names)


def pending(settings: Settings) -> Erasure | None:
    """The erasure that was started and not finished."""
    path = _note(settings)
    if not path.exists():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Erasure(Person.from_dict(raw["person"]), date.fromisoformat(raw["on"]))


def begin(session: Session, member_id: str, on: date) -> Erasure:
    """Note what will be erased, and commit its tombstones; an unfinished erasure continues where it stopped."""
    erasure = pending(session.settings) or Erasure(find(session, member_id), on)
    write_json(_note(session.settings), asdict(erasure))
    tombstones = tombstones_of(erasure.person, session.keys)
    if not Tombstones.of(session.lake.loads()).tokens.issuperset(tombstones):
        session.lake.commit(
            Load(
                sequence=session.lake.next_sequence(),
                kind=ERASURE,
                day=erasure.on,
                known_on=counts_from(session, erasure.on),
                source="person",
                fingerprint="",
                facts={"tombstones": tombstones},
            )
        )
    return erasure


def erase(session: Session, erasure: Erasure, *, dry_run: bool) -> dict[str, int]:
    """Rewrite every store without the person. Returns rows by store; with `dry_run` nothing is written."""
    settings = session.settings
    accounts = _own_accounts(session, erasure.person)
    counts = _from_lake(session, erasure.person, accounts, dry_run=dry_run)
    removal = replace(erasure.removal, ids=erasure.removal.ids | accounts)
    counts |= withdraw(settings, removal, erasure.on, dry_run=dry_run).rows
    counts["quarantine"], refs = _from_quarantine(settings.folder("quarantine"), removal.ids, dry_run=True)
    for kind, ids in {
        "member": {erasure.person.member_id},
        vault.BIRTH: {erasure.person.member_id},
        "holder": set(erasure.person.ids["change"]),
        "account": set(accounts),
        "quarantine": refs,
    }.items():
        counts[f"vault/{kind}"] = vault.delete_originals(
            settings.folder("vault"), kind, ids.__contains__, dry_run=dry_run
        )
    # last: a row that is blank names no original that an interrupted erasure left in the vault
    _from_quarantine(settings.folder("quarantine"), removal.ids, dry_run=dry_run)
    return {store: many for store, many in counts.items() if many}


def finish(settings: Settings) -> None:
    """Delete the note: nothing remains that says who was erased."""
    _note(settings).unlink(missing_ok=True)


def resume(session: Session) -> None:
    """Finish an interrupted erasure in the pipeline's stores; the note stays for the reviewers' database."""
    erasure = pending(session.settings)
    if erasure:
        erase(session, begin(session, erasure.person.member_id, erasure.on), dry_run=False)
        session.warn(wording.sentence("erasure_cut_short"))


def used_accounts(session: Session, without_rows: Mapping[str, str]) -> str:
    """SQL of the accounts that some rows of the lake use; `without_rows` are conditions of rows that do not count."""
    used = [
        f"SELECT {column} AS account FROM ({session.lake.scan(table)})"
        f" WHERE NOT coalesce({without_rows.get(table, 'false')}, false) AND {column} IS NOT NULL"
        for table, columns in ACCOUNTS_USED.items()
        for column in columns
    ]
    return " UNION ".join(used)


def _own_accounts(session: Session, person: Person) -> frozenset[str]:
    """The person's accounts that nobody else uses."""
    if not person.ids["account"]:
        return frozenset()
    ids = ", ".join(text(account) for account in person.ids["account"])
    others = session.con.execute(
        f"SELECT account FROM ({used_accounts(session, delete_conditions(person))}) WHERE account IN ({ids})"
    ).fetchall()
    return frozenset(person.ids["account"]) - {row[0] for row in others}


def _from_lake(session: Session, person: Person, accounts: frozenset[str], *, dry_run: bool) -> dict[str, int]:
    counts = {}
    ids = ", ".join(text(account) for account in sorted(accounts)) or "NULL"
    for table, delete_where in (delete_conditions(person) | {"accounts": f"account IN ({ids})"}).items():
        counts[f"lake/{table}"] = session.lake.rewrite(
            session.con,
            table,
            delete_where=delete_where,
            update_where=anonymise_condition(person, table),
            columns=anonymised_columns(person, table),
            dry_run=dry_run,
        )
    counts["lake/loads"] = _from_records(session.lake, person.names, dry_run=dry_run)
    if not dry_run:
        session.lake_cache.clear()
    return counts


def _from_records(lake: Lake, names: frozenset[str], *, dry_run: bool) -> int:
    """Delete the entries of commit records that name the person. Returns how many."""
    writes, total = {}, 0
    for name in record_names(lake.root):
        path = f"{RECORDS}/{name}"
        record, many = without(json.loads((lake.root / path).read_text(encoding="utf-8")), names)
        if many:
            writes[path] = partial(write_json, value=record)
        total += many
    if writes and not dry_run:
        lake.replace(writes, "records")
    return total


def _from_quarantine(folder: Path, ids: frozenset[str], *, dry_run: bool) -> tuple[int, set[str]]:
    """Blank the person's rejected rows, so that the others keep their positions.

    A rejected row of a breach list has no key that tells whom it is about, so all of them are blanked: the list itself
    is the insurer's.

    Returns how many rows, and the refs of their sealed originals.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    many, refs = 0, set()
    for path in sorted(folder.glob("*/*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        is_of_lists, night = path.name == rejected_people.FILE, path.parent.name.removesuffix("-reviewed")
        positions = [
            position
            for position, row in enumerate(rows)
            if (is_of_lists and row["row"] != BLANK) or ids & _text_values(row["row"])
        ]
        if not positions:
            continue
        many += len(positions)
        for position in positions:
            message = rows[position]["message"]
            refs.add(rejected_people.ref_of(night, message) if is_of_lists else f"{night}/{path.stem}/{position}")
            rows[position] |= {"row": BLANK, "message": "erased"}
        if not dry_run:
            blank_table = pa.Table.from_pylist(rows, schema=table.schema)
            replace_whole(path, lambda temporary, table=blank_table: pq.write_table(table, temporary))  # type: ignore[misc]
    return many, refs


def _text_values(row: str) -> set[Any]:
    return {value for value in json.loads(row).values() if isinstance(value, str)}


def _note(settings: Settings) -> Path:
    return settings.folder("lake") / UNFINISHED_ERASURE


def tombstones_of(person: Person, keys: Keys) -> list[str]:
    """The tombstones of one person: of their ids except accounts, and of the keys by which lists would find them."""
    ids = {kind: values for kind, values in person.ids.items() if kind in {*COLUMNS.values(), "claim"}}
    pairs = [(kind, value) for kind, values in ids.items() for value in values]
    pairs += [(kind, str(value)) for kind, values in person.keys.items() for value in values]
    return sorted(tombstone_of(keys, kind, value) for kind, value in pairs)
