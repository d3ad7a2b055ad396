"""Tokens of accounts, for the payment system: it must find its accounts in holds/, and needs no key file for that.

Accounts are computed with in memory and forgotten: they are not stored, logged or answered with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb

from payeewatch.pipeline.home.keys import register, tokens_of_accounts
from payeewatch.triage.workspace import home, keys

MOST_ACCOUNTS = 1_000
LONGEST_TEXT = 200  # an account with everything that people paste around it


class NotAccounts(Exception):
    """The body is not a list of accounts; the text says why and quotes nothing of it."""


class NotComputed(Exception):
    """An error while computing tokens; the text has its class only, because the cause's own may quote an account."""


def accounts_in(body: bytes) -> list[Any]:
    """The items of a JSON list.

    Raises:
        NotAccounts: it is none, or too long.
    """
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAccounts("the body must be JSON: a list of accounts") from None
    if not isinstance(items, list):
        raise NotAccounts("the body must be a JSON list of accounts")
    if len(items) > MOST_ACCOUNTS:
        raise NotAccounts(f"the list has {len(items)} items; at most {MOST_ACCOUNTS} are allowed: send it in parts")
    return items


def account_tokens(items: Sequence[Any]) -> tuple[list[str | None], int]:
    """The token of each item, in order (None: no account), and the version of the key that made them.

    Raises:
        SettingsError: the key file is not the one of this home: its tokens would be in no file of holds.
        NotComputed: anything else.
    """
    own_keys = keys()
    own_keys.check(home().folder("lake"), note=False)
    texts = [item if _is_text(item) else None for item in items]
    try:
        with duckdb.connect(":memory:", config={"threads": 1}) as con:
            register(con, own_keys)
            return tokens_of_accounts(con, texts), own_keys.token_version
    except Exception as error:
        raise NotComputed(type(error).__name__) from None


def _is_text(item: Any) -> bool:
    """Whether an item can be an account at all: text that the database can take."""
    if not isinstance(item, str) or len(item) > LONGEST_TEXT:
        return False
    return "\0" not in item and not any("\ud800" <= letter <= "\udfff" for letter in item)
