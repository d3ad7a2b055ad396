"""One seam for every file operation of a process: the n-th one below some folders fails once, or kills the process.

Python itself reports its file operations to `sys.addaudithook`, and SQLite its statements to an authorizer; only
`os.fsync` and `sqlite3.connect` have to be replaced. DuckDB and Arrow write their files unseen: those fail when they
are opened to be flushed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
ERRORS = {"os.remove": errno.EIO, "os.rmdir": errno.EIO, "fsync": errno.EIO}
"""Operation -> how it fails; the others because the disk is full."""
CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime"}
STATEMENTS = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
KILLED = 137


@dataclass
class Seam:
    """Counts file operations below `roots`; number `at` fails or, with `kills`, ends the process as SIGKILL does."""

    roots: Sequence[Path]
    at: int = 0
    kills: bool = False
    count: int = 0
    operation: str = ""
    path: str = ""
    _lock: Any = field(default_factory=threading.RLock)

    def install(self) -> None:
        """Watch this process until it ends: Python keeps an audit hook for good."""
        real = os.fsync

        def fsync(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            self._happens("fsync", str(Path(f"/proc/self/fd/{number}").readlink()))
            real(handle)

        os.fsync = fsync
        sys.addaudithook(self._hook)
        sqlite3.connect = sqlite3.dbapi2.connect = self._connecting(sqlite3.connect)

    def _connecting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(*words: Any, **options: Any) -> Any:
            connection = real(*words, **options)
            self._watch(connection)
            return connection

        return connect

    def _hook(self, event: str, words: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(words[0], str | bytes | os.PathLike):
            path = os.fsdecode(words[0])
            if words[2] & WRITING or path.endswith(".part"):
                self._happens(event, path)
        elif event in CHANGES and isinstance(words[0], str | bytes | os.PathLike):
            self._happens(event, os.fsdecode(words[0]))

    def _watch(self, connection: Any) -> None:
        path = next((row[2] for row in connection.execute("PRAGMA database_list")), "")
        if not self._is_below(path):
            return

        def authorize(action: int, table: str | None, *_: Any) -> int:
            if action in STATEMENTS and table and not table.startswith("sqlite_") and self._is_next("sqlite", path):
                self._interrupt(connection)
            return sqlite3.SQLITE_OK

        connection.set_authorizer(authorize)

    @staticmethod
    def _interrupt(connection: Any) -> None:
        """Let the statement that is prepared fail with an OperationalError, as on a full disk."""
        once = iter([1])
        connection.set_progress_handler(lambda: next(once, 0), 1)

    def _happens(self, operation: str, path: str) -> None:
        if self._is_below(path) and self._is_next(operation, path):
            number = ERRORS.get(operation, errno.ENOSPC)
            raise OSError(number, os.strerror(number), path)

    def _is_below(self, path: str) -> bool:
        where = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
        return any(where == str(root) or where.startswith(f"{root}/") for root in self.roots)

    def _is_next(self, operation: str, path: str) -> bool:
        with self._lock:
            self.count += 1
            if self.count != self.at:
                return False
            self.operation, self.path = operation, path
            if self.kills:
                os._exit(KILLED)
            return True


def in_child(work: Callable[[], int], seam: Seam, output: Path, seconds: int = 600) -> tuple[int, dict[str, Any]]:
    """Do some work in a forked process with the seam in place. Returns its exit code, and what the seam saw."""
    report = output.with_suffix(".seam")
    report.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        _be_child(work, seam, output, report)
    status = _ended(child, seconds)
    seen = report.read_text(encoding="utf-8").split("\n") if report.exists() else ["0", "", "", ""]
    return status, {"count": int(seen[0]), "operation": seen[1], "path": seen[2], "modules": seen[3].split()}


def _be_child(work: Callable[[], int], seam: Seam, output: Path, report: Path) -> None:
    code = 70
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        seam.install()
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # the harness reports it
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        sys.stdout.flush()
        at, seam.at = seam.count, -1
        modules = " ".join(sys.modules)
        report.write_text(f"{at}\n{seam.operation}\n{seam.path}\n{modules}", encoding="utf-8")
        os._exit(code)


def _ended(child: int, seconds: int) -> int:
    """The exit code of a process; one that does not end in time is killed, and gives -9."""
    watchdog = threading.Timer(seconds, os.kill, (child, 9))
    watchdog.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        watchdog.cancel()
