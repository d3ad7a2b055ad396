"""Files written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from payeewatch.pipeline.home.errors import StoreError


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary file in the folder of `path`, then rename that to `path` in one step.

    Raises:
        StoreError: the disk is full or the folder cannot be written; the old file at `path`, if any, is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        if os.path.lexists(temporary):  # somebody who may write there could read what is written into their file
            temporary.unlink()
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def put_in_place(whole_file: Path, path: Path) -> None:
    """Rename a file that was written whole in the same folder to `path`, in one step.

    Raises:
        StoreError: the folder cannot be written.
    """
    with _store_errors(path):
        whole_file.replace(path)
        _sync_folder(path.parent)


def set_time(path: Path) -> None:
    """Let a file have changed now.

    Raises:
        StoreError: the folder cannot be written.
    """
    with _store_errors(path):
        os.utime(path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole, with `\\n` line ends."""
    replace_whole(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_private(path: Path, text: str) -> None:
    """Make a UTF-8 text file that its owner alone may read.

    Raises:
        FileExistsError: there is such a file; whoever made it could read what is written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole; dates and paths as text."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """The text of a JSON file; dates and paths as text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


@contextmanager
def only_holder(lock: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a file, and write the process's number into it; the kernel frees the lock when the process ends.

    Its owner alone may open the file: whoever can read one can lock it for ever. Without `wait`, yields whether it was
    free.
    """
    with _store_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="ascii")
        with suppress(PermissionError):  # it is another user's, who let us write it
            os.fchmod(file.fileno(), 0o600)  # one of an earlier version, too
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield True


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock file; nothing is written to it."""
    try:
        with lock.open(encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder(lock: Path) -> str:
    """The number of the process that has a lock file, if the file contains one."""
    return lock.read_text(encoding="ascii")[:20].strip() or "unknown"


def is_running(process: int) -> bool:
    """Whether a process of this machine is alive."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's process
    return True


def _sweep(path: Path) -> None:
    """Remove the incomplete temporary files of a path that killed commands left."""
    sweep(path.parent, escape(path.name))


def sweep(folder: Path, name: str = "*") -> None:
    """Remove the incomplete temporary files of a folder, or of one name there, that killed commands left."""
    for leftover in folder.glob(f".{name}.*.part"):
        process = leftover.name.split(".")[-2]
        if process.isdigit() and not is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        # DuckDB and Arrow raise their own classes for a full disk or a folder without write permission
        if isinstance(error, OSError) or "IO" in type(error).__name__:
            refusal = StoreError(f"{path}: cannot be written ({_why(error)}); free space or fix the permissions")
            refusal.is_of_writing = True
            raise refusal from error
        raise


def cannot_be_read(path: Path, error: Exception) -> StoreError:
    """What to raise for a file of a store that is gone, cut off or unreadable."""
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path}: is gone; restore it from the last backup")
    if isinstance(error, PermissionError):
        return StoreError(f"{path}: cannot be read ({_why(error)}); fix its permissions")
    return StoreError(f"{path}: is damaged ({_why(error)}); restore it from the last backup")


def _why(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
