"""The second factor: a code of an authenticator application, or one of the recovery codes on paper."""

from __future__ import annotations

from base64 import b32encode
from typing import Any

import qrcode
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django_otp import devices_for_user, login, user_has_device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from qrcode.image.svg import SvgPathImage

from payeewatch.triage.access.passwords import random_characters, stored_code
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route, must_verify, start_of
from payeewatch.triage.models import User
from payeewatch.triage.records import audit, second_factors
from payeewatch.triage.roles import EVERYBODY

RECOVERY_CODES = 10
CODE_LENGTH = 10


class Code(forms.Form):
    """What the user types; spaces do not count."""

    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )

    def clean_code(self) -> str:
        return "".join(str(self.cleaned_data["code"]).lower().split())


def second_factor(request: Request) -> HttpResponse:
    """Ask for a code; a user who must have a second factor and has none is asked to set one up."""
    user = request.user
    if not user_has_device(user):
        return redirect("set-up-second-factor" if must_verify(user) else start_of(user))
    if user.is_verified():
        return redirect(start_of(user))
    form = Code(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if device := _device_of(user, form.cleaned_data["code"]):
            _renew_session(request, device)
            return redirect(start_of(user))
        audit.record(user, "second_factor_refused")
        form.add_error("code", say("This code is not right, or there were too many attempts. Wait a moment."))
    return render(request, "triage/second_factor.html", {"form": form})


@never_cache
def set_up(request: Request) -> HttpResponse:
    """Show a new key as a picture, take a code made with it, and hand out recovery codes, once."""
    user = request.user
    _refuse_unless_listed(user)
    if user_has_device(user):
        return redirect("second-factor" if not user.is_verified() else "preferences")
    device, _is_new = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": "totp"})
    form = Code(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if device.verify_token(form.cleaned_data["code"]):
            with transaction.atomic():
                device.confirmed = True
                device.save()
                codes = _new_recovery_codes(user)
                second_factors.list_of(user.pk)
                audit.record(user, "set_up_second_factor")
            _renew_session(request, device)
            return render(request, "triage/recovery_codes.html", {"codes": codes, "start": start_of(user)})
        form.add_error("code", say("This code is not right, or there were too many attempts. Wait a moment."))
    context = {"form": form, "picture": _picture(device.config_url), "key": b32encode(device.bin_key).decode()}
    return render(request, "triage/set_up_second_factor.html", context | {"must": must_verify(user)})


@never_cache
def renew_codes(request: Request) -> HttpResponse:
    """Hand out new recovery codes; the old ones no longer work."""
    if not request.user.is_verified():
        return redirect("second-factor")
    _refuse_unless_listed(request.user)
    with transaction.atomic():
        codes = _new_recovery_codes(request.user)
        second_factors.list_of(request.user.pk)
        audit.record(request.user, "renew_recovery_codes")
    return render(request, "triage/recovery_codes.html", {"codes": codes, "start": start_of(request.user)})


def remove(request: Request) -> HttpResponse:
    """Remove one's second factor, to set up another on a new telephone."""
    if not request.user.is_verified():
        return redirect("second-factor")
    _refuse_unless_listed(request.user)
    with transaction.atomic():
        forget_devices(request.user)
        audit.record(request.user, "remove_second_factor")
    messages.success(request, say("Your second factor was removed."))
    return redirect("set-up-second-factor")


def _refuse_unless_listed(user: User) -> None:
    """Nobody renews a second factor that was changed in the database: an administrator resets it.

    Raises:
        PermissionDenied: it is not as the audit log lists it.
    """
    if not second_factors.is_as_listed(user.pk):
        raise PermissionDenied


def forget_devices(user: User) -> None:
    """Delete every device of a user, also recovery codes and devices that are not confirmed, in a transaction."""
    for device in list(devices_for_user(user, confirmed=None)):
        device.delete()
    second_factors.list_of(user.pk)


def _device_of(user: User, code: str) -> Any:
    """The device that a code is of, if any, with a record; a recovery code works once.

    A user whose second factor somebody changed in the database has none whose code counts.
    """
    with transaction.atomic():
        if not second_factors.is_as_listed(user.pk):
            return None
        for device in devices_for_user(user, for_verify=True):
            is_recovery = isinstance(device, StaticDevice)
            if device.verify_token(stored_code(code) if is_recovery else code):
                if is_recovery:
                    second_factors.list_of(user.pk)
                audit.record(user, "second_factor", recovery=is_recovery)
                return device
    return None


def _renew_session(request: Request, device: TOTPDevice | StaticDevice) -> None:
    """Give the session a new key, so that the old one no longer works."""
    request.session.cycle_key()
    login(request, device)


def _new_recovery_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery")
    codes = [random_characters(CODE_LENGTH) for _ in range(RECOVERY_CODES)]
    for code in codes:
        device.token_set.create(token=stored_code(code))
    return codes


def _picture(text: str) -> str:
    image = qrcode.make(text, image_factory=SvgPathImage, box_size=8, border=2)
    # made by the library from the application's own text
    return mark_safe(image.to_string(encoding="unicode"))  # nosec B308


ROUTES = (
    Route("second-factor", "second-factor", second_factor, EVERYBODY, ("GET", "POST"), second_factor=False),
    Route("set-up-second-factor", "second-factor/new", set_up, EVERYBODY, ("GET", "POST"), second_factor=False),
    Route("recovery-codes", "second-factor/codes", renew_codes, EVERYBODY, ("POST",)),
    Route("remove-second-factor", "second-factor/remove", remove, EVERYBODY, ("POST",)),
)
