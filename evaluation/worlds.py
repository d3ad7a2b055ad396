"""Synthetic insurers to evaluate on, each in its own folder: created, loaded, and measured for the upper bound."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.evaluation.truth import Truth, read_truth
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.changes.measure import measure_past
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.training import read_frame, save_frame

DROPS = 8
"""Daily drops after the history. Nights are replayed within the history too, which is loaded as it became known."""

DRAWN = "drawn"
"""In place of a tier: the insurer of `payeewatch.simulator.draws` with the world's seed."""

CODE_FOLDERS = ("evaluation", "features", "pipeline", "simulator")


@dataclass(frozen=True)
class World:
    """One synthetic insurer: its difficulty, its seed and its size."""

    folder: Path
    tier: str
    seed: int
    members: int
    days: int
    end: date
    cases_factor: float  # times the tier's rate of fraud

    def settings(self, ours: Settings) -> Settings:
        """Its own home and keys with our parameters."""
        environ = {"PAYEEWATCH_KEY_FILE": str(self.folder / "keys.json"), "PAYEEWATCH_PARAMS": str(ours.params_path)}
        return dataclasses.replace(Settings.load(self.folder / "home", environ), params=ours.params)

    def describe(self) -> dict[str, Any]:
        """Its parameters, and the code that created it."""
        return {name: str(value) for name, value in vars(self).items() if name != "folder"} | {"code": code_digest()}


@cache
def code_digest() -> str:
    """A digest of the code that creates, loads and measures a world: a world of other code is created again."""
    digest = hashlib.sha256()
    for package in CODE_FOLDERS:
        for path in sorted((Path(__file__).parent.parent / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def known_tiers() -> list[str]:
    """The simulator's tiers that are one insurer each."""
    from payeewatch.simulator.tiers import TIERS

    return [name for name, tier in TIERS.items() if tier.insurers == 1]


def make(world: World, ours: Settings) -> None:
    """Simulate and load a world, unless the same world already exists."""
    note = world.folder / "world.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) == world.describe():
        return
    shutil.rmtree(world.folder, ignore_errors=True)
    from payeewatch import simulator
    from payeewatch.simulator.draws import Draw, draw, figures_of

    drawn = draw(world.seed) if world.tier == DRAWN else Draw(world.tier)
    with figures_of(drawn):
        simulator.simulate(
            world.folder / "home", members=world.members, days=world.days, end=world.end, seed=world.seed,
            truth=world.folder / "truth", tier=drawn.tier, drops=1 if world.tier == DRAWN else DROPS, form="parquet",
            cases_factor=world.cases_factor,
        )  # fmt: skip
    # set-aside changes and the audit sample are drawn by token: fixed keys make a world's figures reproducible
    chance = random.Random(f"{world.tier} {world.seed}")  # nosec B311  # keys of synthetic people
    Keys.create(world.folder / "keys.json", chance.randbytes)
    with open_world(world, ours) as (session, truth):
        frame = check_promises(measure_past(PlannedEngine(session.con), session.settings.params, world.end))
        fraud = truth.units.set_index("change_id")["is_fraud"].reindex(frame["change_id"]).fillna(False)
        save_frame(frame.assign(is_fraud=fraud.to_numpy(dtype=bool)), world.folder / "learned.parquet")
    write_json(note, world.describe())


@contextmanager
def open_world(world: World, ours: Settings) -> Iterator[tuple[Session, Truth]]:
    """Open a session on a fully loaded world, and read its truth."""
    with opened(world.settings(ours)) as session:
        load_until(session, world.end)
        yield session, read_truth(session.con, world.folder / "truth")


def labelled_frame(world: World) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """A world's measured changes, and which of them were not honest: input of the supervised control."""
    frame = read_frame(world.folder / "learned.parquet")
    return frame.drop(columns="is_fraud"), frame["is_fraud"].to_numpy(dtype=bool)
