"""Source profiles: what they may say, and what is wrong with the others."""

from __future__ import annotations

import re
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
        ("[claims", "line 1: cannot be read as TOML: Expected ']'"),
        ('[claims]\nfiles = "a.csv"\nfiles = "b.csv"\n', 'line 3: cannot be read as TOML: files = "b.csv": ... twice'),
        ("[claims]\n\n[members]\n[claims]\n", "line 4: cannot be read as TOML: [claims]: ... twice"),
        ('[claims]\n\ndelimiter = ";;"\n', "line 3: 'claims.delimiter'"),
        (
            '[export]\n\n[claims.columns]\nA = "claim_id"\n"Né, le" = "born"\n',
            "line 5: 'claims.columns.Né, le' is 'born'",
        ),
        ('[claims.values.status]\nA = "settled"\nX = "paid"\n', "line 3: 'claims.values.status.X' is 'paid'"),
        ('[claims]\ncolumns = { A = "x" }\n', "line 2: 'claims.columns.A' is 'x'"),
        ("\n[claim]\n", "line 2: 'claim' is not a table"),
        ('[claims]\ndate = "%d/%m"\n', "lacks the day, the month or the year"),
        ('[claims]\ndate = ["%d/%m/%Y", "%H:%M"]\n', "is '%H:%M'; it must be a form"),
        ('[claims]\ntimestamp = "%d/%m/%Y %I:%M"\n', "without AM or PM"),
        ('[claims]\ndate = "%d/%m/%Y %Q"\n', "a part that is not known"),
        ('[claims.forms]\n\ncared_on = "%d/%m"\n', "line 3: 'claims.forms.cared_on' is '%d/%m'; ...lacks the day"),
        ('[claims.forms]\nclaim_id = "%d/%m/%Y"\n', "'claims.forms.claim_id' is not a column with a date"),
        ('[members.forms]\nbirth_date = "%d/%m/%y"\n', "must have the year in four digits"),
        ('[export.forms]\ncared_on = "%d/%m/%Y"\n', "'export.forms' belongs to one table"),
        ('[export]\ndelimiter = ","\ndecimal = ","\n', "line 3: 'export.decimal' is ',', as is 'delimiter'"),
        ('[export]\ndelimiter = ";"\n[claims]\ndecimal = ";"\n', "'claims.decimal' is ';', as is 'delimiter'"),
        ('[export]\nquote = ""\ndecimal = ","\n', "as is 'delimiter'"),
        ('[export]\ndelimiter = ";"\ndecimal = ","\nthousands = ","\n', "as is 'decimal'"),
        ('[claims.columns]\nA = "claim_id"\n" a" = "member_id"\n', "is the same name as 'A'"),
        ('[claims.values.cared_on]\nX = "2024-01-01"\n', "'claims.values.cared_on' must be codes of a column"),
        ('[members.values.guarantee_level]\nX = "9"\n', "a whole number from 1 to 6"),
        ('[claims.defaults]\nbilled_amount = "1"\n', "cannot have a default"),
        ('[claims.defaults]\nchannel = "pigeon"\n', "'claims.defaults.channel' is 'pigeon'; it must be text"),
        ('[claims.signs]\nclaim_id = "reversed"\n', "is not an amount"),
        ('[claims.signs]\nbilled_amount = "negative"\n', "must be one of switched, received, ...reversed"),
        ('[export]\nencoding = "hex"\n', "'export.encoding' is 'hex'; it must be an encoding"),
        ('[export]\nthousands = "0"\n', "'export.thousands' is '0'; it must be one of"),
        ('[export]\ndelimiter = ";"\ndecimal = "-"\n', "'export.decimal' is '-'; it must be one of '.', ','"),
        ('[export]\nquote = ","\n', "'export.quote' is ',', as is 'delimiter'"),
        ('[export]\nthousands = "."\n', "as is 'decimal'"),
        ('[export]\ndelimiter = "\\n"\n', "which ends a line"),
        ('[claims]\nown_numbers = ["claim_id"]\n', "'claims.own_numbers' is ['claim_id']; it must be a list of"),
        ("[people]\ntitle = 1\n", "'people.title' is not a setting"),
    ],
)
def test_a_profile_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says).replace(r"\.\.\.", ".*")):
        read(tmp_path, text)


def test_quoted_amounts_may_have_a_comma_between_commas(tmp_path: Path) -> None:
    assert read(tmp_path, '[export]\ndecimal = ","\n').of("claims").decimal == ","


def test_a_header_is_ours_whatever_its_case_and_spaces(tmp_path: Path) -> None:
    export = read(tmp_path, '[payments.columns]\n"N° Pmt" = "payment_id"\nDATE = ["planned_on", "value_date"]\n').of(
        "payments"
    )
    assert export.ours("n°\u00a0PMT ") == ("payment_id",)
    assert export.ours("\ufeffdate") == ("planned_on", "value_date")
    assert export.ours("AMOUNT") == ("amount",)


def test_the_insurers_export_says_nothing_of_lists(tmp_path: Path) -> None:
    profile = read(tmp_path, '[export]\ndelimiter = ";"\n[people]\ndate = "%d/%m/%Y"\n')
    assert (profile.of("people").delimiter, profile.of("people").date) == (",", ("%d/%m/%Y",))
