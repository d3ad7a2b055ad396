"""Score: how unusual every open change is tonight, and how seldom an honest one is as unusual."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector.evidence import EXPOSURE
from payeewatch.pipeline.detector.model import KEYS, Model
from payeewatch.pipeline.frames import are_among
from payeewatch.pipeline.home.errors import PayeeWatchError


def score(
    frame: pd.DataFrame,
    model: Model,
    weak: Collection[str] = (),
    exposure_features: Collection[str] | None = None,
    scored: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Score every change of a measured frame exactly once, in the frame's order.

    Args:
        weak: change_ids whose member is on a list by weak matches only (`WEAK_MATCHES`).
        exposure_features: features that come from breach lists; by default the registry's family `exposure`.
        scored: the result of `Model.score` for the frame, if it was computed before.

    Returns:
        The result of `Model.score`, and `p_value_unexposed`: the p-value if the weak matches did not count. It equals
        `p_value` if there are none, and the hold queue uses it.
    """
    if frame.duplicated(list(KEYS)).any():
        raise PayeeWatchError(f"{int(frame.duplicated(list(KEYS)).sum())} changes were measured twice for one night")
    scored = model.score(frame) if scored is None else scored
    without = scored["p_value"].to_numpy().copy()
    is_weak = are_among(frame["change_id"], weak)
    if is_weak.any():
        names = _exposure_features() if exposure_features is None else tuple(exposure_features)
        p_values = model.score(frame[is_weak], without=names, scored=scored[is_weak])["p_value"].to_numpy()
        # without a match, a change is never more unusual than with it
        without[is_weak] = np.maximum(without[is_weak], p_values)
    scored["p_value_unexposed"] = without
    if not np.isfinite(scored["score"]).all() or not scored["p_value"].between(0, 1, inclusive="right").all():
        raise PayeeWatchError("a change was not scored; the model is damaged")
    return scored


def _exposure_features() -> tuple[str, ...]:
    from payeewatch.features import FEATURES

    return tuple(name for name, feature in FEATURES.items() if feature.family == EXPOSURE)
