"""Files and folders that are there as a whole, or not at all: written beside, synced, renamed.

The daemon imports this module, so it needs the standard library alone.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["beside", "put_in_place", "remove", "sync", "sync_folder", "write_file", "write_folder"]


def beside(path: Path) -> Path:
    """A name nobody uses in the same folder, to write to before `put_in_place`."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def write_file(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data` in one step. Raises `OSError`, and then leaves what was there."""
    new = beside(path)
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
        put_in_place(new, path)
    finally:
        remove(new)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder `path` with these files, by name, all on the disk when this returns. Raises `OSError`."""
    path.mkdir()
    for name, data in files.items():
        with (path / name).open("xb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
    sync_folder(path)


def sync(descriptor: int) -> None:
    """Wait until what was written to an open file is on the disk."""
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """The same for the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`; where a folder is there already, the two change places and `new` is the old one."""
    if path.is_dir():
        _exchange(new, path)
    else:
        new.replace(path)
    sync_folder(path.parent)


def _exchange(first: Path, second: Path) -> None:
    """Linux can swap two names in one step: renameat2(2), RENAME_EXCHANGE. Not every file system does."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    renameat2: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None or renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) != 0:
        _exchange_by_renames(first, second)


def _exchange_by_renames(first: Path, second: Path) -> None:
    aside = first.with_name(first.name + ".old")
    second.rename(aside)
    try:
        first.rename(second)
    except OSError:
        aside.rename(second)
        raise
    aside.rename(first)


def remove(path: Path) -> None:
    """Remove a file or a whole folder; what is not there, or cannot be removed, is left."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # a read-only file system refuses even to remove what is not there
            path.unlink(missing_ok=True)
