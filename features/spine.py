"""The spine: which changes are measured as of which nights, one row per (change, night).

`open_changes` is a night's spine, or many nights' at once; `learning_changes` is every past change at several ages.
The same code measures every spine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import narwhals as nw
import pyarrow as pa

from payeewatch.features.engines.engine import DAY, Frame
from payeewatch.features.versions import NEVER, SERIAL, Tables, first_versions, visible

WAVE_DAYS = 15
"""A surge of changes between two banks is looked for during this time after a change became known."""


BANK_MOVE = nw.concat_str("old_bank", "new_bank", separator=">")
"""The bank that a change leaves and the bank that it goes to."""

OWNER = nw.coalesce("household_id", "payee_id")
"""The household of a change, or the payee if it has none."""
ACCOUNT_OF_OWNER = nw.concat_str("new_account", OWNER, separator=":")
"""The new account and whose it becomes."""

LATE_DAYS = 4
"""News may come this late, over a long weekend, and the age of a change still counts from its effect."""
BEGUN_AT = nw.max_horizontal("announced_at", "requested_at", "effective_at")
"""From when the window of a change counts: it is known, was asked for and is in effect."""
AGED_FROM = nw.max_horizontal("effective_at", BEGUN_AT - LATE_DAYS * DAY)
"""From when its age counts. Whoever asks may write any day of effect: this makes a change no older than its news."""

EVERY = nw.lit("every change")
"""One key for all changes, to count all of them."""


@dataclass(frozen=True)
class Night:
    """A night and its first and last instants (UTC): only what was known at `cutoff_at` may be seen."""

    as_of: date
    opens_at: datetime
    cutoff_at: datetime


def open_changes(tables: Tables, nights: Sequence[Night], window_days: int, extra: Sequence[str] = ()) -> Frame:
    """Every change open on each night.

    A change is open if it is known and not superseded, and is at most `window_days` old or has a payment to its new
    account pending. A change named in `extra` (flagged and not yet decided) is open at any age.
    """
    instants = tables.engine.load(calendar(nights)).select("as_of", "cutoff_at")
    named = tables.engine.load(names(extra)).with_columns(is_named=nw.lit(True))
    changes = tables.engine.keep(_as_known(all_changes(tables).join(instants, how="cross"), window_days))
    pending = _pending(tables, changes, window_days)
    is_open = (nw.col("age_days") <= window_days) | ~nw.coalesce("is_pending", "is_named").is_null()
    pairs = changes.join(pending, on=["change_id", "cutoff_at"], how="left").join(named, on="change_id", how="left")
    return _spine_of(tables, pairs.filter(is_open).drop("is_pending", "is_named"))


def named_changes(
    tables: Tables, nights: Sequence[Night], window_days: int, pairs: Collection[tuple[str, date]]
) -> Frame:
    """Named changes, open or not, each on the nights that it is named with, if they know it."""
    instants = tables.engine.load(calendar(nights)).select("as_of", "cutoff_at")
    asked = tables.engine.load(pairs_of(pairs)).join(instants, on="as_of", how="inner")
    return _spine_of(tables, _as_known(all_changes(tables).join(asked, on="change_id", how="inner"), window_days))


def learning_changes(
    tables: Tables,
    nights: Sequence[Night],
    ages_days: Sequence[int],
    since: date,
    window_days: int,
    past_window_days: Sequence[int],
    ids: Sequence[str],
) -> Frame:
    """The past changes of these ids, on some of the nights from `since` on, only those on which it was open.

    Within its window, these are the night on which it became known and the nights at `ages_days` of age. Past the
    window, each of `past_window_days` after its end begins a span that ends at the next one: the night is the first of
    the span that sees a payment to the change pending. A night before the change was known is left out. `nights` must
    begin well before `since`: the age of a change counts from the night on which it began.
    """
    days = tables.engine.load(calendar(nights))
    ages = tables.engine.load(ages_of(ages_days))
    spans = tables.engine.load(spans_past(window_days, past_window_days))
    last = max(microseconds(night.cutoff_at) for night in nights)
    changes = all_changes(tables).filter(nw.col("known_at") <= last)
    changes = changes.join(tables.engine.load(names(ids)), on="change_id", how="semi")
    aged = _night_of("aged_from", changes, days).join(ages, how="cross")
    aged = aged.select("change_id", day=nw.col("day") + nw.col("age"))
    instants = days.select("day", "as_of", "cutoff_at").filter(
        nw.col("as_of") >= microseconds(datetime.combine(since, time()))
    )
    due = nw.concat([_night_of("announced_at", changes, days).drop("instant"), aged]).unique()
    due = due.join(instants, on="day", how="inner").drop("day")
    within = _as_known(changes.join(due, on="change_id", how="inner"), window_days).filter(
        nw.col("age_days") <= window_days
    )
    waiting = _first_waiting(tables, changes, days, instants, window_days, spans)
    past = _as_known(changes.join(waiting, on="change_id", how="inner"), window_days)
    return _spine_of(tables, nw.concat([within, past]))


def _first_waiting(
    tables: Tables, changes: Frame, days: Frame, instants: Frame, window_days: int, spans: Frame
) -> Frame:
    """(change_id, as_of, cutoff_at): of each span past the window, the first night that sees a waiting payment."""
    payments = _waiting_payments(tables, changes).rename({"known_at": "planned_at", "superseded_at": "leaves_at"})
    pairs = changes.select(
        "change_id", "payee_id", "new_account", "begun_at", "aged_from", *SERIAL, "superseded_at", "superseded_by"
    )
    pairs = pairs.join(payments, on=["payee_id", "new_account"], how="inner").join(spans, how="cross")
    begins = nw.max_horizontal("known_at", "planned_at", nw.col("begun_at") + nw.col("from_age") * DAY)
    pairs = pairs.with_columns(begins_at=begins).filter(nw.col("begins_at") < nw.col("leaves_at"))
    nights = _night_of("begins_at", pairs, days).rename({"instant": "begins_at"})
    nights = nights.join(instants, on="day", how="inner").drop("day")
    visible_pairs = _as_known(pairs.join(nights, on=["change_id", "begins_at"], how="inner"), window_days)
    visible_pairs = visible_pairs.filter(
        (nw.col("cutoff_at") < nw.col("leaves_at")) & (nw.col("age_days") < nw.col("to_age"))
    )
    first = visible_pairs.group_by("change_id", "from_age").agg(nw.col("as_of").min(), nw.col("cutoff_at").min())
    return first.drop("from_age").unique()


def all_changes(tables: Tables) -> Frame:
    """Every version of every change, with the columns to count changes by, and when the change first became known."""
    return tables.once("changes with banks", lambda: _with_banks(tables, tables.whole("changes")))


def _with_banks(tables: Tables, changes: Frame) -> Frame:
    announced = changes.group_by("change_id").agg(announced_at=nw.col("known_at").min())
    changes = changes.join(announced, on="change_id", how="inner")
    sides = [changes.select(account=nw.col(f"{side}_account")) for side in ("new", "old")]
    rows = tables.touching("accounts", "account", nw.concat(sides), "changes")
    bank = nw.concat_str("country", "bank_code", separator=":")
    accounts = first_versions(rows, ["account"]).select("account", "country", "bank_code", bank=bank)
    accounts = tables.engine.keep(accounts)
    for side in ("new", "old"):
        named = {name: f"{side}_{name}" for name in ("account", "country", "bank_code", "bank")}
        changes = changes.join(accounts.rename(named), on=f"{side}_account", how="left")
    return changes.with_columns(
        bank_move=BANK_MOVE,
        every=EVERY,
        owner_id=OWNER,
        account_of_owner=ACCOUNT_OF_OWNER,
        begun_at=BEGUN_AT,
        aged_from=AGED_FROM,
    )


def _as_known(pairs: Frame, window_days: int) -> Frame:
    """Each change as its night knew it, unless another change had superseded it by then.

    Its age is at most `window_days` until its window has ended.
    """
    visible_pairs = pairs.filter(visible(nw.col("cutoff_at")) & nw.col("superseded_by").is_null())
    age = nw.max_horizontal((nw.col("cutoff_at") - nw.col("aged_from")) // DAY, nw.lit(0))
    in_window = (nw.col("cutoff_at") - nw.col("begun_at")) // DAY <= window_days
    most = nw.when(in_window).then(nw.lit(window_days)).otherwise(age)
    return visible_pairs.with_columns(age_days=nw.min_horizontal(age, most))


def _pending(tables: Tables, changes: Frame, window_days: int) -> Frame:
    """(change_id, cutoff_at) of the changes past their window with a payment waiting for their new account.

    The payments are those of every payee in the spine, so they are read once.
    """
    payments = _waiting_payments(tables, changes)
    old = changes.filter(nw.col("age_days") > window_days)
    pairs = old.select("change_id", "payee_id", "new_account", "cutoff_at")
    paid = pairs.join(payments, on=["payee_id", "new_account"], how="inner").filter(visible(nw.col("cutoff_at")))
    return paid.select("change_id", "cutoff_at").unique().with_columns(is_pending=nw.lit(True))


def _waiting_payments(tables: Tables, changes: Frame) -> Frame:
    """Payments not yet sent to payees of the changes: from when each is known until its next version is known."""
    payments = tables.with_stored_ends("payments")
    if payments is None:
        payments = tables.touching("payments", "payee_id", changes, "spine.payee_id")
    payments = payments.filter(nw.col("status").is_in(["planned", "held"]))
    return payments.select("payee_id", "known_at", "superseded_at", new_account=nw.col("account"))


def _spine_of(tables: Tables, pairs: Frame) -> Frame:
    """The spine with row numbers and the columns by which sources are joined to their tables."""
    spine = pairs.drop("superseded_at", "superseded_by", "version", "begun_at", "aged_from").with_row_index(
        "row", order_by=["change_id", "cutoff_at"]
    )
    spine = spine.with_columns(
        is_provider=nw.col("payee_type") == "provider",
        asked_at=nw.min_horizontal("requested_at", "cutoff_at"),
        wave_at=nw.min_horizontal("cutoff_at", nw.col("announced_at") + WAVE_DAYS * DAY),
    )
    spine = tables.engine.keep(spine)
    return tables.engine.keep(_with_neighbours(tables, spine))


def _with_neighbours(tables: Tables, spine: Frame) -> Frame:
    """Add when the payee's change before this one took effect and when the next one does, as the night knew it."""
    others = all_changes(tables).select(
        "payee_id", "known_at", "superseded_at", "superseded_by", other_id="change_id", other_at="effective_at"
    )
    own = spine.select("row", "payee_id", "change_id", "cutoff_at", "effective_at")
    pairs = own.join(others, on="payee_id", how="inner").filter(
        visible(nw.col("cutoff_at")) & nw.col("superseded_by").is_null() & (nw.col("other_id") != nw.col("change_id"))
    )
    pairs = pairs.with_columns(
        before=nw.when(nw.col("other_at") < nw.col("effective_at")).then(nw.col("other_at")),
        after=nw.when(nw.col("other_at") > nw.col("effective_at")).then(nw.col("other_at")),
    )
    ends = pairs.group_by("row").agg(previous_change_at=nw.col("before").max(), next_change_at=nw.col("after").min())
    return spine.join(ends, on="row", how="left")


def _night_of(column: str, changes: Frame, days: Frame) -> Frame:
    """(change_id, instant, day) of the nights on which an instant of the changes fell."""
    near = [days.with_columns(utc_day=nw.col("day") + shift) for shift in (-1, 0, 1)]
    candidates = (
        changes.select("change_id", instant=column)
        .with_columns(utc_day=nw.col("instant") // DAY)
        .join(nw.concat(near), on="utc_day", how="inner")
    )
    inside = (nw.col("opens_at") <= nw.col("instant")) & (nw.col("instant") <= nw.col("cutoff_at"))
    return candidates.filter(inside).select("change_id", "instant", "day").unique()


def calendar(nights: Sequence[Night]) -> pa.Table:
    """One row per night: its date (as microseconds and as days since 1970), first and last instants."""
    as_of = [microseconds(datetime.combine(night.as_of, time())) for night in nights]
    columns = {
        "as_of": as_of,
        "day": [instant // DAY for instant in as_of],
        "opens_at": [microseconds(night.opens_at) for night in nights],
        "cutoff_at": [microseconds(night.cutoff_at) for night in nights],
    }
    return pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})


def ages_of(ages_days: Sequence[int]) -> pa.Table:
    """The ages in days, within the window, at which a past change is measured."""
    return pa.table({"age": pa.array(ages_days, pa.int64())})


def spans_past(window_days: int, past_window_days: Sequence[int]) -> pa.Table:
    """The ages in days, past the window, at which each span of a change's life begins and the next one does."""
    begins = sorted(window_days + age for age in past_window_days)
    spans = {"from_age": begins, "to_age": [*begins[1:], *[NEVER // DAY][: len(begins)]]}
    return pa.table({name: pa.array(ages, pa.int64()) for name, ages in spans.items()})


def names(change_ids: Sequence[str]) -> pa.Table:
    """The changes asked for by name, each once."""
    return pa.table({"change_id": pa.array(sorted(set(change_ids)), pa.string())})


def pairs_of(pairs: Collection[tuple[str, date]]) -> pa.Table:
    """The changes asked for by name, each with a night, each pair once."""
    ordered = sorted(set(pairs))
    columns = {
        "change_id": pa.array([change_id for change_id, _ in ordered], pa.string()),
        "as_of": pa.array([microseconds(datetime.combine(night, time())) for _, night in ordered], pa.int64()),
    }
    return pa.table(columns)


def microseconds(instant: datetime) -> int:
    """An instant as the engines count time: microseconds since 1970 (UTC)."""
    since_1970 = instant.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since_1970.days * DAY + since_1970.seconds * 1_000_000 + since_1970.microseconds
