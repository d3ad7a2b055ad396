"""A user's own choices: language, colours, second factor, password. A language can be chosen before signing in too."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import user_has_device

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import User
from payeewatch.triage.roles import ANYBODY, EVERYBODY
from payeewatch.triage.workspace import home

YEAR = 365 * 24 * 3600


class Preferences(forms.ModelForm):
    """What is stored with the user."""

    class Meta:
        model = User
        fields = ("language", "theme")


def preferences(request: Request) -> HttpResponse:
    """Show or change one's own choices."""
    user = request.user
    form = Preferences(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        user.save(update_fields=form.Meta.fields)
        return _with_language_cookie(redirect(_next(request, "preferences")), user.language)
    context = {
        "form": form,
        "has_device": user_has_device(user),
        "must_have_device": user.role in home().params.triage.totp_roles,
    }
    return render(request, "triage/preferences.html", context)


def language(request: Request) -> HttpResponse:
    """Choose the language of the pages before signing in."""
    code = request.POST.get("language", "")
    answer = redirect(_next(request, "sign-in"))
    return _with_language_cookie(answer, code) if code in dict(settings.LANGUAGES) else answer


def _next(request: Request, default: str) -> str:
    target = request.POST.get("next", "")
    is_own_page = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if is_own_page and target.startswith("/") else resolve_url(default)


def _with_language_cookie(answer: HttpResponse, code: str) -> HttpResponse:
    answer.set_cookie(
        settings.LANGUAGE_COOKIE_NAME, code, max_age=YEAR, secure=settings.IS_HTTPS, httponly=True, samesite="Lax"
    )
    return answer


ROUTES = (
    Route("preferences", "preferences", preferences, EVERYBODY, ("GET", "POST")),
    Route("language", "language", language, ANYBODY, ("POST",)),
)
