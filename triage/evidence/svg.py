"""A flag's pictures as inline SVG: its timeline, the ring around its account, and a value next to the usual one.

They need no script, follow light and dark through the classes of `evidence.css`, and are next to a table that says the
same; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils.formats import date_format, time_format
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime
from django.utils.translation import gettext as say
from django.utils.translation import ngettext

from payeewatch.pipeline.home.charts import text
from payeewatch.triage.language import phrases

WIDTH, LANE, TOP, FOOT = 640, 38, 20, 22
LEFT_EDGE, RIGHT_EDGE = 150, 632
"""What is drawn begins right of the lanes' names."""
AMOUNT_WIDTH = 52
"""An amount is written over its circle where so much room is free."""
APART = 6
"""Facts of one kind closer than this are drawn as one."""
SMALL, LARGE = 3.2, 10.0
"""Radius of a fact without an amount, and of the largest amount."""


@dataclass(frozen=True)
class Mark:
    """One fact to be drawn. `look` is a class; `title` is shown under the pointer."""

    at: datetime
    lane: str
    kind: str
    look: str
    title: str
    amount: Decimal | None = None
    many: int = 1


@dataclass(frozen=True)
class Frame:
    """Which part of time is drawn, and its marked instants: the change, and the night's end, where knowledge ends."""

    first: datetime
    last: datetime
    change: datetime | None
    night_end: datetime

    def x(self, at: datetime) -> float:
        return LEFT_EDGE + (RIGHT_EDGE - LEFT_EDGE) * ((at - self.first) / (self.last - self.first))


def timeline(title: str, marks: Sequence[Mark], lanes: Sequence[tuple[str, str]], frame: Frame) -> SafeString:
    """Every fact of the frame on one axis, one row per lane; the area of a circle is its amount."""
    visible = [mark for mark in marks if frame.first <= mark.at <= frame.last]
    height = TOP + LANE * len(lanes) + FOOT
    floor = TOP + LANE * len(lanes)
    most = max((mark.amount for mark in marks if mark.amount), default=Decimal(1))
    shapes = [*_ground(frame, floor), *_ticks(frame, floor)]
    for position, (lane, name) in enumerate(lanes):
        y = TOP + LANE * position
        shapes += [
            f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y + LANE}" y2="{y + LANE}"/>',
            *_lane_title(name, y, [mark for mark in marks if mark.lane == lane], frame),
        ]
        drawn = _marks_without_overlap(visible, lane, frame)
        shapes += [_shape(mark, frame, y + 24, most) for mark in drawn]
        shapes += _amounts(drawn, frame, y + 11)
    return _svg("drawing timeline", title, WIDTH, height, shapes)


def _lane_title(name: str, y: float, marks: Sequence[Mark], frame: Frame) -> Iterator[str]:
    """A lane's name, and below it how many of its facts are outside the frame."""
    earlier, later = sum(mark.at < frame.first for mark in marks), sum(mark.at > frame.last for mark in marks)
    before = ngettext("%(many)s earlier", "%(many)s earlier", earlier) % {"many": earlier} if earlier else ""
    after = ngettext("%(many)s later", "%(many)s later", later) % {"many": later} if later else ""
    outside = " · ".join(filter(None, (before, after)))
    yield f'<text class="label" x="0" y="{y + (17 if outside else 24)}">{escape(name)}</text>'
    if outside:
        yield f'<text class="label" x="0" y="{y + 31}">{escape(outside)}</text>'


def _amounts(marks: Sequence[Mark], frame: Frame, y: float) -> Iterator[str]:
    """The amounts of a lane above their circles, the largest first, as far as there is room."""
    places: list[float] = []
    for mark in sorted((m for m in marks if m.amount), key=lambda m: (-(m.amount or 0), m.at)):
        x = frame.x(mark.at)
        if all(abs(x - other) >= AMOUNT_WIDTH for other in places):
            places.append(x)
            yield text(x, y, phrases.rough_euros(mark.amount), "label", _anchor(x))


def _ground(frame: Frame, floor: float) -> Iterator[str]:
    if frame.change and frame.first <= frame.change <= frame.last:
        x = frame.x(frame.change)
        end = frame.x(min(frame.night_end, frame.last))
        yield f'<rect class="since" x="{x:.1f}" y="{TOP}" width="{max(end - x, 0):.1f}" height="{floor - TOP}"/>'
        yield f'<line class="at-change" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{floor}"/>'
        yield text(x, 11, say("the change"), "strong", _anchor(x))
    if frame.first <= frame.night_end <= frame.last:
        x = frame.x(frame.night_end)
        yield f'<line class="at-night" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{floor}"/>'
        if not frame.change or abs(x - frame.x(frame.change)) > 90:
            yield text(x, 11, say("this night"), "label", _anchor(x))


def _ticks(frame: Frame, floor: float) -> Iterator[str]:
    days = max((frame.last - frame.first).days, 1)
    if days <= 75:
        step = 7 if days <= 40 else 14
        at = [frame.first + timedelta(days=n) for n in range(0, days + 1, step)]
        words = [phrases.day(each.date(), year=False) for each in at]
    else:
        months = next(n for n in (1, 2, 3, 6, 12, 24, 60) if days / 30.4 / n <= 8)
        at = list(_months(frame, months))
        words = [date_format(each, "N Y" if days > 300 else "N") for each in at]
    for each, word in zip(at, words, strict=True):
        x = frame.x(each)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor + 4}"/>'
        yield text(x, floor + 16, word, "label", _anchor(x))


def _months(frame: Frame, step: int) -> Iterator[datetime]:
    at = frame.first.year * 12 + frame.first.month  # the first of the next month, counted from year 0
    at += -at % step
    while (each := frame.first.replace(year=at // 12, month=at % 12 + 1, day=1, hour=0, minute=0)) <= frame.last:
        yield each
        at += step


def _anchor(x: float) -> str:
    return "start" if x < LEFT_EDGE + 20 else "end" if x > WIDTH - 40 else "middle"


def _marks_without_overlap(marks: Sequence[Mark], lane: str, frame: Frame) -> list[Mark]:
    """The lane's marks; those that would hide each other become one, with all titles and the sum."""
    marks_by_kind: dict[str, list[Mark]] = {}
    for mark in sorted((m for m in marks if m.lane == lane), key=lambda m: m.at):
        of_kind = marks_by_kind.setdefault(mark.kind, [])
        if of_kind and frame.x(mark.at) - frame.x(of_kind[-1].at) < APART:
            last = of_kind[-1]
            amount = (
                (last.amount or 0) + (mark.amount or 0) if last.amount is not None or mark.amount is not None else None
            )
            of_kind[-1] = replace(last, amount=None if amount is None else Decimal(amount), many=last.many + mark.many)
            of_kind[-1] = replace(of_kind[-1], title=f"{last.title}\n{mark.title}")
        else:
            of_kind.append(mark)
    return [mark for of_kind in marks_by_kind.values() for mark in of_kind]


def _shape(mark: Mark, frame: Frame, y: float, most: Decimal) -> str:
    x, tag = frame.x(mark.at), f"<title>{escape(mark.title)}</title>"
    if mark.lane in ("contact", "change"):
        size = 5.5 if mark.lane == "change" else 4.5
        corners = f"M{x:.1f} {y - size:g}l{size:g} {size:g}-{size:g} {size:g}-{size:g}-{size:g}z"
        return f'<path class="{mark.look}" d="{corners}">{tag}</path>'
    if mark.lane == "exposure":
        return f'<rect class="{mark.look}" x="{x - 4.5:.1f}" y="{y - 4.5:g}" width="9" height="9" rx="1.5">{tag}</rect>'
    radius = SMALL
    if mark.amount:
        radius += (LARGE - SMALL) * float(min(mark.amount / most, Decimal(1))) ** 0.5
    return f'<circle class="{mark.look}" cx="{x:.1f}" cy="{y:g}" r="{radius:.1f}">{tag}</circle>'


@dataclass(frozen=True)
class Minute:
    """One fact of the hours around the change: when, in words, and its look."""

    at: datetime
    words: str
    look: str


AROUND = timedelta(hours=1)
"""How far before and after the change the picture of its minutes reaches."""
QUARTER = timedelta(minutes=15)


def minutes(title: str, facts: Sequence[Minute], change: datetime) -> SafeString:
    """The two hours around a change, one fact a row, in order: its time and words left, its place in time right."""
    left, row = 300, 22
    frame_start, floor = change - AROUND, TOP + row * len(facts)

    def x(at: datetime) -> float:
        return left + (RIGHT_EDGE - left) * ((at - frame_start) / (2 * AROUND))

    shapes = [f'<line class="at-change" x1="{x(change):.1f}" x2="{x(change):.1f}" y1="{TOP - 4}" y2="{floor}"/>']
    shapes.append(text(x(change), 11, say("the change"), "strong", "middle"))
    tick = frame_start + QUARTER - timedelta(minutes=frame_start.minute % 15, seconds=frame_start.second)
    while tick <= change + AROUND:
        shapes.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{floor + 4}"/>')
        if tick.minute % 30 == 0:
            shapes.append(text(x(tick), floor + 16, _clock(tick), "label", "middle"))
        tick += QUARTER
    for place, fact in enumerate(facts):
        y = TOP + row * place + row / 2
        shapes.append(f'<line class="grid" x1="{left}" x2="{RIGHT_EDGE}" y1="{y:g}" y2="{y:g}"/>')
        shapes.append(text(0, y + 4, f"{_clock(fact.at)}  {fact.words}", "label", "start"))
        shapes.append(f'<circle class="{fact.look}" cx="{x(fact.at):.1f}" cy="{y:g}" r="4.5"/>')
    return _svg("drawing timeline minutes", title, WIDTH, floor + FOOT, shapes)


def _clock(at: datetime) -> str:
    return time_format(localtime(at).time(), "H:i")


@dataclass(frozen=True)
class Tie:
    """One payee tied to the flagged one: how, and the state of their own flag."""

    name: str
    relations: tuple[str, ...]
    state: str = ""
    look: str = ""  # of the state: hold, good, bad ...
    address: str = ""  # of their flag


def ring(title: str, own: str, relations: Sequence[tuple[str, str]], ties: Sequence[Tie]) -> SafeString:
    """The flagged payee at the left, what is shared in the middle, the others at the right, each leading to its
    flag."""
    hub_x, tie_x, row = 236, 400, 30
    height = max(row * max(len(ties), len(relations)) + 16, 62)
    shapes: list[str] = []
    hubs = {code: (position + 0.5) * height / len(relations) for position, (code, _) in enumerate(relations)}
    places = [8 + row * (position + 0.5) + (height - 16 - row * len(ties)) / 2 for position in range(len(ties))]
    for y in hubs.values():
        shapes.append(_curve(112, height / 2, hub_x - 60, y))
    for tie, y in zip(ties, places, strict=True):
        shapes += [_curve(hub_x + 60, hubs[code], tie_x, y) for code in tie.relations]
    shapes.append(f'<rect class="node own" x="4" y="{height / 2 - 14:.1f}" width="108" height="28" rx="14"/>')
    shapes.append(text(58, height / 2 + 4, own, "strong", "middle"))
    for code, name in relations:
        y = hubs[code]
        shapes.append(f'<rect class="node hub" x="{hub_x - 60}" y="{y - 12:.1f}" width="120" height="24" rx="4"/>')
        shapes.append(text(hub_x, y + 4, name, "label", "middle"))
    for tie, y in zip(ties, places, strict=True):
        shapes.append(_tie(tie, tie_x, y))
    return _svg("drawing ring", title, WIDTH, height, shapes)


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (x1 + x2) / 2
    return f'<path class="edge" d="M{x1:g} {y1:.1f}C{middle:g} {y1:.1f} {middle:g} {y2:.1f} {x2:g} {y2:.1f}"/>'


def _tie(tie: Tie, x: float, y: float) -> str:
    look = f" is-{tie.look}" if tie.look else ""
    shapes = (
        f'<rect class="node{look}" x="{x}" y="{y - 12:.1f}" width="232" height="24" rx="12"/>'
        f"{text(x + 14, y + 4, tie.name, 'strong', 'start')}{text(x + 220, y + 4, tie.state, 'label', 'end')}"
    )
    return f'<a href="{escape(tie.address)}">{shapes}</a>' if tie.address else shapes


def bars(now: float, usual: float | None) -> SafeString:
    """A value above the usual one, as two bars on one scale; the page writes their numbers next to them."""
    most = max(now, usual or 0) or 1
    shapes = [f'<rect class="now" x="0" y="1" width="{max(96 * now / most, 1.5):.1f}" height="6" rx="1.5"/>']
    if usual is not None:
        shapes.append(
            f'<rect class="usual" x="0" y="9" width="{max(96 * usual / most, 1.5):.1f}" height="4" rx="1.5"/>'
        )
    picture = f'<svg class="bars" viewBox="0 0 96 14" width="96" height="14" aria-hidden="true">{"".join(shapes)}</svg>'
    return mark_safe(picture)  # nosec B308  # of numbers alone


def tenths(title: str, now: Sequence[float], before: Sequence[float]) -> SafeString:
    """Shares by bin: this night's as columns, the reference's as a line above each."""
    width, height, floor = 220, 56, 54
    step, most = width / len(now), max(*now, *before)
    shapes = []
    for position, (share, usual) in enumerate(zip(now, before, strict=True)):
        x, tall, y = position * step, (floor - 4) * share / most, floor - (floor - 4) * usual / most
        place = f'x="{x + 2:.1f}" y="{floor - tall:.1f}" width="{step - 4:.1f}" height="{tall:.1f}"'
        shapes += [
            f'<rect class="bar-soft" {place}/>',
            f'<line class="usual" x1="{x + 1:.1f}" x2="{x + step - 1:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>',
        ]
    shapes.append(f'<line class="axis" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>')
    return _svg("chart tenths", title, width, height, shapes, role="img")


def frames(change: datetime, facts: Sequence[datetime], night_end: datetime) -> dict[str, tuple[datetime, datetime]]:
    """The zooms: 30 and 90 days around the change, never after what the night knows or plans; and everything."""
    first, last = min([change, *facts]), max([night_end, *facts])
    margin = timedelta(days=1)
    zooms = {}
    for days in (30, 90):
        around = timedelta(days=days)
        zooms[str(days)] = (change - around, max(min(change + around, last), change + margin * 7) + margin)
    zooms["all"] = (first - (last - first) * 0.02 - margin, last + (last - first) * 0.02 + margin)
    return zooms


def _svg(kind: str, title: str, width: float, height: float, shapes: Sequence[str], role: str = "group") -> SafeString:
    start_tag = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="{role}" aria-label="{escape(title)}">'
    return mark_safe(f"{start_tag}{''.join(shapes)}</svg>")  # nosec B308  # texts are escaped
