"""The night's report: one self-contained HTML page for the people who decide. Tables in, text out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from payeewatch.pipeline.home import charts, wording
from payeewatch.pipeline.home.charts import Band, Bin, Dot, Part
from payeewatch.pipeline.home.codes import QUEUES

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Row = dict[str, Any]
Run = Mapping[str, Any]

USUAL_NIGHTS = 28
"""The usual range comes from at most this many earlier nights."""
ENOUGH_NIGHTS = 5
"""Fewer nights than this do not make a usual range."""
RARITY_STEPS = tuple(1 / (head * 10**power) for power in range(6) for head in (1, 3))
"""Edges of the p-value histogram, about half a power of ten apart."""


@dataclass(frozen=True)
class Volume:
    """One count of the night with its usual range, in words and as a picture."""

    name: str
    tonight: int
    says: str
    tone: str
    picture: Markup


def report(night: date, flags: Any, scores: Any, evidence: Any, run: Run, history: Sequence[Run]) -> str:
    """The page of one night.

    `flags`, `scores` and `evidence` are the night's tables (pandas or Arrow), `run` its run record, `history` the run
    records of earlier nights. What is absent from `run` is left out of the page.
    """
    rows = flag_rows(flags, evidence)
    template = environment().get_template("report.html.j2")
    return template.render(
        night=night,
        flags=rows,
        listed=[flag for place, flag in enumerate(rows) if flag["has_card"] or place < MOST_LISTED],
        cards={queue: [f for f in rows if f["queue"] == queue and f["has_card"]] for queue in QUEUES},
        counts=Counter(flag["queue"] for flag in rows),
        headline=headline(rows),
        nothing_to_hold=_state(run, "no_planned_payments"),
        run=run,
        figures=figures(rows),
        calendar=calendar(night, rows),
        map=rarity_and_money(rows),
        volumes=volumes(night, run, history),
        tables=table_rows(run),
        euros=euros(run),
        lists=list_rows(run),
        lists_picture=lists_picture(run),
        distribution=distribution(scores, rows),
        scored=_length(scores),
        unflagged=unflagged(scores),
        stages=stages(run),
    )


def compile_pages() -> None:
    """Compile the pages of a night, which takes a tenth of a second, before they are needed."""
    for page in ("report.html.j2", "quality.html.j2"):
        environment().get_template(page)


@cache
def environment() -> Environment:
    """The templates, compiled once per process; everything that they print is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("payeewatch.pipeline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for word in (
        wording.euros, wording.plain_euros, wording.cents, wording.number, wording.share, wording.one_in,
        wording.rarity, wording.day, wording.long_day, wording.instant, wording.seconds, wording.exposure,
        wording.fact,
    ):  # fmt: skip
        templates.filters[word.__name__] = word
    templates.globals |= {
        "CREED": wording.CREED,
        "QUEUES": QUEUES,
        "counted": wording.count_text,
        "tied": wording.ties_sentence,
    }
    templates.globals["checked"] = wording.check_sentences
    return templates


NO_EVIDENCE: Row = {"timeline": [], "before": None, "after": None, "neighbours": [], "benign_checks": []}


MOST_CARDS = 40
"""Every hold and every new flag has a card. Others get one by rank, until the page has this many cards."""
MOST_LISTED = 500
"""The table lists the flags with a card and, by rank, the first flags up to this place: the page stays small."""


def _state(run: Run, code: str) -> str | None:
    """What the run record says is so every night, if it is."""
    states = zip(run.get("states", ()), run.get("state_codes", ()), strict=False)
    return next((state for state, coded in states if coded and coded["code"] == code), None)


def flag_rows(flags: Any, evidence: Any) -> list[Row]:
    """The queue by rank; a flag that has a card comes with its frozen evidence."""
    rows = sorted(_mappings(flags), key=lambda row: row["rank"])
    for row in rows:
        row |= {name: _date(row[name]) for name in ("night", "first_flagged_on", "first_payment_on")}
        row["is_new"] = row["night"] == row["first_flagged_on"]
        row["next_payment_on"] = _next_payment(row)
        row["has_card"] = row["is_new"] or row["queue"] == "hold"
    room = MOST_CARDS - sum(row["has_card"] for row in rows)
    for row in [row for row in rows if not row["has_card"]][: max(room, 0)]:
        row["has_card"] = True
    in_full = [row["flag_id"] for row in rows if row["has_card"]]
    by_flag = {row["flag_id"]: row for row in _evidence_of(in_full, evidence)}
    for row in rows:
        row["evidence"] = NO_EVIDENCE | by_flag.get(row["flag_id"], {})
    return rows


def _evidence_of(flag_ids: Sequence[str], evidence: Any) -> list[Row]:
    """The evidence of these flags only: to convert all of a night's evidence takes longer than to write the page."""
    if evidence is None or not len(evidence):
        return []
    if hasattr(evidence, "to_pylist"):
        import pyarrow as pa
        import pyarrow.compute as pc

        return _mappings(evidence.filter(pc.is_in(evidence["flag_id"], pa.array(flag_ids, pa.string()))))
    return _mappings(evidence[evidence["flag_id"].isin(list(flag_ids))])


HEADLINES = {
    "hold": "before a payment leaves",
    "review": "to review",
    "audit": "drawn at random to see what is missed",
}


def headline(flags: Sequence[Row]) -> str:
    """The night in a sentence or two."""
    if not flags:
        return "A quiet night: no change stands out enough to be put before a reviewer."
    counts = Counter(flag["queue"] for flag in flags)
    new = sum(flag["is_new"] for flag in flags)
    parts = [f"{counts[queue]} {words}" for queue, words in HEADLINES.items() if counts[queue]]
    return f"{wording.count_text(len(flags), 'change')} in the queue, {new} of them new tonight: {', '.join(parts)}."


def figures(flags: Sequence[Row]) -> list[Row]:
    """The few numbers at the top of the page."""
    boxes = []
    for queue, label in (("hold", "to hold"), ("review", "to review"), ("audit", "in the audit sample")):
        rows = [flag for flag in flags if flag["queue"] == queue]
        risk = sum((flag["amount_at_risk"] or 0) for flag in rows)
        note = f"{wording.rounded_euros(risk)} at risk" if rows else "none tonight"
        boxes.append({"value": str(len(rows)), "label": label, "note": note, "tone": queue})
    worth = [flag for flag in flags if flag["queue"] != "audit"]
    soon = min((flag["next_payment_on"] for flag in worth if flag["next_payment_on"]), default=None)
    risk, paid = (sum((flag[name] or 0) for flag in worth) for name in ("amount_at_risk", "amount_paid"))
    boxes.append(
        {
            "value": wording.rounded_euros(risk),
            "label": "not yet paid, to flagged accounts",
            "note": f"first payment on {wording.day(soon)}" if soon else "no payment planned",
            "tone": "",
        }
    )
    boxes.append(
        {
            "value": wording.rounded_euros(paid),
            "label": "already paid to them",
            "note": "since the change, less returned",
            "tone": "",
        }
    )
    return boxes


def _next_payment(flag: Row) -> date | None:
    """The day on which the next payment leaves. If none is to leave, `first_payment_on` is in the past: None."""
    leaves: date | None = flag["first_payment_on"]
    return leaves if leaves and leaves >= flag["night"] else None


COLOURS = {"hold": "c-hold", "review": "c-review", "audit": "c-audit"}
MOST_DOTS = 40
"""More than this many dots hide each other."""
DAYS_AHEAD = 7
"""The calendar has a column for each of this many days; all payments that leave later share one column."""


def calendar(night: date, flags: Sequence[Row]) -> Markup | None:
    """Euros at risk by the day of the next payment: the urgent ones come first."""
    days: dict[str, Counter[str]] = {
        wording.short_day(night + timedelta(days=ahead)): Counter() for ahead in range(1, DAYS_AHEAD + 1)
    }
    days |= {"later": Counter(), "no date": Counter()}
    for flag in flags:
        leaves = flag["next_payment_on"]
        if leaves is None:
            label = "no date"
        elif leaves == night:
            label = wording.short_day(night + timedelta(days=1))
        else:
            label = wording.short_day(leaves) if leaves <= night + timedelta(days=DAYS_AHEAD) else "later"
        days[label][flag["queue"]] += flag["amount_at_risk"] or 0
    if not any(sum(sums.values()) for sums in days.values()):
        return None
    columns = [
        (
            label,
            [Part(queue, float(sums[queue]), wording.rounded_euros(sums[queue]), COLOURS[queue]) for queue in QUEUES],
        )
        for label, sums in days.items()
        if sums or label not in ("later", "no date")
    ]
    return charts.by_day("Euros at risk by the day of the next payment", columns)


def rarity_and_money(flags: Sequence[Row]) -> Markup | None:
    """The first flags as dots: how rare each is, and how much money is at risk."""
    flags_with_rarity = [f for f in flags if f["p_value"]][:MOST_DOTS]
    if not flags_with_rarity:
        return None
    points = [
        Dot(-math.log10(f["p_value"]), float(f["amount_at_risk"] or 0), str(f["rank"]), COLOURS[f["queue"]])
        for f in flags_with_rarity
    ]
    last = max(math.ceil(max(point.x for point in points)), 1)
    ticks = [(float(power), f"1 in {10**power:,}" if power else "usual") for power in range(last + 1)]
    description = "; ".join(
        f"number {f['rank']}: {wording.one_in(f['p_value'])}, {wording.rounded_euros(f['amount_at_risk'] or 0)}"
        for f in flags_with_rarity
    )
    return charts.dots(
        "Flags by how seldom they are and the euros at risk", description, points, ticks, "Euros at risk"
    )


VOLUMES = (
    ("Claims received", ("tables", "claims", "rows_accepted")),
    ("Payments planned, sent or returned", ("tables", "payments", "rows_accepted")),
    ("Changes newly known", ("changes", "new")),
    ("New flags", ("flagged", "new")),
)
"""What is counted every night, and its place in the run record."""


def volumes(night: date, run: Run, history: Sequence[Run]) -> list[Volume]:
    """The night's counts with those of the nights before; the night that loaded the history is left out."""
    past = [r for r in history if str(r.get("night")) < str(night) and not _loaded_history(r)][-USUAL_NIGHTS:]
    counts = []
    for name, path in VOLUMES:
        tonight = _count_at(run, path)
        if tonight is None:
            continue
        before = [(r, value) for r in past if (value := _count_at(r, path)) is not None]
        same_kind_of_day = [value for r, value in before if _is_weekend(r["night"]) == _is_weekend(night)]
        band = usual(same_kind_of_day if len(same_kind_of_day) >= ENOUGH_NIGHTS else [value for _, value in before])
        picture = charts.nights(f"{name}, by night", [*(value for _, value in before), tonight], band)
        says, tone = _compare(tonight, band)
        counts.append(Volume(name, tonight, says, tone, picture))
    return counts


def usual(values: Sequence[float]) -> Band | None:
    """The median of past values and the range of the middle 80 % of them; None if there are too few."""
    if len(values) < ENOUGH_NIGHTS:
        return None
    ranked = sorted(values)
    at = (len(ranked) - 1) / 10
    return Band(ranked[math.floor(at)], ranked[len(ranked) // 2], ranked[math.ceil(at * 9)])


def _compare(tonight: float, band: Band | None) -> tuple[str, str]:
    if band is None:
        return "too few earlier nights to say what is usual", ""
    usual_range = f"usually {band.low:,.0f} to {band.high:,.0f}"
    if band.low <= tonight <= band.high:
        return usual_range, "good"
    side = "above" if tonight > band.high else "below"
    # one night in five is outside the range: warn only if the distance to the range is more than its width
    beyond = max(tonight - band.high, band.low - tonight)
    if beyond > max(band.high - band.low, 1):
        return f"well {side} the usual ({usual_range})", "warn"
    return f"{side} the usual ({usual_range})", ""


def _loaded_history(run: Run) -> bool:
    """Whether the night read several drops, or the first one: then its counts are not those of one night."""
    drops = run.get("drops") or []
    return len(drops) > 1 or any(isinstance(drop, Mapping) and drop.get("mode") == "first" for drop in drops)


def _is_weekend(night: date | str) -> bool:
    return (date.fromisoformat(night) if isinstance(night, str) else night).weekday() >= 5


COUNTS = ("rows_read", "rows_accepted", "rows_rejected", "duplicates", "cells_nulled", "cells_unknown")


def table_rows(run: Run) -> list[Row]:
    """One row per table: its counts, its warnings, and whether its rows add up."""
    rows = []
    for name, facts in (run.get("tables") or {}).items():
        row: Row = {"table": name, "warnings": facts.get("warnings") or {}}
        row |= {count: int(facts.get(count) or 0) for count in COUNTS}
        row["adds_up"] = row["rows_read"] == row["rows_accepted"] + row["rows_rejected"] + row["duplicates"]
        rows.append(row)
    return rows


def euros(run: Run) -> Row | None:
    """Where the night's claimed euros went, as a picture, and whether they add up to the cent."""
    facts = run.get("euros") or {}
    if "claims_in_cents" not in facts:
        return None
    names = (
        ("payable_to_changed_accounts_cents", "Payable to an account under watch", "c-hold"),
        ("out_of_scope_cents", "Payable to accounts without an open change", "bar"),
        ("rejected_cents", "Rejected on reading", "c-warn"),
    )
    parts = [Part(name, facts.get(key) or 0, wording.cents(facts.get(key) or 0), colour) for key, name, colour in names]
    missing = facts["claims_in_cents"] - sum(facts.get(key) or 0 for key, _, _ in names)
    return {
        "claims_in_cents": facts["claims_in_cents"],
        "missing_cents": missing,
        "unreadable_rows": facts.get("unreadable_rows") or 0,
        "picture": charts.shares("Claimed euros read tonight, by where they are payable", parts),
    }


def list_rows(run: Run) -> list[Row]:
    """One row per breach list, with its matches in words."""
    rows = []
    for item in run.get("lists") or []:
        matches = [
            f"{quality.replace('_', ' ')} {wording.share(many) if isinstance(many, float) else wording.number(many)}"
            for quality, many in (item.get("by_quality") or {}).items()
            if many
        ]
        rows.append({name: item.get(name) for name in LIST_FACTS} | {"matches": ", ".join(matches)})
    return rows


LIST_FACTS = ("breach_id", "title", "known_at", "people", "exposed_share", "lift", "sentence")


def lists_picture(run: Run) -> Markup | None:
    """What share of the members each list covers."""
    parts = [
        Part(item["breach_id"], item["exposed_share"], wording.share(item["exposed_share"]), "bar")
        for item in list_rows(run)
        if item["exposed_share"] is not None
    ]
    return charts.rows("Share of members on each list", parts, whole=1.0) if parts else None


def distribution(scores: Any, flags: Sequence[Row]) -> Markup | None:
    """How unusual tonight's open changes are, compared with honest changes alone."""
    p_values = _numbers(scores, "p_value")
    if not p_values:
        return None
    queued = [f["p_value"] for f in flags if f["queue"] != "audit" and f["p_value"] is not None]
    steps = [edge for edge in RARITY_STEPS if edge >= min(*p_values, 0.02) / 3.4]
    totals, chosen = _bin_counts(p_values, steps), _bin_counts(queued, steps)
    bins = []
    for place, high in enumerate(steps):
        low = steps[place + 1] if place + 1 < len(steps) else 0.0
        label = "usual" if place == 0 else f"1 in {round(1 / high):,}"
        bins.append(Bin(label, totals[place], min(chosen[place], totals[place]), len(p_values) * (high - low)))
    cut = max(queued, default=None)
    return charts.histogram(
        "Open changes by how seldom an honest change is this unusual",
        bins,
        None if cut is None else _place(cut, steps),
        "" if cut is None else f"tonight's cut: {wording.one_in(cut)}",
    )


def _bin_counts(p_values: Sequence[float], steps: Sequence[float]) -> list[int]:
    """How many p-values are at most each step and above the next one; the steps go from high to low."""
    within = np.searchsorted(np.array(steps[::-1]), np.array(p_values, dtype=np.float64), side="left")
    places = np.maximum(len(steps) - within - 1, 0)
    return [int(count) for count in np.bincount(places, minlength=len(steps))]


def _place(p_value: float, steps: Sequence[float]) -> float:
    """Where a p-value lies on the histogram's axis, in bins."""
    place = _bin_counts([p_value], steps).index(1)
    high = steps[place]
    low = steps[place + 1] if place + 1 < len(steps) else high / 3.3
    return place + min(math.log(high / max(p_value, 1e-12)) / math.log(high / low), 1.0)


def unflagged(scores: Any) -> list[tuple[str, int]]:
    """Why the other open changes are in no queue, the most common reason first."""
    counts = Counter(reason for reason in _column(scores, "why_not") if isinstance(reason, str) and reason)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:8]


def stages(run: Run) -> Markup | None:
    """How long each stage took."""
    parts = [Part(stage, took, wording.seconds(took), "bar") for stage, took in (run.get("seconds") or {}).items()]
    return charts.rows("Seconds a stage", parts) if parts else None


def _count_at(run: Run, path: Sequence[str]) -> int | None:
    value: Any = run
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return int(value) if isinstance(value, Integral) else None


def _length(table: Any) -> int:
    return 0 if table is None else len(table)


def _column(table: Any, name: str) -> list[Any]:
    if table is None or name not in (table.column_names if hasattr(table, "column_names") else table.columns):
        return []
    column = table[name]
    return list(column.to_pylist() if hasattr(column, "to_pylist") else column.tolist())


def _numbers(table: Any, name: str) -> list[float]:
    return [value for value in _column(table, name) if value is not None and not math.isnan(value)]


def _mappings(table: Any) -> list[Row]:
    """A pandas or Arrow table as plain mappings: no NaN, no NaT, no arrays."""
    if table is None:
        return []
    if hasattr(table, "to_pylist"):
        return list(table.to_pylist())
    rows = table.to_dict("records")
    return [{name: _plain_value(value) for name, value in row.items()} for row in rows]


def _date(value: date | None) -> date | None:
    """A day from pandas or Arrow as a date, without the time of day."""
    return value.date() if isinstance(value, datetime) else value


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple) or type(value).__name__ == "ndarray":
        return [_plain_value(inner) for inner in value]
    if value is None or value != value:
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value
