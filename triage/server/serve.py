"""Serving: gunicorn in its own process, and housekeeping in the command's process, so that neither slows the other."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory

from django.db import DatabaseError, close_old_connections

from payeewatch.pipeline.home.errors import SettingsError, StoreError, place
from payeewatch.triage.exchange import notices
from payeewatch.triage.exchange.import_by_hand import is_fresh
from payeewatch.triage.records import audit
from payeewatch.triage.server import housekeeping
from payeewatch.triage.server.evidence_process import EvidenceProcess

LOG = logging.getLogger("payeewatch")
HOUSEKEEPING_SECONDS = 5
WAITING_SECONDS = 1
"""So often while somebody who just asked waits for the evidence of a case by hand."""
ANCHOR_SECONDS = 60
"""So often the log is compared with its anchors; it is anchored once a day."""
CHECK_SECONDS = 3600
"""So often the whole log and every row are compared, beginning at the start."""
THREADS, CONNECTIONS = 16, 400
"""Of each worker. More threads than requests are computed at once, because a slow client occupies one for a while."""
STOP_SECONDS = 30
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
LIBC = ctypes.CDLL(None)
EVIDENCE = EvidenceProcess()


def serve(host: str, port: int, workers: int) -> None:
    """Serve until a signal to stop (SIGTERM, or SIGINT from a terminal): requests in progress are answered first.

    Raises:
        SettingsError: the address cannot be listened on.
        StoreError: the server ended by itself.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _open_listener(host, port) as listener, TemporaryDirectory(prefix="payeewatch-") as metrics_folder:
        server = subprocess.Popen(
            [
                sys.executable, "-P", "-m", "payeewatch.triage.server.web_process", "payeewatch.triage.wsgi",
                "--bind", f"fd://{listener.fileno()}", "--workers", str(workers),
                "--worker-class", "payeewatch.triage.server.worker.Worker", "--threads", str(THREADS),
                "--worker-connections", str(CONNECTIONS),
                "--preload",  # one clock for all workers, and an error at import ends the server at once
                "--graceful-timeout", str(STOP_SECONDS), "--log-level", "warning", "--no-control-socket",
            ],
            pass_fds=[listener.fileno()],
            start_new_session=True,  # a terminal's Ctrl+C reaches only this process, which then stops the server
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": metrics_folder},
        )  # fmt: skip
        LOG.info("%s", json.dumps({"stage": "triage", "address": f"http://{host}:{port}", "workers": workers}))
        next_anchor = next_check = 0.0
        try:
            while True:
                keep_house(tidy)
                if time.monotonic() >= next_anchor:
                    keep_house(audit.anchor)
                    next_anchor = time.monotonic() + ANCHOR_SECONDS
                if time.monotonic() >= next_check:
                    keep_house(housekeeping.check)
                    next_check = time.monotonic() + CHECK_SECONDS
                if stop.wait(_pause()):
                    break
                if server.poll() is not None:
                    raise StoreError(f"the server ended by itself (exit {server.returncode}); its last lines say why")
        finally:
            server.terminate()
            server.wait()


def _end_with_parent() -> None:
    """In the server's process: get a signal to stop when the command ends, even if it was killed."""
    LIBC.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _open_listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SettingsError(
            f"{host} port {port} cannot be listened on ({why}); give another with --host or --port"
        ) from error


def _pause() -> float:
    """Seconds until the house is kept again."""
    try:
        return WAITING_SECONDS if is_fresh() else HOUSEKEEPING_SECONDS
    except DatabaseError:
        return HOUSEKEEPING_SECONDS


def tidy() -> None:
    """Do the work that needs no request. People get their notices also while something keeps the rest from its end."""
    EVIDENCE.look_after()
    try:
        housekeeping.tidy()
    finally:
        notices.announce()
        notices.deliver()


def keep_house(task: Callable[[], object]) -> None:
    """Do a task. An error is only logged, because the server must not end with it; the next run tries again."""
    close_old_connections()
    try:
        task()
    except Exception as error:
        # an exception's own text may quote a row; its class and place may not
        LOG.error("%s", json.dumps({"stage": "housekeeping", "error": place(error)}))
