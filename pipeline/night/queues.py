"""Put a night's open changes into the queues: hold, review and the audit sample. docs/queues.md gives the reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from heapq import nsmallest
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from payeewatch.pipeline.changes.amounts import Amounts
from payeewatch.pipeline.changes.context import ChangeContext, exposures_by_change
from payeewatch.pipeline.frames import Row, are_among, day_of, instant_of, records, texts
from payeewatch.pipeline.home.codes import Queue, WhyNot
from payeewatch.pipeline.home.keys import Keys, token_of, tokens_of
from payeewatch.pipeline.home.settings import Flag, Params

Floats = npt.NDArray[np.float64]

SCORED = ("score", "p_value", "p_value_unexposed", "p_value_uncorrected", "chance", "forest", "age_days")
"""What the queues read of a change's scores."""

NORMAL_P90 = 1.2815515655446004
"""The 90th percentile of the normal distribution, in standard deviations."""

LEAST_ROOM = 10
"""From this capacity on, at least one place goes by the forests alone."""

EARLIER = {
    "flags": ["flag_id", "change_id", "queue", "first_flagged_on", "p_value", "score", "reasons", "reassuring"],
    "scores": ["change_id", "why_not"],
}
"""Folder -> the columns that are read from the night before."""


@dataclass(frozen=True)
class Queues:
    """A night's queues. `flags`: one mapping per flag, by rank; `ranks`: one row per scored change."""

    flags: list[Row]
    ranks: pd.DataFrame  # change_id, rank_before_cut, why_not, flag_id (null unless flagged)
    facts: dict[str, Any] = field(default_factory=dict)  # for the run record
    losses: pd.Series = field(default_factory=pd.Series)  # cents expected, of each scored change by its id

    def change_ids(self) -> list[str]:
        return [row["change_id"] for row in self.flags]


@dataclass
class Candidate:
    """One change on its way to a queue."""

    change_id: str
    flag_id: str
    p_value: float
    score: float
    loss_cents: int  # expected, see expected_loss_cents
    may_hold: bool
    is_worth_review: bool  # by its expected loss, and not too usual
    forest: float = -math.inf  # how unusual the forests find it, where that may give it a place; see forest_places
    is_scored: bool = True
    first_flagged_on: date | None = None
    earlier_queue: str = ""  # the queue of the night before
    queue: Queue | None = None
    why_not: WhyNot | None = None

    def order(self) -> tuple[int, float, str]:
        return (-self.loss_cents, -self.score, self.change_id)

    def forest_order(self) -> tuple[float, str]:
        return (-self.forest, self.change_id)


def capacity(params: Flag, payees: int) -> int:
    """How many new flags a night may make: as set, or by the number of payees."""
    if params.capacity is not None:
        return params.capacity
    return max(params.capacity_min, math.floor(params.capacity_per_10k_payees * payees / 10_000))


def forest_places(params: Flag, room: int, *, has_weights: bool) -> int:
    """How many of a night's new places go by the forests alone: kinds of fraud that nobody simulated have no weights.

    Without weights, the score itself goes by the forests.
    """
    if not has_weights or not params.forest_share:
        return 0
    return max(math.floor(params.forest_share * room), 1 if room >= LEAST_ROOM else 0)


def chance(p_values: Floats, base_rate: float) -> Floats:
    """How likely a change with this p-value is not honest, as far as a p-value alone can say.

    A p-value bounds the evidence: averaged over all alternatives under which p has a density x * p^(x - 1), the
    likelihood ratio is (1 - p + p ln p) / (p ln(p)^2). Bayes does the rest.
    """
    p = np.clip(p_values, 1e-12, 1 - 1e-6)
    log = np.log(p)
    ratio = (1 - p + p * log) / (p * log * log)
    likely: Floats = base_rate * ratio / (1 - base_rate + base_rate * ratio)
    return likely


def unreported(ages_days: Floats, params: Flag) -> Floats:
    """The share of frauds that nobody has reported at an age: victims miss their money, and complain.

    The delay is lognormal, with the median and the 90th percentile of `params`.
    """
    spread = math.log(params.reported_p90_days / params.reported_median_days) / NORMAL_P90
    deviations = np.log(np.maximum(ages_days, 1e-9) / params.reported_median_days) / spread
    reported = np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in deviations.ravel()])
    still: Floats = 1 - (1 - params.never_reported) * reported.reshape(deviations.shape)
    return still


def expected_loss_cents(
    p_values: Floats,
    at_risk_cents: npt.NDArray[np.int64],
    params: Flag,
    chances: Floats | None = None,
    ages_days: Floats | None = None,
) -> npt.NDArray[np.int64]:
    """Cents lost on average if nobody reviews: what can still be stopped, times the chance that it is not honest.

    `chances` are the model's own, by its weights; where there are none (null), the p-value says the chance. Of a change
    that is `ages_days` old and that nobody complained about, the odds are less, because most frauds would have been
    reported, and so is what it may still cost. Money already paid is not counted: a review does not bring it back.
    """
    likely = chance(p_values, params.base_rate)
    likely = likely if chances is None else np.where(np.isnan(chances), likely, chances)
    ages = np.zeros(len(p_values)) if ages_days is None else ages_days
    still = unreported(ages, params)
    likely = likely * still / (1 - likely + likely * still)
    further = params.usual_loss * 100 * 0.5 ** (ages / params.usual_loss_half_life_days)
    return np.rint(likely * (at_risk_cents + further)).astype(np.int64)


def flag(
    night: date,
    scores: pd.DataFrame,
    context: ChangeContext,
    amounts: Amounts,
    payees: int,
    params: Params,
    keys: Keys,
    earlier: pd.DataFrame | None = None,
    earlier_scores: pd.DataFrame | None = None,
    decision_inputs: pd.DataFrame | None = None,
) -> Queues:
    """Choose and rank a night's flags.

    Args:
        scores: change_id, p_value, score and age_days of every open change, and p_value_unexposed where a change has
            weak matches: its p-value without exposures. Without it such a change is not put on hold. If the model has
            weights, also chance and forest.
        context, amounts: of every change in `scores` and of those flagged earlier.
        payees: how many payees the insurer has, for the capacity.
        earlier, earlier_scores: the flags and scores of the last published night before this one, with the columns
            in EARLIER.
        decision_inputs: from `context.at_decision`, for the changes decided already.
    """
    rows = _rule_inputs(scores, context, amounts, decision_inputs)
    earlier_flags = {} if earlier is None else _earlier_flags(rows, earlier, keys)
    facts = _with_losses(rows, earlier_flags, params.flag)
    undecided_before = _undecided_before(earlier_scores)
    in_play = _is_in_play(facts, earlier_flags, undecided_before)
    candidates = _candidates(night, facts[in_play], earlier_flags, params, keys)
    _keep_out(candidates, undecided_before)
    room = capacity(params.flag, payees)
    by_forest = forest_places(params.flag, room, has_weights=bool(facts["chance"].notna().any()))
    audits = min(max(1, round(params.flag.audit_share * room)), room - 1) if params.flag.audit_share else 0
    _choose(candidates, room, audits, by_forest, params.flag)
    draw_facts = _draw_audit(night, candidates, facts[~in_play], audits, params, keys)
    by_change = {row["change_id"]: row for row in records(facts[facts["change_id"].isin(_ids_in_queue(candidates))])}
    in_queue = _by_rank([c for c in candidates if c.queue], params.flag)
    flags = [
        _flag_row(night, rank, candidate, by_change[candidate.change_id], earlier_flags)
        for rank, candidate in enumerate(in_queue, start=1)
    ]
    _add_exposures(flags, context)
    losses = facts.loc[facts["is_scored"]].set_index("change_id")["loss_cents"]
    counts = _counts(candidates, facts, room) | draw_facts
    return Queues(flags, _ranks(facts, candidates, params.flag), counts, losses)


def flag_id(keys: Keys, origin_id: str) -> str:
    """The id of a change's flag. It is made of the derived change that it took over, if any: both share one flag."""
    return "F-" + token_of(keys, "flag", origin_id)[:16]


def _earlier_flags(rows: pd.DataFrame, earlier: pd.DataFrame, keys: Keys) -> dict[str, Row]:
    """change_id -> the flag that it, or the derived change that it took over, had the night before."""
    before = {row["flag_id"]: row for row in records(earlier)}
    flagged = {row["change_id"] for row in before.values()}
    may_be = are_among(rows["change_id"], flagged) | (texts(rows["origin_id"]) != texts(rows["change_id"]))
    named = {row["change_id"]: flag_id(keys, row["origin_id"]) for row in records(rows[may_be])}
    return {change_id: before[name] for change_id, name in named.items() if name in before}


def _rule_inputs(
    scores: pd.DataFrame, context: ChangeContext, amounts: Amounts, decision_inputs: pd.DataFrame | None
) -> pd.DataFrame:
    """One row per change with all that the rules read, by change_id."""
    unknown = set(scores["change_id"].tolist()) - set(context.changes["change_id"].tolist())
    if unknown:
        raise ValueError(f"{len(unknown)} scored changes are not known on the night, such as {min(unknown)}")
    newest = context.exposures.groupby("change_id")["matched_at"].max()
    parts = [
        scores[[name for name in ("change_id", *SCORED) if name in scores]],
        amounts.by_change,
        context.decisions.rename(columns={"known_at": "decision_known_at"}),
        newest.rename("newest_exposure_at").reset_index(),
    ]
    parts += [] if decision_inputs is None else [decision_inputs]
    rows = context.changes.set_index("change_id", drop=False)
    for part in parts:
        rows = rows.join(part.set_index("change_id"), validate="one_to_one")
    for column in ("p_value_unexposed", "p_value_uncorrected", "decided_p", "decided_account"):
        if column not in rows:
            rows[column] = None
    for column in ("chance", "forest", "age_days"):
        rows[column] = rows[column].astype("float64") if column in rows else np.nan
    rows["age_days"] = rows["age_days"].fillna(np.inf)  # what is no longer scored is past its window
    for column in ("at_risk_cents", "paid_cents"):
        rows[column] = rows[column].fillna(0).astype("int64")
    rows["is_weak"] = are_among(rows.index, context.weakly_matched())
    return rows.sort_index()


def _with_losses(facts: pd.DataFrame, earlier_flags: dict[str, Row], params: Flag) -> pd.DataFrame:
    """The changes scored tonight or flagged before, by change_id, with the loss expected of each and what it may pass.

    One that is no longer scored keeps the score of the night before.
    """
    is_scored = facts["p_value"].notna().to_numpy()
    before = [earlier_flags.get(name) for name in texts(facts["change_id"])]
    for name in ("p_value", "score"):
        last = np.array([np.nan if row is None else row[name] for row in before], dtype=np.float64)
        facts[name] = np.where(is_scored, facts[name].to_numpy(dtype=np.float64), last)
    facts = facts.assign(is_scored=is_scored)[facts["p_value"].notna()]
    p_value, chances = facts["p_value"].to_numpy(), facts["chance"].to_numpy()
    ages = facts["age_days"].to_numpy()
    losses = expected_loss_cents(p_value, facts["at_risk_cents"].to_numpy(), params, chances, ages)
    has_chance = facts["chance"].notna().to_numpy()
    is_odd = has_chance & (facts["forest"] >= params.floor_forest).to_numpy()
    is_worth = (losses >= params.floor_loss * 100) & (p_value <= params.floor_p)
    return facts.assign(loss_cents=losses, is_worth_review=is_worth, forest=facts["forest"].where(is_odd, -np.inf))


def _may_be_chosen(facts: pd.DataFrame) -> pd.Series:
    return facts["is_worth_review"] | (facts["forest"] > -np.inf)


def _is_in_play(
    facts: pd.DataFrame, earlier_flags: dict[str, Row], undecided_before: set[str]
) -> npt.NDArray[np.bool_]:
    """Which changes to examine one by one: those that may be chosen, and those with a past."""
    has_a_past = (
        facts["superseded_by"].notna() | facts["decided_at"].notna() | are_among(facts["change_id"], earlier_flags)
    )
    in_play = _may_be_chosen(facts) | has_a_past | are_among(facts["change_id"], undecided_before)
    return in_play.to_numpy(dtype=bool)


def _candidates(
    night: date, facts: pd.DataFrame, earlier_flags: dict[str, Row], params: Params, keys: Keys
) -> list[Candidate]:
    """The changes as candidates, each with the queue it may enter."""
    candidates = []
    for row in records(facts):
        candidate = Candidate(
            change_id=row["change_id"],
            flag_id=flag_id(keys, row["origin_id"]),
            p_value=row["p_value"],
            score=row["score"],
            loss_cents=row["loss_cents"],
            may_hold=row["is_scored"] and _may_hold(night, row, params.flag),
            is_worth_review=row["is_worth_review"],
            forest=row["forest"],
            is_scored=row["is_scored"],
        )
        _set_status(night, candidate, row, earlier_flags.get(row["change_id"]), params)
        candidates.append(candidate)
    return candidates


def _may_hold(night: date, row: Row, params: Flag) -> bool:
    """Whether money leaves soon and the change is unusual enough, even without its exposures if a match is weak."""
    leaves = day_of(row["next_payment_on"])
    p_value = row["p_value_unexposed"] if row["is_weak"] else row["p_value"]
    soon = leaves is not None and leaves <= night + timedelta(days=params.hold_within_days)
    return soon and not pd.isna(p_value) and p_value <= params.hold_p


def _set_status(night: date, candidate: Candidate, row: Row, earlier_flag: Row | None, params: Params) -> None:
    """Say whether the change is in the queue already, may enter it, or why not."""
    first_on = day_of(earlier_flag["first_flagged_on"]) if earlier_flag else None
    decided_at, known_at = instant_of(row["decided_at"]), instant_of(row["decision_known_at"])
    if not pd.isna(row["superseded_by"]):
        candidate.why_not = WhyNot.SUPERSEDED
    elif first_on and not (known_at and known_at > params.cutoff(first_on)):
        if (night - first_on).days >= params.flag.undecided_days:
            candidate.why_not = WhyNot.UNDECIDED
        else:
            candidate.first_flagged_on, candidate.earlier_queue = first_on, str((earlier_flag or {})["queue"])
    elif decided_at and not _has_new_evidence(row, decided_at, params.flag):
        candidate.why_not = WhyNot.DECIDED
    elif not candidate.is_worth_review and candidate.forest == -math.inf:
        candidate.why_not = WhyNot.FLOOR


def _keep_out(candidates: list[Candidate], undecided_before: set[str]) -> None:
    """A flag that nobody decided in time does not come back as a new one the night after."""
    for candidate in candidates:
        if candidate.change_id in undecided_before and candidate.why_not in (None, WhyNot.FLOOR):
            candidate.why_not = WhyNot.UNDECIDED


def _undecided_before(earlier_scores: pd.DataFrame | None) -> set[str]:
    """The changes that nobody had decided in time the night before."""
    if earlier_scores is None:
        return set()
    return set(earlier_scores.loc[earlier_scores["why_not"] == str(WhyNot.UNDECIDED), "change_id"].tolist())


def _has_new_evidence(row: Row, decided_at: datetime, params: Flag) -> bool:
    """Another account, a new payment to it, a new exposure, or a p-value many times smaller than at the decision.

    The two p-values are of the champion without what it learned from verdicts.
    """
    account, p_value = row["decided_account"], row["decided_p"]
    p_now: float = row["p_value"] if pd.isna(row["p_value_uncorrected"]) else row["p_value_uncorrected"]
    later = (instant_of(row["newest_payment_at"]), instant_of(row["newest_exposure_at"]))
    return (
        (not pd.isna(account) and account != row["new_account"])
        or any(at is not None and at > decided_at for at in later)
        or (row["is_scored"] and not pd.isna(p_value) and p_now * params.reflag_p_ratio <= p_value)
    )


def _choose(candidates: list[Candidate], room: int, audits: int, by_forest: int, params: Flag) -> None:
    """Give queues: holds first, then review, within the capacity that the audit sample leaves.

    The last `by_forest` places go to the changes that the forests find most unusual, of those not chosen before.
    """
    free = room - audits
    holds = 0 if not params.hold_share else max(1, math.floor(params.hold_share * room))
    eligible = sorted((c for c in candidates if c.why_not is None), key=Candidate.order)
    for candidate in eligible:
        if candidate.may_hold and candidate.earlier_queue == Queue.HOLD:
            candidate.queue = Queue.HOLD
        elif candidate.may_hold and holds and (candidate.earlier_queue or free):
            candidate.queue = Queue.HOLD
            holds -= 1
            free -= not candidate.earlier_queue
    for candidate in eligible:
        if candidate.queue is None and candidate.earlier_queue:
            candidate.queue = Queue.AUDIT if candidate.earlier_queue == Queue.AUDIT else Queue.REVIEW
    new = [c for c in eligible if c.queue is None]
    worth = [c for c in new if c.is_worth_review]
    first = worth[: max(free - by_forest, 0)]
    chosen = {c.change_id for c in first}
    others = (c for c in new if c.change_id not in chosen and c.forest > -math.inf)
    unusual = sorted(others, key=Candidate.forest_order)[: min(by_forest, free)]
    chosen |= {c.change_id for c in unusual}
    rest = [c for c in worth if c.change_id not in chosen]
    for candidate in (*first, *unusual, *rest[: free - len(chosen)]):
        candidate.queue = Queue.REVIEW
    for candidate in new:
        if candidate.queue is None:
            candidate.why_not = WhyNot.CAPACITY


def _draw_audit(
    night: date, candidates: list[Candidate], others: pd.DataFrame, sample_size: int, params: Params, keys: Keys
) -> Row:
    """Draw from below the cut, each with the same known probability, by keyed hash: nobody can predict which.

    `others` are all below the cut; those of them that are drawn become candidates. Returns the facts of the draw.
    """
    below = [c.change_id for c in candidates if c.is_scored and c.why_not in (WhyNot.FLOOR, WhyNot.CAPACITY)]
    below += others.index.tolist()
    lots = tokens_of(keys, "audit", (f"{night}|{change_id}" for change_id in below))
    drawn = [change_id for _, change_id in nsmallest(sample_size, zip(lots, below, strict=True))]
    candidates += _candidates(night, others[others.index.isin(drawn)], {}, params, keys)
    for candidate in candidates:
        if candidate.change_id in drawn:
            candidate.queue, candidate.why_not = Queue.AUDIT, None
    return {
        "audit_population": len(below),
        "audit_drawn": len(drawn),
        "audit_probability": len(drawn) / len(below) if below else None,
    }


def _by_rank(flagged: list[Candidate], params: Flag) -> list[Candidate]:
    """Hold and review together, by expected loss, with places for the forests; the audit sample after them."""
    in_order = sorted(flagged, key=Candidate.order)
    chosen = [c for c in in_order if c.queue is not Queue.AUDIT]
    ranked = [chosen[place] for place in interleaved([c.forest for c in chosen], params)]
    return ranked + [c for c in in_order if c.queue is Queue.AUDIT]


def interleaved(forest: Sequence[float], params: Flag) -> list[int]:
    """The positions of an order, with every (1 / `forest_share`)-th place given to the most unusual of those still to
    come, as the forests see it. Those at minus infinity stay where they are."""
    unusual = sorted((at for at in range(len(forest)) if forest[at] > -math.inf), key=lambda at: -forest[at])
    every = round(1 / params.forest_share) if params.forest_share else 0
    if not unusual or not every:
        return list(range(len(forest)))
    by_loss, by_forest = iter(range(len(forest))), iter(unusual)
    placed: dict[int, None] = {}
    for place in range(1, len(forest) + 1):
        following = [by_forest, by_loss] if place % every == 0 else [by_loss]
        placed[next(at for order in following for at in order if at not in placed)] = None
    return list(placed)


def _ids_in_queue(candidates: list[Candidate]) -> set[str]:
    return {candidate.change_id for candidate in candidates if candidate.queue}


def _flag_row(night: date, rank: int, candidate: Candidate, row: Row, earlier_flags: dict[str, Row]) -> Row:
    earlier_flag = earlier_flags.get(candidate.change_id, {})
    first_on = candidate.first_flagged_on or night
    keep = {} if candidate.is_scored else {name: earlier_flag.get(name) for name in ("reasons", "reassuring")}
    return {
        "night": night,
        "first_flagged_on": first_on,
        "is_new": first_on == night,
        "flag_id": candidate.flag_id,
        "change_id": candidate.change_id,
        "origin_id": row["origin_id"],
        "derived": bool(row["derived"]),
        **{name: _or_none(row[name]) for name in ("member_id", "household_id", "payee_id", "payee_type")},
        "account": row["new_account"],
        "account_hint": row["account_hint"],
        "queue": str(candidate.queue),
        "rank": rank,
        "score": candidate.score,
        "p_value": candidate.p_value,
        "age_days": row["age_days"],
        "p_value_uncorrected": _or_none(row["p_value_uncorrected"]),
        "at_risk_cents": int(row["at_risk_cents"]),
        "paid_cents": int(row["paid_cents"]),
        "first_payment_on": day_of(row["first_payment_on"]),
        "exposures": [],
        **keep,
    }


def _add_exposures(flags: list[Row], context: ChangeContext) -> None:
    by_change = exposures_by_change(
        context.exposures[context.exposures["change_id"].isin({f["change_id"] for f in flags})]
    )
    for row in flags:
        row["exposures"] = by_change.get(row["change_id"], [])


def _ranks(facts: pd.DataFrame, candidates: list[Candidate], params: Flag) -> pd.DataFrame:
    """Where every scored change stood before the cut: those that may be chosen first, then by expected loss.

    Those that may are interleaved with what the forests find most unusual, as the review queue is.
    """
    scored = facts[facts["is_scored"]]
    may_be = _may_be_chosen(scored).to_numpy(dtype=bool)
    loss, score = (scored[name].to_numpy() for name in ("loss_cents", "score"))
    order = np.lexsort((-score, -loss, ~may_be))
    first = order[: int(may_be.sum())]
    order[: len(first)] = first[interleaved(scored["forest"].to_numpy()[first].tolist(), params)]
    change_ids = scored["change_id"].to_numpy()[order].tolist()
    of_change = {c.change_id: c for c in candidates}
    in_order = [of_change.get(change_id) for change_id in change_ids]
    return pd.DataFrame(
        {
            "change_id": pd.Series(change_ids, dtype="str"),  # text, even where there is none
            "rank_before_cut": np.arange(1, len(scored) + 1, dtype="int64"),
            "why_not": [str(WhyNot.FLOOR) if c is None else str(c.why_not) if c.why_not else None for c in in_order],
            "flag_id": [c.flag_id if c and c.queue else None for c in in_order],
        }
    )


def _counts(candidates: list[Candidate], facts: pd.DataFrame, room: int) -> Row:
    flagged = [c for c in candidates if c.queue]
    new = [c for c in flagged if not c.earlier_queue]
    return {
        "open_changes": int(facts["is_scored"].sum()),
        "capacity": room,
        "flagged": len(flagged),
        "new": len(new),
        "carried_over": len(flagged) - len(new),
        **{f"new_{queue}": sum(c.queue is queue for c in new) for queue in Queue},
        **{str(queue): sum(c.queue is queue for c in flagged) for queue in Queue},
        "beyond_capacity": sum(c.why_not is WhyNot.CAPACITY for c in candidates),
        "decided": sum(c.why_not is WhyNot.DECIDED for c in candidates),
    }


def _or_none(value: Any) -> Any:
    return None if pd.isna(value) else value
