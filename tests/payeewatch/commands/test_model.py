"""`payeewatch mlflow`: the pages of runs and models, served to this machine alone, without a call to anybody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import Home, copy_of

NO_LOOKUPS = """
import socket
from pathlib import Path

look_up = socket.getaddrinfo

def only_this_machine(host, *words, **options):
    if host not in {None, "", "localhost", "127.0.0.1", "::1", socket.gethostname(), b"127.0.0.1", b"localhost"}:
        with Path(%r).open("a") as file:
            file.write(f"{host}\\n")
        raise OSError(f"no look-up of {host} in this test")
    return look_up(host, *words, **options)

socket.getaddrinfo = only_this_machine
"""


def test_the_pages_are_served_and_nobody_is_called_and_no_code_of_the_folder_of_the_start_runs(
    trained: Home, tmp_path: Path
) -> None:
    lookups = tmp_path / "lookups"
    (tmp_path / "sitecustomize.py").write_text(NO_LOOKUPS % str(lookups))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_CURRENT_TEST"}}
    start = tmp_path / "start"  # of somebody else
    start.mkdir()
    for module in ("uvicorn", "yaml"):
        (start / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    words = [
        sys.executable,
        "-P",
        "-m",
        "payeewatch",
        "mlflow",
        "--port",
        str(port),
        "--home",
        str(copy_of(trained, tmp_path).path),
    ]
    with subprocess.Popen(
        words, env=environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, cwd=start,
    ) as server:  # fmt: skip
        assert server.stdout
        try:
            for line in server.stdout:
                if "Uvicorn running on" in line:
                    break
            with urlopen(f"http://127.0.0.1:{port}/") as page:
                assert page.status == 200
            with urlopen(f"http://127.0.0.1:{port}/ajax-api/3.0/mlflow/ui-telemetry") as answer:
                assert b"disable_ui_telemetry" in answer.read()
        finally:
            os.killpg(server.pid, 15)
    assert not (tmp_path / "ran").exists()
    assert not lookups.exists() or lookups.read_text() == ""


def test_a_home_without_a_model_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    result = home.run("mlflow")
    assert result.exit_code == 13
    assert "run payeewatch train" in result.stderr
