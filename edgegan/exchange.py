"""The shared memory through which a worker hands finished pictures to the daemon.

Three slots of one picture each, in a memory file without a name (memfd): the kernel frees it with its last user,
so a kill of either side leaves nothing behind. The generator draws straight into a slot, the display reads
straight from it; that write is the only copy.

How it stays right without a lock that a dying process could keep:

- One writer, one reader, and every shared word is written by one side only.
- *Newest wins* (live): the writer takes a slot that is neither the latest nor the one the reader claims, so it
  never waits; the latest is replaced if nobody took it. *Lossless* (a file read on demand): slots are used in
  turn and the writer waits until the reader has given the oldest back.
- Each slot carries the number of the write that began and of the write that ended in it. A reader that finds
  them different, or changed after use, knows that its picture was torn and drops it. With the claim this cannot
  happen in a well-behaved pair; it is checked because the other side may be a dying one.
- Wake-ups go through eventfd counters, which keep their count until they are read: one that comes early is not
  lost. The reader resets the counter first and looks at the memory afterwards.
"""

import mmap
import os
import select
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from edgegan.errors import ExchangeError
from edgegan.frame import Pixels

__all__ = ["ExchangeHandles", "Published", "Reader", "Slot", "Writer"]

SLOTS = 3
_MAGIC = 0x3147_4547_4445  # "EDGEG1"
_PAGE = mmap.PAGESIZE

# Words (uint64) of the header page. The reader writes CLAIMED and CONSUMED, the writer PUBLISHED; the rest is
# written once at creation.
_MAGIC_WORD, _HEIGHT, _WIDTH, _LOSSLESS, _PUBLISHED, _CLAIMED, _CONSUMED = 0, 1, 2, 3, 8, 16, 24
# Words of a slot's own header page.
_BEGUN, _ENDED, _SEQUENCE, _CAPTURED_NS, _INFER_START_NS, _INFER_END_NS = range(6)


@dataclass(frozen=True)
class ExchangeHandles:
    """What the other process needs to open the same exchange: three file descriptors."""

    memory_fd: int
    ready_fd: int
    free_fd: int

    def fds(self) -> tuple[int, int, int]:
        """The descriptors, to be passed on to a child process."""
        return (self.memory_fd, self.ready_fd, self.free_fd)


@dataclass(frozen=True)
class Published:
    """A finished picture in a slot, as the reader sees it.

    pixels: uint8 (H, W, 3) BGR, a read-only view of the slot: use it before the next `take` or `release`.
    number: counts the published pictures from 1 up.
    """

    pixels: Pixels
    number: int
    slot: int
    sequence: int
    captured_ns: int
    infer_start_ns: int
    infer_end_ns: int


@dataclass(frozen=True)
class Slot:
    """A slot that the writer may draw into: pixels is a writable view, uint8 (H, W, 3) BGR."""

    pixels: Pixels
    index: int
    number: int


class _Mapping:
    """The memory file, mapped; the layout both sides share."""

    def __init__(self, memory_fd: int) -> None:
        size = os.fstat(memory_fd).st_size
        self._map = mmap.mmap(memory_fd, size)
        self._words = memoryview(self._map).cast("Q")
        if self._words[_MAGIC_WORD] != _MAGIC:
            raise ExchangeError("the shared memory is not an exchange of this version of edgegan")
        self.height, self.width = self._words[_HEIGHT], self._words[_WIDTH]
        self.lossless = bool(self._words[_LOSSLESS])
        stride = _slot_bytes(self.height, self.width)
        self._slot_words = [(_PAGE + i * stride) // 8 for i in range(SLOTS)]
        shape = (self.height, self.width, 3)
        self.pixels = [
            np.frombuffer(
                self._map, np.uint8, self.height * self.width * 3, _PAGE + i * stride + _PAGE
            ).reshape(shape)
            for i in range(SLOTS)
        ]

    def get(self, word: int) -> int:
        return self._words[word]

    def set(self, word: int, value: int) -> None:
        self._words[word] = value

    def slot_get(self, slot: int, word: int) -> int:
        return self._words[self._slot_words[slot] + word]

    def slot_set(self, slot: int, word: int, value: int) -> None:
        self._words[self._slot_words[slot] + word] = value

    def close(self) -> None:
        # Views that a caller still holds keep the mapping alive; the kernel frees it with the last of them.
        self.pixels = []
        self._words.release()
        try:
            self._map.close()
        except BufferError:
            pass


def _slot_bytes(height: int, width: int) -> int:
    picture = height * width * 3
    return _PAGE + (picture + _PAGE - 1) // _PAGE * _PAGE


def _create(height: int, width: int, lossless: bool) -> ExchangeHandles:
    memory_fd = os.memfd_create("edgegan-exchange", os.MFD_CLOEXEC)
    os.ftruncate(memory_fd, _PAGE + SLOTS * _slot_bytes(height, width))
    words = {_MAGIC_WORD: _MAGIC, _HEIGHT: height, _WIDTH: width, _LOSSLESS: int(lossless)}
    for word, value in words.items():
        os.pwrite(memory_fd, struct.pack("=Q", value), word * 8)
    flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
    return ExchangeHandles(memory_fd, os.eventfd(0, flags), os.eventfd(0, flags))


_lock = threading.Lock()


def _fence() -> None:
    """Order this thread's loads and stores before and after, also on ARM, where the processor may swap them.

    Python has no fence of its own; a free lock taken and given back twice is one (acquire, release, acquire,
    release: nothing before the first release passes the second acquire). About 0.1 µs.
    """
    _lock.acquire()
    _lock.release()
    _lock.acquire()
    _lock.release()


def _reset(eventfd: int) -> None:
    try:
        os.eventfd_read(eventfd)
    except BlockingIOError:
        pass


class Reader:
    """The daemon's end. Creates the memory, so a new worker always meets a fresh exchange.

    size: (height, width) of the pictures. lossless: the writer waits instead of replacing.
    """

    def __init__(self, size: tuple[int, int], *, lossless: bool = False) -> None:
        self.handles = _create(*size, lossless)
        self._mapping = _Mapping(self.handles.memory_fd)
        self._taken = 0
        self._closed = False

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that becomes readable when a picture was published (for `selectors`)."""
        return self.handles.ready_fd

    def take(self) -> Published | None:
        """The newest picture not seen before (lossless: the oldest), or None. Never waits.

        The picture stays untouched until `release`, or until the next `take`.
        """
        _reset(self.handles.ready_fd)
        for _ in range(64):  # each further round means that the writer published meanwhile
            number, slot = self._next()
            if number == self._taken:
                return None
            self._mapping.set(_CLAIMED, slot + 1)
            _fence()
            if self._next() != (number, slot):
                continue
            published = self._read(number, slot)
            if published is not None:
                self._taken = number
                if not self.drained:  # lossless: several may have come with one wake-up
                    os.eventfd_write(self.handles.ready_fd, 1)
                return published
        raise ExchangeError("the exchange never held still for a read")

    def intact(self, published: Published) -> bool:
        """True if the slot was not written to since `take`: what was read from it is one whole picture."""
        _fence()
        begun = self._mapping.slot_get(published.slot, _BEGUN)
        return begun == published.number == self._mapping.slot_get(published.slot, _ENDED)

    def release(self) -> None:
        """Give the taken slot back to the writer."""
        _fence()
        self._mapping.set(_CLAIMED, 0)
        self._mapping.set(_CONSUMED, self._taken)
        os.eventfd_write(self.handles.free_fd, 1)

    @property
    def drained(self) -> bool:
        """True if every picture that was published has been taken."""
        return self._newest()[0] == self._taken

    def close(self) -> None:
        """Free the memory and the descriptors. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._mapping.close()
        for fd in self.handles.fds():
            os.close(fd)

    def _newest(self) -> tuple[int, int]:
        return divmod(self._mapping.get(_PUBLISHED), 4)

    def _next(self) -> tuple[int, int]:
        number, slot = self._newest()
        if self._mapping.lossless and number > self._taken:
            return self._taken + 1, (self._taken + 1) % SLOTS
        return number, slot

    def _read(self, number: int, slot: int) -> Published | None:
        get = self._mapping.slot_get
        view = self._mapping.pixels[slot].view()
        view.flags.writeable = False
        published = Published(
            view,
            number,
            slot,
            get(slot, _SEQUENCE),
            get(slot, _CAPTURED_NS),
            get(slot, _INFER_START_NS),
            get(slot, _INFER_END_NS),
        )
        return published if self.intact(published) else None


class Writer:
    """The worker's end."""

    def __init__(self, handles: ExchangeHandles) -> None:
        self.handles = handles
        self._mapping = _Mapping(handles.memory_fd)
        self._number = self._mapping.get(_PUBLISHED) // 4
        self._closed = False

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self._mapping.height, self._mapping.width

    @property
    def lossless(self) -> bool:
        """True if no published picture may be replaced before it was taken."""
        return self._mapping.lossless

    def acquire(self, stopped: Callable[[], bool] = lambda: False) -> Slot | None:
        """A slot to draw into; None if `stopped()` became true while waiting (lossless only)."""
        number = self._number + 1
        if self.lossless:
            while number - self._mapping.get(_CONSUMED) > SLOTS:
                if stopped():
                    return None
                select.select([self.handles.free_fd], [], [], 0.1)
                _reset(self.handles.free_fd)
            index = number % SLOTS
        else:
            index = self._unused_slot()
        self._mapping.slot_set(index, _BEGUN, number)
        _fence()
        return Slot(self._mapping.pixels[index], index, number)

    def publish(
        self, slot: Slot, *, sequence: int, captured_ns: int, infer_start_ns: int, infer_end_ns: int
    ) -> None:
        """Make the picture in `slot` the newest and wake the reader."""
        put = self._mapping.slot_set
        put(slot.index, _SEQUENCE, sequence)
        put(slot.index, _CAPTURED_NS, captured_ns)
        put(slot.index, _INFER_START_NS, infer_start_ns)
        put(slot.index, _INFER_END_NS, infer_end_ns)
        _fence()
        put(slot.index, _ENDED, slot.number)
        _fence()
        self._mapping.set(_PUBLISHED, slot.number * 4 + slot.index)
        self._number = slot.number
        os.eventfd_write(self.handles.ready_fd, 1)

    def wait_drained(self, stopped: Callable[[], bool]) -> bool:
        """Wait until every published picture was consumed; False if `stopped()` became true meanwhile."""
        while self._mapping.get(_CONSUMED) < self._number:
            if stopped():
                return False
            select.select([self.handles.free_fd], [], [], 0.1)
            _reset(self.handles.free_fd)
        return True

    def close(self) -> None:
        """Unmap. The descriptors belong to the process and go with it. May be called twice."""
        if not self._closed:
            self._closed = True
            self._mapping.close()

    def _unused_slot(self) -> int:
        _fence()
        latest = self._mapping.get(_PUBLISHED) % 4 if self._number else SLOTS
        claimed = self._mapping.get(_CLAIMED) - 1
        return next(i for i in range(SLOTS) if i not in (latest, claimed))
