"""The audit log shows every edit, deletion, insertion and cut-off end."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import chain, workspace
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.records import audit
from payeewatch.triage.roles import Role
from payeewatch.triage.views import audit as views
from tests.conftest import Home
from tests.triage.conftest import Clock, signed_in, user

HEAD = "audit-head.json"


@pytest.fixture
def log(house: Settings, django_capture_on_commit_callbacks) -> Settings:
    """Five records, kept."""
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(1, 6):
            audit.record(None, "view", f"F-{number}", step=number)
    return house


def findings() -> list[int]:
    return [finding.number for finding in audit.verify().findings]


def whats() -> str:
    return " | ".join(finding.what for finding in audit.verify().findings)


def head_of(home: Settings) -> dict[str, Any]:
    return json.loads((home.folder("triage") / HEAD).read_text())


def cut(last: int) -> None:
    """What the administrator of the database can do, without the key and without a file."""
    AuditRecord.objects.filter(number__gt=last).delete()


def chained_again(key: bytes, where: Callable[[AuditRecord], object]) -> None:
    """Change records, and compute the whole chain again with a key."""
    before = ""
    for row in AuditRecord.objects.order_by("number"):
        where(row)
        row.mac = before = audit.mac_of([getattr(row, name) for name in audit.RECORD], before, key)
        row.save()


def test_a_log_left_alone_has_nothing_to_tell(log: Settings) -> None:
    checked = audit.verify()
    assert (checked.records, checked.findings) == (5, ())


def test_an_empty_log_has_nothing_to_tell(house: Settings) -> None:
    assert audit.verify().findings == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user", "x"),
        ("role", "senior"),
        ("action", "claim"),
        ("flag_id", "F-9"),
        ("details", {}),
        ("rows", {"user 1": None}),
        ("mac", "0" * 64),
    ],
)
def test_an_edit_is_found(log: Settings, column: str, value: object) -> None:
    AuditRecord.objects.filter(number=3).update(**{column: value})
    assert findings()[0] == 3


def test_another_time_is_found(log: Settings) -> None:
    row = AuditRecord.objects.get(number=3)
    AuditRecord.objects.filter(number=3).update(at=row.at + timedelta(microseconds=1))
    assert findings() == [3]


def test_a_deletion_is_found(log: Settings) -> None:
    AuditRecord.objects.filter(number=3).delete()
    assert findings() == [3]


def test_a_deletion_with_the_rest_renumbered_is_found(log: Settings) -> None:
    AuditRecord.objects.filter(number=3).delete()
    for number in (4, 5):
        AuditRecord.objects.filter(number=number).update(number=number - 1)
    assert 3 in findings()


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_cut_off_end_is_found(log: Settings, cut: int) -> None:
    AuditRecord.objects.filter(number__gt=5 - cut).delete()
    assert findings() == [6 - cut]


def test_a_record_put_in_at_the_end_is_found(log: Settings) -> None:
    last = AuditRecord.objects.get(number=5)
    last.number, last.user = 6, "somebody"
    last.save(force_insert=True)
    assert findings() == [6]


def test_two_records_exchanged_are_found(log: Settings) -> None:
    second, fourth = (AuditRecord.objects.get(number=number) for number in (2, 4))
    second.number, fourth.number = 4, 2
    second.save()
    fourth.save()
    assert findings()[0] == 2


def test_a_chain_made_anew_with_another_key_is_found(log: Settings) -> None:
    before = ""
    for row in AuditRecord.objects.order_by("number"):
        row.user = "somebody"
        record = [row.number, chain.utc(row.at), row.user, row.role, row.action, row.flag_id, row.details, before]
        text = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        row.mac = before = hmac.new(b"another key", text.encode(), hashlib.sha256).hexdigest()
        row.save()
    assert findings()[0] == 1


def test_a_head_made_for_an_earlier_end_is_found(log: Settings) -> None:
    earlier = AuditRecord.objects.get(number=3)
    AuditRecord.objects.filter(number__gt=3).delete()
    head = log.folder("triage") / HEAD
    head.write_text(json.dumps(json.loads(head.read_text()) | {"number": 3, "mac": earlier.mac}))
    assert [finding.what for finding in audit.verify().findings] == [f"{HEAD} was changed, or made with another key"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"number": 5}'])
def test_a_head_that_is_none_is_found(log: Settings, content: str) -> None:
    (log.folder("triage") / HEAD).write_text(content)
    assert findings() == [0]
    assert not audit.head_agrees()


def test_a_missing_head_is_found(log: Settings) -> None:
    (log.folder("triage") / HEAD).unlink()
    assert findings() == [5]


def test_an_older_log_and_head_put_back_are_found_by_the_head_that_was_noted(
    log: Settings, django_capture_on_commit_callbacks
) -> None:
    head = log.folder("triage") / HEAD
    old = head.read_text()
    with django_capture_on_commit_callbacks(execute=True):
        audit.record(None, "view", "F-6")
    noted = audit.verify().head
    AuditRecord.objects.filter(number=6).delete()
    head.write_text(old)
    assert findings() == []
    assert [finding.number for finding in audit.verify(noted).findings] == [6]


def test_a_head_that_was_noted_stays_good_as_the_log_grows(log: Settings, django_capture_on_commit_callbacks) -> None:
    noted = audit.verify().head
    with django_capture_on_commit_callbacks(execute=True):
        audit.record(None, "view", "F-6")
    assert audit.verify(noted).findings == ()


def test_a_crash_before_the_head_was_written_is_no_finding(log: Settings) -> None:
    audit.record(None, "view", "F-6")  # its head is written on commit, which does not come here
    assert json.loads((log.folder("triage") / HEAD).read_text())["number"] == 5
    assert findings() == []


def test_a_slower_writer_does_not_turn_the_head_back(log: Settings) -> None:
    audit._save_head(audit.End(4, AuditRecord.objects.get(number=4).mac))
    assert json.loads((log.folder("triage") / HEAD).read_text())["number"] == 5


def test_a_cut_off_end_is_never_hidden_by_ordinary_use(log: Settings, add: Callable[..., None]) -> None:
    cut(2)
    assert not audit.head_agrees()
    add(12)
    assert findings() == [6]
    assert "behind record 2: the log ended before the record that its head names; the head named record 5" in whats()
    assert not audit.head_agrees()
    assert list(AuditRecord.objects.order_by("number").values_list("number", flat=True)) == [1, 2, *range(6, 19)]
    assert head_of(log)["number"] == 18


@pytest.mark.parametrize(
    "content", [b"x", b"", b"{}", b"[" * 100_000, b"\xff", b'{"number": "5", "mac": "", "seal": ""}']
)
def test_a_garbled_head_is_kept_as_it_is(log: Settings, add: Callable[..., None], content: bytes) -> None:
    cut(1)
    (log.folder("triage") / HEAD).write_bytes(content)
    add(3)
    assert findings() == [2]
    assert not audit.head_agrees()
    assert (log.folder("triage") / "audit-head-before-2.json").read_bytes() == content
    assert AuditRecord.objects.get(number=2).details["file"] == hashlib.sha256(content).hexdigest()


def test_a_number_written_as_text_is_no_head(log: Settings) -> None:
    head = head_of(log)
    (log.folder("triage") / HEAD).write_text(json.dumps(head | {"number": str(head["number"])}))
    assert findings() == [0]
    assert not audit.head_agrees()


def test_a_folder_in_place_of_the_head_does_not_stop_the_work(log: Settings, add: Callable[..., None]) -> None:
    (log.folder("triage") / HEAD).unlink()
    (log.folder("triage") / HEAD).mkdir()
    add(2)
    assert (findings(), head_of(log)["number"]) == ([6], 8)


def test_a_head_that_was_deleted_is_told_for_good(log: Settings, add: Callable[..., None]) -> None:
    (log.folder("triage") / HEAD).unlink()
    add(3)
    assert (findings(), head_of(log)["number"]) == ([6], 9)
    (log.folder("triage") / HEAD).unlink()
    add()
    assert findings() == [6, 10]


def test_a_head_of_another_key_is_a_break(log: Settings, add: Callable[..., None]) -> None:
    mac = AuditRecord.objects.get(number=2).mac
    seal = hmac.new(b"another key", f"head|2|{mac}".encode(), hashlib.sha256).hexdigest()
    (log.folder("triage") / HEAD).write_text(json.dumps({"number": 2, "mac": mac, "seal": seal}))
    cut(2)
    add(2)
    assert findings() == [3]


def test_a_record_in_the_place_of_the_one_that_the_head_names_is_a_break(
    log: Settings, add: Callable[..., None]
) -> None:
    AuditRecord.objects.filter(number=5).update(mac="0" * 64)
    add(2)
    assert findings() == [5, 6]


def test_an_end_cut_off_twice_is_told_twice(log: Settings, add: Callable[..., None]) -> None:
    cut(2)
    add(3)
    cut(2)  # the break's own record goes too
    assert not audit.head_agrees()
    add(3)
    assert findings() == [10]
    assert "the head named record 9" in whats()
    assert not audit.head_agrees()
    AuditRecord.objects.filter(number=10).delete()
    assert not audit.head_agrees()


def test_a_break_whose_record_was_taken_out_stays_open(log: Settings, add: Callable[..., None]) -> None:
    cut(2)
    add(3)
    AuditRecord.objects.filter(number=6).delete()
    add(3)
    assert not audit.head_agrees()
    assert findings()


def test_after_a_crash_before_the_head_was_kept_the_break_is_named_once(
    log: Settings, add: Callable[..., None]
) -> None:
    cut(2)
    audit.record(None, "view")  # its head is not written
    audit.record(None, "view")
    assert AuditRecord.objects.filter(action="audit_break").count() == 1
    assert not audit.head_agrees()
    add()
    assert (findings(), head_of(log)["number"]) == ([6], 9)
    assert json.loads((log.folder("triage") / "audit-head-before-6.json").read_text())["number"] == 5


def test_a_head_that_is_put_back_after_it_was_replaced_is_another_break(
    log: Settings, add: Callable[..., None]
) -> None:
    cut(2)
    add(5)
    old = (log.folder("triage") / "audit-head-before-6.json").read_bytes()
    cut(7)
    (log.folder("triage") / HEAD).write_bytes(old)
    add()
    assert findings() == [6, 8]


def test_a_break_that_was_rolled_back_is_named_by_the_next_record(log: Settings, add: Callable[..., None]) -> None:
    cut(2)
    with transaction.atomic():
        audit.record(None, "claim", "F-1")
        transaction.set_rollback(True)
    assert (findings(), head_of(log)["number"]) == ([3], 5)
    add()
    assert findings() == [6]


def test_an_operator_accepts_a_break_for_a_reason_and_it_is_still_told(
    log: Settings, add: Callable[..., None], django_capture_on_commit_callbacks
) -> None:
    cut(2)
    add(2)
    with django_capture_on_commit_callbacks(execute=True):
        assert audit.accept_breaks("Backup of Monday restored, ticket 12") == [6]
    add(2)
    checked = audit.verify()
    assert (checked.findings, [each.number for each in checked.accepted]) == ((), [6])
    assert checked.accepted[0].what.endswith("accepted on 2024-09-26: Backup of Monday restored, ticket 12")
    assert audit.head_agrees()
    assert audit.accept_breaks("again") == []


def test_a_break_is_accepted_before_anything_else_was_written(
    log: Settings, django_capture_on_commit_callbacks
) -> None:
    cut(2)
    with django_capture_on_commit_callbacks(execute=True):
        assert audit.accept_breaks("Backup restored") == [6]
    assert (findings(), audit.head_agrees()) == ([], True)


def test_what_happens_after_an_acceptance_is_found_again(
    log: Settings, add: Callable[..., None], django_capture_on_commit_callbacks
) -> None:
    cut(2)
    with django_capture_on_commit_callbacks(execute=True):
        audit.accept_breaks("Backup restored")
    add(3)
    cut(9)
    add()
    assert (findings(), audit.head_agrees()) == ([11], False)


def test_an_acceptance_without_the_key_accepts_nothing(log: Settings, add: Callable[..., None]) -> None:
    cut(2)
    add(2)
    last = AuditRecord.objects.get(number=8)
    forged = {"breaks": [6], "reason": "none"}
    AuditRecord.objects.filter(pk=last.pk).update(action="accept_audit_break", details=forged)
    assert not audit.head_agrees()
    assert 6 in findings()
    add()
    assert not audit.head_agrees()


@pytest.mark.parametrize("noted_number", [5, 3])
def test_a_log_rewritten_with_the_key_is_found_by_the_head_that_was_noted(log: Settings, noted_number: int) -> None:
    """Even when the present head names a record of the same number: it never takes the place of the noted one."""
    noted = f"{noted_number}:{AuditRecord.objects.get(number=noted_number).mac}"
    key = workspace.keys().audit
    chained_again(key, lambda row: setattr(row, "user", "somebody"))
    audit._write_head(audit._last_end())
    assert findings() == []
    assert [finding.number for finding in audit.verify(noted).findings] == [noted_number]


def test_a_noted_record_in_an_accepted_gap_is_still_missing(
    log: Settings, add: Callable[..., None], django_capture_on_commit_callbacks
) -> None:
    noted = f"4:{AuditRecord.objects.get(number=4).mac}"
    cut(2)
    with django_capture_on_commit_callbacks(execute=True):
        audit.accept_breaks("Backup restored")
    assert [finding.what for finding in audit.verify(noted).findings] == [
        "record 4, which was written, is not in the log"
    ]


def test_a_log_wiped_with_its_head_is_found_by_the_work_that_is_left(reviewed: Settings, add: Callable) -> None:
    add()
    AuditRecord.objects.all().delete()
    (reviewed.folder("triage") / HEAD).unlink()
    assert (set(findings()), audit.head_agrees()) == ({0}, False)  # no flag is listed any more
    add(3)
    assert (set(findings()), audit.head_agrees()) == ({0, 1}, False)
    assert "the log was empty and without a head, while the database held work" in whats()


def test_a_crash_before_the_first_head_is_no_break(house: Settings, add: Callable[..., None]) -> None:
    audit.record(None, "view")  # its head is not written
    add(2)
    assert (findings(), audit.head_agrees()) == ([], True)


def test_what_is_rolled_back_leaves_no_record(log: Settings) -> None:
    with transaction.atomic():
        audit.record(None, "claim", "F-1")
        transaction.set_rollback(True)
    assert AuditRecord.objects.count() == 5


def test_fractions_are_kept_the_same_by_every_database(log: Settings) -> None:
    row = audit.record(None, "view", p_value=0.1 + 0.2, large=1e22, nested={"values": [1.5, 2, "é"]})
    row.refresh_from_db()
    assert row.details == {"p_value": "0.30000000000000004", "large": "1e+22", "nested": {"values": ["1.5", 2, "é"]}}
    assert findings() == []


WRITER = """
import sys
import django
django.setup()
from django.db import transaction
from payeewatch.triage.records import audit
from payeewatch.triage.models import User
ways = {
    "alone": lambda: audit.record(None, "view"),
    "before": lambda: (audit.record(None, "change"), User.objects.select_for_update().get()),
    "after": lambda: (User.objects.select_for_update().get(), audit.record(None, "change")),
}
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with transaction.atomic():
        audit.take_turn()
        ways[sys.argv[1]]()
"""


CUT = """
import django
django.setup()
from payeewatch.triage.models import AuditRecord
AuditRecord.objects.filter(number__gt=1).delete()
"""


def test_writers_at_once_leave_no_gap_and_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Processes of their own, some of which lock a row before they write the log and some after.

    When the log was cut off before, they name the break once.
    """
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    named = {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    environ = os.environ | named | {"DJANGO_SETTINGS_MODULE": "payeewatch.triage.settings"}
    payeewatch = [sys.executable, "-m", "payeewatch"]
    add_user = [*payeewatch, "triage-user", "somebody", "--role", "auditor"]
    subprocess.run(add_user, env=environ, check=True, capture_output=True)

    def after_writing(*ways: str) -> tuple[int, dict[str, Any], int]:
        """Exit code and answer of a check after 20 records of each, and the number that the head names."""
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, way],
                env=environ,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for way in ways
        ]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.wait(120) for writer in writers] == [0] * len(ways)
        verify = [*payeewatch, "audit", "verify", "--json"]
        checked = subprocess.run(verify, env=environ, check=False, capture_output=True)
        number = json.loads((home.path / "triage" / HEAD).read_text())["number"]
        return checked.returncode, json.loads(checked.stdout), number

    code, answer, head_number = after_writing("alone", "before", "after", "before", "after")
    assert (code, answer["records"], head_number) == (0, 101, 101)
    subprocess.run([sys.executable, "-c", CUT], env=environ, check=True)
    code, answer, head_number = after_writing("alone", "before")
    assert (code, head_number) == (16, 101 + 1 + 40)
    assert answer["message"].startswith("1 findings in 142 records: record 102: the log was broken behind record 1")


def test_an_auditor_finds_records_by_user_action_flag_and_day(log: Settings, clocked: Clock) -> None:
    auditor = user(Role.AUDITOR)
    clocked.at += timedelta(days=1)
    audit.record(auditor, "claim", "F-2")
    client = signed_in(auditor)

    def numbers(query: str) -> list[int]:
        return [row.number for row in client.get(f"/audit?{query}").context["rows"]]

    assert numbers("flag=F-2") == [6, 2]
    assert numbers("action=view") == [5, 4, 3, 2, 1]
    assert numbers("day=2024-09-26") == [5, 4, 3, 2, 1]
    assert numbers("user=auditor&action=claim") == [6]
    assert numbers("before=3") == [2, 1]
    assert numbers("day=never")[-1] == 1
    assert AuditRecord.objects.filter(action="read_audit_log").count() == 6


def test_a_long_log_comes_in_pages(house: Settings, settings) -> None:
    for number in range(120):
        audit.record(None, "view", f"F-{number}")
    page = signed_in(user(Role.AUDITOR)).get("/audit?action=view")
    assert len(page.context["rows"]) == 100
    assert page.context["older"] == "?action=view&before=21"


def test_an_auditor_checks_the_chain(log: Settings) -> None:
    client = signed_in(user(Role.AUDITOR))
    assert "as they were written" in client.post("/audit/check").text
    AuditRecord.objects.filter(number=3).update(user="somebody")
    assert "not as it was written" in client.post("/audit/check").text
    assert AuditRecord.objects.latest("number").details["findings"] == 1


def test_a_long_chain_is_checked_a_part_a_request(log: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PART", 2)
    AuditRecord.objects.filter(number=2).update(user="somebody")
    client, so_far, walked = signed_in(user(Role.AUDITOR)), "", []
    while not walked or not walked[-1].is_whole:
        context = client.post("/audit/check", {"so_far": so_far}).context
        walked.append(context["checked"])
        so_far = context.get("so_far", "")
    assert [part.records for part in walked] == [2, 4, 6, 6]  # the sign-in is the sixth
    assert [finding.number for finding in walked[-1].findings] == [2]
    assert "findings: 1" in client.get("/audit").text


def test_where_a_check_is_cannot_be_made_up(log: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PART", 2)
    client = signed_in(user(Role.AUDITOR))
    assert client.post("/audit/check", {"so_far": "5:abc"}).context["checked"].records == 2


def test_the_page_says_when_the_end_is_not_in_place(house: Settings, add: Callable[..., None]) -> None:
    auditor = user(Role.AUDITOR)
    client = signed_in(auditor)
    add(5)
    assert client.get("/audit").context["state"]["is_whole"]
    cut(2)
    assert not client.get("/audit").context["state"]["is_whole"]
