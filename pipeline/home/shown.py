"""What a message, a log line or a record shows of text that others wrote: names of files, columns and folders.

A file may be called by an account or a national id, and a name may have characters that begin a new line of a log or
drive a terminal.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from functools import cache
from pathlib import Path

IBANS = Path(__file__).with_name("data") / "ibans.csv"
SEPARATOR = "[ ._-]?"
ACCOUNT = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}[0-9]{{2}}(?:{SEPARATOR}[A-Za-z0-9]{{4}}){{2,7}}(?:{SEPARATOR}[A-Za-z0-9]{{1,3}})?"
)
"""Text that may be an account, in one piece or in groups of four."""
NATIONAL_ID = re.compile(
    SEPARATOR.join(
        (
            "(?<![A-Za-z0-9])[1-478]", "[0-9]{2}", "(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])",
            "(?:[0-9]{2}|2[ABab])", "[0-9]{3}", "[0-9]{3}(?:" + SEPARATOR + "[0-9]{2})?(?![A-Za-z0-9])",
        )
    )
)  # fmt: skip
"""Text of the full form of a national id: sex, year, month, department, and the key where there are 15 characters."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of characters that nobody sees, or that change how others are seen."""


def shown(name: str) -> str:
    """A name on one line, and without an identity that it has in it."""
    return without_identities(printable(name))


def is_printable(name: str) -> bool:
    """Whether a name has only characters that people see as they are."""
    return not any(unicodedata.category(sign) in UNSEEN for sign in name)


def printable(text: str) -> str:
    """Text whose control and invisible characters are written as `\\u001b`, as JSON writes them too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(sign) if unicodedata.category(sign) in UNSEEN else sign for sign in text)


def without_identities(text: str) -> str:
    """Text with its length in place of each account and each national id."""
    return NATIONAL_ID.sub(_masked_national_id, ACCOUNT.sub(_masked_account, text))


def shape(text: str) -> str:
    """The length of a text and its kinds of characters: `len=27, letters, digits`."""
    kinds = {"letters": str.isalpha, "digits": str.isdigit}
    found = [kind for kind, is_of in kinds.items() if any(map(is_of, text))]
    others = ["other"] if any(not (sign.isalpha() or sign.isdigit()) for sign in text) else []
    return ", ".join([f"len={len(text)}", *found, *others])


def _escaped(sign: str) -> str:
    return json.dumps(sign)[1:-1] if ord(sign) > 0x7F else f"\\u{ord(sign):04x}"


def _masked_account(found: re.Match[str]) -> str:
    """The length in place of an account; what follows it within the match stays."""
    plain = [place for place, sign in enumerate(found[0]) if sign.isalnum()]
    letters = "".join(found[0][place] for place in plain).upper()
    length = _lengths().get(letters[:2], 0)
    if not length or len(letters) < length or not _has_right_digits(letters[:length]):
        return found[0]
    return f"({shape(letters[:length])}){found[0][plain[length - 1] + 1 :]}"


def _has_right_digits(account: str) -> bool:
    digits = "".join(str(int(sign, 36)) for sign in account[4:] + account[:4])
    return int(digits) % 97 == 1


def _masked_national_id(found: re.Match[str]) -> str:
    letters = re.sub("[^0-9A-Za-z]", "", found[0]).upper()
    number = int(letters[:13].replace("2A", "19").replace("2B", "18"))
    if len(letters) == 15 and int(letters[13:]) != 97 - number % 97:
        return found[0]
    return f"({shape(letters)})"


@cache
def _lengths() -> dict[str, int]:
    """Country -> the characters of its accounts."""
    with IBANS.open(encoding="ascii", newline="") as file:
        return {row["country"]: int(row["length"]) for row in csv.DictReader(file)}
