"""Signing in and out, the second factor, and a user's own choices."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from triage.roles import ANYBODY, EVERYBODY
from triage.route import Route


def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for the code of the authenticator application."""
    return render(request, "triage/second_factor.html")


ROUTES = (
    Route("sign-in", "sign-in", LoginView.as_view(template_name="triage/sign_in.html"), ANYBODY, ("GET", "POST")),
    Route("sign-out", "sign-out", LogoutView.as_view(), EVERYBODY, ("POST",), second_factor=False),
    Route("second-factor", "second-factor", second_factor, EVERYBODY, ("GET", "POST"), second_factor=False),
)
