"""What a measured frame promises, from the registry of the features: their units, and what a null of each means."""

from __future__ import annotations

from concurrent.futures import Future

import pandas as pd

from payeewatch.features import FEATURES
from payeewatch.features.registry import Feature, Missing, Unit
from payeewatch.pipeline.changes.measure import IDENTITY
from payeewatch.pipeline.expectations import judge, judging
from payeewatch.pipeline.home.promises import NULLABLE, Bounds, Promise, Promises, promises

BOUNDS = {
    Unit.SHARE: Bounds(0, 1),
    Unit.YESNO: Bounds(0, 1),
    Unit.EUR: Bounds(),
    Unit.DAYS: Bounds(),
    Unit.RATIO: Bounds(),
    Unit.COUNT: Bounds(0),
    Unit.SURPRISE: Bounds(0),
    Unit.LEVEL: Bounds(0),
    Unit.YEARS: Bounds(0),
}
"""The smallest and the largest number that a feature of each unit may have."""

MEMBER, PROVIDER = "member", "provider"


def _promise(feature: Feature) -> Promise:
    may_be_null = feature.missing is Missing.UNKNOWN
    is_for_members = feature.is_member_only and not may_be_null
    return Promise(may_be_null, ("party", PROVIDER) if is_for_members else None, BOUNDS[feature.unit])


def measured_promises() -> Promises:
    """The promises of a measured frame, of the features registered now."""
    by_column = {
        "party": Promise(values=(MEMBER, PROVIDER)),
        "age_days": Promise(bounds=Bounds(0)),
        "channel": NULLABLE,  # of a change that nobody announced
        **{name: _promise(feature) for name, feature in FEATURES.items()},
    }
    return promises("measured changes", [*IDENTITY, *FEATURES], (("change_id", "as_of"),), by_column)


def broken_promises(frame: pd.DataFrame) -> Future[list[str]]:
    """The promises that a measured frame breaks, as text, when the check is complete."""
    return judging(measured_promises(), frame)


def check_promises(frame: pd.DataFrame) -> pd.DataFrame:
    """The measured frame, if it keeps its promises.

    Raises:
        BrokenPromise: a feature breaks its promise.
    """
    judge(measured_promises(), frame)
    return frame
