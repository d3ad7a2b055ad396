"""Fairness: the last measurement of the home, and tonight's audit sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.dossier.criteria import counts_of, directions_of
from payeewatch.dossier.facts.records import in_catalogue
from payeewatch.dossier.reading import DIGEST, Reading, short, weights_in_use
from payeewatch.dossier.statements import Fact, Kind, Source
from payeewatch.dossier.words import Percent, both, texts
from payeewatch.pipeline.home.contents import hash_of

FAIRNESS = "fairness*.json"
MEASURES = {
    "flagged": {"en": "flagged", "fr": "signalés"},
    "held": {"en": "proposed to hold", "fr": "proposés au blocage"},
    "false_flags": {"en": "flagged and found honest", "fr": "signalés et jugés ordinaires"},
}
"""The measures of `payeewatch fairness`."""
SHOWN_RATES = 400
"""Rows of the table of fairness; the rest stays in the measurement's own file."""


def fairness_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `fairness`."""
    return {
        "measured": _measured(home), "sample": _sample(home), "banks": _banks(home),
        "sample_result": Fact({}, (home.audit_source(),), is_nothing=True),
    }  # fmt: skip


def measurements(home: Reading, pattern: str) -> list[tuple[date, Path, dict[str, Any]]]:
    """The measurements of a kind in the home that end by the day: last day, file, content; oldest first."""
    found = []
    for path in sorted(home.settings.folder("reports").rglob(pattern)):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            day = date.fromisoformat(str(content["last"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if day <= home.as_of and not content.get("version"):  # of what was published, and of no candidate
            found.append((day, path, content))
    return sorted(found, key=lambda each: (each[0], each[1].name))


def _measured(home: Reading) -> Fact | None:
    found = measurements(home, FAIRNESS)
    if not found:
        return None
    day, path, content = found[-1]
    alone = [(name, groups[0]["name"]) for name, groups in _by_attribute(content).items() if len(groups) == 1]
    rows = tuple(_rates(content))[:SHOWN_RATES]
    source = Source(Kind.FILE, str(path.relative_to(home.settings.folder("reports").parent)), hash_of(path)[:DIGEST])
    values = {
        "first": date.fromisoformat(str(content["first"])), "last": day,
        "many": (content.get("whole") or {}).get("changes"),
        "alone": {
            name: ", ".join(f"{_attribute(each)[name]} ({_group(group)[name]})" for each, group in alone) or none
            for name, none in NONE.items()
        },
    }  # fmt: skip
    return Fact(values, (source,), rows)


NONE = {"en": "none", "fr": "aucun"}


def _by_attribute(content: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Attribute -> its groups, as the file of words lists them: ages from young to old, and what is unknown last."""
    order = {name: place for place, name in enumerate(texts("groups")["groups"])}
    groups: dict[str, list[dict[str, Any]]] = {}
    for group in sorted(content.get("groups", ()), key=lambda each: order.get(each["name"], len(order))):
        groups.setdefault(str(group["attribute"]), []).append(group)
    return {name: groups[name] for name in texts("groups")["attributes"] if name in groups}


def _rates(content: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows: attribute, group, measure, changes, how many, share with its interval, whether it differs.

    An attribute with one group compares nothing. Without a verdict of an honest change, a share of zero would say that
    nobody honest is flagged: it is left out.
    """
    was_judged = any((group.get("false_flags") or {}).get("hits") for group in content.get("groups", ()))
    for name, groups in _by_attribute(content).items():
        for group in groups if len(groups) > 1 else ():
            for measure, words in MEASURES.items():
                rate = group.get(measure) or {}
                if rate.get("share") is not None and (was_judged or measure != "false_flags"):
                    shares = (Percent(float(rate[each])) for each in ("share", "low", "high"))
                    differs = bool(group.get("differs")) if measure == "flagged" else None  # tested for flags alone
                    yield (_attribute(name), _group(group["name"]), words, rate["n"], rate["hits"], *shares, differs)


def _attribute(name: str) -> dict[str, str]:
    known = texts("groups")["attributes"].get(name)
    return dict(both(known)) if known else {"en": name, "fr": name}


def _group(name: str) -> dict[str, str]:
    return {"en": name, "fr": texts("groups")["groups"].get(name, name)}


def _banks(home: Reading) -> Fact:
    """The features of the country and of the bank, what each can do in the model in use, and whether by own points."""
    from payeewatch.features.registry import FEATURES

    can, weights = texts("criteria")["counts"], weights_in_use(home)
    directions = directions_of(weights)
    rows = tuple(
        (name, in_catalogue(each.sentence), both(can[counts_of([each], weights)]), bool(directions.get(name)))
        for name, each in FEATURES.items() if each.family == "bank"
    )  # fmt: skip
    return Fact({"many": len(rows)}, (Source(Kind.CODE, "features/bank.py", short(repr(rows))),), rows)


def _sample(home: Reading) -> Fact | None:
    if home.last is None:
        return None
    queues = home.last.get("queues") or {}
    values = {
        "stand": home.last["flagged"].get("audit", 0), "drawn": queues.get("audit_drawn"),
        "population": queues.get("audit_population"), "probability": Percent(home.last.get("audit_probability") or 0),
    }  # fmt: skip
    return Fact(values, (home.run_source(home.last_night),))
