"""Full values from the vault: one per request, with a reason, and only after the audit record is stored."""

from __future__ import annotations

import json
import logging
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db import models, transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from payeewatch.pipeline.home import vault
from payeewatch.triage import clock
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.identifying import looks_identifying
from payeewatch.triage.models import AuditRecord, Flag, Note, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.workspace import home, keys

LOG = logging.getLogger(__name__)


class Value(models.TextChoices):
    """What can be revealed."""

    FAMILY_NAME = "family_name", _("Family name")
    GIVEN_NAMES = "given_names", _("Given names")
    BIRTH_NAME = "birth_name", _("Birth name")
    NATIONAL_ID = "national_id", _("National id")
    ACCOUNT = "account", _("New account")
    OLD_ACCOUNT = "old_account", _("Account before")
    HOLDER = "holder", _("Account holder as declared")


OF_MEMBER = (Value.FAMILY_NAME, Value.GIVEN_NAMES, Value.BIRTH_NAME, Value.NATIONAL_ID)


class Why(models.TextChoices):
    """Why a full value is needed."""

    CALL_BACK = "call_back", _("To call the member back")
    BANK_CHECK = "bank_check", _("To ask the bank")
    PROVIDER_CHECK = "provider_check", _("To ask the provider")
    RIGHT_PERSON = "right_person", _("To be sure which person it is")
    COMPLAINT = "complaint", _("For a complaint or a referral")


class RevealForm(forms.Form):
    """One value, and why. The text is a note of the flag and is deleted with it; the audit log has its number."""

    value = forms.ChoiceField(label=_("Value"))
    why = forms.ChoiceField(label=_("Reason"), choices=[("", _("Choose a reason")), *Why.choices])
    more = forms.CharField(
        label=_("More about the reason"),
        required=False,
        max_length=200,
        help_text=_("Kept with the flag. No name, number or account."),
    )

    def __init__(self, *args: Any, flag: Flag) -> None:
        super().__init__(*args)
        value: Any = self.fields["value"]
        value.choices = [(value, value.label) for value in revealable(flag)]

    def clean_more(self) -> str:
        more = str(self.cleaned_data["more"]).strip()
        if looks_identifying(more):
            raise forms.ValidationError(_("This looks like an account or a national id. Say it without the number."))
        return more


class TooMany(Exception):
    """The user has revealed as many values today as one user may."""


def revealable(flag: Flag) -> dict[Value, tuple[str, str]]:
    """The values of a flag in the vault: for each, the kind and the ref under which it is sealed."""
    member = dict.fromkeys(OF_MEMBER, ("member", flag.member_id)) if flag.member_id else {}
    refs = {**member, Value.ACCOUNT: ("account", flag.account)}
    evidence = flag.evidence.order_by("-night", "-pk").first()
    before = (evidence.body.get("before") or {}).get("account") if evidence else None
    if before:
        refs[Value.OLD_ACCOUNT] = ("account", before)
    return refs if flag.derived else {**refs, Value.HOLDER: ("holder", flag.change_id)}


@sensitive_variables("original")
def reveal(request: Request, flag_id: str) -> HttpResponse:
    """Ask for a value and a reason; show the value, once."""
    flag = get_object_or_404(Flag, pk=flag_id)
    form = RevealForm(request.POST or None, flag=flag)
    if request.method != "POST" or not form.is_valid():
        return _page(request, flag, form, status=400 if request.method == "POST" else 200)
    value = Value(form.cleaned_data["value"])
    try:
        _keep_record(request.user, flag, value, form.cleaned_data["why"], form.cleaned_data["more"])
    except TooMany:
        form.add_error(None, say("You have revealed as many values today as one user may. Ask a colleague."))
        return _page(request, flag, form, status=429)
    error_class = ""
    try:
        original = _original(value, *revealable(flag)[value])
        return _page(request, flag, RevealForm(flag=flag), value=value, shown=original, is_missing=not original)
    except Exception as error:  # its text may have the value, so it is not logged
        error_class = type(error).__name__
    LOG.error("reveal of %s for %s failed: %s", value, flag_id, error_class)
    form.add_error(None, say("The vault could not be opened. Tell whoever runs PayeeWatch."))
    return _page(request, flag, form, status=500)


def _keep_record(user: User, flag: Flag, value: Value, why: str, more: str) -> None:
    """Commit the record of a reveal.

    Raises:
        TooMany: the user has reached the day's limit; that leaves a record too.
    """
    limit = home().params.triage.reveals_a_day
    start = datetime.combine(clock.today(), time(), ZoneInfo(home().params.timezone))
    with transaction.atomic(durable=True):
        audit.take_turn()
        today = AuditRecord.objects.filter(user=user.username, action="reveal", at__gte=start).count()
        action = "reveal" if today < limit else "reveal_refused"
        note = Note.objects.create(flag=flag, by=user, at=clock.now(), text=more) if more else None
        audit.record(user, action, flag.flag_id, value=value, why=why, **({"note": note.pk} if note else {}))
    if today >= limit:
        LOG.warning("user %s asked for more than %d full values on %s", user.pk, limit, clock.today())
        raise TooMany


@sensitive_variables()
def _original(value: Value, kind: str, ref: str) -> str:
    original = vault.reveal(keys(), home().folder("vault"), kind, ref)
    if original and kind == "member":
        return str(json.loads(original)[value] or "")
    return original or ""


@sensitive_variables("context")
def _page(request: Request, flag: Flag, form: RevealForm, status: int = 200, **context: object) -> HttpResponse:
    template = "triage/_reveal.html" if request.htmx else "triage/reveal.html"
    answer = render(request, template, {"flag": flag, "form": form, **context}, status=status)
    answer["Cache-Control"] = "no-store, private"
    return answer


ROUTES = (Route("reveal", "flags/<str:flag_id>/reveal", reveal, REVIEWERS, ("GET", "POST")),)
