"""When it is time to train again: on a schedule, and when the last night has drift. It only says; it trains nothing."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.promotions import Kind, history
from payeewatch.pipeline.detector.version_list import Version, versions
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.runs import last_published, read_run
from payeewatch.pipeline.home.settings import Settings

WHO = "payeewatch retrain"
"""Who proposes what is trained unattended: nobody's user name."""
AGAIN = 2
"""On drift, it is not trained again before so many times `retrain.compare_nights` have passed since."""


class Why(StrEnum):
    """Why it is time, or why not."""

    SCHEDULE = "schedule"
    DRIFT = "drift"
    ASKED = "asked"
    NOT_DUE = "not due"
    WAITS = "a proposal waits"


def training_day(settings: Settings) -> date:
    """The day as of which to train, so that the nights since can be compared.

    Raises:
        InputMissing: no night is published.
    """
    last = last_published(settings)
    if last is None:
        raise InputMissing("no night is published; run payeewatch night DAY first")
    return last - timedelta(days=settings.params.retrain.compare_nights)


def why_due(settings: Settings) -> Why:
    """Whether it is time to train again, as of the last published night.

    Raises:
        InputMissing, ModelError: no night is published; there is no champion.
    """
    params, day = settings.params.retrain, training_day(settings)
    champion = model_registry.version_of(settings)
    all_versions = versions(settings)
    if any(each.proposed for each in all_versions):
        return Why.WAITS
    age = (day - _last_trained(settings, champion, all_versions)).days
    if params.every_days and age >= params.every_days:
        return Why.SCHEDULE
    if params.on_drift and _has_drift(settings) and age >= AGAIN * params.compare_nights:
        return Why.DRIFT
    return Why.NOT_DUE


def _last_trained(settings: Settings, champion: str, all_versions: list[Version]) -> date:
    """The last day as of which a version was trained that somebody decided about, or that is the champion."""
    decided = {record.to for record in history(settings) if record.kind != Kind.PROPOSAL} | {champion}
    return max(date.fromisoformat(each.trained_as_of) for each in all_versions if each.version in decided)


def _has_drift(settings: Settings) -> bool:
    last = last_published(settings)
    run = (read_run(settings, last) if last else None) or {}
    return bool(run.get("drift", {}).get("keys"))
