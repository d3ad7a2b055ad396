"""Small pictures as inline SVG: they print, they follow light and dark, and they need no script.

Colours are classes of `templates/page.css.j2`. Every picture has a title and a description for those who
cannot see it, and all text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 500
"""The width of half a page, in units that are pixels when nothing is scaled."""


@dataclass(frozen=True)
class Band:
    """What is usual: the middle of past values and the range that contains most of them."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Bin:
    """One column of a histogram: how many are in it, how many of those are flagged, and how many are expected."""

    label: str
    total: int
    flagged: int
    expected: float


@dataclass(frozen=True)
class Part:
    """One share of a whole: its name, its amount, how the amount is worded, and the class of its colour."""

    name: str
    amount: float
    worded: str
    colour: str


def nights(title: str, values: Sequence[float], band: Band | None, description: str = "") -> Markup:
    """Columns, one per night, tonight's last, with the usual range behind them. `description` replaces the text."""
    height, floor = 96, 92
    top = max([values[-1] * 1.05, (band.high if band else max(values)) * 1.35, 1.0])
    step = WIDTH / max(len(values), 12)
    first_x = WIDTH - step * len(values)
    shapes = []
    if band:
        upper, lower = (floor - floor * min(edge / top, 1) for edge in (band.high, band.low))
        middle = floor - floor * min(band.middle / top, 1)
        shapes += [
            f'<rect class="band" x="0" y="{upper:.1f}" width="{WIDTH}" height="{max(lower - upper, 1):.1f}"/>',
            f'<line class="usual" x1="0" x2="{WIDTH}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
        ]
    for position, value in enumerate(values):
        tall = floor * min(value / top, 1)
        colour = "now" if position == len(values) - 1 else "bar-soft"
        x = first_x + position * step + step * 0.14
        shapes.append(
            f'<rect class="{colour}" x="{x:.1f}" y="{floor - tall:.1f}" '
            f'width="{step * 0.72:.1f}" height="{tall:.1f}" rx="1.5"/>'
        )
    shapes.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{floor}" y2="{floor}"/>')
    usual = f" Usually between {band.low:,.0f} and {band.high:,.0f}." if band else ""
    description = description or f"{len(values)} nights; tonight {values[-1]:,.0f}.{usual}"
    return _svg(title, description, WIDTH, height, shapes)


def histogram(title: str, bins: Sequence[Bin], cut: float | None, cut_label: str = "cut", width: int = 1060) -> Markup:
    """Columns on a logarithmic height, flagged ones darker, and a dashed step where honest changes alone would be.

    `cut` is a place on the axis in bins (2.5: the middle of the third).
    """
    left_margin, top, floor = 44, 26, 226
    step = (width - left_margin) / max(len(bins), 1)
    most = max([2.0, *(b.total for b in bins), *(b.expected for b in bins)])
    decades = math.ceil(math.log10(most + 1))

    def height_of(number: float) -> float:
        return (floor - top) * math.log10(number + 1) / decades

    shapes = []
    for power in range(decades + 1):
        y = floor - height_of(10**power if power else 1)
        shapes += [
            f'<line class="grid-line" x1="{left_margin}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>',
            text(left_margin - 8, y + 4, f"{10**power:,}", "label", "end"),
        ]
    for position, item in enumerate(bins):
        x = left_margin + position * step
        shapes += _column(x + step * 0.12, step * 0.76, floor, height_of(item.total), height_of(item.flagged))
        y = floor - height_of(item.expected)
        shapes.append(
            f'<line class="usual" x1="{x + step * 0.04:.1f}" x2="{x + step * 0.96:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        if item.total:
            shapes.append(text(x + step / 2, floor - height_of(item.total) - 6, f"{item.total:,}", "strong", "middle"))
        shapes.append(text(x + step / 2, floor + 18, item.label, "label", "middle"))
    shapes.append(f'<line class="axis" x1="{left_margin}" x2="{width}" y1="{floor}" y2="{floor}"/>')
    if cut is not None:
        x = left_margin + min(max(cut, 0.0), len(bins)) * step
        anchor, nudge = ("end", -6) if cut > len(bins) / 2 else ("start", 6)
        shapes += [
            f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{floor}"/>',
            text(x + nudge, 12, cut_label, "cut-label", anchor),
        ]
    description = "; ".join(f"{b.label}: {b.total:,}, {b.flagged:,} of them in a queue" for b in bins if b.total)
    return _svg(title, description or "No change was scored.", width, floor + 28, shapes)


def _column(x: float, width: float, floor: float, total: float, flagged: float) -> list[str]:
    shapes = []
    if total > 0:
        shapes.append(
            f'<rect class="bar-soft" x="{x:.1f}" y="{floor - total:.1f}" width="{width:.1f}" '
            f'height="{total:.1f}" rx="2"/>'
        )
    if flagged > 0:
        shapes.append(
            f'<rect class="c-hold" x="{x:.1f}" y="{floor - flagged:.1f}" width="{width:.1f}" '
            f'height="{flagged:.1f}" rx="2"/>'
        )
    return shapes


def by_day(title: str, days: Sequence[tuple[str, Sequence[Part]]]) -> Markup:
    """Stacked columns, one per day, with their total above; parts from bottom to top."""
    height, top, floor = 190, 24, 162
    most = max((sum(part.amount for part in parts) for _, parts in days), default=0) or 1
    step = WIDTH / max(len(days), 1)
    shapes, descriptions = [], []
    for position, (label, parts) in enumerate(days):
        middle, y = (position + 0.5) * step, float(floor)
        wide = min(step * 0.62, 54)
        for part in parts:
            tall = (floor - top) * part.amount / most
            y -= tall
            if part.amount > 0:
                shapes.append(
                    f'<rect class="{part.colour}" x="{middle - wide / 2:.1f}" y="{y:.1f}" width="{wide:.1f}" '
                    f'height="{max(tall - 1, 1):.1f}" rx="2"/>'
                )
        whole = f"{sum(part.amount for part in parts):,.0f}"
        shapes += [
            text(middle, y - 7, whole, "strong", "middle"),
            text(middle, floor + 18, label, "label", "middle"),
        ]
        descriptions.append(f"{label}: " + ", ".join(f"{part.name} {part.worded}" for part in parts if part.amount > 0))
    shapes.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{floor}" y2="{floor}"/>')
    return _svg(title, "; ".join(descriptions) or "Nothing is planned.", WIDTH, height, shapes)


@dataclass(frozen=True)
class Dot:
    """One point: how far along, how high, the number inside, and the class of its colour."""

    x: float
    y: float
    number: str
    colour: str


def dots(
    title: str, description: str, points: Sequence[Dot], ticks_x: Sequence[tuple[float, str]], name_y: str
) -> Markup:
    """Numbered points. `x` runs as the ticks do; heights are drawn on a square root, so that small sums show."""
    height, left_margin, top, floor = 190, 8, 24, 162
    far = max([tick for tick, _ in ticks_x] + [point.x for point in points]) or 1
    high = max((point.y for point in points), default=0) or 1
    room_x, room_y = WIDTH - left_margin - 16, floor - top - 14
    shapes = [text(0, 12, f"{name_y}, up to {high:,.0f}", "label", "start")]
    for tick, label in ticks_x:
        x = left_margin + 8 + room_x * tick / far
        anchor = "end" if tick == far else "middle" if tick else "start"
        shapes += [
            f'<line class="grid-line" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{floor}"/>',
            text(x, floor + 18, label, "label", anchor),
        ]
    shapes.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{floor}" y2="{floor}"/>')
    for point in reversed(points):
        x, y = left_margin + 8 + room_x * point.x / far, floor - 10 - room_y * (max(point.y, 0) / high) ** 0.5
        shapes += [
            f'<circle class="dot {point.colour}" cx="{x:.1f}" cy="{y:.1f}" r="9.5"/>',
            text(x, y + 4, point.number, "in-dot", "middle"),
        ]
    return _svg(title, description, WIDTH, height, shapes)


def shares(title: str, parts: Sequence[Part], width: int = 1060) -> Markup:
    """One whole as a bar cut into its parts, each named below with its amount."""
    whole = sum(part.amount for part in parts)
    shapes, x = [], 0.0
    for part in parts:
        wide = width * part.amount / whole if whole else 0.0
        if part.amount > 0:
            shapes.append(
                f'<rect class="{part.colour}" x="{x:.1f}" y="0" width="{max(wide - 1.5, 1.5):.1f}" height="26" rx="3"/>'
            )
        x += wide
    column = width / max(len(parts), 1)
    for position, part in enumerate(parts):
        column_x = position * column
        shapes += [
            f'<rect class="{part.colour}" x="{column_x:.1f}" y="42" width="10" height="10" rx="2"/>',
            text(column_x + 17, 51, part.name, "label", "start"),
            text(column_x + 17, 69, part.worded, "strong", "start"),
        ]
    description = "; ".join(f"{part.name}: {part.worded}" for part in parts)
    return _svg(title, description, width, 76, shapes)


def rows(title: str, parts: Sequence[Part], whole: float | None = None, name_width: int = 120) -> Markup:
    """One horizontal bar per part, its amount in words at the end; the full width is `whole`, or the longest bar."""
    most = whole or max((part.amount for part in parts), default=0) or 1
    width = WIDTH
    room = width - name_width - 80
    shapes = []
    for position, part in enumerate(parts):
        y = position * 24
        long = room * part.amount / most
        shapes += [
            text(name_width - 10, y + 15, part.name, "label", "end"),
            f'<rect class="{part.colour}" x="{name_width}" y="{y + 4}" '
            f'width="{max(long, 1.5):.1f}" height="14" rx="2"/>',
            text(name_width + long + 8, y + 15, part.worded, "strong", "start"),
        ]
    description = "; ".join(f"{part.name}: {part.worded}" for part in parts)
    return _svg(title, description or "Nothing to show.", width, max(24 * len(parts), 24), shapes)


def _svg(title: str, description: str, width: float, height: float, shapes: Sequence[str]) -> Markup:
    from markupsafe import Markup, escape

    return Markup(  # nosec B704  # texts are escaped, shapes are numbers
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(shapes)}</svg>"
    )


def text(x: float, y: float, words: object, kind: str, anchor: str) -> str:
    """Words at a place, escaped; `kind` is their class."""
    from markupsafe import escape

    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
