"""Response times of the reviewers' application: `python -m benchmarks.triage --database sqlite`.

A copy of the demo insurer's last nights (`make demo` first), its flags multiplied, a long audit log, and reviewers
who each make one request a second over real HTTP: the queue, a flag, a verdict, and again. Only open flags
have evidence. The reviewers run on the same machine and use part of it.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from payeewatch.pipeline.home.settings import Settings
from tests.on_postgresql import running

DEMO, KEYS = Path("demo"), Path(".demo/keys.json")
LAST = date(2024, 9, 29)
PUBLISHED = 5_000
FLAGS_A_PAYEE = 5
DAYS_BEFORE = 1_000  # over which the closed flags came
THINK_SECONDS = 1.0
REQUESTS = 40  # of each page, for its processor time
LIMITS = {"median": 60.0, "p95": 200.0}  # milliseconds
PUBLISH_LIMIT = 5.0  # seconds
PYTHON = sys.executable
RECORDS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) {select} FROM n",
    "postgresql": "{select} FROM generate_series({first}, {last}) AS n(i)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=list(RECORDS), default="sqlite")
    parser.add_argument("--flags", type=int, default=200_000)
    parser.add_argument("--in-work", type=int, default=5_000, help="so many of the flags are open")
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--reviewers", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--processor",
        action="store_true",
        help="processor time of requests, housekeeping and audit verify: for a machine that does other work too",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        home = demo_home(Path(folder))
        if options.database == "sqlite":
            measure(home, options)
            return
        with running(options=()) as address:
            os.environ["DATABASE_URL"] = address
            measure(home, options)


def demo_home(folder: Path) -> Settings:
    """The demo's published nights and keys, without its lake, on the morning after its last night."""
    os.environ["PAYEEWATCH_NOW"] = f"{LAST + timedelta(days=1)}T07:00"
    ignore = shutil.ignore_patterns("inbox", "breaches", "lake", "mlflow", "vault", "triage", "scores")
    shutil.copytree(DEMO, folder / "home", ignore=ignore)
    shutil.copy2(KEYS, folder / "keys.json")
    os.environ |= {"PAYEEWATCH_HOME": str(folder / "home"), "PAYEEWATCH_KEY_FILE": str(folder / "keys.json")}
    return Settings.load()


def measure(home: Settings, options: argparse.Namespace) -> None:
    from payeewatch.commands.review import start

    start(home)
    began = time.perf_counter()
    fill(home, options.flags, options.in_work, options.records)
    if options.processor:
        print_processor_times(options)
        return
    cookies = sign_in(options.reviewers)
    print(
        f"{options.database}: {options.flags:,} flags, {options.records:,} audit records, made in {_since(began):.0f} s"
    )
    print(f"{options.reviewers} reviewers, a request every {THINK_SECONDS:.0f} s each, for {options.seconds} s\n")
    with serving() as (address, server):
        seconds_by_page = run_reviewers(address, cookies, options.in_work, options.seconds)
        megabytes = peak(server.pid)
    limits = f"limits {LIMITS['median']:.0f} and {LIMITS['p95']:.0f}"
    print(f"{'':<10}{'requests':>10}{'median ms':>12}{'p95 ms':>10}   {limits}")
    for name, times in seconds_by_page.items():
        middle, high = statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000
        verdict = "within" if middle < LIMITS["median"] and high < LIMITS["p95"] else "OVER"
        print(f"{name:<10}{len(times):>10,}{middle:>12.1f}{high:>10.1f}   {verdict}")
    seconds = publish_seconds(home)
    print(f"\npublishing a night of {PUBLISHED:,} flags: {seconds:.1f} s (limit {PUBLISH_LIMIT:.0f} s)")
    print(f"peak memory of the server's processes: {megabytes:,.0f} MB; load of the machine: {os.getloadavg()[0]:.1f}")


def fill(home: Settings, flags: int, in_work: int, records: int) -> None:
    """Publish the nights, then add copies of their flags and a long audit log."""
    from django.db import connection, transaction

    from payeewatch.triage import frozen
    from payeewatch.triage.exchange.import_night import publish, unpublished
    from payeewatch.triage.models import AuditRecord, Evidence, Flag
    from payeewatch.triage.records import audit

    for night in unpublished(home):
        publish(home, night)
    with transaction.atomic():
        models = list(Flag.objects.filter(is_current=True).order_by("pk"))
        evidence = {each.flag_id: each for each in Evidence.objects.order_by("night")}
        fields = [field for field in Flag._meta.concrete_fields if not field.generated]
        for first in range(0, flags, 5_000):
            copies, bodies = [], []
            for number in range(first, min(first + 5_000, flags)):
                model = models[number % len(models)]
                flag = Flag(**{f.attname: getattr(model, f.attname) for f in fields})
                flag.pk, flag.change_id, flag.rank = f"B-{number:06}", f"{model.change_id}-{number}", number + 1
                flag.ring, flag.ring_size, flag.is_current = flag.pk, 1, number < in_work
                whose = number % (flags // FLAGS_A_PAYEE or 1)
                flag.payee_id, flag.account = f"{model.payee_id}-{whose}", f"{model.account}-{whose}"
                flag.member_id = model.member_id and f"{model.member_id}-{whose}"
                if number < in_work:
                    body = evidence[model.pk]
                    frozen_as = {"digest": flag.evidence_digest, "body": body.body, "body_digest": body.body_digest}
                    bodies.append(Evidence(flag_id=flag.pk, night=LAST, **frozen_as))
                    flag.frozen_digest = frozen.sum_of([(LAST, flag.evidence_digest, body.body_digest)])
                else:
                    flag.state, flag.verdict, flag.frozen_digest = Flag.State.CLOSED, "benign", ""
                    before = timedelta(days=1 + number % DAYS_BEFORE)
                    flag.first_flagged_on, flag.opened_at = LAST - before, flag.opened_at - before
                    flag.closed_at = flag.opened_at + timedelta(hours=number % 20)
                copies.append(flag)
            Flag.objects.bulk_create(copies, 500)
            Evidence.objects.bulk_create(bodies, 500)
        last = AuditRecord.objects.order_by("-number").values_list("number", flat=True).first() or 0
        columns = '(number, at, "user", role, action, flag_id, details, mac)'
        select = (
            "SELECT i, '2024-09-29 12:00:00+00:00', 'reviewer' || (i % 20), 'reviewer', 'view', "
            f"'B-' || (i % {flags}), '{{}}', ''"
        )
        if connection.vendor == "postgresql":
            select = select.replace("'2024-09-29 12:00:00+00:00'", "timestamptz '2024-09-29 12:00:00+00'")
            select = select.replace("'{}'", "'{}'::jsonb")
        rows_sql = RECORDS[connection.vendor].format(first=last + 1, last=last + records, select=select)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO triage_auditrecord {columns} {rows_sql}")
        audit.record(None, "filled")
    with connection.cursor() as cursor:  # at once, as PostgreSQL would by itself in the middle of what is measured
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def sign_in(reviewers: int) -> list[dict[str, str]]:
    """Reviewers with their session's cookie."""
    from django.test import Client

    from payeewatch.triage.models import User

    cookies = []
    for number in range(reviewers):
        client = Client()
        user = User.objects.create_user(f"reviewer{number}", role="reviewer")
        client.force_login(user, backend="payeewatch.triage.access.known_users.KnownUsers")
        cookies.append({name: morsel.value for name, morsel in client.cookies.items()})
    return cookies


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The product's own server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [PYTHON, "-m", "payeewatch", "triage", "--port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    if requests.get(f"{address}/health", timeout=10).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.2)
            yield address, server
        finally:
            server.terminate()


def run_reviewers(address: str, cookies: list[dict[str, str]], in_work: int, seconds: int) -> dict[str, list[float]]:
    """Seconds of every request, by what it was for."""
    seconds_by_page: dict[str, list[float]] = {"queue": [], "flag": [], "verdict": []}
    until = time.perf_counter() + seconds
    own = [[f"B-{n:06}" for n in range(at, in_work, len(cookies))] for at in range(len(cookies))]
    people = [
        threading.Thread(target=_reviewer, args=(address, cookie, flags, until, seconds_by_page))
        for cookie, flags in zip(cookies, own, strict=True)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    return seconds_by_page


def _reviewer(
    address: str, cookies: dict[str, str], flags: list[str], until: float, seconds_by_page: dict[str, list[float]]
) -> None:
    """The queue, a flag of it, a verdict; one request a second."""
    with requests.Session() as browser:
        browser.cookies.update(cookies)

        def timed(name: str, method: str, path: str, **options: Any) -> str:
            began = time.perf_counter()
            answer = browser.request(method, address + path, timeout=60, **options)
            seconds_by_page[name].append(_since(began))
            if answer.status_code != 200:
                raise RuntimeError(f"{name}: HTTP {answer.status_code}")
            time.sleep(max(0.0, THINK_SECONDS - _since(began)))
            return answer.text

        time.sleep(random.Random(flags[0]).random() * THINK_SECONDS)  # not all in step
        for flag in flags:
            if time.perf_counter() > until:
                return
            timed("queue", "GET", "/")
            page = timed("flag", "GET", f"/flags/{flag}")
            form = _answers(page, "csrfmiddlewaretoken")
            timed("verdict", "POST", f"/flags/{flag}/do/benign", data=form, headers={"HX-Request": "true"})


def _field(page: str, name: str) -> str:
    match = re.search(rf'name="{name}" value="([^"]*)"', page)
    if not match:
        raise RuntimeError(f"no field {name} on the page")
    return match[1]


def print_processor_times(options: argparse.Namespace) -> None:
    """Processor time in milliseconds of each page, in this process and without a server: median, 95th percentile."""
    from django.test import Client

    from payeewatch.triage.models import User
    from payeewatch.triage.records import audit
    from payeewatch.triage.server.housekeeping import tidy

    senior = User.objects.create_user("senior", role="senior")
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(senior, backend="payeewatch.triage.access.known_users.KnownUsers")
    spent: dict[str, list[float]] = {}

    def timed(name: str, method: str, path: str, **words: Any) -> str:
        began = time.process_time()
        answer = getattr(client, method)(path, **words)
        spent.setdefault(name, []).append((time.process_time() - began) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: HTTP {answer.status_code}")
        return str(answer.content.decode())

    for number in range(REQUESTS):
        timed("queue", "get", "/")
        page = timed("flag", "get", f"/flags/B-{number:06}")
        timed("verdict", "post", f"/flags/B-{number:06}/do/benign", data=_answers(page), headers={"HX-Request": "true"})
        timed("lists", "get", "/queue/lists")
        timed("rings", "get", "/rings")
        timed("team", "get", "/team")
        timed("health", "get", "/health")
    for name, act, many in (("housekeeping", tidy, REQUESTS), ("verify", audit.verify, 2)):
        for _ in range(many):
            began = time.process_time()
            act()
            spent.setdefault(name, []).append((time.process_time() - began) * 1000)
    flags = f"{options.flags:,} flags, {options.in_work:,} in work"
    print(f"{options.database}: {flags}; processor time of {REQUESTS} requests each\n")
    print(f"{'':<14}{'median ms':>12}{'p95 ms':>10}")
    for name, times in spent.items():
        print(f"{name:<14}{statistics.median(times):>12.1f}{statistics.quantiles(times, n=20)[-1]:>10.1f}")
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f}")


def _answers(page: str, *more: str) -> dict[str, str]:
    """What the form of a benign verdict sends."""
    from payeewatch.triage.verdict_codes import BenignReason, EvidenceKind

    fields = {name: _field(page, name) for name in ("step", "version", *more)}
    return fields | {"reason": BenignReason.values[0], "evidence_kind": EvidenceKind.values[0]}


def publish_seconds(home: Settings) -> float:
    """Seconds to publish a night of many flags, from its files to its commit."""
    from payeewatch.triage.exchange.import_night import publish

    night = LAST + timedelta(days=1)
    flags = pq.read_table(home.folder("flags") / f"{LAST}.parquet")
    evidence = pq.read_table(home.folder("evidence") / f"{LAST}.parquet")
    for name, table in (("flags", flags), ("evidence", evidence)):
        rows = table.to_pylist()
        many = [rows[n % len(rows)] | {"flag_id": f"N-{n:06}", "night": night} for n in range(PUBLISHED)]
        own = [{key: value for key, value in row.items() if key in table.schema.names} for row in many]
        pq.write_table(pa.Table.from_pylist(own, schema=table.schema), home.folder(name) / f"{night}.parquet")
    shutil.copy2(home.folder("holds") / f"{LAST}.csv", home.folder("holds") / f"{night}.csv")
    shutil.copy2(home.folder("runs") / f"{LAST}.json", home.folder("runs") / f"{night}.json")
    began = time.perf_counter()
    publication = publish(home, night)
    assert publication.new == PUBLISHED
    return _since(began)


def peak(process: int) -> float:
    """Megabytes that a process and those below it had at most, added up."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        parents[int(entry.name)] = (int(status["PPid"]), int(status.get("VmHWM", "0 kB").split()[0]))
    ours = {process}
    while more := {pid for pid, (parent, _) in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(parents[pid][1] for pid in ours if pid in parents) / 1024


def _since(began: float) -> float:
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
