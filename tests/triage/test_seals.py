"""What the application did not write counts for nothing: rows that were edited, copied or put in in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import connection

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock, seals
from payeewatch.triage.exchange import current_holds, export_decisions
from payeewatch.triage.models import Decision, Flag, Hold, Step, User
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import keys
from tests.triage.conftest import Clock, do


def sql(text: str, *values: Any) -> None:
    """Write the database without the application."""
    with connection.cursor() as cursor:
        cursor.execute(text, values)


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
    assert not list(seals.all_not_genuine())


@pytest.mark.parametrize(
    "edit",
    ["verdict = 'benign'", "change_id = 'another'", "approver_id = by_id", "until = '2030-01-01'", "seal = ''"],
)
def test_a_decision_edited_in_the_database_is_not_handed_over(edit: str, decided: Flag, reviewed: Settings) -> None:
    sql(f"UPDATE triage_decision SET {edit}")
    assert export_decisions.write().verdicts == 0
    assert handed_over(reviewed) == []
    assert [type(row) for row in seals.all_not_genuine()] == [Decision]
    assert any("its seal does not fit" in finding.what for finding in audit.verify().findings)


def test_a_seal_copied_from_another_row_fits_no_other(decided: Flag) -> None:
    one, other = Hold.objects.order_by("pk")[0], Hold(flag=decided, payment_id="another", payee_id="P", account="A")
    other.at, other.state, other.change_id = one.at, Hold.State.RELEASED, one.change_id
    other.save()
    sql("UPDATE triage_hold SET seal = %s WHERE id = %s", one.seal, other.pk)
    assert [row.pk for row in seals.all_not_genuine()] == [other.pk]


def test_a_hold_released_in_the_database_stays_held(decided: Flag, reviewed: Settings) -> None:
    export_decisions.write()
    held = {hold.payment_id for hold in current_holds.holds_on(clock.today())}
    sql("UPDATE triage_hold SET state = 'released', handed_over_at = NULL")
    assert export_decisions.write().releases == 0
    assert {hold.payment_id for hold in current_holds.holds_on(clock.today())} == held != set()


def test_a_step_put_in_takes_no_hold_away(decided: Flag, reviewed: Settings) -> None:
    held = len(current_holds.holds_on(clock.today()))
    step = decided.steps.first()
    assert step
    Step.objects.filter(pk=step.pk).update(at=clock.now())
    sql("UPDATE triage_step SET before = %s WHERE step_id = %s", '{"holds": []}', step.pk.hex)
    assert len(current_holds.holds_on(clock.today())) == held


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
    assert [type(row) for row in seals.all_not_genuine()] == [Hold]


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
