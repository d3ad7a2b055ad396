"""Source profiles: what they may say, and what is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.ingest.profile import Export, Profile


def read(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "profile.toml"
    path.write_text(text, encoding="utf-8")
    return Profile.read(path)


def test_without_a_profile_the_contract_holds(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    assert Profile.load(settings, {}).of("claims") == Export()


def test_a_table_says_what_differs_from_the_shared_section(tmp_path: Path) -> None:
    profile = read(tmp_path, '[export]\ndelimiter = ";"\nencoding = "latin-1"\n[claims]\nencoding = "utf-8"\n')
    assert (profile.of("claims").delimiter, profile.of("claims").encoding) == (";", "utf-8")
    assert profile.of("members").encoding == "latin-1"


def test_the_environment_names_another_profile(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('[export]\ndelimiter = "|"\n', encoding="utf-8")
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    assert Profile.load(settings, {"PAYEEWATCH_PROFILE": str(path)}).of("claims").delimiter == "|"


def test_words_for_nothing_may_be_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "[claims]\nnulls = [0, 'NULL']\n").of("claims").nulls == ("0", "NULL")


def test_a_profile_that_is_named_must_be_there(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    with pytest.raises(SettingsError, match=r"none\.toml: does not exist"):
        Profile.load(settings, {"PAYEEWATCH_PROFILE": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[claim]\n", "'claim' is not a table"),
        ('[claims]\nseparator = ";"\n', "'claims.separator' is not a setting"),
        ("[claims]\ndelimiter = 3\n", "it must be text"),
        ('[claims]\ndelimiter = ";;"\n', "it must be one character"),
        ('[export]\nencoding = "latin-99"\n', "it must be an encoding"),
        ('[export]\ntimezone = "Paris"\n', "it must be an IANA zone name"),
        ('[export]\ndate = "dd/mm/yyyy"\n', "it must be a form such as %d/%m/%Y"),
        ('[export]\nfiles = "*.csv"\n', "belongs to one table"),
        ('[claims.columns]\nNUM = "claim_number"\n', "it must be one of claim_id"),
        ('[claims.columns]\nA = "claim_id"\nB = "claim_id"\n', "twice"),
        ('[claims.values.status]\nX = "paid"\n', "text the contract lists"),
        ('[claims.values.colour]\nX = "red"\n', "codes of a column that holds codes"),
        ('[claims]\nnulls = "NULL"\n', "must be a list"),
        ("[claims]\nvalues = 1\n", "'claims.values' is 1; it must be sections of codes"),
        ("[claims.values.status]\nX = 1\n", "'claims.values' is {'status': {'X': 1}}; it must be sections of codes"),
        ('[export]\nencoding = "latin-99"\n', "'export.encoding' is 'latin-99'"),
        ("export = 1\n", "'export' must be a section"),
        ("claims = 1\n", "'claims' must be a section"),
        ("[claims", "cannot be read as TOML"),
    ],
)
def test_a_profile_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says.replace("*", r"\*")):
        read(tmp_path, text)
