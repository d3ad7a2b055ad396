"""The scored nights of one insurer: what the product published, and how controls rank the same open changes.

The product runs as an insurer would run it, command by command, over a copy of what the insurer sends.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from payeewatch.evaluation.controls import Euros, Outliers, Scorecard, Supervised
from payeewatch.evaluation.replay import Detector, replay
from payeewatch.evaluation.truth import read_decided
from payeewatch.evaluation.yardstick.figures import Ranking
from payeewatch.evaluation.yardstick.insurer import Insurer, Truth, recognised
from payeewatch.evaluation.yardstick.reviewers import Reviewers
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.changes.measure import measure_past
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Params, Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.opening import opened

PRODUCT = "payeewatch"
EUROS, SCORECARD, FOREST, BOOSTING = "euros alone", "scorecard", "PyOD default forest", "boosting, full labels"
CONTROLS_RUN = (EUROS, SCORECARD, FOREST)
"""The controls that are run on every insurer; boosting only where there is a labelled sample."""
WITH_VERDICTS = f"{PRODUCT}, verdicts @{{}}"
"""The product that learns from the verdicts of so many reviews per 100,000 member payees and night."""
PUBLISHED = ("flags", "scores")
READ = ["change_id", "payee_id", "derived", "rank", "queue", "account_hint", "score", "p_value"]
SEED = 1

RANKED_BY = ("features", "pipeline", "evaluation/controls.py", "evaluation/replay.py", "evaluation/yardstick/nights.py",
             "evaluation/yardstick/reviewers.py")  # fmt: skip
"""The files on which the kept nights of an insurer depend."""


class StageFailed(PayeeWatchError):
    """A command of the product did not end well on an insurer."""


@cache
def code_digest(names: tuple[str, ...] = RANKED_BY) -> str:
    """A digest of files and folders of the code, with the parameters and weights among them."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for path in (root / name for name in names):
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()


def run(insurer: Insurer, work: Path, verdicts: Sequence[int] = ()) -> None:
    """Run product and controls over the insurer's nights, and keep what they say, unless it is there already.

    For each number in `verdicts`, the nights are run once more with so many reviews per 100,000 member payees.
    """
    folder = work / insurer.name
    for reviews in (None, *verdicts):
        kept, note = _kept(folder, reviews), {"code": code_digest(), "insurer": insurer.digest()}
        if _is_noted(kept / "nights.json", note):
            continue
        shutil.rmtree(kept, ignore_errors=True)
        home = kept / "home"
        insurer.give(home)
        # changes are set aside and audited by token: keys of its name make an insurer's figures reproducible
        Keys.create(kept / "keys.json", random.Random(insurer.name).randbytes)  # nosec B311  # of synthetic people
        if reviews is None:
            publish(home, *insurer.scored_nights())
            rank_with_controls(insurer, home).to_parquet(kept / "controls.parquet", index=False)
        else:
            publish_reviewed(home, insurer.truth(), reviews)
        for name in PUBLISHED:
            shutil.move(home / name, kept / name)
        shutil.rmtree(home)
        write_json(kept / "nights.json", note)


def publish(home: Path, first: date, last: date) -> None:
    """Load the history, train, and run the nights.

    Raises:
        StageFailed: a command did not end with 0.
    """
    _train(home, first - timedelta(days=1))
    _command(home, "night", "--from", str(first), "--to", str(last))


def publish_reviewed(home: Path, truth: Truth, reviews: int) -> None:
    """Likewise, night by night; the best-ranked flags of each are decided the next morning, and learned from.

    Raises:
        StageFailed: a command did not end with 0.
    """
    _train(home, truth.nights[0].date() - timedelta(days=1))
    reviewers = Reviewers(home, truth, reviews)
    has_new = False
    for night in truth.nights:
        _command(home, "night", str(night.date()))
        if has_new:
            _command(home, "learn", "--as-of", str(night.date()))
        flags = published(home / "flags" / f"{night.date()}.parquet")
        has_new = reviewers.decide(night, flags)


def _train(home: Path, as_of: date) -> None:
    _command(home, "init")
    _command(home, "ingest", "--until", str(as_of))
    _command(home, "train", "--as-of", str(as_of), "--promote")


def _kept(folder: Path, reviews: int | None) -> Path:
    """Where the nights are kept, without verdicts or with those of so many reviews."""
    return folder if reviews is None else folder.with_name(f"{folder.name}-verdicts-{reviews}")


def rank_with_controls(insurer: Insurer, home: Path) -> pd.DataFrame:
    """change_id, night and one column per control, for announced changes in their window that were not decided.

    The controls learn once, from the changes that the product was trained on. Past its window, a change is open as long
    as a payment to it is pending; such changes are many and old, and would use up the reviews of the controls.
    """
    first, last = insurer.scored_nights()
    detectors: list[Detector] = [named(Euros(), EUROS), Scorecard(), Outliers(FOREST, "IForest", SEED)]
    if insurer.sample:
        detectors.append(named(boosting(insurer.sample, home.parent), BOOSTING))
    with opened(_settings(home)) as session:
        load_until(session, last)
        rows = replay(session, first, last, (last - first).days + 1, detectors).rows
        params, decided = session.settings.params, read_decided(session.con)
    rows = rows[
        ~rows["derived"] & (rows["age_days"] <= params.observe.window_days) & ~are_decided(rows, decided, params)
    ]
    return rows[["change_id", *(each.name for each in detectors)]].assign(night=rows["as_of"])


def are_decided(rows: pd.DataFrame, decided: pd.DataFrame, params: Params) -> pd.Series:
    """Whether the insurer knew of a decision about each row's change (change_id) on its night (as_of)."""
    decided_at = decided.set_index("change_id")["decided_at"].reindex(rows["change_id"]).to_numpy("datetime64[us]")
    cutoffs = {night: params.cutoff(night.date()) for night in rows["as_of"].unique()}
    return pd.Series(decided_at <= rows["as_of"].map(cutoffs).to_numpy("datetime64[us]"), rows.index)


def boosting(sample: Insurer, work: Path) -> Supervised:
    """Boosting with the labels of every announced past change of a larger sample of the insurer."""
    home = work / "sample"
    sample.give(home)
    chance = random.Random(sample.folder.parent.name)  # nosec B311  # likewise
    Keys.create(work / "keys.json", chance.randbytes)
    last = max(date.fromisoformat(path.name) for path in (home / "inbox").iterdir() if path.is_dir())
    with opened(_settings(home)) as session:
        load_until(session, last)
        past = check_promises(measure_past(PlannedEngine(session.con), session.settings.params, last))
    shutil.rmtree(home)
    announced = past[~past["derived"]].dropna(axis="columns", how="all")  # boosting refuses a column without values
    return Supervised([announced], [announced["change_id"].isin(sample.dishonest()).to_numpy()], SEED)


def rankings(insurer: Insurer, truth: Truth, work: Path, verdicts: Sequence[int] = ()) -> list[Ranking]:
    """The product, and its controls, on the nights that `run` kept; last the product with verdicts."""
    folder = work / insurer.name
    controls = pd.read_parquet(folder / "controls.parquet")
    names = [name for name in controls.columns if name not in {"change_id", "night"}]
    return [
        _product(PRODUCT, folder, truth),
        *(_control(controls, name) for name in names),
        *(_product(WITH_VERDICTS.format(reviews), _kept(folder, reviews), truth) for reviews in verdicts),
    ]


def _product(name: str, folder: Path, truth: Truth) -> Ranking:
    flags, scores = (read_nights(folder / kind) for kind in PUBLISHED)
    hints = dict(zip(flags["change_id"], flags["account_hint"], strict=True))
    offered = recognised(flags[flags["queue"] != "audit"], truth, hints)
    return Ranking(name, offered, recognised(scores, truth, hints))


def read_nights(folder: Path) -> pd.DataFrame:
    """The published files of all nights, one after another."""
    frames = [pd.DataFrame(columns=READ).assign(night=pd.Series(dtype="datetime64[us]"))]
    frames += [frame for path in sorted(folder.glob("*.parquet")) if len(frame := published(path))]
    return pd.concat(frames[1:] or frames, ignore_index=True)


def published(path: Path) -> pd.DataFrame:
    """What is read of a night's flags or scores."""
    frame = pd.read_parquet(path)
    return frame[[name for name in READ if name in frame]].assign(night=pd.Timestamp(path.stem))


def named(detector: Detector, name: str) -> Detector:
    """The detector under the name it has in the table."""
    detector.name = name
    return detector


def _control(rows: pd.DataFrame, name: str) -> Ranking:
    """A control offers every change it ranks; equal ones go by their ids."""
    rows = rows.loc[np.isfinite(rows[name]), ["change_id", "night", name]].rename(columns={name: "score"})
    rows = rows.sort_values(["night", "score", "change_id"], ascending=[True, False, True], kind="stable")
    return Ranking(name, rows.assign(rank=rows.groupby("night").cumcount() + 1), rows)


def _is_noted(path: Path, note: dict[str, str]) -> bool:
    return path.exists() and json.loads(path.read_text(encoding="utf-8")) == note


def _settings(home: Path) -> Settings:
    return Settings.load(home, _environ(home))


def _environ(home: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("PAYEEWATCH_")}
    return others | {"PAYEEWATCH_HOME": str(home), "PAYEEWATCH_KEY_FILE": str(home.parent / "keys.json")}


def _command(home: Path, *words: str) -> None:
    """Run a command of the product in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "payeewatch", *words], env=_environ(home), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("payeewatch: ")] or ["no message"]
        raise StageFailed(f"{home.parent.name}: payeewatch {' '.join(words)} ended with {done.returncode}: {said[-1]}")
