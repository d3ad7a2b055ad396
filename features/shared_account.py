"""The company the new account keeps: households, payees, devices and documents tied to it."""

from __future__ import annotations

import narwhals as nw
from narwhals import Expr

from payeewatch.features.engines.engine import DAY, Frame
from payeewatch.features.formulas import Aggregate, Between, Row, count, distinct, if_else, smallest, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.relations import MEMBER
from payeewatch.features.sources import CHANGE, Relation
from payeewatch.features.streams import (
    OWNERS_OF_ACCOUNT,
    OWNERS_OF_DEVICE,
    OWNERS_OF_DOCUMENT,
    PAYEES_OF_ACCOUNT,
    links_of,
)
from payeewatch.features.versions import NEVER, Tables

family = Family(__name__, __doc__, Lens.COMPANY)

EVER = nw.lit(-NEVER)
"""Before any instant. A provider's account that was always known has the year 1900 in the lake."""


def _reference_accounts(tables: Tables, spine: Frame, values: Frame) -> Frame:
    """Known accounts. A line counts from the time when it became known."""
    rows = tables.read("reference_accounts", ("account", "kind", "known_at", "valid_from", "valid_to"))
    return rows.with_columns(superseded_at=nw.lit(NEVER))


KNOWN_ACCOUNT = Relation(
    "known_account", "reference_accounts", on="account", to="new_account", rows=_reference_accounts,
    columns=lambda account, change: {
        "is_valid": (account.valid_from.fill_null(0) <= change.cutoff_at)
        & (account.valid_to.fill_null(NEVER) >= change.effective_at)
    },
)  # fmt: skip
"""What the reference of known accounts says of the new account."""


def _own_surnames(tables: Tables, spine: Frame, values: Frame) -> Frame:
    """The surnames of the change's household, one row per word of a member."""
    members = MEMBER.joined_columns(tables, spine)
    named = {name: MEMBER.prefix + name for name in ("known_at", "superseded_at")}
    return members.select("row", word=MEMBER.row.surname_tokens, **named).explode("word")


def _account_surnames(tables: Tables, spine: Frame, values: Frame) -> Frame:
    """The surnames of households tied to an account that has several, each from when both tie and name were known."""
    everybody = links_of(tables, spine)
    ends = everybody.group_by("account").agg(first=nw.col("owner_id").min(), last=nw.col("owner_id").max())
    shared = everybody.join(ends.filter(nw.col("first") != nw.col("last")), on="account", how="semi")
    links = tables.once("shared account links", lambda: shared)
    owners = links.select(household_id="owner_id")
    rows = tables.touching("members", "household_id", owners, "account owners", ["household_id", "surname_tokens"])
    names = rows.select(owner_id="household_id", named_at="known_at", word="surname_tokens").explode("word")
    words = links.join(names, on="owner_id", how="inner").filter(~nw.col("word").is_null())
    return words.select(
        "owner_id",
        account_word=_account_word(nw.col("account"), nw.col("word")),
        known_at=nw.max_horizontal("known_at", "named_at"),
        superseded_at=nw.lit(NEVER),
    )


def _account_word(account: Expr, word: Expr) -> Expr:
    return nw.concat_str(account, word.cast(nw.String), separator=":")


OWN_SURNAME = Relation(
    "own_surname", "members", on="row", to="row", rows=_own_surnames,
    columns=lambda own, change: {"account_word": _account_word(change.new_account, own.word)},
)  # fmt: skip
"""The words of the household's surnames."""

NAMESAKE = Relation(
    "namesake", "members", on="account_word", to="own_surname__account_word", rows=_account_surnames,
    through=OWN_SURNAME, columns=lambda other, change: {"is_other": other.owner_id != change.owner_id},
)  # fmt: skip
"""Households on the new account that share a surname with the change's."""


@family.feature(
    OWNERS_OF_ACCOUNT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="shared account"
)
def other_households_on_account(change: Row) -> Between:
    """Other households, or payees without one, ever tied to the new account."""
    return Between(EVER, change.cutoff_at)


@family.part(NAMESAKE)
def namesake_households(namesake: Row) -> Aggregate:
    """Other households on the account that share a surname."""
    return distinct(namesake.owner_id, where=namesake.is_other)


@family.part(KNOWN_ACCOUNT)
def known_account_lines(account: Row) -> Aggregate:
    """Lines that say whose the account is."""
    return count(account.is_valid & (account.kind != "blocked"))


@family.part(KNOWN_ACCOUNT)
def blocked_account_lines(account: Row) -> Aggregate:
    """Lines that say the account is blocked."""
    return count(account.is_valid & (account.kind == "blocked"))


@family.feature(CHANGE, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="shared account")
def unrelated_households_on_account(change: Row) -> Expr:
    """Other households on the new account that share no surname, unless the account is a known institution's."""
    unrelated = change.other_households_on_account - change.namesake_households
    return if_else(change.is_institution_account > 0, 0.0, unrelated.clip(lower_bound=0))


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO)
def is_institution_account(change: Row) -> Expr:
    """The account is known as an institution's, an employer's, a guardian's or a treasury's."""
    return yes_no(change.known_account_lines > 0)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.ZERO)
def is_blocked_account(change: Row) -> Expr:
    """The account is on the reference of blocked accounts."""
    return yes_no(change.blocked_account_lines > 0)


@family.feature(
    PAYEES_OF_ACCOUNT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, topic="shared account"
)
def new_payees_on_account_14d(change: Row) -> Between:
    """Other payees newly tied to the account within 14 days of the change."""
    until = nw.min_horizontal(change.announced_at + 14 * DAY, change.cutoff_at)
    return Between(change.announced_at - 14 * DAY, until)


@family.feature(OWNERS_OF_DEVICE, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN)
def other_households_on_device(change: Row) -> Between:
    """Other households whose account was changed from the same device."""
    return Between(EVER, change.cutoff_at)


@family.feature(OWNERS_OF_DOCUMENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN)
def other_households_on_document(change: Row) -> Between:
    """Other households whose account was changed on the same document."""
    return Between(EVER, change.cutoff_at)


def _own_links(tables: Tables, spine: Frame, values: Frame) -> Frame:
    """(account_of_owner, known_at): when an account was first tied to a household, or to a payee without one."""
    links = links_of(tables, spine).with_columns(account_of_owner=nw.concat_str("account", "owner_id", separator=":"))
    firsts = links.join(values, on="account_of_owner", how="semi").group_by("account_of_owner")
    return firsts.agg(known_at=nw.col("known_at").min()).with_columns(superseded_at=nw.lit(NEVER))


OWN_LINK = Relation("own_link", "sightings", on="account_of_owner", to="account_of_owner", rows=_own_links)
"""When the new account was first seen as the household's own."""


@family.part(OWN_LINK)
def own_account_known_at(link: Row) -> Aggregate:
    """When the account was first tied to the household."""
    return smallest(link.known_at)


@family.feature(CHANGE, unit=Unit.DAYS, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN, topic="own account")
def own_account_known_days(change: Row) -> Expr:
    """Days the account had been known as this household's before the change; unknown when it always was."""
    known_days = (change.announced_at - change.own_account_known_at) / DAY
    return if_else(change.own_account_known_at > 0, known_days.clip(lower_bound=0))
