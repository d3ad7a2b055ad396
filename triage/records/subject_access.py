"""What the reviewers' application holds about one person, and the record of what a person asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.triage.models import AuditRecord, Flag
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import home, keys

Section = dict[str, Any]


def held(ids: Mapping[str, Collection[str]], *, originals: bool = False) -> list[Section]:
    """The person's flags, what was decided about them, and who looked: by role and not by name.

    The vault is opened only for `originals`.
    """
    flags = list(_flags(ids).prefetch_related("decisions__by", "decisions__approver", "notes", "holds", "attachments"))
    retention = home().params.retention
    kept = (
        f"unjudged {retention.qualify_days} days; not pertinent: deleted at once; pertinent: "
        f"{retention.closed_days} days after closing"
    )
    looked = AuditRecord.objects.filter(flag_id__in=[flag.pk for flag in flags]).order_by("number")
    sections = [
        _section("Flags under review", "Where work on each flag stands.", kept, map(_flag, flags)),
        _section(
            "Decisions",
            "What people decided, and in which role.",
            kept,
            (_decision(each) for flag in flags for each in flag.decisions.all()),
        ),
        _section(
            "Notes",
            "What reviewers wrote down.",
            kept,
            ({"At": note.at, "Text": note.text} for flag in flags for note in flag.notes.all()),
        ),
        _section(
            "Files",
            "Kept with a flag.",
            kept,
            (
                {"Name": each.name, "Size": each.size, "At": each.at}
                for flag in flags
                for each in flag.attachments.all()
            ),
        ),
        _section(
            "Payments held",
            "Kept back until a person decides or the hold ends.",
            kept,
            (_hold(each) for flag in flags for each in flag.holds.all()),
        ),
        _section(
            "Who looked",
            "Every reading of a flag and everything done to it.",
            "as long as the audit log, which names the flag and never the person",
            ({"At": row.at, "Role": row.role or "the system", "What": row.action.replace("_", " ")} for row in looked),
        ),
    ]
    if originals:
        sections.append(
            _section(
                "Originals",
                "Opened from the vault for this export; the audit log says so.",
                "as long as the lake names the member, the account or the change",
                _originals(ids),
            )
        )
    return sections


def _section(title: str, what: str, kept: str, rows: Iterable[dict[str, Any]]) -> Section:
    return {"title": title, "what": what, "source": "the reviewers' application", "kept": kept, "rows": list(rows)}


def _originals(ids: Mapping[str, Collection[str]]) -> Iterator[dict[str, Any]]:
    wanted = [("member", member) for member in ids["member"]]
    wanted += [("holder", change) for change in ids["change"]]
    wanted += [("account", account) for account in ids.get("account", ())]
    for kind, ref in wanted:
        original = vault.reveal(keys(), home().folder("vault"), kind, ref)
        if original:
            yield {"Kind": kind, "Of": ref, "Original": original}


def record(right: str, ids: Mapping[str, Collection[str]], *, originals: bool) -> int:
    """Record that a person's right was used; an objection puts their open flags before a senior. Returns how many."""
    (member_id,) = ids["member"]
    with transaction.atomic():
        raised = 0
        if right == "objection":
            raised = (
                _flags(ids)
                .exclude(state__in=[Flag.State.CLOSED, Flag.State.EXPIRED])
                .update(is_escalated=True, version=F("version") + 1)
            )
        person = tombstone_of(keys(), "member", member_id)
        audit.record(None, f"right_of_{right}", person=person, with_originals=originals, escalated=raised)
    return raised


def _flags(ids: Mapping[str, Collection[str]]) -> Any:
    return Flag.objects.filter(
        Q(member_id__in=ids["member"]) | Q(change_id__in=ids["change"]) | Q(payee_id__in=ids["payee"])
    ).order_by("pk")


def _flag(flag: Flag) -> dict[str, Any]:
    return {
        "Flag": flag.pk,
        "Change": flag.change_id,
        "First flagged on": flag.first_flagged_on,
        "State": flag.get_state_display(),
        "Verdict": flag.verdict.replace("_", " "),
        "Why": flag.headline_reason,
    }


def _decision(decision: Any) -> dict[str, Any]:
    return {
        "At": decision.at,
        "Kind": decision.get_kind_display(),
        "State": decision.get_state_display(),
        "Verdict": decision.verdict.replace("_", " "),
        "Reason": decision.get_reason_code_display(),
        "How sure": decision.get_confidence_display(),
        "By": decision.by.get_role_display(),
        "Approved by": decision.approver.get_role_display() if decision.approver else "",
        "Note": decision.note,
    }


def _hold(hold: Any) -> dict[str, Any]:
    return {
        "Payment": hold.payment_id,
        "Amount": hold.amount,
        "Until": hold.hold_until,
        "State": hold.get_state_display(),
    }
