"""Histograms against numpy's percentiles of the same values."""

import numpy as np
import pytest

from edgegan.frame import FrameTiming
from edgegan.telemetry.statistics import FrameStatistics, Histogram


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_percentiles_are_within_a_quarter_percent(percent: float) -> None:
    values = np.random.default_rng(1).lognormal(16, 0.7, 20_000).astype(int)
    histogram = Histogram()
    for value in values:
        histogram.add(int(value))
    exact = np.percentile(values, percent, method="inverted_cdf") / 1e6
    assert histogram.percentile_ms(percent) == pytest.approx(exact, rel=0.0026)


def test_merging_is_the_same_as_counting_together() -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in range(1_000, 900_000, 997):
        (one if value % 2 else other).add(value)
        both.add(value)
    one.merge(Histogram.from_json(other.to_json()))
    assert (one.counts == both.counts).all()


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentiles_ms() == {"p50": None, "p95": None, "p99": None}


def test_throughput_counts_from_the_first_to_the_last_shown_frame() -> None:
    statistics = FrameStatistics()
    assert statistics.throughput_hertz() is None
    for k in range(11):
        statistics.add(FrameTiming(k, *[k * 20_000_000] * 5), 0)
    assert statistics.throughput_hertz() == pytest.approx(50)


def test_stages_add_up_to_the_end_to_end_latency() -> None:
    timing = FrameTiming(0, 10, 25, 400, 410, 999)
    assert sum(timing.stages_ns().values()) == timing.end_to_end_ns == 989
