"""Text that looks like an account or a national id: it is refused where what is written stays for good."""

from __future__ import annotations

import re

SEPARATORS = re.compile(r"[\s.\-/]")
DIGITS = re.compile(r"\d{9}|[1-8]\d{4}2[AB]\d{6}", re.IGNORECASE)
"""Digits as an account or a national id has them, once separators are taken away."""


def looks_identifying(text: str) -> bool:
    """Whether a text holds so many digits in a row that they may be somebody's."""
    return bool(DIGITS.search(SEPARATORS.sub("", text)))
