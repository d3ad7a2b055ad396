"""The model card, the data sheet and the changes of model: from MLflow's store, the run records and the data store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

from payeewatch.dossier.facts.records import in_both
from payeewatch.dossier.facts.work import share_values
from payeewatch.dossier.reading import DIGEST, Reading, short
from payeewatch.dossier.statements import Both, Fact, Kind, Source
from payeewatch.dossier.words import NONE, Percent, both, free_text, texts, word
from payeewatch.pipeline.detector.model_registry import altered
from payeewatch.pipeline.detector.model_store import database_of, reading
from payeewatch.pipeline.detector.promotions import Kind as PromotionKind
from payeewatch.pipeline.detector.promotions import Record
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.intervals import exact_interval
from payeewatch.pipeline.store.lake import FORMS
from payeewatch.pipeline.tables import DROP_TABLES

COUNTED = (
    "rows_read", "rows_accepted", "rows_rejected", "duplicates", "cells_nulled", "cells_unknown", "assumed_known",
)  # fmt: skip
SEGMENTS = {
    "member announced": {"en": "announced changes of members", "fr": "changements annoncés d'assurés"},
    "member derived": {"en": "derived changes of members", "fr": "changements déduits d'assurés"},
    "provider announced": {"en": "announced changes of providers", "fr": "changements annoncés de professionnels"},
    "provider derived": {"en": "derived changes of providers", "fr": "changements déduits de professionnels"},
}
POOL = {"en": "nights: {}", "fr": "nuits : {}"}
YES_NO = {"True": True, "False": False}
"""What MLflow writes of a setting that is yes or no."""
BY_TABLE = "ingest.tolerance_overrides."
"""What the names of settings begin with of which there are as many as the insurer names tables."""
PARAMS = "SELECT key, value FROM params WHERE run_uuid = ?"
METRICS = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"


def model_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `model`."""
    return {
        "in_use": _in_use(home),
        "weights": _weights(home),
        "inputs": _inputs(),
        "calibration": _calibration(home),
        "precision": _precision(home),
        "workload": _workload(home),
        "warnings": _warnings(home),
        **({"drift": drift} if (drift := _drift(home)) else {}),
    }


def data_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `data`."""
    return {
        "learned_from": _learned_from(home),
        "verdicts": _verdicts(home),
        "loads": _loads(home),
        "columns_read": Fact(
            {},
            (Source(Kind.CODE, "pipeline/tables.py", short(repr([*DROP_TABLES]))),),
            tuple((name, ", ".join(column.name for column in table.columns)) for name, table in DROP_TABLES.items()),
        ),
    }


def change_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `changes`."""
    return {
        "history": _history(home),
        "versions": _versions(home),
        "altered": _altered(home),
        "settings": _settings(home),
        "since_training": _since_training(home),
        "switches": _switches(home),
    }


def _in_use(home: Reading) -> Fact | None:
    version = home.version
    if version is None or home.last is None:
        return None
    nights = _nights_of(home)[version.version]
    values = {
        "version": version.version, "trained_as_of": _day(version.trained_as_of),
        "known_until": _day(version.known_until), "code_version": version.code_version,
        "features": version.features, "nights": len(nights), "first": nights[0], "last": nights[-1],
    }  # fmt: skip
    return Fact(values, (home.model_source(), home.runs_source()))


def _nights_of(home: Reading) -> dict[str, list[Any]]:
    nights: dict[str, list[Any]] = {}
    for night, run in home.runs.items():
        nights.setdefault(str(run["model"]["version"]), []).append(night)
    return nights


def _weights(home: Reading) -> Fact | None:
    learned = _artifact(home).get("weights") or {}
    if not learned.get("insurers"):
        return None
    values = {
        "insurers": learned["insurers"], "changes": learned["changes"], "dishonest": learned["dishonest_changes"],
    }  # fmt: skip
    return Fact(values, (home.model_source(),))


def _inputs() -> Fact:
    from payeewatch.features.registry import FEATURES

    families = {feature.family for feature in FEATURES.values()}
    source = Source(Kind.CODE, "features/", short(",".join(sorted(FEATURES))))
    return Fact({"features": len(FEATURES), "families": len(families)}, (source,))


def _calibration(home: Reading) -> Fact | None:
    metrics = _metrics(home)
    names = ("calibration.share_p05", "calibration.checked", "calibration.ks")
    if not all(name in metrics for name in names):
        return None
    share, checked, ks = (metrics[name] for name in names)
    hits = round(share * checked)
    low, high = exact_interval(hits, int(checked))
    values = {
        "hits": hits, "checked": int(checked), "share_p05": Percent(share), "low": Percent(low), "high": Percent(high),
        "ks": round(ks * 100, 1),
    }  # fmt: skip
    return Fact(values, (home.model_source(),))


def _precision(home: Reading) -> Fact | None:
    if home.review is None or not home.review.oversight.followed.of:
        values = {"outcomes": _totals(home).get("outcomes", Counter())["rows_accepted"]}
        return Fact(values, (home.audit_source(), home.loads_source()), is_nothing=True)
    share = home.review.oversight.followed
    return Fact(share_values(share) | {"judged": share.of}, (home.audit_source(),))


def _workload(home: Reading) -> Fact | None:
    if home.last is None:
        return None
    flagged = home.last["flagged"]
    queues = {name: flagged.get(name, 0) for name in ("hold", "review", "audit")}
    values = queues | {
        "scored": home.last["scored"],
        "flagged": sum(queues.values()),
        "new": flagged.get("new", 0),
        "capacity": home.last["capacity"],
    }
    return Fact(values, (home.run_source(home.last_night),))


def _warnings(home: Reading) -> Fact | None:
    """What the model says it lacks: its nights say the same, with codes from which both languages are worded."""
    warnings = _artifact(home).get("warnings") or []
    if not warnings or home.last is None:
        return None
    codes = dict(zip(home.last.get("states", ()), home.last.get("state_codes", ()), strict=False))
    rows = tuple((in_both(each, codes.get(each)),) for each in warnings)
    return Fact({"many": len(warnings)}, (home.model_source(), home.run_source(home.last_night)), rows)


def _drift(home: Reading) -> Fact | None:
    """What the last night's watch says, where the night was watched and its model kept a reference."""
    watched = (home.last or {}).get("drift") or {}
    if not watched.get("reference"):
        return None
    keys = sorted(map(str, watched.get("keys", ())))
    values = {
        "on": home.last_night, "reference": watched["reference"], "alarms": watched.get("false_alarms_a_year"),
        "many": len(keys), "pools": _pools(watched.get("pools") or {}),
    }  # fmt: skip
    return Fact(values, (home.run_source(home.last_night),), tuple((key,) for key in keys))


def _pools(pools: Mapping[str, Mapping[str, Any]]) -> Both:
    """How many changes of each segment the nights together had to compare, and of how many nights."""
    told = {
        name: ", ".join(
            f"{word(SEGMENTS.get(segment, segment), name)} {pool['changes']} ({each.format(pool['nights'])})"
            for segment, pool in pools.items()
        )
        for name, each in POOL.items()
    }
    return {name: text or NONE[name] for name, text in told.items()}


def _learned_from(home: Reading) -> Fact | None:
    version, facts, metrics = home.version, _artifact(home).get("facts") or {}, _metrics(home)
    if version is None:
        return None
    values = {
        "changes": facts.get("changes", version.changes), "left_out": facts.get("left_out", 0),
        "references": metrics.get("references"), "doubtful": metrics.get("doubtful"),
        "lake_sequence": version.lake_sequence, "lake_fingerprint": version.lake_fingerprint[:DIGEST],
    }  # fmt: skip
    return Fact(values, (home.model_source(),))


def _verdicts(home: Reading) -> Fact | None:
    version = home.version
    if version is None or version.verdicts is None:
        return None
    weights = [by for name, by in _metrics(home).items() if name.startswith("multiplier.")]
    moved = sum(round(by, 2) != 1 for by in weights)  # as `learn` tells them
    return Fact({"verdicts": version.verdicts, "moved": moved}, (home.model_source(),))


def _loads(home: Reading) -> Fact | None:
    drops = [load for load in home.loads if load.kind == "drop"]
    if not drops:
        return None
    totals = _totals(home)
    rows = tuple((table, *(totals[table][name] for name in COUNTED)) for table in DROP_TABLES if table in totals)
    days = sorted(load.day for load in drops)
    loads = [load for load in home.loads if load.kind != FORMS]
    values = {"loads": len(loads), "drops": len(drops), "first": days[0], "last": days[-1]}
    values |= {"replaced": home.replaced}
    return Fact(values, (home.loads_source(),), rows)


def _totals(home: Reading) -> dict[str, Counter[str]]:
    """Table -> what its drops up to the day counted, all together."""
    totals: dict[str, Counter[str]] = {}
    for load in home.loads:
        for table, counts in load.facts.get("tables", {}).items() if load.kind == "drop" else ():
            totals.setdefault(table, Counter()).update({name: counts.get(name, 0) for name in COUNTED})
    return totals


KINDS = {
    "promotion": {"en": "promotion", "fr": "promotion"},
    "rollback": {"en": "return to an earlier one", "fr": "retour à une précédente"},
    "proposal": {"en": "proposal", "fr": "proposition"},
    "refusal": {"en": "refusal", "fr": "refus"},
}


NO_GATE = {"en": "no gate was asked (train --promote)", "fr": "aucun contrôle n'a été appliqué (train --promote)"}
UNASKED_WHY = "train --promote"
UNASKED = {"en": "train --promote; no reason was asked", "fr": "train --promote ; aucun motif n'a été demandé"}


def _history(home: Reading) -> Fact | None:
    if not home.records:
        return None
    rows = tuple(
        (
            each.at.replace(tzinfo=None, second=0, microsecond=0), home.is_later(each),
            KINDS.get(str(each.kind), str(each.kind)),
            each.before, each.to, free_text(each.who), free_text(each.approved_by),
            UNASKED if each.why == UNASKED_WHY else free_text(each.why),
            free_text(each.override) if was_asked(each) else NO_GATE,
        )
        for each in home.records
    )  # fmt: skip
    later = sum(home.is_later(each) for each in home.records)
    source = Source(Kind.MODEL, "mlflow, payeewatch-promotions", short(repr(rows)))
    return Fact({"by_then": len(rows) - later, "later": later}, (source,), rows)


def was_asked(record: Record) -> bool:
    """Whether the gate looked at a version that took another one's place; of what it need not look at, too."""
    return record.kind != PromotionKind.PROMOTION or not record.before or bool(record.comparison or record.override)


def _versions(home: Reading) -> Fact | None:
    if not home.versions:
        return None
    nights, digests = _nights_of(home), _digests(home)
    rows = tuple(
        (
            each.version, _day(each.trained_as_of), _day(each.known_until), each.features, each.parent,
            _day(each.taken_back_on) if each.taken_back_on <= str(home.as_of) else "",
            len(nights.get(each.version, ())), digests.get(each.version, "")[:DIGEST],
        )
        for each in home.versions
    )  # fmt: skip
    return Fact({"many": len(rows)}, (Source(Kind.MODEL, "mlflow", short(repr(rows))),), rows)


def _altered(home: Reading) -> Fact | None:
    numbers = {each.version for each in home.versions}
    found = [each for each in altered(home.settings) if each.partition("version ")[2].split()[0] in numbers]
    # the folder's place on this machine is nobody's business
    rows = tuple((each.partition("artifacts/")[2] or each,) for each in found)
    return Fact({"many": len(rows)}, (Source(Kind.MODEL, "mlflow/artifacts"),), rows) if rows else None


def altered_models(home: Reading) -> bool:
    """Whether the files of a version are not those that were registered."""
    return _altered(home) is not None


def _settings(home: Reading) -> Fact | None:
    shipped = Params.read(DEFAULT_PARAMS).flat()
    rows = tuple((name, value, shipped.get(name)) for name, value in home.params.items() if value != shipped.get(name))
    return Fact({}, home.settings_source(*(row[0] for row in rows)), rows) if rows else None


def _switches(home: Reading) -> Fact:
    shipped, switches = Params.read(DEFAULT_PARAMS).flat(), texts("switches")
    rows = tuple((name, both(what), home.params[name], shipped[name]) for name, what in switches.items())
    return Fact({}, home.settings_source(*switches), rows)


def _since_training(home: Reading) -> Fact | None:
    """The settings that are not those that the model in use was trained with."""
    version, trained = home.version, _trained_with(home)
    if version is None or not trained:
        return Fact({}, (home.model_source(),), is_nothing=True)
    now = {name: str(value) for name, value in home.params.items() if name in trained or name.startswith(BY_TABLE)}
    names = [*now, *(name for name in trained if name.startswith(BY_TABLE) and name not in now)]
    changed = [name for name in names if now.get(name) != trained.get(name)]
    before = {name: YES_NO.get(value, value) for name, value in trained.items()}
    rows = tuple((name, home.params.get(name), before.get(name)) for name in changed)
    values = {"many": len(rows), "version": version.version, "day": _day(version.trained_as_of), "of": len(trained)}
    return Fact(values, (home.model_source(), *home.settings_source(*changed)), rows)


def _trained_with(home: Reading) -> dict[str, str]:
    """Setting -> its value as MLflow has it for the model in use."""
    if home.version is None or home.last is None or not database_of(home.settings).exists():
        return {}
    with reading(database_of(home.settings)) as con:
        raw = dict(con.execute(PARAMS, [str(home.last["model"]["run_id"])]).fetchall())
    return {str(name): str(value) for name, value in raw.items()}


def _artifact(home: Reading) -> Mapping[str, Any]:
    """What the version in use says of itself in MLflow: facts, warnings and the record of its weights."""
    if home.version is None or home.last is None:
        return {}
    run_id = str(home.last["model"]["run_id"])
    path = home.settings.folder("mlflow") / "artifacts" / run_id / "artifacts" / "facts.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts


def _metrics(home: Reading) -> dict[str, float]:
    if home.version is None or home.last is None or not database_of(home.settings).exists():
        return {}
    with reading(database_of(home.settings)) as con:
        return dict(con.execute(METRICS, [str(home.last["model"]["run_id"])]).fetchall())


def _digests(home: Reading) -> dict[str, str]:
    query = "SELECT version, value FROM model_version_tags WHERE key = 'digest'"
    with reading(database_of(home.settings)) as con:
        return {str(version): str(value) for version, value in con.execute(query)}


def _day(text: str) -> Any:
    return date.fromisoformat(text) if text else ""
