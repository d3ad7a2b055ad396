"""Opening a home: its lock, its keys, and an erasure that was begun and not finished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from payeewatch.pipeline.home import keys as tokens
from payeewatch.pipeline.home.errors import AnotherNight, StoreError
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.privacy.erase import UNFINISHED
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Lake


@contextmanager
def opened(settings: Settings, *, writing: bool = True) -> Iterator[Session]:
    """A session over the home folder; with `writing`, it alone may write, without, it leaves no trace there.

    Raises:
        SettingsError: no key file, or one that does not fit the lake.
        AnotherNight: another command is writing.
        StoreError: the lake cannot be written, or another version wrote it.
    """
    keys = Keys.load(settings.key_file)
    lake = Lake(settings.folder("lake"))
    if not writing:
        keys.check(lake.root, note=False)
        with TemporaryDirectory(prefix="payeewatch-") as spill, lake.connect(spill=Path(spill)) as con:
            lake.check(con)
            tokens.register(con, keys)
            yield Session(settings, keys, lake, con)
        return
    with _locked(settings), lake.connect() as con:
        keys.check(lake.root)
        lake.check(con)
        tokens.register(con, keys)
        session = Session(settings, keys, lake, con)
        if (lake.root / UNFINISHED).exists():
            from payeewatch.pipeline.home.scrub import alone
            from payeewatch.pipeline.privacy.erase import resume

            with alone(settings):
                resume(session)
        yield session


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Hold the home's lock. The kernel drops it with the process, however that ends."""
    path = settings.folder("lake") / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="ascii")
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened ({error.strerror}); fix the permissions") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read(20).strip() or "unknown"
            raise AnotherNight(
                f"{settings.home}: another command is writing here (process {holder}); "
                "wait for it to end, its lock goes with it"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
