"""What wrong and hostile verdicts cost each kind of fraud, and what right ones teach, under several bounds.

    python -m benchmarks.hostile_verdicts --seeds 8
    python -m benchmarks.hostile_verdicts --seeds 8 --beside-right

Changes are made up: three kinds of fraud show in two groups of evidence each, and each is attacked in turn. Printed is
by how much the recall of the attacked kind falls beside the champion's, or beside what right verdicts would have
taught: the mean over kinds and seeds, and the worst. Then by how much average precision rises with right verdicts,
where evidence is worth what the champion says, and where not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from payeewatch.pipeline.detector.learning import NOBODY, Bools, Correction, Judged, Unjudged, correction
from payeewatch.pipeline.detector.surprise import Floats, Ints
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Learn, Params

KINDS, GROUPS = 3, 6
WORTH = 0.6
"""Points of a standard deviation of evidence."""
VERDICTS, LATER = 1500, 60_000
AMONG_JUDGED, AMONG_ALL = 0.12, 0.02
"""The share of frauds among what was judged, and among later changes."""
REVIEWED = 0.04
"""The share of the later changes that is reviewed: the highest scores."""
AS_SAID = (1.8, 1.8, 1.8)
"""By how many standard deviations a kind's evidence is higher in its frauds: all as the champion has it."""
OTHERWISE = (2.6, 1.8, 0.6)
GAINS = {"gain as said": (AS_SAID, True), "gain otherwise": (OTHERWISE, True), "... not named": (OTHERWISE, False)}
BOUNDS = {"0.7 to 2": (0.7, 2.0), "0.7 to 1.5": (0.7, 1.5), "0.8 to 2": (0.8, 2.0),
          "0.8 to 1.25": (0.8, 1.25), "1 to 2": (1.0, 2.0)}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Judged changes, and the kind of each one that is a fraud."""

    rows: Judged
    kinds: Ints

    def of(self, kind: int) -> Bools:
        """The frauds of a kind."""
        frauds: Bools = self.rows.is_fraud & (self.kinds == kind)
        return frauds


Attack = Callable[[World, int], Judged]


def with_kinds(changes: int, draw: np.random.Generator, frauds: float, shifts: tuple[float, ...] = AS_SAID) -> World:
    """Changes of which some are frauds of three kinds; the reviewers and weeks of a team of five."""
    is_fraud, kinds = draw.random(changes) < frauds, draw.integers(0, KINDS, changes)
    points = draw.normal(0, 1.0, (changes, GROUPS))
    for kind, shift in enumerate(shifts):
        points[:, 2 * kind : 2 * kind + 2] += shift * (is_fraud & (kinds == kind))[:, None]
    points *= WORTH
    reviewer = draw.permutation(changes) % 5
    return World(
        Judged(
            change=draw.permutation(changes).astype(np.int64), points=points, score=points.sum(axis=1) - 3,
            segment=draw.integers(0, 3, changes), is_fraud=is_fraud, weight=np.ones(changes),
            week=1 + np.arange(changes) % 20, reviewer=reviewer,
        ),
        kinds,
    )  # fmt: skip


def unjudged(changes: int = 1000) -> Unjudged:
    """Honest changes: what evidence says of them is below what is usual among those that are reviewed."""
    points = np.random.default_rng(3).normal(0, WORTH, (changes, GROUPS))
    points -= points.mean(axis=0)
    return Unjudged(points, points.sum(axis=1) - 3, np.arange(changes) % 3)


def at_random(world: World, kind: int) -> Judged:
    """A fifth of all verdicts is the wrong one."""
    rows = world.rows
    return replace(rows, is_fraud=rows.is_fraud ^ (np.random.default_rng(8).random(len(rows.change)) < 0.2))


def of_one_reviewer(world: World, kind: int) -> Judged:
    """Somebody who does a fifth of the work calls every fraud of a kind honest, and as many honest ones fraud."""
    return _hostile(world, kind, world.rows.reviewer == 0)


def of_nobody_named(world: World, kind: int) -> Judged:
    """The same, where verdicts do not say who judged."""
    return replace(of_one_reviewer(world, kind), reviewer=np.full(len(world.kinds), NOBODY))


def of_half_of_it(world: World, kind: int) -> Judged:
    """The same by somebody who does a tenth of the work."""
    own = (world.rows.reviewer == 0) & (np.arange(len(world.kinds)) % 2 == 0)
    return replace(_hostile(world, kind, own), reviewer=np.full(len(world.kinds), NOBODY))


def of_one_week(world: World, kind: int) -> Judged:
    """A fifth of all verdicts comes from one week, and in it every fraud of a kind is called honest."""
    week = np.where(world.rows.reviewer == 1, 0, world.rows.week)
    return replace(world.rows, week=week, is_fraud=world.rows.is_fraud & ~((week == 0) & world.of(kind)))


def of_everybody(world: World, kind: int) -> Judged:
    """Every fraud of a kind is called honest."""
    return replace(world.rows, is_fraud=world.rows.is_fraud & ~world.of(kind))


def _hostile(world: World, kind: int, own: Bools) -> Judged:
    """Own verdicts on frauds of a kind are turned, and those on as many honest changes: the least like that kind."""
    rows = world.rows
    silenced, honest = own & world.of(kind), np.flatnonzero(own & ~rows.is_fraud)
    of_kind = rows.points[honest][:, 2 * kind : 2 * kind + 2].sum(axis=1)
    accused = honest[np.argsort(of_kind, kind="stable")[: int(silenced.sum())]]
    return replace(rows, is_fraud=rows.is_fraud ^ (silenced | np.isin(np.arange(len(own)), accused)))


ATTACKS: dict[str, Attack] = {
    "at random": at_random,
    "one reviewer": of_one_reviewer,
    "not named": of_nobody_named,
    "a tenth, not named": of_half_of_it,
    "one week": of_one_week,
    "everybody": of_everybody,
}


def falls(attack: Attack, bounds: Learn, seed: int, *, beside_right: bool = False) -> Iterator[float]:
    """For each kind, how much less of it is found after the attack than by the champion, or with right verdicts."""
    draw, others = np.random.default_rng(seed), unjudged()
    judged, later = with_kinds(VERDICTS, draw, AMONG_JUDGED), with_kinds(LATER, draw, AMONG_ALL)
    for kind in range(KINDS):
        bad = attack(judged, kind)
        good = replace(bad, is_fraud=judged.rows.is_fraud)
        learned = correction(bad, others, 0.0, bounds)
        other = correction(good, others, 0.0, bounds) if beside_right else Correction.none(GROUPS)
        yield recall(later, kind, other, others) - recall(later, kind, learned, others)


def gain(shifts: tuple[float, ...], bounds: Learn, seed: int, *, is_named: bool = True) -> float:
    """By how much average precision rises with right verdicts, which say who judged or not."""
    draw, others = np.random.default_rng(seed), unjudged()
    judged, later = with_kinds(VERDICTS, draw, AMONG_JUDGED, shifts), with_kinds(LATER, draw, AMONG_ALL, shifts)
    rows = judged.rows if is_named else replace(judged.rows, reviewer=np.full(VERDICTS, NOBODY))
    learned = correction(rows, others, 0.0, bounds)
    after, before = (each.log_odds(later.rows, others.usual, 0.0) for each in (learned, Correction.none(GROUPS)))
    return average_precision(later.rows.is_fraud, after) - average_precision(later.rows.is_fraud, before)


def recall(later: World, kind: int, learned: Correction, others: Unjudged) -> float:
    """The share of the frauds of a kind among the highest scores."""
    scores = learned.log_odds(later.rows, others.usual, 0.0)
    return float((scores >= np.quantile(scores, 1 - REVIEWED))[later.of(kind)].mean())


def average_precision(is_fraud: Bools, score: Floats) -> float:
    in_order = is_fraud[np.argsort(-score, kind="stable")]
    return float((np.cumsum(in_order) / np.arange(1, len(in_order) + 1))[in_order].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--beside-right", action="store_true", help="compare with right verdicts, not the champion")
    options = parser.parse_args()
    seeds = range(1, 1 + options.seeds)
    delivered = Params.read(DEFAULT_PARAMS).learn
    settings = {"as delivered": delivered} | {
        name: delivered.model_copy(update={"least": least, "most": most}) for name, (least, most) in BOUNDS.items()
    }
    print(f"{'bounds':<14}" + "".join(f"{name:>20}" for name in (*ATTACKS, *GAINS)))
    for name, bounds in settings.items():
        cells = []
        for attack in ATTACKS.values():
            of_kinds = [
                fall for seed in seeds for fall in falls(attack, bounds, seed, beside_right=options.beside_right)
            ]
            cells.append(f"{np.mean(of_kinds):.3f}, {max(of_kinds):.3f}")
        for shifts, is_named in GAINS.values():
            gains = [gain(shifts, bounds, seed, is_named=is_named) for seed in seeds]
            cells.append(f"{np.mean(gains):+.3f} (se {np.std(gains, ddof=1) / len(gains) ** 0.5:.3f})")
        print(f"{name:<14}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
