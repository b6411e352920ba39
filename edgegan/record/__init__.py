"""Calibration pictures from the camera of the installation, taken while everybody can see that they are.

The display shows the live picture: first how long until it records, then a red dot and how many pictures there are.
What is stored is the camera's whole picture, without loss, before anything is cropped or scaled.

Camera and display run in this process, unlike those of the daemon: a person stands in front of it, nothing has to go
on when a driver crashes, and each picture is complete on the disk the moment it is counted. A driver that hangs is
left by Ctrl-C within a second, a disk within half a minute (`edgegan.signals`).
"""

import logging
import math
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegan.camera import Camera
from edgegan.display import window_if_any
from edgegan.errors import CameraError, CameraTimeout, DisplayError, EndOfStream, RecordError, UserError
from edgegan.frame import Frame, Pixels
from edgegan.framing import Framing, split_framing
from edgegan.record.folder import RecordingFolder, lies_within
from edgegan.record.novelty import Novelty
from edgegan.record.screen import Caption, Screen
from edgegan.registry import CAMERAS, DISPLAYS, Uri, check_uri, open_driver, redacted
from edgegan.report.text import counted
from edgegan.signals import Signals

__all__ = ["RecordOptions", "record"]

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]

_READ_S = 0.2  # Ctrl-C is heard this soon, and a hang is one after a second of it
_LOOK_AGAIN_S = 0.5
_OPENING_S = 0.02
_UNSEEN = ("file", "null")
_PRIMING_S = 2.0
_ROUNDING_S = 1e-6  # 0.2 + 0.2 + 0.2 is more than 0.6
_STILL_S, _STILL_TURNS = 30.0, 20
_SILENT_S, _SILENT_TURNS = 10.0, 3


@dataclass(frozen=True)
class RecordOptions:
    """What to record.

    camera, display: URIs; display None is a window where there is a screen. every_s: seconds from one picture to the
    next. countdown_s: seconds until the first one; a file at `pace=max` does not wait. append: go on with the
    recording that is in `output`. keep_alike: also pictures that look like one before them.
    """

    camera: str
    output: Path
    count: int = 120
    every_s: float = 0.5
    countdown_s: float = 3.0
    display: str | None = None
    append: bool = False
    keep_alike: bool = False

    def __post_init__(self) -> None:
        """Raises `UserError` for figures that make no sense."""
        for what, value, least, most in (
            ("--count", self.count, 1, 100_000),
            ("the time from picture to picture", self.every_s, 0, 86_400),
            ("--countdown", self.countdown_s, 0, 3600),
        ):
            if not least <= value <= most:
                raise UserError(f"{what} cannot be {value:g}", f"give {least} to {most}")


def record(options: RecordOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Record until there are enough pictures, or until the stream ends, a person ends it or nothing new comes.

    Returns the keys of `edgegan record --json`. Raises `UserError` before anything is written, `CameraError`,
    `DisplayError` or `RecordError` where it cannot go on (what was recorded is kept), and `KeyboardInterrupt` if it
    was ended before the first picture.
    """
    uri, framing = split_framing(Uri.parse(options.camera))
    display = Uri.parse(options.display) if options.display else None
    check_uri("camera", CAMERAS, uri)
    if display is not None:
        check_uri("display", DISPLAYS, display)
    _check_folders(options.output, uri, display)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        folder = stack.enter_context(RecordingFolder(options.output, append=options.append))
        signals.in_emergency.append(folder.close)
        camera = stack.enter_context(closing(_open_camera(uri, signals)))
        screen = stack.enter_context(closing(_open_screen(display)))
        recording = _Recording(options, framing, camera, folder, screen, signals, progress)
        signals.in_emergency.insert(0, recording.abandon)
        return recording.run()


def _open_camera(uri: Uri, signals: Signals) -> Camera:
    """In a thread, for a network camera may take many seconds to answer. Raises `KeyboardInterrupt` on a signal."""
    opened: Future[Camera] = Future()
    threading.Thread(target=_open_into, args=(opened, uri), name="open camera", daemon=True).start()
    while not opened.done():
        if select.select([signals], [], [], _OPENING_S)[0]:
            signals.received()
            raise KeyboardInterrupt
    return opened.result()


def _open_into(opened: "Future[Camera]", uri: Uri) -> None:
    try:
        opened.set_result(open_driver("camera", CAMERAS, uri))
    except BaseException as error:
        opened.set_exception(error)


def _novelty_after(folder: RecordingFolder) -> Novelty:
    """Knows the newest pictures of earlier sessions, as many as can be read in two seconds."""
    novelty, until_s = Novelty(), time.monotonic() + _PRIMING_S
    for pixels in folder.earlier():
        novelty.remember(pixels)
        if novelty.full or time.monotonic() > until_s:
            break
    return novelty


def _open_screen(display: Uri | None) -> Screen:
    if display is None:
        window = window_if_any("nobody sees that it records", logging.WARNING)
        display = Uri.parse(window) if window else None
    elif display.scheme in _UNSEEN:
        log.warning("nobody sees that it records: the picture goes to %s://", display.scheme)
    return Screen(open_driver("display", DISPLAYS, display) if display else None)


def _check_folders(output: Path, *uris: Uri | None) -> None:
    for uri in uris:
        if uri is not None and uri.scheme == "file" and uri.path and lies_within(Path(uri.path), output):
            raise UserError(f"'{output}' is also read, or shown, as '{uri.path}'", "give -o another folder")


class _Recording:
    """One session: countdown, pictures, end."""

    def __init__(
        self,
        options: RecordOptions,
        framing: dict[str, Any],
        camera: Camera,
        folder: RecordingFolder,
        screen: Screen,
        signals: Signals,
        progress: Progress | None,
    ) -> None:
        self._options, self._framing, self._camera = options, framing, camera
        self._folder, self._screen, self._signals, self._progress = folder, screen, signals, progress
        self._novelty = _novelty_after(folder)
        self._ended: str | None = None
        self._interrupted = self._abandoned = False
        self._session: dict[str, Any] = {}
        self._skipped = 0
        self._begin_s: float | None = None  # in the camera's time, as the two below
        self._due_s = self._new_s = 0.0
        self._heard_s = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Record; returns what `--json` prints."""
        try:
            while self._ended is None:
                self._step()
        except (CameraError, DisplayError, RecordError) as error:
            self._ended = redacted(error.message)
            self._folder.settle()
            raise type(error)(self._ended + self._what_is_kept(), redacted(error.mend)) from error
        finally:
            self.note_end()
        if not self._folder.added:
            self._say_why_nothing()
        if self._folder.added < self._options.count:
            wanted = counted(self._options.count, "picture")
            log.warning("%d of %s: %s", self._folder.added, wanted, self._ended)
        return self._result()

    def _what_is_kept(self) -> str:
        taken = self._folder.added
        if not taken:
            return ""
        are = "is" if taken == 1 else "are"
        return f" (the {counted(taken, 'picture')} before that {are} kept in '{self._options.output}')"

    def note_end(self) -> None:
        """Complete the manifest as far as the recording came."""
        if self._folder.added:
            counts = {"pictures": self._folder.added, "skipped": self._skipped, "last": self._folder.last}
            self._folder.describe({**self._session, **counts, "ended": self._ended or "it was ended"})

    def abandon(self) -> None:
        """Note the end while the main thread hangs, from another one; from now on nothing more is stored."""
        self._abandoned = True
        self._folder.settle()
        self.note_end()

    def _step(self) -> None:
        frame = self._next_frame()
        if frame is not None:
            self._take(frame)
        if select.select([self._signals], [], [], 0)[0]:
            self._ended, self._interrupted = self._signals.received(), True
        elif not self._screen.poll():
            self._ended, self._interrupted = "the window was closed", True

    def _next_frame(self) -> Frame | None:
        """None where nothing came in time, and at the end of the stream."""
        try:
            frame = self._camera.read(_READ_S)
        except EndOfStream:
            self._ended = "the end of the stream"
            return None
        except CameraTimeout:
            silent_s = time.monotonic() - self._heard_s
            if silent_s > max(_SILENT_S, _SILENT_TURNS / (self._camera.rate_hertz or 1)):
                raise CameraError(f"the camera gave no picture for {silent_s:.0f} s", "check it") from None
            return None
        self._heard_s = time.monotonic()
        return frame

    def _take(self, frame: Frame) -> None:
        """Count down, or store the picture if one is due; show it in any case."""
        now_s, pixels = self._time_s(frame), self._upright(frame.pixels)
        if self._begin_s is None:
            self._folder.check_space(pixels, self._options.count)
            self._begin_s = self._due_s = self._new_s = now_s + self._options.countdown_s * self._camera.live
        if now_s >= self._due_s - _ROUNDING_S and not self._abandoned:
            self._look(pixels, now_s)
        self._show(frame, pixels, self._caption(now_s))

    def _look(self, pixels: Pixels, now_s: float) -> None:
        """Store a picture that is due, unless it shows nothing new."""
        if self._options.keep_alike or self._novelty.is_new(pixels):
            with self._signals.writing():
                if not self._folder.added:
                    self._begin_session(pixels)
                self._folder.add(pixels)
            self._novelty.remember(pixels)
            self._new_s, self._due_s = now_s, now_s + self._options.every_s
        else:
            self._skipped += 1
            self._due_s = now_s + min(self._options.every_s, _LOOK_AGAIN_S)
        if self._folder.added == self._options.count:
            count = self._options.count
            self._ended = f"{counted(count, 'picture')} {'was' if count == 1 else 'were'} taken"
        elif now_s - self._new_s > (still_s := max(_STILL_S, _STILL_TURNS * self._options.every_s)):
            self._ended = f"nothing new was seen for {still_s:.0f} s (--keep-alike takes such pictures too)"

    def _begin_session(self, pixels: Pixels) -> None:
        self._session = {
            "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "camera": redacted(self._options.camera),
            "description": redacted(self._camera.description),
            "rate_hertz": self._camera.rate_hertz,
            "size": list(pixels.shape[:2]),
            "every_s": self._options.every_s,
            "first": self._folder.next,
        }
        self._folder.describe({**self._session, "ended": None})

    def _time_s(self, frame: Frame) -> float:
        """A file that is read on demand has its own time: it records as much of the clip as of a camera."""
        if self._camera.live:
            return frame.captured_ns / 1e9
        return frame.sequence / (self._camera.rate_hertz or 25.0)

    def _upright(self, pixels: Pixels) -> Pixels:
        """Turned and mirrored as the URI says, which loses nothing; not cropped."""
        turned, mirrored = self._framing.get("rotate", 0), self._framing.get("mirror", False)
        if not (turned or mirrored):
            return pixels
        height, width = pixels.shape[:2] if turned in (0, 180) else pixels.shape[1::-1]
        return Framing((height, width), rotate=turned, mirror=mirrored)(pixels)

    def _caption(self, now_s: float) -> Caption:
        taken, count = self._folder.added, self._options.count
        if self._begin_s is not None and now_s < self._begin_s:
            return Caption(f"recording in {math.ceil(self._begin_s - now_s)}", large=True)
        if now_s - self._new_s > max(2 * self._options.every_s, 2.0):
            return Caption(f"{taken} of {count}: nothing moves", dot=True)
        return Caption(f"{taken} of {count}", dot=True)

    def _show(self, frame: Frame, pixels: Pixels, caption: Caption) -> None:
        self._screen.show(pixels, caption, frame.captured_ns)
        if self._progress is not None:
            self._progress(caption.text, self._folder.added / self._options.count)

    def _say_why_nothing(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        raise CameraError(
            f"nothing was recorded: {self._ended}", "give --countdown 0, or loop=1 or pace=max to a file"
        )

    def _result(self) -> dict[str, Any]:
        return {
            "pictures": self._folder.added,
            "skipped": self._skipped,
            "directory": str(self._options.output),
            "camera": redacted(self._options.camera),
            "first": self._session["first"],
            "last": self._folder.last,
            "bytes": self._folder.bytes,
            "ended": self._ended,
        }
