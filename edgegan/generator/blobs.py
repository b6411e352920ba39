"""What a runtime made of a model, kept in a folder for the next start. Never a reason for a failure.

A blob is native code's own food, so nothing reaches the runtime that is not bit for bit what was kept, under the
same key. What is missing, damaged or made elsewhere is None, and the runtime compiles as if there were no folder.
"""

import hashlib
import logging
from pathlib import Path

from edgegan.files import write_file

__all__ = ["keep", "kept", "key_of"]

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32


def key_of(*parts: object) -> str:
    """A file's name for all that a blob depends on: versions, CPU, options, the model's bytes."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()


def kept(folder: Path, key: str) -> bytes | None:
    """The blob that `keep` left there; None if there is none, or another one."""
    try:
        content = _path(folder, key).read_bytes()
    except OSError:
        return None
    blob = content[_DIGEST_BYTES:]
    if content[:_DIGEST_BYTES] == _digest(key, blob):
        return blob
    log.warning("%s is damaged; the model is compiled anew", _path(folder, key))
    return None


def keep(folder: Path, key: str, blob: bytes) -> None:
    """Write the blob whole or not at all; a folder that cannot be written is a warning."""
    try:
        write_file(_path(folder, key), _digest(key, blob) + blob)
    except OSError as error:
        log.warning("what was compiled is not kept in %s: %s", folder, error.strerror or error)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key[:32]}.blob"


def _digest(key: str, blob: bytes) -> bytes:
    return hashlib.sha256(key.encode() + blob).digest()
