"""The exchange: nothing torn, nothing lost, nothing left behind."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edgegan.errors import ExchangeError
from edgegan.exchange import ExchangeHandles, Reader, Writer

SIZE = (64, 96)
FULL = bool(os.environ.get("EDGEGAN_FULL"))


def publish(writer: Writer, value: int) -> None:
    slot = writer.acquire()
    assert slot is not None
    slot.pixels[:] = value
    writer.publish(slot, sequence=value, captured_ns=1, infer_start_ns=2, infer_end_ns=3)


def is_readable(reader: Reader) -> bool:
    return bool(select.select([reader], [], [], 0)[0])


def test_newest_wins_and_is_seen_once() -> None:
    with Reader(SIZE) as reader, Writer(reader.handles) as writer:
        assert reader.take() is None
        for value in (1, 2, 3):
            publish(writer, value)
        taken = reader.take()
        assert taken is not None
        assert (taken.sequence, taken.number, int(taken.pixels[0, 0, 0])) == (3, 3, 3)
        assert (taken.captured_ns, taken.infer_start_ns, taken.infer_end_ns) == (1, 2, 3)
        assert not taken.pixels.flags.writeable
        assert reader.take() is None
        assert reader.drained


def test_a_taken_picture_is_left_alone_however_many_follow() -> None:
    with Reader(SIZE) as reader, Writer(reader.handles) as writer:
        publish(writer, 1)
        taken = reader.take()
        assert taken is not None
        for value in range(2, 50):
            publish(writer, value)
        assert (taken.pixels == 1).all()
        assert reader.intact(taken)
        reader.release()
        newest = reader.take()
        assert newest is not None
        assert newest.sequence == 49


def test_a_picture_that_is_overwritten_is_noticed() -> None:
    with Reader(SIZE) as reader, Writer(reader.handles) as writer:
        publish(writer, 1)
        taken = reader.take()
        assert taken is not None
        reader.release()  # gives the slot away too early
        publish(writer, 2)
        publish(writer, 3)
        publish(writer, 4)
        assert not reader.intact(taken)


def test_a_wake_up_that_comes_before_the_wait_is_not_lost() -> None:
    with Reader(SIZE) as reader, Writer(reader.handles) as writer:
        publish(writer, 1)
        assert is_readable(reader)
        reader.take()
        assert not is_readable(reader)
        publish(writer, 2)
        assert is_readable(reader)


def test_lossless_gives_every_picture_in_order() -> None:
    seen = []
    with Reader(SIZE, lossless=True) as reader, Writer(reader.handles) as writer:
        thread = threading.Thread(target=lambda: [publish(writer, value) for value in range(1, 201)])
        thread.start()
        while len(seen) < 200:
            assert select.select([reader], [], [], 5)[0], "a wake-up was lost"
            taken = reader.take()
            if taken is not None:
                assert (taken.pixels == taken.sequence % 256).all()
                seen.append(taken.sequence)
                reader.release()
        thread.join()
        assert writer.wait_drained(lambda: False)
    assert seen == list(range(1, 201))


def test_lossless_writer_stops_waiting_when_told() -> None:
    with Reader(SIZE, lossless=True) as reader, Writer(reader.handles) as writer:
        for value in (1, 2, 3):
            publish(writer, value)
        assert writer.acquire(lambda: True) is None


def test_a_foreign_memory_is_refused() -> None:
    memory_fd = os.memfd_create("foreign")
    os.ftruncate(memory_fd, 4096)
    with pytest.raises(ExchangeError):
        Writer(ExchangeHandles(memory_fd, 0, 0))
    os.close(memory_fd)


WRITER_PROCESS = """
import json, sys
from edgegan.exchange import ExchangeHandles, Writer
writer = Writer(ExchangeHandles(*json.loads(sys.argv[1])))
for value in range(1, int(sys.argv[2]) + 1):
    slot = writer.acquire()
    slot.pixels[:] = value % 256
    writer.publish(slot, sequence=value, captured_ns=0, infer_start_ns=0, infer_end_ns=0)
"""


@contextmanager
def writer_process(reader: Reader, count: int) -> Iterator[subprocess.Popen[bytes]]:
    fds = reader.handles.fds()
    command = [sys.executable, "-c", WRITER_PROCESS, json.dumps(fds), str(count)]
    with subprocess.Popen(command, pass_fds=fds) as process:
        yield process


def test_two_processes_never_show_a_torn_picture_and_never_miss_the_last() -> None:
    count = 200_000 if FULL else 20_000
    with Reader(SIZE) as reader, writer_process(reader, count):
        last = taken_count = 0
        while last < count:
            assert select.select([reader], [], [], 10)[0], f"a wake-up was lost after picture {last}"
            taken = reader.take()
            if taken is None:
                continue
            copy = taken.pixels.copy()
            assert reader.intact(taken)
            assert (copy == taken.sequence % 256).all(), "torn"
            assert taken.sequence > last, "an older picture came back"
            last, taken_count = taken.sequence, taken_count + 1
            reader.release()
    assert taken_count > 10


def test_a_writer_killed_in_the_middle_leaves_nothing_but_whole_pictures() -> None:
    before = set(os.listdir("/dev/shm"))
    descriptors = len(os.listdir("/proc/self/fd"))
    rng = np.random.default_rng(0)
    for _ in range(20 if FULL else 5):
        with Reader(SIZE) as reader, writer_process(reader, 10**9) as process:
            assert select.select([reader], [], [], 10)[0]
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            process.wait()
            taken = reader.take()
            assert taken is not None
            assert (taken.pixels == taken.sequence % 256).all()
            assert reader.take() is None
            del taken
    assert set(os.listdir("/dev/shm")) == before
    assert len(os.listdir("/proc/self/fd")) <= descriptors
