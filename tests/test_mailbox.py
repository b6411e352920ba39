"""The mailbox between camera and generator."""

import threading
import time

import numpy as np
import pytest

from edgegan.errors import CameraError, CameraTimeout
from edgegan.frame import Frame
from edgegan.mailbox import Mailbox


def frame(sequence: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), sequence, 0)


def test_newest_wins_and_the_others_are_counted() -> None:
    mailbox = Mailbox()
    for sequence in range(3):
        assert mailbox.put(frame(sequence))
    assert mailbox.take(0).sequence == 2
    assert mailbox.dropped == 2


def test_an_empty_mailbox_times_out() -> None:
    with pytest.raises(CameraTimeout):
        Mailbox().take(0.01)


def test_the_last_frame_is_taken_before_the_error() -> None:
    mailbox = Mailbox()
    mailbox.put(frame(7))
    mailbox.fail(CameraError("gone"))
    assert mailbox.take(0).sequence == 7
    with pytest.raises(CameraError, match="gone"):
        mailbox.take(0)


def test_lossless_loses_nothing() -> None:
    mailbox = Mailbox(lossless=True)
    thread = threading.Thread(target=lambda: [mailbox.put(frame(k)) for k in range(500)])
    thread.start()
    assert [mailbox.take(5).sequence for _ in range(500)] == list(range(500))
    thread.join()
    assert mailbox.dropped == 0


def test_closing_lets_a_waiting_producer_go() -> None:
    mailbox = Mailbox(lossless=True)
    answers: list[bool] = []

    def fill() -> None:
        while mailbox.put(frame(len(answers))):
            answers.append(True)
        answers.append(False)

    thread = threading.Thread(target=fill)
    thread.start()
    time.sleep(0.2)
    assert 0 < len(answers) < 20, "it did not wait"
    mailbox.close()
    thread.join(5)
    assert answers[-1] is False
