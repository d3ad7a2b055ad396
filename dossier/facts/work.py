"""The human oversight log and the rights that persons used: from the audit log of the reviewers' application."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Any

from payeewatch.dossier.reading import DIGEST, Reading, Review
from payeewatch.dossier.statements import Both, Fact, Kind, Source
from payeewatch.dossier.words import Percent, filled, free_text
from payeewatch.pipeline.home.retention_periods import Clock, term_of

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
    "reviewer": {"en": "Reviewer", "fr": "Gestionnaire fraude"},
    "senior": {"en": "Senior reviewer", "fr": "Responsable"},
    "scientist": {"en": "Data scientist", "fr": "Data scientist"},
    "auditor": {"en": "Auditor", "fr": "Auditeur"},
    "administrator": {"en": "Administrator", "fr": "Administrateur"},
}
NOBODY = {"en": "Without a role", "fr": "Sans rôle"}
NO_HOLD_YET = {
    "en": " (none could yet: the first that people set was to end after {day}; behind a fraud confirmed since, a hold "
    "has no end)",
    "fr": " (aucun ne le pouvait encore : le premier posé devait finir après le {day} ; derrière une fraude confirmée "
    "depuis, un blocage n'a pas de fin)",
}
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
    counts, done, sources = home.review.oversight, home.review.oversight.done, (home.audit_source(),)
    roles = tuple((ROLES.get(role, role), many) for role, many in sorted(counts.roles.items()))
    rest = counts.last_record - counts.roles.total()
    values = {"records": counts.last_record, "mac": counts.last_mac[-DIGEST:], "findings": len(home.review.findings)}
    return {
        "log": Fact(values, sources) if counts.last_record or home.review.findings else None,
        "nights": Fact(
            {"nights": counts.nights, "flags": counts.flags, "by_hand": counts.actions["open_by_hand"]}, sources
        ),
        "verdicts": Fact(
            {"verdicts": counts.proposed_verdicts, "standing": counts.verdicts.total()},
            sources,
            tuple((words, counts.verdicts[code]) for code, words in VERDICTS.items()),
        ),
        "overruled": Fact(share_values(counts.overruled), sources) if counts.overruled.of else None,
        "seconds": _seconds(home, counts),
        "unopened": Fact(share_values(counts.unopened), sources) if counts.unopened.of else None,
        "approvals": _approvals(home, counts),
        "second_looks": Fact({"many": done["second_looks"], "alike": done["second_looks_alike"]}, sources)
        if done["second_looks"]
        else None,
        "holds": Fact(
            {
                "held": done["held"], "released": done["released"], "extended": done["extended"],
                "ended": counts.holds_ended, "lapsed": counts.proposals_ended,
                "renewed": counts.actions["hold_renewed"],
                "none_yet": _no_hold_yet(home, counts),
            },
            sources,
        ),
        "roles": Fact({}, sources, (*roles, (NOBODY, rest))) if roles else None,
        "reveals": Fact(
            {
                "shown": counts.actions["reveal"], "refused": counts.actions["reveal_refused"],
                "exports": counts.exports_with_originals,
            },
            sources,
            _who_saw(home) if counts.actions["reveal"] else (),
        ),
    }  # fmt: skip


def _no_hold_yet(home: Reading, counts: Oversight) -> Both:
    """After which day the first hold of people was to end, where none of them could end by itself up to the day."""
    if counts.first_hold_end < str(home.as_of):  # none was set, or one could end
        return dict.fromkeys(NO_HOLD_YET, "")
    return filled(NO_HOLD_YET, {"day": date.fromisoformat(counts.first_hold_end)})


def security_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `security`; without a reviewers' database there are none."""
    if home.review is None:
        return {}
    tokens = home.review.oversight.tokens
    rows = tuple((free_text(name), ", ".join(tokens[name])) for name in sorted(tokens))
    return {
        "tokens_in_force": Fact({"many": len(rows)}, (home.audit_source(),), rows) if rows else None,
        "users": _users(home.review),
    }


def review(home: Reading) -> Review:
    """What the reviewers' database says."""
    from payeewatch.triage.figures.oversight import oversight
    from payeewatch.triage.models import Flag, User
    from payeewatch.triage.records.audit import verify

    found = [f"record {each.number}: {each.what}" for each in verify().findings]
    day_before = home.settings.params.cutoff(home.as_of - timedelta(days=1)).replace(tzinfo=UTC)
    closed = Flag.objects.filter(state=Flag.State.CLOSED, closed_at__lte=home.until).values_list("verdict", "closed_at")
    retention = home.settings.params.retention
    standing = [at for verdict, at in closed if at and term_of(verdict, retention).clock is Clock.NOT_PERTINENT]
    users = User.objects.filter(is_active=True).values_list("role", "member_id", "household_id", "subject")
    return Review(
        oversight(home.until),
        found,
        [(role, bool(member or household), bool(subject)) for role, member, household, subject in users],
        len(standing),
        sum(at <= day_before for at in standing),
    )


def _users(review: Review) -> Fact | None:
    """Role -> users who may sign in now, for how many an own number is entered, how many used single sign-on."""
    users, own, single = Counter[str](), Counter[str](), Counter[str]()
    for role, is_entered, is_single in review.users:
        users[role] += 1
        own[role] += is_entered
        single[role] += is_single
    rows = tuple((ROLES.get(role, role), users[role], own[role], single[role]) for role in sorted(users))
    values = {"many": users.total(), "own": own.total(), "single": single.total()}
    return Fact(values, (Source(Kind.FILE, "triage/, users"),), rows) if rows else None


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
    done = counts.done
    values = {"approved": done["approved"], "unopened": done["approved_unopened"], "returned": done["returned"]}
    return Fact(share_values(share) | values, (home.audit_source(),))
