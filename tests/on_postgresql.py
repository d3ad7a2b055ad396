"""Run tests on a PostgreSQL of their own, on a socket in a temporary folder: `python -m tests.on_postgresql WORDS`.

The words go to pytest. PostgreSQL refuses to run as root, so root runs it as the user `postgres` of its package.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

USER = "payeewatch"
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""Nothing here has to outlive a power cut."""


def programs() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps them off the path."""
    initdb = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return Path(initdb).parent if initdb else folders[-1] if folders else None


@contextmanager
def running(options: Sequence[str] = QUICK) -> Iterator[str]:
    """A fresh PostgreSQL, as the address for DATABASE_URL; it is gone afterwards."""
    where = programs()
    assert where, "PostgreSQL is not installed"
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if as_user:
            shutil.chown(folder, "postgres")
        Path(folder).chmod(0o755)  # whoever runs the tests opens the socket in it
        data = f"{folder}/data"

        def run(program: str, *words: str) -> None:
            command = [*as_user, str(where / program), "--pgdata", data, *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

        run("initdb", "--username", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8")
        settings = " ".join(f"-c {option}" for option in (*options, f"unix_socket_directories={folder}"))
        run("pg_ctl", "--wait", "--log", f"{folder}/log", "--options", f"{settings} -c listen_addresses=", "start")
        try:
            yield f"postgresql://{USER}@{quote(folder, safe='')}/postgres"
        finally:
            run("pg_ctl", "--wait", "--mode", "immediate", "stop")


def main() -> None:
    if programs() is None:
        print("left out: the tests on PostgreSQL, which is not installed")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped then, too
    with running() as address:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=os.environ | {"DATABASE_URL": address}, check=False).returncode)


if __name__ == "__main__":
    main()
