"""Nights brought before reviewers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import OperationalError, connection

from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.purge_note import begin, end
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange import import_night
from payeewatch.triage.exchange.import_night import adopt, imported, publish, publish_all, unpublished
from payeewatch.triage.exchange.night_state import night_state
from payeewatch.triage.models import AuditRecord, Evidence, Flag, Hold, Night, Tombstone, User
from payeewatch.triage.workspace import keys
from tests.conftest import NIGHTS
from tests.triage.conftest import Clock, do

LAST, NEXT = date(2024, 9, 25), date(2024, 9, 26)
FACT = {"at": pd.Timestamp("2024-09-26").to_pydatetime(), "kind": "claims_received", "amount": Decimal(9), "ids": ["C"]}
Rows = list[dict[str, Any]]


def night_after(
    settings: Settings, flags: Callable[[Rows], object], evidence: Callable[[Rows], object], of: date = NEXT
):
    """A night like the last one, but for what is changed in its rows; published."""
    for folder, change in (("flags", flags), ("evidence", evidence)):
        table = pq.read_table(settings.folder(folder) / f"{LAST}.parquet")
        rows = [{**row, "night": of} for row in table.to_pylist()]
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), settings.folder(folder) / f"{of}.parquet")
    for folder, ending in (("holds", "csv"), ("runs", "json")):
        path = settings.folder(folder) / f"{of}.{ending}"
        if not path.exists():
            path.write_bytes((settings.folder(folder) / f"{LAST}.{ending}").read_bytes())
    return publish(settings, of)


def nothing(rows: Rows) -> None:
    pass


def only(flag: Flag, **values: Any) -> Callable[[Rows], object]:
    return lambda rows: [row.update(values) for row in rows if row["flag_id"] == flag.flag_id]


def one_more_fact(flag: Flag) -> Callable[[Rows], object]:
    return lambda rows: [row["timeline"].append(FACT) for row in rows if row["flag_id"] == flag.flag_id]


def test_every_flag_of_the_last_night_is_there_with_its_evidence(reviewed: Settings) -> None:
    last = Night.objects.latest("night")
    flags = pd.read_parquet(reviewed.folder("flags") / f"{last.night}.parquet")
    assert set(Flag.objects.filter(is_current=True).values_list("flag_id", flat=True)) == set(flags["flag_id"])
    for flag in Flag.objects.all():
        assert flag.evidence.filter(digest=flag.evidence_digest).exists()


def test_publishing_again_changes_nothing(reviewed: Settings) -> None:
    before = (Flag.objects.count(), Evidence.objects.count(), Hold.objects.count())
    assert unpublished(reviewed) == []
    assert publish(reviewed, Night.objects.latest("night").night).is_repeated
    assert (Flag.objects.count(), Evidence.objects.count(), Hold.objects.count()) == before


def test_a_night_that_is_run_again_brings_no_purged_flag_back(first: Flag, reviewed: Settings) -> None:
    """Until the next purge the files have the flag again; a later night that finds it is new evidence."""
    gone = first.flag_id
    Tombstone.objects.create(token=tombstone_of(keys(), "flag", gone), kind="flag", purged_on=NEXT, clock="qualify")
    Flag.objects.filter(pk=gone).delete()
    Night.objects.filter(night=LAST).update(digest="the files of before")
    assert publish(reviewed, LAST).new == 0
    assert not Flag.objects.filter(pk=gone).exists()
    assert night_after(reviewed, nothing, nothing).new == 1


def test_a_night_that_finds_nothing_new_leaves_work_as_it_is(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    frozen = Evidence.objects.count()
    night_after(reviewed, only(first, rank=99), nothing)
    version = first.version
    first.refresh_from_db()
    assert (first.state, first.rank, first.night_id, first.version) == ("proposed", 99, NEXT, version + 1)
    assert Evidence.objects.count() == frozen


def test_new_evidence_is_frozen_beside_the_old_and_a_proposal_on_the_old_falls(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    night_after(reviewed, nothing, one_more_fact(first))
    first.refresh_from_db()
    decision = first.decisions.get()
    assert (first.state, first.woken_by, decision.state) == ("new", "new_evidence", "void")
    assert AuditRecord.objects.get(action="void").details["decision"] == decision.pk
    timeline_before = first.evidence.get(digest=decision.evidence_digest).body["timeline"]
    timeline_now = first.evidence.get(digest=first.evidence_digest).body["timeline"]
    assert len(timeline_now) == len(timeline_before) + 1


def test_a_form_of_before_the_night_is_refused(cast: dict[str, User], first: Flag, reviewed: Settings) -> None:
    from uuid import uuid4

    from payeewatch.triage.work import workflow

    version = first.version
    night_after(reviewed, nothing, one_more_fact(first))
    with pytest.raises(workflow.Overtaken, match="A night changed this flag meanwhile"):
        workflow.perform("claim", cast["reviewer"], first.flag_id, uuid4(), version, {})


@pytest.mark.parametrize(
    ("flags", "is_news", "why"),
    [
        ({}, True, "new_evidence"),
        ({"p_value": 1e-9, "p_value_uncorrected": 1e-9}, False, "more_unusual"),
        ({"p_value": 1e-9}, False, ""),  # an update of the model alone
        ({"amount_at_risk": Decimal(10**6)}, False, "more_at_risk"),
        ({"p_value": 0.9, "amount_at_risk": Decimal(0)}, False, ""),
    ],
)
def test_a_flag_snoozed_until_worse_comes_back_and_says_why(
    cast: dict[str, User], first: Flag, reviewed: Settings, flags: dict[str, Any], is_news: bool, why: str
) -> None:
    do(cast["reviewer"], first, "snooze", until_worse=True)
    night_after(reviewed, only(first, **flags), one_more_fact(first) if is_news else nothing)
    first.refresh_from_db()
    assert (first.state, first.woken_by) == ("new" if why else "snoozed", why)
    assert AuditRecord.objects.filter(action="wake").count() == bool(why)


def test_a_flag_snoozed_until_a_day_sleeps_through_what_is_merely_worse(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "snooze", until="2024-10-10")
    night_after(reviewed, only(first, p_value=1e-9, p_value_uncorrected=1e-9), nothing)
    first.refresh_from_db()
    assert first.state == "snoozed"


def test_a_suppressed_change_stays_out_of_work_whatever_is_found(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "suppress", until="2024-10-10", note="Known to the court")
    do(cast["senior"], first, "approve")
    night_after(reviewed, only(first, p_value=1e-9), one_more_fact(first))
    first.refresh_from_db()
    assert first.state == "suppressed"


def test_a_decided_change_flagged_anew_is_new_and_keeps_its_decisions(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=1)
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="document")
    clocked.at += timedelta(days=1)
    (reviewed.folder("holds") / f"{NEXT}.csv").write_text(
        "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
        f",{first.payee_id},{first.account},{first.change_id},,,2024-10-03,{first.flag_id}\n"
    )
    night_after(reviewed, only(first, first_flagged_on=NEXT, is_new=True), one_more_fact(first))
    first.refresh_from_db()
    assert (first.state, first.verdict, first.closed_at, first.opened_at) == ("new", "", None, clocked.at)
    assert first.decisions.get().state == "in_force"
    assert first.holds.get().state == "proposed"
    same_again = only(first, first_flagged_on=NEXT, is_new=True)
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    night_after(reviewed, same_again, nothing)  # run again, it found less
    first.refresh_from_db()
    assert first.state == "closed"


def test_a_decided_change_still_in_the_queue_stays_decided(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    night_after(reviewed, nothing, one_more_fact(first))
    first.refresh_from_db()
    assert (first.state, first.verdict) == ("closed", "inconclusive")


def test_what_left_the_queue_is_not_current(cast: dict[str, User], first: Flag, reviewed: Settings) -> None:
    night_after(reviewed, lambda rows: rows.remove(next(r for r in rows if r["flag_id"] == first.flag_id)), nothing)
    first.refresh_from_db()
    assert (first.is_current, first.night_id) == (False, LAST)


def test_an_earlier_night_run_again_does_not_turn_back_the_later(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    night_after(reviewed, only(first, rank=99), nothing)
    night_after(reviewed, only(first, rank=77), nothing, of=date(2024, 9, 24))
    first.refresh_from_db()
    assert (first.rank, first.night_id, first.is_current) == (99, NEXT, True)


def test_the_announced_change_takes_over_the_flag_of_the_derived_one(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "note", text="Looks announced")
    night_after(reviewed, only(first, change_id="X-new", derived=False), nothing)
    first.refresh_from_db()
    assert (first.change_id, first.derived, first.notes.count()) == ("X-new", False, 1)


def test_a_confirmed_fraud_flagged_anew_stays_held_without_end(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    clocked.at += timedelta(days=1)
    (reviewed.folder("holds") / f"{NEXT}.csv").write_text(
        "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
        f",{first.payee_id},{first.account},{first.change_id},,,2024-10-03,{first.flag_id}\n"
        f"Y9,{first.payee_id},{first.account},{first.change_id},,5.00,2024-10-03,{first.flag_id}\n"
    )
    night_after(reviewed, only(first, first_flagged_on=NEXT, is_new=True), one_more_fact(first))
    first.refresh_from_db()
    assert first.state == "new"
    assert set(first.holds.values_list("payment_id", "state", "hold_until")) == {
        ("", "held", None), ("Y9", "proposed", date(2024, 10, 3)),
    }  # fmt: skip


def test_what_a_person_held_is_not_proposed_again(cast: dict[str, User], first: Flag, reviewed: Settings) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    (reviewed.folder("holds") / f"{NEXT}.csv").write_text(
        "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
        f"Y9,{first.payee_id},{first.account},{first.change_id},,12.50,2024-10-03,{first.flag_id}\n"
        f",{first.payee_id},{first.account},{first.change_id},,,2024-10-03,{first.flag_id}\n"
    )
    night_after(reviewed, nothing, nothing)
    assert set(first.holds.values_list("payment_id", "state")) == {("", "held"), ("Y9", "proposed")}


def test_a_payment_that_left_is_no_longer_proposed_to_be_held(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    first.holds.all().delete()
    rows = [f"{name},{first.payee_id},{first.account},{first.change_id},,5.00,2024-10-03,{first.flag_id}\n"
            for name in ("Y-left", "Y-waits", "Y-unknown")]  # fmt: skip
    header = "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
    (reviewed.folder("holds") / f"{NEXT}.csv").write_text(header + "".join(rows))
    night_after(reviewed, nothing, one_more_fact(first))
    assert first.holds.count() == 3

    def pay(rows: Rows) -> None:
        (body,) = [row for row in rows if row["flag_id"] == first.flag_id]
        payment = {"on": NEXT, "amount": Decimal(5), "account": first.account, "to_new_account": True, "ids": []}
        states = (("Y-left", "sent"), ("Y-waits", "planned"))
        body["payments"] = [payment | {"payment_id": name, "status": state} for name, state in states]

    after = NEXT + timedelta(days=1)
    (reviewed.folder("holds") / f"{after}.csv").write_text(header)
    night_after(reviewed, nothing, pay, of=after)
    assert set(first.holds.values_list("payment_id", flat=True)) == {"Y-waits", "Y-unknown"}


def test_a_night_whose_files_were_replaced_is_to_be_published_again(reviewed: Settings) -> None:
    last = Night.objects.latest("night").night
    path = reviewed.folder("flags") / f"{last}.parquet"
    assert unpublished(reviewed) == []
    pd.read_parquet(path).to_parquet(path, compression="gzip")
    assert unpublished(reviewed) == [last]


@pytest.mark.parametrize("letter", ["f", "é"])
def test_ids_as_long_as_the_contract_allows_are_published(first: Flag, reviewed: Settings, letter: str) -> None:
    """On PostgreSQL as on SQLite: SHA-512 pseudonyms have 128 characters."""
    long_ids = {name: f"{name}-".ljust(1000, letter) for name in ("member_id", "household_id", "payee_id", "change_id")}
    header = "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
    values = [long_ids["payee_id"], first.account, long_ids["change_id"], "o".ljust(1000, letter), "1.00", "2024-10-03"]
    row = ",".join(["p".ljust(1000, letter), *values, first.flag_id])
    (reviewed.folder("holds") / f"{NEXT}.csv").write_text(header + row + "\n", encoding="utf-8")
    night_after(reviewed, only(first, **long_ids), nothing)
    first.refresh_from_db()
    assert {name: getattr(first, name) for name in long_ids} == long_ids
    assert first.holds.filter(payee_id=long_ids["payee_id"], payment_id__startswith="p").exists()


def test_a_night_that_cannot_be_imported_is_told_and_stops_no_other(first: Flag, reviewed: Settings) -> None:
    """It may be PostgreSQL that refuses a value; here a file of the night is damaged."""
    for of in (NEXT, NEXT + timedelta(days=1)):
        night_after(reviewed, nothing, nothing, of=of)
    Night.objects.filter(night__gte=NEXT).update(digest="of other files")
    evidence = reviewed.folder("evidence") / f"{NEXT}.parquet"
    whole = evidence.read_bytes()
    evidence.write_bytes(whole[:100])
    assert publish_all(reviewed) == [NEXT + timedelta(days=1)]
    assert night_state().not_imported == {NEXT: "ArrowInvalid"}
    evidence.write_bytes(whole)
    assert publish_all(reviewed) == [NEXT]
    assert night_state().not_imported == {}


def test_a_value_that_the_database_refuses_is_told_by_its_class(first: Flag, reviewed: Settings) -> None:
    night_after(reviewed, nothing, nothing)
    Night.objects.filter(night=NEXT).update(digest="of other files")
    flags = reviewed.folder("flags") / f"{NEXT}.parquet"
    table = pq.read_table(flags)
    rows = [{**row, "payee_id": "P\x000"} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), flags)
    published = publish_all(reviewed)
    if connection.vendor == "postgresql":
        assert (published, night_state().not_imported) == ([], {NEXT: "DataError"})
    else:
        assert published == [NEXT]


def test_nothing_is_imported_while_a_purge_rewrites_files(reviewed: Settings) -> None:
    Night.objects.filter(night=NIGHTS[-1]).update(digest="another")
    with exclusive_lock(reviewed):
        assert publish_all(reviewed) == []
    assert publish_all(reviewed) == [NIGHTS[-1]]


def test_nights_of_a_purge_that_was_cut_short_wait_until_it_is_run_again(reviewed: Settings) -> None:
    assert imported(reviewed) == list(NIGHTS)
    begin(reviewed, imported(reviewed))
    Night.objects.filter(night=NIGHTS[0]).update(digest="half of it was rewritten")
    assert publish_all(reviewed) == []
    adopt(reviewed, [NIGHTS[0]])
    end(reviewed)
    assert publish_all(reviewed) == []


def test_a_database_that_fails_stops_the_import_so_that_nights_come_in_their_order(
    house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[date] = []

    def fails(_: Settings, night: date) -> None:
        tried.append(night)
        raise OperationalError

    monkeypatch.setattr(import_night, "publish", fails)
    assert import_night._publish_each(house, NIGHTS) == []
    assert tried == [NIGHTS[0]]
