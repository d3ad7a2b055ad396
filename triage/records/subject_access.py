"""What the reviewers' application stores about one person, and the record of a person's request."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as say
from django.utils.translation import gettext_noop as later

from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.wording import sentence
from payeewatch.triage.models import AuditRecord, CaseRequest, Decision, Flag
from payeewatch.triage.records import audit
from payeewatch.triage.records.explanation import put_on_the_list
from payeewatch.triage.records.times_held import Became, TimeHeld, times_held
from payeewatch.triage.workspace import home, keys

Section = dict[str, Any]


def stored_sections(ids: Mapping[str, Collection[str]], *, originals: bool = False) -> list[Section]:
    """The sections of an export: the person's flags, the decisions about them, and who looked, by role and not by name.

    The vault is opened only for `originals`.
    """
    flags = list(
        _flags(ids).prefetch_related(
            "decisions__by", "decisions__approver", "notes", "holds", "attachments", "misleading_reasons"
        )
    )
    retention = home().params.retention
    kept_for = sentence("kept_flags", qualify=retention.qualify_days, closed=retention.closed_days)
    held = times_held(flags)
    payments = set(ids["payment"]) - {each.payment_id for each in held}
    of_others = Flag.objects.filter(holds__payment_id__in=payments).exclude(
        Q(pk__in=[flag.pk for flag in flags]) | Q(payee_type="provider")
    )
    others_times = times_held(of_others.distinct().order_by("pk").prefetch_related("holds"))
    readings = AuditRecord.objects.filter(flag_id__in={*ids["flag"], *(flag.pk for flag in flags)}).order_by("number")
    sections = [
        _as_section(later("Flags under review"), later("Where work on each flag stands."), kept_for, map(_flag, flags)),
        _as_section(
            later("Decisions"),
            later("What people decided, and in which role."),
            kept_for,
            (_decision(each) for flag in flags for each in flag.decisions.all()),
        ),
        _as_section(
            later("Notes"),
            later("What reviewers wrote down."),
            kept_for,
            [
                *(
                    {later("At"): note.at, later("Text"): note.text}
                    for flag in flags
                    for note in (*flag.notes.all(), *flag.misleading_reasons.exclude(text=""))
                ),
                *({later("At"): each.at, later("Text"): each.reason} for each in _requests(ids)),
            ],
        ),
        _as_section(
            later("Files"),
            later("Kept with a flag."),
            kept_for,
            (
                {later("Name"): each.name, later("Size"): each.size, later("At"): each.at}
                for flag in flags
                for each in flag.attachments.all()
            ),
        ),
        _as_section(
            later("Payments held"),
            later("Kept back until a person decides or the hold ends, also because of a relative's change."),
            kept_for,
            map(_hold, [*held, *(each for each in others_times if each.payment_id in payments)]),
        ),
        _as_section(
            later("Who looked"),
            later(
                "Every opening of a flag and everything done to it, also of a flag that was deleted since. Who read a "
                "list or an export of many flags is not told flag by flag."
            ),
            later("as long as the audit log, which names the flag and never the person"),
            (
                {
                    later("At"): row.at,
                    later("Role"): row.role or say("the system"),
                    later("What"): row.action,
                }
                for row in readings
            ),
        ),
    ]
    if originals:
        sections.append(
            _as_section(
                later("Originals"),
                later("Opened from the vault for this export; the audit log says so."),
                later("as long as the lake names the member, the account or the change"),
                _originals(ids),
                later("the vault: what the insurer's feed said, sealed"),
            )
        )
    return sections


def _as_section(
    title: str,
    what: str,
    kept_for: str,
    rows: Iterable[dict[str, Any]],
    source: str = later("the reviewers' application"),
) -> Section:
    return {
        "title": title,
        "what": what,
        "source": source,
        "kept": kept_for,
        "rows": list(rows),
    }


def _originals(ids: Mapping[str, Collection[str]]) -> Iterator[dict[str, Any]]:
    references = [("member", member) for member in ids["member"]]
    references += [(vault.BIRTH, member) for member in ids["member"]]
    references += [("holder", change) for change in ids["change"]]
    references += [("account", account) for account in ids.get("account", ())]
    for kind, ref in references:
        original = vault.reveal(keys(), home().folder("vault"), kind, ref)
        values = json.loads(original) if original and kind == "member" else {kind: original}
        for name, value in values.items():
            if value:  # an account is its own name: its token says nothing
                yield {later("Kind"): name, later("Of"): "" if kind == "account" else ref, later("Original"): value}


def record(right: str, ids: Mapping[str, Collection[str]], *, originals: bool) -> int:
    """Record that a person used a right. An objection escalates their open flags; returns how many."""
    (member_id,) = ids["member"]
    with transaction.atomic():
        escalated = 0
        if right == "objection":
            open_flags = _flags(ids).exclude(state__in=[Flag.State.CLOSED, Flag.State.EXPIRED])
            for flag in open_flags.select_for_update():
                flag.is_escalated, flag.version, escalated = True, flag.version + 1, escalated + 1
                flag.save(update_fields=["is_escalated", "version"])
        person = tombstone_of(keys(), "member", member_id)
        audit.record(None, f"right_of_{right}", person=person, with_originals=originals, escalated=escalated)
    return escalated


def _flags(ids: Mapping[str, Collection[str]]) -> Any:
    return Flag.objects.filter(
        Q(member_id__in=ids["member"]) | Q(change_id__in=ids["change"]) | Q(payee_id__in=ids["payee"])
    ).order_by("pk")


def _requests(ids: Mapping[str, Collection[str]]) -> Any:
    """Cases that somebody asked to open, and that led to no flag yet."""
    return CaseRequest.objects.filter(
        Q(member_id__in=ids["member"]) | Q(change_id__in=ids["change"]) | Q(payee_id__in=ids["payee"]), flag=None
    ).order_by("pk")


def _flag(flag: Flag) -> dict[str, Any]:
    return {
        later("Flag"): flag.pk,
        later("Change"): flag.change_id,
        later("First flagged on"): put_on_the_list(flag),
        later("State"): flag.get_state_display(),
        later("Verdict"): flag.verdict,
        later("Why"): _why(flag),
    }


def _why(flag: Flag) -> Any:
    """The strongest reason; or that chance put it on the list, or people did."""
    if flag.queue == Flag.Queue.AUDIT:
        return say("It was drawn at random to check our work, not because it was unusual.")
    if flag.origin == Flag.Origin.BY_HAND:
        return say("A person put it on the list, and not the program.")
    return flag.headline or ({"sentence": flag.headline_reason} if flag.headline_reason else None)


def _decision(decision: Any) -> dict[str, Any]:
    approver = decision.approver.get_role_display() if decision.approver else ""
    is_returned = decision.state == Decision.State.RETURNED
    return {
        later("At"): decision.at,
        later("Kind"): decision.get_kind_display(),
        later("State"): decision.get_state_display(),
        later("Verdict"): decision.verdict,
        later("Reason"): decision.get_reason_code_display(),
        later("Evidence"): decision.get_evidence_kind_display(),
        later("Confidence"): decision.get_confidence_display(),
        later("Paid (EUR)"): decision.loss_paid,
        later("Prevented (EUR)"): decision.loss_prevented,
        later("Recovered (EUR)"): decision.loss_recovered,
        later("Until"): decision.until,
        later("By"): decision.by.get_role_display(),
        later("Returned by") if is_returned else later("Approved by"): approver,
        later("Note"): decision.note,
        later("Why it was returned"): decision.returned_because,
    }


BECAME = {
    Became.PROPOSED: later("Proposed by the night"),
    Became.HELD: later("Held"),
    Became.RELEASED: later("Let go"),
    Became.EXPIRED: later("Ended by itself"),
    Became.NOT_HELD: later("Proposed by a night, and not held"),
}


def _hold(time: TimeHeld) -> dict[str, Any]:
    return {
        later("Payment"): time.payment_id or say("all later payments to the account"),
        later("Amount (EUR)"): time.amount,
        later("State"): say(BECAME[time.became]),
        later("Since"): time.since,
        later("Until"): time.until or (say("no end date") if time.became == Became.HELD else None),
    }
