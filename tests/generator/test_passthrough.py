"""The generator that only takes its time."""

import time

import numpy as np
import pytest

from edgegan.errors import ConfigError
from edgegan.generator.passthrough import PassthroughGenerator
from edgegan.registry import Size

PIXELS, OUT = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)


def pictures_per_second(delay_ms: float, count: int) -> float:
    generator = PassthroughGenerator(delay_ms=delay_ms, size=Size((8, 8)))
    started = time.perf_counter()
    for _ in range(count):
        generator.infer(PIXELS, OUT)
    return count / (time.perf_counter() - started)


def test_on_average_it_takes_the_delay() -> None:
    """One of six: a busy machine may keep the process from running at all."""
    assert any(0.995 * 50 <= pictures_per_second(20.0, 25) <= 1.01 * 50 for _ in range(6))


def test_a_late_wake_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system whose timers are coarse."""

    def coarse_sleep(deadline_ns: int) -> None:
        time.sleep(max(0, deadline_ns + 8_000_000 - time.monotonic_ns()) / 1e9)

    monkeypatch.setattr("edgegan.generator.passthrough.sleep_until", coarse_sleep)
    assert max(pictures_per_second(20.0, 15) for _ in range(3)) > 0.93 * 50


def test_it_sleeps_meanwhile() -> None:
    started = time.thread_time()
    pictures_per_second(20.0, 25)
    assert time.thread_time() - started < 0.1


def test_without_delay_it_only_copies() -> None:
    assert pictures_per_second(0.0, 100) > 2000


def test_time_lost_outside_is_not_made_up_for() -> None:
    generator = PassthroughGenerator(delay_ms=10, size=Size((8, 8)))
    for _ in range(3):
        generator.infer(PIXELS, OUT)
        time.sleep(0.03)
    started = time.perf_counter()
    generator.infer(PIXELS, OUT)
    assert time.perf_counter() - started > 0.0045


def test_an_absurd_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="4096"):
        PassthroughGenerator(size=Size((16384, 16384)))


@pytest.mark.parametrize("delay_ms", [-1.0, float("nan"), 1e9])
def test_an_impossible_delay_is_refused(delay_ms: float) -> None:
    with pytest.raises(ConfigError):
        PassthroughGenerator(delay_ms=delay_ms)
