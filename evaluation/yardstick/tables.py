"""The yardstick's tables, as text and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payeewatch.evaluation.yardstick.comparison import CHANCED, MEASURED, NIGHTS
from payeewatch.evaluation.yardstick.figures import ALL, PER_100K, RATE, SECOND_HALF
from payeewatch.evaluation.yardstick.insurer import DRAWN, FOREIGN
from payeewatch.evaluation.yardstick.nights import CONTROLS_RUN, PRODUCT
from payeewatch.evaluation.yardstick.stories import FIRST

Facts = Mapping[str, Any]
NIGHTS_IN_WORDS = {ALL: "all nights", SECOND_HALF: "second half of the nights"}
TITLES = {FOREIGN: "Foreign insurers", DRAWN: "Drawn insurers of our own"}
UNKNOWN = "–"


@dataclass(frozen=True)
class Table:
    """A title, a sentence that says how to read it, and cells of text. The first column names the row."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(report: Facts) -> list[Table]:
    """Every table of a report; those without rows are left out."""
    out = [table for origin, part in report["origins"].items() for table in _of_origin(TITLES[origin], part)]
    if report["likeness"]:
        out.append(_likeness(report["likeness"], report["same_order"]))
    return [table for table in out if table.rows]


def as_text(table: Table) -> str:
    """The table in columns of equal width."""
    lines = [list(table.head), *(list(row) for row in table.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.head))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([table.title, table.note, "", *text])


def page(report: Facts) -> str:
    """The page of a report."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    folders = ("payeewatch.evaluation", "payeewatch.pipeline.report")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(folder, "templates") for folder in folders]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("yardstick.html.j2").render(
        tables=tables(report), command=report["command"], product=PRODUCT
    )


def _of_origin(title: str, part: Facts) -> Iterator[Table]:
    several = [row for row in part["means"] if row["insurers"] > 1]
    for nights in NIGHTS:
        yield Table(
            f"{title}: means, {NIGHTS_IN_WORDS[nights]}",
            "± is the standard error over insurers and their changes.",
            ["", *map(_name, MEASURED)],
            _rows(part["means"], "detector", nights, MEASURED, _mean),
        )
    for nights in NIGHTS:
        yield Table(
            f"{title}: {PRODUCT} minus another, {NIGHTS_IN_WORDS[nights]}",
            "Insurer by insurer, with a 95 % interval of the mean. One that holds 0 shows no difference.",
            ["", *map(_name, CHANCED)],
            _rows(part["differences"], "control", nights, CHANCED, _difference),
        )
    for nights in NIGHTS:
        yield Table(
            f"{title}: the way from the scorecard to boosting with full labels, {NIGHTS_IN_WORDS[nights]}",
            "The share of it that the product goes, from the means in brackets; with verdicts, of what is left of it.",
            ["", *map(_name, CHANCED)],
            _rows((row | {"row": f"{row['by']}, to {row['to']}"} for row in part["way"]), "row", nights, CHANCED, _way),
        )
    for nights in NIGHTS:
        yield Table(
            f"{title}: means when one insurer is left out, {NIGHTS_IN_WORDS[nights]}",
            "The lowest and the highest.",
            ["", *map(_name, MEASURED)],
            _rows(several, "detector", nights, MEASURED, _without_one),
        )
    for nights in NIGHTS:
        yield Table(
            f"{title}: each insurer, {NIGHTS_IN_WORDS[nights]}",
            "± is the standard error over the insurer's changes.",
            ["", *map(_name, MEASURED)],
            _rows(part["figures"], "row", nights, MEASURED, _figure),
        )
    yield _typologies(title, part["typologies"])
    yield _stories(title, part["stories"])
    yield _calibration(title, part["insurers"])


def _rows(rows: Iterable[Facts], by: str, nights: str, measures: Sequence[Any], cell: Any) -> list[list[str]]:
    """One line per value of `by`, one cell per measure."""
    lines: dict[str, dict[Any, str]] = {}
    for row in rows:
        if row["nights"] == nights:
            lines.setdefault(row[by], {})[row["reviews"], row["measure"]] = cell(row)
    return [[name, *(cells.get(measure, UNKNOWN) for measure in measures)] for name, cells in lines.items()]


def _typologies(title: str, rows: Sequence[Facts]) -> Table:
    names = [PRODUCT, *CONTROLS_RUN]
    found = {(row["typology"], row["detector"], row["reviews"]): row for row in rows}
    kinds = sorted({row["typology"] for row in rows})
    columns = [(name, reviews) for reviews in PER_100K for name in names]
    return Table(
        f"{title}: found by kind of fraud, all nights",
        "How many of all; the number after the name is reviews per 100,000 member payees and night.",
        ["", "changes", *(f"{name} @{reviews}" for name, reviews in columns)],
        [
            [kind, str(found[kind, PRODUCT, PER_100K[0]]["changes"]), *(
                str(found[kind, *column]["found"]) if (kind, *column) in found else UNKNOWN for column in columns
            )]
            for kind in kinds
        ],
    )  # fmt: skip


def _stories(title: str, rows: Sequence[Facts]) -> Table:
    counts = ("flagged", "first", "any")
    total = {"typology": "together"} | {name: sum(row[name] for row in rows) for name in counts}
    return Table(
        f"{title}: reasons that tell what was planted",
        "Of dishonest changes that were flags, on their last night in hold or review.",
        ["", "flags", f"told among the first {FIRST}", "told among all"],
        [[row["typology"], *(str(row[name]) for name in counts)] for row in (*rows, total)] if rows else [],
    )


def _calibration(title: str, insurers: Sequence[Facts]) -> Table:
    names = ("first_night_p0.05", "first_night_p0.01", "all_nights_p0.05", "all_nights_p0.01")
    return Table(
        f"{title}: flags and p-values",
        "Shares of honest changes: each on its first night, and over all nights. Distance: Kolmogorov and Smirnov.",
        ["", "changes", "dishonest", "flags a night", "first night p<=.05", "p<=.01", "all nights p<=.05", "p<=.01",
         "first-night distance"],
        [
            [row["name"], str(row["changes"]), str(row["dishonest"]), f"{row['flags_a_night']:.2f}",
             *(_percent(row[name]) for name in names), _three(row["first_night_distance"])]
            for row in insurers
        ],
    )  # fmt: skip


def _likeness(rows: Sequence[Facts], same_order: bool) -> Table:
    order = "the same" if same_order else "another"
    return Table(
        "Controls on ours beside foreign insurers",
        f"Mean average precision where dishonest changes weigh as if they were {RATE:.0%}. The order is {order}.",
        ["", "ours", "foreign", "difference", "standard error", "allowed", "like foreign"],
        [
            [row["control"], *map(_three, (row["ours"], row["foreign"])), _signed(row["difference"]),
             *map(_three, (row["se"], row["allowed"])), "yes" if row["is_like"] else "no"]
            for row in rows
        ],
    )  # fmt: skip


def _name(measure: tuple[int | None, str]) -> str:
    reviews, name = measure
    return "AP" if reviews is None else f"{name} @{reviews}"


def _mean(row: Facts) -> str:
    return _three(row["mean"]) + ("" if row["se"] is None else f" ±{row['se']:.3f}")


def _figure(row: Facts) -> str:
    return _three(row["figure"]) + ("" if row["se"] is None else f" ±{row['se']:.3f}")


def _difference(row: Facts) -> str:
    return f"{_signed(row['mean'])} ({_signed(row['low'])} to {_signed(row['high'])})"


def _way(row: Facts) -> str:
    share = UNKNOWN if row["share"] is None else f"{row['share']:.0%}"
    return f"{share} ({row['start']:.2f} {row['product']:.2f} {row['end']:.2f})"


def _without_one(row: Facts) -> str:
    return f"{_three(row['lowest_without_one'])} to {_three(row['highest_without_one'])}"


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no -0.000


def _three(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"
