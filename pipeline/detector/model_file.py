"""A model's file: an archive of JSON and arrays. Nothing in it is executed.

To read one takes numpy alone. Earlier versions wrote skops files, whose reader imports scikit-learn and SciPy: a good
part of a night's time, although scoring uses neither.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from payeewatch.pipeline.home.files import replace_whole

NAME, EARLIER_NAME = "model.npz", "model.skops"
"""Now, and in earlier versions."""
HEADER, ARRAY = "header", "array of the archive"


def write(packed: dict[str, Any], path: Path) -> None:
    """Write mappings, lists, numbers, text and arrays."""
    arrays: list[np.ndarray] = []
    header = np.frombuffer(json.dumps(_plain(packed, arrays)).encode(), dtype=np.uint8)
    named: dict[str, Any] = {HEADER: header} | {str(at): array for at, array in enumerate(arrays)}

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **named)

    replace_whole(path, save)


def read(path: Path) -> dict[str, Any]:
    """The same as it was written.

    Raises:
        OSError, ValueError, KeyError, ...: it is not such a file.
    """
    if path.name == EARLIER_NAME:
        return _read_earlier(path)
    with np.load(path, allow_pickle=False) as archive:
        raw: dict[str, Any] = json.loads(archive[HEADER].tobytes(), object_hook=lambda found: _filled(found, archive))
        return raw


def _read_earlier(path: Path) -> dict[str, Any]:
    # one by one: in a single deep chain of imports, CPython 3.11 pays .4 s for the end of a stack chunk
    import scipy.stats  # noqa: F401
    import sklearn  # noqa: F401
    import skops.io

    raw: dict[str, Any] = skops.io.load(path, trusted=[])  # no type but numbers, text, lists, mappings and arrays
    return raw


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value as JSON can have it; its arrays are put aside."""
    if isinstance(value, dict):
        return {key: _plain(each, arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, arrays) for each in value]
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {ARRAY: len(arrays) - 1}
    return value.item() if isinstance(value, np.generic) else value


def _filled(found: dict[str, Any], archive: Any) -> Any:
    return archive[str(found[ARRAY])] if ARRAY in found else found
