"""Canonical forms and tokens, against python-stdnum, schwifty and Python's own hmac."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import re
import stat
import unicodedata
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum.fr import nir as stdnum_nir

from payeewatch.pipeline.home import keys
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.keys import Keys
from tests.lake_rows import KEYS

CON = duckdb.connect()
keys.register(CON, KEYS)
BATCH = settings(max_examples=15, deadline=None)
FEW = settings(max_examples=5, deadline=None)


def sql(expression: str, *values: object) -> Any:
    return CON.execute(f"SELECT {expression}", list(values)).fetchall()[0][0]


def each(expression: str, values: list[Any]) -> list[Any]:
    """The expression over `x`, once per value, in one query."""
    rows = CON.execute(
        f"SELECT {expression} FROM (SELECT unnest($1::VARCHAR[]) AS x, unnest(range(len($1))) AS n) ORDER BY n",
        [values],
    ).fetchall()
    return [row[0] for row in rows]


# Keys


def test_a_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "config" / "keys.json"
    keys = Keys.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keys.create(path) == keys == Keys.load(path)
    assert len({keys.token[1], keys.vault, keys.audit}) == 3
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]


def test_keys_are_never_printed(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys.json")
    assert repr(keys) == "Keys(token_version=1)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        Keys.load(path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"token": {"1": "c2hvcnQ="}, "token_version": 1, "vault": "x", "audit": "y"}', "s3cret"]
)
def test_what_is_no_key_file_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError) as refused:
        Keys.load(path)
    assert "is not a key file" in str(refused.value)
    assert refused.value.__cause__ is None
    assert "s3cret" not in str(refused.value)


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="payeewatch init"):
        Keys.load(tmp_path / "keys.json")


def test_a_folder_that_cannot_hold_the_key_file_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be made"):
        Keys.create(tmp_path / "file" / "keys.json")


def test_a_version_without_its_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    raw = json.loads(path.read_text()) | {"token_version": 2}
    path.write_text(json.dumps(raw))
    with pytest.raises(SettingsError, match="'token_version' is 2"):
        Keys.load(path)


def test_a_lake_accepts_the_keys_it_was_made_with_and_no_others(tmp_path: Path) -> None:
    KEYS.check(tmp_path)
    KEYS.check(tmp_path)
    with pytest.raises(SettingsError, match="token does not fit this lake"):
        Keys({1: b"x" * 32}, 1, KEYS.vault, KEYS.audit).check(tmp_path)
    with pytest.raises(SettingsError, match="vault does not fit this lake"):
        Keys(KEYS.token, 1, b"x" * 32, KEYS.audit).check(tmp_path)
    with pytest.raises(SettingsError, match="audit does not fit this lake"):
        Keys(KEYS.token, 1, KEYS.vault, b"x" * 32).check(tmp_path)
    with pytest.raises(SettingsError, match="token_version"):
        Keys({2: KEYS.token[1]}, 2, KEYS.vault, KEYS.audit).check(tmp_path)


def test_a_lake_of_an_earlier_version_learns_its_audit_key(tmp_path: Path) -> None:
    KEYS.check(tmp_path)
    path = tmp_path / "key-check.json"
    values = json.loads(path.read_text())
    del values["audit"]
    path.write_text(json.dumps(values))
    KEYS.check(tmp_path, note=False)
    assert "audit" not in json.loads(path.read_text())
    KEYS.check(tmp_path)
    with pytest.raises(SettingsError, match="audit does not fit"):
        Keys(KEYS.token, 1, KEYS.vault, b"x" * 32).check(tmp_path)


def test_the_check_value_tells_nothing_of_the_keys(tmp_path: Path) -> None:
    KEYS.check(tmp_path)
    text = (tmp_path / "key-check.json").read_text()
    assert KEYS.token[1].hex() not in text
    assert KEYS.vault.hex() not in text
    assert KEYS.audit.hex() not in text


# Tokens


@BATCH
@given(st.text(min_size=1), st.text())
def test_tokens_are_hmac_sha_256_of_kind_and_text(kind: str, original: str) -> None:
    kind, original = kind.replace("\0", ""), original.replace("\0", "")
    expected = hmac.new(KEYS.token[1], f"{kind}:{original}".encode(), hashlib.sha256).hexdigest()[:32]
    assert sql("identity_token(?, ?)", kind, original) == expected == keys.token_of(KEYS, kind, original)


def test_a_key_is_the_first_64_bits_as_a_signed_integer() -> None:
    digest = hmac.new(KEYS.token[1], b"id:2850199999001", hashlib.sha256).digest()
    assert sql("id_key('2850199999001')") == int.from_bytes(digest[:8], "big", signed=True)


def test_another_key_gives_other_tokens() -> None:
    with duckdb.connect() as other:
        keys.register(other, Keys({1: b"q" * 32}, 1, KEYS.vault, KEYS.audit))
        theirs = other.execute("SELECT account_token('FR7699001000010000000000100')").fetchall()[0][0]
    assert theirs != sql("account_token('FR7699001000010000000000100')")


@pytest.mark.parametrize(
    "call",
    [
        "canonical_account(NULL)", "is_account(NULL)", "account_token(NULL)", "account_country(NULL)",
        "account_bank(NULL)", "account_last_four(NULL)", "canonical_national_id(NULL)", "canonical_birth_date(NULL)",
        "is_complete_birth_date(NULL)", "person_key(NULL, '19850117')", "person_key('2850199999001', NULL)",
        "id_key(NULL)", "name_keys(NULL, 'Zoé', NULL, '19850117')", "name_keys('Dupond', NULL, NULL, '19850117')",
        "name_keys('Dupond', 'Zoé', NULL, NULL)", "name_tokens(NULL, NULL, NULL)", "name_tokens('', ' - ', NULL)",
        "identity_token('name', NULL)", "first_given_name(NULL)", "canonical_name(NULL)",
    ],
)  # fmt: skip
def test_nothing_in_gives_null_out(call: str) -> None:
    assert sql(call) is None


# Accounts


def iban(country: str, bban: str) -> str:
    digits = "".join(str(int(c, 36)) for c in bban + country + "00")
    return f"{country}{98 - int(digits) % 97:02d}{bban}"


def registry() -> dict[str, dict[str, str]]:
    import csv

    with (keys.DATA / "ibans.csv").open() as file:
        return {row["country"]: row for row in csv.DictReader(file)}


COUNTRIES = registry()


@st.composite
def accounts(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(COUNTRIES)))
    long = int(COUNTRIES[country]["length"]) - 4
    alphabet = draw(st.sampled_from(["0123456789", "0123456789ABCXYZ"]))
    return iban(country, draw(st.text(alphabet, min_size=long, max_size=long).filter(lambda bban: bban.strip("0"))))


@BATCH
@given(st.lists(accounts(), min_size=5, max_size=12))
@example(["GB82WEST12345698765432", "FR1420041010050500013M02606", "MT84MALT011000012345MTLCAST001S"])
def test_right_accounts_are_accounts_and_a_changed_character_is_seen(accounts_drawn: list[str]) -> None:
    assert all(each("is_account(x)", accounts_drawn))
    following = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "1234567890BCDEFGHIJKLMNOPQRSTUVWXYZA", strict=True))
    broken = [a[:-1] + following[a[-1]] for a in accounts_drawn]
    assert not any(each("is_account(x)", broken))


@BATCH
@given(st.lists(accounts(), min_size=5, max_size=12), st.integers(5, 20))
def test_swapped_neighbours_agree_with_stdnum(accounts_drawn: list[str], place: int) -> None:
    if max(map(len, accounts_drawn)) <= place + 1:
        return
    swapped = [
        a[:place] + a[place + 1 : place + 2] + a[place] + a[place + 2 :] if len(a) > place + 1 else a
        for a in accounts_drawn
    ]
    expected = [int("".join(str(int(c, 36)) for c in a[4:] + a[:4])) % 97 == 1 for a in swapped]
    assert each("is_account(x)", swapped) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "X",
        "FR76",
        "FR7699001000010000000000",
        "ZZ7699001000010000000000100",
        "FRAB99001000010000000000100",
        "é" * 27,
        "FR76" + "0" * 23,  # its check digits are right
    ],
)
def test_what_is_no_account_is_false_never_an_error(wrong: str) -> None:
    assert sql("is_account(?)", wrong) is False


def test_check_digits_beyond_98_are_not_a_second_spelling_of_an_account() -> None:
    body = next(f"{n:023d}" for n in range(500) if iban("FR", f"{n:023d}").startswith("FR97"))
    assert sql("is_account(?)", iban("FR", body))
    assert not sql("is_account(?)", "FR00" + body)


@BATCH
@given(accounts(), st.lists(st.sampled_from([" ", "-", "\t", "\u00a0", "\u202f"]), min_size=1, max_size=5))
def test_an_account_is_the_same_however_it_is_spaced_and_cased(account: str, gaps: list[str]) -> None:
    raw = account.lower()
    for place, gap in enumerate(gaps):
        raw = raw[: place * 4] + gap + raw[place * 4 :]
    assert sql("canonical_account(?)", raw) == account


WIDE = {ord(plain): ord(plain) + 0xFEE0 for plain in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"}


@pytest.mark.parametrize(
    "paste",
    [
        "IBAN {}", "IBAN: {}", "iban:\u00a0{}", "\u200b{}", "\ufeff{}", "\u202a{}\u202c", "{}\n", "\r\n{}",
        "'{}'", '"{}"',
        "«\u202f{} »",
        "\u3164{}", "{}.", "\u2060{}\u00ad",
    ],
)  # fmt: skip
def test_an_account_loses_all_that_people_paste_around_it(paste: str) -> None:
    account = iban("FR", "99001000000000000050100")
    parts = [account[n : n + 4] for n in range(0, len(account), 4)]
    for gap in ("", " ", "\u2009", "\u2007", ".", "\u2011", "\u3000"):
        assert sql("canonical_account(?)", paste.format(gap.join(parts))) == account
    assert sql("canonical_account(?)", paste.format(account.translate(WIDE))) == account


def test_a_letter_that_only_looks_like_another_is_not_taken_for_it() -> None:
    account = iban("FR", "99001000000000000050100")
    assert not sql("is_account(canonical_account(?))", account.replace("F", "\u03dc"))
    assert sql("canonical_account('IBAN: ')") is None


def test_every_other_form_of_a_letter_or_digit_is_known() -> None:
    other = {chr(n): unicodedata.normalize("NFKC", chr(n)) for n in range(0x80, 0x110000)}
    words = {form: plain for form, plain in other.items() if unicodedata.category(form)[0] in "LN"}
    expected = {form: plain for form, plain in words.items() if re.fullmatch("[0-9A-Za-z]", plain)}
    assert each("pw_compact(x)", list(expected)) == [plain.upper() for plain in expected.values()]


def test_lengths_agree_with_the_registry_in_stdnum() -> None:
    for country, row in COUNTRIES.items():
        registry_entry = stdnum_iban._ibandb.info(country + "00")[0][1]
        if registry_entry:
            structure = re.findall(r"(\d+)!", registry_entry["bban"])
            assert int(row["length"]) == 4 + sum(map(int, structure)), country


def test_banks_are_where_schwifty_finds_them() -> None:
    from schwifty import registry as schwifty_registry

    for country, row in COUNTRIES.items():
        where = schwifty_registry.get_iban_spec(country).positions
        bank = next(span for name, span in where.items() if name.value == "bank_code")
        account = iban(country, ("0123456789" * 4)[: int(row["length"]) - 4])
        assert (sql("account_bank(?)", account) or "") == account[4 + bank.start : 4 + bank.end], country


def test_an_account_shows_country_bank_and_last_four() -> None:
    account = iban("FR", "99001000010000000004200")
    assert sql("account_country(?)", account) == "FR"
    assert sql("account_bank(?)", account) == "99001"
    assert sql("account_last_four(?)", account) == "4200"


# National ids


@st.composite
def national_ids(draw: st.DrawFn) -> str:
    """Thirteen characters that may be given out."""
    first = draw(st.sampled_from("123478"))
    month = draw(st.sampled_from([*range(1, 13), *range(20, 43), *range(50, 100)]))
    place = draw(st.sampled_from(["75", "2A", "2B", "97", "99"]))
    year, commune, order = draw(st.integers(0, 99)), draw(st.integers(0, 999)), draw(st.integers(1, 999))
    return f"{first}{year:02d}{month:02d}{place}{commune:03d}{order:03d}"


@BATCH
@given(st.lists(national_ids(), min_size=10, max_size=40))
@example(["2550814168025", "190052A004123", "285022B033044"])
def test_keys_of_national_ids_agree_with_stdnum(ids: list[str]) -> None:
    with_key = [n + stdnum_nir.calc_check_digits(n) for n in ids]
    assert each("canonical_national_id(x)", with_key) == ids
    assert each("canonical_national_id(x)", ids) == ids
    wrong = [n[:13] + f"{int(n[13:]) % 97 + 1:02d}" for n in with_key]
    assert each("canonical_national_id(x)", wrong) == [None] * len(ids)


@BATCH
@given(national_ids())
def test_a_national_id_is_the_same_with_spaces_dots_and_small_letters(n: str) -> None:
    key = stdnum_nir.calc_check_digits(n)
    raw = f" {n[0]} {n[1:3]}.{n[3:5]} {n[5:7]}\u00a0{n[7:10]} {n[10:13]} {key}".lower()
    assert sql("canonical_national_id(?)", raw) == n
    assert sql("canonical_national_id(?)", f"{n}{key}.0" if n.isdigit() else n) == n


@pytest.mark.parametrize(
    "wrong",
    [
        "", "285019999900", "28501999990012", "5850199999001", "2851399999001", "2850099999001", "2854599999001",
        "285012C999001", "2850199999000", "a850199999001", "28501999990010000", "0000000000000",
    ],
)  # fmt: skip
def test_what_is_no_national_id_is_null(wrong: str) -> None:
    assert sql("canonical_national_id(?)", wrong) is None


# Birth dates


@pytest.mark.parametrize(
    ("raw", "canonical", "complete"),
    [
        ("19850117", "19850117", True),
        (" 1985-01-17 ", "19850117", True),
        ("19500000", "19500000", False),
        ("19500600", "19500600", False),
        ("19503100", "19503100", False),
        ("19504212", "19504212", False),
        ("19500230", "19500230", True),  # a day that does not exist, in its usual form
        ("17/01/1985", None, None),
        ("1985117", None, None),
        ("00000000", None, None),
        ("", None, None),
    ],
)
def test_birth_dates_keep_what_is_known_of_them(raw: str, canonical: str | None, complete: bool | None) -> None:
    assert sql("canonical_birth_date(?)", raw) == canonical
    assert sql("is_complete_birth_date(canonical_birth_date(?))", raw) is complete
    assert (sql("person_key('2850199999001', canonical_birth_date(?))", raw) is not None) is bool(complete)


# Names

LETTERS = "abcdefghijklmnopqrstuvwxyzéèêëàâäîïôöùûüçñ"
WORDS = st.text(LETTERS, min_size=3, max_size=9).filter(
    lambda w: (
        unicodedata.normalize("NFKD", w).encode("ascii", "ignore").decode().upper() not in keys.PARTICLES
        and not w.lower().startswith(("st", "ou"))
    )
)
BORN = "19850117"


def forms(family: str, given_names: str, birth: str | None = None) -> set[int]:
    return set(sql("name_keys(?, ?, ?, ?)", family, given_names, birth, BORN) or [])


def list_key(family: str, given_names: str) -> int | None:
    """The key of a name as a list writes it."""
    key: int | None = sql("name_key(full_name(canonical_name(?), canonical_name(?)), ?)", family, given_names, BORN)
    return key


@BATCH
@given(WORDS, WORDS)
def test_a_name_is_its_letters_without_marks_in_upper_case(family: str, given_name: str) -> None:
    folded = unicodedata.normalize("NFKD", family).encode("ascii", "ignore").decode().upper()
    assert sql("canonical_name(?)", family) == folded
    assert sql("canonical_name(?)", unicodedata.normalize("NFD", family)) == folded
    assert list_key(family.upper(), given_name) == list_key(family, given_name.title())


@BATCH
@given(WORDS, WORDS)
def test_family_and_given_name_may_be_swapped(family: str, given_name: str) -> None:
    assert list_key(given_name, family) in forms(family, given_name)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("de La Tour d’Auvergne", "TOUR AUVERGNE"),
        ("DE LA TOUR D'AUVERGNE", "TOUR AUVERGNE"),
        ("Le", "LE"),
        ("de la", "DE LA"),
        ("Œuvrard-Straße", "OEUVRARD STRASSE"),
        ("Ægir Þór", "AEGIR THOR"),
        ("Łódź", "LODZ"),
        ("St-Pierre", "SAINT PIERRE"),
        ("Du\u00adpond", "DUPOND"),
        ("von der Leyen", "LEYEN"),
        ("Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"),
        ("  Mac  Carthy ", "MAC CARTHY"),
        ("-", ""),
    ],
)
def test_names_lose_marks_particles_and_punctuation(raw: str, words: str) -> None:
    assert sql("canonical_name(?)", raw) == words


@pytest.mark.parametrize(
    ("member", "on_list"),
    [
        (("Dupond", "Zoé", None), ("DUPOND", "ZOE")),
        (("Dupond-Essai", "Jean-Paul", None), ("Dupond Essai", "Jean Paul")),
        (("Dupond-Essai", "Jean-Paul", None), ("DUPONDESSAI", "JEANPAUL")),
        (("Le Goff", "Anne", None), ("LEGOFF", "Anne")),
        (("Le Goff", "Anne", None), ("Goff", "Anne")),
        (("d'Arvor", "Anne", None), ("Darvor", "Anne")),
        (("Dupond", "Anne", "Moreau"), ("Moreau", "Anne")),
        (("Dupond", "Anne", "Moreau"), ("Moreau-Dupond", "Anne")),
        (("Dupond", "Anne Marie", None), ("Dupond", "Anne")),
        (("Dupond", "Anne Marie", None), ("Dupond", "Marie")),
        (("Dupond", "Anne, Marie", "Moreau"), ("Anne", "Moreau")),
        (("Dupond", "Jean-Paul Marie", None), ("Dupond", "Jean Paul")),
    ],
)
def test_a_member_is_found_under_every_form_of_the_name(
    member: tuple[str, str, str | None], on_list: tuple[str, str]
) -> None:
    assert list_key(*on_list) in forms(*member)


@pytest.mark.parametrize(
    ("member", "on_list"),
    [
        (("Dupond", "Anne", None), ("Dupond", "Annie")),
        (("Dupond", "Jean-Paul", None), ("Dupond", "Jean")),
        (("Dupond", "Jean Paul", None), ("Dupond", "Marc")),
        (("Dupond", "Anne", None), ("Dupont", "Anne")),
        (("Le", "Anne", None), ("La", "Anne")),
    ],
)
def test_another_name_is_another_person(member: tuple[str, str, str | None], on_list: tuple[str, str]) -> None:
    assert list_key(*on_list) not in forms(*member)


def test_the_same_name_born_another_day_is_another_person() -> None:
    ours = sql("name_keys('Dupond', 'Zoé', NULL, '19850117')")
    assert not set(ours) & set(sql("name_keys('Dupond', 'Zoé', NULL, '19850118')"))
    assert sql("name_keys('Dupond', 'Zoé', NULL, '19850000')") is None


@FEW
@given(st.lists(WORDS, min_size=1, max_size=3), WORDS)
def test_keys_and_tokens_are_sorted_and_distinct(given_names: list[str], family: str) -> None:
    for values in (
        sql("name_keys(?, ?, NULL, ?)", family, " ".join(given_names), BORN),
        sql("name_tokens(?, ?, ?)", family, " ".join(given_names), family),
    ):
        assert values == sorted(set(values))


def test_words_of_a_holder_are_those_of_the_member_without_titles() -> None:
    holder = set(sql("holder_tokens('M. OU MME ZOE DUPOND')"))
    assert holder == set(sql("name_tokens('Dupond', 'Zoé', NULL)"))


@pytest.mark.parametrize(
    ("raw", "first"),
    [("Anne Marie", "Anne"), ("Jean-Paul Marie", "Jean-Paul"), ("Anne,Marie", "Anne"), (" Anne ", None)],
)
def test_the_first_of_several_given_names(raw: str, first: str | None) -> None:
    assert sql("first_given_name(?)", raw) == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_key_file_is_a_settings_error(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    path.chmod(0)
    with pytest.raises(SettingsError, match="cannot be read"):
        Keys.load(path)


def on_list(family: str, given_names: str) -> set[int]:
    """Every key of a person on a list."""
    others = sql(
        "other_name_keys($1, $2, full_name(canonical_name($1), canonical_name($2)), NULL, $3)",
        family,
        given_names,
        BORN,
    )
    return {key for key in (list_key(family, given_names), *(others or [])) if key is not None}


WORDINGS = [
    "DURAND", "MARTIN EPOUSE DURAND", "MARTIN EP DURAND", "MARTIN ép. DURAND", "Martin épouse Durand",
    "DURAND NEE MARTIN", "Durand née Martin", "DURAND NE MARTIN", "MARTIN VEUVE DURAND", "MARTIN VVE DURAND",
    "MADAME DURAND", "MADEMOISELLE MARTIN", "Mme Durand née Martin", "DURAND (MARTIN)", "DURAND (née MARTIN)",
    "Dr DURAND", "DURAND-MARTIN", "DURAND/MARTIN", "DURAND NOM DE NAISSANCE MARTIN", "MARTIN NOM D'USAGE DURAND",
    "DURAND divorcée MARTIN", "ＤＵＲＡＮＤ", "DUR\u0410ND", "DU\u2060RAND", "𝐃𝐔𝐑𝐀𝐍𝐃",
]  # fmt: skip


@pytest.mark.parametrize("wording", WORDINGS)
def test_usage_and_birth_name_are_found_in_every_wording(wording: str) -> None:
    assert on_list(wording, "EVA") & forms("Durand", "Eva", "Martin")
    assert on_list("DURAND", "EVA") & forms(wording, "Eva", "Durand")


@pytest.mark.parametrize("wording", [w for w in WORDINGS if "EP" in w.upper() or "ÉP" in w.upper()])
def test_one_of_two_surnames_is_enough_on_either_side(wording: str) -> None:
    for surname in ("Durand", "Martin"):
        assert on_list(wording, "EVA") & forms(surname, "Eva")
        assert on_list(surname, "EVA") & forms(wording, "Eva")


SAME_NAMES = [
    ("Müller", "MUELLER", "MULLER", "MU\u0308LLER"),
    ("Straße", "STRASSE"),
    ("Lebœuf", "LEBOEUF"),
    ("d'Arvor", "D’ARVOR", "D ARVOR", "D\u02bcARVOR", "D´ARVOR", "d`Arvor"),
    ("Dupond-Essai", "DUPOND ESSAI", "DUPOND\u2011ESSAI"),
    ("Le Goff", "LE\u00a0GOFF", "Le Ｇoff"),
    ("Raffin", "RAﬃN"),
]


@pytest.mark.parametrize(("one", "other"), [pair for same in SAME_NAMES for pair in itertools.product(same, repeat=2)])
def test_spellings_of_one_name_are_one_name_on_both_sides(one: str, other: str) -> None:
    assert on_list(one, "EVA") & forms(other, "Eva")
    assert set(sql("holder_tokens(?)", f"MADAME {one} EVA")) <= set(sql("member_tokens(?, 'Eva', NULL)", other))


@pytest.mark.parametrize(("one", "other"), [("LE GOFF", "LEGOFF"), ("LEGOFF", "LE GOFF")])
def test_a_particle_may_be_written_with_the_name(one: str, other: str) -> None:
    assert on_list(one, "EVA") & forms(other, "Eva")


def test_a_title_before_a_given_name_is_none() -> None:
    assert on_list("DURAND", "MME EVA MARIE") & forms("Durand", "Eva")
    assert on_list("DURAND", "EVA") & forms("Durand", "Madame Eva")


@pytest.mark.parametrize(
    ("one", "other"), [("DURAND NEE MARTIN", "MOREAU"), ("QUENTIN", "QUNTIN"), ("MULLER", "MILLER"), ("NEE", "EP")]
)
def test_other_names_stay_others(one: str, other: str) -> None:
    assert not on_list(one, "EVA") & forms(other, "Eva")


@FEW
@given(WORDS, WORDS, WORDS)
def test_every_key_of_the_plain_forms_is_there_as_before(family: str, given_name: str, birth: str) -> None:
    plain = {list_key(surname, given_name) for surname in (family, birth, f"{family} {birth}")}
    assert plain <= forms(family, given_name, birth)


@pytest.mark.parametrize(
    "holder",
    [
        "MONSIEUR EVA DURAND", "MADAME DURAND", "M. OU MME DURAND", "MADAME EVA DURAND NEE MARTIN", "DR EVA DURAND",
        "MLLE MARTIN EVA", "MADAME OU MONSIEUR DURAND", "MARTIN EPOUSE DURAND", "ME EVA DURAND", "MM DURAND",
    ],
)  # fmt: skip
def test_titles_and_words_between_names_say_nothing_about_a_holder(holder: str) -> None:
    assert set(sql("holder_tokens(?)", holder)) <= set(sql("member_tokens('Durand', 'Eva', 'Martin')"))


@pytest.mark.parametrize("name", ["MAITRE", "JEAN MAITRE", "NEE", "Dit", "MONSIEUR"])
def test_a_title_that_is_a_name_is_kept(name: str) -> None:
    assert len(sql("holder_tokens(?)", name)) == len(name.split())


NAME_WORDS = (
    "DURAND", "Martin", "de", "LE", "Goff", "Müller", "MUELLER", "Mme", "M.", "DR", "née", "EPOUSE", "Jean-Paul",
    "Anne", "MARIE", "D'Arc", "Maître", "MISS", "Élodie", "ROUET", "(Martin)", "NOM", "USAGE", "M", "VVE", "QUENTIN",
    "",
)  # fmt: skip
written_names = st.lists(st.tuples(st.sampled_from(NAME_WORDS), st.sampled_from(" \t-/,")), min_size=1, max_size=4).map(
    lambda parts: "".join(word + separator for word, separator in parts[:-1]) + parts[-1][0]
)


@FEW
@given(st.lists(st.tuples(written_names, written_names), min_size=50, max_size=50))
def test_a_name_that_is_passed_over_has_no_other_form(people: list[tuple[str, str]]) -> None:
    """Lists are long, so most names take a short way; it must leave out nobody who has another form."""
    first = "nullif(canonical_name(first_given_name(g)), canonical_name(g))"
    names = f"full_name(canonical_name(f), canonical_name(g)), full_name(canonical_name(f), {first})"
    short, every = (f"{function}(f, g, {names}, $3)" for function in ("other_name_keys", "pw_other_name_keys"))
    rows = f"SELECT f, g, {short} AS short, {every} AS every FROM (SELECT unnest($1) AS f, unnest($2) AS g)"
    families, given_names = map(list, zip(*people, strict=True))
    answer = CON.execute(f"FROM ({rows}) WHERE short IS DISTINCT FROM every", [families, given_names, BORN])
    assert answer.fetchall() == []
