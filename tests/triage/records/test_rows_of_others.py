"""A row that the application did not write is named: in the health answer, and once in the audit log."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import frozen, listing, seals
from payeewatch.triage.exchange import current_holds
from payeewatch.triage.listing import Newest
from payeewatch.triage.models import AuditRecord, Decision, Flag, Hold, User
from payeewatch.triage.records import audit, damage, rows_of_others
from payeewatch.triage.records.damage import NOT_OURS
from payeewatch.triage.records.rows_of_others import accept_rows, list_every_row
from payeewatch.triage.seals import name_of
from payeewatch.triage.server import serve
from payeewatch.triage.server.housekeeping import tidy
from tests.triage.conftest import Clock, do, flag_of
from tests.triage.test_seals import IN_SQLITE, sql


def test_a_user_put_in_without_the_application_is_named_once_a_day(cast: dict[str, User], clocked: Clock) -> None:
    assert Client().get("/health").json()["seals"] is True
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET role = 'administrator' WHERE username = 'reviewer'")
    assert [row.name for row in damage.that_counts()] == [f"user {cast['reviewer'].pk}"]
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()["ok"], answer.json()["seals"]) == (200, False, False)
    tidy()
    tidy()
    (record,) = AuditRecord.objects.filter(action=NOT_OURS)
    assert record.details == {"row": f"user {cast['reviewer'].pk}"}
    clocked.at += timedelta(days=1, minutes=1)  # also if an operator accepted it, and it was done again
    tidy()
    assert AuditRecord.objects.filter(action=NOT_OURS).count() == 2


@pytest.mark.parametrize(
    "edit", ["UPDATE triage_flag SET amount_at_risk = 1", "UPDATE triage_evidence SET body_digest = 'x'"]
)
def test_a_flag_in_work_is_named_within_a_turn_and_told_of_until_it_is_mended(
    edit: str, house: Settings, clocked: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = [flag_of(str(number)) for number in range(1, 6)][-1]
    monkeypatch.setattr(damage, "FLAGS_AT_ONCE", 2)
    monkeypatch.setattr(damage, "_last_flag", "")
    frozen_as, told = flag.evidence.get().body_digest, []
    sql(f"{edit} WHERE flag_id = %s", flag.pk)
    for _ in range(4):
        tidy()
        told.append(Client().get("/health").json()["seals"])
    assert told == [True, True, False, False]
    clocked.at += timedelta(days=1, minutes=1)
    tidy()  # which compares flags at the beginning of a turn
    named = AuditRecord.objects.filter(action=NOT_OURS, flag_id=flag.pk)
    assert [record.details["row"] for record in named] == [name_of(flag)] * 2
    sql("UPDATE triage_flag SET amount_at_risk = 100 WHERE flag_id = %s", flag.pk)
    sql("UPDATE triage_evidence SET body_digest = %s WHERE flag_id = %s", frozen_as, flag.pk)
    assert Client().get("/health").json()["seals"] is True


def test_a_flag_that_is_in_work_no_more_is_compared_at_once(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "next_flags", list)
    closed, gone, other, ours = (flag_of(str(number)) for number in range(1, 5))
    tidy()
    sql("UPDATE triage_flag SET state = 'closed' WHERE flag_id IN (%s, %s)", closed.pk, other.pk)
    sql("DELETE FROM triage_evidence WHERE flag_id = %s", gone.pk)
    # the number of flags stays right
    sql("UPDATE triage_flag SET flag_id = 'F-of-nobody', state = 'closed' WHERE flag_id = %s", gone.pk)
    Flag.objects.filter(pk=ours.pk).update(state="closed")
    for _ in range(2):
        tidy()
    named = AuditRecord.objects.filter(action=NOT_OURS).order_by("details__row")
    assert [record.details["row"] for record in named] == sorted(map(name_of, (closed, gone, other)))
    assert {each.name for each in damage.that_counts()} == set(map(name_of, (closed, gone, other)))


def test_a_row_is_named_also_while_something_keeps_housekeeping_from_its_end(
    cast: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql("UPDATE triage_user SET role = 'administrator' WHERE username = 'reviewer'")
    told: list[str] = []
    monkeypatch.setattr(current_holds, "write", lambda: 1 / 0)
    monkeypatch.setattr(serve, "notices", SimpleNamespace(announce=lambda: told.append("announce"), deliver=list))
    with pytest.raises(ZeroDivisionError):
        serve.tidy()
    assert AuditRecord.objects.get(action=NOT_OURS).details == {"row": f"user {cast['reviewer'].pk}"}
    assert told == ["announce"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount_at_risk", "12,50 EUR"), ("amount_at_risk", 1e300)]
    if connection.vendor == "sqlite"
    else [("first_payment_on", "infinity")],
)
def test_a_row_that_cannot_be_read_is_named_and_hides_no_other(column: str, value: object, house: Settings) -> None:
    before, row, behind = sorted((flag_of(str(number)) for number in range(1, 4)), key=lambda flag: flag.pk)
    sql(f"UPDATE triage_flag SET {column} = %s WHERE flag_id = %s", value, row.pk)
    sql("UPDATE triage_flag SET amount_paid = 1 WHERE flag_id IN (%s, %s)", before.pk, behind.pk)
    faults = {each.name: each.what for each in damage.every()}
    assert list(faults) == [name_of(before), name_of(row), name_of(behind)]
    assert faults[name_of(row)] == damage.UNREADABLE
    assert sum(" seal " in each.what or each.what.endswith(damage.UNREADABLE) for each in audit.verify().findings) == 3
    assert accept_rows("mended by hand") == [name_of(before), name_of(behind)]


def test_a_flag_taken_off_the_lists_by_a_computed_column_is_named(first: Flag) -> None:
    connection.check_constraints()  # PostgreSQL alters no table with checks that wait
    sql("ALTER TABLE triage_flag RENAME COLUMN in_work TO was_in_work")
    sql("ALTER TABLE triage_flag ADD COLUMN in_work bool NOT NULL DEFAULT true")
    of_work = "CASE WHEN flag_id = %s THEN NOT was_in_work ELSE was_in_work END"
    sql(f"UPDATE triage_flag SET in_work = {of_work}", first.pk)
    (found,) = damage.every()
    assert (found.name, found.what, found.flag_id) == (name_of(first), damage.COMPUTED, first.pk)
    assert damage.COMPUTED in " ".join(finding.what for finding in audit.verify().findings)


@IN_SQLITE
def test_an_index_that_lacks_a_flag_is_told(first: Flag) -> None:
    sql("CREATE INDEX own ON triage_flag (flag_id) WHERE rank >= 0")
    sql("PRAGMA writable_schema = 1")
    sql("UPDATE sqlite_master SET sql = REPLACE(sql, 'rank >= 0', 'rank < 0') WHERE name = 'own'")
    sql("PRAGMA writable_schema = RESET")
    assert "index own" in " ".join(finding.what for finding in audit.verify().findings)


def test_no_more_flags_are_compared_at_once_when_more_are_in_work(
    house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "FLAGS_AT_ONCE", 3)
    compared: list[str] = []
    fault_of, sum_of = damage.fault_of, frozen.sum_of
    monkeypatch.setattr(damage, "fault_of", lambda model, *of: compared.append(model.__name__) or fault_of(model, *of))
    monkeypatch.setattr(frozen, "sum_of", lambda rows: compared.append("Evidence") or sum_of(rows))
    costs = []
    for numbers in (range(1, 5), range(5, 15)):
        held = [flag_of(str(number)) for number in numbers][-1]
        Flag.objects.filter(pk=held.pk).update(state="closed")
        monkeypatch.setattr(damage, "held_flags", lambda of=held.pk: {of})
        tidy()
        compared.clear()
        monkeypatch.setattr(damage, "_last_flag", "")
        with CaptureQueriesContext(connection) as queries:
            tidy()
            Client().get("/health")
        costs.append((len(queries), Counter(compared)))
    assert costs[0] == costs[1]
    monkeypatch.setattr(damage, "_last_flag", "")
    turn = [flag_id for _ in range(5) for flag_id in damage.next_flags()]
    in_work = list(Flag.objects.filter(in_work=True).values_list("pk", flat=True))
    assert turn == sorted([*in_work, held.pk])


def test_what_an_operator_accepts_counts_and_stays_in_the_log(cast: dict[str, User]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET household_id = 'H1' WHERE username = 'reviewer'")
        cursor.execute("DELETE FROM triage_user WHERE username = 'second'")
    names = [f"user {cast[name].pk}" for name in ("reviewer", "second")]
    assert sorted(accept_rows("moved by hand, ticket 12")) == names
    assert not list(damage.every())
    assert AuditRecord.objects.get(action="accept_rows").details == {
        "accepted": names,
        "reason": "moved by hand, ticket 12",
    }
    assert accept_rows("again") == []


def test_the_rows_of_an_earlier_version_are_listed_once(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(listing, "written", lambda marks: None)
        known, strange = (User.objects.create(username=name) for name in ("known", "strange"))
    User.objects.filter(pk=strange.pk).update(seal="")
    house.folder("triage").mkdir(parents=True, exist_ok=True)
    list_every_row()
    list_every_row()
    assert AuditRecord.objects.get(action=audit.LIST).rows.keys() == {f"user {known.pk}"}
    assert [row.name for row in damage.every()] == [f"user {strange.pk}"]


def test_what_the_version_before_did_not_seal_is_sealed_once_and_what_did_not_fit_stays_so(
    cast: dict[str, User], first: Flag, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:  # as the version before left it
        for model, columns in rows_of_others.EARLIER_COLUMNS.items():
            before.setattr(model, "SEALED", columns)
        seals._sealed_fields.cache_clear()
        do(cast["reviewer"], first, "hold", confirm="on")
        do(cast["reviewer"], first, "extend", confirm="on")
        for row in [row for model in (User, Hold, Decision) for row in model._base_manager.all()]:
            row.take_over()
            row.save()
        audit.record(None, audit.LIST)
    seals._sealed_fields.cache_clear()
    listing.listed_once().write_text("", encoding="ascii")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_evidence SET body_digest = ''")
        cursor.execute("UPDATE triage_flag SET seal = '', frozen_digest = ''")
        cursor.execute("UPDATE triage_user SET role = 'senior' WHERE username = 'second'")
    listed = listing.newest().later
    with monkeypatch.context() as before:  # which listed no flag
        rest = {name: mark for name, mark in listed.items() if not name.startswith("flag ")}
        before.setattr(listing, "newest", lambda: Newest({}, rest))
        list_every_row()
    strange = f"user {cast['second'].pk}"
    assert [row.name for row in damage.every()] == [strange]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_flag SET amount_at_risk = 1, seal = '' WHERE flag_id = %s", [first.pk])
    list_every_row()
    assert {row.name for row in damage.every()} == {strange, f"flag {first.pk}"}


def test_what_was_written_in_the_database_is_neither_sealed_nor_listed_by_another_start(cast: dict[str, User]) -> None:
    list_every_row()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET role = 'senior', seal = '' WHERE username = 'reviewer'")
        cursor.execute("UPDATE triage_auditrecord SET rows = NULL")
    seal_every_row = import_module("payeewatch.triage.migrations.0014_seals").seal_every_row
    seal_every_row(apps, SimpleNamespace(connection=connection))  # as if it were not done yet
    list_every_row()
    assert name_of(cast["reviewer"]) in [row.name for row in damage.every()]
    assert not User.objects.get(username="reviewer").is_genuine
