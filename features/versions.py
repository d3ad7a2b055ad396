"""Which version of a row is valid as of a night.

The lake keeps every version of a row. A version is visible from when it became known until the next version of its
key did, so one comparison, `known_at <= cutoff < superseded_at`, is enough for any number of nights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import narwhals as nw

from payeewatch.features.engines.engine import Engine, Frame, Refused

NEVER = 2**62
"""Later than any instant."""


@dataclass(frozen=True)
class Use:
    """What features use of a lake table: the columns that identify a row in all its versions, and other columns."""

    key: tuple[str, ...]
    columns: tuple[str, ...] = ()


USES: dict[str, Use] = {
    "claims": Use(
        ("claim_id",),
        (
            "payee_id", "member_id", "account", "provider_id", "care_family", "cared_on", "received_at",
            "has_public_record", "reimbursed_cents", "ceiling_left_cents", "status",
        ),
    ),
    "payments": Use(
        ("payment_id",), ("payee_id", "account", "cents", "planned_on", "status", "return_reason")
    ),
    "members": Use(
        ("member_id",),
        ("household_id", "joined_on", "left_on", "died_on", "legal_protection", "residence", "surname_tokens"),
    ),
    "account_events": Use(("event_id",), ("member_id", "kind", "occurred_at")),
    "changes": Use(
        ("change_id",),
        (
            "derived", "payee_id", "payee_type", "member_id", "household_id", "requested_at", "effective_at",
            "old_account", "new_account", "channel", "actor_id", "auth_strength", "name_check", "device_token",
            "document_hash", "holder_share", "account_distance", "superseded_by",
        ),
    ),
    "exposures": Use(("member_id", "breach_id"), ("match_quality", "list_share")),
    "lists": Use(("breach_id",), ("list_known_on", "fields", "is_purged")),
    "accounts": Use(("account",), ("country", "bank_code")),
    "sightings": Use(("payee_id", "account"), ("payee_type", "member_id")),
    "reference_banks": Use(("country", "bank_code"), ("group", "kind")),
    "reference_accounts": Use(("account", "kind", "valid_from"), ("valid_to",)),
    "reference_mergers": Use(("old_bank_code", "new_bank_code", "from"), ("to",)),
}  # fmt: skip
"""Every lake table that features read."""

SERIAL = ("known_at", "version")
"""The order of a row's versions."""

SUPERSEDED_AT = "superseded_at"
"""When the next version of a row became known. A lake table may have it as a column; otherwise it is computed."""


def reach(table: str) -> str:
    """What to do about a column that features do not use."""
    return f"a column of the lake that a feature needs must be in USES[{table!r}], features/versions.py"


def with_lifetimes(rows: Frame, key: Sequence[str]) -> Frame:
    """Add `superseded_at`: when the next version of the row became known."""
    later = nw.col("known_at").shift(-1).over(*key, order_by=SERIAL)
    return rows.with_columns(superseded_at=later.fill_null(NEVER))


def first_versions(rows: Frame, key: Sequence[str]) -> Frame:
    """Only the version of each row that was known first: later versions do not matter."""
    before = nw.col("known_at").shift(1).over(*key, order_by=SERIAL)
    return rows.with_columns(known_before=before).filter(nw.col("known_before").is_null()).drop("known_before")


def visible(instant: nw.Expr, prefix: str = "") -> nw.Expr:
    """Whether a version was the valid one at an instant."""
    return (nw.col(f"{prefix}known_at") <= instant) & (instant < nw.col(f"{prefix}superseded_at"))


@dataclass
class Tables:
    """The lake tables of one measurement, each computed once and reduced to the rows that the spine needs.

    `zone` is the time zone of the hours, weekdays and dates that features ask for.
    """

    engine: Engine
    zone: str
    frames: dict[object, Frame] = field(default_factory=dict)

    def once(self, name: object, build: Callable[[], Frame]) -> Frame:
        """The frame of that name, computed on first use."""
        if name not in self.frames:
            self.frames[name] = self.engine.keep(build())
        return self.frames[name]

    def whole(self, table: str) -> Frame:
        """All versions of a small table's rows, with lifetimes."""
        return self.once(table, lambda: self._with_lifetimes(table, self._versions(table)))

    def with_stored_ends(self, table: str) -> Frame | None:
        """All versions of a table's rows with lifetimes, if the table has them as a column. They are not stored.

        Each row has its own end, so a join to these rows by any value needs no later versions, and so no `touching`.
        """
        rows = self._versions(table)
        return self._with_lifetimes(table, rows) if SUPERSEDED_AT in rows.collect_schema().names() else None

    def touching(self, table: str, on: str, values: Frame, reach: str, columns: Sequence[str] | None = None) -> Frame:
        """All versions, with lifetimes, of the rows that ever had one of `values` (a frame with the column `on`).

        In addition to the key they have `columns`, or all columns that features use.

        A row may get another value later (a claim whose payee is corrected), and its later versions must be seen. So
        this finds first the keys that ever had one of the values, then every version of those keys. `reach` is a name
        for the values: rows asked for under the same name are computed once.
        """
        key = USES[table].key

        def build() -> Frame:
            rows = self._versions(table, columns)
            keys = values.select(on).filter(~nw.col(on).is_null())
            if SUPERSEDED_AT in rows.collect_schema().names():
                return self._with_lifetimes(table, rows.join(keys, on=on, how="semi"))
            if on not in key:
                keys = self.engine.keep(rows.join(keys, on=on, how="semi").select(*key))
            return self._with_lifetimes(table, rows.join(keys, on=[on] if on in key else list(key), how="semi"))

        return self.once((table, reach), build)

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        """All versions of a table's rows: only the columns that the table has.

        Raises:
            Refused: a table or a column that features do not use.
        """
        use = USES.get(table, Use(()))
        beyond = [name for name in columns if name not in (*use.key, *use.columns, *SERIAL, SUPERSEDED_AT)]
        if beyond or table not in USES:
            raise Refused(f"{table}: features do not use {', '.join(beyond) or 'it'}; {reach(table)}")
        return self.engine.read(table, columns)

    def _versions(self, table: str, columns: Sequence[str] | None = None) -> Frame:
        """The columns in use; and the ends of versions, if the table has them."""
        use = USES[table]
        return self.read(table, [*use.key, *(use.columns if columns is None else columns), *SERIAL, SUPERSEDED_AT])

    def _with_lifetimes(self, table: str, rows: Frame) -> Frame:
        if SUPERSEDED_AT in rows.collect_schema().names():
            return rows.with_columns(nw.col(SUPERSEDED_AT).fill_null(NEVER))
        return with_lifetimes(rows, USES[table].key)
