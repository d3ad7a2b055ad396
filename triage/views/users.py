"""The users, for administrators: who they are, their roles, and how they sign in. No flag is shown here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from axes.models import AccessAttempt
from axes.utils import reset
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django_otp import user_has_device
from django_otp.plugins.otp_totp.models import TOTPDevice

from payeewatch.triage import clock
from payeewatch.triage.access import sessions
from payeewatch.triage.access.passwords import give_password
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import AccessChange, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import ADMINISTRATORS, GUARDED
from payeewatch.triage.views.second_factor import forget_devices


class Person(forms.ModelForm):
    """What an administrator decides about a user."""

    class Meta:
        model = User
        fields = ("username", "role", "member_id", "household_id")
        help_texts = {  # noqa: RUF012
            "username": _("Shown in the audit log for good. It cannot be changed later."),
            "member_id": _("If they are insured here: nobody sees or decides what is about their own household."),
        }

    def __init__(self, *args: Any, by: User, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk:
            del self.fields["username"]
        if self.instance == by:
            self.fields["role"].disabled = True  # another administrator must take the role away


def users(request: Request) -> HttpResponse:
    """List the users."""
    has_device = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
    attempts = AccessAttempt.objects.filter(
        username=OuterRef("username"), failures_since_start__gte=settings.AXES_FAILURE_LIMIT
    )
    people = User.objects.annotate(has_device=Exists(has_device), is_locked=Exists(attempts))
    people = people.order_by("-is_active", "username")
    waiting = AccessChange.objects.select_related("person", "by").order_by("at")
    return render(request, "triage/users.html", {"users": people, "waiting": waiting})


@never_cache
def new_user(request: Request) -> HttpResponse:
    """Make a user, and show their first password, only once."""
    form = Person(request.POST or None, by=request.user)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            person = form.save(commit=False)
            if person.role in GUARDED:
                person.is_active = False
                person.set_unusable_password()
                person.save()
                return _ask(request, person, What.MAKE, person.role)
            password = give_password(person)
            person.save()
            audit.record(request.user, "make_user", name=person.username, role=person.role)
        return _show_password(request, person, password)
    return render(request, "triage/user.html", {"form": form})


def user(request: Request, user_id: int) -> HttpResponse:
    """Show or change a user's role and household. Another role ends their sessions."""
    person = get_object_or_404(User, pk=user_id)
    old_role = person.role
    form = Person(request.POST or None, instance=person, by=request.user)
    if request.method == "POST" and form.is_valid():
        if form.changed_data:
            with transaction.atomic():
                new_role = person.role
                if is_guarded := new_role in GUARDED and new_role != old_role:
                    person.role = old_role  # until somebody confirms it
                form.save()
                role_change = {"role": person.role, "was": old_role} if person.role != old_role else {}
                changed_fields = [name for name in form.changed_data if name != "role"]
                if changed_fields or role_change:
                    audit.record(
                        request.user, "change_user", name=person.username, changed=changed_fields, **role_change
                    )
                if is_guarded:
                    return _ask(request, person, What.ROLE, new_role)
        messages.success(request, say("Saved."))
        return redirect("user", person.pk)
    context = {
        "form": form,
        "person": person,
        "is_self": person == request.user,
        "has_device": user_has_device(person),
        "is_locked_out": AccessAttempt.objects.filter(username=person.username).exists(),
    }
    return render(request, "triage/user.html", context)


@never_cache
def do_to_user(request: Request, user_id: int, what: str) -> HttpResponse:
    """Withdraw or give back access, give a new password, unlock, or forget the second factor of a user."""
    person = get_object_or_404(User, pk=user_id)
    if what not in USER_ACTIONS:
        raise Http404
    if person == request.user:
        raise PermissionDenied  # two administrators: nobody locks out the last one, or resets their own factor
    with transaction.atomic():
        if person.role in GUARDED and what in What:
            return _ask(request, person, What(what))
        password = USER_ACTIONS[what](person)
        audit.record(request.user, what.replace("-", "_"), name=person.username)
    if password:
        return _show_password(request, person, password)
    messages.success(request, say("Done."))
    return redirect("user", person.pk)


def _ask(request: Request, person: User, what: AccessChange.What, role: str = "") -> HttpResponse:
    """Store what an administrator asks for, until another one confirms it."""
    with transaction.atomic():
        AccessChange.objects.update_or_create(
            person=person, what=what, defaults={"role": role, "by": request.user, "at": clock.now()}
        )
        audit.record(request.user, "ask_access_change", name=person.username, what=what, role=role)
    messages.warning(request, say("Another administrator must confirm this, or somebody at the machine does it."))
    return redirect("users")


@never_cache
def answer_change(request: Request, pk: int, answer: str) -> HttpResponse:
    """Confirm what another administrator asked for, or refuse it; one's own request can be taken back."""
    if answer not in ("confirm", "refuse"):
        raise Http404
    with transaction.atomic():
        audit.take_turn()
        change = get_object_or_404(AccessChange.objects.select_related("person"), pk=pk)
        person, is_ours = change.person, change.is_genuine
        if answer == "confirm" and (request.user.pk in (change.by_id, person.pk) or not is_ours):
            raise PermissionDenied  # two people, who both asked for it here
        password = _do_change(change) if answer == "confirm" else None
        names = {"name": person.username, "what": change.what, "role": change.role, "asked_by": change.by.username}
        change.delete()
        if answer == "refuse" and change.what == What.MAKE and is_ours:  # else it may be about anybody
            person.delete()
        audit.record(request.user, f"{answer}_access_change", **names)  # last: it lists what was deleted
    if password:
        return _show_password(request, person, password)
    messages.success(request, say("Done."))
    return redirect("users")


def _do_change(change: AccessChange) -> str | None:
    """Do what was asked for. Returns the new password, if it gives one."""
    person = change.person
    if change.what == What.MAKE:
        person.is_active = True
        return _new_password(person)
    if change.what == What.ROLE:
        person.role = change.role
        person.save(update_fields=["role"])
        return None
    return USER_ACTIONS[change.what](person)


What = AccessChange.What


def _new_password(person: User) -> str:
    password = give_password(person)
    person.save()
    return password


def _withdraw(person: User) -> None:
    person.is_active = False
    person.save(update_fields=["is_active"])
    sessions.end_all(person)


def _admit(person: User) -> None:
    person.is_active = True
    person.save(update_fields=["is_active"])


def _unlock(person: User) -> None:
    reset(username=person.username)


def _reset_second_factor(person: User) -> None:
    forget_devices(person)
    sessions.end_all(person)


USER_ACTIONS: Mapping[str, Callable[[User], str | None]] = {
    "withdraw-user": _withdraw,
    "admit-user": _admit,
    "new-password": _new_password,
    "unlock-user": _unlock,
    "reset-second-factor": _reset_second_factor,
}


def _show_password(request: Request, person: User, password: str) -> HttpResponse:
    return render(request, "triage/first_password.html", {"person": person, "password": password})


ROUTES = (
    Route("users", "users", users, ADMINISTRATORS, menu=_("Users")),
    Route("new-user", "users/new", new_user, ADMINISTRATORS, ("GET", "POST")),
    Route("user", "users/<int:user_id>", user, ADMINISTRATORS, ("GET", "POST")),
    Route("answer-change", "users/changes/<int:pk>/<str:answer>", answer_change, ADMINISTRATORS, ("POST",)),
    Route("do-to-user", "users/<int:user_id>/do/<str:what>", do_to_user, ADMINISTRATORS, ("POST",)),
)
