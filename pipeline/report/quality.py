"""The quality page: what was read, what was rejected and why, as one self-contained HTML page. Facts in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from payeewatch.pipeline.home import charts, wording
from payeewatch.pipeline.home.charts import Part
from payeewatch.pipeline.ingest.checks import Severity, rules
from payeewatch.pipeline.report.report import environment, usual
from payeewatch.pipeline.tables import DROP_TABLES

Facts = Mapping[str, Any]
"""What a drop's load record says under `facts`."""

USUAL_DROPS = 28
"""The usual range comes from at most this many earlier drops."""
SEVERITIES = {
    Severity.REJECT: ("row rejected", "bad"),
    Severity.NULL: ("cell made empty", "warn"),
    Severity.UNKNOWN: ("cell made “unknown”", "warn"),
    Severity.WARNING: ("noted, row kept", ""),
}
"""What a broken rule costs, in words, and the tone of its mark."""
EUROS = (
    ("accepted", "accepted", "c-good"),
    ("rejected", "rejected", "c-bad"),
    ("duplicate", "outdone by a later row", "c-warn"),
)


def quality_page(night: date, drops: Sequence[Facts], history: Sequence[Facts] = (), refusal: str = "") -> str:
    """The page of one night.

    `drops` are the facts of the drops it loaded (or refused), `history` those of earlier drops, oldest first,
    `refusal` why the night stopped, if it did.
    """
    return (
        environment()
        .get_template("quality.html.j2")
        .render(
            night=night,
            refusal=refusal,
            headline=headline(drops),
            figures=figures(drops),
            drops=[_drop(facts, history) for facts in drops],
        )
    )


def headline(drops: Sequence[Facts]) -> str:
    """The night's data in a sentence."""
    read, rejected = _total(drops, "rows_read"), _total(drops, "rows_rejected")
    if not read:
        return "Nothing new was sent."
    rejects = f"{rejected:,} rejected ({wording.share(rejected / read)})" if rejected else "none rejected"
    days = "" if len(drops) == 1 else f" from {len(drops)} drops"
    return f"{wording.count_text(read, 'row')} read{days}, {rejects}."


def figures(drops: Sequence[Facts]) -> list[dict[str, str]]:
    """The few numbers at the top."""
    rejected = _total(drops, "rows_rejected")
    cells = _total(drops, "cells_nulled") + _total(drops, "cells_unknown")
    warned = sum(sum(facts["warnings"].values()) for _, facts in _tables(drops))
    unscored = sum(len(drop.get("unscored_changes", ())) for drop in drops)
    return [
        _figure(_total(drops, "rows_read"), "rows read", "in every table"),
        _figure(rejected, "rows rejected", "kept in quarantine", bad=bool(rejected)),
        _figure(cells, "cells made empty or unknown", "their rows are kept"),
        _figure(warned, "warnings", "rows kept as they are"),
        _figure(unscored, "unscored changes", "bank changes rejected", bad=bool(unscored)),
    ]


def _figure(value: int, label: str, note: str, *, bad: bool = False) -> dict[str, str]:
    return {"value": f"{value:,}", "label": label, "note": note, "tone": "warn" if bad else ""}


def _total(drops: Sequence[Facts], count: str) -> int:
    return sum(facts[count] for _, facts in _tables(drops))


def _tables(drops: Sequence[Facts]) -> list[tuple[str, Facts]]:
    return [(table, facts) for drop in drops for table, facts in drop["tables"].items()]


def _drop(facts: Facts, history: Sequence[Facts]) -> dict[str, Any]:
    """One drop's section."""
    tables = facts["tables"]
    return {
        "day": facts["day"],
        "mode": facts["mode"],
        "tables": [
            {"name": table} | dict(table_facts) | {"adds_up": adds_up(table_facts)}
            for table, table_facts in tables.items()
        ],
        "shares": _shares(tables),
        "rules": [row for table, table_facts in tables.items() for row in _rules(table, table_facts)],
        "euros": [row for table, table_facts in tables.items() if (row := _euros(table, table_facts))],
        "volumes": _volumes(facts, history),
        "notes": _notes(facts),
        "unscored": facts.get("unscored_changes", []),
        "assumed": facts.get("assumed_known", {}),
    }


def adds_up(facts: Facts) -> bool:
    """Whether every row and every cent that was read is accounted for."""
    rows = facts["rows_read"] == facts["rows_accepted"] + facts["rows_rejected"] + facts["duplicates"]
    cents = facts.get("cents")
    return rows and (not cents or cents["read"] == cents["accepted"] + cents["rejected"] + cents["duplicate"])


def _shares(tables: Mapping[str, Facts]) -> Any:
    """How much of each table was rejected."""
    parts = [
        Part(
            table,
            facts["rows_rejected"] / facts["rows_read"],
            wording.share(facts["rows_rejected"] / facts["rows_read"]),
            "c-bad",
        )
        for table, facts in tables.items()
        if facts["rows_rejected"]
    ]
    return charts.rows("Share of rows rejected, by table", parts) if parts else None


def _rules(table: str, facts: Facts) -> list[dict[str, Any]]:
    """The rules that rows broke, the costliest first."""
    rules_by_name = {rule.name: rule for rule in rules(DROP_TABLES[table])}
    order = list(SEVERITIES)
    rows = []
    for rule, broken in facts["rules"].items():
        severity = Severity(broken["severity"])
        says, tone = SEVERITIES[severity]
        rows.append(
            {
                "table": table,
                "rule": rule,
                "column": broken["column"],
                "sentence": rules_by_name[rule].sentence if rule in rules_by_name else "",
                "rows": broken["rows"],
                "share": broken["rows"] / facts["rows_read"],
                "cost": says,
                "tone": tone,
                "order": order.index(severity),
            }
        )
    return sorted(rows, key=lambda row: (row["order"], -row["rows"], row["rule"]))


def _euros(table: str, facts: Facts) -> dict[str, Any] | None:
    """Where a table's euros went."""
    cents = facts.get("cents")
    if not cents:
        return None
    parts = [Part(words, cents[key], wording.cents(cents[key]), colour) for key, words, colour in EUROS]
    return {
        "table": table,
        "read": cents["read"],
        "unreadable": facts["amounts_unreadable"],
        "picture": charts.shares(f"Euros of {table} read", parts, charts.WIDTH),
    }


def _volumes(facts: Facts, history: Sequence[Facts]) -> list[dict[str, Any]]:
    """Rows read, with those of earlier daily drops; a first drop contains years, so it is not compared."""
    if facts["mode"] == "first":
        return []
    past = [drop for drop in history if drop["mode"] == "next" and drop["day"] < facts["day"]][-USUAL_DROPS:]
    rows = []
    for table in DROP_TABLES:
        before = [drop["tables"].get(table, {}).get("rows_read", 0) for drop in past]
        tonight = facts["tables"].get(table, {}).get("rows_read", 0)
        if not any(before) and not tonight:
            continue
        band = usual(before)
        rows.append(
            {
                "name": table,
                "tonight": tonight,
                "says": f"usually {band.low:,.0f} to {band.high:,.0f}"
                if band
                else "too few drops to say what is usual",
                "picture": charts.nights(f"Rows of {table}, by drop", [*before, tonight], band),
            }
        )
    return rows


def _notes(facts: Facts) -> list[str]:
    """What the exporter may want to know."""
    notes = []
    if facts.get("ignored_files"):
        notes.append(f"Files that belong to no table were left alone: {', '.join(facts['ignored_files'])}.")
    for table, table_facts in facts["tables"].items():
        if table_facts["extra_columns"]:
            notes.append(f"{table}: columns nobody reads: {', '.join(table_facts['extra_columns'])}.")
        if table_facts["missing_columns"]:
            notes.append(f"{table}: optional columns that were not sent: {', '.join(table_facts['missing_columns'])}.")
        if table_facts["clamped_known"]:
            notes.append(
                f"{table}: {table_facts['clamped_known']:,} known_at outside the drop's day were moved into it."
            )
        if table_facts.get("rows_erased"):
            notes.append(f"{table}: {table_facts['rows_erased']:,} rows of people who were erased were left out.")
        if table_facts["rows_unchanged"]:
            notes.append(f"{table}: {table_facts['rows_unchanged']:,} rows came again unchanged.")
    return notes
