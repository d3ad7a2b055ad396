"""A kill in this process, before a file gets or loses its name: quick enough for many in one test.

`benchmarks.harness` kills processes of their own at any file operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch


class Killed(BaseException):
    """Nothing may catch it."""


@dataclass
class Moments:
    """How many changes of files' names there were."""

    count: int = 0


@contextmanager
def killed_at(at: int | None) -> Iterator[Moments]:
    """End the block before its change number `at` of a file's name, as a kill would."""
    moments = Moments()

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *args: object, **kwargs: object) -> object:
            moments.count += 1
            if moments.count == at:
                raise Killed
            return real(path, *args, **kwargs)

        return call

    with (
        patch.object(Path, "replace", counting(Path.replace)),
        patch.object(Path, "unlink", counting(Path.unlink)),
        suppress(Killed),
    ):
        yield moments
