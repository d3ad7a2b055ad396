"""The first page: what the home does not bear out, what is old, and what nobody answered yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from payeewatch.dossier import words
from payeewatch.dossier.facts.fairness import FAIRNESS, measurements
from payeewatch.dossier.facts.model import altered_models
from payeewatch.dossier.facts.retention import last_purge
from payeewatch.dossier.reading import Reading
from payeewatch.dossier.statements import Dossier, Finding, State
from payeewatch.pipeline.store.tombstones import ERASURE

OLD_MEASUREMENT_DAYS = 92
OLD_MODEL_DAYS = 92
"""docs/retraining.md: train again every three months."""
OLD_PURGE_DAYS = 31
COUNTED_BEFORE = frozenset({
    "model.calibration", "model.precision", "model.warnings", "model.workload", "model.drift", "data.learned_from",
    "data.verdicts", "data.loads", "assessment.scale", "lists.lists", "lists.refused", "lists.coverage",
    "fairness.measured", "fairness.sample",
    "incidents.warnings", "rights.used",
    *(f"oversight.{name}" for name in ("log", "nights", "verdicts", "overruled", "seconds", "unopened", "approvals",
                                       "second_looks", "holds", "roles", "reveals")),
})  # fmt: skip
"""Statements with numbers of records, loads, models and the audit log: an erasure does not count them anew."""


def findings(home: Reading, dossier: Dossier) -> Iterator[Finding]:
    """What the first page says, the worst first."""
    yield from sorted(_all(home, dossier), key=lambda each: not each.is_bad)


def _all(home: Reading, dossier: Dossier) -> Iterator[Finding]:
    yield from _of_the_log(home)
    yield from _of_nights(home)
    yield from _of_the_model(home)
    yield from _of_measurements(home)
    yield from _of_erasures(home, dossier)
    open_rows = len(dossier.gaps)
    if open_rows:
        counsel = sum(each.asks == "counsel" for each in dossier.gaps)
        laws = sum(not each.was_read for each in dossier.questions)
        values = {"rows": open_rows, "counsel": counsel, "insurer": open_rows - counsel, "laws": laws}
        yield _finding("open_rows", False, many=open_rows + laws, **values)
    yield from _of_questions(dossier)
    unread = [each.number for each in dossier.questions if not each.was_read]
    if unread:
        yield _finding("unread", False, many=len(unread), numbers=unread)


def _of_erasures(home: Reading, dossier: Dossier) -> Iterator[Finding]:
    """Which statements tell what was counted while persons who are erased now were still there."""
    erased = sum(load.kind == ERASURE for load in home.loads)
    if erased:
        numbers = [each.number for each in dossier.statements if each.key in COUNTED_BEFORE]
        yield _finding("erased_since", False, many=erased, numbers=numbers)


def _of_questions(dossier: Dossier) -> Iterator[Finding]:
    """Which questions are not fully answered, and whether counsel, the insurer or this home could answer them."""
    unanswered = [each for each in dossier.questions if not each.is_answered]
    law = [each.number for each in unanswered if each.is_told]
    missing = [
        each.number
        for each in unanswered
        if each.lacks or any(answer.state == State.NOT_THERE for answer in each.answers)
    ]
    alone = [each.number for each in unanswered if all(answer.state == State.OPEN for answer in each.answers)]
    partly = [each.number for each in unanswered if each.number not in {*law, *missing, *alone}]
    if unanswered:
        numbers = {"law_numbers": law, "partly_numbers": partly, "alone_numbers": alone, "missing_numbers": missing}
        values = {name.removesuffix("_numbers"): len(found) for name, found in numbers.items()}
        yield _finding("unanswered", False, many=len(unanswered), of=len(dossier.questions), **values, **numbers)


def _of_the_log(home: Reading) -> Iterator[Finding]:
    if home.review is None:
        yield _finding("no_log", False)
    elif home.review.findings:
        yield _finding("broken_log", True, many=len(home.review.findings), first=home.review.findings[0])
    elif home.review.oversight.breaks:
        yield _finding("accepted_breaks", True, many=len(home.review.oversight.breaks))


def _of_nights(home: Reading) -> Iterator[Finding]:
    if not home.runs:
        yield _finding("no_night", True)
    if home.missing_nights:
        yield _finding("missing_nights", True, many=len(home.missing_nights), first=home.missing_nights[0])
    if home.failed_nights:
        yield _finding("failed_nights", True, many=len(home.failed_nights), first=next(iter(home.failed_nights)))
    if home.altered_runs:
        yield _finding("altered_runs", True, many=len(home.altered_runs), first=home.altered_runs[0])


def _of_the_model(home: Reading) -> Iterator[Finding]:
    if home.runs and home.version is None:
        yield _finding("no_model", True)
    if altered_models(home):
        yield _finding("altered_models", True)
    if home.version and home.version.trained_as_of:
        trained = date.fromisoformat(home.version.trained_as_of)
        if (home.as_of - trained).days > OLD_MODEL_DAYS:
            yield _finding("old_model", False, day=trained, days=OLD_MODEL_DAYS)


def _of_measurements(home: Reading) -> Iterator[Finding]:
    fairness = measurements(home, FAIRNESS)
    if not fairness:
        yield _finding("no_fairness", False)
    elif (home.as_of - fairness[-1][0]).days > OLD_MEASUREMENT_DAYS:
        yield _finding("old_fairness", False, day=fairness[-1][0], days=OLD_MEASUREMENT_DAYS)
    purged = last_purge(home)
    if purged is None:
        yield _finding("no_purge", False)
    elif (home.as_of - purged).days > OLD_PURGE_DAYS:
        yield _finding("old_purge", True, day=purged, days=OLD_PURGE_DAYS)


def _finding(code: str, is_bad: bool, **values: Any) -> Finding:
    return Finding(code, is_bad, words.filled(words.both(words.texts("findings")[code]), values))
