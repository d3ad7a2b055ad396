"""The human oversight log and the rights that persons used: from the audit log of the reviewers' application."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from payeewatch.dossier.reading import DIGEST, Reading
from payeewatch.dossier.statements import Fact
from payeewatch.dossier.words import Percent

if TYPE_CHECKING:
    from payeewatch.triage.figures.oversight import Oversight
    from payeewatch.triage.figures.team import Share

VERDICTS = {
    "confirmed_fraud": {"en": "Confirmed fraud", "fr": "Fraude confirmée"},
    "attempt_stopped": {"en": "Attempt stopped", "fr": "Tentative déjouée"},
    "benign": {"en": "Honest change", "fr": "Sans anomalie"},
    "inconclusive": {"en": "Inconclusive", "fr": "Non concluant"},
    "duplicate": {"en": "Duplicate", "fr": "Doublon"},
    "data_error": {"en": "Data error", "fr": "Erreur de données"},
}
ROLES = {
    "reviewer": {"en": "Reviewer", "fr": "Gestionnaire"},
    "senior": {"en": "Senior reviewer", "fr": "Responsable"},
    "scientist": {"en": "Data scientist", "fr": "Data scientist"},
    "auditor": {"en": "Auditor", "fr": "Auditeur"},
    "administrator": {"en": "Administrator", "fr": "Administrateur"},
}
NOBODY = {"en": "Without a role", "fr": "Sans rôle"}
RIGHTS = {
    "access": {"en": "Access", "fr": "Accès"},
    "rectification": {"en": "Rectification", "fr": "Rectification"},
    "objection": {"en": "Objection", "fr": "Opposition"},
    "explanation": {"en": "Explanation of a decision", "fr": "Explication d'une décision"},
    "erasure": {"en": "Erasure", "fr": "Effacement"},
}


def share_values(share: Share) -> dict[str, Any]:
    """A share with its interval, as the texts name them."""
    low, high = share.interval
    return {
        "hits": share.hits, "of": share.of, "share": Percent(share.value or 0.0),
        "low": Percent(low), "high": Percent(high),
    }  # fmt: skip


def oversight_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `oversight`; without a reviewers' database there are none."""
    if home.review is None:
        return {}
    counts, sources = home.review.oversight, (home.audit_source(),)
    roles = tuple((ROLES.get(role, role), many) for role, many in sorted(counts.roles.items()))
    rest = counts.last_record - counts.roles.total()
    values = {"records": counts.last_record, "mac": counts.last_mac[-DIGEST:], "findings": len(home.review.findings)}
    return {
        "log": Fact(values, sources) if counts.last_record or home.review.findings else None,
        "nights": Fact({"nights": counts.nights, "flags": counts.flags}, sources),
        "verdicts": Fact(
            {"verdicts": counts.proposed_verdicts, "standing": counts.verdicts.total()},
            sources,
            tuple((words, counts.verdicts[code]) for code, words in VERDICTS.items()),
        ),
        "overruled": Fact(share_values(counts.overruled), sources) if counts.overruled.of else None,
        "seconds": _seconds(home, counts),
        "unopened": Fact(share_values(counts.unopened), sources) if counts.unopened.of else None,
        "approvals": _approvals(home, counts),
        "second_looks": Fact({"many": counts.second_looks, "alike": counts.second_looks_alike}, sources)
        if counts.second_looks
        else None,
        "holds": Fact(
            {
                "held": counts.actions["hold"], "released": counts.actions["release"],
                "extended": counts.actions["extend"],
                "ended": counts.actions["hold_ended"], "renewed": counts.actions["hold_renewed"],
            },
            sources,
        ),
        "roles": Fact({}, sources, (*roles, (NOBODY, rest))) if roles else None,
        "reveals": Fact(
            {"shown": counts.actions["reveal"], "refused": counts.actions["reveal_refused"]}, sources,
            _who_saw(home) if counts.actions["reveal"] else (),
        ),
    }  # fmt: skip


def _who_saw(home: Reading) -> tuple[tuple[Any, ...], ...]:
    """Role, how many users of it saw a full value up to the day, how many values."""
    from payeewatch.triage.models import AuditRecord

    seen = AuditRecord.objects.filter(at__lte=home.until, action="reveal").values_list("role", "user")
    values, users = Counter(role for role, _ in seen), Counter(role for role, _ in {*seen})
    return tuple((ROLES.get(role, role), users[role], values[role]) for role in sorted(values))


def right_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `rights`."""
    if home.review is None:
        return {}
    rights = home.review.oversight.rights
    rows = tuple((RIGHTS.get(right, right), many) for right, many in sorted(rights.items()))
    return {"used": Fact({}, (home.audit_source(),), rows) if rows else None}


def _seconds(home: Reading, counts: Oversight) -> Fact | None:
    if not counts.seconds:
        return None
    ordered = sorted(counts.seconds)
    tenth = ordered[len(ordered) // 10]
    values = {"median": round(counts.median_seconds or 0), "tenth": round(tenth), "of": len(ordered)}
    return Fact(values, (home.audit_source(),))


def _approvals(home: Reading, counts: Oversight) -> Fact | None:
    share = counts.returned_share
    if not share.of:
        return None
    values = {"approved": counts.approved, "unopened": counts.approved_unopened, "returned": counts.returned}
    return Fact(share_values(share) | values, (home.audit_source(),))
