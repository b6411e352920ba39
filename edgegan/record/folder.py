"""The folder of a recording: `00000001.png` and on, and `record.json`, which says where they come from."""

import fcntl
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgegan import __version__
from edgegan.errors import RecordError, UserError, user_error_from_os_error
from edgegan.files import write_file
from edgegan.frame import Pixels

__all__ = ["MANIFEST", "RecordingFolder", "same_folder"]

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
        self.added = self.bytes = 0
        self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
            self._sessions, self._number = self._found(append)
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
    def next(self) -> str:
        """The name of the next picture."""
        return f"{self._number + 1:08d}.png"

    @property
    def last(self) -> str | None:
        """The name of the last picture that was added."""
        return f"{self._number:08d}.png" if self.added else None

    def check_space(self, pixels: Pixels, count: int) -> None:
        """Raise `UserError` if `count` pictures like this one do not fit onto the disk."""
        one_bytes = len(_png(pixels))
        needed, free = round(count * one_bytes * _MARGIN), shutil.disk_usage(self._path).free
        if needed > free:
            raise UserError(
                f"{count} pictures of {one_bytes / 1e6:.1f} MB may need {needed / 1e6:.0f} MB, "
                f"and '{self._path}' has {free / 1e6:.0f} MB left",
                "free some space, or give a smaller --count or a smaller size= to the camera",
            )

    def add(self, pixels: Pixels) -> None:
        """Store a picture, uint8 (H, W, 3), without loss. Raises `RecordError`; then there is nothing of it."""
        data = _png(pixels)
        try:
            write_file(self._path / self.next, data)
        except OSError as error:
            raise RecordError(
                f"the picture '{self.next}' cannot be written to '{self._path}': {error.strerror or error}",
                "free some space or check the disk, then go on with --append",
            ) from error
        self._number += 1
        self.added += 1
        self.bytes += len(data)

    def describe(self, session: dict[str, Any]) -> None:
        """Write `record.json` with what is known about this session; a later call replaces an earlier one.

        On a disk that is full the earlier one stays.
        """
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "edgegan_version": __version__,
            "pictures": self._number,
            "sessions": [*self._sessions, session],
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        with suppress(OSError):
            write_file(self._path / MANIFEST, text.encode())

    def close(self) -> None:
        """Let others in; remove what was made for nothing. May be called twice."""
        if self._made and not self.added:
            with suppress(OSError):
                (self._path / MANIFEST).unlink(missing_ok=True)
            for folder in self._made:
                with suppress(OSError):
                    folder.rmdir()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _found(self, append: bool) -> tuple[list[Any], int]:
        """The sessions and the last number of the recording that is there already."""
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise UserError(f"the folder '{self._path}' cannot be written to", "give -o another folder")
        names = set(os.listdir(self._path))
        if not names:
            return [], 0
        if MANIFEST not in names:
            raise UserError(
                f"the folder '{self._path}' is not empty and holds no recording", "give -o another folder"
            )
        numbers = [int(match[1]) for name in names if (match := _PICTURE.fullmatch(name))]
        if not append:
            raise UserError(
                f"the folder '{self._path}' holds a recording of {len(numbers)} pictures already",
                "add --append to go on with it, or give -o another folder",
            )
        sessions = _sessions(self._path / MANIFEST)
        for name in filter(_LEFT_BEHIND.fullmatch, names):  # by a recording that was killed
            (self._path / name).unlink()
        return sessions, max(numbers, default=0)


def same_folder(given: Path, output: Path) -> bool:
    """Whether both are one folder, whatever they are called; neither need be there."""
    with suppress(RuntimeError):  # ~name, where nobody is called so
        return given.expanduser().resolve() == output.resolve()
    return False


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
