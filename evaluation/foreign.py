"""One table of how good the product is on insurers whose truth is known, beside controls on the same nights.

    python -m payeewatch.evaluation.foreign FOLDER... --out DIR
    python -m payeewatch.evaluation.foreign FOLDER... --drawn 10 --seed 1001 --out DIR
    python -m payeewatch.evaluation.foreign FOLDER... --verdicts 5 --verdicts 20 --out DIR

FOLDER is one insurer: inbox/, breaches/ and truth/ (docs/evaluation.md says what is in it). For each, a copy without
the truth is loaded and trained, and its nights are run as an insurer would run them. What was run is kept in DIR: the
same command goes on from there, and runs nothing again while neither code nor insurer changed. With `--verdicts`, the
nights are run again: the best-ranked flags of each are decided rightly, the next night knows, and the model learns.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from payeewatch.evaluation.yardstick.comparison import (
    MEASURED,
    NIGHTS,
    REFERENCE,
    Comparison,
    Key,
    Measured,
    likeness,
    same_order,
    spread,
)
from payeewatch.evaluation.yardstick.drawn import Wanted, drawn_insurer, refuse_learned
from payeewatch.evaluation.yardstick.figures import (
    ALL,
    PER_100K,
    SECOND_HALF,
    Cases,
    Floats,
    by_typology,
    calibration,
    cases,
    figures,
    flags_a_night,
)
from payeewatch.evaluation.yardstick.insurer import DRAWN, FOREIGN, Insurer
from payeewatch.evaluation.yardstick.nights import rankings, run
from payeewatch.evaluation.yardstick.stories import stories
from payeewatch.evaluation.yardstick.tables import as_text, page, tables
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.session import progress

REFERENCE_NIGHTS = {"all": ALL, "second sixty": SECOND_HALF}


@click.command(help=__doc__)
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="For tables, and for what was run.")
@click.option("--drawn", default=0, show_default=True, help="How many insurers of our own simulator to draw.")
@click.option("--seed", default=1001, show_default=True, help="The number of the first one; the others follow.")
@click.option("--members", default=Wanted.members, show_default=True, help="Members of each drawn insurer.")
@click.option("--days", default=Wanted.days, show_default=True, help="Days of history of each drawn insurer.")
@click.option("--nights", default=Wanted.nights, show_default=True, help="Scored nights of each drawn insurer.")
@click.option("--sample", default=0, show_default=True, help="Members of a labelled sample of each drawn insurer.")
@click.option("--verdicts", type=int, multiple=True, help="Reviews per 100,000 member payees and night, to learn from.")
def main(
    folders: tuple[Path, ...],
    out: Path,
    drawn: int,
    seed: int,
    members: int,
    days: int,
    nights: int,
    sample: int,
    verdicts: tuple[int, ...],
) -> None:
    seeds, wanted = range(seed, seed + drawn), Wanted(members, days, nights, sample)
    if not folders and not drawn:
        raise click.UsageError("name at least one FOLDER of an insurer, or ask for some with --drawn")
    if len({folder.resolve().name for folder in folders}) < len(folders):
        raise click.UsageError("two folders have the same name, which names the insurer in the table; rename one")
    try:
        refuse_learned(seeds)
        insurers = list(_insurers(folders, out / "drawn", seeds, wanted))
        each = progress(iter(insurers), len(insurers), "insurer")
        measured = [measure(insurer, out / "nights", verdicts) for insurer in each]
    except PayeeWatchError as error:
        raise click.ClickException(str(error)) from error
    facts = report(measured, _words(folders, drawn, seed, wanted, verdicts))
    write_json(out / "yardstick.json", facts)
    write_text(out / "yardstick.html", page(facts))
    click.echo("\n\n\n".join(as_text(table) for table in tables(facts)))
    click.echo(f"\npage      {out / 'yardstick.html'}\nfigures   {out / 'yardstick.json'}")


def measure(insurer: Insurer, work: Path, verdicts: Sequence[int] = ()) -> Measured:
    """Run the insurer's nights, unless they stand, and compare them with its truth."""
    truth = insurer.truth()
    run(insurer, work, verdicts)
    ranked = rankings(insurer, truth, work, verdicts)
    by_nights = {nights: cases(truth, nights, zlib.crc32(f"{insurer.name} {nights}".encode())) for nights in NIGHTS}
    return Measured(
        name=insurer.name,
        origin=insurer.origin,
        figures={
            (ranking.name, nights, reviews, measure): figure
            for nights, of in by_nights.items()
            for ranking in ranked
            for reviews, measure, figure in figures(ranking, of)
        }
        | _references(insurer, by_nights),
        facts={
            "name": insurer.name, "origin": insurer.origin, "nights": len(truth.nights),
            "member_payees": truth.member_payees, "changes": len(by_nights[ALL].changes),
            "dishonest": int(by_nights[ALL].is_fraud.sum()), "flags_a_night": flags_a_night(ranked[0], truth),
        } | calibration(ranked[0], truth),
        typologies=[
            {"typology": kind, "detector": ranking.name, "reviews": reviews, "changes": many, "found": found}
            for ranking in ranked
            for reviews in PER_100K
            for kind, (many, found) in by_typology(ranking, by_nights[ALL], reviews).items()
        ],
        stories=stories(work / insurer.name / "flags", truth),
    )  # fmt: skip


def report(measured: Sequence[Measured], command: str) -> dict[str, Any]:
    """Everything that the tables show, ready for JSON."""
    together = {
        origin: Comparison([each for each in measured if each.origin == origin])
        for origin in (FOREIGN, DRAWN)
        if any(each.origin == origin for each in measured)
    }
    alike = list(likeness(together[DRAWN], together[FOREIGN])) if len(together) > 1 else []
    return {
        "command": command,
        "origins": {origin: _part(comparison) for origin, comparison in together.items()},
        "likeness": alike,
        "same_order": same_order(alike),
    }


def _part(comparison: Comparison) -> dict[str, Any]:
    return {
        "insurers": [insurer.facts for insurer in comparison.insurers],
        "figures": list(_figure_rows(comparison)),
        "means": list(comparison.means()),
        "differences": list(comparison.differences()),
        "way": list(comparison.way()),
        "typologies": comparison.typologies(),
        "stories": comparison.stories(),
    }


def _figure_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for insurer in comparison.insurers:
        for (detector, nights, reviews, measure), figure in insurer.figures.items():
            if (reviews, measure) in MEASURED and not np.isnan(figure[0]):
                yield {
                    "row": f"{insurer.name} {detector}", "insurer": insurer.name, "detector": detector,
                    "nights": nights, "reviews": reviews, "measure": measure, "figure": float(figure[0]),
                    "se": spread(figure[1:]),
                }  # fmt: skip


def _references(insurer: Insurer, by_nights: Mapping[str, Cases]) -> dict[Key, Floats]:
    """The references' figures, without draws of their own: the same in every draw."""
    out: dict[Key, Floats] = {}
    for row in insurer.references():
        nights = REFERENCE_NIGHTS.get(row["nights"])
        if nights and row["cases"]:
            many = len(by_nights[nights].weights)
            for reviews, measure in MEASURED:
                if reviews in (None, row["k"]):
                    out[REFERENCE + row["control"], nights, reviews, measure] = np.full(many, float(row[measure]))
    return out


def _insurers(folders: Sequence[Path], drawn: Path, seeds: Sequence[int], wanted: Wanted) -> Iterator[Insurer]:
    for folder in folders:
        yield Insurer(folder.resolve(), FOREIGN)
    for seed in seeds:
        yield drawn_insurer(drawn / f"drawn-{seed}", seed, wanted)


def _words(folders: Sequence[Path], drawn: int, seed: int, wanted: Wanted, verdicts: Sequence[int]) -> str:
    """The command, without what is on this machine only."""
    size = f"--members {wanted.members} --days {wanted.days} --nights {wanted.nights} --sample {wanted.sample_members}"
    parts = ["FOLDER..." if folders else "", f"--drawn {drawn} --seed {seed} {size}" if drawn else ""]
    parts += [*(f"--verdicts {reviews}" for reviews in verdicts), "--out DIR"]
    return " ".join(["python -m payeewatch.evaluation.foreign", *filter(None, parts)])


if __name__ == "__main__":
    main()
