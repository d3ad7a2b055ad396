"""Signing in and out, and one's own password."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, UsernameField
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from payeewatch.triage import clock
from payeewatch.triage.access import sessions
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route, start_of
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import ANYBODY, EVERYBODY

LONGEST_NAME = 150
"""As long as the column of user names."""
MOST_WRONG_PASSWORDS = 5


class SignInForm(AuthenticationForm):
    """After a refusal the password is what one types again."""

    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": _("User name and password do not fit together. Mind capital letters.")
    }

    username = UsernameField(max_length=LONGEST_NAME, widget=forms.TextInput({"autofocus": True}))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.is_bound:
            self.fields["username"].widget.attrs.pop("autofocus", None)
            self.fields["password"].widget.attrs["autofocus"] = True


class SignIn(LoginView):
    """Ask who the user is. The page does not say why a sign-in was refused, nor whether the name exists."""

    template_name = "triage/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        return start_of(self.request.user)

    def get_context_data(self, **words: Any) -> dict[str, Any]:
        return super().get_context_data(**words) | {"sign_on": settings.OIDC}


def locked_out(request: Request, original: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """Say that there were too many attempts; the same for an unknown name."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    return render(request, "triage/locked_out.html", {"minutes": minutes}, status=429)


@sensitive_post_parameters()
def password(request: Request) -> HttpResponse:
    """Change one's own password. Every other session of the user ends."""
    user = request.user
    if not user.has_usable_password():
        raise PermissionDenied  # signs in only through single sign-on
    if _wrong_passwords(user) >= MOST_WRONG_PASSWORDS:
        return locked_out(request, None, {})
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and "old_password" in form.errors:
        audit.record(user, "password_refused")
        if _wrong_passwords(user) >= MOST_WRONG_PASSWORDS:  # perhaps somebody else, in a session that was left open
            sessions.end_all(user)
            return locked_out(request, None, {})
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["old_password"] == form.cleaned_data["new_password1"]:
            form.add_error("new_password1", say("Choose another password than the one you have."))
        else:
            user.must_change_password = False
            with transaction.atomic():
                form.save()
                update_session_auth_hash(request, user)
                audit.record(user, "change_password")
            messages.success(request, say("Your password was changed. Your other sessions have ended."))
            return redirect(start_of(user))
    return render(request, "triage/password.html", {"form": form, "first": user.must_change_password})


def _wrong_passwords(user: User) -> int:
    """How often somebody typed a wrong present password into the user's form lately."""
    since = clock.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    return AuditRecord.objects.filter(user=user.username, action="password_refused", at__gte=since).count()


def form_token(request: Request) -> HttpResponse:
    """The token of this session's forms, for a page that was opened before the user signed in again."""
    return JsonResponse({"token": get_token(request), "user": str(request.user.pk)})


def end_sessions(request: Request) -> HttpResponse:
    """Sign out everywhere else."""
    sessions.end_all(request.user)
    update_session_auth_hash(request, request.user)
    audit.record(request.user, "end_sessions")
    messages.success(request, say("Your other sessions have ended."))
    return redirect("preferences")


ROUTES = (
    Route("sign-in", "sign-in", sensitive_post_parameters()(SignIn.as_view()), ANYBODY, ("GET", "POST")),
    Route("sign-out", "sign-out", LogoutView.as_view(), EVERYBODY, ("POST",), second_factor=False),
    Route("password", "password", password, EVERYBODY, ("GET", "POST")),
    Route("form-token", "form-token", form_token, EVERYBODY),
    Route("end-sessions", "sessions/end", end_sessions, EVERYBODY, ("POST",)),
)
