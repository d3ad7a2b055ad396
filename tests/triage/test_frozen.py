"""A flag and its evidence that somebody changed in the database: named, and nothing is let go because of it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import transaction

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock, frozen
from payeewatch.triage.exchange import current_holds, export_decisions
from payeewatch.triage.exchange.import_night import publish, unpublished
from payeewatch.triage.models import Evidence, Flag, Hold, Night, User
from payeewatch.triage.records import audit, damage
from payeewatch.triage.roles import Role
from payeewatch.triage.seals import EARLIER, GONE, NO_SEAL, UNLISTED, name_of
from payeewatch.triage.server.housekeeping import tidy
from payeewatch.triage.work import case_file
from payeewatch.triage.work.workflow import Refused
from tests.triage.conftest import Clock, do, flag_of, signed_in, user
from tests.triage.test_seals import damaged, put_back, sql

OTHER: dict[str, Any] = {
    "DecimalField": "1.00", "IntegerField": 77, "FloatField": 0.77, "DateField": "2030-01-01", "JSONField": '{"a": 1}',
    "DateTimeField": "2030-01-01 00:00:00+00:00",
}  # fmt: skip
"""Another value of a column; of a column of text or of a number of a row it is one that is there."""


def another(flag: Flag, name: str) -> Any:
    field: Any = next(each for each in Flag._meta.concrete_fields if each.attname == name)
    if field.get_internal_type() == "BooleanField":
        return not getattr(flag, name)
    others = {"night": date(2024, 9, 24), "duplicate_of": Flag.objects.exclude(pk=flag.pk).values_list("pk")[0][0]}
    if field.is_relation:
        return others.get(field.name) or User.objects.latest("pk").pk
    return OTHER.get(field.get_internal_type(), "another")


def test_every_column_that_is_changed_is_seen(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(claimed_until=clock.now(), claimed_by=cast["second"])
    unseen = []
    columns = {field.attname: field for field in Flag._meta.concrete_fields if not field.generated}
    assert set(Flag.SEALED) == columns.keys() - {"seal"}
    for name in columns.keys() - {"flag_id"}:
        with transaction.atomic():
            sql(
                f"UPDATE triage_flag SET {columns[name].column} = %s WHERE flag_id = %s", another(first, name), first.pk
            )
            fault = Flag.objects.get(pk=first.pk).fault()
            unseen += [name] if fault != NO_SEAL else []
            transaction.set_rollback(True)
    assert unseen == []
    assert Flag.objects.get(pk=first.pk).is_genuine


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE triage_flag SET amount_at_risk = 1",
        "UPDATE triage_evidence SET body = '{}'",
        "UPDATE triage_evidence SET body = '{}', body_digest = 'x'",
        "UPDATE triage_evidence SET night = '2024-09-01'",
        "DELETE FROM triage_evidence",
    ],
)
def test_nobody_lets_money_go_on_a_flag_that_was_changed(edit: str, cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    sql(f"{edit} WHERE flag_id = %s", first.pk)
    for action, answers in (("release", {"confirm": "on"}), ("benign", {"reason": "B01", "evidence_kind": "none"})):
        with pytest.raises(Refused, match="without the application"):
            do(cast["reviewer"], first, action, **answers)
    with pytest.raises(Refused, match="without the application"):
        case_file.lock(first, cast["reviewer"], "complaint")
    assert name_of(first) in damaged()
    assert name_of(first) in " ".join(finding.what for finding in audit.verify().findings)
    assert "without the application" in signed_in(cast["reviewer"]).get(f"/flags/{first.pk}").text


def test_evidence_that_was_put_in_or_put_back_is_not_made_right_by_a_night(
    first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    assert first.evidence.exists()
    put_in = Evidence(flag=first, night=first.first_flagged_on, digest="x" * 64, body={})
    Evidence._base_manager.bulk_create([put_in])
    sql("UPDATE triage_night SET digest = '' WHERE night = %s", first.night_id)
    before = Flag.objects.get(pk=first.pk).evidence_digest
    sql("UPDATE triage_flag SET evidence_digest = 'y' WHERE flag_id <> %s", first.pk)  # all the others are frozen anew
    publish(reviewed, first.night_id)
    assert Flag.objects.get(pk=first.pk).evidence_digest == before
    assert frozen.fault(Flag.objects.get(pk=first.pk)) == frozen.CHANGED
    put_in.delete()
    assert frozen.fault(Flag.objects.get(pk=first.pk)) == ""


def test_a_flag_put_in_put_back_or_deleted_is_named(cast: dict[str, User], first: Flag, reviewed: Settings) -> None:
    earlier = Flag.objects.get(pk=first.pk)
    do(cast["reviewer"], first, "claim")
    put_back(earlier)
    assert [str(each) for each in damage.every()] == [f"{name_of(first)} {EARLIER}"]
    put_back(Flag.objects.get(pk=first.pk))
    other = Flag.objects.exclude(pk=first.pk).filter(holds=None, duplicates=None)[0]
    sql("DELETE FROM triage_evidence WHERE flag_id = %s", other.pk)
    sql("DELETE FROM triage_flag WHERE flag_id = %s", other.pk)
    assert f"{name_of(other)} {GONE}" in [str(each) for each in damage.that_counts()]
    other.pk = "F-put-in"
    Flag._base_manager.bulk_create([other])
    assert f"{name_of(other)} {NO_SEAL}" in [str(each) for each in damage.every()]
    assert UNLISTED not in str([*damage.every()])


def test_what_hangs_on_a_duplicate_is_held_when_the_tie_is_cut(house: Settings, clocked: Clock) -> None:
    reviewer, senior = user(Role.REVIEWER), user(Role.SENIOR)
    original, copy = flag_of("1"), flag_of("2", payee_id="P1")
    do(reviewer, original, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    do(senior, original, "approve")
    do(reviewer, copy, "hold", confirm="on")
    do(reviewer, copy, "duplicate", duplicate_of=original.pk, evidence_kind="none")
    clocked.at += timedelta(hours=1)
    tidy()
    assert [hold.hold_until for hold in copy.holds.all()] == [None]
    for edit in ("duplicate_of_id = NULL WHERE flag_id = 'F-0000000000000002'", "verdict = 'benign'"):
        with transaction.atomic():
            sql(f"UPDATE triage_flag SET {edit}")
            clocked.at += timedelta(days=30)
            tidy()
            assert [hold.hold_until for hold in copy.holds.all()] == [None]
            assert copy.pk in {hold.flag_id for hold in current_holds.holds_on(clock.today())}
            transaction.set_rollback(True)


def test_holds_of_no_duplicate_go_with_a_flag_that_was_closed_in_the_database(house: Settings) -> None:
    reviewer = user(Role.REVIEWER)
    original, copy = flag_of("1"), flag_of("2", payee_id="P1")
    do(reviewer, copy, "hold", confirm="on")
    sql("UPDATE triage_flag SET state = 'closed', verdict = 'benign' WHERE flag_id = %s", original.pk)
    with pytest.raises(Refused, match="without the application"):
        do(reviewer, copy, "duplicate", duplicate_of=original.pk, evidence_kind="none")
    assert set(copy.holds.values_list("state", flat=True)) == {Hold.State.HELD}


def test_no_account_is_put_right_that_was_changed_in_the_database(house: Settings, clocked: Clock) -> None:
    reviewer, senior = user(Role.REVIEWER), user(Role.SENIOR)
    flag = flag_of("1")
    do(reviewer, flag, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    do(senior, flag, "approve")
    do(reviewer, flag, "put_right", confirm="on")
    sql("UPDATE triage_flag SET account = 'another'")
    clocked.at += timedelta(hours=1)
    counts = export_decisions.write()
    assert (counts.verdicts, counts.put_right) == (0, 0)
    assert not list(house.folder("outcomes").glob("*-put-right.csv"))


def test_a_night_put_in_keeps_no_night_from_being_read(reviewed: Settings) -> None:
    first_night = Night.objects.earliest("night")
    assert unpublished(reviewed) == []
    sql("UPDATE triage_night SET seal = '' WHERE night = %s", first_night.pk)
    assert [each.name for each in damage.that_counts()] == [name_of(first_night)]
    assert unpublished(reviewed) == [first_night.pk]
    assert not publish(reviewed, first_night.pk).is_repeated
    assert (unpublished(reviewed), list(damage.every())) == ([], [])


def test_a_user_sees_no_flag_of_which_the_household_was_changed(cast: dict[str, User], first: Flag) -> None:
    sql("UPDATE triage_flag SET household_id = 'another' WHERE flag_id = %s", first.pk)
    assert signed_in(cast["relative"]).get(f"/flags/{first.pk}").status_code == 403


def test_a_flag_changed_to_look_old_does_not_expire(first: Flag) -> None:
    sql("UPDATE triage_flag SET opened_at = '2000-01-01 00:00:00+00:00' WHERE flag_id = %s", first.pk)
    assert tidy().expired == 0
    assert name_of(first) in [each.name for each in damage.that_counts()]


def test_a_number_is_the_same_in_every_database(reviewed: Settings, first: Flag) -> None:
    body = {"a": -0.0, "b": 1e22, "c": [0.1, 3, 1e-7], "d": "é"}
    row = first.evidence.create(flag=first, night=first.night_id + timedelta(days=1), digest="n", body=body)
    assert frozen.is_as_frozen(Evidence.objects.get(pk=row.pk))
    assert frozen.digest_of(json.loads('{"d": "é", "a": 0.0, "b": 10000000000000000000000, "c": [0.1, 3, 1e-7]}')) == (
        row.body_digest
    )
    assert frozen.digest_of(body | {"c": [0.1, 4, 1e-7]}) != row.body_digest
    Flag.objects.filter(pk=first.pk).update(headline=body)
    assert Flag.objects.get(pk=first.pk).is_genuine
