"""Text that looks like an account or a national id: it is refused where what is written stays for good."""

from __future__ import annotations

import re
import unicodedata

from payeewatch.pipeline.home.keys import LOOK_ALIKES

SEPARATORS = re.compile(r"[\s.\-/]")
DIGITS = re.compile(r"\d{9}|[1-8]\d{4}2[AB]\d{6}", re.IGNORECASE)
"""Digits as an account or a national id has them, once separators are taken away."""


def looks_identifying(text: str) -> bool:
    """Whether a text holds so many digits in a row that they may be somebody's."""
    return bool(DIGITS.search(SEPARATORS.sub("", text)))


def looks_like(name: str) -> str:
    """A user name in a form that is the same for names that people take for each other."""
    plain = unicodedata.normalize("NFKD", name)
    for odd, latin in LOOK_ALIKES:
        plain = plain.translate(str.maketrans(odd, latin))
    kept = "".join(char for char in plain.casefold() if char.isalnum())
    return kept.translate(str.maketrans("01i", "oll"))
