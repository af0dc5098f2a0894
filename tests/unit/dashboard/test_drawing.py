"""SVG that obeys no name, says what it shows, and puts figures where they belong."""

from __future__ import annotations

from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts import NARROW, WIDE, Bands, Point, Row, bands, intervals, timeline
from dashboard.drawing import scale, shortened, ticks, visible, width_of

EVIL = '</svg><script>alert(1)</script>" onload="x" style="x'


def percent(share: float) -> str:
    return f"{share:.0%}"


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def point(day: int, value: float | None, count: int = 10, *, length: int = 1) -> Point:
    since = date(2026, 11, 1) + timedelta(days=day)
    lower, upper = ((value or 0) - 0.1, (value or 0) + 0.1)
    return Point(since, since + timedelta(days=length), value, lower, upper, count, EVIL)


def over_time(points: list[Point], width: float = WIDE) -> ET.Element:
    svg = timeline(
        points, width, title="t", percent=percent, day=date.isoformat, counts="decisions"
    )
    return drawn(svg)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_names_are_shown_and_never_obeyed(width: float) -> None:
    rows = [Row(EVIL, 0.5, 0.4, 0.6, EVIL)]
    svgs = [
        intervals(rows, width, title=EVIL, domain=(0, 1), write=percent),
        bands(
            [Bands(EVIL, ((0.5, 0.4, 0.6),) * 5, (False,) * 5)], width, title=EVIL, percent=percent
        ),
        timeline(
            [point(0, 0.5)], width, title=EVIL, percent=percent, day=date.isoformat, counts=EVIL
        ),
    ]

    for svg in svgs:
        root = drawn(svg)
        assert root.get("aria-label") == EVIL
        assert {element.tag for element in root.iter()} <= {
            *("svg", "line", "path", "rect", "circle", "title", "text"),
        }
        for element in root.iter():
            assert not {"style", "onload"} & set(element.attrib)
    assert any(EVIL in (element.text or "") for element in drawn(svgs[0]).iter())


def test_line_breaks_where_a_day_is_missing() -> None:
    whole = over_time([point(day, 0.5) for day in range(5)])
    broken = over_time([point(day, 0.5) for day in (0, 1, 3, 4)])
    undecided = over_time([point(day, None if day == 2 else 0.5) for day in range(5)])

    def curves(root: ET.Element) -> int:
        return len([path for path in root.iter("path") if path.get("class") == "curve"])

    assert [curves(root) for root in (whole, broken, undecided)] == [1, 2, 2]
    assert len(list(undecided.iter("circle"))) == 4


def test_block_is_as_long_as_it_is() -> None:
    root = over_time([point(0, 0.5, length=2), point(2, 0.5, length=6)])

    lengths = [
        float(box.get("width", 0)) for box in root.iter("rect") if box.get("class") == "band"
    ]
    assert lengths[1] / lengths[0] == pytest.approx(3, rel=0.05)


def test_higher_rate_stands_higher_within_its_interval() -> None:
    root = over_time([point(0, 0.3), point(2, 0.6)])

    low, high = (float(dot.get("cy", 0)) for dot in root.iter("circle"))
    assert high < low
    ends = [
        (float(line.get("y1", 0)), float(line.get("y2", 0)))
        for line in root.iter("line")
        if line.get("class") == "interval"
    ]
    for (top, bottom), middle in zip(ends, (low, high), strict=True):
        assert top < middle < bottom


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.sampled_from([WIDE, NARROW]),
)
@settings(max_examples=40, deadline=None)
def test_everything_stays_inside_the_drawing(
    figures: list[tuple[float, float]], width: float
) -> None:
    rows = [Row("r" * 90, v, v - half, v + half, "told") for v, half in figures]
    root = drawn(intervals(rows, width, title="t", domain=(-2, 2), write=percent, reference=0.0))
    height = float(root.get("viewBox", "").split()[3])

    for element in root.iter():
        for name, most in (("x1", width), ("x2", width), ("cx", width), ("cy", height)):
            if name in element.attrib:
                assert 0 <= float(element.attrib[name]) <= most


@given(st.floats(-100, 100), st.floats(0.01, 10_000), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_ticks_are_few_and_within(lower: float, spread: float, about: int) -> None:
    found = ticks(lower, lower + spread, about)

    assert len(found) <= about + 2
    assert all(lower - 1e-6 * spread <= t <= lower + spread * (1 + 1e-6) + 1e-9 for t in found)


def test_scale_keeps_to_its_ends() -> None:
    place = scale((0, 10), (100, 0))

    assert [place(value) for value in (-5, 0, 5, 10, 50)] == [100, 100, 50, 0, 0]
    assert scale((1, 1), (0, 10))(1) == 0


def test_signs_that_are_not_seen_are_shown() -> None:
    assert visible("a\u202eb\x07c\u200d") == "a\ufffdb\ufffdc\ufffd"
    assert visible("é été") == "é été"


def test_name_is_cut_to_its_room_whatever_its_signs_and_told_in_full_beside() -> None:
    for name in ("x" * 64, "W" * 64, "i" * 64, "界" * 64, "an_attribute of " * 4):
        for room in (40.0, 118.0, 163.0):
            short = shortened(name, room)
            assert short.endswith("…")
            assert room - 26 < width_of(short) <= room
    assert shortened("distance", 163.0) == "distance"
    assert shortened("", 0) == ""

    root = drawn(intervals([Row("W" * 64, 0.5)], NARROW, title="t", domain=(0, 1), write=percent))
    (label,) = (text for text in root.iter("text") if text.get("class") == "label")
    assert label.findtext("title") == "W" * 64


def test_axis_of_a_small_chart_has_room_for_its_figures() -> None:
    cell = Bands("near", ((0.9, 0.5, 1.0),) * 5, (False,) * 5)
    root = drawn(bands([cell], NARROW, title="t", percent=lambda share: f"{share:.0%} or so"))

    for text in root.iter("text"):
        if text.get("text-anchor") == "end" and "or so" in (text.text or ""):
            assert float(text.get("x", 0)) >= width_of(text.text or "") - 1
