"""A flag's pictures: what is drawn, where, and that no text breaks out of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

from payeewatch.triage.evidence.svg import (
    Frame,
    Mark,
    Minute,
    Tie,
    bars,
    frames,
    minutes,
    ring,
    tenths,
    timeline,
)

CHANGE = datetime(2024, 5, 1, tzinfo=UTC)
NIGHT_END = CHANGE + timedelta(days=20)
LANES = [("claims", "Claims"), ("payments", "Payments")]


def mark(days: float, lane: str = "claims", amount: int | None = 10, title: str = "title") -> Mark:
    of = None if amount is None else Decimal(amount)
    return Mark(CHANGE + timedelta(days=days), lane, f"{lane}_kind", "mark", title, of)


def picture_of(*marks: Mark, days: int = 30) -> ElementTree.Element:
    frame = Frame(CHANGE - timedelta(days=days), CHANGE + timedelta(days=days), CHANGE, NIGHT_END)
    return ElementTree.fromstring(timeline("Timeline", marks, LANES, frame))


def test_facts_lie_in_order_of_time_and_larger_amounts_are_larger() -> None:
    first, second = picture_of(mark(-10, amount=5), mark(10, amount=500)).findall("circle")
    assert float(first.attrib["cx"]) < 320 < float(second.attrib["cx"])
    assert float(first.attrib["r"]) < float(second.attrib["r"])


def test_facts_of_a_kind_that_would_hide_each_other_are_drawn_as_one_that_names_both() -> None:
    (circle,) = picture_of(mark(1, title="one"), mark(1.2, title="other")).findall("circle")
    assert circle.findtext("title") == "one\nother"


def test_a_lane_says_how_many_of_its_facts_are_outside() -> None:
    texts = [text.text for text in picture_of(mark(-40), mark(-50), mark(5), mark(35, "payments")).iter("text")]
    assert {"Claims", "2 earlier", "Payments", "1 later"} <= set(texts)


def test_an_amount_is_written_over_its_circle_where_there_is_room() -> None:
    def amounts(*marks: Mark) -> list[str | None]:
        return [text.text for text in picture_of(*marks).iter("text") if text.text and "€" in text.text]

    assert amounts(mark(-10, amount=5), mark(10, amount=500)) == ["€500", "€5.00"]
    assert amounts(mark(9, amount=5), mark(10, amount=500)) == ["€500"]


def test_no_fact_lies_under_the_name_of_its_lane() -> None:
    circles = picture_of(mark(-29, amount=5)).findall("circle")
    assert all(float(circle.attrib["cx"]) - float(circle.attrib["r"]) > 120 for circle in circles)


def test_texts_cannot_break_out_of_the_picture() -> None:
    hostile = '<script>"&'
    assert hostile not in timeline(
        hostile, [mark(1, title=hostile)], [("claims", hostile)], Frame(CHANGE, NIGHT_END, None, NIGHT_END)
    )
    assert hostile not in ring(
        hostile, hostile, [("same_account", hostile)], [Tie(hostile, ("same_account",), hostile, "", hostile)]
    )


def test_a_long_time_has_a_handful_of_ticks() -> None:
    for days in (20, 80, 400, 1500):
        labels = [
            t for t in picture_of(days=days).iter("text") if t.attrib["class"] == "label" and float(t.attrib["y"]) > 100
        ]
        assert 2 <= len(labels) <= 18


def test_the_minutes_around_a_change_are_rows_in_order_that_hide_no_words() -> None:
    facts = [Minute(CHANGE + timedelta(minutes=m), f"fact {m}", "mark") for m in (-44, -39, 0, 59)]
    picture = ElementTree.fromstring(minutes("Minutes", facts, CHANGE))
    circles = picture.findall("circle")
    places = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles]
    assert places == sorted(places)
    assert len({y for _, y in places}) == 4
    assert min(x for x, _ in places) > 300
    texts = [t.text for t in picture.iter("text")]
    assert "01:16  fact -44" in texts  # in the insurer's time
    assert {"01:30", "02:00", "02:30"} <= set(texts)


def test_zooms_lie_around_the_change_and_end_with_what_is_known() -> None:
    zooms = frames(CHANGE, [CHANGE - timedelta(days=400)], NIGHT_END)
    assert zooms["30"][0] == CHANGE - timedelta(days=30)
    assert NIGHT_END < zooms["90"][1] < NIGHT_END + timedelta(days=3)
    assert zooms["all"][0] < CHANGE - timedelta(days=400)


def test_everybody_in_the_ring_is_drawn_and_leads_to_their_flag() -> None:
    ties = [Tie("P2", ("same_account", "same_device"), "New", "open", "/flags/F-2"), Tie("P3", ("same_device",))]
    picture = ElementTree.fromstring(ring("Ring", "P1", [("same_account", "a"), ("same_device", "d")], ties))
    assert [link.attrib["href"] for link in picture.iter("a")] == ["/flags/F-2"]
    assert len([path for path in picture.iter("path") if path.attrib["class"] == "edge"]) == 2 + 3


def test_bars_share_a_scale() -> None:
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', bars(30, 15))]
    assert widths == [96, 48]
    assert bars(0, None).count("<rect") == 1


def test_tenths_show_this_night_beside_the_reference() -> None:
    picture = ElementTree.fromstring(tenths("Score", [0.5, 0.5], [0.4, 0.6]))
    assert len(picture.findall("rect")) == 2
    assert picture.attrib["aria-label"] == "Score"
