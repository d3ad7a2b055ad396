"""Retention: every clock, from the settings and the code, and what was purged and erased."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.dossier.reading import DIGEST, Reading, short
from payeewatch.dossier.statements import Both, Fact, Kind, Source
from payeewatch.dossier.words import NO_BREAK, NONE, both, filled, texts, word
from payeewatch.pipeline.home import retention_periods
from payeewatch.pipeline.home.contents import hash_of
from payeewatch.pipeline.store.lake import PURGE
from payeewatch.pipeline.store.tombstones import ERASURE

REPORT = re.compile(r"purge-(\d{4}-\d{2}-\d{2})(-person)?\.txt")
DAYS = {"en": "{} days {}", "fr": "{} jours {}"}
NONE_YET = {
    "en": " (none could be: the first night was on {first})",
    "fr": " (aucun ne le pouvait : la première nuit était le {first})",
}


def retention_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `retention`."""
    erased = [load for load in home.loads if load.kind == ERASURE]
    purged = [load for load in home.loads if load.kind == PURGE]
    return {
        "clocks": _clocks(home),
        "purges": _purges(home),
        "waiting": _waiting(home),
        "erasures": Fact({"persons": len(erased), "lists": len(purged)}, (home.loads_source(),)),
    }


def last_purge(home: Reading) -> date | None:
    """The day of the last purge that the home has a report of."""
    return max((day for day, _ in _reports(home)), default=None)


def constants() -> dict[str, int]:
    """The numbers of days that are no setting."""
    return {name: value for name, value in vars(retention_periods).items() if name.endswith("_DAYS")}


def _clocks(home: Reading) -> Fact:
    entries, days = texts("clocks"), constants() | dict(home.params)
    rows = tuple((both(each["what"]), _term(each, days), _setting(each)) for each in entries)
    names = sorted({name for each in entries if (name := _setting(each)) in home.params})
    code = Source(Kind.CODE, "pipeline/home/retention_periods.py", short(repr(sorted(constants().items()))))
    text = Source(Kind.CODE, "dossier/texts/clocks.yaml", short(repr(entries)))
    return Fact({"many": len(rows)}, (*home.settings_source(*names), code, text), rows)


def _term(entry: Mapping[str, Any], days: Mapping[str, Any]) -> Both:
    if "days" not in entry:
        return both(entry["term"])
    since = both(entry["since"])
    return {name: DAYS[name].format(word(days[entry["days"]], name), since[name]) for name in DAYS}


def _setting(entry: Mapping[str, Any]) -> str:
    """The setting, or the constant of the code, that a term comes from; empty where it is in the text."""
    return str(entry.get("days") or entry.get("setting") or "")


def _waiting(home: Reading) -> Fact | None:
    """The flags on the last night's list, and how long they have been there."""
    import pyarrow.parquet as pq

    path = home.settings.folder("flags") / f"{home.last_night}.parquet"
    if home.last_night is None or not path.exists():
        return None
    days = pq.read_table(path, columns=["first_flagged_on"]).column("first_flagged_on").to_pylist()
    over = sum((home.as_of - day).days > home.params["retention.qualify_days"] for day in days)
    first = next(iter(home.runs))
    is_early = (home.as_of - first).days <= home.params["retention.qualify_days"]
    none_yet = filled(NONE_YET, {"first": first}) if is_early else dict.fromkeys(NONE_YET, "")
    values = {
        "flags": len(days), "oldest": min(days, default=None), "over": over, "none_yet": none_yet,
        "standing": home.review.standing if home.review else None,
        "before": home.review.standing_from_before if home.review else None,
    }  # fmt: skip
    return Fact(values, (home.run_source(home.last_night),)) if days else None


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


def _gone(report: str) -> Both:
    """What the reports of a day say went, by clock and store, without what is due later."""
    clocks: dict[str, Counter[str]] = {}
    for line in (line for each in report.split("gone as of") for line in each.partition("due in")[0].splitlines()):
        clock, _, rest = line.strip().partition(" ")
        store, _, many = rest.strip().rpartition(" ")
        if line.startswith("  ") and many.replace(",", "").isdigit():
            clocks.setdefault(clock, Counter())[store.strip()] += int(many.replace(",", ""))
    return {
        name: ("; " if name == "en" else f"{NO_BREAK}; ").join(
            f"{_clock(clock, name)} ({', '.join(f'{store} {word(many, name)}' for store, many in stores.items())})"
            for clock, stores in clocks.items()
        )
        or NONE[name]
        for name in DAYS
    }


def _clock(code: str, language: str) -> str:
    """A clock as people call it."""
    known = texts("purged").get(code)
    return both(known)[language] if known else code
