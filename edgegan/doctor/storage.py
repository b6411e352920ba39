"""Where edgegan writes: may it, and how much room is left."""

import os
import shutil
from pathlib import Path

from edgegan.doctor.check import Check, Host
from edgegan.engine.store import default_store

__all__ = ["folders"]

_LITTLE_BYTES = 500 * 10**6


def folders(host: Host) -> list[Check]:
    """The folder in which edgegan was started (traces, videos, recordings), and the one of engines."""
    return [
        _working_folder(),
        _folder("engine store", default_store(), "give --store a folder that this user may write to"),
    ]


def _working_folder() -> Check:
    name, mend = "working folder", "start edgegan in a folder that this user may write to"
    try:
        return _folder(name, Path.cwd(), mend)
    except OSError as error:
        return Check(name, "warning", f"it is gone: {error.strerror}", mend)


def _folder(name: str, folder: Path, mend: str) -> Check:
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    shown = f"{folder}" if there == folder else f"{folder} (not made yet)"
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(name, "warning", f"{shown} cannot be written to", mend)
    free = shutil.disk_usage(there).free
    found = f"{shown}, {free / 1e9:.1f} GB free"
    if free < _LITTLE_BYTES:
        return Check(name, "warning", found, "free some space: a trace takes 5 MB an hour, a video 100 MB")
    return Check(name, "ok", found)
