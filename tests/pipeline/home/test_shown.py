"""What is shown of names that others chose."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.home.shown import is_printable, printable, shape, shown, without_identities
from tests.inbox import account, national_id

IDENTITIES = (
    account(7),
    account(7).lower(),
    " ".join(account(7)[n : n + 4] for n in range(0, 27, 4)),
    national_id(7),
    national_id(7)[:13],
    "2 85 01 99 999 007",
)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_an_identity_within_a_name_is_shown_as_its_shape(identity: str) -> None:
    text = without_identities(f"claims-{identity} (2).csv")
    assert text.startswith("claims-(len=")
    assert text.endswith("digits) (2).csv")
    assert identity[-6:] not in text


@pytest.mark.parametrize(
    "name",
    ["claims-0001.csv", "claims-2024-12-31.csv", "20241231235959.csv", f"{account(7)[:-1]}9.csv", "285019999900799"],
)
def test_numbers_without_the_form_of_an_identity_are_shown(name: str) -> None:
    assert shown(name) == name


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\x00", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b"])
def test_no_name_begins_a_line_or_drives_a_terminal(sign: str) -> None:
    assert not is_printable(f"a{sign}b")
    assert printable(f"a{sign}b") == f"a\\u{ord(sign):04x}b"


def test_letters_of_any_script_are_shown() -> None:
    assert shown("relevé d'été Ωmega.csv") == "relevé d'été Ωmega.csv"
    assert is_printable("relevé d'été Ωmega.csv")


def test_a_shape_has_length_and_kinds_of_characters() -> None:
    assert shape("FR76 3000") == "len=9, letters, digits, other"
    assert shape("Zoé") == "len=3, letters"
