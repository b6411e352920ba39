"""Latency statistics that cost the same for a hundred frames and for ten million.

A histogram counts durations in buckets whose edges grow by 0.5 %, so a percentile is known to 0.25 % however many
values there are, two histograms add up exactly, and one minute of them fits into a few hundred bytes.
"""

import json
import math

import numpy as np

from edgegan.frame import FrameTiming

__all__ = ["MEASURES", "FrameStatistics", "Histogram"]

MEASURES = ("end_to_end", "capture", "infer", "handover", "display")
"""End-to-end latency, and the stages it is made of."""

_LEAST_NS = 1_000
_LOG_GROWTH = math.log(1.005)
_BUCKETS = 4135  # up to 900 s


class Histogram:
    """Counts of durations from a microsecond to a quarter of an hour; what lies outside counts as the nearest."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BUCKETS, np.int64)

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self.counts[
            min(int(math.log(max(duration_ns, _LEAST_NS) / _LEAST_NS) / _LOG_GROWTH), _BUCKETS - 1)
        ] += 1

    def merge(self, other: "Histogram") -> None:
        """Add another histogram's counts."""
        self.counts += other.counts

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return int(self.counts.sum())

    def percentile_ms(self, percent: float) -> float | None:
        """The duration that `percent` % of all values do not exceed, in ms (±0.25 %); None without values."""
        if not self.total:
            return None
        bucket = int(np.searchsorted(np.cumsum(self.counts), math.ceil(self.total * percent / 100)))
        return _LEAST_NS * math.exp((bucket + 0.5) * _LOG_GROWTH) / 1e6

    def percentiles_ms(self) -> dict[str, float | None]:
        """p50, p95 and p99 in ms, rounded to a microsecond."""
        values = {f"p{p}": self.percentile_ms(p) for p in (50, 95, 99)}
        return {name: None if value is None else round(value, 3) for name, value in values.items()}

    def to_json(self) -> str:
        """Text form: two lists, the buckets that are not empty and their counts."""
        (buckets,) = np.nonzero(self.counts)
        return json.dumps([buckets.tolist(), self.counts[buckets].tolist()], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Histogram":
        """The histogram that `to_json` wrote."""
        histogram = cls()
        buckets, counts = json.loads(text)
        histogram.counts[np.array(buckets, int)] = counts
        return histogram


class FrameStatistics:
    """Frames shown and dropped, and a histogram per measure."""

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self.first_displayed_ns: int | None = None
        self.last_displayed_ns: int | None = None
        self.histograms = {name: Histogram() for name in MEASURES}

    def add(self, timing: FrameTiming, dropped: int) -> None:
        """Count a shown frame, and how many were dropped between the one before and this one."""
        self.histograms["end_to_end"].add(timing.end_to_end_ns)
        for stage, duration_ns in timing.stages_ns().items():
            self.histograms[stage].add(duration_ns)
        self._count(1, dropped, timing.displayed_ns, timing.displayed_ns)

    def merge(self, other: "FrameStatistics") -> None:
        """Add the statistics of later frames."""
        for name, histogram in self.histograms.items():
            histogram.merge(other.histograms[name])
        if other.first_displayed_ns is not None and other.last_displayed_ns is not None:
            self._count(other.frames, other.dropped, other.first_displayed_ns, other.last_displayed_ns)

    def throughput_hertz(self) -> float | None:
        """Frames shown a second, from the first shown to the last; None for fewer than two."""
        if self.frames < 2 or self.first_displayed_ns is None or self.last_displayed_ns is None:
            return None
        return (self.frames - 1) * 1e9 / max(self.last_displayed_ns - self.first_displayed_ns, 1)

    def _count(self, frames: int, dropped: int, first_ns: int, last_ns: int) -> None:
        self.frames += frames
        self.dropped += dropped
        if self.first_displayed_ns is None:
            self.first_displayed_ns = first_ns
        self.last_displayed_ns = last_ns
