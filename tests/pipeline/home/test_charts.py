"""The pictures: true to their numbers, told in words, legible in light and dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from payeewatch.pipeline.home import charts
from payeewatch.pipeline.home.charts import Band, Bin, Dot, Part
from payeewatch.pipeline.report.report import environment

BINS = [Bin("usual", 90, 0, 90.0), Bin("1 in 10", 9, 1, 10.0), Bin("1 in 100", 1, 1, 0.0)]
PARTS = [Part("one", 30.0, "30 EUR", "bar"), Part("two", 10.0, "10 EUR", "c-hold")]
PICTURES = {
    "nights": charts.nights("Claims, by night", [5, 7, 30], Band(4, 6, 8)),
    "histogram": charts.histogram("Scores", BINS, 1.5, "cut"),
    "shares": charts.shares("Euros", PARTS),
    "rows": charts.rows("Seconds", PARTS),
    "by_day": charts.by_day("Euros by day", [("3 Sep", PARTS), ("4 Sep", [])]),
    "dots": charts.dots("Flags", "number 1: 1 in 10", [Dot(1.0, 5.0, "1", "c-hold")], [(0.0, "usual")], "Euros"),
    "no nights but one": charts.nights("Claims, by night", [0], None),
    "an empty histogram": charts.histogram("Scores", [], None),
    "nothing to share": charts.shares("Euros", [Part("one", 0.0, "0 EUR", "bar")]),
    "no rows": charts.rows("Seconds", []),
}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return ElementTree.fromstring(request.param)


def widths(svg, colour):
    return [float(r.get("width")) for r in ElementTree.fromstring(svg).iter("rect") if colour in r.get("class")]


def heights(svg, colour):
    return [float(r.get("height")) for r in ElementTree.fromstring(svg).iter("rect") if r.get("class") == colour]


def test_a_picture_has_a_title_and_a_description(picture):
    assert picture.find("title").text
    assert picture.find("desc").text


def test_no_shape_leaves_its_picture(picture):
    _, _, width, height = map(float, picture.get("viewBox").split())
    for shape in picture.iter("rect"):
        x, y, wide, tall = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
        assert min(x, y, wide, tall) >= 0
        assert x + wide <= width + 2
        assert y + tall <= height + 0.1


def test_every_colour_is_in_the_style():
    style = environment().get_template("page.css.j2").render()
    used = {
        name for svg in PICTURES.values() for names in re.findall(r'class="([^"]+)"', svg) for name in names.split()
    }
    unstyled = {name for name in used if f".{name}" not in style}
    assert unstyled <= {"label"}  # takes the colour of all text


def test_columns_are_as_high_as_their_numbers():
    first, second = heights(charts.nights("Claims", [10, 20, 20], None), "bar-soft")
    assert second == pytest.approx(2 * first, rel=0.01)


def test_a_night_far_above_the_others_does_not_flatten_them():
    svg = charts.nights("Claims", [100_000, 10, 12], Band(9, 10, 12))
    assert heights(svg, "now")[0] > 50


def test_a_whole_is_cut_in_proportion():
    bar = widths(charts.shares("Euros", PARTS, width=400), "bar")[0]
    assert bar == pytest.approx(300 - 1.5)


def test_rows_can_be_compared_with_a_whole():
    half, full = Part("a", 0.5, "50 %", "bar"), Part("b", 1.0, "100 %", "bar")
    shorter, longer = widths(charts.rows("Shares", [half, full], whole=1.0), "bar")
    only = widths(charts.rows("Shares", [half], whole=1.0), "bar")[0]
    assert longer == pytest.approx(2 * shorter, rel=0.01)
    assert only == shorter


def test_a_histogram_shows_its_counts_and_its_cut():
    svg = PICTURES["histogram"]
    assert "1 in 10: 9, 1 of them in a queue" in svg
    assert 'class="cut"' in svg
    assert 'class="cut"' not in charts.histogram("Scores", BINS, None)


def test_text_is_escaped():
    svg = charts.rows("<b>", [Part("<i>&", 1.0, "\"'<", "bar")])
    assert "<b>" not in svg
    assert "<i>" not in svg
    ElementTree.fromstring(svg)


def palettes():
    """The light palette and the dark one over it: name -> hex colour."""
    style = environment().get_template("page.css.j2").render()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in (light, dark)]
    return {"light": colours[0], "dark": colours[0] | colours[1]}


def contrast(one, other):
    """As WCAG 2 defines it, 1 to 21."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


COLOUR_PAIRS = [
    *((text, ground) for text in ("ink", "muted", "accent") for ground in ("paper", "panel")),
    *((tone, f"{tone}-soft") for tone in ("hold", "review", "audit", "good", "warn", "bad")),
    *(("ink", ground) for ground in ("soft", "accent-soft", "good-soft", "warn-soft", "bad-soft")),
    *(("muted", ground) for ground in ("warn-soft", "bad-soft", "accent-soft")),
    *((tone, "panel") for tone in ("hold", "review", "audit", "good", "warn", "bad")),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), COLOUR_PAIRS)
def test_text_can_be_read_on_its_ground(scheme, text, ground):
    palette = palettes()[scheme]
    assert contrast(palette[text], palette[ground]) >= 4.5
