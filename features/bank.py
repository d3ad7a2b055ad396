"""The bank and the country of the new account."""

from __future__ import annotations

import narwhals as nw
from narwhals import Expr

from payeewatch.features.engines.engine import DAY, Frame
from payeewatch.features.formulas import Aggregate, Between, Row, count, if_else, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.sources import CHANGE, Relation
from payeewatch.features.streams import CHANGES_BY_BANK, CHANGES_BY_BANK_MOVE, CHANGES_BY_COUNTRY, share_surprise
from payeewatch.features.versions import NEVER, Tables

family = Family(__name__, __doc__, Lens.REQUEST)


def _banks(tables: Tables, spine: Frame, values: Frame) -> Frame:
    bank = nw.concat_str("country", "bank_code", separator=":")
    return tables.whole("reference_banks").select("kind", "group", "known_at", "superseded_at", bank=bank)


NEW_BANK = Relation(
    "new_bank", "reference_banks", on="bank", to="new_bank", rows=_banks,
    columns=lambda bank, change: {"is_online": bank.kind.is_in(["neobank", "emi"])},
)  # fmt: skip
"""What the bank reference says of the new account's bank."""

OLD_BANK = Relation("old_bank", "reference_banks", on="bank", to="old_bank", rows=_banks, through=NEW_BANK)
"""What it says of the old account's bank, where it knows the new one's."""


def _mergers(tables: Tables, spine: Frame, values: Frame) -> Frame:
    """Announced moves from a bank code to another. Every line counts from when it is known on."""
    columns = ("old_bank_code", "new_bank_code", "known_at", "from", "to")
    rows = tables.read("reference_mergers", columns).rename({"from": "opens_at", "to": "ends_at"})
    return rows.with_columns(superseded_at=nw.lit(NEVER))


MERGER = Relation(
    "merger", "reference_mergers", on="old_bank_code", to="old_bank_code", rows=_mergers,
    columns=lambda merger, change: {
        "fits": (merger.new_bank_code == change.new_bank_code)
        & (merger.opens_at.fill_null(0) <= change.effective_at)
        & (merger.ends_at.fill_null(NEVER) >= change.requested_at)
    },
)  # fmt: skip
"""Announced mergers that the change's old bank takes part in."""


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="country")
def is_in_another_country(change: Row) -> Expr:
    """The new account is in another country than the old one."""
    return yes_no(change.new_country != change.old_country)


@family.part(CHANGES_BY_COUNTRY)
def changes_to_country_year(change: Row) -> Between:
    """Changes to the same country known in the year before this one."""
    return Between(change.announced_at - 365 * DAY, change.announced_at)


@family.feature(CHANGE, unit=Unit.SURPRISE, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="country")
def country_surprise(change: Row) -> Expr:
    """Rarity of the account's country among the year's changes."""
    return share_surprise(change.changes_to_country_year, change.changes_year)


@family.part(CHANGES_BY_BANK)
def changes_to_bank_year(change: Row) -> Between:
    """Changes to the same bank known in the year before this one."""
    return Between(change.announced_at - 365 * DAY, change.announced_at)


@family.feature(CHANGE, unit=Unit.SURPRISE, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="bank")
def bank_surprise(change: Row) -> Expr:
    """Rarity of the account's bank among the year's changes."""
    return share_surprise(change.changes_to_bank_year, change.changes_year)


@family.part(NEW_BANK)
def known_new_banks(bank: Row) -> Aggregate:
    """1 when the new account's bank is in the reference."""
    return count(~bank.kind.is_null())


@family.part(NEW_BANK)
def online_new_banks(bank: Row) -> Aggregate:
    """1 when the new account's bank works online only."""
    return count(bank.is_online)


@family.part(NEW_BANK)
def treasury_new_banks(bank: Row) -> Aggregate:
    """1 when the new account is with a public treasury."""
    return count(bank.kind == "treasury")


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.UNKNOWN, topic="bank")
def is_online_bank(change: Row) -> Expr:
    """The account is with an online bank or a payment institution."""
    return if_else(change.known_new_banks > 0, yes_no(change.online_new_banks > 0))


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN)
def is_treasury(change: Row) -> Expr:
    """The account is with a public treasury."""
    return if_else(change.known_new_banks > 0, yes_no(change.treasury_new_banks > 0))


@family.part(OLD_BANK)
def same_groups(bank: Row) -> Aggregate:
    """1 when both banks belong to one group."""
    return count(bank.group == NEW_BANK.row.group)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.UNKNOWN)
def is_same_bank_group(change: Row) -> Expr:
    """The new account is with the same bank or banking group as the old one."""
    return yes_no((change.new_bank == change.old_bank) | (change.same_groups > 0))


@family.part(MERGER)
def announced_mergers(merger: Row) -> Aggregate:
    """Announced mergers that explain the change."""
    return count(merger.fits)


@family.feature(CHANGE, unit=Unit.YESNO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="bank move")
def is_announced_merger(change: Row) -> Expr:
    """The old bank's accounts are known to move to the new bank."""
    return yes_no(change.announced_mergers > 0)


@family.feature(
    CHANGES_BY_BANK_MOVE, unit=Unit.COUNT, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="bank move"
)
def same_bank_moves_30d(change: Row) -> Between:
    """Other changes from the same old bank to the same new bank in 30 days."""
    return Between(change.wave_at - 30 * DAY, change.wave_at)


@family.part(CHANGES_BY_BANK_MOVE)
def same_bank_moves_year(change: Row) -> Between:
    """The same in the year before those 30 days."""
    return Between(change.wave_at - 365 * DAY, change.wave_at - 30 * DAY)


@family.feature(CHANGE, unit=Unit.RATIO, suspicious=Suspicious.CONTEXT, missing=Missing.ZERO, topic="bank move")
def bank_wave(change: Row) -> Expr:
    """How far the moves between these two banks exceed their usual number, in standard deviations."""
    usual = change.same_bank_moves_year * (30 / 335)
    return (change.same_bank_moves_30d - usual) / (usual + 1).sqrt()
