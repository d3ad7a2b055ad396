"""Cases put together by hand: a flag joins the ring of another flag, or is taken out of its ring.

Nights tie flags that share an account, a device or an actor. What people put together or take apart stays so when a
later night ties the flags anew.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.access import household
from payeewatch.triage.models import Flag, User, is_own_household
from payeewatch.triage.work.workflow import ActionContext, ActionForm, Details, Refused, State, action


class JoinForm(ActionForm):
    """Into the ring of which flag; when many are joined at once, into that of the first."""

    is_of_flag = True
    with_flag = forms.CharField(label=_("Into the ring of"), max_length=40)

    def clean_with_flag(self) -> Flag:
        flags = household.visible(Flag.objects.all(), self.user) if self.user else Flag.objects.all()
        other = flags.filter(pk=self.cleaned_data["with_flag"].strip()).first()
        if not other:
            raise forms.ValidationError(say("There is no such flag."))
        return other


@action(
    _("Put into one case"),
    help=_("These flags are one case from now on, also when later nights tie them anew."),
    states=frozenset(State),
    form=JoinForm,
    claims=False,
)
def join_case(context: ActionContext, with_flag: Flag) -> Details:
    flag = context.flag
    if is_own_household(with_flag, context.user):
        raise Refused(say("You may not do this."))
    if with_flag.pk != flag.pk:
        _move(flag, with_flag.pk, with_flag.ring)
    return {"ring": flag.ring, "with": with_flag.pk}


def _alone(flag: Flag, user: User, at: Any) -> str:
    return "" if household.ring_size(flag, user) > 1 else say("This flag is in no ring.")


@action(
    _("Take out of the ring"),
    help=_("This flag is a case of its own from now on, also when later nights tie it to others."),
    states=frozenset(State),
    claims=False,
    blocked_by=_alone,
)
def leave_case(context: ActionContext) -> Details:
    was = context.flag.ring
    _move(context.flag, context.flag.pk, "")
    return {"ring": was}


def _move(flag: Flag, by_hand: str, ring: str) -> None:
    """Put a flag into a ring, or into none; each ring is named by its smallest flag."""
    _name_ring(sorted(Flag.objects.filter(ring=flag.ring).exclude(pk=flag.pk).values_list("pk", flat=True)))
    joined = Flag.objects.filter(ring=ring).exclude(pk=flag.pk) if ring else Flag.objects.none()
    _name_ring(sorted([*joined.values_list("pk", flat=True), flag.pk]))
    Flag.objects.filter(pk=flag.pk).update(ring_by_hand=by_hand)
    flag.refresh_from_db(fields=["ring", "ring_size", "ring_by_hand"])


def _name_ring(flag_ids: list[str]) -> None:
    if flag_ids:
        Flag.objects.filter(pk__in=flag_ids).update(ring=flag_ids[0], ring_size=len(flag_ids))
