"""Files that others put into a folder: a link that leads elsewhere, a pipe or a device is refused before it is opened.

To open a pipe would wait for whoever writes into it, a device may never end, and a link may show any file of the
machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from payeewatch.pipeline.home.shown import is_printable

KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
"""What is neither a file nor a folder."""


def oddities(paths: Iterable[Path], within: Path) -> list[tuple[Path, str]]:
    """What of some files and folders cannot be taken as it is, each with the reason; `within` is where they may be."""
    return [(path, why) for path in paths if (why := _oddity(path, within))]


def _oddity(path: Path, within: Path) -> str:
    if not is_printable(path.name):
        return "has a name with control or invisible characters; rename it"
    if not os.path.lexists(path):
        return ""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode = path.stat().st_mode
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(within)):
                return f"is a link that leads out of {within.name}/; send the file itself"
    except OSError as error:
        return f"cannot be looked at ({error.strerror}); send the file itself"
    kind = next((kind for is_of, kind in KINDS if is_of(mode)), "")
    return f"is {kind} and no file; send it as a file" if kind else ""
