"""What monitoring sees."""

from __future__ import annotations

import json
from datetime import date, timedelta

from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from payeewatch.pipeline.home.runs import write_failure
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.night_state import note_not_imported
from payeewatch.triage.models import AuditRecord, CaseRequest, Flag, Hold
from payeewatch.triage.roles import Role
from payeewatch.triage.server import metrics
from tests.triage.conftest import MORNING, Clock, user


def samples() -> dict[str, list]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {family.name: family.samples for family in families}


def value(name: str) -> float:
    (sample,) = samples()[f"payeewatch_{name}"]
    return sample.value


def test_open_flags_are_counted_by_queue_and_state(reviewed: Settings) -> None:
    samples_by_label = {
        (each.labels["queue"], each.labels["state"]): each.value for each in samples()["payeewatch_flags"]
    }
    assert sum(samples_by_label.values()) == Flag.objects.filter(state="new").count()
    assert samples_by_label["review", "new"] == Flag.objects.filter(state="new", queue="review").count()


def test_cases_by_hand_that_wait_are_counted(reviewed: Settings) -> None:
    assert value("case_requests_waiting") == 0
    by = user(Role.REVIEWER)
    for state in ("waiting", "opened", "refused"):
        CaseRequest.objects.create(change_id=state, payee_id="P", by=by, at=MORNING, state=state)
    assert value("case_requests_waiting") == 1


def test_ages_grow_with_the_clock(reviewed: Settings, clocked: Clock) -> None:
    assert value("last_night_age_days") == 1
    clocked.at += timedelta(days=2)
    assert value("last_night_age_days") == 3
    assert value("oldest_unclaimed_seconds") == 2 * 24 * 3600


def test_holds_that_end_by_tomorrow_are_counted(reviewed: Settings, clocked: Clock) -> None:
    flag = Flag.objects.first()
    named = {name: getattr(flag, name) for name in ("payee_id", "account", "change_id")}
    for days in (1, 2):
        until = clocked.at.date() + timedelta(days=days)
        Hold.objects.create(
            flag=flag, payment_id=f"P{days}", hold_until=until, state=Hold.State.HELD, at=clocked.at, **named
        )
    assert value("holds_ending") == 1


def test_the_nights_the_model_the_disk_and_the_audit_log_are_measured(reviewed: Settings, clocked: Clock) -> None:
    run = json.loads((reviewed.folder("runs") / "2024-09-25.json").read_text())
    assert value("last_night_warnings") == len(run["warnings"])
    by_table = {each.labels["table"]: each.value for each in samples()["payeewatch_rows_rejected"]}
    assert by_table == {name: table["rows_rejected"] for name, table in run["tables"].items()}
    trained = date.fromisoformat(run["model"]["trained_as_of"])
    assert value("model_age_days") == (clocked.at.date() - trained).days
    assert value("disk_free_bytes") > 0
    assert (value("failed_nights"), value("late_nights"), value("nights_not_imported")) == (0, 0, 0)
    assert value("audit_log_ok") == 1
    write_failure(reviewed, date(2024, 9, 26), {"exit_code": 17})
    note_not_imported({date(2024, 9, 25): "DataError"})
    clocked.at += timedelta(days=2)
    (reviewed.folder("triage") / "audit-head.json").write_text("x")
    assert (value("failed_nights"), value("late_nights"), value("nights_not_imported")) == (1, 2, 1)
    assert value("audit_log_ok") == 0


def test_the_warnings_of_the_last_night_are_counted_by_kind(reviewed: Settings) -> None:
    path = reviewed.folder("runs") / "2024-09-25.json"
    null = {"code": "feed_null", "params": {"table": "claims"}}
    run = json.loads(path.read_text()) | {"warnings": ["", "", ""], "warning_codes": [null, null, None]}
    path.write_text(json.dumps(run))
    by_kind = {each.labels["kind"]: each.value for each in samples()["payeewatch_last_night_looks"]}
    assert by_kind == {"feed_null": 2, "other": 1}


def test_requests_are_timed_by_route_and_never_by_address(client: Client, reviewed: Settings) -> None:
    client.get("/sign-in?next=/flags/F-1")
    labels = {tuple(sorted(each.labels)) for each in samples()["payeewatch_request_seconds"]}
    assert labels <= {("le", "route", "status"), ("route", "status")}
    assert {"sign-in"} <= {each.labels["route"] for each in samples()["payeewatch_request_seconds"]}
    assert b"F-1" not in metrics.text()


def test_metrics_are_for_a_token_of_the_scope(client: Client, reviewed: Settings) -> None:
    assert client.get("/metrics").status_code == 401
    other = api_tokens.make("payments", ["flags"])
    assert client.get("/metrics", headers={"Authorization": f"Bearer {other}"}).status_code == 403
    token = api_tokens.make("monitoring", ["health"])
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, b"payeewatch_flags" in answer.content) == (200, True)


def test_health_says_that_all_is_well(client: Client, reviewed: Settings, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        api_tokens.make("monitoring", ["health"])
    answer = client.get("/health")
    expected = {
        "ok": True, "home": True, "database": True, "audit_head": True, "seals": True,
        "last_night_age_days": 1,
        "nights": True, "late_nights": 0, "failed_nights": [], "nights_not_imported": [],
    }  # fmt: skip
    assert (answer.status_code, answer.json()) == (200, expected)


def test_health_says_that_the_logs_end_is_gone(
    client: Client, reviewed: Settings, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        api_tokens.make("monitoring", ["health"])
    AuditRecord.objects.order_by("-number").first().delete()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["audit_head"]) == (503, False)
