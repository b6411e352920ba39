"""A network camera: `rtsp://user:password@host/path?transport=tcp`. Comes back by itself.

A thread of its own receives and decodes everything, for each picture builds on the one before, and keeps the newest. A
stream has a clock of its own that says nothing of ours, so a picture's time is that of its arrival.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import av
import av.error
import numpy as np

from edgegan.errors import CameraError, CameraTimeout, ConfigError
from edgegan.frame import Frame, read_only
from edgegan.registry import redacted

__all__ = ["RtspCamera"]

log = logging.getLogger(__name__)

_OPEN_S = 10.0
_STALL_S = 5.0
"""A stream that sends nothing for so long has stalled. PyAV watches both, inside FFmpeg's waiting."""
_STALLED = "it sends nothing"
_PAUSES_S = (0.5, 10.0)  # before connecting again: at first, at most
_JOIN_S = 0.3
_BEHIND_NS, _BEHIND_FOR_NS = 1_000_000_000, 2_000_000_000
"""A stream that for so long arrives so much later than at its best is cut: what has piled up on the way is old."""
_CUT_EVERY_NS = 60_000_000_000  # no more often; a stream whose own clock jumped would be cut for ever


class RtspCamera:
    """Gives the newest picture of a network camera's stream.

    path: the server's URL behind `rtsp://`, as it was written. transport: how the pictures travel.
    While the stream stalls or its server is away, `read` times out, and the camera connects again by itself.
    Raises `ConfigError` for a path, user or password that the server refuses, `CameraError` where there is no server.
    """

    def __init__(self, path: str, *, transport: Literal["tcp", "udp"] = "tcp") -> None:
        self._url, self._transport = f"rtsp://{path}", transport
        self._shown = redacted(self._url)
        _check_url(self._url, self._shown)
        self.live = True
        self.damaged = 0
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._picture: tuple[Any, int, int] | None = None  # decoded, number, instant of arrival
        self._failure: BaseException | None = None
        self._count = 0
        self._first: int | None = None
        self._last_ns = self._no_cut_before_ns = 0
        container = self._connected()
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        self.rate_hertz: float | None = float(rate) if rate else None
        self.description = (
            f"{self._shown} over {transport.upper()}, {stream.codec_context.name} "
            f"{stream.codec_context.width} x {stream.codec_context.height}"
        )
        self._thread = threading.Thread(target=self._run, args=(container,), name="rtsp", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame:
        """The newest picture that was not given yet."""
        with self._news:
            self._news.wait_for(lambda: self._picture or self._failure or self._stopped.is_set(), timeout_s)
            picture, self._picture = self._picture, None
            if picture is None and self._failure is not None:
                raise CameraError(f"{self._shown}: {self._failure}", "see the log") from self._failure
        if picture is None:
            raise CameraTimeout(f"{self._shown} gave no picture within {timeout_s:g} s", "is the camera on?")
        decoded, number, arrived_ns = picture
        self._first = number if self._first is None else self._first
        self._last_ns = max(arrived_ns, self._last_ns + 1)
        pixels = np.ascontiguousarray(decoded.to_ndarray(format="bgr24"))
        return Frame(read_only(pixels), number - self._first, self._last_ns)

    def skip(self, count: int) -> None:
        """Time moves a camera on by itself."""

    def close(self) -> None:
        """Stop. A thread that waits for a stalled server is not waited for: it ends with its time-out."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()
        self._thread.join(_JOIN_S)

    # The thread

    def _run(self, container: Any) -> None:
        try:
            while not self._stopped.is_set():
                why = self._receive(container)
                if not self._stopped.is_set():
                    container = self._connected_again(why) or container
        except BaseException as error:
            with self._news:
                self._failure = error
                self._news.notify_all()

    def _receive(self, container: Any) -> str:
        """Take pictures until the stream breaks; says why it did."""
        delay, last_ns = _Delay(), time.monotonic_ns()
        try:
            for packet in container.demux(container.streams.video[0]):
                arrived_ns = time.monotonic_ns()
                if self._stopped.is_set():
                    return "closed"
                if arrived_ns - last_ns > _STALL_S * 0.95e9:  # FFmpeg gave up, and hands out what it held
                    return _STALLED
                last_ns = arrived_ns
                self._decode(packet, arrived_ns)
                now_ns = time.monotonic_ns()
                if delay.is_lasting(packet, now_ns) and now_ns >= self._no_cut_before_ns:
                    self._no_cut_before_ns = now_ns + _CUT_EVERY_NS
                    return "pictures came ever later; ask the camera for a smaller stream"
        except av.error.FFmpegError as error:
            return _words(error)
        finally:
            with suppress(av.error.FFmpegError):
                container.close()
        return "the server ended it"

    def _decode(self, packet: Any, arrived_ns: int) -> None:
        try:
            pictures = packet.decode()
        except av.error.InvalidDataError:
            self.damaged += 1
            return
        for picture in pictures:
            with self._news:
                self._picture = (picture, self._count, arrived_ns)
                self._count += 1
                self._news.notify_all()

    def _connected_again(self, why: str) -> Any:
        """Try until it works (the container) or this camera is closed (None)."""
        log.warning("the stream %s stopped: %s; connecting again until it is back", self._shown, why)
        since, pause_s = time.monotonic(), _PAUSES_S[0]
        while not self._stopped.wait(pause_s):
            try:
                container = self._connected()
            except (CameraError, ConfigError) as error:
                log.debug("%s", error)
                pause_s = min(2 * pause_s, _PAUSES_S[1])
            else:
                log.info("the stream %s is back after %.1f s", self._shown, time.monotonic() - since)
                return container
        return None

    def _connected(self) -> Any:
        """An open container with video, decoded without delay.

        FFmpeg's "nobuffer" is not asked for: it throws away the pictures by which the stream was recognised, and with
        them the only whole one for the next seconds.
        """
        options = {
            "rtsp_transport": self._transport,
            "allowed_media_types": "video",
            "flags": "low_delay",
            "analyzeduration": "2000000",  # microseconds, of a stream that does not tell its size at once
        }
        with _explained(self._shown):
            container = av.open(self._url, options=options, timeout=(_OPEN_S, _STALL_S))
        if not container.streams.video:
            container.close()
            raise ConfigError(f"{self._shown} carries no video", "check the path in the camera's manual")
        context = container.streams.video[0].codec_context
        context.thread_count = 1  # several threads would each hold a picture back
        context.flags |= av.codec.context.Flags.low_delay
        return container


class _Delay:
    """How much later than at best a stream arrives, by its own clock."""

    def __init__(self) -> None:
        self._least_ns: int | None = None
        self._late_since_ns: int | None = None

    def is_lasting(self, packet: Any, now_ns: int) -> bool:
        """Tell it of each packet that was decoded."""
        if packet.pts is None or not packet.time_base:
            return False
        offset_ns = now_ns - round(packet.pts * packet.time_base * 1_000_000_000)
        self._least_ns = offset_ns if self._least_ns is None else min(self._least_ns, offset_ns)
        if offset_ns - self._least_ns <= _BEHIND_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = now_ns
        return self._late_since_ns is not None and now_ns - self._late_since_ns > _BEHIND_FOR_NS


def _check_url(url: str, shown: str) -> None:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        os.fsencode(url)  # as PyAV will
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in url):
        raise ConfigError(
            f"'{shown}' is no address of a stream",
            "write rtsp://user:password@host:554/path; in user and password @ is %40, / is %2F, : is %3A",
        )


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    """FFmpeg's refusals in words that say what to do, without the URL, in which a password may stand."""
    started = time.monotonic()
    try:
        yield
    except av.error.HTTPUnauthorizedError:
        mend = "write rtsp://user:password@host/…; in both, @ is %40, / is %2F, : is %3A"
        raise ConfigError(f"{shown} wants another user or password", mend) from None
    except (av.error.HTTPNotFoundError, av.error.HTTPForbiddenError) as error:
        raise ConfigError(
            f"{shown}: {_words(error)}", "look up the stream's path in the camera's manual"
        ) from None
    except av.error.ConnectionRefusedError:
        raise CameraError(f"nothing answers at {shown}", "is the camera on, and the port right?") from None
    except av.error.FFmpegError as error:
        if time.monotonic() - started > 0.9 * _OPEN_S:
            raise CameraError(
                f"no picture came from {shown} within {_OPEN_S:g} s",
                "is the camera on? With transport=udp: does a firewall let it through? Try transport=tcp",
            ) from None
        raise CameraError(
            f"{shown} cannot be opened: {_words(error)}", "check the address and the network"
        ) from None


def _words(error: av.error.FFmpegError) -> str:
    """What an error says, without the URL that its text ends with."""
    if isinstance(error, av.error.ExitError):
        return _STALLED
    if isinstance(error, av.error.InvalidDataError):
        return "what came is no RTSP stream"
    if isinstance(error, (av.error.HTTPClientError, av.error.HTTPServerError)):
        return str(error.strerror)
    return "the host is not known" if error.errno == errno.EIO else os.strerror(error.errno or 0)
