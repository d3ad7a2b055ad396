"""Every input table: what one row is, columns, types and nulls. Casts, checks, lake schemas and docs come from here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a column contains. It decides how the column is read, checked and stored."""

    TEXT = "text"
    ENUM = "enum"
    BOOL = "bool"
    INT = "int"
    MONEY = "money"  # decimal euros outside, integer cents inside
    DATE = "date"
    INSTANT = "timestamp"  # UTC
    ACCOUNT = "account"  # an IBAN outside, a keyed token inside
    NATIONAL_ID = "national id"
    NAME = "name"
    BIRTH_DATE = "birth date"  # eight digits, possibly incomplete
    POSTAL_CODE = "postal code"


IDENTITY_KINDS = frozenset({Kind.ACCOUNT, Kind.NATIONAL_ID, Kind.NAME, Kind.BIRTH_DATE, Kind.POSTAL_CODE})
"""Kinds whose values never reach the lake, a log, quarantine or a message."""

LAKE_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.ENUM: "VARCHAR",
    Kind.BOOL: "BOOLEAN",
    Kind.INT: "INTEGER",
    Kind.MONEY: "BIGINT",
    Kind.DATE: "DATE",
    Kind.INSTANT: "TIMESTAMP",
    Kind.ACCOUNT: "VARCHAR",
}


@dataclass(frozen=True)
class Column:
    """One column of an input table.

    `values` lists the values of an enum. Any other value becomes "unknown" if that is listed and `falls_back` is true.
    Otherwise it becomes null if the column is nullable, and rejects the row if not.
    """

    name: str
    kind: Kind = Kind.TEXT
    nullable: bool = False
    doc: str = ""
    values: tuple[str, ...] = ()
    falls_back: bool = False
    low: int | None = None
    high: int | None = None
    is_list: bool = False  # a text of several ids, separated by |

    @property
    def lake_name(self) -> str:
        """The column's name inside: `reimbursed_amount` -> `reimbursed_cents`, `old_iban` -> `old_account`."""
        if self.kind is Kind.MONEY:
            return self.name.removesuffix("amount") + "cents"
        if self.kind is Kind.ACCOUNT:
            return self.name.removesuffix("iban") + "account"
        return self.name


@dataclass(frozen=True)
class Table:
    """One input table. `derived` are the lake columns that replace its identity columns.

    `key` identifies a row of the input, which has one row per key. `lake_key` are the lake columns that identify a row
    in all its versions, if the input has no key of its own.
    """

    name: str
    grain: str
    key: str
    columns: tuple[Column, ...]
    required: bool = False
    references: tuple[tuple[str, str], ...] = ()  # (column, table): the value should be a key of that table
    derived: tuple[tuple[str, str, str], ...] = ()  # (lake column, SQL type, meaning)
    lake_key: tuple[str, ...] = ()
    known_when: str = ""  # if a row has one version only: the column that says when it became known

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    @property
    def lake_columns(self) -> dict[str, str]:
        """Name -> SQL type of every lake column, in order."""
        columns = {c.lake_name: LAKE_TYPES[c.kind] for c in self.columns if c.kind in LAKE_TYPES}
        extra = {name: sql_type for name, sql_type, _ in self.derived}
        return columns | extra | LAKE_STAMPS

    @property
    def in_lake(self) -> LakeTable:
        """The table as the lake stores it."""
        return LakeTable(self.grain, self.lake_columns, self.lake_key or ((self.key,) if self.key else ()))


class LakeTable(NamedTuple):
    """A table as the lake stores it: every version of every row.

    `key` are the columns that identify a row in all its versions; a table without one has no versions.
    """

    grain: str
    columns: dict[str, str]  # name -> SQL type
    key: tuple[str, ...]


LAKE_STAMPS = {"key_version": "TINYINT", "known_at": "TIMESTAMP", "version": "BIGINT"}
"""Columns of every lake row: the version of the token key; when this version of the row became known (UTC); and the
order of versions known at the same instant (load sequence * 2^32 + row in the drop)."""

KNOWN_AT = Column("known_at", Kind.INSTANT, True, "when this version of the row became known")
"""Any table may carry it."""

CARE_FAMILIES = (
    "consultation", "pharmacy", "laboratory", "optical", "dental", "hearing", "hospital", "soft_medicine",
    "prevention", "transport", "device", "other",
)  # fmt: skip
CLAIM_CHANNELS = ("noemie", "third_party", "portal", "mobile", "paper", "email", "broker", "unknown")
PAYEE_TYPES = ("member", "provider", "guardian", "employer", "institution", "estate", "other")
CHANGE_CHANNELS = (
    "portal", "mobile", "call_centre", "paper", "branch", "email", "broker", "employer", "mobility_mandate",
    "bulk_migration", "back_office", "return_driven", "unknown",
)  # fmt: skip
AUTH_STRENGTHS = ("none", "knowledge", "otp_email", "otp_sms", "strong", "in_person", "unknown")
NAME_CHECKS = ("match", "close_match", "no_match", "not_possible", "not_run", "unknown")
EVENT_KINDS = (
    "login", "login_failed", "password_reset", "device_enrolled", "mfa_changed", "email_changed",
    "phone_changed", "address_changed", "account_created",
)  # fmt: skip
FRAUD_VERDICTS = ("confirmed_fraud", "attempt_stopped")
"""Verdicts that mean fraud, whether or not money was lost."""
UNCLEAR_VERDICTS = ("inconclusive",)
"""Verdicts that leave open whether it was fraud."""
HONEST_VERDICT = "benign"

VERDICTS = (*FRAUD_VERDICTS, HONEST_VERDICT, *UNCLEAR_VERDICTS, "data_error")

CLAIMS = Table(
    "claims",
    grain="one row per claim",
    key="claim_id",
    required=True,
    references=(("member_id", "members"), ("provider_id", "providers")),
    columns=(
        Column("claim_id"),
        Column("member_id", doc="who was cared for"),
        Column("provider_id", nullable=True),
        Column("cared_on", Kind.DATE, doc="first day of care"),
        Column("received_at", Kind.INSTANT, doc="when the insurer received it"),
        Column("care_family", Kind.ENUM, values=CARE_FAMILIES),
        Column("channel", Kind.ENUM, values=CLAIM_CHANNELS, falls_back=True),
        Column("has_public_record", Kind.BOOL, doc="the public scheme confirmed the care"),
        Column("billed_amount", Kind.MONEY),
        Column("reimbursed_amount", Kind.MONEY, doc="what this insurer pays"),
        Column("ceiling_left_amount", Kind.MONEY, True, "what the guarantee still allowed before this claim"),
        Column("payee_id"),
        Column("payee_type", Kind.ENUM, values=PAYEE_TYPES),
        Column("iban", Kind.ACCOUNT, True, "account it is or was payable to; null: the payee's current account"),
        Column("status", Kind.ENUM, values=("received", "pended", "settled", "rejected", "reversed")),
        Column("invoice_hash", nullable=True, doc="hash of the uploaded document"),
    ),
)

MEMBERS = Table(
    "members",
    grain="one row per member",
    key="member_id",
    required=True,
    columns=(
        Column("member_id"),
        Column("household_id"),
        Column("contract_id"),
        Column("role", Kind.ENUM, values=("policyholder", "spouse", "child", "other")),
        Column("national_id", Kind.NATIONAL_ID, True, "null for most children"),
        Column("holder_national_id", Kind.NATIONAL_ID, True, "the opening-right holder's"),
        Column("birth_date", Kind.BIRTH_DATE, doc="YYYYMMDD, possibly incomplete (19500000)"),
        Column("birth_rank", Kind.INT, low=1, high=9),
        Column("family_name", Kind.NAME),
        Column("given_names", Kind.NAME),
        Column("birth_name", Kind.NAME, True),
        Column("sex", Kind.ENUM, True, values=("F", "M")),
        Column("postal_code", Kind.POSTAL_CODE, True),
        Column("joined_on", Kind.DATE),
        Column("left_on", Kind.DATE, True),
        Column("died_on", Kind.DATE, True),
        Column("guarantee_level", Kind.INT, True, low=1, high=6),
        Column("legal_protection", Kind.ENUM, values=("none", "curatorship", "guardianship")),
        Column("residence", Kind.ENUM, values=("home", "care_home", "other")),
        Column("broker_id", nullable=True),
        Column("employer_id", nullable=True),
    ),
    derived=(
        ("birth_year", "SMALLINT", "first four digits of the birth date; null when unusable"),
        ("department", "VARCHAR", "first two characters of the postal code (three overseas)"),
        ("person_key", "BIGINT", "keyed: national id + birth date; null unless both are usable and complete"),
        ("holder_key", "BIGINT", "keyed: opening-right holder's national id + birth date; null likewise"),
        ("id_key", "BIGINT", "keyed: the 13 characters of the national id; null when unusable"),
        ("name_keys", "BIGINT[]", "keyed: canonical full name + birth date, one per form of the name"),
        ("name_tokens", "BIGINT[]", "keyed: each word of the member's names, sorted"),
        ("surname_tokens", "BIGINT[]", "keyed: each word of the family and birth names, sorted"),
    ),
)

BANK_CHANGES = Table(
    "bank_changes",
    grain="one row per change of account",
    key="change_id",
    known_when="requested_at",
    references=(("member_id", "members"),),
    columns=(
        Column("change_id"),
        Column("payee_id"),
        Column("payee_type", Kind.ENUM, values=PAYEE_TYPES),
        Column("member_id", nullable=True, doc="null for provider payees"),
        Column("requested_at", Kind.INSTANT),
        Column("effective_at", Kind.INSTANT, doc="may lie in the future"),
        Column("old_iban", Kind.ACCOUNT, True, "null for a first account"),
        Column("new_iban", Kind.ACCOUNT),
        Column("holder_name", Kind.NAME, True),
        Column("channel", Kind.ENUM, values=CHANGE_CHANNELS, falls_back=True),
        Column("actor_id", nullable=True, doc="agent, broker or API user"),
        Column("auth_strength", Kind.ENUM, True, values=AUTH_STRENGTHS, falls_back=True),
        Column("name_check", Kind.ENUM, values=NAME_CHECKS, falls_back=True),
        Column("device_token", nullable=True),
        Column("document_hash", nullable=True),
    ),
    derived=(
        ("holder_tokens", "BIGINT[]", "keyed: each word of the holder's name, sorted; null when not given"),
        ("account_distance", "SMALLINT", "characters that differ between old and new account; null for a first"),
    ),
)

ACCOUNT_EVENTS = Table(
    "account_events",
    grain="one row per event on a member's web account",
    key="event_id",
    known_when="occurred_at",
    references=(("member_id", "members"),),
    columns=(
        Column("event_id"),
        Column("member_id"),
        Column("occurred_at", Kind.INSTANT),
        Column("kind", Kind.ENUM, values=EVENT_KINDS),
        Column("channel", Kind.ENUM, values=CHANGE_CHANNELS, falls_back=True),
        Column("actor_id", nullable=True),
        Column("device_token", nullable=True),
        Column("ip_country", nullable=True),
        Column("network", nullable=True),
    ),
)

PAYMENTS = Table(
    "payments",
    grain="one row per payment",
    key="payment_id",
    references=(("member_id", "members"),),
    columns=(
        Column("payment_id"),
        Column("payee_id"),
        Column("member_id", nullable=True),
        Column("iban", Kind.ACCOUNT),
        Column("amount", Kind.MONEY),
        Column("claim_ids", nullable=True, doc="separated by |", is_list=True),
        Column("planned_on", Kind.DATE, doc="date the money is to leave"),
        Column("value_date", Kind.DATE, True, "null until sent"),
        Column("status", Kind.ENUM, values=("planned", "held", "sent", "returned")),
        Column("return_reason", nullable=True, doc="ISO 20022 code"),
    ),
)

PROVIDERS = Table(
    "providers",
    grain="one row per provider",
    key="provider_id",
    columns=(
        Column("provider_id"),
        Column("finess", nullable=True),
        Column("rpps", nullable=True),
        Column("specialty", nullable=True),
        Column("opened_on", Kind.DATE, True),
        Column("closed_on", Kind.DATE, True),
        Column("postal_code", Kind.POSTAL_CODE, True),
        Column("iban", Kind.ACCOUNT, True),
    ),
    derived=(("department", "VARCHAR", "first two characters of the postal code (three overseas)"),),
)

OUTCOMES = Table(
    "outcomes",
    grain="one row per decision on a change",
    key="outcome_id",
    known_when="decided_at",
    references=(("change_id", "bank_changes"),),
    columns=(
        Column("outcome_id"),
        Column("change_id"),
        Column("decided_at", Kind.INSTANT),
        Column("verdict", Kind.ENUM, values=VERDICTS),
        Column("reason_code", nullable=True),
        Column("source", Kind.ENUM, values=("reviewer", "complaint", "audit")),
        Column("decided_by", nullable=True, doc="staff number or pseudonym of the person who decided"),
    ),
)

DROP_TABLES = {t.name: t for t in (MEMBERS, PROVIDERS, CLAIMS, BANK_CHANGES, ACCOUNT_EVENTS, PAYMENTS, OUTCOMES)}
"""The tables of a drop, referenced ones first."""

PEOPLE = Table(
    "people",
    grain="one row per person on a breach list",
    key="",
    columns=(
        Column("national_id", Kind.NATIONAL_ID, True),
        Column("holder_national_id", Kind.NATIONAL_ID, True),
        Column("family_name", Kind.NAME, True),
        Column("given_names", Kind.NAME, True),
        Column("birth_date", Kind.BIRTH_DATE, True),
        Column("birth_rank", Kind.INT, True, low=1, high=9),
    ),
    derived=(
        *(d for d in MEMBERS.derived if d[0] in {"person_key", "holder_key", "id_key"}),
        ("name_key", "BIGINT", "keyed: canonical full name + birth date"),
        ("first_name_key", "BIGINT", "the same with the first given name alone, where there are others"),
        (
            "unusable",
            "TINYINT",
            "in bits, what was given but cannot be used: 1 national id, 2 holder's, 4 birth date, 8 birth rank;"
            " what was given: 16 holder's national id, 32 birth date",
        ),
    ),
)

BANKS = Table(
    "banks",
    grain="one row per bank code",
    key="",
    lake_key=("country", "bank_code"),
    columns=(
        Column("country"),
        Column("bank_code"),
        Column("name"),
        Column("group", nullable=True),
        Column("kind", Kind.ENUM, values=("bank", "neobank", "emi", "treasury")),
    ),
)
REFERENCE_ACCOUNTS = Table(
    "accounts",
    grain="one row per known account",
    key="",
    lake_key=("account", "kind", "valid_from"),
    columns=(
        Column("iban", Kind.ACCOUNT),
        Column("kind", Kind.ENUM, values=("institution", "employer", "guardian", "treasury", "provider", "blocked")),
        Column("label", nullable=True),
        Column("valid_from", Kind.DATE, True),
        Column("valid_to", Kind.DATE, True),
    ),
)
MERGERS = Table(
    "mergers",
    grain="one row per bank code that moves to another",
    key="",
    lake_key=("old_bank_code", "new_bank_code", "from"),
    columns=(
        Column("old_bank_code"),
        Column("new_bank_code"),
        Column("from", Kind.DATE, True),
        Column("to", Kind.DATE, True),
    ),
)
REFERENCE_TABLES = {t.name: t for t in (REFERENCE_ACCOUNTS, BANKS, MERGERS)}


DERIVED_TABLES = {
    "accounts": LakeTable(
        "one row per account, from the drop that first showed it",
        {
            "account": "VARCHAR",  # keyed token
            "country": "VARCHAR",  # of the IBAN
            "bank_code": "VARCHAR",  # five digits in France and Monaco, the national code elsewhere
            "last_four": "VARCHAR",
        }
        | LAKE_STAMPS,
        key=("account",),
    ),
    "sightings": LakeTable(
        "one row per (payee, account) pair, when first seen on a claim, a payment or a provider's row",
        {
            "payee_id": "VARCHAR",
            "account": "VARCHAR",
            "payee_type": "VARCHAR",
            "member_id": "VARCHAR",  # of the row that showed it; on a provider's claim, who was cared for
            "seen_at": "TIMESTAMP",  # when it happened (received, planned)
            "seen_on_table": "VARCHAR",  # claims, payments or providers
        }
        | LAKE_STAMPS,
        key=("payee_id", "account"),
    ),
    "changes": LakeTable(
        "one row per version of a change of account, announced or derived",
        {
            "change_id": "VARCHAR",
            "derived": "BOOLEAN",
            "payee_id": "VARCHAR",
            "payee_type": "VARCHAR",
            "member_id": "VARCHAR",  # null for a provider's
            "household_id": "VARCHAR",  # null for a provider's
            "requested_at": "TIMESTAMP",
            "effective_at": "TIMESTAMP",
            "old_account": "VARCHAR",  # null for a first account
            "new_account": "VARCHAR",
            "channel": "VARCHAR",
            "actor_id": "VARCHAR",
            "auth_strength": "VARCHAR",
            "name_check": "VARCHAR",
            "device_token": "VARCHAR",
            "document_hash": "VARCHAR",
            "holder_share": "DOUBLE",  # share of the holder's names that are names of the household; null if unknown
            "account_distance": "SMALLINT",
            "superseded_by": "VARCHAR",  # of a derived change: the announced one that took it over; else null
        }
        | LAKE_STAMPS,
        key=("change_id",),
    ),
    "exposures": LakeTable(
        "one row per version of (member, breach list): how they match",
        {
            "member_id": "VARCHAR",
            "breach_id": "VARCHAR",
            "match_quality": "VARCHAR",  # a level of pipeline/home/codes.py; null: no longer matched
            "list_share": "DOUBLE",  # share of members on the list, of those known when the list became known
        }
        | LAKE_STAMPS,
        key=("member_id", "breach_id"),
    ),
    "lists": LakeTable(
        "one row per version of a breach list's manifest",
        {
            "breach_id": "VARCHAR",
            "title": "VARCHAR",
            "exposed_from": "DATE",
            "exposed_to": "DATE",
            "list_known_on": "DATE",
            "fields": "VARCHAR[]",
            "purge_on": "DATE",
            "people_count": "BIGINT",
            "is_purged": "BOOLEAN",
        }
        | LAKE_STAMPS,
        key=("breach_id",),
    ),
}
"""Lake tables that PayeeWatch makes itself."""

LAKE_TABLES: dict[str, LakeTable] = {
    **{name: table.in_lake for name, table in DROP_TABLES.items()},
    **{f"reference_{name}": table.in_lake for name, table in REFERENCE_TABLES.items()},
    **DERIVED_TABLES,
    "people": LakeTable(PEOPLE.grain, {"breach_id": "VARCHAR"} | PEOPLE.lake_columns, ()),
    "people_spellings": LakeTable(
        "one row per person on a breach list with a name and a birth date, but no usable number",
        {
            "breach_id": "VARCHAR",
            "name_key": "BIGINT",  # as in people; null where one of the two names is missing
            "keys": "BIGINT[]",  # keyed: what agrees at each level of SPELLINGS, in that order
        }
        | LAKE_STAMPS,
        (),
    ),
    "member_spellings": LakeTable(
        "one row per version of a member; `version` is that of the row of members",
        {
            "member_id": "VARCHAR",
            "keys": "BIGINT[]",  # keyed: what agrees at the levels of SPELLINGS, sorted
        }
        | LAKE_STAMPS,
        (),
    ),
}
"""Every table of the lake. `pipeline/store/as_of.py` takes from here which rows are versions of one another."""

SUPERSEDED_AT = "superseded_at"
"""A column of lake tables that are cached in memory: when the next version of a row became known."""

KNOWN_WHEN = {name: table.known_when for name, table in DROP_TABLES.items() if table.known_when}
"""Table -> the column that says when a row became known, for tables whose rows have one version each."""

WRITTEN_ONCE = frozenset({"accounts", "sightings"})
"""Lake tables whose rows are written when they are first seen, and never get another version."""
