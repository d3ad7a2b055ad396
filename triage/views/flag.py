"""One flag: the evidence in the centre, what can be done on the right, the queue on the left."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.evidence.evidence_panel import centre
from payeewatch.triage.exchange.audit_sample import as_shown
from payeewatch.triage.models import Flag, Step, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import READERS
from payeewatch.triage.views.queue import as_row, listing, next_of, query
from payeewatch.triage.work import case_file, misleading, workflow
from payeewatch.triage.work.action_panel import Bound, right_pane, undoable
from payeewatch.triage.work.filters import QueueFilter
from payeewatch.triage.work.workflow import PROPOSALS

STORY = Prefetch("steps", Step.objects.select_related("user").defer("before"))


def flag(request: Request, flag_id: str) -> HttpResponse:
    """Show a flag. Looking at one leaves a record."""
    return panes(request, flag_id)


def panes(
    request: Request,
    flag_id: str,
    *,
    acted_on: str = "",
    last_step: str = "",
    refusal: str = "",
    bound: Bound | None = None,
    status: int = 200,
) -> HttpResponse:
    """A flag's two panes: only they for htmx, with the row of the flag that was acted on; otherwise the whole page."""
    flag = as_shown(get_object_or_404(_flags(), pk=flag_id), request.user)
    # the next flag is named by the form, not by the address that is guarded
    if is_own_household(flag, request.user):
        raise PermissionDenied
    audit.record(request.user, "view", flag_id)
    is_part = request.htmx and not request.htmx.history_restore_request
    shown = centre(flag, request.user)
    context = {
        **({} if is_part else listing(request)),
        **right_pane(flag, request.user, bound),
        "centre": shown | {"case_file": case_file.options_for(flag, request.user)},
        "reasons": misleading.with_own(shown["reasons"], flag, request.user),
        "undo": undoable(last_step or request.get_signed_cookie(settings.STEP_COOKIE_NAME, None), request.user, flag),
        "refused": refusal or ("" if workflow.is_genuine(flag) else workflow.not_ours()),
        "query": query(request),
    }
    if not is_part:
        context["next_flag"] = next_of([each.flag_id for each in context["page"]], flag_id)
    elif acted_on:
        context["many"] = QueueFilter(request.GET, request.user).qs.count()
        other = flag if acted_on == flag_id else _flags().get(pk=acted_on)
        context["rows"] = [as_row(other, request.user)]
    return render(request, "triage/panes.html" if is_part else "triage/queue.html", context, status=status)


def refused_pane(request: Request, flag_id: str, refusal: str, bound: Bound) -> HttpResponse:
    """The right pane alone, with the refused form as it was sent: the evidence stays where it is."""
    flag = as_shown(get_object_or_404(_flags(), pk=flag_id), request.user)
    context = {**right_pane(flag, request.user, bound), "refused": refusal, "query": query(request)}
    answer = render(request, "triage/_act_pane.html", context, status=409)
    answer["HX-Retarget"], answer["HX-Reswap"] = "#act", "outerHTML"
    return answer


def _flags() -> QuerySet[Flag]:
    return Flag.objects.select_related("claimed_by", "assigned_to", "night").prefetch_related(
        "holds__by", PROPOSALS, STORY
    )


ROUTES = (Route("flag", "flags/<str:flag_id>", flag, READERS),)
