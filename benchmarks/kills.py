"""Commands killed at random file operations and run again: `python -m benchmarks.kills HOME --kills 40`.

Each kill is drawn from its number alone: the command (purge, erasure, restore) and the change of a file's name before
which it ends; every third one is killed once more. The home must then be the same, to the byte, as after an undisturbed
command. Results are kept line by line in `--out`: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
from click.testing import CliRunner

from payeewatch.__main__ import main as payeewatch

Expected = Mapping[str, tuple[int, dict[str, bytes]]]
"""Command -> how many changes it makes undisturbed, and the files that it leaves."""
COMMANDS = ("purge", "erasure", "restore")
FOLDERS = ("lake", "vault", "flags", "scores", "evidence", "runs", "reports", "holds", "releases", "outcomes")
LATER, NEXT_DAY = "2025-04-15", "2024-09-26"
"""Days of the demo insurer: every flag's time is over; the day after the last night."""


class Killed(BaseException):
    """Nothing may catch it."""


@dataclass
class Moments:
    """How many changes of files' names there were."""

    count: int = 0


@contextmanager
def killed_at(at: int | None) -> Iterator[Moments]:
    """End the block before its change number `at` of a file's name, as a kill would."""
    moments = Moments()

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *args: object, **kwargs: object) -> object:
            moments.count += 1
            if moments.count == at:
                raise Killed
            return real(path, *args, **kwargs)

        return call

    with (
        patch.object(Path, "replace", counting(Path.replace)),
        patch.object(Path, "unlink", counting(Path.unlink)),
        suppress(Killed),
    ):
        yield moments


@dataclass
class Trial:
    """A home and its key file, and the words of each command."""

    home: Path
    key_file: Path
    words: dict[str, list[str]] = field(default_factory=dict)

    def run(self, home: Path, command: str, at: int | None = None) -> int:
        """Run a command in a home, killed at the change number `at`; returns how many changes there were."""
        with killed_at(at) as moments:
            done(home, self.key_file, *self.words[command])
        return moments.count


def done(home: Path, key_file: Path, *words: str) -> None:
    """Run a command that must succeed."""
    environ = {"PAYEEWATCH_HOME": str(home), "PAYEEWATCH_KEY_FILE": str(key_file)}
    result = CliRunner().invoke(payeewatch, list(words), env=environ)
    if result.exit_code:
        raise RuntimeError(f"{words}: {result.output}")


def contents(home: Path) -> dict[str, bytes]:
    """Every file that a command leaves, but locks and what a purge counted."""
    files = (path for folder in FOLDERS for path in sorted((home / folder).rglob("*")) if path.is_file())
    wanted = (path for path in files if ".lock" not in path.name and "purge-" not in path.name)
    return {str(path.relative_to(home)): path.read_bytes() for path in wanted}


def prepare(home: Path, key_file: Path, work: Path) -> Trial:
    """What each command is called with: a member who is flagged, and a backup."""
    last = max((home / "flags").glob("*.parquet"))
    member = next(row["member_id"] for row in pq.read_table(last).to_pylist() if row["member_id"])
    done(home, key_file, "backup", str(work / "backup"))
    words = {
        "purge": ["purge", "--until", LATER],
        "erasure": ["purge", "--until", NEXT_DAY, "--member", member],
        "restore": ["restore", str(work / "backup"), "--replace"],
    }
    return Trial(home, key_file, words)


def kill(
    trial: Trial, work: Path, number: int, expected: Mapping[str, tuple[int, dict[str, bytes]]]
) -> dict[str, object]:
    """Kill a command, run it again, and compare the home with the one after an undisturbed command."""
    chance, command = random.Random(number), COMMANDS[number % len(COMMANDS)]
    moments, undisturbed = expected[command]
    home = work / "killed"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(trial.home, home, ignore=shutil.ignore_patterns("inbox"))
    kills = [chance.randrange(1, moments) for _ in range(2 if number % 9 < len(COMMANDS) else 1)]
    for at in kills:
        trial.run(home, command, at)
    trial.run(home, command)
    after = contents(home)
    differ = sorted(name for name in {*after, *undisturbed} if after.get(name) != undisturbed.get(name))
    return {"number": number, "command": command, "kills": kills, "differ": differ}


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="A home with published nights of the demo insurer; it is not changed.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("kills.jsonl"))
    options = parser.parse_args(words)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    with tempfile.TemporaryDirectory() as folder, options.out.open("a", encoding="utf-8") as file:
        work, key_file = Path(folder), Path(os.environ["PAYEEWATCH_KEY_FILE"])
        shutil.copytree(options.home, work / "home")
        trial, expected = prepare(work / "home", key_file, work), {}
        for command in COMMANDS:
            home = work / command
            shutil.copytree(trial.home, home, ignore=shutil.ignore_patterns("inbox"))
            expected[command] = (trial.run(home, command), contents(home))
        for number in range(len(lines), options.kills):
            lines.append(json.dumps(kill(trial, work, number, expected)))
            file.write(lines[-1] + "\n")
            file.flush()
    results = [json.loads(line) for line in lines]
    kills = Counter({name: sum(len(each["kills"]) for each in results if each["command"] == name) for name in COMMANDS})
    print({"kills": dict(kills), "differ": [each for each in results if each["differ"]]})


if __name__ == "__main__":
    main(sys.argv[1:])
