"""Keys, and the keyed tokens that replace identities: HMAC-SHA-256, never a plain hash.

The canonical forms are SQL (`pipeline/home/data/canonical.sql`), specified in docs/identity.md.
"""

from __future__ import annotations

import binascii
import csv
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.files import write_json

DATA = Path(__file__).parent / "data"
KEY_BYTES = 32
KEY_CHECK = "key-check.json"
"""Of the lake: keyed hashes that show whether a key file is the one it was made with."""
LASTING = "lasting"
"""In KEY_CHECK: the first token key, where there are several."""
BLOCK_BYTES = 64  # of SHA-256

SHIFTS = (0, 32)
"""Where in a key of a person its two places in a filter begin (`pipeline/store/kept_tokens.py`)."""

NAME_FORMS = 3
"""The number of the forms of names, and of the spellings, below. Each load of members or people notes it: a list that
was read with an earlier number is read again while its files are there. Forms are only ever added, so that earlier keys
still match."""

SPELLINGS = (
    "consonants of both names, birth date",
    "both names, birth date with day and month exchanged",
    "both names, year and month",
    "surname, initial, birth date",
    "given name, initial of the surname, birth date",
    "two letters of each name, birth date",
    "surname, birth date",
    "given name, birth date",
)
"""What agrees where a spelling or a birth date has an error, the strictest level first. `canonical.sql` has the keys in
this order; a new level comes last, and raises NAME_FORMS."""

PARTICLES = (
    "D", "DA", "DAL", "DAS", "DE", "DEL", "DELLA", "DEN", "DER", "DES", "DI", "DO", "DOS", "DU", "EL", "L", "LA",
    "LE", "LES", "LO", "TEN", "TER", "VAN", "VOM", "VON", "Y", "ZU", "ZUM", "ZUR",
    "ET", "M", "MLLE", "MME", "MR", "MRS", "OU",
)  # fmt: skip
"""Words that do not distinguish people: articles and prepositions of names, and titles before a holder's name."""
TITLES = (
    "MONSIEUR", "MADAME", "MADEMOISELLE", "MESSIEURS", "MESDAMES", "MESDEMOISELLES", "MM", "MMES", "MLLES", "MELLE",
    "MLE", "MISS", "HERR", "FRAU",
)  # fmt: skip
"""Titles written out. They say nothing wherever they stand."""
FIRST_TITLES = ("DOCTEUR", "DR", "MAITRE", "ME", "PR", "PROFESSEUR")
"""Titles that are names as well: they are titles only at the beginning, before other words."""
BETWEEN = (
    "NEE?", "EPOUSEE?", "EPOUX", "EPSE", "EPX", "EP", "VEUVE", "VEUF", "VVE", "DIVORCEE?", "MARIEE?", "FEMME", "FME",
    "DITE?", "ALIAS", "NJF", "NOM (?:DE )?(?:JEUNE FILLE|NAISSANCE)", "(?:NOM )?D?.?USAGE",
)  # fmt: skip
"""Words between two surnames of one person, as regular expressions."""
LOOK_ALIKES = (
    ("АВЕКМНОРСТУХІЇЈЅԚԜҮӀ", "ABEKMHOPCTYXIIJSQWYI"),
    ("авекмнорстухіїјѕԛԝү", "ABEKMHOPCTYXIIJSQWY"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    ("αικνορτυχγ", "AIKVOPTUXY"),
    ("\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\ua78b\ua78c", "'" * 11),
)
"""Cyrillic and Greek letters, and the Latin letters that look the same; letters that look like apostrophes."""

OTHER_FORMS = (
    (0xAA, 0xBA), (0x17F, 0x17F), (0x2B0, 0x2E3), (0x1D2C, 0x1DBB), (0x2070, 0x2188), (0x2460, 0x24EA),
    (0x2C7C, 0x2C7D), (0xA7F2, 0xA7F4), (0xFF10, 0xFF5A), (0x107A5, 0x107A5), (0x1D400, 0x1D7FF),
    (0x1FBF0, 0x1FBF9),
)  # fmt: skip
"""Where Unicode has other forms of letters and digits: raised, lowered, circled, full width, mathematical."""


@dataclass(frozen=True)
class Keys:
    """The three secrets. With a key service, only the origin of this object would change.

    `token` has one key per version. `token_version` is the first of them, and lasts: it makes ids of changes and flags,
    and tokens of accounts. Keys of persons are made with `person_version`, which the lake says (`kept_tokens.py`), and
    `kept` has, by former version, the filter of those that stay as they were. While keys are being changed, `former`
    are the keys of vault and audit log before, which count as well. `trace` is for what stays recognisable for good and
    cannot be made again, such as tombstones; it is the first audit key that the home had.
    """

    token: dict[int, bytes] = field(repr=False)
    token_version: int
    vault: bytes = field(repr=False)
    audit: bytes = field(repr=False)
    first_audit: bytes | None = field(default=None, repr=False)
    former: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    persons: int | None = field(default=None, repr=False)  # a version; None: `token_version`
    kept: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def person_version(self) -> int:
        return self.persons or self.token_version

    @property
    def trace(self) -> bytes:
        return self.first_audit or self.audit

    def every(self, name: str) -> list[bytes]:
        """The keys of a name, `vault` or `audit`, that count now, the newest first."""
        newest: bytes = getattr(self, name)
        return [newest, *([self.former[name]] if name in self.former else [])]

    @classmethod
    def create(cls, path: Path, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Keys:
        """Make a key file that only its owner can read; an existing one is not changed, only loaded.

        `random_bytes` returns as many bytes as asked. They may be predictable only for synthetic insurers.

        Raises:
            SettingsError: the file cannot be made, or the existing one is refused.
        """
        token, vault, audit = (random_bytes(KEY_BYTES) for _ in range(3))
        text = cls({1: token}, 1, vault, audit).text()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                # a link, unlike a rename, never replaces what is there
                os.link(temporary, path)
        except OSError as error:
            raise SettingsError(f"{path}: the key file cannot be made ({error.strerror})") from error
        finally:
            with suppress(OSError):
                temporary.unlink()
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read the key file.

        Raises:
            SettingsError: missing, unreadable, readable by others, or not a key file.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            raise SettingsError(
                f"{path}: there is no key file; make one with `payeewatch init`, or set PAYEEWATCH_KEY_FILE"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: the key file cannot be read ({type(error).__name__})") from None
        if mode & 0o077:
            raise SettingsError(f"{path}: the key file's mode is {mode:04o}; it must be 0600: chmod 600 {path}")
        try:
            raw = json.loads(text)
            token = {int(version): _key(encoded) for version, encoded in raw["token"].items()}
            first_audit = _key(raw["trace"]) if "trace" in raw else None
            former = {str(name): _key(encoded) for name, encoded in raw.get("former", {}).items()}
            keys = cls(token, int(raw["token_version"]), _key(raw["vault"]), _key(raw["audit"]), first_audit, former)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            # the cause would print the file's content
            raise SettingsError(
                f"{path}: is not a key file; it must hold token, token_version, vault and audit as init writes them"
            ) from None
        if keys.token_version not in keys.token or not 1 <= keys.token_version <= 127:
            raise SettingsError(f"{path}: 'token_version' is {keys.token_version}; 'token' has no such key")
        return keys

    def check(self, lake_root: Path, *, note: bool = True) -> None:
        """Compare all keys with those the lake was made with; the first time, note them in the lake (with `note`).

        Raises:
            SettingsError: this lake was made with another key, or another version of it.
        """
        path = lake_root / KEY_CHECK
        check_values = self._check_values()
        if not path.exists():
            if note:
                write_json(path, check_values)
            return
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: cannot be read ({type(error).__name__}); restore it") from error
        stored = stored if isinstance(stored, dict) else {}
        accepted = {name: {value} for name, value in check_values.items()}
        for name, key in self.former.items():
            accepted[name].add(_check_value(key))
        # a lake says with which token key it began; of the newest it may not know yet
        accepted[LASTING] = {None, _check_value(self.token[self.token_version])}
        accepted["token"] = {_check_value(key) for key in self.token.values()}
        if LASTING not in stored:
            accepted["token"] = accepted[LASTING] - {None}
        wrong = [name for name, values in accepted.items() if stored.get(name) not in values]
        if "audit" not in stored and wrong == ["audit"]:  # as earlier versions wrote it
            if note:
                self.note(lake_root)
            return
        if wrong:
            raise SettingsError(
                f"{path}: the key file's {', '.join(wrong)} does not fit this lake; set PAYEEWATCH_KEY_FILE to the "
                "key file it was made with"
            )

    def note(self, lake_root: Path) -> None:
        """Note in the lake that these are its keys from now on."""
        write_json(lake_root / KEY_CHECK, self._check_values())

    def _check_values(self) -> dict[str, Any]:
        values = {
            "token_version": self.token_version,
            # the newest: versions of PayeeWatch that know one token key only refuse a lake with several
            "token": _check_value(self.token[max(self.token)]),
            "vault": _check_value(self.vault),
            "audit": _check_value(self.audit),
        }
        return values | ({LASTING: _check_value(self.token[self.token_version])} if len(self.token) > 1 else {})

    def text(self) -> str:
        """The content of the key file."""
        raw: dict[str, Any] = {
            "token": {str(version): _encoded(key) for version, key in self.token.items()},
            "token_version": self.token_version,
            "vault": _encoded(self.vault),
            "audit": _encoded(self.audit),
        }
        raw |= {"trace": _encoded(self.first_audit)} if self.first_audit else {}
        raw |= {"former": {name: _encoded(key) for name, key in self.former.items()}} if self.former else {}
        return json.dumps(raw) + "\n"


def register(con: duckdb.DuckDBPyConnection, keys: Keys) -> None:
    """Install the macros of canonical.sql, keyed, in a private in-memory database."""
    own = "pw_hmac64(message)"
    for version in sorted(keys.kept, reverse=True):
        register_version(con, keys, version)
        kept = _is_in_filter(keys.kept[version], f"pw_key64_v{version}(message)")
        own = f"CASE WHEN {kept} THEN pw_key64_v{version}(message) ELSE {own} END"
    con.execute(_keyed_sql(keys, keys.token[keys.person_version]).replace("@KEY64@", own))


def register_version(con: duckdb.DuckDBPyConnection, keys: Keys, version: int) -> None:
    """Install the macros once more, as they are under one version of the token key: see `suffixed`."""
    sql = _keyed_sql(keys, keys.token[version]).replace("@KEY64@", "pw_hmac64(message)")
    con.execute(suffixed(sql, f"v{version}"))


def register_pairs(con: duckdb.DuckDBPyConnection, keys: Keys, version: int) -> None:
    """Install the macros once more, with the suffix `pairs`: a key of a person is the struct of all its forms.

    `old` is the key as it is made now, `v1` and so on the key under each version up to `version`. The connection has
    the macros.
    """
    versions = [each for each in sorted(keys.token) if each <= version]
    for each in versions:
        register_version(con, keys, each)
    forms = "".join(f", 'v{each}': pw_key64_v{each}(message)" for each in versions)
    sql = suffixed(_keyed_sql(keys, keys.token[version]), "pairs")
    con.execute(sql.replace("@KEY64@", f"{{'old': pw_key64(message){forms}}}"))


def suffixed(sql: str, suffix: str) -> str:
    """SQL with the macros of canonical.sql under other names: `id_key(x)` as `id_key_v1(x)`."""
    return _macro_calls().sub(rf"\1_{suffix}(", sql)


def is_kept(keys: Keys, version: int, key: str) -> str:
    """SQL: whether a key under a former version is one of those that the lake kept."""
    return _is_in_filter(keys.kept[version], key) if version in keys.kept else "false"


def _is_in_filter(bits: bytes, key: str) -> str:
    """A filter is of 2^n bits; a key is in it if the bits are set at two places, taken from the key's own bits."""
    most, literal = 8 * len(bits) - 1, f"CAST(unhex('{bits.hex()}') AS BIT)"
    return " AND ".join(f"get_bit({literal}, CAST(({key} >> {shift}) & {most} AS INTEGER)) = 1" for shift in SHIFTS)


def tokens_of_accounts(con: duckdb.DuckDBPyConnection, accounts: Sequence[str | None]) -> list[str | None]:
    """The token of each account, in order; None for what is no account. The connection has the macros."""
    rows = con.execute(
        "SELECT CASE WHEN is_account(canonical_account(a)) THEN account_token(canonical_account(a)) END "
        "FROM (SELECT unnest($1::VARCHAR[]) AS a, unnest(range(len($1))) AS n) ORDER BY n",
        [accounts],
    )
    return [token for (token,) in rows.fetchall()]


def token_of(keys: Keys, kind: str, text: str) -> str:
    """The result of the macro `lasting_token`, for one value in Python."""
    return next(tokens_of(keys, kind, [text]))


def tokens_of(keys: Keys, kind: str, texts: Iterable[str]) -> Iterator[str]:
    """The same for many values."""
    key = keys.token[keys.token_version]
    return (hmac.digest(key, f"{kind}:{text}".encode(), "sha256").hex()[:32] for text in texts)


def tombstone_of(keys: Keys, kind: str, text: str) -> str:
    """The result of the macro `tombstone`: the trace of something erased, to recognise it if it comes back."""
    return hmac.digest(keys.trace, f"{kind}|{text}".encode(), "sha256").hex()


def _key(encoded: str) -> bytes:
    key = b64decode(encoded, validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError("a key of another length")
    return key


def _encoded(key: bytes) -> str:
    return b64encode(key).decode()


def _check_value(key: bytes) -> str:
    return hmac.new(key, b"payeewatch key check", hashlib.sha256).hexdigest()[:32]


def _keyed_sql(keys: Keys, persons: bytes) -> str:
    sql = _plain_sql()
    for key, prefix in ((persons, ""), (keys.token[keys.token_version], "LASTING_"), (keys.trace, "TRACE_")):
        block = key.ljust(BLOCK_BYTES, b"\0")
        for side, pad in (("INNER", 0x36), ("OUTER", 0x5C)):
            sql = sql.replace(f"@{prefix}{side}_PAD@", bytes(b ^ pad for b in block).hex())
    return sql


@cache
def _macro_calls() -> re.Pattern[str]:
    """A macro of canonical.sql with the bracket behind it."""
    names = re.findall(r"MACRO (\w+)\(", _plain_sql())
    return re.compile(rf"\b({'|'.join(sorted(set(names), key=len, reverse=True))})\(")


@cache
def _plain_sql() -> str:
    digits = "account"
    for letter in range(ord("A"), ord("Z") + 1):
        digits = f"replace({digits}, '{chr(letter)}', '{letter - 55}')"
    forms = _other_forms()
    with (DATA / "ibans.csv").open(encoding="ascii", newline="") as file:
        ibans = "".join(
            f";{row['country']}{int(row['length']):02d}{int(row['bank_start']):02d}{int(row['bank_length']):02d}"
            for row in csv.DictReader(file)
        )
    look_alikes = (*LOOK_ALIKES, *forms.items())
    return (
        (DATA / "canonical.sql")
        .read_text(encoding="utf-8")
        .replace("@LETTERS_TO_DIGITS@", digits)
        .replace("@IBANS@", ibans)
        .replace("@PARTICLES@", "|".join(PARTICLES))
        .replace("@TITLES@", "|".join(TITLES))
        .replace("@FIRST_TITLES@", "|".join(FIRST_TITLES))
        .replace("@BETWEEN@", "|".join(BETWEEN))
        .replace("@LOOK_ALIKES@", "".join(odd for odd, _ in look_alikes).replace("'", "''"))
        .replace("@LATIN@", "".join(latin for _, latin in look_alikes).replace("'", "''"))
        .replace("@OTHER_FORMS@", "".join(forms))
        .replace("@THEIR_PLAIN_FORMS@", "".join(forms.values()))
    )


def _other_forms() -> dict[str, str]:
    """Every character that Unicode calls another form of one ASCII letter or digit -> that one."""
    codes = (code for first, last in OTHER_FORMS for code in range(first, last + 1))
    forms = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in codes}
    return {form: plain for form, plain in forms.items() if len(plain) == 1 and plain.isascii() and plain.isalnum()}
