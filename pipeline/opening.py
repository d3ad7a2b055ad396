"""Opening a home: its lock, its keys, and an unfinished erasure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from payeewatch.pipeline.home import keys as tokens
from payeewatch.pipeline.home import publication
from payeewatch.pipeline.home.errors import AnotherNight
from payeewatch.pipeline.home.files import holder, only_holder
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import kept_tokens
from payeewatch.pipeline.store.lake import Lake
from payeewatch.pipeline.store.tombstones import UNFINISHED_ERASURE


@contextmanager
def opened(settings: Settings, *, writing: bool = True, any_format: bool = False) -> Iterator[Session]:
    """A session over the home folder; with `writing` no other command may write, without it nothing is written there.

    With `any_format`, for a migration, the lake may have the form of another version.

    Raises:
        SettingsError: no key file, or one that does not fit the lake.
        AnotherNight: another command is writing.
        StoreError: the lake cannot be written, is damaged, or has the form of another version.
    """
    keys = Keys.load(settings.key_file)
    lake = Lake(settings.folder("lake"))
    if not writing:
        keys.check(lake.root, note=False)
        with TemporaryDirectory(prefix="payeewatch-") as spill, lake.connect(spill=Path(spill)) as con:
            if not any_format:
                lake.check()
                lake.refuse_altered()
                keys = kept_tokens.keys_of(lake, keys)
            tokens.register(con, keys)
            with _naming_damage(lake):
                yield Session(settings, keys, lake, con)
        return
    with _exclusive_lock(settings), lake.connect() as con:
        keys.check(lake.root)
        if not any_format:
            lake.check()
            lake.finish_replacing()
            lake.refuse_altered()
            lake.sweep()
            keys = kept_tokens.keys_of(lake, keys)
        publication.finish(settings)
        tokens.register(con, keys)
        _follow_the_home(settings)
        session = Session(settings, keys, lake, con)
        if not any_format and (lake.root / UNFINISHED_ERASURE).exists():
            from payeewatch.pipeline.home.scrub import exclusive_lock
            from payeewatch.pipeline.privacy.erase import resume

            with exclusive_lock(settings):
                resume(session)
        with nullcontext() if any_format else _naming_damage(lake):
            yield session


def _follow_the_home(settings: Settings) -> None:
    from payeewatch.pipeline.detector.model_store import follow_the_home

    follow_the_home(settings)


@contextmanager
def _naming_damage(lake: Lake) -> Iterator[None]:
    """Name the lake's file where a failure comes from one that is gone or damaged."""
    try:
        yield
    except Exception as error:
        lake.refuse_damage(error)
        raise


@contextmanager
def _exclusive_lock(settings: Settings) -> Iterator[None]:
    """Take the home's lock, or say which process has it."""
    lock = _lock(settings)
    with only_holder(lock, wait=False) as is_free:
        if not is_free:
            raise AnotherNight(
                f"{settings.home}: another command is writing here (process {holder(lock)}); "
                "wait for it to end, its lock goes with it"
            )
        yield


def wait_until_free(settings: Settings) -> None:
    """Return as soon as no other command is writing in the home."""
    with only_holder(_lock(settings)):
        pass


def _lock(settings: Settings) -> Path:
    return settings.folder("lake") / ".lock"
