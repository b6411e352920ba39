"""Files that appear whole or not at all: written beside, forced onto the medium, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["beside"]


@contextmanager
def beside(*paths: Path) -> Iterator[list[Path]]:
    """Names beside `paths` to write to; they take those names, one after the other, if no error comes.

    After an error nothing is left of them, and what lay at `paths` is as it was. A link stays a link. Raises
    `OSError`.
    """
    targets = [path.resolve() for path in paths]
    parts = [target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp") for target in targets]
    try:
        yield parts
        for part in parts:
            _sync(part)
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
        for folder in {target.parent for target in targets}:
            _sync(folder)
    finally:
        for part in parts:
            with suppress(OSError):  # a read-only file system refuses even to remove what is not there
                part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
