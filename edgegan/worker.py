"""The process that owns camera and generator; started by the daemon (`edgegan.worker_process`).

Two threads: one reads the camera and leaves the newest frame in a mailbox, the other (the main one) takes it,
lets the generator draw it straight into the shared memory and publishes it. A third listens to the daemon. All
that can crash or hang in native code happens here; when it does, this process dies and the daemon starts another.

The control socket carries one JSON object a message. In: the `WorkerTask`, later {"do": "stop"}. Out: {"event":
"camera_opened" | "generator_loaded" | "camera_waits" | "camera_silent" | "camera_back" | "ended" | "failed", …}.
"""

import dataclasses
import json
import logging
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edgegan.board import name_this_thread
from edgegan.camera import Camera
from edgegan.engine.opening import open_best
from edgegan.errors import BundleError, CameraTimeout, EdgeganError, EndOfStream, GeneratorError
from edgegan.exchange import ExchangeHandles, Writer
from edgegan.frame import Frame, read_only
from edgegan.framing import Framing, split_framing
from edgegan.generator import Generator
from edgegan.mailbox import Mailbox
from edgegan.process import die_with_parent
from edgegan.registry import CAMERAS, GENERATORS, Uri, open_driver

__all__ = ["LOG_LEVEL", "MESSAGE_BYTES", "WorkerTask", "main", "open_generator"]

log = logging.getLogger(__name__)

MESSAGE_BYTES = 65536
LOG_LEVEL = "EDGEGAN_LOG_LEVEL"
"""The environment's variable through which the daemon tells a worker how much to log."""
_POLL_S = 0.2
_WAITS_S = 0.5  # between two words that a camera gives nothing
_SILENT_S = 2.0  # or three of its periods; then it is worth a line in the log
_MOST_WORDS = 2000  # characters of a message


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is to do. Travels as JSON.

    camera, generator: URIs. `generator` is empty where a bundle is run; then `bundle` is its path.
    store: where engines are looked for; empty: the usual place.
    handles: the exchange's file descriptors, as this process inherited them.
    skip: how many pictures of a file read on demand were shown already, by a worker that died.
    """

    camera: str
    generator: str
    bundle: str
    runtime: str
    precision: str
    threads: int | None
    store: str = ""
    handles: tuple[int, int, int] = (-1, -1, -1)
    skip: int = 0

    def to_json(self) -> str:
        """The message that starts a worker."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "WorkerTask":
        """The task that `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "handles": tuple(values["handles"])})


class Control:
    """The daemon's end of the control socket, and whether this worker was told to stop."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.stopped = threading.Event()

    def receive_task(self) -> WorkerTask:
        """The first message."""
        return WorkerTask.from_json(self._connection.recv(MESSAGE_BYTES).decode())

    def send(self, event: str, **details: Any) -> None:
        """Tell the daemon. A daemon that is gone is no error: this process ends with it."""
        try:
            self._connection.send(json.dumps({"event": event, **details}, default=str).encode())
        except OSError:
            self.stopped.set()

    def listen(self, mailbox: Mailbox) -> None:
        """Wait for the word to stop, or for the daemon's death, in a thread of its own."""
        thread = threading.Thread(target=self._listen, args=(mailbox,), name="control", daemon=True)
        thread.start()

    def _listen(self, mailbox: Mailbox) -> None:
        try:
            self._connection.recv(MESSAGE_BYTES)
        except OSError:
            pass
        self.stopped.set()
        mailbox.close()


def main(control_fd: int) -> int:
    """Entry point of the process; the descriptor is the control socket's."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the daemon decides
    logging.basicConfig(level=os.environ.get(LOG_LEVEL, "INFO"), format="%(levelname)s worker: %(message)s")
    cv2.setNumThreads(1)  # the generator needs the cores
    control = Control(socket.socket(fileno=control_fd))
    task = control.receive_task()
    try:
        run(task, control)
    except EndOfStream:
        control.send("ended")
    except EdgeganError as error:
        control.send("failed", **failure(error))
        return error.exit_code
    except Exception as error:
        log.exception("a bug: please report it with this traceback")
        control.send("failed", **failure(GeneratorError(f"{type(error).__name__}: {error}")))
        return 1
    return 0


def failure(error: EdgeganError) -> dict[str, Any]:
    """An error as the daemon wants to hear it."""
    return {
        "error": type(error).__name__,
        "message": error.message[:_MOST_WORDS],
        "mend": error.mend,
        "exit_code": error.exit_code,
    }


def run(task: WorkerTask, control: Control) -> None:
    """Draw frames until told to stop; raises what ended it."""
    with Writer(ExchangeHandles(*task.handles)) as writer:
        mailbox = Mailbox(lossless=writer.lossless)
        control.listen(mailbox)
        sizes: _Promise = _Promise()
        capture = threading.Thread(
            target=_capture, args=(task, sizes, mailbox, control), name="camera", daemon=True
        )
        capture.start()  # the camera opens while the generator loads
        try:
            with ExitStack() as stack:
                generator = open_generator(task, stack)
                control.send("generator_loaded", **generator.description)
                _check_size(generator, writer)
                sizes.keep(generator.input_size)
                _draw(generator, mailbox, writer, control.stopped)
        finally:
            control.stopped.set()
            mailbox.close()
            capture.join(_POLL_S * 2)


class _Promise:
    """The generator's input size, which the camera thread needs once its camera is open."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self.size = (0, 0)

    def keep(self, size: tuple[int, int]) -> None:
        self.size = size
        self._known.set()

    def wait(self, stopped: threading.Event) -> bool:
        while not self._known.wait(_POLL_S):
            if stopped.is_set():
                return False
        return True


def open_generator(task: WorkerTask, stack: ExitStack) -> Generator:
    """The generator that a task asks for: by URI, or the best engine of a bundle. `stack` closes it."""
    if not task.generator:
        return open_best(Path(task.bundle), task.store, task.runtime, task.precision, task.threads, stack)
    generator: Generator = open_driver("generator", GENERATORS, Uri.parse(task.generator))
    return stack.enter_context(closing(generator))


def _check_size(generator: Generator, writer: Writer) -> None:
    if generator.output_size != writer.size:
        raise BundleError(
            f"the generator draws {generator.output_size}, the manifest says {writer.size} (height, width)",
            "pack the model again",
        )


def _capture(task: WorkerTask, sizes: _Promise, mailbox: Mailbox, control: Control) -> None:
    """The camera's thread: every frame, cropped and scaled for the generator, goes into the mailbox."""
    name_this_thread("camera")
    try:
        uri, framing_options = split_framing(Uri.parse(task.camera))
        with closing(_open_camera(uri)) as camera:
            control.send("camera_opened", description=camera.description, rate_hertz=camera.rate_hertz)
            if task.skip:
                camera.skip(task.skip)
            if sizes.wait(control.stopped):
                _read_frames(camera, Framing(sizes.size, **framing_options), mailbox, control)
    except Exception as error:
        mailbox.fail(error)


def _open_camera(uri: Uri) -> Camera:
    camera: Camera = open_driver("camera", CAMERAS, uri)
    return camera


class _Silence:
    """Tells the daemon that it is the camera which gives nothing, lest it takes the worker for hung."""

    def __init__(self, control: Control, rate_hertz: float | None) -> None:
        self._control = control
        self._silent_s = max(_SILENT_S, 3 / (rate_hertz or 30.0))
        self._since = self._told = time.monotonic()
        self._is_long = False

    def lasts(self) -> None:
        """Another read timed out."""
        now = time.monotonic()
        if now - self._told >= _WAITS_S:
            self._told = now
            self._control.send("camera_waits")
        if now - self._since > self._silent_s and not self._is_long:
            self._is_long = True
            self._control.send("camera_silent", for_s=round(now - self._since, 1))

    def ends(self) -> None:
        """A picture came."""
        now = time.monotonic()
        if self._is_long:
            self._control.send("camera_back", after_s=round(now - self._since, 1))
        self._since, self._is_long = now, False


def _read_frames(camera: Camera, framing: Framing, mailbox: Mailbox, control: Control) -> None:
    silence = _Silence(control, camera.rate_hertz)
    while not control.stopped.is_set():
        try:
            frame = camera.read(_POLL_S)
        except CameraTimeout:
            silence.lasts()
            continue
        silence.ends()
        mailbox.put(Frame(read_only(framing(frame.pixels)), frame.sequence, frame.captured_ns))


def _draw(generator: Generator, mailbox: Mailbox, writer: Writer, stopped: threading.Event) -> None:
    """The generator's loop: newest frame in, picture straight into the shared memory."""
    while not stopped.is_set():
        try:
            frame = mailbox.take(_POLL_S)
        except CameraTimeout:
            continue
        except EndOfStream:
            writer.wait_drained(stopped.is_set)
            raise
        slot = writer.acquire(stopped.is_set)
        if slot is None:
            return
        start_ns = time.monotonic_ns()
        generator.infer(frame.pixels, slot.pixels)
        writer.publish(
            slot,
            sequence=frame.sequence,
            captured_ns=frame.captured_ns,
            infer_start_ns=start_ns,
            infer_end_ns=time.monotonic_ns(),
        )
