"""Secrets that users get once, to type them once: first passwords and recovery codes."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b32encode

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.models import User
from payeewatch.triage.workspace import keys

CLEAR_CHARACTERS = "abcdefghjkmnpqrstuvwxyz23456789"
LEAST_CHARACTERS, LEAST_LETTERS = 6, 4
"""The fewest different characters of a password, and letters beside rows of keys."""
KEY_ROWS = ("azertyuiop", "qsdfghjklm", "wxcvbn", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm",
            "abcdefghijklmnopqrstuvwxyz")  # fmt: skip
REPETITION = re.compile(r"(.{1,6}?)\1{2,}.{0,2}")
OURS = frozenset({"payeewatch", "password", "motdepasse", "insurance", "assurance", "mutuelle"})
COMMON = CommonPasswordValidator()
STORED_LENGTH = 16
"""Of a recovery code's hash: 80 bits."""
GROUPS, LETTERS = 4, 5  # of a first password: about 99 bits


def random_characters(length: int) -> str:
    """Random characters that are not easily confused."""
    return "".join(secrets.choice(CLEAR_CHARACTERS) for _ in range(length))


class NotGuessable:
    """Refuses passwords that guessing programs try early: rows of keys, repetitions, common words with digits."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raises ValidationError for such a password."""
        if _is_guessable(password.lower()):
            raise ValidationError(self.get_help_text(), code="password_guessable")

    def get_help_text(self) -> str:
        return str(_("Take several words that do not belong together: no row of keys, repetition or word with digits."))


def _is_guessable(password: str) -> bool:
    letters = "".join(char for char in password if char.isalpha())
    if len(set(password)) < LEAST_CHARACTERS or REPETITION.fullmatch(password):
        return True
    without_rows = letters
    for row in KEY_ROWS:
        for size in range(len(row), 3, -1):
            for start in range(len(row) - size + 1):
                run = row[start : start + size]
                without_rows = without_rows.replace(run, "").replace(run[::-1], "")
    is_common = letters in COMMON.passwords or letters in OURS
    return (is_common and len(letters) < len(password)) or len(without_rows) < LEAST_LETTERS


def stored_code(code: str) -> str:
    """What the database has of a recovery code: a keyed hash, as long as its column."""
    return b32encode(hmac.digest(keys().trace, f"recovery|{code}".encode(), "sha256")).decode()[:STORED_LENGTH].lower()


def give_password(person: User) -> str:
    """Give a user a password for one sign-in. Returns it; only its hash is stored."""
    password = "-".join(random_characters(LETTERS) for _ in range(GROUPS))
    person.set_password(password)
    person.must_change_password = True
    return password
