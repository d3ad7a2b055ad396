"""The server's process runs our code alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from payeewatch.triage.server import web_process


def test_no_code_of_the_folder_in_which_it_is_started_runs(tmp_path: Path) -> None:
    """gunicorn by itself runs the first two of these files, with our keys in reach."""
    for name in ("gunicorn.conf.py", "wsgiref.py", "payeewatch.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()", encoding="utf-8")
    words = ["-P", "-m", web_process.__name__, "--check-config", "wsgiref.simple_server:demo_app"]
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    assert not (tmp_path / "ran").exists()
