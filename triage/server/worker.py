"""gunicorn's worker with threads, for clients that are slow, idle or send too much: none of them stops the others.

A request must be read within some seconds, and its body before the application sees it. One address can occupy some of
the threads at most while it sends; behind a proxy, which buffers requests itself, this does not count.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any

from django.conf import settings
from gunicorn import util
from gunicorn.workers import gthread

from payeewatch.triage.workspace import home

HEADER_SECONDS, BODY_SECONDS, ANSWER_SECONDS = 10, 60, 600
"""A header, a body and an answer are cut off after this time."""
MOST_OF_AN_ADDRESS = 10
"""So many requests of one address are read at once by each worker."""
SWEEP_SECONDS = 0.5
IN_MEMORY, CHUNK = 1024 * 1024, 64 * 1024
OTHER_FIELDS = 2 * 1024 * 1024
"""What a form may have beside an attachment."""
gthread.DEFAULT_WORKER_DATA_TIMEOUT = SWEEP_SECONDS  # an idle connection leaves its thread after this time


class Deadlines:
    """Sockets and when they are cut off. A thread that waits for one then goes on, as if the client had gone."""

    def __init__(self) -> None:
        self._ends: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to sweep, in a thread of its own; after a fork, because threads do not survive one."""
        threading.Thread(target=self._sweep_always, daemon=True).start()

    def set(self, sock: socket.socket, seconds: float) -> None:
        """Cut a socket off in so many seconds from now; replaces what was set before."""
        with self._lock:
            self._ends[sock] = time.monotonic() + seconds

    def drop(self, sock: socket.socket) -> None:
        """Leave a socket alone."""
        with self._lock:
            self._ends.pop(sock, None)

    def sweep(self) -> None:
        """Cut off the sockets whose time is over."""
        now = time.monotonic()
        with self._lock:
            for sock in [sock for sock, end in self._ends.items() if end <= now]:
                del self._ends[sock]
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _sweep_always(self) -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            self.sweep()


class Readers:
    """How many requests of each address are being read."""

    def __init__(self) -> None:
        self._many: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, address: str) -> bool:
        """Whether one more may be read; if so it counts until `leave`."""
        with self._lock:
            is_free = settings.IS_HTTPS or self._many[address] < MOST_OF_AN_ADDRESS
            self._many[address] += is_free
        return is_free

    def leave(self, address: str) -> None:
        with self._lock:
            self._many[address] -= 1
            if not self._many[address]:
                del self._many[address]


class TooLarge(Exception):
    """A body that is larger than any form of the application."""


class Worker(gthread.ThreadWorker):
    """A worker whose threads nobody can keep for long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deadlines, self.readers = Deadlines(), Readers()

    def init_process(self) -> None:
        self.deadlines.start()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Read a request and answer it, within the deadlines."""
        conn.address = str(conn.client[0]) if isinstance(conn.client, tuple) else ""
        if not self.readers.enter(conn.address):
            return False
        conn.is_reading = True
        self.deadlines.set(conn.sock, HEADER_SECONDS)
        try:
            return super().handle(conn)
        finally:
            self.deadlines.drop(conn.sock)
            self._is_read(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Read the body, then let the application answer."""
        self.deadlines.set(conn.sock, BODY_SECONDS)
        try:
            req.body = body_of(req)
        except TooLarge:
            util.write_error(conn.sock, 413, "Content Too Large", "")
            return False
        self._is_read(conn)
        self.deadlines.set(conn.sock, ANSWER_SECONDS)
        return super().handle_request(req, conn)

    def _is_read(self, conn: Any) -> None:
        if conn.is_reading:
            conn.is_reading = False
            self.readers.leave(conn.address)


def body_of(request: Any) -> SpooledTemporaryFile[bytes]:
    """The whole body of a request, in a file.

    Raises:
        TooLarge: it is, or says that it is.
    """
    most = home().params.triage.attachment_mb * 1024 * 1024 + OTHER_FIELDS
    lengths = [value for name, value in request.headers if name == "CONTENT-LENGTH"]
    if any(length.isdigit() and int(length) > most for length in lengths):
        raise TooLarge
    file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the request has it
    while chunk := request.body.read(CHUNK):
        file.write(chunk)
        if file.tell() > most:
            file.close()
            raise TooLarge
    file.seek(0)
    return file
