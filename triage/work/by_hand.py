"""Open a case by hand: for a change that no night flagged, such as when a member telephones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from django.db import transaction

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.triage import clock
from payeewatch.triage.exchange.import_by_hand import send
from payeewatch.triage.models import CaseRequest, Flag, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.work.search import ScoredChange, scored_change
from payeewatch.triage.work.workflow import perform
from payeewatch.triage.workspace import keys

State = CaseRequest.State


class NotFound(Exception):
    """Nothing that this user may see has this number."""


@dataclass(frozen=True)
class Openable:
    """What a user may open a case about: `scored` as the last night that had it scored it; `flag` if it is flagged
    already; `request` if the user asked for it already and waits."""

    change_id: str
    scored: ScoredChange | None = None
    flag: Flag | None = None
    request: CaseRequest | None = None


def openable(user: User, change_id: str) -> Openable:
    """What there is about a change. About the user's own household there is nothing, as for an unknown number.

    Raises:
        NotFound: no published night has the change, or it is about the user's own household.
    """
    change_id = change_id.strip()
    flag = Flag.objects.filter(change_id=change_id).order_by("-night_id").first() if change_id else None
    if flag:
        if is_own_household(flag, user):
            raise NotFound
        return Openable(change_id, flag=flag)
    scored = scored_change(user, change_id) if change_id else None
    if scored is None:
        raise NotFound
    request = CaseRequest.objects.filter(change_id=change_id, by=user, state=State.WAITING).first()
    return Openable(change_id, scored=scored, request=request)


def ask(user: User, change_id: str, reason: str) -> Flag | CaseRequest:
    """Ask for a case; the reason becomes a note. Returns the flag if the change is flagged already.

    Two users who ask for the same change at once get the same flag; one who asks twice has one request.

    Raises:
        NotFound: as `openable`.
    """
    with transaction.atomic():
        audit.take_turn()
        found = openable(user, change_id)
        if found.flag:
            perform("note", user, found.flag.pk, uuid4(), found.flag.version, {"text": reason})
            return found.flag
        if found.request:
            return found.request
        assert found.scored
        request = CaseRequest.objects.create(
            change_id=change_id.strip(),
            member_id=found.scored.member_id,
            household_id=found.scored.household_id,
            payee_id=found.scored.payee_id,
            by=user,
            at=clock.now(),
            reason=reason,
        )
        token = tombstone_of(keys(), "change", request.change_id)
        audit.record(user, "ask_for_case", request=request.pk, changes=[token])
    with suppress(StoreError):  # housekeeping sends it again, and its log names the folder
        send(request)
    return request


def request_of(user: User, pk: int) -> CaseRequest:
    """A request, for those who may look at it.

    Raises:
        NotFound: there is none, or it is about the user's own household.
    """
    request = CaseRequest.objects.select_related("flag", "by").filter(pk=pk).first()
    if request is None or is_own_household(request, user) or (request.flag and is_own_household(request.flag, user)):
        raise NotFound
    return request
