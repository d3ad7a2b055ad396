"""Erase one person: out of the lake in every version, what nights published, quarantine and vault.

What is to go is noted first, in `lake/erasing.json`, with the tombstones committed beside it; every store is then
rewritten file by file. A run that was cut short is finished by the next command that writes here, from that note. The
note goes last, when the reviewers' database has forgotten the person too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home import vault, wording
from payeewatch.pipeline.home.files import replace_whole, write_json
from payeewatch.pipeline.home.keys import Keys, tombstone_of
from payeewatch.pipeline.home.scrub import Removal, without
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.known_by import counts_from
from payeewatch.pipeline.privacy.data_subject import Person, conditions, find, softened, touches
from payeewatch.pipeline.privacy.redact import withdraw
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import Load
from payeewatch.pipeline.store.tombstones import COLUMNS, ERASURE, UNFINISHED_ERASURE, Tombstones
from payeewatch.pipeline.tables import LAKE_TABLES

ACCOUNTS_USED = {
    name: [column for column in table.columns if column == "account" or column.endswith("_account")]
    for name, table in LAKE_TABLES.items()
    if name != "accounts"
}
"""Where the lake says that somebody has an account."""


@dataclass(frozen=True)
class Erasure:
    """One person's erasure under way, and the day it counts for."""

    person: Person
    on: date

    @property
    def gone(self) -> Removal:
        return Removal(ids=self.person.names)


def pending(settings: Settings) -> Erasure | None:
    """The erasure that was begun and not finished."""
    path = _note(settings)
    if not path.exists():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Erasure(Person.told(raw["person"]), date.fromisoformat(raw["on"]))


def begin(session: Session, member_id: str, on: date) -> Erasure:
    """Note what is to go, and commit its tombstones; one under way is taken up where it stopped."""
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
    gone = replace(erasure.gone, ids=erasure.gone.ids | accounts)
    counts |= withdraw(settings, gone, erasure.on, dry_run=dry_run).rows
    counts["quarantine"], refs = _from_quarantine(settings.folder("quarantine"), gone.ids, dry_run=dry_run)
    for kind, ids in {
        "member": {erasure.person.member_id},
        "holder": set(erasure.person.ids["change"]),
        "account": set(accounts),
        "quarantine": refs,
    }.items():
        counts[f"vault/{kind}"] = vault.forget(settings.folder("vault"), kind, ids.__contains__, dry_run=dry_run)
    return {store: many for store, many in counts.items() if many}


def finish(settings: Settings) -> None:
    """Take the note away: nothing is left that says who was erased."""
    _note(settings).unlink(missing_ok=True)


def resume(session: Session) -> None:
    """Finish in the pipeline's stores what was cut short; the note stays for the reviewers' database."""
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
    listed = ", ".join(text(account) for account in person.ids["account"])
    others = session.con.execute(
        f"SELECT account FROM ({used_accounts(session, conditions(person))}) WHERE account IN ({listed})"
    ).fetchall()
    return frozenset(person.ids["account"]) - {row[0] for row in others}


def _from_lake(session: Session, person: Person, accounts: frozenset[str], *, dry_run: bool) -> dict[str, int]:
    counts = {}
    listed = ", ".join(text(account) for account in sorted(accounts)) or "NULL"
    for table, goes in (conditions(person) | {"accounts": f"account IN ({listed})"}).items():
        counts[f"lake/{table}"] = session.lake.forget(
            session.con, table, goes, dry_run=dry_run, changes=touches(person, table), to=softened(person, table)
        )
    for path in sorted((session.lake.root / "loads").glob("*.json")):
        record, many = without(json.loads(path.read_text(encoding="utf-8")), person.names)
        if many and not dry_run:
            write_json(path, record)
        counts["lake/loads"] = counts.get("lake/loads", 0) + many
    if not dry_run:
        session.lake.forget_read()
        session.lake_cache.clear()
    return counts


def _from_quarantine(folder: Path, ids: frozenset[str], *, dry_run: bool) -> tuple[int, set[str]]:
    """Blank the person's rejected rows, so that the others keep their places; the sealed originals' refs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    many, refs = 0, set()
    for path in sorted(folder.glob("*/*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        hit = [place for place, row in enumerate(rows) if ids & _values(row["row"])]
        if not hit:
            continue
        many += len(hit)
        refs |= {f"{path.parent.name.removesuffix('-reviewed')}/{path.stem}/{place}" for place in hit}
        for place in hit:
            rows[place] |= {"row": "{}", "message": "erased"}
        if not dry_run:
            blanked = pa.Table.from_pylist(rows, schema=table.schema)
            replace_whole(path, lambda temporary, blanked=blanked: pq.write_table(blanked, temporary))  # type: ignore[misc]
    return many, refs


def _values(row: str) -> set[Any]:
    return {value for value in json.loads(row).values() if isinstance(value, str)}


def _note(settings: Settings) -> Path:
    return settings.folder("lake") / UNFINISHED_ERASURE


def tombstones_of(person: Person, keys: Keys) -> list[str]:
    """The tombstones of one person: of their ids but for accounts, and of the keys by which lists would find them."""
    ids = {kind: values for kind, values in person.ids.items() if kind in {*COLUMNS.values(), "claim"}}
    named = [(kind, value) for kind, values in ids.items() for value in values]
    named += [(kind, str(value)) for kind, values in person.keys.items() for value in values]
    return sorted(tombstone_of(keys, kind, value) for kind, value in named)
