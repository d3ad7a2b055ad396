"""The API for other systems, version 1: JSON, by token, every call with its record in the audit log.

It changes nothing. What is posted are accounts whose tokens the payment system needs.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import RequestDataTooBig
from django.db.models import QuerySet
from django.http import HttpResponse, JsonResponse, QueryDict
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.triage.access.api_tokens import NotAdmitted, admit
from payeewatch.triage.access.request import Request, route_name
from payeewatch.triage.access.route import Route
from payeewatch.triage.exchange.account_tokens import NotAccounts, NotComputed, account_tokens, accounts_in
from payeewatch.triage.exchange.audit_sample import of_queue, shown_row, shown_rows
from payeewatch.triage.exchange.openapi import DOCUMENT, FLAG_FIELDS, FLAG_ID
from payeewatch.triage.models import ApiToken, Flag, Night
from payeewatch.triage.records import audit
from payeewatch.triage.roles import ANYBODY

LOG = logging.getLogger("payeewatch")
PAGE, LARGEST_PAGE = 100, 500


DAY = ["%Y-%m-%d"]
"""The one way to write a day, whatever the language."""


class NightsQuery(forms.Form):
    """Which nights: `after` is the last one of the page before."""

    after = forms.DateField(required=False, input_formats=DAY)
    size = forms.IntegerField(required=False, min_value=1, max_value=LARGEST_PAGE)


class FlagsQuery(forms.Form):
    """Which flags: `after` is the last flag_id of the page before."""

    night = forms.DateField(required=False, input_formats=DAY)
    queue = forms.ChoiceField(required=False, choices=Flag.Queue.choices)
    state = forms.ChoiceField(required=False, choices=Flag.State.choices)
    after = forms.RegexField(FLAG_ID.replace("$", r"\Z"), required=False, strip=False)
    size = forms.IntegerField(required=False, min_value=1, max_value=LARGEST_PAGE)


def read(scope: str, form: type[forms.Form] = forms.Form) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A view for tokens with a scope; it gets the token and the checked query."""

    def wrap(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def answer(request: Request, **words: Any) -> HttpResponse:
            try:
                token = admit(request, scope)
            except NotAdmitted as error:
                return _error(error.status, str(error))
            query = form(request.GET)
            if wrong := _what_is_wrong(request.GET, query):
                return _error(400, wrong)
            filters = {name: value for name, value in query.cleaned_data.items() if value}
            return view(request, token, filters, **words)

        return answer

    return wrap


def _what_is_wrong(given: QueryDict, query: forms.Form) -> str:
    """Why a query is not understood; empty for one that is. An empty value is refused, so that it never means all."""
    if unknown := sorted(set(given) - set(query.fields)):
        return f"unknown: {', '.join(unknown)}; there are {', '.join(query.fields) or 'none'}"
    if unclear := sorted(name for name, values in given.lists() if len(values) > 1 or not values[0]):
        return f"{', '.join(unclear)}: give one value, or leave it out"
    errors = {name: " ".join(map(str, each)) for name, each in query.errors.items()}
    return "; ".join(f"{name}: {words}" for name, words in errors.items())


@read("flags", FlagsQuery)
def flags(request: Request, token: ApiToken, filters: Mapping[str, Any]) -> HttpResponse:
    """Flags by flag_id, one page per request."""
    matches = Flag.objects.filter(**{name: filters[name] for name in ("night", "state") if name in filters})
    if "queue" in filters:
        matches = matches.filter(of_queue(filters["queue"]))
    some = _rows(matches.filter(pk__gt=filters.get("after", "")))[: _size(filters) + 1]
    rows = [shown_row(row, FLAG_FIELDS) for row in some]
    return _page(request, token, filters, rows, "flag_id")


@read("flags")
def flag(request: Request, token: ApiToken, filters: Mapping[str, Any], flag_id: str) -> HttpResponse:
    """One flag."""
    row = _rows(Flag.objects.filter(pk=flag_id)).first() if re.fullmatch(FLAG_ID, flag_id) else None
    if row is None:
        return _error(404, "there is no such flag")
    audit.record(None, "api_flag", flag_id, token=token.name)
    return JsonResponse(shown_row(row, FLAG_FIELDS))


def _rows(flags: QuerySet[Flag]) -> QuerySet[Flag, dict[str, Any]]:
    return shown_rows(flags.order_by("pk"), FLAG_FIELDS)


@read("runs", NightsQuery)
def nights(request: Request, token: ApiToken, filters: Mapping[str, Any]) -> HttpResponse:
    """Nights with their run records, oldest first, one page per request."""
    matches = Night.objects.filter(night__gt=filters["after"]) if "after" in filters else Night.objects.all()
    rows = list(matches.order_by("night").values("night", "published_at", "run")[: _size(filters) + 1])
    return _page(request, token, filters, rows, "night")


@csrf_exempt  # a token is asked for, and no cookie
def account_tokens_of(request: Request) -> HttpResponse:
    """The tokens of the accounts in the body, in order. Neither the record nor an error says anything of them."""
    try:
        token = admit(request, "tokens")
    except NotAdmitted as error:
        return _error(error.status, str(error))
    if request.GET:
        return _error(400, "accounts are given in the body, never in the address")
    try:
        items = accounts_in(request.body)
        tokens, key_version = account_tokens(items)
    except (NotAccounts, RequestDataTooBig) as error:
        return _error(400, str(error) if isinstance(error, NotAccounts) else "the body is too large")
    except SettingsError:
        return _error(503, "the key file of the application is not the one of this home")
    except NotComputed as error:
        LOG.error("%s", json.dumps({"stage": "api_tokens", "error": str(error)}))
        return _error(500, "internal error; the log names its class")
    audit.record(None, "api_tokens", token=token.name, count=len(tokens), wrong=tokens.count(None))
    return JsonResponse({"tokens": tokens, "key_version": key_version}, headers={"Cache-Control": "no-store"})


@csrf_exempt  # it does nothing
def unknown(request: Request, rest: str = "") -> HttpResponse:
    """Any other address of the API."""
    return _error(404, f"there is no such address; the API is described at {reverse('api-document')}")


def document(request: Request) -> HttpResponse:
    """The API's description, as OpenAPI."""
    return JsonResponse(DOCUMENT)


def _size(filters: Mapping[str, Any]) -> int:
    return int(filters.get("size", PAGE))


def _page(
    request: Request, token: ApiToken, filters: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], key: str
) -> JsonResponse:
    """A page of rows and where the next one is; `rows` may be one longer than the page."""
    more, rows = len(rows) > _size(filters), rows[: _size(filters)]
    filter_texts = {name: str(value) for name, value in filters.items()}
    name = route_name(request)
    after = filter_texts | {"after": str(rows[-1][key])} if more else None
    audit.record(None, name.replace("-", "_"), token=token.name, filter=filter_texts, count=len(rows))
    return JsonResponse({"results": rows, "next": f"{reverse(name)}?{urlencode(after)}" if after else None})


def _error(status: int, message: str) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)


ROUTES = (
    Route("api-flags", "api/v1/flags", flags, ANYBODY),
    Route("api-flag", "api/v1/flags/<str:flag_id>", flag, ANYBODY),
    Route("api-nights", "api/v1/nights", nights, ANYBODY),
    Route("api-tokens", "api/v1/tokens", account_tokens_of, ANYBODY, ("POST",)),
    Route("api-tokens-alias", "api/tokens", account_tokens_of, ANYBODY, ("POST",)),
    Route("api-document", "api/v1/openapi.json", document, ANYBODY),
    Route("api-start", "api/", unknown, ANYBODY, ("GET", "POST")),
    Route("api-unknown", "api/<path:rest>", unknown, ANYBODY, ("GET", "POST")),
)
