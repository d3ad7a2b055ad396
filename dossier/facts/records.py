"""Retention, lists, fairness, incidents and assets: from the run records, the data store, reports and settings."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.dossier.reading import DIGEST, Reading, short
from payeewatch.dossier.statements import Fact, Kind, Source
from payeewatch.dossier.words import Percent, both, free_text, texts
from payeewatch.pipeline.home import errors
from payeewatch.pipeline.home.contents import hash_of
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.retention_periods import QUARANTINE_DAYS
from payeewatch.pipeline.store.lake import PURGE
from payeewatch.pipeline.store.lake_format import read_format
from payeewatch.pipeline.store.tombstones import ERASURE
from payeewatch.pipeline.tables import DROP_TABLES

REPORT = re.compile(r"purge-(\d{4}-\d{2}-\d{2})(-person)?\.txt")
FAIRNESS = "fairness*.json"
MEASURES = {
    "flagged": {"en": "flagged", "fr": "signalés"},
    "held": {"en": "proposed to hold", "fr": "proposés à la retenue"},
    "false_flags": {"en": "flagged and found honest", "fr": "signalés et jugés honnêtes"},
}
ATTRIBUTES = {
    "age": {"en": "age", "fr": "âge"},
    "sex": {"en": "sex", "fr": "sexe"},
    "department": {"en": "department of residence", "fr": "département de résidence"},
    "bank": {"en": "kind of bank", "fr": "genre de banque"},
    "country": {"en": "country of the account", "fr": "pays du compte"},
    "protection": {"en": "legal protection", "fr": "protection juridique"},
    "household": {"en": "household", "fr": "foyer"},
    "birth": {"en": "place of birth", "fr": "lieu de naissance"},
}
"""The measures and attributes of `payeewatch fairness`."""
SHOWN_RATES = 400
"""Rows of the table of fairness; the rest stays in the measurement's own file."""

STORES = (
    ("inbox", {"en": "deliveries of the insurer, as sent", "fr": "livraisons de l'assureur, telles qu'envoyées"}, True),
    ("breaches", {"en": "breach lists, as notified", "fr": "listes de fuites, telles que notifiées"}, True),
    ("reference", {"en": "reference tables, such as of banks", "fr": "tables de référence, comme des banques"}, False),
    ("lake", {"en": "the data store, with keyed tokens", "fr": "l'entrepôt de données, en jetons à clé"}, True),
    ("vault", {"en": "sealed originals", "fr": "originaux scellés"}, True),
    ("quarantine", {"en": "refused rows, masked", "fr": "lignes refusées, masquées"}, True),
    ("mlflow", {"en": "models, and which staff decided", "fr": "modèles, et quel personnel a décidé"}, True),
    ("flags, scores, evidence", {"en": "what nights found", "fr": "ce que les nuits ont trouvé"}, True),
    ("shadow", {"en": "scores of versions on trial", "fr": "scores de versions à l'essai"}, True),
    ("holds, releases, outcomes", {
        "en": "what nights proposed to hold, and what people decided",
        "fr": "ce que les nuits ont proposé de retenir, et ce que les personnes ont décidé",
    }, True),
    ("runs, reports", {"en": "records and pages of nights", "fr": "enregistrements et pages des nuits"}, True),
    (
        "triage",
        {
            "en": "the reviewers' database, if it is not PostgreSQL, and files",
            "fr": "la base des examinateurs, hors PostgreSQL, et leurs fichiers",
        },
        True,
    ),
)  # fmt: skip

CLOCKS = (
    ({"en": "A flag that nobody judged", "fr": "Un signalement que personne n'a jugé"}, "retention.qualify_days"),
    (
        {"en": "A pertinent case, after it closed", "fr": "Un dossier pertinent, après sa clôture"},
        "retention.closed_days",
    ),
    ({"en": "What a night wrote", "fr": "Ce qu'une nuit a écrit"}, "retention.nights_days"),
    ({"en": "A model", "fr": "Un modèle"}, "retention.models_days"),
)
AT_ONCE = {"en": "the day after it closed", "fr": "le lendemain de la clôture"}
NOT_PERTINENT = {"en": "A flag judged not pertinent", "fr": "Un signalement jugé non pertinent"}
QUARANTINE = {"en": "Refused rows and their sealed originals", "fr": "Lignes refusées et leurs originaux scellés"}
OWN_DATE = {"en": "the list's own date", "fr": "la date propre à la liste"}
A_LIST = {"en": "A breach list", "fr": "Une liste de fuites"}
IN_FORCE = {"en": "in force", "fr": "en vigueur"}
ENDED = {"en": "over or withdrawn", "fr": "terminée ou retirée"}


def assessment_facts(home: Reading) -> dict[str, Fact | None]:
    if home.last is None:
        return {"scale": None}
    members = sum(
        load.facts["tables"].get("members", {}).get("rows_accepted", 0) for load in home.loads if load.kind == "drop"
    )
    values = {"members_rows": members, "open": home.last["changes"]["open"], "lists": len(_lists_in_force(home))}
    return {"scale": Fact(values, (home.run_source(home.last_night), home.loads_source()))}


def register_facts(home: Reading) -> dict[str, Fact | None]:
    source = Source(Kind.CODE, "pipeline/tables.py", short(repr([*DROP_TABLES])))
    words = texts("tables")
    return {"data": Fact({}, (source,), tuple((name, both(words[name])) for name in DROP_TABLES))}


def retention_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `retention`."""
    days = {"en": "{} days", "fr": "{} jours"}
    rows = [
        (what, {name: days[name].format(home.params[setting]) for name in days}, setting) for what, setting in CLOCKS
    ]
    rows.insert(1, (NOT_PERTINENT, AT_ONCE, ""))
    rows += [(QUARANTINE, {name: days[name].format(QUARANTINE_DAYS) for name in days}, ""), (A_LIST, OWN_DATE, "")]
    erased = [load for load in home.loads if load.kind == ERASURE]
    purged = [load for load in home.loads if load.kind == PURGE]
    return {
        "clocks": Fact({}, home.settings_source(*(setting for _, setting in CLOCKS)), tuple(rows)),
        "purges": _purges(home),
        "erasures": Fact({"persons": len(erased), "lists": len(purged)}, (home.loads_source(),)),
    }


def last_purge(home: Reading) -> date | None:
    """The day of the last purge that the home has a report of."""
    days = [day for day, _ in _reports(home)]
    return max(days, default=None)


def list_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `lists`."""
    return {"lists": _lists(home), "coverage": _coverage(home)}


def fairness_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `fairness`."""
    drawn = (
        Fact({"drawn": home.last["flagged"].get("audit", 0)}, (home.run_source(home.last_night),))
        if home.last
        else None
    )
    return {"measured": _fairness(home), "sample": drawn}


def incident_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `incidents`."""
    runs, sources = home.runs, (home.runs_source(),)
    nights = [*runs]
    accepted = tuple((night, free_text(run["accepted"])) for night, run in runs.items() if run.get("accepted"))
    kinds = Counter(each["code"] if each else "other" for run in runs.values() for each in run.get("warning_codes", ()))
    breaks = [(number, why) for number, _, why in home.review.oversight.breaks] if home.review else []
    broken = (*breaks, *(("", each) for each in (home.review.findings if home.review else ())))
    missing = tuple((night,) for night in home.missing_nights)
    failed = tuple(
        (night, facts.get("exit_code"), _meaning(facts.get("exit_code"))) for night, facts in home.failed_nights.items()
    )
    of_the_log = {"breaks": _table(broken, home.audit_source())} if home.review else {}
    return of_the_log | {
        "nights": Fact({"many": len(nights), "first": nights[0], "last": nights[-1]}, sources) if nights else None,
        "missing": _table(missing, *sources),
        "failed": _table(failed, *(home.failure_source(night) for night in home.failed_nights)),
        "accepted": _table(accepted, *sources),
        "warnings": Fact({"many": kinds.total()}, sources, tuple(sorted(kinds.items()))) if kinds else None,
        "altered": _table(tuple((name,) for name in home.altered_runs), *sources),
    }


def asset_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `assets`."""
    versions = home.last["versions"] if home.last else {}
    codes = sorted(
        (each.exit_code, each.meaning)
        for each in PayeeWatchError.__subclasses__()
        if each.__module__ == errors.__name__
    )
    form = read_format(home.settings.folder("lake"))
    number = form.format if form else None
    lake = Source(Kind.LAKE, "lake/format.json", short(str(number)))
    return {
        "software": Fact({}, (home.run_source(home.last_night),), tuple((n, str(v)) for n, v in versions.items()))
        if versions
        else None,
        "stores": Fact({}, (Source(Kind.CODE, "pipeline/home/settings.py"),), STORES),
        "format": Fact({"format": number, "params": short(repr(sorted(home.params.items())))}, (lake,)),
        "exit_codes": Fact({}, (Source(Kind.CODE, "pipeline/home/errors.py", short(repr(codes))),), ((0, ""), *codes)),
    }


def _table(rows: tuple[tuple[Any, ...], ...], *sources: Source) -> Fact | None:
    return Fact({"many": len(rows)}, sources, rows) if rows else None


def _meaning(code: Any) -> str:
    return next(
        (each.meaning for each in PayeeWatchError.__subclasses__() if each.exit_code == code), PayeeWatchError.meaning
    )


def _reports(home: Reading) -> list[tuple[date, Path]]:
    """The reports of purges up to the day, oldest first; those about one person are counted by the data store."""
    found = []
    for path in sorted(home.settings.folder("reports").glob("purge-*.txt")):
        match = REPORT.fullmatch(path.name)
        if match and not match[2] and date.fromisoformat(match[1]) <= home.as_of:
            found.append((date.fromisoformat(match[1]), path))
    return found


def _purges(home: Reading) -> Fact | None:
    reports = _reports(home)
    if not reports:
        return None
    rows = tuple((day, _gone(path.read_text(encoding="utf-8"))) for day, path in reports)
    sources = tuple(Source(Kind.FILE, f"reports/{path.name}", hash_of(path)[:DIGEST]) for _, path in reports)
    return Fact({"many": len(reports), "last": reports[-1][0]}, sources, rows)


def _gone(report: str) -> str:
    """The counts of a report, without what is due later."""
    lines = [line.split() for line in report.partition("due in")[0].splitlines() if line.startswith("  ")]
    return "; ".join(f"{line[0]} {line[1]} {line[2]}" for line in lines if len(line) == 3)


def _lists_in_force(home: Reading) -> set[str]:
    last = {load.source: load for load in home.loads if load.kind in {"list", PURGE}}
    return {name for name, load in last.items() if load.kind == "list" and load.facts["purge_on"] > str(home.as_of)}


def _lists(home: Reading) -> Fact | None:
    last = {load.source: load for load in home.loads if load.kind == "list"}
    if not last:
        return None
    words, in_force = texts("fields"), _lists_in_force(home)
    rows = tuple(
        (
            name, load.facts["title"], load.facts["source"], load.facts["notification_ref"],
            date.fromisoformat(load.facts["known_at"][:10]), _joined(words, load.facts["fields_exposed"]),
            load.facts["people"]["rows"], date.fromisoformat(load.facts["purge_on"][:10]),
            IN_FORCE if name in in_force else ENDED,
        )
        for name, load in sorted(last.items())
    )  # fmt: skip
    sources = tuple(
        Source(Kind.LIST, f"lake/loads, record {load.sequence}", load.fingerprint[:DIGEST])
        for _, load in sorted(last.items())
    )
    return Fact({"many": len(rows)}, sources, rows)


def _joined(words: dict[str, Any], codes: list[str]) -> dict[str, str]:
    return {name: ", ".join(str(words[code][name]) for code in codes) for name in ("en", "fr")}


def _coverage(home: Reading) -> Fact | None:
    if home.last is None:
        return None
    rows = tuple(
        (
            each["breach_id"],
            each["exposed"],
            Percent(each["exposed_share"]),
            Percent(each.get("changes_exposed_share") or 0),
        )
        for each in home.last.get("lists", ())
    )
    return Fact({}, (home.run_source(home.last_night),), rows) if rows else None


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


def _fairness(home: Reading) -> Fact | None:
    found = measurements(home, FAIRNESS)
    if not found:
        return None
    day, path, content = found[-1]
    rows = tuple(_rates(content))[:SHOWN_RATES]
    source = Source(Kind.FILE, str(path.relative_to(home.settings.folder("reports").parent)), hash_of(path)[:DIGEST])
    return Fact({"first": date.fromisoformat(str(content["first"])), "last": day}, (source,), rows) if rows else None


def _rates(content: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows of a measurement of fairness: attribute, group, measure, share with its interval, whether it differs.

    Without a verdict of an honest change, a share of zero would say that nobody honest is flagged: it is left out.
    """
    was_judged = any((group.get("false_flags") or {}).get("hits") for group in content.get("groups", ()))
    for group in content.get("groups", ()):
        for measure, words in MEASURES.items():
            rate = group.get(measure) or {}
            if rate.get("share") is not None and (was_judged or measure != "false_flags"):
                shares = (Percent(float(rate[name])) for name in ("share", "low", "high"))
                differs = bool(group.get("differs")) if measure == "flagged" else None  # tested for flags alone
                attribute = ATTRIBUTES.get(group["attribute"], group["attribute"])
                yield (attribute, group["name"], words, *shares, differs)
