"""Rings: flags tied together by account, device or actor, and one decision on several flags of a ring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import Count, Min, Q, Sum
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import OPEN, Flag, is_own_household
from payeewatch.triage.roles import READERS, REVIEWERS
from payeewatch.triage.views.queue import as_row
from payeewatch.triage.work import bulk, workflow
from payeewatch.triage.work.filters import work_list

MOST = 200  # rings on the page


def rings(request: Request) -> HttpResponse:
    """Every ring with open flags, the most euros first."""
    rows = work_list(request.user).filter(ring_size__gt=1).select_related(None).order_by().values("ring")
    rows = rows.annotate(
        open=Count("pk"),
        size=Min("ring_size"),
        at_risk=Sum("amount_at_risk"),
        paid=Sum("amount_paid"),
        rank=Min("rank"),
        hold=Count("pk", filter=Q(queue=Flag.Queue.HOLD)),
    )
    return render(request, "triage/rings.html", {"rings": rows.order_by("-at_risk", "rank", "ring")[:MOST]})


def ring(request: Request, ring: str) -> HttpResponse:
    """One ring, named by its smallest flag: its flags, and a decision on those that are selected."""
    return _page(request, ring)


def selected(request: Request) -> HttpResponse:
    """Lead from flags selected in the queue to their ring, where they are decided on together."""
    flags = request.GET.getlist("flag")
    rings = set(work_list(request.user).filter(pk__in=flags, ring_size__gt=1).values_list("ring", flat=True))
    if len(rings) != 1:
        messages.warning(request, say("Select flags of one ring: those are decided on together."))
        return redirect("queue")
    return redirect(f"{reverse('ring', args=[rings.pop()])}?{urlencode({'flag': flags}, doseq=True)}")


def decide(request: Request, ring: str) -> HttpResponse:
    """Say what the decision would do to each selected flag; do it once that is confirmed."""
    name, selected = request.POST.get("action", ""), request.POST.getlist("flag")
    if name not in bulk.IN_BULK or not selected:
        messages.warning(request, say("Select flags, and choose what to decide."))
        return redirect("ring", ring)
    version_texts = dict(each.partition(":")[::2] for each in selected)
    plans = [each for each in bulk.bulk_preview(request.user, ring, name) if each.flag.pk in version_texts]
    if not plans:
        messages.warning(request, say("None of these flags is open."))
        return redirect("ring", ring)
    action = workflow.ACTIONS[name]
    form = action.form_for(plans[0].flag, request.POST if "filled" in request.POST else None)
    if not form.is_valid():
        return _page(request, ring, action, form, plans, status=400 if form.is_bound else 200)
    try:
        steps = {each.flag.pk: UUID(request.POST[f"step-{each.flag.pk}"]) for each in plans}
        versions = {each.flag.pk: int(version_texts[each.flag.pk]) for each in plans}
    except (KeyError, ValueError):
        return _page(request, ring, action, form, plans)
    results = bulk.bulk_perform(request.user, ring, name, request.POST, steps, versions)
    many = sum(not each.refusal for each in results)
    message = ngettext("%(what)s: %(many)s flag", "%(what)s: %(many)s flags", many)
    messages.success(request, message % {"many": many, "what": action.label})
    for each in results:
        if each.refusal:
            messages.warning(request, f"{each.flag_id}: {each.refusal}")
    return redirect("ring", ring)


def _page(
    request: Request,
    ring: str,
    action: workflow.Action | None = None,
    form: workflow.ActionForm | None = None,
    plans: Sequence[bulk.FlagPreview] = (),
    status: int = 200,
) -> HttpResponse:
    rows = Flag.objects.filter(ring=ring).select_related("claimed_by").order_by("rank", "flag_id")
    flags = [as_row(flag, request.user) for flag in rows if not is_own_household(flag, request.user)]
    if not flags:
        raise Http404
    is_filled = bool(form and form.is_bound and form.is_valid())
    context: dict[str, Any] = {
        "ring": ring,
        "flags": flags,
        "open": OPEN,
        "selected": request.GET.getlist("flag"),
        "total": sum(flag.amount_at_risk for flag in flags),
        "paid": sum(flag.amount_paid for flag in flags),
        "choices": [workflow.ACTIONS[name] for name in bulk.IN_BULK] if request.user.role in REVIEWERS else [],
        "action": action,
        "form": form,
        "ready": [(each.flag, uuid4()) for each in plans if not each.refusal],
        "refused": [each for each in plans if each.refusal],
        "plans": plans,
        "is_filled": is_filled,
        "answers": _in_words(form) if form and is_filled else [],
    }
    return render(request, "triage/ring.html", context, status=status)


def _in_words(form: workflow.ActionForm) -> list[tuple[Any, Any]]:
    """What was chosen and written, in words."""
    values = [(form[name].field, value) for name, value in form.cleaned_data.items() if value not in ("", None, False)]
    words = [(field.label, dict(getattr(field, "choices", ())).get(value, value)) for field, value in values]
    return [(label, say("yes") if value is True else value) for label, value in words]


ROUTES = (
    Route("selected", "queue/selected", selected, REVIEWERS),
    Route("rings", "rings", rings, READERS, menu=_("Rings")),
    Route("ring", "rings/<str:ring>", ring, READERS),
    Route("decide-ring", "rings/<str:ring>/decide", decide, REVIEWERS, ("POST",)),
)
