"""Signing in at the insurer's own provider, by OpenID Connect: code flow with state, nonce and PKCE.

This adds checks that the library lacks: the token must be for this application, from the issuer and not expired, and
the provider's user information must be about the subject of the token.
"""

from __future__ import annotations

import logging
from typing import Any

import jwt
import requests
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.utils.translation import gettext as say
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from payeewatch.triage.access.oidc import Provider
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route, start_of
from payeewatch.triage.models import User
from payeewatch.triage.records import audit, second_factors
from payeewatch.triage.roles import ANYBODY

LOG = logging.getLogger(__name__)
LEEWAY = 30  # seconds that the provider's clock may differ from this machine's


class SignOn(OIDCAuthenticationBackend):
    """Find the user whom the provider has identified."""

    def authenticate(self, request: Request | None, **words: Any) -> User | None:
        return super().authenticate(request, **words) if words.get("nonce") else None

    def user_can_authenticate(self, user: Any) -> bool:
        """Asked at each request."""
        return super().user_can_authenticate(user) and user.is_genuine

    def _verify_jws(self, payload: str, key: Any) -> dict[str, Any]:
        return jwt.decode(
            payload,
            key,
            algorithms=[self.OIDC_RP_SIGN_ALGO],
            audience=_provider().client_id,
            issuer=_provider().issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> User | None:
        user_info = self.get_userinfo(access_token, id_token, payload)
        if user_info.get("sub") != payload["sub"]:
            raise SuspiciousOperation("the provider's user information is about somebody else")
        return _user_of(payload | user_info)

    def get_user(self, user_id: int) -> User | None:
        user = super().get_user(user_id)
        return user if user and user.is_active else None


def _provider() -> Provider:
    assert settings.OIDC, "these addresses exist only with a provider"
    return settings.OIDC


@transaction.atomic
def _user_of(claims: dict[str, Any]) -> User | None:
    """The user bound to the provider's subject; the first time, the user of that name, who is then bound to it."""
    provider, subject = _provider(), str(claims["sub"])
    user = User.objects.filter(subject=subject).first()
    name = str(claims.get(provider.username_claim) or "")
    role = provider.role_of(claims) if provider.role_claim else None
    if provider.role_claim and role is None:
        return None
    if user is None and name:
        user = User.objects.filter(username=name, subject="").first()
        if user is None and provider.may_create and not User.objects.filter(username=name).exists():
            user = User(username=name, role=role or "")
            user.set_unusable_password()
            user.full_clean()
            user.save()
            audit.record(None, "make_user", name=name, role=role, by="single sign-on")
    if user is None or not user.is_genuine or not second_factors.is_as_listed(user.pk):
        return None
    if user.subject != subject:
        user.subject = subject
        user.save(update_fields=["subject"])
        audit.record(None, "bind_user", name=user.username, by="single sign-on")
    if role and user.role != role:
        was, user.role = user.role, role
        user.save(update_fields=["role"])
        audit.record(None, "change_user", name=user.username, role=role, was=was, by="single sign-on")
    return user


REFUSALS = (SuspiciousOperation, ValidationError, jwt.PyJWTError, requests.RequestException, KeyError, ValueError)
"""Failures of a sign-on that are not internal errors."""


class Return(OIDCAuthenticationCallbackView):
    """Back from the provider: sign in, or say only that it did not work."""

    def get(self, request: Request) -> HttpResponse:
        try:
            return super().get(request)
        except REFUSALS as error:
            LOG.warning("single sign-on was refused: %s", type(error).__name__)
            return self.login_failure()

    @property
    def success_url(self) -> str:
        return self.request.session.get("oidc_login_next") or start_of(self.user)

    def login_failure(self) -> HttpResponse:
        audit.record(None, "sign_on_refused")
        messages.error(self.request, say("Single sign-on did not let you in. Ask your administrator."))
        return super().login_failure()


ROUTES = (
    Route("sign-on", "sign-on", OIDCAuthenticationRequestView.as_view(), ANYBODY),
    Route("sign-on-return", "sign-on/return", Return.as_view(), ANYBODY),
)
