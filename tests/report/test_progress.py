"""How long it takes yet, on a terminal."""

import io

import pytest

from edgegan.report import text
from edgegan.report.text import ProgressBar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "share", "says"),
    [
        (5, 0.5, ""),
        (30, 0.01, ""),
        (30, 0.5, ", about a minute left"),
        (60, 0.2, ", about 4 minutes left"),
        (600, 0.999, ""),
    ],
)
def test_what_takes_long_says_how_long(seconds, share, says, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(text.time, "monotonic", lambda: now[0])
    with ProgressBar(terminal := _Terminal()) as progress:
        now[0] += seconds
        progress("working", share)
    assert terminal.getvalue().split("\r\x1b[K")[1].endswith(f"working{says}")


def test_a_narrow_terminal_has_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with ProgressBar(terminal := _Terminal()) as progress:
        progress("looking for the cheapest that draws well", 0.5)
    assert len(terminal.getvalue().split("\r\x1b[K")[1]) == 39
