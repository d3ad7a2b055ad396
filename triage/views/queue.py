"""The queue: lists of flags, how a user filters them, and what changed on them since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet, Value
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.exchange.audit_sample import as_shown
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import KINDS as EVENTS
from payeewatch.triage.models import LONGEST_QUERY, Flag, SavedFilter, User
from payeewatch.triage.roles import READERS, REVIEWERS, SENIORS, Role
from payeewatch.triage.work import actions, workflow
from payeewatch.triage.work.action_panel import keys
from payeewatch.triage.work.filters import QueueFilter

PAGE = 30
"""Flags of a list on a page: about what a reviewer decides in a day, and few enough to be drawn with every flag."""
SOON = 3  # days
VERDICT_LOOKS = {"benign": " chip-good", **dict.fromkeys(FRAUD_VERDICTS, " chip-bad")}
FINISHED = (Flag.State.CLOSED, Flag.State.PROPOSED, Flag.State.SNOOZED)
ROW_FIELDS = (
    "flag_id", "version", "state", "verdict", "queue", "origin", "place", "amount_at_risk", "amount_paid", "headline",
    "headline_reason", "derived",
    "account_before", "member_id", "payee_id", "first_payment_on", "first_flagged_on", "snoozed_until", "ring",
    "ring_size", "needs_second_look",
    "is_escalated", "claimed_until", "claimed_by__username", "assigned_to__username",
)  # fmt: skip
"""What the rows of a list need; a list reads nothing more."""
NAME = 60  # letters of a saved filter's name
MOST_SAVED = 20  # filters per user
MOST_STEPPED = 500  # flags of a list that are stepped through without being taken


@dataclass(frozen=True)
class List:
    """A list as the menu offers it: a filter under a name."""

    label: Any
    params: Mapping[str, str]
    roles: frozenset[Role] = READERS
    badge: frozenset[Role] = frozenset()  # whose menu shows it with its count, unless it is empty

    @property
    def query(self) -> str:
        """The part of the address that names the list."""
        params = QueryDict(mutable=True)
        params.update(self.params)
        return f"?{params.urlencode()}" if self.params else ""


LISTS = (
    List(_("All open"), {}),
    List(_("Mine"), {"mine": "on"}, REVIEWERS),
    List(_("Closed by me today"), {"of": "closed_today"}, REVIEWERS),
    List(_("Due before the next payment run"), {"due": "on", "sort": "urgency"}),
    List(_("Not triaged"), {"untouched": "on"}),
    List(_("Rings"), {"rings": "on"}),
    List(_("Awaiting call-back"), {"awaiting": "on"}),
    List(_("To approve"), {"of": "to_approve"}, badge=SENIORS),
    List(_("Escalated"), {"escalated": "on"}, badge=SENIORS),
    List(_("Holds that end soon"), {"of": "holds_ending"}, badge=REVIEWERS),
    List(_("Suppressions that end soon"), {"of": "suppression_ends"}, badge=SENIORS),
    List(_("Snoozed"), {"state": "snoozed"}),
    List(_("Second look"), {"of": "second_look"}, REVIEWERS),
    List(_("Audit sample, judged"), {"of": "audit_sample"}),
)
SORTS = (("risk", _("Risk")), ("urgency", _("Urgency")))
FIELDS = ("q", "queue", "state", "amount", "due_by", "older", "exposed", "breach")
"""The fields on the sheet of filters; the lists cover the others."""


def queue(request: Request) -> HttpResponse:
    """List flags, with none open."""
    return render(request, "triage/queue.html", listing(request))


def lists(request: Request) -> HttpResponse:
    """How many flags are on each list, for the menu of lists when it is opened."""
    own_lists = [each for each in LISTS if request.user.role in each.roles]
    return render(request, "triage/_lists.html", {"lists": _counted(own_lists, request.user)})


def badges(request: Request) -> dict[str, Any]:
    """The lists that wait for this user, with their counts, for the menu of every page."""
    if not hasattr(request, "user"):  # on the page of a request that was refused before anybody asked who sent it
        return {}
    user = request.user
    if not getattr(user, "is_settled", False) or (request.htmx and request.method == "GET"):
        return {}
    waiting = [each for each in LISTS if user.role in each.badge]
    return {"badges": [(each, many) for each, many in _counted(waiting, user) if many] if waiting else []}


def _counted(lists: Sequence[List], user: User) -> list[tuple[List, int]]:
    """Each list with the number of its flags, by one query."""
    one, *others = (_count_row(_filter_of(each, user).qs, place) for place, each in enumerate(lists))
    many = dict(one.union(*others, all=True))
    return [(each, many.get(place, 0)) for place, each in enumerate(lists)]


def changes(request: Request) -> HttpResponse:
    """What the page's list is now: each flag's version, for the page to mark what changed. It never moves a row."""
    flags = QueueFilter(request.GET, request.user).qs.values_list("flag_id", "version")
    return JsonResponse({"versions": dict(_page(request, flags))})


def take(request: Request) -> HttpResponse:
    """Take the first free flag of the list, and open it. Of a list on which nothing is taken, open the next flag."""
    try:
        step_id = UUID(request.POST["step"])
    except (KeyError, ValueError):
        return redirect("queue")
    flags = QueueFilter(request.GET, request.user).qs
    result = actions.take_next(request.user, step_id, flags)
    if result:
        return _open(request, result.flag.flag_id)
    waiting = next_of(list(flags.values_list("flag_id", flat=True)[:MOST_STEPPED]), request.POST.get("open", ""))
    if waiting and _chosen_list(request).params:
        return _open(request, waiting)
    messages.info(request, say("Nothing is left to take on this list."))
    return redirect(reverse("queue") + query(request))


def _open(request: Request, flag_id: str) -> HttpResponse:
    return redirect(reverse("flag", args=[flag_id]) + query(request))


def next_of(flag_ids: Sequence[str], open_id: str) -> str:
    """The flag of a list after the open one; the first, if none of the list is open."""
    place = flag_ids.index(open_id) + 1 if open_id in flag_ids else 0
    return flag_ids[place] if place < len(flag_ids) else ""


def save_filter(request: Request) -> HttpResponse:
    """Save the present filters under a name; an existing filter of that name is replaced."""
    name, saved_query = (
        request.POST.get("name", "").strip()[:NAME],
        QueryDict(request.POST.get("query", "").lstrip("?")),
    )
    own = SavedFilter.objects.filter(user=request.user)
    if name and len(saved_query.urlencode()) <= LONGEST_QUERY and own.count() < MOST_SAVED:
        own.update_or_create(user=request.user, name=name, defaults={"query": saved_query.urlencode()})
    else:
        messages.warning(
            request, say("A filter needs a name, and you can keep %(many)s of them.") % {"many": MOST_SAVED}
        )
    return redirect(f"{reverse('queue')}?{saved_query.urlencode()}")


def delete_filter(request: Request, pk: int) -> HttpResponse:
    """Delete one of the user's own filters."""
    get_object_or_404(SavedFilter, pk=pk, user=request.user).delete()
    return redirect(reverse("queue") + query(request))


def listing(request: Request) -> dict[str, Any]:
    """What the left pane shows."""
    queue_filter = QueueFilter(request.GET, request.user)
    page = _page(request, queue_filter.qs.only(*ROW_FIELDS))
    for flag in page:
        as_row(flag, request.user, is_blind=request.GET.get("of") == "second_look")
    chosen_list = _chosen_list(request)
    fields = [queue_filter.form[name] for name in FIELDS]
    return {
        "page": page,
        "lists": [(each, None) for each in LISTS if request.user.role in each.roles],
        "chosen": chosen_list,
        "sort": request.GET.get("sort", "risk"),
        "sorts": SORTS,
        "fields": fields,
        "carried": [(name, value) for name, value in chosen_list.params.items() if name not in FIELDS],
        "narrowed": sum(1 for field in fields if field.data not in (None, "", False, [], [None, None], ["", ""])),
        "saved": SavedFilter.objects.filter(user=request.user).order_by("name"),
        "query": query(request),
        "can_work": request.user.role in REVIEWERS,
        "take_step": uuid4(),
        "keys": keys(),
    }


def query(request: Request) -> str:
    """The list's part of the address, so that a flag opened from the list leads back to it."""
    return f"?{request.GET.urlencode()}" if request.GET else ""


def as_row(flag: Flag, user: User, is_blind: bool = False) -> Flag:
    """A flag, with what its row shows as further attributes. A blind row shows neither rank nor state."""
    today = clock.today()
    as_shown(flag, user)
    flag.is_blind = is_blind
    is_to_approve = flag.state == Flag.State.PROPOSED and user.role in SENIORS
    flag.is_done = flag.state in FINISHED and not is_to_approve
    flag.holder = workflow.holder(flag, clock.now())
    flag.euros = _stakes(flag)
    flag.whose = value_for(user, "member", flag.member_id) or value_for(user, "payee", flag.payee_id)
    days = (flag.first_payment_on - today).days if flag.first_payment_on else -1
    flag.leaves, flag.is_soon = _leaves(days), days < SOON
    flag.age = _age((today - flag.first_flagged_on).days)
    flag.chips = list(_chips(flag, user))
    flag.why = flag.first_reason if flag.headline_reason else _kind_of_change(flag)
    return flag


def _kind_of_change(flag: Flag) -> str:
    """What a row says of a flag without a reason: not that it has none, which would tell the audit sample."""
    if flag.derived:
        return str(EVENTS["account_first_seen"][1])
    return capfirst(say("a change of account") if flag.account_before else say("a first account"))


def _stakes(flag: Flag) -> str:
    """What can still leave, or what has left; nothing if neither is known: a zero says nothing."""
    if flag.amount_at_risk:
        return phrases.euros(flag.amount_at_risk, 0)
    return say("%(amount)s paid") % {"amount": phrases.euros(flag.amount_paid, 0)} if flag.amount_paid > 0 else ""


def _leaves(days: int) -> str:
    if days < 0:
        return ""
    text = ngettext("leaves in %(days)s day", "leaves in %(days)s days", days) % {"days": days}
    return text if days else say("leaves today")


def _age(days: int) -> str:
    text = ngettext("%(days)s day old", "%(days)s days old", days) % {"days": days}
    return text if days else say("new today")


def _chips(flag: Flag, user: User) -> Iterator[tuple[str, str]]:
    """What is special about a flag: a style, and words."""
    if flag.verdict and not flag.is_blind and not flag.needs_second_look:
        yield VERDICT_LOOKS.get(flag.verdict, ""), flag.get_verdict_display()
    elif flag.state != Flag.State.NEW and not flag.is_blind:
        yield "", flag.get_state_display()
    if flag.state == Flag.State.SUPPRESSED and flag.snoozed_until:
        yield " chip-warn", say("until %(day)s") % {"day": phrases.day(flag.snoozed_until, year=False)}
    if flag.origin == Flag.Origin.BY_HAND and flag.place and not flag.is_blind:
        yield "", flag.get_origin_display()  # at place 0 it stands in place of the rank
    if flag.ring_size > 1:
        yield " chip-warn", say("Ring of %(many)s") % {"many": flag.ring_size}
    if flag.is_escalated:
        yield " chip-bad", say("Escalated")
    if flag.holder == user:
        yield " chip-good", say("You have it")
    elif flag.holder:
        yield "", str(flag.holder)
    elif flag.assigned_to:
        yield "", say("For %(user)s") % {"user": flag.assigned_to}


def _filter_of(each: List, user: User) -> QueueFilter:
    params = QueryDict(mutable=True)
    params.update(each.params)
    return QueueFilter(params, user)


def _count_row(flags: QuerySet[Flag], place: int) -> QuerySet[Any]:
    """How many flags a list has, as a row of its place, so that one query counts all lists."""
    return (
        flags.order_by()
        .annotate(number=Value(place))
        .values("number")
        .annotate(many=Count("pk"))
        .values_list("number", "many")
    )


def _chosen_list(request: Request) -> List:
    """The list whose whole filter is in the address; of several, the last, which is the most specific."""
    return [each for each in LISTS if all(request.GET.get(name) == value for name, value in each.params.items())][-1]


def _page(request: Request, flags: QuerySet[Flag]) -> Any:
    return Paginator(flags, PAGE).get_page(request.GET.get("page"))


ROUTES = (
    Route("queue", "", queue, READERS, menu=_("Queue")),
    Route("lists", "queue/lists", lists, READERS),
    Route("queue-changes", "queue/changes", changes, READERS),
    Route("take-next", "queue/next", take, REVIEWERS, ("POST",)),
    Route("save-filter", "queue/filters", save_filter, READERS, ("POST",)),
    Route("delete-filter", "queue/filters/<int:pk>/delete", delete_filter, READERS, ("POST",)),
)
