"""How many edits of the audit log `payeewatch audit verify` finds: `python -m benchmarks.audit_edits --edits 1000`.

Each edit is drawn from its number alone: a changed column, a record that is deleted, put in, or exchanged, an end
that is cut off, a chain made with another key, a head that is changed, older or gone, or log and head wiped together.
With an even number, ten more records follow it as ordinary use makes them. It is made in a home and a database in a
temporary folder, and taken back. The log is anchored once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payeewatch.triage.models import AuditRecord

LATER = 10
"""So many records follow an edit before it is looked for, in every second case."""


def change_a_column(chance: random.Random, folder: Path) -> None:
    row = _any_record(chance)
    columns = {
        "user": "x", "role": "senior", "action": "claim", "flag_id": "F-0", "details": {"x": 1}, "mac": "0" * 64,
        "rows": {"user 1": "0" * 16}, "number": 10**6,
    }  # fmt: skip
    name = chance.choice(sorted(columns))
    _records().filter(pk=row.pk).update(**{name: columns[name]})


def change_the_time(chance: random.Random, folder: Path) -> None:
    from datetime import timedelta

    row = _any_record(chance)
    _records().filter(pk=row.pk).update(at=row.at + timedelta(microseconds=chance.choice([-1, 1, 10**6])))


def delete_records(chance: random.Random, folder: Path) -> None:
    row = _any_record(chance)
    _records().filter(number__gte=row.number, number__lt=row.number + chance.randrange(1, 4)).delete()


def delete_and_renumber(chance: random.Random, folder: Path) -> None:
    gone = _any_record(chance).number
    _records().filter(number=gone).delete()
    for number in _records().filter(number__gt=gone).order_by("number").values_list("number", flat=True):
        _records().filter(number=number).update(number=number - 1)


def put_in(chance: random.Random, folder: Path) -> None:
    row, last = _any_record(chance), _records().order_by("-number")[0]
    row.number = last.number + 1
    row.save(force_insert=True)


def exchange(chance: random.Random, folder: Path) -> None:
    first, second = chance.sample(list(_records().all()), 2)
    first.number, second.number = second.number, first.number
    first.save()
    second.save()


def cut_the_end(chance: random.Random, folder: Path) -> None:
    row = _any_record(chance)
    _records().filter(number__gte=row.number).delete()


def chain_with_another_key(chance: random.Random, folder: Path) -> None:
    from payeewatch.triage.records import audit

    first, before = _any_record(chance).number, ""
    for row in _records().order_by("number"):
        if row.number >= first:
            row.user = "somebody"
            row.mac = audit.mac_of([getattr(row, name) for name in audit.RECORD], before, b"another key")
            row.save()
        before = row.mac


def cut_with_an_older_head(chance: random.Random, folder: Path) -> None:
    """What a restored backup is, and whoever can write the database and the home can do too."""
    from payeewatch.triage.records import audit

    ends = [row for row in _records().order_by("number") if row.number < _anchored()]
    row = chance.choice(ends)
    _records().filter(number__gt=row.number).delete()
    audit._write_head(audit.End(row.number, row.mac))


def change_the_head(chance: random.Random, folder: Path) -> None:
    path = folder / "audit-head.json"
    facts = json.loads(path.read_text(encoding="ascii"))
    name = chance.choice(["number", "mac", "seal"])
    other = {"number": facts["number"] - 1, "mac": "0" * 64, "seal": hashlib.sha256(b"x").hexdigest()}
    path.write_text(json.dumps(facts | {name: other[name]}), encoding="ascii")


def garble_or_delete_the_head(chance: random.Random, folder: Path) -> None:
    path = folder / "audit-head.json"
    content = chance.choice([None, b"", b"x", b"{}", b"\xff\x00", path.read_bytes()[:-1]])
    path.unlink() if content is None else path.write_bytes(content)


def wipe_log_and_head(chance: random.Random, folder: Path) -> None:
    _records().all().delete()
    (folder / "audit-head.json").unlink()


EDITS: Mapping[str, Callable[[random.Random, Path], None]] = {
    each.__name__: each
    for each in (
        change_a_column, change_the_time, delete_records, delete_and_renumber, put_in, exchange, cut_the_end,
        chain_with_another_key, cut_with_an_older_head, change_the_head, garble_or_delete_the_head, wipe_log_and_head,
    )
}  # fmt: skip
"""The kinds of edits."""


def kind_of(number: int) -> str:
    """The kind of edit with a number."""
    return sorted(EDITS)[number // 2 % len(EDITS)]


def edit(number: int, folder: Path) -> None:
    """Make the edit with a number; `folder` has the head."""
    EDITS[kind_of(number)](random.Random(number), folder)


def is_followed(number: int) -> bool:
    """Whether ordinary use goes on before the edit is looked for."""
    return number % 2 == 0


def _records() -> Any:
    from payeewatch.triage.models import AuditRecord

    return AuditRecord.objects


def _any_record(chance: random.Random) -> AuditRecord:
    row: AuditRecord = chance.choice(list(_records().order_by("number")))
    return row


def _anchored() -> int:
    from payeewatch.triage.records import anchors

    return anchors.read().good[-1].number


def run(edits: int, records: int) -> Counter[str]:
    """Make each edit, look for it, and take it back. Returns how many there were and were found."""
    from django.db import connections

    from payeewatch.triage.models import AuditRecord
    from payeewatch.triage.records import audit
    from payeewatch.triage.workspace import home

    for number in range(records):
        audit.record(None, "view", f"F-{number}", step=number)
    audit.anchor()
    folder = home().folder("triage")
    before, rows = folder.with_name("before"), list(AuditRecord.objects.order_by("number"))
    shutil.copytree(folder, before, ignore=shutil.ignore_patterns("*.sqlite3*"))
    results = Counter[str]()
    for number in range(edits):
        edit(number, folder)
        for _ in range(LATER if is_followed(number) else 0):
            audit.record(None, "view", "F-later")
        kind = kind_of(number)
        is_found = bool(audit.verify().findings)
        results.update({"edits": 1, "found": is_found, **({} if is_found else {f"missed: {kind}, {number}": 1})})
        AuditRecord.objects.all().delete()
        AuditRecord.objects.bulk_create(rows)
        for path in folder.glob("*audit-head*"):
            path.unlink()
        shutil.copytree(before, folder, dirs_exist_ok=True)
    connections.close_all()
    return results


def main(words: Sequence[str]) -> None:
    import yaml

    from payeewatch.commands.review import start
    from payeewatch.pipeline.home.keys import Keys
    from payeewatch.pipeline.home.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--records", type=int, default=60, help="So many records has the log that is edited.")
    options = parser.parse_args(words)
    with TemporaryDirectory() as place:
        base = Path(place)
        (base / "home").mkdir()
        (base / "anchors").mkdir()
        params = {"triage": {"anchor": str(base / "anchors")}}
        (base / "home" / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        Keys.create(base / "keys.json")
        os.environ["PAYEEWATCH_KEY_FILE"] = str(base / "keys.json")
        os.environ.pop("DATABASE_URL", None)
        start(Settings.load(base / "home", os.environ))
        print(dict(run(options.edits, options.records)))


if __name__ == "__main__":
    main(sys.argv[1:])
