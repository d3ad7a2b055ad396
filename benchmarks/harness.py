"""Kill every command at random moments, and let each of its writes fail once: `python -m benchmarks.harness HOME`.

HOME is a home of the tests' small insurer with published nights (and its key file in PAYEEWATCH_KEY_FILE); it is not
changed. Each trial takes a copy, is killed or gets one fault at one file operation, and is then run again: the end must
be that of an undisturbed run, with no lock and no unfinished file left; a fault must end with 0, or with 15 and a path.
Results are kept line by line in `--out`: a run that was stopped goes on where it was. `--table` writes the table of all
results so far into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.file_faults import KILLED, Seam, in_child
from payeewatch.__main__ import main as payeewatch
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.files import is_locked
from payeewatch.pipeline.home.keys import Keys

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- harness -->", "<!-- end of harness -->")
FOLDERS = ("lake", "flags", "scores", "evidence", "runs", "reports", "holds", "releases", "outcomes", "quarantine")
NEXT_DAY, LATER = "2024-09-26", "2025-04-15"
"""Days of the insurer: the day after the last night; the day on which every flag's time is over."""
RANDOM = {"key-check.json", "fingerprints.json", f"purge-{LATER}.txt", f"purge-{NEXT_DAY}-person.txt"}
"""What differs anyway: hashes of random keys, of a drop by its place on the disk, counts of the last purge."""
UNEQUAL = {"AuditRecord", "Notice"}
"""A command that is run again leaves more records; a night that could not be imported gives a notice."""
IMPORTED = {"payeewatch", "duckdb", "pyarrow", "pandas", "numpy", "mlflow", "django", "sqlalchemy", "alembic", "jinja2",
            "great_expectations", "sklearn", "skops", "cryptography"}  # fmt: skip
CHANGING = {
    "seconds",
    "started_at",
    "ended_at",
    "peak_mb",
    "process",
    "hash",
    "before",
    "bytes",
    "end",
    "record",
    "made_at",
}
"""What two undisturbed runs do not have in common, in JSON."""


@dataclass(frozen=True)
class Part:
    """A command, how its home is prepared, and what is compared afterwards."""

    name: str
    work: Callable[[Trial], int]
    prepare: Callable[[Trial], object] = lambda trial: None
    end: Callable[[Trial], dict[str, Any]] = lambda trial: {}  # besides the files
    before_again: Callable[[Trial], object] = lambda trial: None
    folders: Sequence[str] = FOLDERS


@dataclass(frozen=True)
class Trial:
    """A folder in which one home after the other is broken: always under the same paths."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def key_file(self) -> Path:
        return self.folder / "keys" / "keys.json"

    def fresh(self, source: Path) -> None:
        """Replace everything by a prepared state."""
        for name in ("home", "keys", "backup", "new-backup"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if (source / name).exists():
                shutil.copytree(source / name, self.folder / name)

    def keep(self, target: Path) -> None:
        for name in ("home", "keys", "backup"):
            if (self.folder / name).exists():
                shutil.copytree(self.folder / name, target / name)

    def child(self, work: Callable[[], int], at: int = 0, *, kills: bool = False) -> tuple[int, dict[str, Any]]:
        roots = [self.home, self.key_file.parent, self.folder / "new-backup"]
        return in_child(work, Seam(roots, at, kills), self.folder / "output")

    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")


def command(*words: str) -> Callable[[Trial], int]:
    def work(trial: Trial) -> int:
        named = [each.replace("BACKUP", str(trial.folder / "backup")) for each in words]
        payeewatch([each.replace("NEW", str(trial.folder / "new-backup")) for each in named])
        return 0

    return work


def _django(trial: Trial) -> None:
    from payeewatch.commands.review import start
    from payeewatch.pipeline.home.settings import Settings

    start(Settings.load())


def tidy(trial: Trial) -> int:
    """What the application does every few seconds: import nights, hand decisions over."""
    from payeewatch.pipeline.home.errors import PayeeWatchError

    try:
        _django(trial)
        from django.db import DatabaseError

        from payeewatch.triage.server.housekeeping import tidy as do_what_is_due

        do_what_is_due()
    except PayeeWatchError as error:
        print(error)
        return error.exit_code
    except (OSError, DatabaseError) as error:  # the application logs it, and tries again
        print(f"{type(error).__name__}: {error} /")
        return 15
    return 0


def hand_over(trial: Trial) -> int:
    """The same a day later, when a decision cannot be undone any more."""
    os.environ["PAYEEWATCH_NOW"] = "2024-09-27T07:00"
    return tidy(trial)


def decide(trial: Trial) -> int:
    """A reviewer holds payments and judges a flag; what is decided waits to be handed over."""
    tidy(trial)
    from uuid import uuid4

    from payeewatch.triage.models import Flag, User
    from payeewatch.triage.work.workflow import perform

    user, _ = User.objects.get_or_create(username="reviewer", defaults={"role": "reviewer"})
    for flag in Flag.objects.order_by("rank")[:2]:
        perform("hold", user, flag.flag_id, uuid4(), flag.version, {"confirm": True})
    return 0


def _must(trial: Trial, work: Callable[[Trial], int]) -> None:
    code, _ = trial.child(lambda: work(trial))
    if code:
        raise RuntimeError(f"exit {code}: {trial.output()[-2000:]}")


def _with_database(trial: Trial) -> None:
    _must(trial, decide)


def _earlier(trial: Trial) -> None:
    from tests.earlier_lakes import back_to_format_0

    back_to_format_0(trial.home / "lake")


def _without(*names: str) -> Callable[[Trial], None]:
    def prepare(trial: Trial) -> None:
        for name in names:
            shutil.rmtree(trial.home / name, ignore_errors=True)

    return prepare


def _with_backup(trial: Trial) -> None:
    _with_database(trial)
    _must(trial, command("backup", "BACKUP"))


def _flagged(home: Path) -> str:
    rows = pq.read_table(max((home / "flags").glob("*.parquet"))).to_pylist()
    return str(next(row["member_id"] for row in rows if row["member_id"]))


def _erase(trial: Trial) -> int:
    member = (trial.home / "member").read_text(encoding="utf-8")
    return command("purge", "--until", NEXT_DAY, "--member", member)(trial)


def _erasure(trial: Trial) -> None:
    _with_database(trial)
    (trial.home / "member").write_text(_flagged(trial.home), encoding="utf-8")


def _no_home(trial: Trial) -> None:
    shutil.rmtree(trial.home)
    shutil.rmtree(trial.key_file.parent)


def _delete_new_backup(trial: Trial) -> None:
    shutil.rmtree(trial.folder / "new-backup", ignore_errors=True)


def originals(trial: Trial) -> dict[str, Any]:
    """What the vault opens to: nonces differ from run to run."""
    keys, opened = Keys.load(trial.key_file), {}
    for path in vault.files(trial.home / "vault"):
        for row in pq.read_table(path).to_pylist():
            original = vault._opened(keys.vault, **row)
            opened[f"{path.relative_to(trial.home)} {row['kind']} {row['ref']}"] = original and original.decode()
    return {"vault": opened, "former": len(keys.former)}


def database(trial: Trial) -> dict[str, Any]:
    """Rows by table of the reviewers' database, and how many findings the audit log has."""
    answer = trial.folder / "database.json"

    def work() -> int:
        _django(trial)
        from django.apps import apps

        from payeewatch.triage.records.audit import verify

        models = [each for each in apps.get_app_config("triage").get_models() if each.__name__ not in UNEQUAL]
        counts = {each.__name__: each._base_manager.count() for each in models}
        answer.write_text(json.dumps(counts | {"audit findings": len(verify().findings)}))
        return 0

    _must(trial, lambda _: work())
    return {"database": json.loads(answer.read_text(encoding="utf-8"))}


def both(trial: Trial) -> dict[str, Any]:
    return originals(trial) | database(trial)


def new_backup(trial: Trial) -> dict[str, Any]:
    files = (trial.folder / "new-backup" / "home" / folder for folder in FOLDERS)
    return {"backup": _files(trial.folder / "new-backup", files)}


def names(trial: Trial) -> dict[str, Any]:
    return {"names": sorted(str(path.relative_to(trial.folder)) for path in trial.home.rglob("*"))}


def champion(trial: Trial) -> dict[str, Any]:
    """The champion is whole, and scores: its arrays, and what `doctor --full` says."""
    code, _ = trial.child(lambda: command("doctor", "--full")(trial))
    arrays = sorted((trial.home / "mlflow").rglob("model.skops"))
    return {"doctor": code, "model": bool(arrays)}


PARTS = (
    Part("init", command("init"), _no_home, names, folders=()),
    Part("ingest", command("ingest", "--until", NEXT_DAY), end=originals),
    Part("train", command("train", "--as-of", "2024-09-22", "--promote"), _without("mlflow"), champion),
    Part("night", command("night", NEXT_DAY), end=originals),
    Part("purge", command("purge", "--until", LATER), _with_database, both),
    Part("erasure", _erase, _erasure, both),
    Part("migrate", command("migrate"), _earlier),
    Part("backup", command("backup", "NEW"), _with_database, new_backup, _delete_new_backup),
    Part("restore", command("restore", "BACKUP", "--replace"), _with_backup, both),
    Part("new keys", command("rotate-keys"), _with_database, both),
    Part("publish", tidy, end=database),
    Part("hand over", hand_over, _with_database, database),
)


def _files(root: Path, folders: Iterator[Path]) -> dict[str, bytes]:
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    wanted = (path for path in paths if path.name not in RANDOM and not path.name.endswith(".lock"))
    return {str(path.relative_to(root)): _same_bytes(path) for path in wanted}


def _same_bytes(path: Path) -> bytes:
    if path.suffix != ".json":
        return path.read_bytes()
    return json.dumps(_lasting(json.loads(path.read_bytes())), indent=1, sort_keys=True).encode()


def _lasting(value: Any) -> Any:
    """A JSON value without what changes from run to run."""
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in CHANGING}
    return value


def ends(part: Part, trial: Trial) -> dict[str, Any]:
    """Everything that must be the same after any disturbance."""
    files = _files(trial.home, (trial.home / folder for folder in part.folders))
    return files | part.end(trial)


def left(trial: Trial) -> list[str]:
    """Locks that are still taken, and unfinished files."""
    locks = [path for path in trial.home.rglob("*.lock") if is_locked(path)]
    parts = [*trial.home.rglob("*.part"), *trial.key_file.parent.glob("*.part")]
    return sorted(str(path.relative_to(trial.folder)) for path in (*locks, *parts))


def disturb(part: Part, trial: Trial, source: Path, ats: Sequence[int], *, kills: bool) -> dict[str, Any]:
    """One trial: what the disturbance gave, and how the end differs from an undisturbed one."""
    trial.fresh(source)
    seen: dict[str, Any] = {}
    code, wrong = 0, []
    for at in ats:
        code, seen = trial.child(lambda: part.work(trial), at, kills=kills)
        if not kills and code not in (0, 15):
            wrong.append(f"exit {code}")
        elif not kills and code == 15 and "/" not in trial.output():
            wrong.append("no path")
    said = "" if kills else trial.output()[-300:]
    part.before_again(trial)
    again, _ = trial.child(lambda: part.work(trial))
    if again:
        wrong.append(f"again: exit {again}: {trial.output()[-300:]}")
    return {"exit": code, "operation": seen.get("operation"), "path": seen.get("path"), "wrong": wrong, "said": said}


def part_of(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


def run_part(part: Part, home: Path, work: Path, todo: Callable[[int], Iterator[tuple[str, list[int]]]],
             until: float) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Every trial of a part that is still to be made, until a moment of `time.monotonic`."""
    trial, source = Trial(work / "trial"), work / part.name.replace(" ", "-")
    trial.folder.mkdir(exist_ok=True)
    os.environ.update(PAYEEWATCH_HOME=str(trial.home), PAYEEWATCH_KEY_FILE=str(trial.key_file),
                      PAYEEWATCH_NOW=f"{NEXT_DAY}T07:00")  # fmt: skip
    shutil.rmtree(source, ignore_errors=True)
    trial.fresh(home)
    part.prepare(trial)
    source.mkdir()
    trial.keep(source)
    code, seen = trial.child(lambda: part.work(trial))
    if code:
        raise RuntimeError(f"{part.name}: undisturbed it ends with {code}: {trial.output()[-2000:]}")
    import_all(seen["modules"])
    expected = ends(part, trial)
    for kind, ats in todo(seen["count"]):
        if time.monotonic() > until:
            return
        result = disturb(part, trial, source, ats, kills=kind == "kill")
        after = ends(part, trial)
        differ = sorted(name + _first_line(expected.get(name), after.get(name)) for name in {*after, *expected}
                        if after.get(name) != expected.get(name))  # fmt: skip
        yield {"part": part.name, "kind": kind, "at": ats, "of": seen["count"], **result, "differ": differ[:20],
               "left": left(trial)}  # fmt: skip


def _first_line(before: Any, after: Any) -> str:
    """The first line of a JSON file that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        return (
            f": {[(each, before.get(each), after.get(each)) for each in before if before[each] != after.get(each)][:3]}"
        )
    if not (isinstance(before, bytes) and isinstance(after, bytes) and before[:1] == b"{"):
        return ""
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((f": {one.strip()!r} {other.strip()!r}" for one, other in pairs if one != other), ": length")


def import_all(modules: Sequence[str]) -> None:
    """Import here what a process needed, so that those forked from this one need not."""
    if "payeewatch.triage.models" in modules:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
        import django

        django.setup()
    for name in modules:
        if name.split(".")[0] in IMPORTED and not name.endswith("__main__"):
            with suppress(Exception):
                importlib.import_module(name)


def plan(part: str, kills: int, every: int, seed: int) -> Callable[[int], Iterator[tuple[str, list[int]]]]:
    """Random kills, drawn from the seed, and a fault at each file operation (or at every so many)."""

    def todo(count: int) -> Iterator[tuple[str, list[int]]]:
        chance = random.Random(f"{part} {seed}")
        for number in range(kills):
            yield "kill", [chance.randrange(1, count + 1) for _ in range(2 if number % 3 == 2 else 1)]
        first = chance.randrange(every)
        for at in range(1 + first, count + 1, every):
            yield "fault", [at]

    return todo


def table(results: Sequence[dict[str, Any]]) -> str:
    """The table of all results, in Markdown."""
    lines = ["| command | file operations | kills | faults | ended 15 with a path, or 0 | same end when run again |"
             " locks or parts left |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in (part.name for part in PARTS):
        own = [each for each in results if each["part"] == name]
        if own:
            kinds = Counter({"kill": 0, "fault": 0})
            kinds.update(each["kind"] for each in own)
            faults = [each for each in own if each["kind"] == "fault"]
            good = sum(each["exit"] in (0, 15) and "no path" not in each["wrong"] for each in faults)
            same = sum(not each["differ"] and not any(w.startswith("again") for w in each["wrong"]) for each in own)
            remains = sum(bool(each["left"]) for each in own)
            lines.append(f"| {name} | {own[-1]['of']} | {kinds['kill']} | {kinds['fault']} | {good} of {len(faults)} |"
                         f" {same} of {len(own)} | {remains} |")  # fmt: skip
    return "\n".join(lines)


def write_table(results: Sequence[dict[str, Any]], page: Path = TABLE) -> None:
    before, rest = page.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    page.write_text(f"{before}{MARKS[0]}\n\n{table(results)}\n\n{MARKS[1]}{after}", encoding="utf-8")


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="A home with published nights of the tests' insurer.")
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS))
    parser.add_argument("--kills", type=int, default=25, help="Of each part; a third of them twice.")
    parser.add_argument("--every", type=int, default=1, help="A fault at every so many file operations.")
    parser.add_argument("--minutes", type=float, default=55, help="Of each part.")
    parser.add_argument("--out", type=Path, default=Path("harness.jsonl"))
    parser.add_argument("--table", action="store_true", help="Write the table into docs/reliability.md.")
    options = parser.parse_args(words)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    results = [json.loads(line) for line in lines]
    done = {(each["part"], each["kind"], tuple(each["at"])) for each in results}
    with tempfile.TemporaryDirectory() as folder, options.out.open("a", encoding="utf-8") as file:
        home = Path(folder) / "source"
        (home / "keys").mkdir(parents=True)
        shutil.copytree(options.home, home / "home")
        shutil.copy2(os.environ["PAYEEWATCH_KEY_FILE"], home / "keys" / "keys.json")
        for name in options.parts.split(","):
            every = plan(name, options.kills, options.every, 1)

            def todo(count: int, name: str = name, every: Any = every) -> Iterator[tuple[str, list[int]]]:
                return (each for each in every(count) if (name, each[0], tuple(each[1])) not in done)

            until = time.monotonic() + 60 * options.minutes
            for result in run_part(part_of(name), home, Path(folder), todo, until):
                results.append(result)
                file.write(json.dumps(result) + "\n")
                file.flush()
    if options.table:
        write_table(results)
    bad = [each for each in results if each["wrong"] or each["differ"] or each["left"]]
    print(json.dumps({"trials": len(results), "killed": KILLED, "date": str(date.today()), "bad": bad}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
