"""Versions of the model: what there is, what is proposed and how it compares, and the decision of a second person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.model_board import Choice
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.language import phrases
from payeewatch.triage.records import audit
from payeewatch.triage.roles import DECIDERS, MODEL_READERS, PROPOSERS
from payeewatch.triage.work import model_versions
from payeewatch.triage.work.model_versions import Models
from payeewatch.triage.work.workflow import Refused

Facts = Mapping[str, Any]
KINDS = {
    "promotion": _("became the champion"),
    "rollback": _("became the champion again"),
    "proposal": _("was proposed"),
    "refusal": _("was refused"),
}
CHOICES = {Choice.PROPOSE: _("proposed"), Choice.APPROVE: _("approved"), Choice.REFUSE: _("refused")}


def page(request: Request) -> HttpResponse:
    """List versions, proposals with their comparison, and the history."""
    try:
        found = model_versions.models()
    except StoreError:
        found = Models({})
    board = found.board
    audit.record(request.user, "read_models", count=len(board.get("versions", ())))
    can_decide, can_propose = request.user.role in DECIDERS, request.user.role in PROPOSERS
    proposals = [_proposal(found, each, request) for each in board.get("proposals", ())]
    names = {each["name"] for each in proposals}
    context = {
        "board": board,
        "as_of": _moment(board.get("at")),
        "versions": [_version(found, each, can_propose=can_propose) for each in reversed(board.get("versions", ()))],
        "proposed": [each["to"] for each in board.get("proposals", ())],
        "proposals": proposals,
        "waiting": [_waiting(each) for name, each in found.waiting.items() if name not in names],
        "shadow": [_shadow_night(each) for each in model_versions.shadow_nights()],
        "history": [_record(each) for each in reversed(board.get("history", ()))],
        "can_decide": can_decide,
        "can_propose": can_propose,
        "longest": model_versions.LONGEST,
    }
    return render(request, "triage/models.html", context)


def propose(request: Request) -> HttpResponse:
    """Propose a version, and go back to the page."""
    try:
        model_versions.propose(request.user, request.POST.get("version", ""), request.POST.get("why", ""))
        messages.success(request, say("Proposed. The pipeline takes it over before its next night."))
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("models")


def decide(request: Request) -> HttpResponse:
    """Approve or refuse a proposal, and go back to the page."""
    data = request.POST
    choice = Choice.REFUSE if data.get("choice") == Choice.REFUSE else Choice.APPROVE
    try:
        model_versions.decide(
            request.user, data.get("proposal", ""), choice, data.get("why", ""), data.get("override", "")
        )
        messages.success(request, say("Decided. The pipeline applies it before its next night."))
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("models")


def _version(found: Models, facts: Facts, *, can_propose: bool) -> dict[str, Any]:
    served = facts["served"]
    return {
        "version": facts["version"],
        "is_champion": facts["is_champion"],
        "name": ": ".join(filter(None, [facts["name"], facts["note"]])),
        "trained": phrases.day(phrases.day_of(facts["trained_as_of"])),
        "parent": facts["parent"],
        "changes": "–" if facts["changes"] is None else phrases.number(facts["changes"]),
        "features": "–" if facts["features"] is None else phrases.number(facts["features"]),
        "cannot_serve": ", ".join(facts["gone"]),
        "nights": phrases.number(served["nights"]),
        "findings": [phrases.message(each) for each in facts.get("findings", ())],
        "can_propose": can_propose and found.can_propose(dict(facts)),
    }


def _proposal(found: Models, record: Facts, request: Request) -> dict[str, Any]:
    version = found.version(record["to"]) or {}
    waiting = found.waiting.get(record["run_id"])
    return {
        **_record(record),
        "name": record["run_id"],
        "override": record["override"],
        "findings": [phrases.message(each) for each in version.get("findings", ())],
        "comparison": _comparison(version.get("comparison")),
        "is_own": model_versions.is_own(request.user, dict(record)),
        "waiting": _waiting(waiting) if waiting else None,
    }


def _shadow_night(facts: Facts) -> dict[str, Any]:
    """A night in shadow; one that failed has no counts."""
    counts = ("flagged", "in_both", "new", "new_of_night", "nights_left")
    return {
        "night": phrases.day(facts["night"]),
        "version": facts["version"],
        "failed": "failed" in facts,
        **{name: phrases.number(facts[name]) if name in facts else "–" for name in counts},
    }


def _waiting(each: model_versions.Waiting) -> dict[str, Any]:
    decision = each.decision
    return {
        "version": decision.version,
        "choice": CHOICES[decision.choice],
        "who": decision.who,
        "at": phrases.instant(decision.at),
        "why": decision.why,
        "refusal": each.refusal,
        "can_refuse": decision.choice != Choice.REFUSE,
    }


def _record(record: Facts) -> dict[str, Any]:
    return {
        "version": record["to"],
        "before": record["before"],
        "what": KINDS[record["kind"]],
        "who": record["who"],
        "approved_by": record["approved_by"],
        "at": _moment(record["at"]),
        "why": record["why"],
        "override": record["override"],
    }


def _comparison(figures: Facts | None) -> dict[str, Any] | None:
    """The figures of a comparison as rows: what, of the champion, of the version proposed."""
    if figures is None:
        return None
    champion, version = figures["a"], figures["b"]
    rows: list[tuple[Any, str, str]] = [
        (what, of(champion), of(version))
        for what, of in (
            (_("Changes flagged"), lambda side: phrases.number(side["flagged"]["changes"])),
            (_("New flags a night"), lambda side: phrases.number(side["new_a_night"], 1)),
            (_("In the queue on a night"), lambda side: phrases.number(side["queued_a_night"], 1)),
            (_("Held"), lambda side: phrases.number(side["held"])),
            (_("At risk when flagged"), lambda side: phrases.rough_euros(side["flagged"]["euros"])),
            (_("Known frauds flagged before anybody knew"), _known_frauds),
            (_("Flagged and judged honest"), lambda side: phrases.number(side["honest_flagged"])),
            (_("Honest changes with p <= 0.05"), _share_p05),
        )
    ]
    span = figures["span"]
    return {
        "first": phrases.day(date.fromisoformat(span["first"])),
        "last": phrases.day(date.fromisoformat(span["last"])),
        "nights": figures["nights"],
        "champion": champion["version"],
        "version": version["version"],
        "rows": rows,
        "gained": _part(figures["only_b"]),
        "lost": _part(figures["only_a"]),
        "both": _part(figures["both"]),
        "overlap": phrases.share(figures["queue_overlap"]),
    }


def _known_frauds(side: Facts) -> str:
    counts = {"caught": phrases.number(side["known_frauds_flagged"]), "all": phrases.number(side["known_frauds"])}
    return say("%(caught)s of %(all)s") % counts


def _share_p05(side: Facts) -> str:
    level = next(each for each in side["calibration"] if each["level"] == 0.05)
    share, low, high = (phrases.share(level[name], 1) for name in ("share", "low", "high"))
    return say("%(share)s (95 %%: %(low)s to %(high)s)") % {"share": share, "low": low, "high": high}


def _part(part: Facts) -> dict[str, Any]:
    return {
        "changes": phrases.number(part["changes"]),
        "euros": phrases.rough_euros(part["euros"]),
        "fraud": phrases.number(part["verdicts"]["fraud"]),
        "honest": phrases.number(part["verdicts"]["honest"]),
        "none": phrases.number(part["verdicts"]["none"]),
    }


def _moment(text: str | None) -> str:
    at = phrases.moment(text)
    return phrases.instant(at) if at else "–"


ROUTES = (
    Route("models", "models", page, MODEL_READERS, menu=_("Models")),
    Route("propose-model", "models/propose", propose, PROPOSERS, ("POST",)),
    Route("decide-model", "models/decide", decide, DECIDERS, ("POST",)),
)
