"""Rings: flags tied together by account, device, actor or by hand; and one decision on several flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import Count, Min, Prefetch, Q, Sum
from django.forms import HiddenInput
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import OPEN, Flag, Step, User, is_own_household
from payeewatch.triage.roles import READERS, REVIEWERS, SENIORS
from payeewatch.triage.views.queue import as_row
from payeewatch.triage.work import bulk, workflow
from payeewatch.triage.work.approvals import pending
from payeewatch.triage.work.filters import work_list
from payeewatch.triage.work.holds import amount_kept_back
from payeewatch.triage.work.verdicts import LOSSES

MOST = 200  # rings on the page
MOST_SELECTED = 200  # flags that are decided on together
STEPS = Prefetch("steps", Step.objects.defer("before"))
ASKED_BY_THE_PREVIEW = ("confirm", "decision", "with_flag")
"""Fields of forms that nobody fills in for many flags: the preview shows what they stand for."""


def rings(request: Request) -> HttpResponse:
    """Every ring with open flags, the most euros first."""
    rows = work_list(request.user).filter(ring_size__gt=1).select_related(None).order_by().values("ring")
    rows = rows.annotate(
        open=Count("pk"),
        size=Min("ring_size"),
        at_risk=Sum("amount_at_risk"),
        paid=Sum("amount_paid"),
        rank=Min("place"),
        hold=Count("pk", filter=Q(queue=Flag.Queue.HOLD)),
        accounts=Count("account", distinct=True),
        hint=Min("account_hint"),
        actors=Count("actor_id", distinct=True),
        actor=Min("actor_id"),
    )
    found = rows.exclude(ring__in=household.alone_without_own(request.user)).order_by("-at_risk", "rank", "ring")[:MOST]
    rings = [_ring_row(row, request.user) for row in found]
    return render(request, "triage/rings.html", {"rings": rings})


def _ring_row(row: Mapping[str, Any], user: User) -> dict[str, Any]:
    name, size = household.ring_for(row["ring"], row["size"], user)
    place = household.place_for(row["rank"], user)
    return {**row, "ring": name, "size": size, "rank": place, "shared": _shared(row, user)}


def _shared(row: Mapping[str, Any], user: User) -> str:
    """What the open flags of a ring have in common, as far as one account or one agent tells it."""
    account = hint_for(user, row["hint"]) if row["accounts"] == 1 else ""
    agent = value_for(user, "actor", row["actor"]) if row["actors"] == 1 else ""
    return " · ".join(filter(None, (account, agent and say("agent %(agent)s") % {"agent": agent})))


def ring(request: Request, ring: str) -> HttpResponse:
    """One ring, named by its smallest flag: its flags, and a decision on those that are selected."""
    return _page(request, _of_ring(ring, request.user), ring=ring)


def selected(request: Request) -> HttpResponse:
    """The flags that were selected on a list, to decide on them together or to put them into one case."""
    flag_ids = request.GET.getlist("flag")[:MOST_SELECTED]
    if not flag_ids:
        messages.warning(request, say("Select flags first."))
        return redirect("queue")
    return _page(request, flag_ids)


def decide_ring(request: Request, ring: str) -> HttpResponse:
    """A decision on flags of a ring."""
    return _decide(request, reverse("ring", args=[ring]), ring=ring)


def decide_selected(request: Request) -> HttpResponse:
    """A decision on flags that were selected on a list."""
    flag_ids = [each.partition(":")[0] for each in request.POST.getlist("flag")]
    return _decide(request, f"{reverse('selected')}?{urlencode({'flag': flag_ids}, doseq=True)}")


def _of_ring(ring: str, user: User) -> list[str]:
    return list(household.flags_of_ring(ring, user).values_list("pk", flat=True))


def _decide(request: Request, address: str, ring: str = "") -> HttpResponse:
    """Say what the decision would do to each selected flag; do it once that is confirmed."""
    name, selected = request.POST.get("action", ""), request.POST.getlist("flag")[:MOST_SELECTED]
    if name not in bulk.IN_BULK or not selected:
        messages.warning(request, say("Select flags, and choose what to decide."))
        return redirect(address)
    version_texts = dict(each.partition(":")[::2] for each in selected)
    flag_ids = [each for each in _of_ring(ring, request.user) if each in version_texts] if ring else list(version_texts)
    plans = bulk.bulk_preview(request.user, flag_ids, name)
    ready = next((each for each in plans if not each.refusal), None)
    if not ready:
        refusals = [f"{plan.flag.pk}{say(': ')}{plan.refusal}" for plan in plans]
        for words in refusals or [say("None of these flags is open to you.")]:
            messages.warning(request, words)
        return redirect(address)
    action = workflow.ACTIONS[name]
    form = action.form_for(ready.flag, _answers(request, name, ready), request.user)
    _hide_what_the_preview_asks(form)
    show = partial(_page, request, flag_ids, ring=ring, action=action, form=form, plans=plans)
    if not form.is_valid():
        return show(status=400 if form.is_bound else 200)
    plans = bulk.bulk_preview(request.user, flag_ids, name, form.cleaned_data)
    show = partial(show, plans=plans)
    try:
        steps = {each.flag.pk: UUID(request.POST[f"step-{each.flag.pk}"]) for each in plans}
        versions = {each.flag.pk: int(version_texts[each.flag.pk]) for each in plans}
    except (KeyError, ValueError):
        return show()
    decisions = {pk: value for pk in steps if (value := request.POST.get(f"decision-{pk}"))}
    results = bulk.bulk_perform(request.user, name, request.POST.dict(), steps, versions, decisions)
    many = sum(not each.refusal for each in results)
    message = ngettext("%(what)s: %(many)s flag", "%(what)s: %(many)s flags", many)
    messages.success(request, message % {"many": many, "what": action.label})
    for each in results:
        if each.refusal:
            messages.warning(request, f"{each.flag_id}{say(': ')}{each.refusal}")
    return redirect(address)


def _answers(request: Request, name: str, first: bulk.FlagPreview) -> QueryDict | None:
    """What was filled in; None if people must fill in something first."""
    data = request.POST.copy()
    data.setdefault("confirm", "on")  # the preview is what asks once more
    data.setdefault("with_flag", first.flag.pk)
    data.setdefault("decision", str(first.decision or ""))
    asks = set(workflow.ACTIONS[name].form_for(first.flag).fields) - set(ASKED_BY_THE_PREVIEW)
    return data if "filled" in request.POST or not asks else None


def undo_together(request: Request) -> HttpResponse:
    """Take back one's last step on several flags, as long as it can be undone on each."""
    version_texts = dict(each.partition(":")[::2] for each in request.POST.getlist("flag")[:MOST_SELECTED])
    try:
        steps = {flag_id: UUID(request.POST[f"step-{flag_id}"]) for flag_id in version_texts}
        versions = {flag_id: int(text) for flag_id, text in version_texts.items()}
        results = bulk.bulk_perform(request.user, bulk.UNDO, {}, steps, versions)
    except (KeyError, ValueError, Flag.DoesNotExist):
        messages.warning(request, say("This form is not complete. Send it again."))
        return redirect("queue")
    many = sum(not each.refusal for each in results)
    messages.success(request, ngettext("Undone: %(many)s flag", "Undone: %(many)s flags", many) % {"many": many})
    for each in results:
        if each.refusal:
            messages.warning(request, f"{each.flag_id}{say(': ')}{each.refusal}")
    if ring := request.POST.get("ring"):
        return redirect("ring", ring)
    return redirect(f"{reverse('selected')}?{urlencode({'flag': list(version_texts)}, doseq=True)}")


def _hide_what_the_preview_asks(form: workflow.ActionForm) -> None:
    for name in LOSSES:
        if name in form.fields:
            form.fields[name].label = say("%(what)s: for each flag") % {"what": form.fields[name].label}
    for name in ASKED_BY_THE_PREVIEW:
        if name in form.fields:
            form.fields[name].widget = HiddenInput()
            form.fields[name].required = False if name == "decision" else form.fields[name].required


def _page(
    request: Request,
    flag_ids: Sequence[str],
    *,
    ring: str = "",
    action: workflow.Action | None = None,
    form: workflow.ActionForm | None = None,
    plans: Sequence[bulk.FlagPreview] = (),
    status: int = 200,
) -> HttpResponse:
    rows = Flag.objects.filter(pk__in=flag_ids).select_related("claimed_by", "assigned_to")
    rows = rows.prefetch_related("holds", workflow.PROPOSALS, STEPS).order_by("place", "flag_id")
    flags = [as_row(flag, request.user) for flag in rows if not is_own_household(flag, request.user)]
    if not flags:
        raise Http404
    ready = [each for each in plans if not each.refusal]
    is_filled = bool(form and form.is_bound and form.is_valid())
    proposals = dict(_proposals(flags, request.user))
    undoable = [] if action else bulk.undoable_together(request.user, flags)
    context: dict[str, Any] = {
        "ring": ring,
        "decide": reverse("decide-ring", args=[ring]) if ring else reverse("decide-selected"),
        "back": reverse("ring", args=[ring]) if ring else reverse("queue"),
        "flags": flags,
        "proposals": proposals,
        "open": OPEN,
        "selected": request.GET.getlist("flag"),
        "sums": _sums(flags),
        "choices": _choices(request.user, bool(proposals), len(flags)),
        "action": action,
        "form": form,
        "ready": [(each, uuid4()) for each in ready],
        "refused": [each for each in plans if each.refusal],
        "plans": plans,
        "ready_sums": _sums([each.flag for each in ready]),
        "prevented": sum((each.prevented for each in ready), Decimal(0)),
        "undoable": [(each, uuid4()) for each in undoable],
        "undo_seconds": bulk.seconds_left(undoable) if undoable else 0,
        "is_filled": is_filled,
        "answers": _in_words(form) if form and is_filled else [],
    }
    return render(request, "triage/ring.html", context, status=status)


def _proposals(flags: Sequence[Flag], user: User) -> Iterator[tuple[str, list[str]]]:
    """What waits for this user's approval, by flag, in words."""
    for flag in flags if user.role in SENIORS else ():
        others = [each for each in pending(flag) if each.by_id != user.pk]
        if others:
            yield flag.pk, bulk.proposal_texts(others[0], user)


def _choices(user: User, has_proposals: bool, many: int) -> list[workflow.Action]:
    if user.role not in REVIEWERS:
        return []
    left_out = {*(() if has_proposals else bulk.APPROVALS), *(("join_case",) if many == 1 else ())}
    return [
        workflow.ACTIONS[name]
        for name in bulk.IN_BULK
        if user.role in workflow.ACTIONS[name].roles and name not in left_out
    ]


def _sums(flags: Sequence[Flag]) -> dict[str, Decimal]:
    nothing = Decimal(0)
    return {
        "at_risk": sum((flag.amount_at_risk for flag in flags), nothing),
        "paid": sum((flag.amount_paid for flag in flags), nothing),
        "kept_back": sum((amount_kept_back(flag) for flag in flags), nothing),
    }


def _in_words(form: workflow.ActionForm) -> list[tuple[Any, Any]]:
    """What was chosen and written, in words."""
    answers = {name: value for name, value in form.cleaned_data.items() if name not in ASKED_BY_THE_PREVIEW}
    values = [(form[name].field, value) for name, value in answers.items() if value not in ("", None, False)]
    words = [(field.label, dict(getattr(field, "choices", ())).get(value, value)) for field, value in values]
    return [(label, say("yes") if value is True else value) for label, value in words]


ROUTES = (
    Route("selected", "queue/selected", selected, REVIEWERS),
    Route("decide-selected", "queue/selected/decide", decide_selected, REVIEWERS, ("POST",)),
    Route("undo-together", "queue/selected/undo", undo_together, REVIEWERS, ("POST",)),
    Route("rings", "rings", rings, READERS, menu=_("Rings")),
    Route("ring", "rings/<str:ring>", ring, READERS),
    Route("decide-ring", "rings/<str:ring>/decide", decide_ring, REVIEWERS, ("POST",)),
)
