"""The metrics: how long requests take, and the state of the work. They contain nothing about a person.

Request times are shared between the server's processes through PROMETHEUS_MULTIPROC_DIR; the rest is counted in the
database at each request.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime

from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from payeewatch.pipeline.home.runs import looks, read_run
from payeewatch.triage import clock
from payeewatch.triage.exchange.ending_soon import holds_ending, suppressions_ending
from payeewatch.triage.exchange.night_state import night_state
from payeewatch.triage.models import OPEN, CaseRequest, Flag, Night, Notice
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import home

SECONDS = Histogram(
    "payeewatch_request_seconds",
    "How long requests took.",
    ["route", "status"],
    buckets=(0.01, 0.025, 0.06, 0.1, 0.2, 0.5, 1, 2.5, 10),
)


class RequestTimes:
    """Time every request by its route's name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        answer = self.get_response(request)
        route = request.resolver_match.url_name if request.resolver_match else "none"
        SECONDS.labels(route, f"{answer.status_code // 100}xx").observe(time.perf_counter() - started)
        return answer


class Work:
    """The state of the work, as gauges."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        flags = GaugeMetricFamily("payeewatch_flags", "Open flags.", labels=["queue", "state"])
        open_flags = Flag.objects.filter(state__in=OPEN)
        for queue, state, many in open_flags.values_list("queue", "state").annotate(Count("pk")).order_by():
            flags.add_metric([queue, state], many)
        yield flags
        now, today = clock.now(), clock.today()
        waiting = Q(state=Flag.State.NEW, is_current=True) & (Q(claimed_until=None) | Q(claimed_until__lte=now))
        oldest = Flag.objects.filter(waiting).aggregate(at=Min("opened_at"))["at"]
        yield _gauge("oldest_unclaimed_seconds", "Since when the oldest flag nobody took is here.", _since(oldest))
        soon = "Holds that end by the next business day, and that nothing renews."
        yield _gauge("holds_ending", soon, holds_ending().count())
        back = "Suppressed flags that come back into work within three days."
        yield _gauge("suppressions_ending", back, suppressions_ending().count())
        asked = CaseRequest.objects.filter(state=CaseRequest.State.WAITING).count()
        yield _gauge("case_requests_waiting", "Cases by hand that wait for their evidence.", asked)
        last = Night.objects.order_by("-night").values_list("night", flat=True).first()
        yield _gauge("last_night_age_days", "Days since the last night published.", (today - last).days if last else -1)
        yield from _nights()
        yield _gauge("audit_log_ok", "1: the end of the audit log is as written.", audit.head_agrees())
        pending = Notice.objects.filter(delivered_at=None).count()
        yield _gauge("notices_pending", "Notices not delivered yet.", pending)


def text() -> bytes:
    """Everything, in the text format of Prometheus."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(SECONDS)
    registry.register(Work())
    return bytes(generate_latest(registry))


def _nights() -> Iterator[GaugeMetricFamily]:
    """The nights that need somebody, what the last one rejected and warned of, its model's age, and the disk."""
    state = night_state()
    yield _gauge("failed_nights", "Nights that failed and were not published since.", len(state.failed))
    yield _gauge("late_nights", "Nights that are late.", len(state.late))
    yield _gauge("nights_not_imported", "Published nights that could not be imported.", len(state.not_imported))
    run = (read_run(home(), state.last) if state.last else None) or {}
    rejected = GaugeMetricFamily("payeewatch_rows_rejected", "Rows the last night rejected.", labels=["table"])
    for table, counts in run.get("tables", {}).items():
        rejected.add_metric([table], counts["rows_rejected"])
    yield rejected
    yield _gauge("last_night_warnings", "Warnings of the last night.", len(run.get("warnings", ())))
    kinds = GaugeMetricFamily("payeewatch_last_night_looks", "Warnings of the last night by kind.", labels=["kind"])
    for kind, many in Counter(look["kind"] for look in looks(run)).items():
        kinds.add_metric([kind], many)
    yield kinds
    unlike = len(run.get("drift", {}).get("keys", ()))
    yield _gauge("drifting_columns", "What of the last night is unlike the training of its model.", unlike)
    trained = run.get("model", {}).get("trained_as_of")
    age = (clock.today() - date.fromisoformat(trained)).days if trained else -1
    yield _gauge("model_age_days", "Days since the last knowledge of the last night's model.", age)
    yield _gauge("disk_free_bytes", "Free space where the home is.", shutil.disk_usage(home().home).free)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"payeewatch_{name}", what, value)


def _since(at: datetime | None) -> float:
    return (clock.now() - at).total_seconds() if at else 0.0
