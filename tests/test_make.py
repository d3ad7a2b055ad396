"""The Makefile, the pages and the check a stranger runs agree on what there is to make."""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from payeewatch.triage.roles import Role

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE)
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def planned(target: str) -> str:
    """The commands a target would run."""
    return subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_of_a_page_is_a_target(page: str) -> None:
    targets = re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(targets) <= set(TARGETS)


def test_the_readme_begins_with_demo_triage_and_test() -> None:
    (block,) = re.findall(r"```sh\n(make .*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert [line.split()[1] for line in block.splitlines()] == ["demo", "triage", "test"]


def test_every_target_says_what_it_is_for_and_is_no_file() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == set(TARGETS)
    output = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in TARGETS if f"make {target} " not in output] == []


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "help"])
def test_a_target_does_something_of_its_own(target: str) -> None:
    own = planned(target)
    for before in [name for name in ("dev", "setup") if name != target]:
        own = own.removeprefix(planned(before))
    assert own.strip()


def test_a_user_needs_no_tools_of_development() -> None:
    for target in ("setup", "demo", "triage"):
        assert "pip sync --quiet --require-hashes --compile-bytecode requirements.lock" in planned(target)
        assert "requirements-dev.lock" not in planned(target)
    for target in ("test", "lint", "bench"):
        assert "requirements-dev.lock" in planned(target)


def test_the_demo_runs_the_commands_of_the_readme_in_their_order() -> None:
    run = re.findall(r"bin/payeewatch ([a-z]+)", planned("demo"))
    assert run == ["simulate", "init", "ingest", "train", "night"]
    commands = re.findall(r"^payeewatch ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in commands if name in run] == run[1:]


def test_the_application_is_shown_with_a_user_of_each_role_on_the_morning_after_the_demo() -> None:
    run = planned("triage")
    (first,) = re.findall(r"triage-user (\S+ --role \S+)", run)  # one process makes them all
    people = dict([first.split(" --role "), *re.findall(r"--also (\S+)=(\S+)", run)])
    assert {"reviewer2": "reviewer"} | {role: role for role in Role.values} == people
    (now,) = set(re.findall(r"PAYEEWATCH_NOW=(\S+)", run))
    (last,) = re.findall(r"demo/runs/(\S+)\.json", run)
    assert datetime.fromisoformat(now).date() == date.fromisoformat(last) + timedelta(days=1)


def test_the_dossier_of_the_demo_comes_after_all_that_it_tells_of() -> None:
    run = re.findall(r"(?:-m |bin/payeewatch )([a-z.]+)", planned("dossier"))
    work = ["benchmarks.morning", "person", "person", "night", "benchmarks.morning", "fairness", "purge", "purge"]
    assert run[-9:] == [*work, "dossier"]
    times = re.findall(r"PAYEEWATCH_NOW=(\S+)", planned("dossier"))
    assert times == sorted(times)  # the audit log goes forward


def test_what_the_demo_makes_is_ignored_and_cleaned() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    cleaned = planned("clean").split()
    for name in ("demo", ".demo"):
        assert f"/{name}/" in ignored
        assert name in cleaned


def test_a_stranger_runs_the_tests_and_then_the_style_check() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make test", "make lint"]


def locked(name: str) -> dict[str, str]:
    """The packages of a lock and their versions."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def asked_for(*extras: str) -> set[str]:
    """The packages that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {re.split(r"[><=\[]", line)[0].lower() for line in lines}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_a_hash_for_every_package_and_no_address(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert len(re.findall(r"^[a-z0-9._-]+==[^\n]*\\\n    --hash=sha256:", lock, re.MULTILINE)) == len(locked(name))
    assert "://" not in lock


def test_the_locks_have_what_is_asked_for_and_agree() -> None:
    run, develop = locked("requirements.lock"), locked("requirements-dev.lock")
    assert asked_for("sso") <= run.keys()
    assert asked_for("dev") <= develop.keys()
    assert run.items() <= develop.items()
    assert {"pytest", "mypy", "ruff", "playwright", "ipykernel", "dvc"} & run.keys() == set()


def test_reproduced_stages_call_the_commands_of_their_names() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
        assert any(re.search(rf"payeewatch(?: |\.evaluation\.){name}\b", command) for command in commands)


def test_the_evaluation_that_is_reproduced_is_the_one_that_is_reported() -> None:
    stages_file = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    chosen = next(part["evaluation"] for part in stages_file["vars"] if "evaluation" in part)
    matrix = stages_file["stages"]["evaluate"]["matrix"]
    (seeds,) = matrix["seeds"]
    command = (
        f"payeewatch evaluate --tiers {','.join(matrix['tier'])} --seeds {seeds} --members {chosen['members']}"
        f" --days {chosen['days']} --nights {chosen['nights']} --cases-factor {chosen['cases_factor']} --work worlds"
    )
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert command in re.sub(r"\\\n\s*", "", page)
