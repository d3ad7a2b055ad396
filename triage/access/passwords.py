"""Secrets that users get once, to type them once: first passwords and recovery codes."""

from __future__ import annotations

import secrets

from payeewatch.triage.models import User

CLEAR_CHARACTERS = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, LETTERS = 4, 5  # of a first password: about 99 bits


def random_characters(length: int) -> str:
    """Random characters that are not easily confused."""
    return "".join(secrets.choice(CLEAR_CHARACTERS) for _ in range(length))


def give_password(person: User) -> str:
    """Give a user a password for one sign-in. Returns it; only its hash is stored."""
    password = "-".join(random_characters(LETTERS) for _ in range(GROUPS))
    person.set_password(password)
    person.must_change_password = True
    return password
