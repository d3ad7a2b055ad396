"""Notices of a night, to a real HTTP server and a real SMTP server on this machine."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.runs import write_failure
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.night_state import note_not_imported
from payeewatch.triage.exchange.notices import MAX_TRIES, RENEWED, announce, channels, deliver, sign, tell_of_holds
from payeewatch.triage.models import Flag, Hold, Night, Notice
from payeewatch.triage.records import damage
from payeewatch.triage.roles import Role
from payeewatch.triage.seals import name_of
from payeewatch.triage.server.housekeeping import tidy
from tests.triage.conftest import MORNING, Clock, do, flag_of, user

SECRET = b"a secret of the receiver's"


@dataclass
class Receiver:
    """What arrived, and what is answered next."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def webhook(settings: Any, tmp_path: Path) -> Iterator[Receiver]:
    """A receiver of webhooks; it answers 200 unless `answers` says otherwise."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.headers["PayeeWatch-Signature"], body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *anything: object) -> None:
            pass

    secret = tmp_path / "webhook-secret"
    secret.write_bytes(SECRET + b"\n")
    settings.WEBHOOK_SECRET_FILE = str(secret)
    settings.ADDRESS = "https://triage.example"
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as receiver.port:
        settings.WEBHOOK_URL = f"http://127.0.0.1:{receiver.port}/hooks"
        yield receiver


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Receiver]:
    """A mail server that takes one message per connection."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say(receiver.answers.pop(0) if receiver.answers else 220)
            envelope, message = "", b""
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.say(354)
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        message += line
                    receiver.got.append((envelope, message))
                envelope += line.decode() if word in (b"MAIL", b"RCPT") else ""
                self.say(221 if word == b"QUIT" else 250)

        def say(self, code: int) -> None:
            self.wfile.write(f"{code} here\r\n".encode())

    with running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as receiver.port:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", receiver.port
        settings.MAIL_TO = ["desk@insurer.example"]
        yield receiver


def test_nothing_is_sent_unless_an_address_is_set(reviewed: Settings) -> None:
    announce()
    assert not Notice.objects.exists()


def test_the_last_night_is_told_once_in_counts_and_a_link(reviewed: Settings, webhook: Receiver) -> None:
    for _ in range(2):
        announce()
        deliver()
    ((header, raw),) = webhook.got
    at = int(header.split(",")[0].removeprefix("t="))
    assert header == sign(SECRET, at, raw)
    assert abs(at - time.time()) < 60
    notice_body, last = json.loads(raw), Night.objects.latest("night")
    assert notice_body["night"] == str(last.night)
    assert sum(notice_body["queues"].values()) == Flag.objects.filter(is_current=True, night=last).count()
    assert notice_body["link"] == "https://triage.example/"
    for flag in Flag.objects.all():
        assert not [
            each for each in (flag.pk, flag.member_id, flag.payee_id, flag.account) if each and each in str(notice_body)
        ]


@pytest.mark.parametrize("failure", [500, 404, 302])
def test_what_failed_is_tried_again_later_each_time(
    reviewed: Settings, webhook: Receiver, clocked: Clock, failure: int
) -> None:
    webhook.answers = [failure, failure]
    announce()
    deliver()
    deliver()  # not due yet
    assert len(webhook.got) == 1
    assert Notice.objects.get().last_error == f"HTTP {failure}"
    clocked.at += timedelta(minutes=1)
    deliver()
    clocked.at += timedelta(minutes=1)
    deliver()  # the second wait is twice the first
    assert len(webhook.got) == 2
    clocked.at += timedelta(minutes=1)
    deliver()
    notice = Notice.objects.get()
    assert (len(webhook.got), notice.tries, notice.last_error) == (3, 3, "")
    assert notice.delivered_at == clocked.at


def test_a_receiver_that_is_not_there_is_given_up_after_a_while(
    reviewed: Settings, webhook: Receiver, clocked: Clock, settings: Any
) -> None:
    settings.WEBHOOK_URL = "http://127.0.0.1:1/"
    announce()
    for _ in range(MAX_TRIES + 3):
        deliver()
        clocked.at += timedelta(hours=6)
    notice = Notice.objects.get()
    assert (notice.tries, notice.delivered_at, notice.last_error) == (MAX_TRIES, None, "ConnectionError")


def test_a_mail_says_the_same_and_is_tried_again(reviewed: Settings, mailbox: Receiver, clocked: Clock) -> None:
    mailbox.answers = [421]
    announce()
    deliver()
    assert (mailbox.got, Notice.objects.get().tries) == ([], 1)
    clocked.at += timedelta(minutes=1)
    deliver()
    ((envelope, message),) = mailbox.got
    assert "desk@insurer.example" in envelope
    assert f"Subject: PayeeWatch: the night of {Night.objects.latest('night').night}" in message.decode()
    assert Notice.objects.get().delivered_at


@pytest.mark.parametrize("url", ["http://elsewhere.example/", "ftp://elsewhere.example/"])
def test_a_notice_never_leaves_in_the_clear(settings: Any, webhook: Receiver, url: str) -> None:
    settings.WEBHOOK_URL = url
    with pytest.raises(SettingsError, match="https"):
        channels()


def test_a_webhook_is_never_unsigned(settings: Any, webhook: Receiver) -> None:
    settings.WEBHOOK_SECRET_FILE = ""
    with pytest.raises(SettingsError, match="SECRET_FILE"):
        channels()


def held_while_a_fraud_waits(*members: str) -> None:
    reviewer = user(Role.REVIEWER)
    for member in members:
        flag = flag_of(member)
        do(reviewer, flag, "hold", confirm=True)
        flag.holds.create(
            payment_id="Y1", amount=40, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id,
            hold_until=flag.holds.get().hold_until, state="held", at=MORNING,
        )  # fmt: skip
        do(reviewer, flag, "confirmed_fraud", reason="F02", evidence_kind="bank_check")


def test_holds_of_proposed_frauds_are_told_of_when_they_are_renewed_and_when_they_end(
    house: Settings, webhook: Receiver, clocked: Clock
) -> None:
    held_while_a_fraud_waits("00001234", "00005678")
    kinds = []
    for days in (7, 7, 7, 1, 1):
        clocked.at += timedelta(days=days)
        tidy()
        tidy()
        deliver()
        bodies = [json.loads(body) for _, body in webhook.got[len(kinds) :]]
        kinds += [body["kind"] for body in bodies]
        for body in bodies:
            assert (body["flags"], body["holds"], body["amount"]) == (2, 4, "80.00")
            assert "F-" not in str(body)  # counts and a link alone
    assert kinds == ["holds_renewed", "holds_renewed", "holds_ended"]


def test_a_notice_that_was_sent_is_not_added_to(house: Settings, webhook: Receiver, clocked: Clock) -> None:
    held_while_a_fraud_waits("00001234")
    clocked.at += timedelta(days=7)
    tidy()
    deliver()
    tell_of_holds(RENEWED, Hold.objects.filter(payment_id="Y1"))
    deliver()
    assert [json.loads(body)["holds"] for _, body in webhook.got] == [2, 1]


def test_a_notice_that_was_put_in_is_not_sent(house: Settings, webhook: Receiver, clocked: Clock) -> None:
    row = Notice(channel="webhook", kind=RENEWED, night=MORNING.date(), body={"flags": 9})
    row.made_at = row.next_try_at = clocked.at
    Notice._base_manager.bulk_create([row])
    deliver()
    assert webhook.got == []
    assert [each.name for each in damage.that_counts()] == [name_of(row)]


def test_a_mail_says_that_holds_ended(house: Settings, settings: Any, clocked: Clock, mailoutbox: list[Any]) -> None:
    settings.MAIL_TO = ["office@example.org"]
    held_while_a_fraud_waits("00001234")
    clocked.at += timedelta(days=60)
    tidy()
    deliver()
    assert [("ENDED" in mail.subject, "Holds: 2" in mail.body or "Holds: 4" in mail.body) for mail in mailoutbox] == [
        (False, True), (True, True),
    ]  # fmt: skip


def test_holds_are_renewed_though_the_address_of_notices_cannot_be_used(
    house: Settings, settings: Any, clocked: Clock
) -> None:
    settings.WEBHOOK_URL = "http://example.org/without-secret"
    held_while_a_fraud_waits("00001234")
    clocked.at += timedelta(days=7)
    assert tidy().holds_renewed == 1


def test_failed_and_late_nights_are_told_once_each_and_the_night_itself_still_comes(
    reviewed: Settings, webhook: Receiver, clocked: Clock
) -> None:
    def told() -> list[tuple[str, str]]:
        announce()
        deliver()
        bodies = [json.loads(raw) for _, raw in webhook.got]
        webhook.got.clear()
        return [(body["kind"], body["night"]) for body in bodies]

    assert told() == [("night", "2024-09-25")]
    write_failure(reviewed, date(2024, 9, 26), {"exit_code": 12, "message": "of a person"})
    assert told() == [("failed_night", "2024-09-26")]
    clocked.at += timedelta(days=1)
    assert told() == []  # it is late too, and told already
    clocked.at += timedelta(days=1)
    assert told() == [("late_night", "2024-09-27")]
    note_not_imported({date(2024, 9, 25): "DataError"})
    assert told() == [("night_not_imported", "2024-09-25")]
    assert told() == []
    Night.objects.create(night=date(2024, 9, 26), digest="", published_at=clocked.at, run={})
    assert told() == [("night", "2024-09-26")]
    assert "person" not in str(list(Notice.objects.values("body")))


def test_a_mail_says_that_a_night_failed(reviewed: Settings, mailbox: Receiver) -> None:
    write_failure(reviewed, date(2024, 9, 26), {"exit_code": 17})
    Notice.objects.all().delete()
    announce()
    deliver()
    assert any("failed (exit 17)" in message.decode() for _, message in mailbox.got)


LOOKS = [
    {"code": "feed_null", "params": {"table": "claims", "column": "iban", "share": 0.5, "usually": 0.1}},
    {"code": "list_shrinks", "params": {"breach_id": "TPO-1", "rows": 4, "typical": 90}},
]


def night_that_warns(night: date, at: Any) -> Night:
    run = {"warnings": ["claims, column iban", "TPO-1"], "warning_codes": LOOKS}
    return Night.objects.create(night=night, digest="", published_at=at, run=run)


def test_a_night_with_warnings_is_told_once_by_webhook(house: Settings, webhook: Receiver, clocked: Clock) -> None:
    night_that_warns(date(2024, 9, 26), clocked.at)
    for _ in range(2):
        announce()
        deliver()
    (body,) = [json.loads(raw) for _, raw in webhook.got if b"night_looks" in raw]
    assert body == {
        "kind": "night_looks",
        "night": "2024-09-26",
        "looks": [
            {"kind": "feed_null", "table": "claims", "column": "iban"},
            {"kind": "list_shrinks", "breach_id": "TPO-1"},
        ],
        "link": "https://triage.example/",
    }


def test_a_mail_names_the_tables_columns_and_lists_that_a_night_warns_of(
    house: Settings, mailbox: Receiver, clocked: Clock
) -> None:
    night_that_warns(date(2024, 9, 26), clocked.at)
    announce()
    deliver()
    mail = next(text for _, raw in mailbox.got if "to look at: 2" in (text := raw.decode()))
    assert "feed_null: claims, iban" in mail
    assert "list_shrinks: TPO-1" in mail


def test_the_warnings_of_a_history_imported_at_once_are_not_all_told(
    house: Settings, webhook: Receiver, clocked: Clock
) -> None:
    for day in range(1, 20):
        night_that_warns(date(2024, 9, day), clocked.at)
    night_that_warns(date(2024, 9, 20), clocked.at - timedelta(days=2))
    announce()
    told = Notice.objects.filter(kind=Notice.Kind.LOOKS).order_by("night").values_list("night", flat=True)
    assert list(told) == [date(2024, 9, day) for day in range(13, 20)]
