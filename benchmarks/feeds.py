"""How often the feed watch cries wolf: the nights of some insurers, loaded one by one, with their stops and looks.

python benchmarks/feeds.py INSURER... [--simulate SEEDS] [--work FOLDER]
Each INSURER is a folder with inbox/ and breaches/. It is linked into a home of its own; nothing is trained.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from payeewatch import simulator
from payeewatch.pipeline.home.errors import FeedUnusual
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.wording import sentence
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session

DAYS_A_MONTH = 30.4


def main() -> None:
    """Print, for each insurer, stops and looks a month and what they were."""
    arguments = _arguments()
    for insurer in arguments.insurers:
        with _home(insurer) as home:
            _report(insurer.name, home, arguments.verbose)
    for seed in range(1, arguments.simulate + 1):
        with tempfile.TemporaryDirectory() as folder:
            simulator.simulate(
                Path(folder), members=arguments.members, days=730, seed=seed, truth=Path(folder) / "truth", drops=120
            )
            with _home(Path(folder)) as home:
                _report(f"simulated {seed}", home, arguments.verbose)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("insurers", nargs="*", type=Path)
    parser.add_argument("--simulate", type=int, default=0, help="So many insurers of our simulator.")
    parser.add_argument("--members", type=int, default=6_000)
    parser.add_argument("--verbose", action="store_true", help="Each look with its night.")
    return parser.parse_args()


@contextmanager
def _home(insurer: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        for name in ("inbox", "breaches", "reference"):
            if (insurer / name).exists():
                (home / name).symlink_to((insurer / name).resolve())
        if (insurer / "params.yaml").exists():
            shutil.copy(insurer / "params.yaml", home)
        yield home


def _report(name: str, home: Path, verbose: bool) -> None:
    key_file = home.parent / "keys.json"
    settings = Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(key_file)})
    Keys.create(key_file)
    days = sorted(path.name for path in (home / "inbox").iterdir())
    started = time.perf_counter()
    with opened(settings) as session:
        stops, looks = _nights(session, days)
    months = (len(days) - 1) / DAYS_A_MONTH
    print(
        f"{name}: {len(days) - 1} nights, {len(stops)} stops ({len(stops) / months:.2f} a month), {len(looks)} looks"
        f" ({len(looks) / months:.2f} a month), {time.perf_counter() - started:.0f} s",
        dict(Counter(code for _, code, _ in looks)),
        flush=True,
    )
    for day, _, text in [*stops, *(looks if verbose else ())]:
        print(f"    {day}  {text}", flush=True)


def _nights(session: Session, days: list[str]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    stops: list[tuple[str, str, str]] = []
    looks: list[tuple[str, str, str]] = []
    for day in days:
        night = date.fromisoformat(day)
        try:
            ingest(session, night)
        except FeedUnusual as stop:
            stops.append((day, "stop", str(stop)))
            session.accepts = {night: "benchmark"}
            ingest(session, night)
        for load in session.lake.loads():
            if load.kind == "drop" and load.day == night:
                for look in load.facts["feed"]["looks"]:
                    looks.append((day, look["code"], sentence(look["code"], **look["params"])))
    return stops, looks


if __name__ == "__main__":
    main()
