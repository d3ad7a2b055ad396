"""Commands that watch the model between trainings: `drift` and `retrain`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command, engine_option

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.home.wording import Sentence

MOST_COLUMNS = 10
"""Columns on the terminal; --json has all."""


@command("drift")
@click.option("--as-of", type=DAY, help="The published night; default: the last one.")
def drift(settings: Settings, as_of: date | None) -> Answer:
    """Show how a published night compares with what its model was trained on, by segment and column.

    Example: payeewatch drift --as-of 2024-12-31
    """
    from payeewatch.pipeline.home.errors import InputMissing
    from payeewatch.pipeline.home.runs import last_published, read_run
    from payeewatch.pipeline.night.drift import pooled
    from payeewatch.pipeline.night.drift_window import FEWEST, psi

    night = as_of or last_published(settings)
    run = read_run(settings, night) if night else None
    if night is None or run is None:
        raise InputMissing(f"no night is published{f' for {night}' if night else ''}; run payeewatch night DAY first")
    facts: dict[str, Any] = run.get("drift") or {"reference": None, "moved": [], "pools": {}}
    columns = [
        {"segment": segment, "column": column, "psi": round(psi(counts), 4), "changes": sum(counts)}
        for segment, pool in pooled(settings, night).items()
        for column, counts in pool.tenths.items()
        if pool.changes >= FEWEST
    ]
    columns.sort(key=lambda each: (-float(str(each["psi"])), str(each["segment"]), str(each["column"])))
    answer = {"night": night, **{key: value for key, value in facts.items() if key != "tonight"}, "columns": columns}
    return answer, _drift_lines(night, facts, columns)


def _drift_lines(night: date, facts: dict[str, Any], columns: list[dict[str, Any]]) -> list[str]:
    from payeewatch.pipeline.home.wording import count_text

    if facts["reference"] is None:
        return [f"night {night}: its model kept nothing to compare with; train again"]
    lines = [
        f"night {night} beside the training of version {facts['reference']}; false alarms expected a year, of all "
        f"columns together: at most {facts['false_alarms_a_year']:g}",
        *(
            f"{name}: {count_text(pool['changes'], 'change')} of {count_text(pool['nights'], 'night')} up to this one, "
            f"{pool['references']:,} in training"
            for name, pool in facts["pools"].items()
        ),
        *(
            f"drift     {each['column']}, {each['segment']}: {each['share']:.0%} of {each['changes']:,} changes are "
            f"{each['side']} than a value beyond which {each['usual']:.0%} of the training's were (PSI "
            f"{each['psi']:.2f})"
            for each in facts["moved"]
        ),
    ]
    if not facts["moved"]:
        lines.append("no column has drift")
    farthest = [f"{each['column']} ({each['segment']}) {each['psi']:.2f}" for each in columns[:MOST_COLUMNS]]
    return [*lines, f"farthest by PSI: {', '.join(farthest)}"] if farthest else lines


@command("retrain", waits=True)
@click.option("--if-due", is_flag=True, help="Only if it is time: by `retrain.every_days`, or because of drift.")
@engine_option
def retrain(settings: Settings, if_due: bool, engine: str) -> Answer:
    """Train a challenger, compare it with the champion over the last nights, and propose it; it never promotes.

    Example: payeewatch retrain --if-due
    """
    from payeewatch.evaluation.compare import compare
    from payeewatch.evaluation.comparison_record import write
    from payeewatch.pipeline.detector import board, model_registry, promotions
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.training import retrain as times
    from payeewatch.pipeline.training import training

    why = times.why_due(settings) if if_due else times.Why.ASKED
    if why in (times.Why.NOT_DUE, times.Why.WAITS):
        return {"due": False, "why": why}, [f"not trained: {why}"]
    day = times.training_day(settings)
    with opened(settings) as session:
        champion = model_registry.version_of(settings)
        frame = training.measured_past(session, day, engine)
        model = training.fit(session, day, frame, training.known_verdicts(session, day))
        note = f"retrained as of {day}: {why}"
        result = training.register(session, model, frame, promote=False, name=f"retrain {day}", note=note)
        version = result.model.version
        if version == champion:
            return {"due": True, "why": why, "version": version, "proposed": False}, [
                f"trained as of {day}: the same model as the champion, version {version}; nothing is proposed"
            ]
        comparison = compare(session, (champion, version), day)
        run_id = write(settings, comparison, settings.folder("reports") / f"compare-{champion}-{version}")
        record = promotions.propose(settings, version, note, times.WHO)
        board.write(settings)
    findings = _gate_findings(settings, champion, version)
    answer: dict[str, Any] = {
        "due": True,
        "why": why,
        "version": version,
        "proposed": True,
        "as_of": day,
        "comparison": run_id,
    }
    answer |= {"proposed": True, "record": asdict(record), "gate": [str(each) for each in findings]}
    return answer, [
        f"version {version} is trained as of {day} ({why}), compared with the champion over {comparison.nights} "
        "nights, and proposed; a second person approves it",
        *(f"  the gate refuses it: {each}" for each in findings),
    ]


def _gate_findings(settings: Settings, champion: str, version: str) -> list[Sentence]:
    """What the gate says of a version as it was last compared."""
    from payeewatch.pipeline.detector import gate

    return gate.refusals(gate.newest_comparison(settings, champion, version), settings.params.promotion, version)
