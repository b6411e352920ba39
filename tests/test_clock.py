"""Waiting for an instant."""

import time

from edgegan.clock import Schedule, sleep_until


def test_it_never_wakes_early() -> None:
    for wait_ns in (-5, 0, 50_000, 1_000_000, 5_000_000):
        deadline_ns = time.monotonic_ns() + wait_ns
        sleep_until(deadline_ns)
        assert time.monotonic_ns() >= deadline_ns


def test_it_sleeps_rather_than_spins() -> None:
    started = time.thread_time()
    sleep_until(time.monotonic_ns() + 100_000_000)
    assert time.thread_time() - started < 0.02


def test_the_newest_picture_that_is_due() -> None:
    schedule = Schedule(100.0)
    start_ns = schedule.due_ns(0)
    assert schedule.due_ns(7) == start_ns + 70_000_000
    assert schedule.newest(500) == 500
    sleep_until(schedule.due_ns(3) + 1_000_000)
    assert schedule.newest(0) >= 3


def test_a_postponed_picture_is_due_now() -> None:
    schedule = Schedule(100.0)
    schedule.due_ns(0)
    before_ns = time.monotonic_ns()
    schedule.postpone(40)
    assert before_ns <= schedule.due_ns(40) <= time.monotonic_ns()
    assert schedule.due_ns(41) == schedule.due_ns(40) + 10_000_000
