"""The chances that scores state against what was dishonest, by segment, and what a prior by segment would change.

    python -m payeewatch.evaluation.yardstick.segments FOLDER... --nights DIR

FOLDER is an insurer as for `payeewatch.evaluation.foreign`, and DIR the folder `nights` of what that command kept. The
truth is read to compare, and nothing that is learned from it here leaves this module.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

from payeewatch.evaluation.yardstick.comparison import Comparison, Measured
from payeewatch.evaluation.yardstick.figures import ALL, Floats, Ranking, cases, figures
from payeewatch.evaluation.yardstick.insurer import CORRECTION, FOREIGN, Insurer, Truth, recognised
from payeewatch.evaluation.yardstick.nights import PRODUCT
from payeewatch.evaluation.yardstick.tables import Table, as_text
from payeewatch.pipeline.home.errors import InputMissing, InputRefused, PayeeWatchError

REPLACED, FIRST, PAST_LOG, PROVIDER = "account replaced", "first account", "nobody announced it", "provider"
BY_CHANNEL = {"mobility_mandate": "mandate", "return_driven": "payment returned", "bulk_migration": "bulk move"}
SEGMENTS = (REPLACED, FIRST, PAST_LOG, *BY_CHANNEL.values(), PROVIDER)

LOW_PRIOR = 1 / 3
"""By what the odds of each segment of members are multiplied, beside an account replaced, as a prior by hand."""
WITH_PRIOR, WITH_OTHERS = "a third of the odds", "learned at the others"
SPREAD = 1.0
"""In log-odds: how far segments may differ from what their evidence says, where it is learned."""
LEVEL_SPREAD = 3.0
MOST_LEVEL = 20.0
COMPARED: tuple[tuple[int | None, str], ...] = ((None, "ap"), (5, "recall"), (20, "recall"))
READ = ["change_id", "payee_id", "payee_type", "derived", "age_days", "score"]


@dataclass(frozen=True)
class Nights:
    """What one insurer's nights said. `scores`: a row per night and open change, with its segment."""

    name: str
    truth: Truth
    scores: pd.DataFrame  # night, change_id, score, segment, counts, is_fraud, flagged_on

    def once(self, *, flagged: bool) -> pd.DataFrame:
        """The changes that count, each on the first night that scored it or that offered it to review."""
        rows = self.scores[self.scores["counts"]]
        rows = rows[rows["night"] == rows["flagged_on"]] if flagged else rows
        return rows.sort_values("night", kind="stable").drop_duplicates("change_id")


@click.command(help=__doc__)
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--nights", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
def main(folders: tuple[Path, ...], nights: Path) -> None:
    try:
        insurers = [nights_of(Insurer(folder.resolve()), nights) for folder in folders]
    except PayeeWatchError as error:
        raise click.ClickException(str(error)) from error
    with_fraud = [each for each in insurers if each.once(flagged=False)["is_fraud"].any()]
    click.echo("\n\n\n".join(map(as_text, (*map(_chances, (insurers,) * 2, (False, True)), _priors(with_fraud)))))


def nights_of(insurer: Insurer, kept: Path) -> Nights:
    """Read the kept nights of an insurer.

    Raises:
        InputMissing, InputRefused: there are none, or they are of other files of the insurer.
    """
    folder, truth = kept / insurer.name, insurer.truth()
    note = folder / "nights.json"
    if not note.exists():
        raise InputMissing(f"{note}: there is no such file; run payeewatch.evaluation.foreign on {insurer.name} first")
    if json.loads(note.read_text(encoding="utf-8"))["insurer"] != insurer.digest():
        raise InputRefused(f"{note}: is of other files of {insurer.name}; run payeewatch.evaluation.foreign again")
    flags = _read(folder / "flags", ["change_id", "queue", "account_hint"])
    scores = _read(folder / "scores", READ)
    offered = flags[flags["queue"] != "audit"].groupby("change_id")["night"].min()
    scores = scores.assign(flagged_on=scores["change_id"].map(offered))
    scores = scores.assign(segment=segments(scores, _announced(insurer.folder / "inbox")))
    hints = dict(zip(flags["change_id"], flags["account_hint"], strict=True))
    return Nights(insurer.name, truth, _with_truth(recognised(scores, truth, hints), truth))


def segments(rows: pd.DataFrame, announced: pd.DataFrame) -> NDArray[np.object_]:
    """The segment of each row (change_id, payee_type, derived).

    Args:
        announced: the insurer's own table of changes: change_id, old_iban, channel.
    """
    of = announced.drop_duplicates("change_id", keep="last").set_index("change_id").reindex(rows["change_id"])
    is_provider, is_derived = (rows["payee_type"] == "provider").to_numpy(), rows["derived"].to_numpy(dtype=bool)
    channel = of["channel"].map(BY_CHANNEL).to_numpy(dtype=object)
    conditions = [is_provider, is_derived, pd.notna(channel), of["old_iban"].isna().to_numpy()]
    return np.select(conditions, [PROVIDER, PAST_LOG, channel, FIRST], REPLACED).astype(object)


def by_segment(insurers: Sequence[Nights], *, flagged: bool) -> list[tuple[str, int, float, float, int]]:
    """segment, changes, dishonest ones expected by the scores, likewise at each insurer's own rate, and found.

    At its own rate: with one number added to all log-odds of an insurer, so that the sum of its chances is right.
    """
    rows = pd.concat([_levelled(each.once(flagged=flagged)) for each in insurers], ignore_index=True)
    return [
        (name, len(part), float(part["stated"].sum()), float(part["levelled"].sum()), int(part["is_fraud"].sum()))
        for name in SEGMENTS
        if len(part := rows[rows["segment"] == name])
    ]


def log_odds_by_segment(insurers: Sequence[Nights]) -> dict[str, float]:
    """What must be added to the log-odds of each segment beside those of a replaced account: the most likely numbers
    under a normal prior around 0, with a level for each insurer.
    """
    parts = [each.once(flagged=False) for each in insurers]
    rows, who = pd.concat(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    moved = SEGMENTS[1:]
    inputs = np.column_stack(
        [who[:, None] == np.arange(len(parts)), *(rows["segment"] == name for name in moved)]
    ).astype(np.float64)
    spread = np.repeat([LEVEL_SPREAD, SPREAD], [len(parts), len(moved)])
    score, y = rows["score"].to_numpy(), rows["is_fraud"].to_numpy(dtype=np.float64)

    def loss(at: Floats) -> tuple[float, Floats]:
        log_odds = score + inputs @ at
        value = (np.logaddexp(0, log_odds) - y * log_odds).sum() + ((at / spread) ** 2).sum() / 2
        return float(value), inputs.T @ (_chance(log_odds) - y) + at / spread**2

    at = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x
    return dict(zip(moved, at[len(parts) :].tolist(), strict=True))


def with_priors(insurers: Sequence[Nights]) -> Iterator[Measured]:
    """Figures of each insurer when its changes are ordered by score, as it is and with two priors by segment."""
    by_hand = dict.fromkeys((*SEGMENTS[1:-1],), float(np.log(LOW_PRIOR)))
    for insurer in insurers:
        others = [each for each in insurers if each is not insurer]
        of = cases(insurer.truth, ALL, zlib.crc32(insurer.name.encode()))
        added = {PRODUCT: {}, WITH_PRIOR: by_hand, WITH_OTHERS: log_odds_by_segment(others) if others else {}}
        yield Measured(
            insurer.name, FOREIGN,
            {
                (name, ALL, reviews, measure): figure
                for name, by in added.items()
                for reviews, measure, figure in figures(_ranking(insurer, name, by), of)
            },
            {}, [],
        )  # fmt: skip


def _ranking(insurer: Nights, name: str, added: Mapping[str, float]) -> Ranking:
    moved = insurer.scores["segment"].map(added).fillna(0.0).astype(np.float64)
    rows = insurer.scores[["night", "change_id"]].assign(score=insurer.scores["score"] + moved)
    rows = rows.sort_values(["night", "score", "change_id"], ascending=[True, False, True], kind="stable")
    return Ranking(name, rows.assign(rank=rows.groupby("night").cumcount() + 1), rows)


def _with_truth(scores: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """With is_fraud and counts: a change of which the insurer did not know yet, and that began in the scored nights.

    A change that the truth does not have is an honest one that nobody announced.
    """
    of = truth.of_change.reindex(scores["change_id"])
    is_known = pd.Series(of["revealed_on"].to_numpy() <= scores["night"].to_numpy(), scores.index)
    since = scores["night"] - pd.to_timedelta(scores["age_days"], unit="D")
    began = np.where(of["is_fraud"].isna(), since >= truth.nights[0], of["in_score_period"].eq(True))
    counts = began & ~is_known & (of["benign_cause"] != CORRECTION).to_numpy()
    return scores.assign(is_fraud=of["is_fraud"].eq(True).to_numpy(), counts=counts)


def _levelled(rows: pd.DataFrame) -> pd.DataFrame:
    score, found = rows["score"].to_numpy(), int(rows["is_fraud"].sum())
    if 0 < found < len(rows):
        level = brentq(lambda by: _chance(score + by).sum() - found, -MOST_LEVEL, MOST_LEVEL)
        return rows.assign(stated=_chance(score), levelled=_chance(score + level))
    return rows.assign(stated=_chance(score), levelled=float(found > 0))


def _chance(log_odds: Floats) -> Floats:
    chance: Floats = 1 / (1 + np.exp(-log_odds))
    return chance


def _chances(insurers: Sequence[Nights], flagged: bool) -> Table:
    rows = by_segment(insurers, flagged=flagged)
    what = (
        "flags, on the first night that offered them" if flagged else "all changes, on the first night that scored them"
    )
    return Table(
        f"Chances against truth by segment: {what}",
        "Dishonest changes expected by the scores, at the rate of the insurers that weights were learned from; the\n"
        "same where one number for each insurer makes its sum right; and how many were dishonest.",
        ["", "changes", "expected", "at its own rate", "found"],
        [[name, str(many), f"{raw:.1f}", f"{own:.1f}", str(found)] for name, many, raw, own, found in rows],
    )


def _priors(insurers: Sequence[Nights]) -> Table:
    together = Comparison(list(with_priors(insurers)))
    means = {
        (row["detector"], row["reviews"], row["measure"]): row["mean"]
        for row in together.means()
        if row["nights"] == ALL
    }
    less = {
        (row["control"], row["reviews"], row["measure"]): row for row in together.differences() if row["nights"] == ALL
    }

    def cell(name: str, reviews: int | None, measure: str) -> str:
        row = less.get((name, reviews, measure))
        mean = f"{means[name, reviews, measure]:.3f}"
        return mean if row is None else f"{mean} ({-row['mean']:+.3f}, {-row['high']:+.3f} to {-row['low']:+.3f})"

    return Table(
        "What a prior by segment would change: changes in the order of their scores",
        f"In brackets: minus {PRODUCT} as it is, with a 95 % interval of the mean over insurers.",
        ["", *(measure if reviews is None else f"{measure} @{reviews}" for reviews, measure in COMPARED)],
        [[name, *(cell(name, *figure) for figure in COMPARED)] for name in (PRODUCT, WITH_PRIOR, WITH_OTHERS)],
    )


def _read(folder: Path, columns: list[str]) -> pd.DataFrame:
    paths = sorted(folder.glob("*.parquet"))
    parts = [pd.read_parquet(path, columns=columns).assign(night=pd.Timestamp(path.stem)) for path in paths]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _announced(inbox: Path) -> pd.DataFrame:
    columns = ["change_id", "old_iban", "channel"]
    parts = [
        pd.read_parquet(path, columns=columns) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)[columns]
        for path in sorted(inbox.glob("*/bank_changes*"))
    ]
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=columns)], ignore_index=True)


if __name__ == "__main__":
    main()
