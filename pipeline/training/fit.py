"""Train: from measured changes of the past to a model. docs/model.md explains every step."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.pipeline.detector import drift_reference
from payeewatch.pipeline.detector.calibration import (
    TIE,
    Ages,
    Cell,
    References,
    TailMap,
    cell_name,
    cells,
    excess,
)
from payeewatch.pipeline.detector.drift_reference import DriftReference
from payeewatch.pipeline.detector.evidence import DOUBTFUL, Reader, Weights, segment_of, shipped
from payeewatch.pipeline.detector.forest import Forest
from payeewatch.pipeline.detector.lens import LENSES, PARTIES, AgeWeights, Group, Lens, gravity, total
from payeewatch.pipeline.detector.model import REQUIRED_COLUMNS, Model, record_of
from payeewatch.pipeline.detector.surprise import (
    Column,
    DetectorFeature,
    Floats,
    Ints,
    Tails,
    badness,
    badness_of,
    columns_of,
    safe_columns_of,
)
from payeewatch.pipeline.frames import change_keys
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.home.wording import sentence

FOLDS = 5
"""With too few changes to set some aside, they are scored in this many parts, each by a model fitted without it."""
FEWEST_IN_BAND = 50
"""An age with fewer changes takes its tails and maps from all ages."""
MOST_FITTED = 20_000
"""Changes that a forest and its maps are fitted on; more of them cost time and improve nothing."""
MOST_REFERENCES = 20_000
ROWS_AT_ONCE = 20_000
"""Rows of references that are read together; it limits the memory."""
NO_FEATURES, NO_DIFFERENCE = "it has no features", "none of its features differs between changes"
ONLY_RARITIES = "of its features only rarities differ between changes"
ABSENT = {
    NO_FEATURES: "lens_without_features",
    NO_DIFFERENCE: "lens_without_difference",
    ONLY_RARITIES: "lens_of_rarities",
}
"""Why a lens is absent, as the model stores it -> the warning's code."""
LEAST_SCALE_SHARE = 0.1
"""At one age, a power of ten is at least this share of the spread of the lens's scores over all ages."""
NO_SPREAD = 1e-9
LATEST_SHARE = 0.2
"""The share of the references that is tested against the earlier ones: are p-values right for later changes?"""


@dataclass(frozen=True)
class Sample:
    """Measured rows as arrays: one row per (change, age band), in the order of the changes' keys.

    All samples share one frame, and read their values from it when they are needed: a million members' changes measured
    at every age are a gigabyte.
    """

    frame: pd.DataFrame
    at: Ints  # where in the frame the rows are
    party: NDArray[np.object_]
    weights: AgeWeights
    band: Ints  # the nearest one
    change: Ints  # its key, drawn by hash
    payee_draw: Floats  # 0-1, drawn by hash: which payees are set aside

    def rows(self, chosen: NDArray[np.bool_]) -> Sample:
        return Sample(
            self.frame,
            self.at[chosen],
            self.party[chosen],
            self.weights.rows(chosen),
            self.band[chosen],
            self.change[chosen],
            self.payee_draw[chosen],
        )

    def column(self, name: str) -> pd.Series:
        return self.frame[name].iloc[self.at]

    @property
    def n_changes(self) -> int:
        return len(np.unique(self.change))


def train(
    frame: pd.DataFrame,
    params: Params,
    labels: Mapping[str, str] | None = None,
    *,
    as_of: date | None = None,
    features: Sequence[DetectorFeature] | None = None,
    weights: Weights | Literal["none"] | None = None,
) -> Model:
    """Fit the detector on a measured frame of past changes at several ages.

    Args:
        labels: change_id -> verdict. A change without one is unlabelled, not clean.
        as_of: the day whose knowledge the frame contains; by default its last as_of.
        features: by default, every registered feature.
        weights: what evidence is worth; by default, the weights that are shipped. With `none`, the score is the sum of
            the lenses' tails.

    Raises:
        ModelError: fewer than `train.min_changes` changes, or no feature tells them apart.
    """
    if features is None:
        from payeewatch.features import FEATURES

        features = tuple(FEATURES.values())
    missing = [
        name for name in (*REQUIRED_COLUMNS, "payee_id", *(feature.name for feature in features)) if name not in frame
    ]
    if missing:
        raise ModelError(f"training needs columns that were not measured: {', '.join(missing)}")
    as_of = as_of or (frame["as_of"].max().date() if len(frame) else None)
    dishonest = {change for change, verdict in (labels or {}).items() if verdict in FRAUD_VERDICTS}
    usable = np.flatnonzero(~frame["change_id"].isin(dishonest))
    n_changes = frame["change_id"].iloc[usable].nunique()
    if n_changes < params.train.min_changes or as_of is None:
        raise ModelError(
            f"{n_changes} changes to learn from; training needs {params.train.min_changes}: "
            "load more history, or train as of a later day"
        )
    ages = Ages.of(params.train.ages_days, params.observe.window_days, params.train.past_window_days)
    columns, safe_columns = columns_of(features, frame.iloc[usable]), safe_columns_of(features)
    sample = _sample(frame, usable, ages, params.seed)
    fitting, changed = (None, []) if weights == "none" else (weights or shipped()).fitting(features)
    fitter = Fitter(columns, safe_columns, ages, features, params, fitting)
    groups, references, usual, warnings = _groups_and_references(sample, fitter, as_of)
    if changed:
        warnings.append(sentence("weights_left_out", features=", ".join(changed)))
    judged = change_keys(
        sorted(change for change, verdict in (labels or {}).items() if verdict == HONEST_VERDICT), params.seed
    )
    honest = references.without_doubtful(DOUBTFUL, judged) if fitting else references
    learned_cells = cells(honest, PARTIES, ages, params.train.reference_min, MOST_REFERENCES)
    warnings += _short(learned_cells, ages, params.train.reference_min) + _silent(frame, usable, features)
    return Model(
        features=tuple(record_of(feature) for feature in features),
        columns=columns,
        safe_columns=safe_columns,
        ages=ages,
        groups=groups,
        cells=learned_cells,
        facts={
            "trained_as_of": as_of.isoformat(),
            "known_until": as_of.isoformat(),
            "seed": params.seed,
            "changes": n_changes,
            "left_out": len(dishonest & set(frame["change_id"])),
            "tie": TIE,
        },
        metrics=_metrics(sample, groups, honest, ages, params) | references.counts(honest, learned_cells),
        warnings=tuple(warnings),
        weights=fitting.at_home(usual, references.score, params.flag.base_rate) if fitting else None,
        references=references,
        drift=_drift_reference(sample, honest, learned_cells, ages, features, params.seed),
    )


def _drift_reference(
    sample: Sample,
    references: References,
    learned: Mapping[str, Cell],
    ages: Ages,
    features: Sequence[DetectorFeature],
    seed: int,
) -> DriftReference:
    """What the changes looked like at each age; scores and p-values are of those that were set aside."""
    derived = sample.column("derived").to_numpy(dtype=bool)
    values = ((each.name, sample.column(each.name).to_numpy(dtype=np.float64)) for each in features)
    p_value = np.ones(len(references.score))
    for name, cell in learned.items():
        party, kind, band = name.split("/")
        rows = (
            (references.party == party) & (references.derived == (kind == "derived")) & (references.band == int(band))
        )
        p_value[rows] = cell.p_values(references.compared[rows], references.change[rows])[0]
    scored = ((drift_reference.SCORE, references.score), (drift_reference.P_VALUE, p_value))
    parts = (
        drift_reference.learn(ages, sample.party, derived, sample.band, values),
        drift_reference.learn(ages, references.party, references.derived, references.band, scored),
    )
    return DriftReference(drift_reference.within(ages), seed, drift_reference.together(*parts))


@dataclass(frozen=True)
class Fitter:
    """Fits groups on samples."""

    columns: tuple[Column, ...]
    safe_columns: tuple[Column, ...]
    ages: Ages
    features: Sequence[DetectorFeature]
    params: Params
    weights: Weights | None

    def fit(self, sample: Sample) -> tuple[dict[str, Group], list[str]]:
        """A group for each party; a party with too few changes, or without a lens, gets the group of all."""
        groups: dict[str, Group] = {}
        warnings: list[str] = []
        everyone: Group | None = None
        for party in PARTIES:
            own = sample.rows(sample.party == party)
            if own.n_changes >= self.params.train.min_changes:
                group = self._group(own, party)
                if group.lenses:
                    groups[party] = group
                    warnings += [
                        sentence(ABSENT[why], payee_type=party, lens=name) for name, why in group.absent.items()
                    ]
                    continue
            everyone = everyone or self._group(sample, "all")
            groups[party] = everyone
            warnings.append(sentence("few_of_party", changes=own.n_changes, payee_type=party))
        if not all(group.lenses for group in groups.values()):
            raise ModelError("no feature tells the changes apart; nothing can be learned from them")
        return groups, warnings

    def _group(self, sample: Sample, party: str) -> Group:
        alike = self._alike(sample.band)
        tails = _tails(sample, alike, self.columns, self.columns)
        safe = _tails(sample, alike, self.safe_columns)
        usual = _medians(sample.frame, [sample.at[rows] for rows in alike], self.features)
        fitted = sample.rows(sample.change <= np.unique(sample.change)[:MOST_FITTED][-1])
        surprises = tails.surprise(badness(sample.frame, self.columns, fitted.at), fitted.band)
        # otherwise a forest would learn again how rare a list or a bank is, from a past that did not know it
        is_learned = np.array([not column.is_stated for column in self.columns], dtype=bool)
        lenses: dict[str, Lens] = {}
        absent: dict[str, str] = {}
        for name in LENSES:
            of_lens = np.array([at for at, column in enumerate(self.columns) if column.lens == name], dtype=np.int64)
            differing = of_lens[(np.ptp(surprises, axis=0) > 0)[of_lens]]
            varying = differing[is_learned[differing]]
            if len(varying):
                lenses[name] = self._lens(surprises, fitted.band, of_lens, varying, f"{party}/{name}")
            elif len(differing):
                absent[name] = ONLY_RARITIES
            else:
                absent[name] = NO_DIFFERENCE if len(of_lens) else NO_FEATURES
        return Group(tails, safe, usual, lenses, absent)

    def _alike(self, bands: Ints) -> list[NDArray[np.bool_]]:
        return [self.ages.alike(bands, band, FEWEST_IN_BAND) for band in range(len(self.ages.days))]

    def _lens(self, surprises: Floats, bands: Ints, columns: Ints, varying: Ints, name: str) -> Lens:
        train = self.params.train
        seed = (self.params.seed + zlib.crc32(name.encode())) % 2**31
        forest = Forest.grow(surprises[:MOST_FITTED, varying], train.trees, train.samples_per_tree, seed)
        paths = forest.path_lengths(surprises[:, varying])
        # so that the forest and the total have the same influence
        pull = total(gravity(surprises), columns)
        spread = float(pull.std())
        weight = float(paths.std()) / spread if spread > NO_SPREAD else 1.0
        raw = weight * pull - paths  # as in Lens.raw
        least_scale = LEAST_SCALE_SHARE * max(float(raw.std()), NO_SPREAD)
        maps = tuple(TailMap.learn(raw[rows], least_scale) for rows in self._alike(bands))
        return Lens(columns, varying, forest, weight, maps)


def _tails(
    sample: Sample, alike: Sequence[NDArray[np.bool_]], columns: Sequence[Column], stated: Sequence[Column] = ()
) -> Tails:
    """The tails of each column, read from the frame one at a time."""
    of_member = np.asarray(sample.party == "member", dtype=bool)

    def value_of(at: int) -> Floats:
        return badness_of(sample.frame, columns[at], sample.at, of_member)

    return Tails.learn_by_column(value_of, len(columns), sample.change, alike, stated)


def _groups_and_references(
    sample: Sample, fitter: Fitter, as_of: date
) -> tuple[dict[str, Group], References, Floats, list[str]]:
    """The fitted groups, recent references that they were not fitted on, and the mean points of each shape on all."""
    train = fitter.params.train
    held_back = sample.payee_draw < train.holdout_share
    n_held_back = sample.rows(held_back).n_changes
    if n_held_back >= 2 * train.reference_min:
        groups, warnings = fitter.fit(sample.rows(~held_back))
        scored = [_references(sample.rows(held_back), groups, fitter)]
    else:
        groups, warnings = fitter.fit(sample)
        warnings.append(sentence("few_changes", changes=sample.n_changes, parts=FOLDS))
        folds = np.minimum((sample.payee_draw * FOLDS).astype(np.int64), FOLDS - 1)
        scored = [
            _references(sample.rows(folds == fold), fitter.fit(sample.rows(folds != fold))[0], fitter)
            for fold in np.unique(folds)
            if (folds != fold).any()
        ]
    references = References.of([found for found, _, _ in scored])
    nights = np.concatenate([at for _, at, _ in scored])
    usual = total(np.column_stack([points for _, _, points in scored]), range(len(scored))) / max(len(nights), 1)
    since = np.datetime64(as_of - timedelta(days=train.recent_days))
    recent = references.rows(nights >= since)
    if recent.n_changes < min(train.reference_min, references.n_changes):
        warnings.append(sentence("few_recent", changes=recent.n_changes, days=train.recent_days))
        recent = references
    return groups, recent, usual, warnings


def _references(sample: Sample, groups: dict[str, Group], fitter: Fitter) -> tuple[References, NDArray[Any], Floats]:
    """The rows as references, their nights, and the sum of each shape's points over them."""
    score, forest = np.zeros(len(sample.band)), np.zeros(len(sample.band))
    weights = fitter.weights
    summed = np.zeros(len(weights.shapes) if weights else 0)
    steps = np.zeros((len(score), len(summed)), dtype=np.uint8)
    derived = sample.column("derived").to_numpy(dtype=bool)
    segment = segment_of(sample.party, derived)
    for party, group in groups.items():
        of_party = np.flatnonzero(sample.party == party)
        for first in range(0, len(of_party), ROWS_AT_ONCE):
            rows = of_party[first : first + ROWS_AT_ONCE]
            ages = sample.weights.rows(rows)
            values = badness(sample.frame, fitter.columns, sample.at[rows])
            surprises = group.tails.between(values, ages.below, ages.above, ages.weight)
            lenses = group.lens_tails(surprises, ages)
            forest[rows] = total(lenses, range(len(LENSES)))
            if weights is None:
                score[rows] = forest[rows]
                continue
            reader = Reader(weights.readings, fitter.columns, fitter.safe_columns)
            steps[rows] = weights.steps(reader.read(sample.frame, sample.at[rows], group, ages, surprises, lenses))
            points = weights.points(steps[rows])
            score[rows] = weights.score(points, segment[rows])
            summed += np.cumsum(points, axis=0)[-1]  # row by row: a sum in numpy's own order may differ in the last bit
    references = References(sample.change, sample.party, derived, sample.band, score, forest, steps)
    return references, sample.column("as_of").to_numpy(dtype="datetime64[us]"), summed


def _sample(frame: pd.DataFrame, usable: Ints, ages: Ages, seed: int) -> Sample:
    """The usable rows as arrays, one row per (change, band): the one measured nearest to the band's age."""
    usable_rows = frame[["change_id", "payee_id", "age_days", "as_of"]].iloc[usable]
    ids = usable_rows["change_id"].unique()
    keys = dict(zip(ids, change_keys(ids, seed), strict=True))
    age = usable_rows["age_days"].to_numpy(dtype=np.int64)
    band = ages.nearest(age)
    candidates = pd.DataFrame(
        {
            "change": usable_rows["change_id"].map(keys).to_numpy(),
            "band": band,
            "off": np.abs(age - np.asarray(ages.days)[band]),
            "as_of": usable_rows["as_of"].to_numpy(),
        }
    ).sort_values(["change", "band", "off", "as_of"], kind="stable")
    chosen = candidates[~candidates.duplicated(["change", "band"])].index.to_numpy()
    payees = usable_rows["payee_id"].iloc[chosen]
    draws = {payee: _draw(seed, payee) for payee in payees.unique()}
    at = usable[chosen]
    return Sample(
        frame=frame,
        at=at,
        party=frame["party"].iloc[at].to_numpy(dtype=object),
        weights=AgeWeights(*ages.around(age[chosen])),
        band=band[chosen],
        change=candidates["change"].loc[chosen].to_numpy(dtype=np.int64),
        payee_draw=payees.map(draws).to_numpy(dtype=np.float64),
    )


def _draw(seed: int, payee_id: str) -> float:
    """A number from 0 to 1 drawn by hash: the same for the same payee in every frame."""
    digest = hashlib.blake2b(f"{seed}:payee:{payee_id}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def _medians(frame: pd.DataFrame, rows: Sequence[Ints], features: Sequence[DetectorFeature]) -> Floats:
    """The median of each feature over each set of rows; null if it is never known."""
    out = np.full((len(rows), len(features)), np.nan)
    for at, feature in enumerate(features):
        values = frame[feature.name].to_numpy(dtype=np.float64)
        for number, of_rows in enumerate(rows):
            numbers = values[of_rows]
            numbers = numbers[~np.isnan(numbers)]
            if len(numbers):
                out[number, at] = np.median(numbers)
    return out


def _short(learned: Mapping[str, Cell], ages: Ages, fewest: int) -> list[str]:
    """A warning if there are few references within, or past, the window, even where they are pooled most widely."""
    warnings: list[str] = []
    for past, code in ((False, "few_references"), (True, "few_references_past")):
        bands = np.flatnonzero(ages.is_past == past)
        ends = tuple(f"/{band}" for band in bands)
        n = min((len(cell.scores) for name, cell in learned.items() if name.endswith(ends)), default=fewest)
        if n < fewest:
            days = {"days": ages.window_days} if past else {}
            warnings.append(sentence(code, references=n, wanted=fewest, least=1 / (n + 1), **days))
    return warnings


def _silent(frame: pd.DataFrame, usable: Ints, features: Sequence[DetectorFeature]) -> list[str]:
    """Which features tell no two changes apart: that feed may be missing, or the formula wrong."""
    silent: dict[str, list[str]] = {"features_without_values": [], "features_without_difference": []}
    is_member = frame["party"].iloc[usable].to_numpy() == "member"
    for feature in features:
        values = frame[feature.name].iloc[usable].to_numpy(dtype=np.float64)
        values = values[is_member] if feature.is_member_only else values
        known = values[~np.isnan(values)]
        if not len(known):
            silent["features_without_values"].append(feature.name)
        elif known.min() == known.max() and len(known) == len(values):
            silent["features_without_difference"].append(feature.name)
    return [sentence(code, features=", ".join(names)) for code, names in silent.items() if names]


def _metrics(
    sample: Sample,
    groups: Mapping[str, Group],
    references: References,
    ages: Ages,
    params: Params,
) -> dict[str, float]:
    metrics: dict[str, float] = {"changes": sample.n_changes, "payees": sample.column("payee_id").nunique()}
    for party, group in groups.items():
        metrics[f"changes.{party}"] = sample.rows(sample.party == party).n_changes
        metrics |= {f"lens.{party}.{name}": float(name in group.lenses) for name in LENSES}
    return {name: float(value) for name, value in metrics.items()} | _calibration(sample, references, ages, params)


def _calibration(sample: Sample, references: References, ages: Ages, params: Params) -> dict[str, float]:
    """How correct p-values of the latest references are, compared with the earlier ones. One row per change."""
    frame = pd.DataFrame({"change": sample.change, "as_of": sample.column("as_of").to_numpy()})
    first_seen = frame.groupby("change")["as_of"].min()
    by_first_night = first_seen[np.unique(references.change)].sort_values(kind="stable")
    latest = by_first_night.index[math.ceil(len(by_first_night) * (1 - LATEST_SHARE)) :].to_numpy()
    is_latest = np.isin(references.change, latest)
    if is_latest.all() or not is_latest.any():
        return {}
    earlier = cells(references.rows(~is_latest), PARTIES, ages, params.train.reference_min, MOST_REFERENCES)
    later = references.rows(is_latest)
    one = later.rows(later.band == _draw_bands(later))
    p_values = np.array(
        [
            earlier[cell_name(party, bool(derived), int(band))].p_values(one.compared[[at]], one.change[[at]])[0][0]
            for at, (party, derived, band) in enumerate(zip(one.party, one.derived, one.band, strict=True))
        ]
    )
    return {
        "calibration.ks": excess(p_values),
        "calibration.share_p05": float((p_values <= 0.05).mean()),
        "calibration.checked": float(len(p_values)),
    }


def _draw_bands(references: References) -> Ints:
    """For each row, the one band at which its change is checked; changes spread evenly over the bands they have."""
    frame = pd.DataFrame({"change": references.change, "band": references.band})
    counts = frame.groupby("change")["band"].transform("size").to_numpy()
    position = frame.groupby("change").cumcount().to_numpy()
    return np.where(position == references.change % counts, references.band, -1)
