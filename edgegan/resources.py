"""What ships with the project: the bundle, the clip, configurations and units.

In an installed package they lie under `edgegan/data/` (setup.py maps the top-level folders there), in a
checkout at the top of the repository.
"""

from pathlib import Path

import edgegan
from edgegan.errors import BundleError
from edgegan.extras import checkout

__all__ = ["resource", "shipped_bundle"]

_PACKAGE = Path(edgegan.__file__).parent


def resource(path: str) -> Path:
    """The shipped file or folder `path`, as it is called in the repository: `engines/clip/paint_demo.mp4`.

    Raises `BundleError` where this installation does not have it.
    """
    for root in _roots():
        if (root / path).exists():
            return root / path
    raise BundleError(
        f"this installation of edgegan lacks '{path}'", "install edgegan again, or name a file of your own"
    )


def shipped_bundle() -> Path:
    """The bundle that runs when none is named, in one file. Raises `BundleError`."""
    return resource("engines/paint/paint.edgegan")


def _roots() -> list[Path]:
    clone = checkout(_PACKAGE)  # elsewhere it is site-packages, whose `engines/` would be a stranger's
    return [_PACKAGE / "data", *([clone] if clone else [])]
