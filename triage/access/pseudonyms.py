"""What a data scientist sees in place of the insurer's numbers: keyed pseudonyms, different for each kind.

The same value always has the same pseudonym, so that rows can be counted and joined; without the audit key, nobody can
get the value from it. All other users see the value itself.
"""

from __future__ import annotations

import hmac
from typing import Any

from django import template

from payeewatch.triage.roles import NAMED_READERS
from payeewatch.triage.workspace import keys

register = template.Library()

HEX_DIGITS = 12
HINT_PARTS = " · "


def value_for(user: Any, kind: str, value: str | None) -> str:
    """A value as a user may see it; empty stays empty.

    `kind` is what the value is, such as `member`, `household`, `payee`, `account`, `change`, `payment`: the same word
    everywhere, because the pseudonym depends on it.
    """
    if not value:
        return ""
    if is_named_reader(user):
        return value
    return pseudonym(kind, value)


def pseudonym(kind: str, value: str) -> str:
    """The pseudonym of a value; see `value_for` for what `kind` is."""
    return hmac.digest(keys().trace, f"pseudonym|{kind}|{value}".encode(), "sha256").hex()[:HEX_DIGITS]


def hint_for(user: Any, hint: str | None) -> str:
    """An account's hint as a user may see it: country, bank and last four characters, or only country and bank."""
    if not hint:
        return ""
    return hint if is_named_reader(user) else HINT_PARTS.join(hint.split(HINT_PARTS)[:-1])


def is_named_reader(user: Any) -> bool:
    """Whether a user sees the insurer's own numbers, notes, attachments and case files."""
    return user.is_authenticated and user.role in NAMED_READERS


@register.simple_tag(takes_context=True, name="shown")
def value_tag(context: template.Context, kind: str, value: str | None) -> str:
    """`{% shown "member" flag.member_id %}`: the value as the page's user may see it."""
    return value_for(context["request"].user, kind, value)


@register.simple_tag(takes_context=True, name="shown_hint")
def hint_tag(context: template.Context, hint: str | None) -> str:
    """`{% shown_hint flag.account_hint %}`: the hint as the page's user may see it."""
    return hint_for(context["request"].user, hint)
