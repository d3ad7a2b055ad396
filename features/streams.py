"""The streams of dated events that several families count: changes by who or what they share, links to an account."""

from __future__ import annotations

from collections.abc import Callable

import narwhals as nw

from payeewatch.features.engines.engine import Frame
from payeewatch.features.formulas import ratio
from payeewatch.features.sources import Stream
from payeewatch.features.spine import all_changes
from payeewatch.features.versions import Tables, first_versions


def _changes_by(key: str, own: str) -> Callable[[Tables, Frame], Frame]:
    """Events (value of `key`, value of `own`), from when a change with both was first known."""

    def events(tables: Tables, spine: Frame) -> Frame:
        return _first_known(all_changes(tables).select("known_at", key=key, own=own), spine.select(key=key))

    return events


def _first_known(rows: Frame, keys: Frame) -> Frame:
    """One event per (key, own), at the first instant it was known."""
    rows = rows.filter(~nw.col("key").is_null() & ~nw.col("own").is_null())
    return rows.join(keys, on="key", how="semi").group_by("key", "own").agg(at=nw.col("known_at").min())


def links_of(tables: Tables, spine: Frame) -> Frame:
    """(account, payee_id, owner_id, known_at): every payee tied to a new account of the spine.

    An owner is a household, or a payee that has none. Ties are changes and sightings. A member's sighting counts once
    the member is known; the member on a provider's claim is the one cared for, and has nothing to do with the account.
    """
    return tables.once("account links", lambda: _links(tables, spine.select(account="new_account")))


def _links(tables: Tables, accounts: Frame) -> Frame:
    changes = all_changes(tables).select("payee_id", "owner_id", "known_at", account="new_account")
    changes = changes.join(accounts, on="account", how="semi")
    sightings = tables.touching("sightings", "account", accounts, "spine.new_account")
    is_members = ~nw.col("member_id").is_null() & (nw.col("payee_type").fill_null("") != "provider")
    of_members = sightings.filter(is_members)
    members = tables.touching("members", "member_id", of_members, "sightings.member_id", ["household_id"])
    homes = first_versions(members, ["member_id"]).select("member_id", owner_id="household_id", home_at="known_at")
    of_members = of_members.join(homes, on="member_id", how="inner")
    of_members = of_members.with_columns(known_at=nw.max_horizontal("known_at", "home_at"))
    of_others = sightings.filter(~is_members).with_columns(owner_id=nw.col("payee_id"))
    columns = ("account", "payee_id", "owner_id", "known_at")
    return nw.concat([rows.select(*columns) for rows in (changes, of_members, of_others)])


def _linked(own: str) -> Callable[[Tables, Frame], Frame]:
    """Events (account, value of `own`), from when they were first tied."""

    def events(tables: Tables, spine: Frame) -> Frame:
        links = links_of(tables, spine).select("known_at", key="account", own=own)
        return _first_known(links, spine.select(key="new_account"))

    return events


EVERY_CHANGE = Stream("every_change", "every", "change_id", _changes_by("every", "change_id"))
CHANGES_BY_CHANNEL = Stream("by_channel", "channel", "change_id", _changes_by("channel", "change_id"))
CHANGES_BY_ACTOR = Stream("by_actor", "actor_id", "change_id", _changes_by("actor_id", "change_id"))
CHANGES_BY_BANK = Stream("by_bank", "new_bank", "change_id", _changes_by("new_bank", "change_id"))
CHANGES_BY_COUNTRY = Stream("by_country", "new_country", "change_id", _changes_by("new_country", "change_id"))
CHANGES_BY_BANK_MOVE = Stream("by_bank_move", "bank_move", "change_id", _changes_by("bank_move", "change_id"))
OWNERS_OF_DEVICE = Stream("device", "device_token", "owner_id", _changes_by("device_token", "owner_id"))
OWNERS_OF_DOCUMENT = Stream("document", "document_hash", "owner_id", _changes_by("document_hash", "owner_id"))
PAYEES_OF_ACCOUNT = Stream("account_payees", "new_account", "payee_id", _linked("payee_id"))
OWNERS_OF_ACCOUNT = Stream("account_owners", "new_account", "owner_id", _linked("owner_id"))


def share_surprise(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """-log10 of a share of other changes, smoothed by one: never infinite, and 0 when there are no others."""
    return -ratio(part + 1, whole + 1).log(10)
