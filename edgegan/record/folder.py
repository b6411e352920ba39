"""The folder of a recording: `00000001.png` and on, and `record.json`, which says where they come from."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgegan import __version__
from edgegan.errors import RecordError, UserError, user_error_from_os_error
from edgegan.files import remove, write_file
from edgegan.frame import Pixels
from edgegan.report.text import counted

__all__ = ["MANIFEST", "RecordingFolder", "lies_within"]

MANIFEST = "record.json"
FORMAT, FORMAT_VERSION = "edgegan-recording", 1
_PICTURE = re.compile(r"(\d{8})\.png")
_LEFT_BEHIND = re.compile(r"\.(\d{8}\.png|record\.json)\.[0-9a-f]{8}\.tmp")
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # a third of the time of the default, for a tenth more bytes
_MARGIN = 1.2  # the first picture may be a dark one, which PNG makes small


class RecordingFolder:
    """Takes pictures under numbers without gaps; nothing that is there is ever overwritten.

    append: go on behind the last number of the recording that is there. Another process is kept out while it is open.
    Raises `UserError` if the folder holds something else, or cannot be written. A folder that was made for nothing
    is removed again.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._path = path
        self.bytes = 0
        self._before = self._number = 0
        self._described = False
        self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._lock = -1
        try:
            _make(path)
            self._lock = _locked(path)
            self._sessions, self._numbers = self._found(append)
            self._before = self._number = max(self._numbers, default=0)
        except OSError as error:
            self.close()
            raise user_error_from_os_error(error, f"cannot record into '{path}'") from error
        except UserError:
            self.close()
            raise

    def __enter__(self) -> "RecordingFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def added(self) -> int:
        """How many pictures this session has stored."""
        return self._number - self._before

    @property
    def next(self) -> str:
        """The name of the next picture."""
        return f"{self._number + 1:08d}.png"

    @property
    def last(self) -> str | None:
        """The name of the last picture that was added."""
        return f"{self._number:08d}.png" if self.added else None

    def earlier(self) -> Iterator[Pixels]:
        """The pictures of earlier sessions, newest first; what cannot be read is left out."""
        for number in sorted(self._numbers, reverse=True):
            pixels = cv2.imread(str(self._path / f"{number:08d}.png"))
            if pixels is not None:
                yield pixels.astype(np.uint8, copy=False)

    def check_space(self, pixels: Pixels, count: int) -> None:
        """Raise `UserError` if `count` pictures like this one do not fit onto the disk."""
        one_bytes = len(_png(pixels))
        needed, free = round(count * one_bytes * _MARGIN), shutil.disk_usage(self._path).free
        if needed > free:
            raise UserError(
                f"{counted(count, 'picture')} of {one_bytes / 1e6:.1f} MB may need {needed / 1e6:.0f} MB, "
                f"and '{self._path}' has {free / 1e6:.0f} MB left",
                "free some space, or give a smaller --count or a smaller size= to the camera",
            )

    def add(self, pixels: Pixels) -> None:
        """Store a picture, uint8 (H, W, 3), without loss. Raises `RecordError`; then there is nothing of it."""
        data, number = _png(pixels), self._number + 1
        try:
            write_file(self._path / self.next, data)
        except OSError as error:
            raise RecordError(
                f"the picture '{self.next}' cannot be written to '{self._path}': {error.strerror or error}",
                "free some space or check the disk, then go on with --append",
            ) from error
        self._number = number
        self.bytes += len(data)

    def settle(self) -> None:
        """Count a picture that has its name already while `add` still waits for the disk, or was refused by it."""
        if (self._path / self.next).exists():
            self._number += 1

    def describe(self, session: dict[str, Any]) -> None:
        """Write `record.json` with what is known about this session; a later call replaces an earlier one.

        On a disk that is full the earlier one stays.
        """
        self._described = True
        self._write_manifest([*self._sessions, session])

    def _write_manifest(self, sessions: list[Any]) -> None:
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "edgegan_version": __version__,
            "pictures": len(self._numbers) + self.added,
            "sessions": sessions,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        with suppress(OSError):
            write_file(self._path / MANIFEST, text.encode())

    def close(self) -> None:
        """Let others in; remove what was made for nothing. May be called twice."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            self._remove_folders()
            return
        if self._described:
            self.settle()
            self._remove_left_behind(os.listdir(self._path))
        if self._described and not self.added:
            self._forget_session()
        if not self.added:
            self._remove_folders()
        os.close(lock)

    def _forget_session(self) -> None:
        """Take back what `describe` wrote about a session that stored nothing."""
        if self._sessions:
            self._write_manifest(self._sessions)
        else:
            remove(self._path / MANIFEST)

    def _remove_folders(self) -> None:
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()
        self._made = []

    def _remove_left_behind(self, names: Iterable[str]) -> None:
        """What was being written when a recording was killed."""
        for name in filter(_LEFT_BEHIND.fullmatch, names):
            remove(self._path / name)

    def _found(self, append: bool) -> tuple[list[Any], list[int]]:
        """The sessions and the numbers of the recording that is there already."""
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise UserError(f"the folder '{self._path}' cannot be written to", "give -o another folder")
        names = set(os.listdir(self._path))
        if not names:
            return [], []
        if MANIFEST not in names:
            raise UserError(
                f"the folder '{self._path}' is not empty and holds no recording", "give -o another folder"
            )
        numbers = [int(match[1]) for name in names if (match := _PICTURE.fullmatch(name))]
        if not append:
            raise UserError(
                f"the folder '{self._path}' holds a recording of {counted(len(numbers), 'picture')} already",
                "add --append to go on with it, or give -o another folder",
            )
        sessions = _sessions(self._path / MANIFEST)
        self._remove_left_behind(names)
        return sessions, numbers


def lies_within(given: Path, folder: Path) -> bool:
    """Whether `given` is that folder or lies in it, whatever they are called; neither need be there."""
    with suppress(RuntimeError):  # ~name, where nobody is called so
        return given.expanduser().resolve().is_relative_to(folder.resolve())
    return False


def _make(path: Path) -> None:
    """Only its owner can look into a folder made here: the pictures show people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def _locked(path: Path) -> int:
    """A descriptor that keeps other recordings out for as long as it is open."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(f"another recording is going on in '{path}'", "give -o another folder") from None
    return descriptor


def _sessions(manifest: Path) -> list[Any]:
    try:
        data = json.loads(manifest.read_bytes())
        if data["format"] != FORMAT or data["format_version"] > FORMAT_VERSION:
            raise ValueError(f"format {data['format']} {data['format_version']}")
        return [*data["sessions"]]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"'{manifest}' is damaged, or from a later edgegan: {error}", "give -o another folder"
        ) from error


def _png(pixels: Pixels) -> bytes:
    return np.asarray(cv2.imencode(".png", pixels, _PNG)[1]).tobytes()
