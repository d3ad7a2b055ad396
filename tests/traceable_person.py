"""One person with unique numbers in the files of an insurer, so that every trace of them can be found.

And scripts that work on their flags.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Home

KINDS = {"member_id": "MCANARY", "payee_id": "PCANARY", "change_id": "XCANARY", "claim_id": "CCANARY",
         "event_id": "VCANARY", "payment_id": "YCANARY"}  # fmt: skip
MEMBER = "MCANARY0000"


def rename(home: Path, member_id: str) -> dict[str, str]:
    """Give a member, their payees, changes, claims, events and payments unique numbers. Returns old -> new number."""
    names: dict[str, str] = {member_id: MEMBER}

    def give_number(row: dict[str, str], *columns: str) -> None:
        for column in columns:
            if row.get(column) and row[column] not in names:
                names[row[column]] = f"{KINDS[column]}{len(names):04d}"

    for row in _rows_of_table(home, "bank_changes"):
        if row["member_id"] == member_id:
            give_number(row, "payee_id", "change_id")
    for table in ("claims", "payments", "account_events"):
        for row in _rows_of_table(home, table):
            if row.get("member_id") == member_id:
                give_number(row, *(column for column in ("claim_id", "payment_id", "event_id") if column in row))
    for path in sorted(home.glob("inbox/*/*.csv")):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        for row in rows:
            for column, value in row.items():
                row[column] = "|".join(names.get(each, each) for each in value.split("|")) if value else value
        if rows:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return names


def _rows_of_table(home: Path, table: str) -> Iterator[dict[str, str]]:
    for path in sorted(home.glob(f"inbox/*/{table}*.csv")):
        yield from csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))


def shell(home: Home, *words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, or Python code, in its own process as cron does, and with its own database."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PAYEEWATCH", "DJANGO", "DATABASE"))
    }
    environ |= {
        "PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file),
        "PAYEEWATCH_NOW": "2024-09-26T07:00",
    }  # fmt: skip
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "payeewatch", *words]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    return result


REVIEW = f'''
from pathlib import Path
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
settings = Settings.load()
start(settings)
from payeewatch.triage import clock
from payeewatch.triage.records import audit
from payeewatch.triage.models import Attachment, Decision, Evidence, Flag, Note, SavedFilter, Step, User
from payeewatch.triage.work.workflow import perform
from payeewatch.triage.exchange.import_night import publish, unpublished
from payeewatch.triage.work.search import search
from uuid import uuid4
for night in unpublished(settings):
    publish(settings, night)
user, _ = User.objects.get_or_create(username="reviewer", defaults={{"role": "reviewer"}})
User.objects.get_or_create(username="insured", defaults={{"role": "reviewer", "member_id": "{MEMBER}"}})
own = Flag.objects.get(member_id="{MEMBER}")
other = Flag.objects.exclude(member_id="{MEMBER}").order_by("rank").first()
for flag in (own, other):
    at = clock.now()
    step = Step.objects.create(step_id=uuid4(), flag=flag, user=user, action="note", at=at, version_after=2,
                               before={{"decisions": [{{"note": "of {MEMBER}"}}]}})
    Note.objects.create(flag=flag, by=user, at=at, text="Called {MEMBER} about {{}}.".format(own.change_id))
    Decision.objects.create(flag=flag, step=step, kind="verdict", state="pending", by=user, at=at, evidence_digest="",
                            verdict="benign", note="{MEMBER}")
    path = settings.folder("triage") / "attachments" / flag.flag_id
    path.parent.mkdir(exist_ok=True)
    path.write_text("of {MEMBER}" if flag == own else "of somebody else")
    Attachment.objects.create(flag=flag, by=user, at=at, name="{MEMBER} call.txt", stored_as=flag.flag_id,
                              content_type="text/plain", size=1, digest="")
    audit.record(user, "read", flag.flag_id)
SavedFilter.objects.create(user=user, name="of {MEMBER}", query="q={MEMBER}")
search(user, own.change_id)
perform("hold", user, own.flag_id, uuid4(), own.version, {{"confirm": True}})
evidence = Evidence.objects.filter(flag=other).first()
evidence.body["neighbours"] = [{{"payee_id": own.payee_id, "relation": "same_account", "flag_id": own.flag_id}}]
Evidence.objects.filter(pk=evidence.pk).update(body=evidence.body)
'''
"""A reviewer reads, notes, attaches and judges; somebody else's evidence names the person too."""

VERIFY = """
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
start(Settings.load())
from payeewatch.triage.records import audit
from payeewatch.triage.models import Flag, Note, Tombstone, User
from payeewatch.triage.exchange.import_night import unpublished
kinds = sorted(set(Tombstone.objects.values_list("kind", flat=True)))
print([list(audit.verify().findings), unpublished(Settings.load())], kinds)
print("notes", Note.objects.count(), [note.text for note in Note.objects.all()])
"""

SCREEN_TEXTS = """
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
start(Settings.load())
from payeewatch.triage.models import Evidence, Flag
print(list(Evidence.objects.values_list("body", flat=True)))
print(list(Flag.objects.values_list("breach_ids", "headline", "headline_reason")))
"""
