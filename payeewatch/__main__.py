"""`python -m payeewatch`, and what the installed command starts."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

import payeewatch.commands  # noqa: F401 - commands register themselves
from payeewatch.command import main


def run() -> None:
    """The command as a process of its own, which ends once all is written.

    To take apart what a night left in memory, object by object as the interpreter does, would take half a second.
    """
    try:
        main()
    except SystemExit as end:
        with suppress(OSError):  # whoever read what was said is gone: end as the interpreter does
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        raise


if __name__ == "__main__":
    run()
