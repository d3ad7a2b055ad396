"""Notices of a night and of holds, to a webhook or by mail: off until an address is set; counts and a link only.

This is the only place of PayeeWatch that calls another host. A notice waits in the database until it is delivered. A
failed delivery is tried again, with a longer wait each time, and given up after `MAX_TRIES`.
"""

from __future__ import annotations

import hmac
import json
import smtplib
import time
from collections.abc import Callable, Collection, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Count, F, QuerySet, Sum
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.runs import looks
from payeewatch.triage import clock
from payeewatch.triage.exchange.ending_soon import holds_ending, suppressions_ending
from payeewatch.triage.exchange.night_state import night_state
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Flag, Hold, Night, Notice

Channel = Notice.Channel
MAX_TRIES = 12
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
TIMEOUT_SECONDS = 10
NIGHTS_WITH_LOOKS, LOOKS_WITHIN = 7, timedelta(days=1)
"""Warnings are told of at most so many nights, imported within this time: not of a history that is imported at once."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
RENEWED, ENDED = Notice.Kind.HOLDS_RENEWED, Notice.Kind.HOLDS_ENDED
"""The kinds of notices. Holds are renewed while a fraud waits for approval, and end if nobody approves it in time."""
HOLDS_ENDING, SUPPRESSIONS_ENDING = Notice.Kind.HOLDS_ENDING, Notice.Kind.SUPPRESSIONS_ENDING
"""Sent once a day, before they end."""


class NotDelivered(Exception):
    """The receiver answered with an error."""


def channels() -> list[Channel]:
    """Where notices go.

    Raises:
        SettingsError: an address that is not https, or no secret to sign with.
    """
    if settings.WEBHOOK_URL:
        url = urlsplit(settings.WEBHOOK_URL)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
            raise SettingsError("PAYEEWATCH_WEBHOOK_URL must begin with https:// (http:// on this machine alone)")
        if not settings.WEBHOOK_SECRET_FILE or not Path(settings.WEBHOOK_SECRET_FILE).is_file():
            raise SettingsError("PAYEEWATCH_WEBHOOK_SECRET_FILE must name a file with the secret that signs notices")
    return _channels_set()


def _channels_set() -> list[Channel]:
    return [Channel.WEBHOOK] * bool(settings.WEBHOOK_URL) + [Channel.MAIL] * bool(settings.MAIL_TO)


def announce() -> None:
    """Queue notices once per channel: of the last night, and of each that warns, failed, is late or is not imported."""
    for channel in channels():
        for kind, night, body in _due_notices():
            if not Notice.objects.filter(channel=channel, kind=kind, night=night).exists():
                now = clock.now()
                Notice.objects.create(
                    channel=channel, kind=kind, night=night, body=body(), made_at=now, next_try_at=now
                )


def _due_notices() -> Iterator[tuple[Notice.Kind, date, Callable[[], dict[str, Any]]]]:
    """Kind, night and body of what people must know now. A night that failed is not told as late as well."""
    if last := Night.objects.order_by("-night").first():
        yield Notice.Kind.NIGHT, last.night, partial(digest, last)
    just_imported = Night.objects.filter(published_at__gte=clock.now() - LOOKS_WITHIN).order_by("-night")
    for night, run in just_imported.values_list("night", "run")[:NIGHTS_WITH_LOOKS]:
        if found := looks(run):
            yield Notice.Kind.LOOKS, night, partial(_trouble, Notice.Kind.LOOKS, night, looks=found)
    state = night_state()
    for night, code in state.failed.items():
        yield Notice.Kind.FAILED, night, partial(_trouble, Notice.Kind.FAILED, night, exit_code=code)
    for night in state.late[-1:]:  # each has its day as the latest
        if night not in state.failed:
            yield Notice.Kind.LATE, night, partial(_trouble, Notice.Kind.LATE, night)
    for night, error in state.not_imported.items():
        yield Notice.Kind.NOT_IMPORTED, night, partial(_trouble, Notice.Kind.NOT_IMPORTED, night, error=error)
    if (holds := holds_ending()).exists():
        yield HOLDS_ENDING, clock.today(), partial(_of_holds_ending, holds)
    if (paused := suppressions_ending()).exists():
        yield SUPPRESSIONS_ENDING, clock.today(), partial(_of_suppressions_ending, paused)


def _trouble(kind: Notice.Kind, night: date, **facts: Any) -> dict[str, Any]:
    return {"kind": str(kind), "night": str(night), **facts, "link": f"{settings.ADDRESS}/" if settings.ADDRESS else ""}


def _of_holds_ending(holds: QuerySet[Hold]) -> dict[str, Any]:
    counts = holds.aggregate(flags=Count("flag", distinct=True), holds=Count("pk"), amount=Sum("amount"))
    return _of_day(HOLDS_ENDING, "holds_ending", **counts | {"amount": f"{counts['amount'] or 0:.2f}"})


def _of_suppressions_ending(flags: QuerySet[Flag]) -> dict[str, Any]:
    return _of_day(SUPPRESSIONS_ENDING, "suppression_ends", flags=flags.count())


def _of_day(kind: Notice.Kind, list_name: str, **facts: Any) -> dict[str, Any]:
    link = f"{settings.ADDRESS}/?of={list_name}" if settings.ADDRESS else ""
    return {"kind": str(kind), "day": str(clock.today()), **facts, "link": link}


def tell_of_holds(kind: str, holds: Collection[Hold]) -> None:
    """Queue a notice of holds of one flag, once per channel; one of the same day that waits tells of them too.

    Call it in the transaction that changes the holds, so that neither is without the other.
    """
    now, day = clock.now(), clock.today()
    amount = sum((hold.amount for hold in holds if hold.amount), Decimal(0))
    for channel in _channels_set():
        notices = Notice.objects.select_for_update().filter(channel=channel, kind=kind, night=day, tries=0)
        notice = notices.first() or Notice(channel=channel, kind=kind, night=day, made_at=now, next_try_at=now)
        earlier = notice.body or {"flags": 0, "holds": 0, "amount": "0"}
        notice.body = {
            "kind": kind,
            "day": str(day),
            "flags": earlier["flags"] + 1,
            "holds": earlier["holds"] + len(holds),
            "amount": str(Decimal(earlier["amount"]) + amount),
            "link": _link(),
        }
        notice.save()


def _link() -> str:
    return f"{settings.ADDRESS}/" if settings.ADDRESS else ""


def digest(night: Night) -> dict[str, Any]:
    """A night in counts, and where to look."""
    flags = Flag.objects.filter(night=night, is_current=True, origin=Flag.Origin.NIGHT)
    by_queue = dict(flags.values_list("queue").annotate(Count("pk")).order_by())
    return {
        "kind": str(Notice.Kind.NIGHT),
        "night": str(night.night),
        "published_at": night.published_at.isoformat(),
        "queues": {queue: by_queue.get(queue, 0) for queue in Flag.Queue.values},
        "new": flags.filter(first_flagged_on=night.night).count(),
        "amount_at_risk": str(flags.aggregate(euros=Sum("amount_at_risk"))["euros"] or 0),
        "link": _link(),
    }


def deliver() -> None:
    """Send what is due. One that fails waits twice as long as before."""
    now = clock.now()
    for notice in Notice.objects.filter(delivered_at=None, next_try_at__lte=now, tries__lt=MAX_TRIES).order_by("pk"):
        wait = min(FIRST_WAIT * 2**notice.tries, LONGEST_WAIT)
        same_try = Notice.objects.filter(pk=notice.pk, tries=notice.tries, delivered_at=None)
        if not same_try.update(tries=F("tries") + 1, next_try_at=now + wait):
            continue  # another process sends it
        row = Notice.objects.filter(pk=notice.pk)
        notice = row.get()  # until now, more could be added to it
        if not notice.is_genuine:
            continue  # it was put in or changed in the database: nobody signs it
        try:
            SEND[notice.channel](notice.body)
        except (NotDelivered, requests.RequestException, smtplib.SMTPException, OSError) as error:
            row.update(last_error=str(error) if isinstance(error, NotDelivered) else type(error).__name__)
        else:
            row.update(delivered_at=clock.now(), last_error="")


def sign(secret: bytes, at: int, body: bytes) -> str:
    """The header that lets the receiver check who sent a body, and when: `t=<unix seconds>,v1=<hex>`."""
    return f"t={at},v1={hmac.digest(secret, f'{at}.'.encode() + body, 'sha256').hex()}"


def _post(body: dict[str, Any]) -> None:
    secret = Path(settings.WEBHOOK_SECRET_FILE).read_bytes().strip()
    raw = json.dumps(body, sort_keys=True).encode()
    headers = {"Content-Type": "application/json", "PayeeWatch-Signature": sign(secret, int(time.time()), raw)}
    answer = requests.post(
        settings.WEBHOOK_URL, raw, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
    )
    answer.close()  # its body is not read
    if not 200 <= answer.status_code < 300:
        raise NotDelivered(f"HTTP {answer.status_code}")


def _mail(body: dict[str, Any]) -> None:
    kind = Notice.Kind(body["kind"])
    if kind is Notice.Kind.NIGHT:
        subject, lines = _of_night(body)
    elif kind in SUBJECTS:
        subject, lines = _of_holds(body)
    else:
        sentence = phrases.night_trouble(kind, body)
        subject, lines = f"PayeeWatch: {sentence}", [sentence, *map(_of_look, body.get("looks", ()))]
    send_mail(subject, "\n".join([*lines, body["link"]]), None, settings.MAIL_TO)


def _of_holds(body: dict[str, Any]) -> tuple[str, list[str]]:
    """Subject and lines of a mail about holds or suppressions."""
    is_to_approve = body["kind"] in (RENEWED, ENDED)
    flags = say("Flags to approve: %(many)s") if is_to_approve else say("Flags: %(many)s")
    lines = [say("Day: %(day)s") % {"day": body["day"]}, flags % {"many": body["flags"]}]
    if "holds" in body:
        lines.append(say("Holds: %(many)s") % {"many": body["holds"]})
        lines.append(say("Planned payments: %(amount)s") % {"amount": phrases.euros(Decimal(body["amount"]))})
    return str(SUBJECTS[body["kind"]]), lines


def _of_look(look: dict[str, str]) -> str:
    """A line of a mail: the kind of a warning, and what it is about."""
    return f"{look['kind']}: {', '.join(text for name, text in look.items() if name != 'kind')}".removesuffix(": ")


def _of_night(body: dict[str, Any]) -> tuple[str, list[str]]:
    """Subject and lines of a mail about a night."""
    queues = {str(Flag.Queue(queue).label): many for queue, many in body["queues"].items()}
    return say("PayeeWatch: the night of %(night)s") % {"night": body["night"]}, [
        *(f"{label}{say(': ')}{many}" for label, many in queues.items()),
        say("New: %(many)s") % {"many": body["new"]},
        say("At risk: %(amount)s") % {"amount": phrases.euros(Decimal(body["amount_at_risk"]))},
    ]


SUBJECTS = {
    RENEWED: _("PayeeWatch: holds renewed, because a fraud waits for approval"),
    ENDED: _("PayeeWatch: holds ENDED while a fraud waits for approval"),
    HOLDS_ENDING: _("PayeeWatch: holds end by the next business day"),
    SUPPRESSIONS_ENDING: _("PayeeWatch: suppressed flags come back into work soon"),
}
"""What a mail about holds or suppressions is about."""
SEND: dict[str, Callable[[dict[str, Any]], None]] = {Channel.WEBHOOK: _post, Channel.MAIL: _mail}
