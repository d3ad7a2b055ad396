"""`python -m payeewatch`, and what the installed command starts."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

import payeewatch.commands  # noqa: F401 - commands register themselves
from payeewatch.command import main


def run() -> None:
    """Run the command as its own process, and end it as soon as all output is written.

    The interpreter would need half a second more to free the memory of a night object by object.
    """
    try:
        main()
    except SystemExit as end:
        with suppress(OSError):  # the reader of the output is gone: end as the interpreter does
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        raise


if __name__ == "__main__":
    run()
