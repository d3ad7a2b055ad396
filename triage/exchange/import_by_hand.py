"""Import the pipeline's answers to cases by hand: each becomes one flag, with the reasons of those who asked as notes.

An answer is taken once its request is gone, because the pipeline takes a request away last. Nothing is lost: a request
without an answer, or with a damaged one, is written again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import transaction

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Request
from payeewatch.pipeline.home.errors import place
from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.triage import clock
from payeewatch.triage.exchange.import_night import add_by_hand
from payeewatch.triage.models import CaseRequest, Flag, Night, Note
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import home, keys

LOG = logging.getLogger("payeewatch")
MOST_TRIES = 3
"""So often an answer may be damaged before the request is given up."""
PSEUDONYM_DIGITS = 12
MOMENT = timedelta(minutes=2)
State = CaseRequest.State
Row = Mapping[str, Any]


def send(request: CaseRequest) -> None:
    """Write the file that asks the pipeline for evidence; it names the user by a pseudonym."""
    by = tombstone_of(keys(), "user", request.by.username)[:PSEUDONYM_DIGITS]
    by_hand.write_request(home(), keys(), Request(request.change_id, by, request.at))


def is_fresh() -> bool:
    """Whether somebody asked a moment ago, and waits."""
    return CaseRequest.objects.filter(state=State.WAITING, at__gt=clock.now() - MOMENT).exists()


def import_answers() -> list[str]:
    """Import what is answered. Returns the ids of the flags; one that cannot be imported stops nothing else.

    Nothing is imported while a purge rewrites the home: the next call does it.
    """
    waiting = CaseRequest.objects.filter(state=State.WAITING).order_by("change_id")
    change_ids = list(waiting.values_list("change_id", flat=True).distinct())
    if not change_ids:
        return []
    with exclusive_lock(home(), wait=False) as is_free:
        opened = [_import_one(change_id) for change_id in change_ids] if is_free else []
    return [flag_id for flag_id in opened if flag_id]


def _import_one(change_id: str) -> str:
    try:
        return _settle(change_id)
    except Exception as error:  # its text may quote a row
        LOG.error("%s", json.dumps({"stage": "import_by_hand", "error": place(error)}))
        return ""


@transaction.atomic
def _settle(change_id: str) -> str:
    """Open the flag, or refuse, or ask again. Returns the id of the flag, if there is one now."""
    audit.take_turn()
    requests = _waiting_for(change_id)
    name = by_hand.name_of(keys(), change_id)
    if not requests or by_hand.request_path(home(), name).exists():
        return ""
    refusal = by_hand.read_refusal(by_hand.refusal_path(home(), name))
    if refusal:
        return _refuse(requests, str(refusal))
    path = by_hand.answer_path(home(), name)
    if not path.exists():
        return _ask_again(requests)
    try:
        (row,) = pq.read_table(path).to_pylist()
    except (OSError, ValueError, pa.ArrowException):
        return _refuse(requests, CaseRequest.Why.DAMAGED) if _is_last_try(requests) else _ask_again(requests)
    return _open(requests, row)


def _waiting_for(change_id: str) -> list[CaseRequest]:
    rows = CaseRequest.objects.select_for_update(of=("self",)).select_related("by")
    waiting = rows.filter(change_id=change_id, state=State.WAITING).order_by("pk")
    return [each for each in waiting if each.is_genuine]  # nobody asked for the others


def _is_last_try(requests: list[CaseRequest]) -> bool:
    for each in requests:
        each.tries += 1
        each.save(update_fields=["tries"])
    return max(each.tries for each in requests) >= MOST_TRIES


def _ask_again(requests: list[CaseRequest]) -> str:
    send(requests[0])
    return ""


def _refuse(requests: list[CaseRequest], why: str) -> str:
    for each in requests:
        each.state, each.why = State.REFUSED, why
        each.save(update_fields=["state", "why"])
        audit.record(None, "refuse_case", request=each.pk, why=why)
    return ""


def _open(requests: list[CaseRequest], row: Row) -> str:
    """The flag of an answer: a new one, or the one that is there already. The night it was frozen as comes first."""
    flag, is_new = Flag.objects.select_for_update().filter(pk=row["flag_id"]).first(), False
    if flag is None:
        night = Night.objects.filter(night=row["night"]).first()
        if night is None:
            return ""  # it will be imported: housekeeping does nights first
        flag = add_by_hand(row, night)
        is_new = True
    for each in requests:
        Note.objects.create(flag=flag, by=each.by, at=each.at, text=each.reason)
        each.state, each.flag, each.reason = State.OPENED, flag, ""  # what was written is a note now
        each.save(update_fields=["state", "flag", "reason"])
    if is_new:
        asked = [each.pk for each in requests]
        audit.record(requests[0].by, "open_by_hand", flag.flag_id, night=str(row["night"]), requests=asked)
    return flag.flag_id
