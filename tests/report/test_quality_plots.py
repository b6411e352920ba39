"""The plots of the quality report: each value is there, and lies where it belongs."""

import math
import re
from xml.etree import ElementTree as ET

import pytest

from edgegan.report.quality_plots import Lane, Point, Range, distribution_plot, frontier_plot, ranges_plot


def svg(plot: str) -> ET.Element:
    return ET.fromstring(plot[plot.index("<svg") : plot.index("</svg>") + 6])


def lane(values: list[float], worst: float | None = 40.0, mean: float | None = 44.0) -> Lane:
    return Lane("int8", [(f"{i}.jpg", v) for i, v in enumerate(values)], 45.0, mean, worst)


def percents(elements: list[ET.Element], name: str) -> list[float]:
    return [float(element.attrib[name].rstrip("%")) for element in elements]


def test_a_dot_for_each_picture_in_the_order_of_its_psnr() -> None:
    dots = svg(distribution_plot([lane([50.0, 38.0, 44.0])])).findall("circle")
    assert [dot.findtext("title") for dot in dots] == [
        "1.jpg: 38.00 dB",
        "2.jpg: 44.00 dB",
        "0.jpg: 50.00 dB",
    ]
    low, middle, high = percents(dots, "cx")
    assert 0 < low < middle < high < 100
    assert middle - low == pytest.approx(high - middle, abs=0.02)


def test_only_pictures_below_the_gate_have_its_colour() -> None:
    dots = svg(distribution_plot([lane([39.99, 40.0, 41.0])])).findall("circle")
    failing = [dot.attrib["fill"] for dot in dots]
    assert failing[0] != failing[1] == failing[2]


def test_gates_stand_where_a_picture_of_that_psnr_would() -> None:
    drawn = svg(distribution_plot([lane([40.0, 44.0, 50.0])]))
    gates = [line for line in drawn.findall("line") if line.attrib["stroke"] == "#b3261e"]
    assert percents(gates, "x1") == percents(drawn.findall("circle")[:2], "cx")
    assert "worst ≥ 40, mean ≥ 44 dB" in "".join(drawn.itertext())


def test_equal_pictures_have_no_dot_and_break_no_scale() -> None:
    assert len(svg(distribution_plot([lane([41.0, math.inf])])).findall("circle")) == 1
    plot = distribution_plot([lane([41.0]), Lane("fp16", [("a", math.inf)], math.inf, 60, 57)])
    assert "every picture is equal" in plot
    assert not re.search(r"\b(nan|inf)\b", plot)
    assert distribution_plot([lane([math.inf])]) == "" == distribution_plot([])


def test_thousands_of_pictures_are_thinned_the_worst_and_the_best_stay() -> None:
    plot = distribution_plot([lane([40 + i / 1000 for i in range(5000)])])
    tips = [dot.findtext("title") for dot in svg(plot).findall("circle")]
    assert len(tips) == 400
    assert (tips[0], tips[-1]) == ("0.jpg: 40.00 dB", "4999.jpg: 45.00 dB")


def test_ranges_are_bars_from_low_to_high() -> None:
    plot = ranges_plot([Range(1, "a", "int8", -5.0, 5.0), Range(2, "b", "int8 x2", 0.0, 1000.0)])
    first, second = svg(plot).findall("rect")
    zero = next(line for line in svg(plot).findall("line") if line.attrib["stroke"] == "#0008").attrib["y1"]
    top, height = float(first.attrib["y"]), float(first.attrib["height"])
    assert top + height / 2 == pytest.approx(float(zero), abs=0.2)
    assert float(second.attrib["y"]) == pytest.approx(0, abs=0.1)
    assert float(second.attrib["y"]) + float(second.attrib["height"]) == pytest.approx(float(zero), abs=0.2)
    assert first.attrib["fill"] != second.attrib["fill"]
    assert "float" not in plot[plot.index("</svg>") :]


def test_layers_without_a_range_are_left_out() -> None:
    nothing = [Range(1, "a", "float", math.nan, math.nan), Range(2, "b", "int8", 0.0, 0.0)]
    assert ranges_plot(nothing) == "" == ranges_plot([])
    assert len(svg(ranges_plot([*nothing, Range(3, "c", "int8", 0.0, 1e-9)])).findall("rect")) == 1


def test_a_hundred_layers_are_not_all_numbered() -> None:
    drawn = svg(ranges_plot([Range(i, f"l{i}", "int8", -1.0, 1.0) for i in range(1, 101)]))
    assert len(drawn.findall("rect")) == 100
    assert 10 <= len([t for t in drawn.findall("text") if t.attrib["text-anchor"] == "middle"]) <= 16


def test_the_frontier_rings_the_chosen_point_and_no_other() -> None:
    points = [Point(0.5, 50, 46, False), Point(0.9, 44, 40, True), Point(1.0, 40, 30, False)]
    drawn = svg(frontier_plot(points, 43, 38))
    rings = [c for c in drawn.findall("circle") if c.attrib["fill"] == "none"]
    dots = [c for c in drawn.findall("circle") if c.attrib["fill"] != "none"]
    assert len(dots) == 6
    assert {(r.attrib["cx"], r.attrib["cy"]) for r in rings} == {
        (dots[1].attrib["cx"], dots[1].attrib["cy"]),
        (dots[4].attrib["cx"], dots[4].attrib["cy"]),
    }


def test_the_frontier_leaves_out_the_point_that_is_fp32_itself() -> None:
    points = [Point(0.0, math.inf, math.inf, False), Point(1.0, 40, 30, True)]
    plot = frontier_plot(points, None, None)
    assert len([c for c in svg(plot).findall("circle") if c.attrib["fill"] != "none"]) == 2
    assert "its gate" not in plot
    assert frontier_plot(points[:1], 43, 38) == ""
