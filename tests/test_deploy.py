"""The files in `deploy/`: accepted by their tools, with commands that exist."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

import payeewatch.commands  # noqa: F401 - commands register themselves
from payeewatch.command import main
from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("payeewatch-*@.*"))
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]


def test_every_command_in_these_files_exists_with_its_options() -> None:
    commands = [words for path in FILES for words in commands_of(path.read_text(encoding="utf-8"))]
    assert len(commands) == 5 + 2 + 3 + 2  # of systemd, cron, the container and Airflow
    for words in commands:
        command = main.commands[words[0]]
        command.make_context(words[0], words[1:])  # raises what `payeewatch` would print


def commands_of(text: str) -> list[list[str]]:
    """What follows `payeewatch` in command lines, with the variables of schedulers filled in."""
    before = r"(?:bin/payeewatch |payeewatch-cron alpha |\{command\} )"
    lines = re.findall(before + r"((?:night|purge|triage|evidence|retrain)\b[^'\"\n]*)", text)
    lines += [" ".join(words) for words in yaml_commands(text)]
    filled = [re.sub(r"\{day\}", "2024-09-23", line).replace("${PAYEEWATCH_TRIAGE_PORT}", "8001") for line in lines]
    return [shlex.split(line) for line in filled]


def yaml_commands(text: str) -> list[list[str]]:
    if "services:" not in text:
        return []
    return [service["command"] for service in yaml.safe_load(text)["services"].values() if "command" in service]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_a_unit(tmp_path: Path, unit: Path) -> None:
    for path in UNITS:
        text = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", path.read_text(encoding="utf-8"))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    name = unit.name.replace("@.", "@alpha.")
    (tmp_path / unit.name).rename(tmp_path / name)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    ours = [line for line in result.stderr.splitlines() if "payeewatch" in line and "Failed to open" not in line]
    assert ours == []


def test_requests_are_watched_where_the_application_writes_them_and_another_service_answers() -> None:
    path = (DEPLOY / "systemd" / "payeewatch-evidence@.path").read_text(encoding="utf-8")
    service = (DEPLOY / "systemd" / "payeewatch-evidence@.service").read_text(encoding="utf-8")
    settings = Settings.load(Path("/srv/payeewatch/%i"), {})
    assert f"DirectoryNotEmpty={by_hand.request_path(settings, 'x').parent}\n" in path
    assert "Restart=on-failure" in service  # a request that cannot be answered would start it over and over


def test_units_of_two_insurers_share_no_user_home_or_port() -> None:
    for unit in UNITS:
        if unit.suffix == ".service" and "failed" not in unit.name:
            text = unit.read_text(encoding="utf-8")
            assert "User=payeewatch-%i\n" in text
            assert "EnvironmentFile=/etc/payeewatch/%i.env\n" in text
            assert "ReadWritePaths=/srv/payeewatch/%i\n" in text


@pytest.fixture
def cron(tmp_path: Path) -> Any:
    """Runs `payeewatch-cron` with a command that ends with a code, and a folder for logs that is not there yet."""
    (tmp_path / "alpha.env").write_text("PAYEEWATCH_HOME=/srv/payeewatch/alpha\n")
    command = tmp_path / "payeewatch"
    command.write_text('#!/bin/sh\necho "{\\"home\\": \\"$PAYEEWATCH_HOME\\"}"; echo "words: $*" >&2; exit "$CODE"\n')
    command.chmod(0o755)

    def run(code: int) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": "/usr/bin:/bin", "CODE": str(code), "PAYEEWATCH_ENV": str(tmp_path / "alpha.env"),
            "PAYEEWATCH_LOGS": str(tmp_path / "logs"), "PAYEEWATCH_COMMAND": str(command),
        }  # fmt: skip
        words = [str(DEPLOY / "cron" / "payeewatch-cron"), "alpha", "night", "yesterday"]
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)

    return run


def test_a_good_night_prints_nothing_that_cron_would_mail(tmp_path: Path, cron: Any) -> None:
    result = cron(0)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "logs" / "alpha.json").read_text() == '{"home": "/srv/payeewatch/alpha"}\n'
    assert (tmp_path / "logs" / "alpha.log").read_text() == "words: night yesterday --json\n"


def test_a_failed_night_prints_its_code_and_the_end_of_its_log(cron: Any) -> None:
    result = cron(12)
    assert result.returncode == 12
    assert "payeewatch night yesterday ended with exit code 12" in result.stdout
    assert "words: night yesterday --json" in result.stdout


def test_cron_lines_have_five_times_a_user_and_a_command() -> None:
    lines = (DEPLOY / "cron" / "payeewatch").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line[:1].isdigit()]
    assert len(jobs) == 2
    for job in jobs:
        *times, user, command = job.split(maxsplit=6)
        assert all(re.fullmatch(r"\*|\d+", each) for each in times)
        assert (user, command.split()[0]) == ("payeewatch-alpha", "/opt/payeewatch/deploy/cron/payeewatch-cron")
        assert "%" not in command  # cron would cut the line there
    assert any(line.startswith("MAILTO=") for line in lines)


@pytest.mark.skipif(not shutil.which("logrotate", path="/usr/sbin:/usr/bin"), reason="logrotate is not installed")
def test_logrotate_accepts_its_file(tmp_path: Path) -> None:
    text = (
        (DEPLOY / "logrotate" / "payeewatch").read_text(encoding="utf-8").replace("/var/log/payeewatch", str(tmp_path))
    )
    (tmp_path / "alpha.log").write_text("a line\n")
    (tmp_path / "conf").write_text(re.sub(r"\bsu .*|create .*", "", text))
    program = str(shutil.which("logrotate", path="/usr/sbin:/usr/bin"))
    words = [program, "--debug", "--force", "--state", str(tmp_path / "state"), str(tmp_path / "conf")]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "error" not in result.stderr


def test_the_container_copies_what_is_there_and_holds_no_secret() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text(encoding="utf-8")
    steps = re.findall(r"^([A-Z]+) ", text.replace("\\\n", " "), re.M)
    assert steps.count("FROM") == 2
    assert {"COPY", "RUN", "USER", "ENTRYPOINT"} <= set(steps)
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert "requirements.lock" in text
    assert "--require-hashes" in text


def test_the_services_of_the_compose_file_fit_together() -> None:
    compose = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    assert set(services) == {"application", "night", "purge", "database"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        named = [secret if isinstance(secret, str) else secret["source"] for secret in service["secrets"]]
        assert set(named) <= set(compose["secrets"])
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
    assert services["night"]["network_mode"] == "none"  # a night calls nobody
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_the_container_answers_its_own_health_check() -> None:
    compose = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text(encoding="utf-8"))
    application = compose["services"]["application"]
    (address,) = re.findall(r"http://([^:/]+):(\d+)/health", " ".join(application["healthcheck"]["test"]))
    hosts = application["environment"]["PAYEEWATCH_TRIAGE_HOSTS"].split(",")
    assert address[0] in hosts
    assert address[1] == application["command"][-1]


def test_the_airflow_dag_parses_and_calls_the_night_before_the_purge(monkeypatch: pytest.MonkeyPatch) -> None:
    dags: dict[str, list[Any]] = {}
    order: list[tuple[str, str]] = []

    class Dag:
        def __init__(self, dag_id: str, **options: Any) -> None:
            self.dag_id, self.options = dag_id, options
            dags[dag_id] = []

        def __enter__(self) -> Dag:
            current.append(self.dag_id)
            return self

        def __exit__(self, *_: object) -> None:
            current.pop()

    class Operator(SimpleNamespace):
        def __init__(self, task_id: str, bash_command: str) -> None:
            super().__init__(task_id=task_id, bash_command=bash_command)
            dags[current[-1]].append(self)

        def __rshift__(self, other: Operator) -> None:
            order.append((self.task_id, other.task_id))

    current: list[str] = []
    for name, members in {
        "airflow": {"DAG": Dag},
        "airflow.operators": {},
        "airflow.operators.bash": {"BashOperator": Operator},
        "pendulum": {"datetime": lambda *day, tz: (day, tz)},
    }.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    runpy.run_path(str(DEPLOY / "airflow" / "payeewatch_nights.py"))
    assert set(dags) == {"payeewatch_alpha", "payeewatch_beta"}
    assert set(order) == {("night", "purge")}
    for dag_id, tasks in dags.items():
        for task in tasks:
            assert f"/etc/payeewatch/{dag_id.removeprefix('payeewatch_')}.env" in task.bash_command
            subprocess.run(["sh", "-n", "-c", re.sub(r"\{\{.*?\}\}", "D", task.bash_command)], check=True)
