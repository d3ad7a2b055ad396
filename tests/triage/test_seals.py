"""What the application did not write counts for nothing: rows edited, put in, put back or deleted in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import connection

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import chain, clock, listing, seals
from payeewatch.triage.exchange import current_holds, export_decisions
from payeewatch.triage.models import AccessChange, AuditRecord, Decision, Flag, Hold, Note, Step, User
from payeewatch.triage.records import audit, damage
from payeewatch.triage.records.damage import NOT_OURS
from payeewatch.triage.seals import name_of
from payeewatch.triage.server.housekeeping import tidy
from payeewatch.triage.stored_forms import OTHER_DAY
from payeewatch.triage.work.workflow import Refused
from payeewatch.triage.workspace import keys
from tests.triage.conftest import Clock, do

IN_SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL stores a value in one form only")


def sql(text: str, *values: Any) -> None:
    """Write the database without the application."""
    with connection.cursor() as cursor:
        cursor.execute(text, values)


def damaged() -> list[str]:
    return [each.name for each in damage.every()]


def put_back(row: Any) -> None:
    """Write what was read of a row earlier, its seal included."""
    columns = [column for column in row._meta.concrete_fields if not column.generated]
    placed = ", ".join(f"{column.column} = %s" for column in columns)
    values = [column.get_db_prep_save(getattr(row, column.attname), connection) for column in columns]
    sql(f"UPDATE {row._meta.db_table} SET {placed} WHERE {row._meta.pk.column} = %s", *values, row.pk)


@pytest.fixture
def decided(cast: dict[str, User], first: Flag, clocked: Clock) -> Flag:
    """A flag with a verdict and held payments, which can no longer be undone."""
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    clocked.at += timedelta(hours=1)
    return first


def handed_over(home: Settings) -> list[str]:
    paths = sorted(home.folder("outcomes").glob("????-??-??.parquet"))
    return [row["verdict"] for path in paths for row in pq.read_table(path).to_pylist()]


def test_what_the_application_wrote_is_handed_over(decided: Flag, reviewed: Settings) -> None:
    assert (export_decisions.write().verdicts, handed_over(reviewed)) == (1, ["confirmed_fraud"])
    assert damaged() == []


@pytest.mark.parametrize(
    "edit",
    ["verdict = 'benign'", "change_id = 'another'", "approver_id = by_id", "until = '2030-01-01'", "seal = ''"],
)
def test_a_decision_edited_in_the_database_is_not_handed_over(edit: str, decided: Flag, reviewed: Settings) -> None:
    sql(f"UPDATE triage_decision SET {edit}")
    assert export_decisions.write().verdicts == 0
    assert handed_over(reviewed) == []
    assert damaged() == [name_of(Decision.objects.get())]
    assert any("its seal does not fit" in finding.what for finding in audit.verify().findings)


def test_a_seal_copied_from_another_row_fits_no_other(decided: Flag) -> None:
    one, other = Hold.objects.order_by("pk")[0], Hold(flag=decided, payment_id="another", payee_id="P", account="A")
    other.at, other.state, other.change_id = one.at, Hold.State.RELEASED, one.change_id
    other.save()
    sql("UPDATE triage_hold SET seal = %s WHERE id = %s", one.seal, other.pk)
    assert damaged() == [name_of(other)]


def test_a_hold_released_in_the_database_stays_held(decided: Flag, reviewed: Settings) -> None:
    export_decisions.write()
    held = {hold.payment_id for hold in current_holds.holds_on(clock.today())}
    sql("UPDATE triage_hold SET state = 'released', handed_over_at = NULL")
    assert export_decisions.write().releases == 0
    assert {hold.payment_id for hold in current_holds.holds_on(clock.today())} == held != set()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE triage_hold SET hold_until = '2000-01-01'",
        "UPDATE triage_hold SET hold_until = '2000-01-01', state = 'expired'",
        "UPDATE triage_hold SET account = 'another', amount = 1",
        "DELETE FROM triage_hold",
        "UPDATE triage_hold SET payment_id = 'another' WHERE payment_id = ''",
        pytest.param("UPDATE triage_hold SET hold_until = REPLACE(hold_until, '-', '')", marks=IN_SQLITE),  # same day
    ],
)
def test_a_hold_that_was_made_to_look_over_stays_held_and_is_named(
    edit: str, cast: dict[str, User], first: Flag, clocked: Clock, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    clocked.at += timedelta(minutes=1)
    tidy()
    held, holds = current_holds.holds_on(clock.today()), {name_of(hold) for hold in Hold.objects.filter(state="held")}
    sql(edit)
    tidy()
    tidy()
    assert held
    assert set(held) <= set(current_holds.holds_on(clock.today()))
    assert {each.name for each in damage.that_counts()} >= holds
    clocked.at += timedelta(days=30)
    assert not set(held) & set(current_holds.holds_on(clock.today()))


@IN_SQLITE
@pytest.mark.parametrize(
    "value", ["at = at || '+00:00'", "at = REPLACE(at, ' ', 'T')", "is_extended = 2", "renewals = 0.9"]
)
def test_a_value_in_another_form_fits_no_seal(value: str, decided: Flag) -> None:
    assert damaged() == []
    sql(f"UPDATE triage_hold SET {value} WHERE flag_id = %s", decided.pk)
    assert set(damaged()) == {name_of(hold) for hold in decided.holds.all()} != set()


@IN_SQLITE
def test_what_ends_on_a_day_in_another_form_goes_on(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    sql("UPDATE triage_hold SET hold_until = REPLACE(hold_until, '-', '') WHERE flag_id = %s", first.pk)
    assert {hold.hold_until for hold in first.holds.all()} == {OTHER_DAY}


def test_a_decision_put_in_lets_nothing_go(
    cast: dict[str, User], decided: Flag, clocked: Clock, reviewed: Settings
) -> None:
    tidy()
    held = current_holds.holds_on(clock.today())
    sql("UPDATE triage_decision SET kind = 'put_right'")
    clocked.at += timedelta(minutes=1)
    tidy()
    assert current_holds.holds_on(clock.today()) == held != []
    assert AuditRecord.objects.filter(action=NOT_OURS, details__row=name_of(Decision.objects.get())).exists()


def test_a_step_put_in_takes_no_hold_away(decided: Flag, reviewed: Settings) -> None:
    held = len(current_holds.holds_on(clock.today()))
    step = decided.steps.first()
    assert step
    Step.objects.filter(pk=step.pk).update(at=clock.now())
    sql("UPDATE triage_step SET before = %s WHERE step_id = %s", '{"holds": []}', step.pk.hex)
    assert len(current_holds.holds_on(clock.today())) == held


def test_nobody_approves_a_proposal_that_was_put_in(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "extend", confirm="on")
    sql("UPDATE triage_decision SET kind = 'release'")
    with pytest.raises(Refused, match="without the application"):
        do(cast["senior"], first, "approve")
    assert set(first.holds.values_list("state", flat=True)) == {Hold.State.HELD}


def test_no_step_keeps_what_was_written_in_the_database(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    sql("UPDATE triage_hold SET state = 'released'")
    with pytest.raises(Refused, match="without the application"):  # an undo of it would give that a seal
        do(cast["reviewer"], first, "note", text="looked at")


def test_an_edited_step_is_not_undone(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "note", text="looked at")
    sql("UPDATE triage_step SET before = %s WHERE action = 'note'", '{"holds": []}')
    with pytest.raises(Refused, match="without the application"):
        do(cast["reviewer"], first, "undo")


def test_saving_an_edited_row_gives_it_no_seal(decided: Flag) -> None:
    sql("UPDATE triage_decision SET verdict = 'benign'")
    decision = Decision.objects.get()
    decision.save()
    Decision.objects.update(state=Decision.State.REPLACED)
    assert not Decision.objects.get().is_genuine


def test_a_change_of_the_key_keeps_what_is_genuine(decided: Flag, monkeypatch: pytest.MonkeyPatch) -> None:
    sql("UPDATE triage_hold SET amount = 1 WHERE id = (SELECT max(id) FROM triage_hold)")
    former = keys()
    new = Keys(former.token, former.token_version, former.vault, b"n" * 32, former.trace, {"audit": former.audit})
    monkeypatch.setattr(seals, "keys", lambda: new)
    seals.renew()
    alone = Keys(former.token, former.token_version, former.vault, b"n" * 32, former.trace, {})
    monkeypatch.setattr(seals, "keys", lambda: alone)
    monkeypatch.setattr(damage, "keys", lambda: alone)
    monkeypatch.setattr(chain, "keys", keys)  # the log has the record of the change in its own tests
    assert damaged() == [name_of(Hold.objects.latest("pk"))]


def test_a_row_read_in_part_is_as_genuine_as_the_whole(decided: Flag) -> None:
    assert User.objects.only("username")[0].is_genuine
    sql("UPDATE triage_user SET role = 'senior'")
    assert not any(user.is_genuine for user in User.objects.only("username").exclude(username="senior"))


def test_two_who_change_one_row_leave_it_genuine(cast: dict[str, User]) -> None:
    one, other = (User.objects.get(username="reviewer") for _ in range(2))
    one.role, other.is_active = "senior", False
    one.save(update_fields=["role"])
    other.save(update_fields=["is_active"])
    assert User.objects.get(username="reviewer").is_genuine


@pytest.mark.parametrize("kind", [Decision, Hold, Step, User, AccessChange])
def test_a_row_deleted_in_the_database_is_named_at_once(kind: Any, cast: dict[str, User], decided: Flag) -> None:
    guest = User.objects.create(username="guest")
    AccessChange.objects.create(person=cast["senior"], what="change-role", by=cast["administrator"], at=clock.now())
    do(cast["reviewer"], decided, "note", text="A step without a decision")
    row = guest if kind is User else kind.objects.last() if kind is not Step else Step.objects.get(action="note")
    if kind is Step:
        Note.objects.all().delete()  # of that step
    sql(
        f"DELETE FROM {kind._meta.db_table} WHERE {kind._meta.pk.column} = %s",
        kind._meta.pk.get_db_prep_value(row.pk, connection),
    )
    assert [str(each) for each in damage.that_counts()] == [f"{name_of(row)} {seals.GONE}"]
    assert [finding.what for finding in audit.verify().findings] == [f"{name_of(row)} {seals.GONE}"]


def test_a_hold_put_back_as_it_was_earlier_is_no_release_and_is_named(
    cast: dict[str, User], first: Flag, clocked: Clock, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "release", confirm="on")
    do(cast["senior"], first, "approve")
    released = list(Hold.objects.filter(flag=first))
    do(cast["reviewer"], first, "hold", confirm="on")
    clocked.at += timedelta(hours=1)
    export_decisions.write()
    held = {hold.payment_id for hold in current_holds.holds_on(clock.today())}
    for hold in released:
        put_back(hold)
    assert damaged() == [name_of(hold) for hold in released]
    assert [each.what for each in damage.that_counts()] == [seals.EARLIER] * len(released)
    assert export_decisions.write().releases == 0
    assert {hold.payment_id for hold in current_holds.holds_on(clock.today())} == held != set()


def test_a_decision_put_back_as_it_was_earlier_is_not_handed_over(
    cast: dict[str, User], first: Flag, clocked: Clock, reviewed: Settings
) -> None:
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="bank_check")
    in_force = Decision.objects.get()
    do(cast["reviewer"], first, "undo")
    put_back(in_force)
    clocked.at += timedelta(hours=1)
    assert export_decisions.write().verdicts == 0
    assert damaged() == [name_of(in_force)]


def test_a_row_put_back_stays_named_when_it_is_saved_and_when_its_record_is_cut_out(cast: dict[str, User]) -> None:
    person = User.objects.get(username="senior")
    person.role = "reviewer"
    person.save(update_fields=["role"])
    put_back(cast["senior"])
    again = User.objects.get(username="senior")
    assert not again.is_genuine
    again.save()
    again.save(update_fields=["role"])
    User.objects.filter(pk=again.pk).update(household_id="H1")
    assert damaged() == [name_of(person)]
    record = audit.record(None, "change_user")
    assert name_of(person) in record.rows
    AuditRecord.objects.filter(pk=record.pk).update(rows={})
    assert str(record.number) in " ".join(str(finding.number) for finding in audit.verify().findings)


def test_a_record_put_in_lists_nothing(cast: dict[str, User]) -> None:
    audit.record(None, "change_user")
    last = AuditRecord.objects.latest("number")
    last.number, last.rows = last.number + 1, {name_of(cast["senior"]): "0" * seals.MARK}
    last.save(force_insert=True)
    put_in, last.number = last.number, -1
    last.save(force_insert=True)
    assert User.objects.get(username="senior").is_genuine
    assert [finding.number for finding in audit.verify().findings][:2] == [-1, put_in]


def test_a_process_says_that_a_record_it_read_is_another_now(
    cast: dict[str, User], kept_listing: None, caplog: pytest.LogCaptureFixture
) -> None:
    audit.record(None, "change_user")  # lists the cast
    listing.newest()
    assert not caplog.records
    sql("UPDATE triage_auditrecord SET rows = NULL WHERE rows IS NOT NULL")
    listing.newest()
    assert listing.NOT_AS_READ in caplog.text
