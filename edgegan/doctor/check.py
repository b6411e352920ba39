"""The values of an examination, and reading small files of the kernel."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Check", "Host", "State"]

State = Literal["ok", "warning", "failed", "absent"]
"""absent: this device does not have it and need not; warning: something is worse than it could be."""


@dataclass(frozen=True)
class Check:
    """One line of the report. found: None where there is nothing to tell. mend: '' where nothing is to be mended."""

    name: str
    state: State
    found: str | None
    mend: str = ""


@dataclass(frozen=True)
class Host:
    """What is examined: the file system under `root`, and this process's environment."""

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def text(self, path: str) -> str | None:
        """The content of a small file, stripped; None where it is not there or cannot be read."""
        try:
            return (self.root / path).read_text("utf-8", "replace").strip("\0\n ") or None
        except OSError:
            return None

    def glob(self, pattern: str) -> Iterator[Path]:
        """What there is under the root, sorted by name as people count."""
        return iter(sorted(self.root.glob(pattern), key=lambda path: (len(path.name), path.name)))
