"""Every error that edgegan raises on purpose, on one screen.

Each says what was asked and what was found (`message`) and what to do about it (`mend`).
`exit_code` is what the command line returns: 2 for a user's mistake, 1 for a failure.
Each class also inherits the standard error that a caller would expect.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class EdgeganError(Exception):
    """Base of all errors that are raised on purpose."""

    exit_code = 1

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}: {self.mend}" if self.mend else self.message


class UserError(EdgeganError, ValueError):
    """Something that was given is wrong; nothing was changed."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One of the mistakes of a configuration. file, line: None where it was given on the command line."""

    file: str | None
    line: int | None
    key: str
    message: str
    mend: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        return ": ".join(part for part in (where, self.key, self.message) if part)


class ConfigError(UserError):
    """The configuration, or an option of a URI, is wrong. `mistakes`: one by one, where there are places to name."""

    def __init__(self, message: str, mend: str = "", mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(message, mend)
        self.mistakes = tuple(mistakes)


class ModelError(UserError):
    """The ONNX model cannot be packed; the message names the node or the input."""


class BundleError(UserError):
    """The bundle is missing, damaged or made by another version."""


class EngineError(UserError):
    """The engine is damaged, made for another device, or cannot be kept."""


class ModelDisagreement(EdgeganError, ArithmeticError):
    """A packed model does not draw what its original draws, so it was not written."""


class MissingDependency(UserError, ImportError):
    """A package of an extra is not installed; the mend names the extra."""


class CameraError(EdgeganError, OSError):
    """The camera cannot be opened, or stopped giving frames."""


class CameraTimeout(CameraError, TimeoutError):
    """No frame came within the time asked for; the camera may still recover."""


class EndOfStream(CameraError, EOFError):
    """A file gave its last frame. No failure: the run ends."""


class GeneratorError(EdgeganError, RuntimeError):
    """The generator cannot be loaded, or failed on a frame."""


class DisplayError(EdgeganError, OSError):
    """The display cannot be opened, or stopped taking frames."""


class ExchangeError(EdgeganError, RuntimeError):
    """The shared memory between daemon and worker is not what it should be."""


class RecordError(EdgeganError, OSError):
    """A recording cannot go on; what was recorded before is kept."""


class TraceError(EdgeganError, OSError):
    """The trace cannot be written or read."""


def user_error_from_os_error(error: OSError, doing: str) -> UserError:
    """Say a file system's refusal (no such file, read-only, full disk) as a user's error."""
    return UserError(
        f"{doing}: {error.strerror or error}", "check the path, its permissions and the free space"
    )
