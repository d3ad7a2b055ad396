"""How many single flipped bits `payeewatch doctor --full` finds: `python -m benchmarks.flips HOME --flips 1000`.

Each flip is drawn from its number alone: its store, file, byte and bit. It is made in a copy of the home, looked for,
and taken back. Results are kept line by line in `--out`: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.oncall.doctor import FULL_CHECKS, examine

STORES = {
    "lake_is_as_written": ("lake/*/drop=*/*.parquet", "lake/loads/*.json", "lake/head.json"),
    "vault_is_as_written": ("vault/*/drop=*/*.parquet", "vault/contents.json"),
    "nights_are_as_written": ("flags/2*", "scores/2*", "evidence/2*", "holds/2*.csv", "runs/2*.json"),
    "models_are_as_registered": ("mlflow/artifacts/models/*/artifacts/**/*",),
}
"""The check that finds a flip -> the files that it is for."""


@dataclass(frozen=True)
class Flip:
    """One bit of one file, and whether it was found; `is_named`: with the name of the file or the model's folder."""

    number: int
    path: str
    byte: int
    bit: int
    is_found: bool
    is_named: bool


def flip(settings: Settings, number: int) -> Flip:
    """Flip a bit, look for it, and take it back."""
    chance = random.Random(number)
    patterns = [(name, pattern) for name, each in STORES.items() for pattern in each]
    name, pattern = patterns[number % len(patterns)]
    path = chance.choice([path for path in sorted(settings.home.glob(pattern)) if path.is_file() and _size(path)])
    content = path.read_bytes()
    byte, bit = chance.randrange(len(content)), chance.randrange(8)
    flipped = bytearray(content)
    flipped[byte] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        said = problems(settings, name)
    finally:
        path.write_bytes(content)
    is_named = any(str(path) in each or str(path.parents[2]) in each for each in said)
    return Flip(number, str(path.relative_to(settings.home)), byte, bit, bool(said), is_named)


def problems(settings: Settings, *names: str) -> list[str]:
    """What the full checks, or those of some names, find."""
    checks = [each for each in FULL_CHECKS if not names or each.name in names]
    return [problem for result in examine(settings, checks) for problem in result.problems]


def run(settings: Settings, flips: int, out: Path, say: Callable[[str], object]) -> Counter[str]:
    """Make the flips that `out` does not have yet. Returns how many of all were found, named and missed."""
    done = [Flip(**json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    with out.open("a", encoding="utf-8") as file:
        for number in range(len(done), flips):
            done.append(flip(settings, number))
            file.write(json.dumps(asdict(done[-1])) + "\n")
            file.flush()
            if not done[-1].is_named:
                say(f"not named: {done[-1]}")
    results = Counter({"flips": len(done), "found": sum(each.is_found for each in done)})
    return results + Counter({"named": sum(each.is_named for each in done)})


def _size(path: Path) -> int:
    return path.stat().st_size


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="A home with published nights; it is copied, and not changed.")
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("flips.jsonl"))
    options = parser.parse_args(words)
    copy = options.out.with_suffix(".home")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(options.home, copy, ignore=shutil.ignore_patterns("inbox"))
    try:
        print(dict(run(Settings.load(copy, os.environ), options.flips, options.out, print)))
    finally:
        shutil.rmtree(copy)


if __name__ == "__main__":
    main(sys.argv[1:])
