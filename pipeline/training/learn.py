"""The parts of `payeewatch learn` around `corrected`: the verdicts known by a day, what the changes were like when they
were judged, and the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.measure import measure_named
from payeewatch.pipeline.changes.scope import focus_on_changes
from payeewatch.pipeline.detector import learned_versions, model_registry
from payeewatch.pipeline.detector.learned_versions import LearnedVersion
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.surprise import Floats
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT, Queue
from payeewatch.pipeline.home.errors import InputMissing, ModelError
from payeewatch.pipeline.home.runs import published_files, published_nights, read_run
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text
from payeewatch.pipeline.store.as_of import known_at_cutoff, last_decision
from payeewatch.pipeline.training.correct import Learned, Verdicts, corrected
from payeewatch.pipeline.training.training import learned_from

JUDGED = """
SELECT change_id, verdict, decided_at, known_at, decided_by FROM ({known})
WHERE decided_at <= $cutoff {last} ORDER BY change_id
"""

AUDITED = """
SELECT change_id, min(first_flagged_on) AS night FROM read_parquet([{files}]) SEMI JOIN judged USING (change_id)
WHERE queue = '{audit}' GROUP BY change_id
"""


@dataclass(frozen=True)
class Update:
    """What an update did. `model` has a version once it is registered; it is None if no new verdict was known."""

    champion: str
    as_of: date
    model: Model | None
    learned: Learned | None
    n_left_out: int  # verdicts of updates that were taken back

    @property
    def version(self) -> str | None:
        """The new version; None if nothing was registered."""
        is_registered = self.model and self.model.version != self.champion
        return self.model.version if self.model and is_registered else None


def learn(session: Session, as_of: date, *, dry_run: bool = False) -> Update:
    """Correct the champion by the verdicts known on a day, for the nights after it.

    Raises:
        InputMissing: no night is published up to that day.
        ModelError: no champion, one that knows more than the day, or one without weights or references.
    """
    settings = session.settings
    if not any(night <= as_of for night in published_nights(settings)):
        raise InputMissing(f"no night up to {as_of} is published; run payeewatch night {as_of} first")
    champion = model_registry.load_with_references(settings)
    model_registry.check(champion, as_of)
    link_and_derive(session)
    session.lake_cache.register()
    judged = judged_changes(session, as_of)
    taken_back = [each for each in learned_versions.all_versions(settings) if each.is_taken_back]
    is_left_out = _is_left_out(judged, taken_back)
    judged, n_left_out = judged[~is_left_out], int(is_left_out.sum())
    before = [each for each in learned_versions.serving(settings, champion.version) if each.known_until < as_of]
    since = before[-1].known_until if before else date.min
    if not (judged["known_on"] > since).any():
        return Update(champion.version, as_of, None, None, n_left_out)
    with focus_on_changes(session, judged["change_id"].tolist()):
        verdicts = _as_judged(session, champion, judged)
    with session.stage("learn") as facts:
        model, learned = corrected(champion, verdicts, settings.params)
        facts |= learned.counts
    model = model.known_until(as_of)
    if not dry_run:
        with session.stage("register") as facts:
            tags = {"verdicts": learned.counts["verdicts"]} | learned_from(session.lake, as_of)
            used = _used(settings)
            model = learned_versions.register_learned(settings, model, since, learned.metrics(), tags, used)
            pruned = learned_versions.prune_learned(settings, settings.params.learn.keep, used)
            facts |= {"version": model.version, "pruned": pruned}
    return Update(champion.version, as_of, model, learned, n_left_out)


def undo(session: Session, *, dry_run: bool = False) -> tuple[str, str]:
    """Take back the newest learned version of the champion. The verdicts that only it had learned count no more.

    Returns:
        the version taken back, and the one that nights use from now on.

    Raises:
        ModelError: there is no champion, or it has learned nothing.
    """
    settings = session.settings
    champion = model_registry.version_of(settings)
    *before, newest = [None, *learned_versions.serving(settings, champion)]
    if newest is None:
        raise ModelError(f"the champion, version {champion}, has learned nothing from verdicts; nothing to take back")
    last = before[-1]
    if not dry_run:
        learned_versions.take_back(settings, newest, last.version if last else None, settings.today())
        session.log("take back", version=newest.version, in_force=last.version if last else champion)
    return newest.version, last.version if last else champion


def judged_changes(session: Session, as_of: date) -> pd.DataFrame:
    """change_id, is_fraud, night (the last one before the decision), known_on and decided_by (may be null) of changes:
    those whose last verdict, as known on a day, says fraud or honest, and was decided within `train.history_days`.
    """
    params = session.settings.params
    query = JUDGED.format(known=known_at_cutoff(session.con, "outcomes"), last=last_decision("change_id"))
    rows = session.con.execute(query, {"cutoff": params.cutoff(as_of)}).df()
    rows = rows[rows["verdict"].isin([*FRAUD_VERDICTS, HONEST_VERDICT])].reset_index(drop=True)
    days = {
        name: [params.day_of(at.to_pydatetime().replace(tzinfo=UTC)) for at in rows[name]]
        for name in ("decided_at", "known_at")
    }
    judged = pd.DataFrame(
        {
            "change_id": rows["change_id"],
            "is_fraud": rows["verdict"].isin(FRAUD_VERDICTS),
            "night": pd.Series([day - timedelta(days=1) for day in days["decided_at"]], dtype=object),
            "known_on": pd.Series(days["known_at"], dtype=object),
            "decided_by": rows["decided_by"].astype("string"),
        }
    )
    since = as_of - timedelta(days=params.train.history_days)
    return judged[judged["night"] >= since].reset_index(drop=True)


def _is_left_out(judged: pd.DataFrame, taken_back: Sequence[LearnedVersion]) -> np.ndarray:
    """The verdicts that an update had learned that was taken back, and the one before it had not."""
    spans = [(each.since, each.known_until) for each in taken_back]
    return np.array([any(since < day <= until for since, until in spans) for day in judged["known_on"]], dtype=bool)


def _as_judged(session: Session, champion: Model, judged: pd.DataFrame) -> Verdicts:
    """The judged changes as the night before each decision knew them; those that no night knew then are left out."""
    pairs = zip(judged["change_id"], judged["night"], strict=True)
    frame = measure_named(PlannedEngine(session.con), session.settings.params, pairs)
    frame = frame.assign(night=pd.Series(frame["as_of"].dt.date, dtype=object))
    rows = frame.merge(judged, on=["change_id", "night"], validate="one_to_one").sort_values("change_id")
    rows = rows.reset_index(drop=True)
    return Verdicts.of(champion, rows, _weights(session, rows))


def _weights(session: Session, judged: pd.DataFrame) -> Floats:
    """1, or for a change of the audit sample how many it stands for, at most `learn.audit_most`."""
    settings = session.settings
    files = published_files(settings, "flags")
    weight = np.ones(len(judged))
    if not files:
        return weight
    session.con.register("judged", judged[["change_id"]])
    try:
        query = AUDITED.format(files=", ".join(file_text(path) for path in files.values()), audit=str(Queue.AUDIT))
        drawn = dict(session.con.execute(query).fetchall())
    finally:
        session.con.unregister("judged")
    at = {change_id: at for at, change_id in enumerate(judged["change_id"])}
    for change_id, night in drawn.items():
        run = read_run(settings, night)
        probability = (run or {}).get("audit_probability")
        if probability:
            weight[at[change_id]] = min(1 / probability, settings.params.learn.audit_most)
    return weight


def _used(settings: Settings) -> set[str]:
    """The model versions of the published nights."""
    runs: list[Any] = [read_run(settings, night) for night in published_nights(settings)]
    return {str(run["model"]["version"]) for run in runs if run}
