"""The flags to work on, and the filters of the queue. Filters can be combined."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import django_filters as filters
from django import forms
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters.widgets import RangeWidget

from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.exchange.audit_sample import of_queue
from payeewatch.triage.exchange.ending_soon import holds_ending, suppressions_ending
from payeewatch.triage.models import OPEN, Decision, Flag, Step, User
from payeewatch.triage.roles import NAMED_READERS
from payeewatch.triage.work.workflow import State
from payeewatch.triage.workspace import home

TO_TAKE = (State.NEW, State.RETURNED, State.REOPENED)
"""States of open flags that wait neither for another person nor for a day."""
AWAITING = (State.AWAITING_MEMBER, State.AWAITING_BANK)
SORTS = {
    "risk": ("is_waiting", "place", "flag_id"),
    "urgency": (F("first_payment_on").asc(nulls_last=True), "is_waiting", "place", "flag_id"),
}
"""What to look at first: the largest expected loss, or the earliest payment."""


def work_list(user: User) -> QuerySet[Flag]:
    """Open flags of the last night, and those on which work has begun; never one about the user's own household."""
    return _visible_to(user).filter(in_work=True)


def to_take(user: User, flags: QuerySet[Flag] | None = None) -> QuerySet[Flag]:
    """What somebody may take next, of a list or of all open flags: not what a colleague has or was given."""
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=clock.now())
    own = Q(assigned_to__isnull=True) | Q(assigned_to=user)
    listed = work_list(user).order_by(*SORTS["risk"]) if flags is None else flags
    return listed.filter(free, own, state__in=TO_TAKE)


def to_approve(user: User) -> QuerySet[Flag]:
    """Flags with a proposal that another user made: open ones, and closed ones that somebody wants to open again."""
    waiting = Decision.objects.filter(state=Decision.State.PENDING).exclude(by=user)
    return _visible_to(user).filter(pk__in=waiting.values("flag"))  # few: the database begins with them


def for_second_look(user: User) -> QuerySet[Flag]:
    """Closed flags that were drawn for a second look, and that this user has not judged."""
    own = Decision.objects.filter(Q(by=user) | Q(approver=user), flag=OuterRef("pk"), kind=Decision.Kind.VERDICT)
    return _visible_to(user).filter(~Exists(own), state=State.CLOSED, needs_second_look=True)


def with_holds_ending(user: User) -> QuerySet[Flag]:
    """Flags with a hold that ends soon, open or closed."""
    return _visible_to(user).filter(pk__in=holds_ending().values("flag"))


def back_soon(user: User) -> QuerySet[Flag]:
    """Suppressed flags that come back into work soon."""
    return _visible_to(user).filter(pk__in=suppressions_ending().values("pk"))


def closed_today(user: User) -> QuerySet[Flag]:
    """Flags on which this user decided today, and that are closed."""
    start = datetime.combine(clock.today(), time(), ZoneInfo(home().params.timezone))
    own = Decision.objects.filter(Q(by=user) | Q(approver=user), kind=Decision.Kind.VERDICT, decided_at__gte=start)
    return _visible_to(user).filter(pk__in=own.values("flag"), state=State.CLOSED, closed_at__gte=start)


def audit_sample(user: User) -> QuerySet[Flag]:
    """The audit sample, once it is judged: until then nobody can tell it from the flags to review."""
    return _visible_to(user).filter(queue=Flag.Queue.AUDIT, state=State.CLOSED)


def next_payment_run(user: User | None = None, after: date | None = None) -> date | None:
    """The next day on which a payment of an open flag is made: today or later, or after a day."""
    flags = _visible_to(user) if user else Flag.objects.all()
    ahead = flags.filter(is_current=True, state__in=OPEN, first_payment_on__gte=clock.today())
    if after:
        ahead = ahead.filter(first_payment_on__gt=after)
    return ahead.aggregate(day=Min("first_payment_on"))["day"]


def _visible_to(user: User) -> QuerySet[Flag]:
    return household.visible(Flag.objects.select_related("claimed_by", "assigned_to"), user)


STARTS = {
    "": work_list,
    "to_approve": to_approve,
    "holds_ending": with_holds_ending,
    "suppression_ends": back_soon,
    "closed_today": closed_today,
    "second_look": for_second_look,
    "audit_sample": audit_sample,
}
STARTS_LABELS = {
    "to_approve": _("To approve"),
    "holds_ending": _("Holds that end soon"),
    "suppression_ends": _("Suppressions that end soon"),
    "closed_today": _("Closed by me today"),
    "second_look": _("Second look"),
    "audit_sample": _("Audit sample"),
}
QUEUES = [(queue.value, queue.label) for queue in (Flag.Queue.HOLD, Flag.Queue.REVIEW)]
"""The queues of open flags. The audit sample is shown as flags to review."""
DAY = forms.DateInput({"type": "date"})


class Between(RangeWidget):
    """Two fields, each with its own label for users of screen readers."""

    def __init__(self) -> None:
        super().__init__(attrs={"inputmode": "decimal", "size": 8})
        for field, label in zip(self.widgets, (_("At risk, at least"), _("At risk, at most")), strict=True):
            field.attrs = field.attrs | {"aria-label": label}


class QueueFilter(filters.FilterSet):
    """The filters of the queue. `QueueFilter(request.GET, user).qs` is sorted; `sort` is risk or urgency."""

    of = filters.ChoiceFilter(
        label=_("Of"),
        choices=list(STARTS_LABELS.items()),
        empty_label=_("The queue"),
        method="_unchanged",
    )
    queue = filters.MultipleChoiceFilter(
        label=_("Queue"), choices=QUEUES, widget=forms.CheckboxSelectMultiple, method="_in_queue"
    )
    state = filters.MultipleChoiceFilter(
        label=_("State"), choices=Flag.State.choices, widget=forms.CheckboxSelectMultiple
    )
    mine = filters.BooleanFilter(label=_("Mine"), widget=forms.CheckboxInput, method="_mine")
    due = filters.BooleanFilter(
        label=_("Due before the next payment run"), widget=forms.CheckboxInput, method="_before_next_run"
    )
    due_by = filters.DateFilter(label=_("Payment by"), field_name="first_payment_on", lookup_expr="lte", widget=DAY)
    rings = filters.BooleanFilter(label=_("Rings"), widget=forms.CheckboxInput, method="_rings")
    ring = filters.CharFilter(label=_("Ring"), widget=forms.HiddenInput, method="_of_ring")
    awaiting = filters.BooleanFilter(label=_("Awaiting an answer"), widget=forms.CheckboxInput, method="_awaiting")
    untouched = filters.BooleanFilter(label=_("Not triaged"), widget=forms.CheckboxInput, method="_untouched")
    escalated = filters.BooleanFilter(label=_("Escalated"), widget=forms.CheckboxInput, method="_escalated")
    exposed = filters.BooleanFilter(label=_("Exposed"), widget=forms.CheckboxInput, method="_exposed")
    breach = filters.CharFilter(label=_("Exposed by breach"), method="_breach")
    amount = filters.RangeFilter(label=_("At risk, euros"), field_name="amount_at_risk", widget=Between)
    older = filters.NumberFilter(label=_("Flagged at least so many days ago"), min_value=0, method="_older")
    q = filters.CharFilter(label=_("Change, member or payee"), method="_contains")
    sort = filters.ChoiceFilter(
        label=_("First"),
        choices=[("risk", _("What is most at risk")), ("urgency", _("What leaves first"))],
        empty_label=None,
        method="_unchanged",
    )

    class Meta:
        model = Flag
        fields = ()

    def __init__(self, data: Mapping[str, Any], user: User) -> None:
        self.user = user
        super().__init__(data, queryset=STARTS.get(data.get("of", ""), work_list)(user))

    def for_audit_log(self) -> dict[str, Any]:
        """The filters as the audit log stores them: what somebody typed is replaced by an ellipsis."""
        values = self.form.cleaned_data if self.form.is_valid() else {}
        typed = {name for name, each in self.filters.items() if type(each) is filters.CharFilter}
        entries = {name: "…" if name in typed else value for name, value in sorted(values.items()) if value}
        return {name: value if isinstance(value, list | str | bool) else str(value) for name, value in entries.items()}

    def filter_queryset(self, queryset: QuerySet[Flag]) -> QuerySet[Flag]:
        """Filter and sort."""
        narrowed = super().filter_queryset(queryset)
        return narrowed.order_by(*SORTS[self.form.cleaned_data.get("sort") or "risk"])

    def _unchanged(self, flags: QuerySet[Flag], name: str, value: Any) -> QuerySet[Flag]:
        return flags  # this filter sets the list or the order, which is done elsewhere

    def _in_queue(self, flags: QuerySet[Flag], name: str, value: list[str]) -> QuerySet[Flag]:
        return flags.filter(Q(*map(of_queue, value), _connector=Q.OR)) if value else flags

    def _mine(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        claimed = Q(claimed_by=self.user, claimed_until__gt=clock.now())
        own = Step.objects.filter(flag=OuterRef("pk"), user=self.user, undone_at=None).exclude(action="note")
        given = Q(assigned_to=self.user)
        begun = ~Q(state__in=(State.NEW, State.PROPOSED)) & Exists(own)  # a proposal waits for somebody else
        return flags.filter(given | claimed | begun) if value else flags

    def _before_next_run(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        if not value:
            return flags
        today = clock.today()
        return flags.filter(first_payment_on__range=(today, next_payment_run(self.user) or today))

    def _rings(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        alone = household.alone_without_own(self.user) if value else []
        return flags.filter(ring_size__gt=1).exclude(ring__in=alone) if value else flags

    def _of_ring(self, flags: QuerySet[Flag], name: str, value: str) -> QuerySet[Flag]:
        return flags.filter(ring=household.stored_ring(value, self.user))

    def _awaiting(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        return flags.filter(state__in=AWAITING) if value else flags

    def _untouched(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        begun = Step.objects.filter(flag=OuterRef("pk"), undone_at=None)
        return flags.filter(~Exists(begun), state=State.NEW) if value else flags

    def _escalated(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        return flags.filter(is_escalated=True) if value else flags

    def _exposed(self, flags: QuerySet[Flag], name: str, value: bool) -> QuerySet[Flag]:
        return flags.exclude(breach_ids=[]) if value else flags

    def _breach(self, flags: QuerySet[Flag], name: str, value: str) -> QuerySet[Flag]:
        return flags.filter(breach_ids__icontains=f'"{value}"')

    def _older(self, flags: QuerySet[Flag], name: str, value: Any) -> QuerySet[Flag]:
        return flags.filter(first_flagged_on__lte=clock.today() - timedelta(days=min(int(value), 36_500)))

    def _contains(self, flags: QuerySet[Flag], name: str, value: str) -> QuerySet[Flag]:
        condition = Q(flag_id=value)
        if self.user.role in NAMED_READERS:  # a user who sees pseudonyms could find out whose they are
            for field in ("change_id", "member_id", "payee_id", "household_id"):
                condition |= Q(**{f"{field}__icontains": value})
        return flags.filter(condition)
