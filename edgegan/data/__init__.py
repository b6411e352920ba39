"""What edgegan ships beside its code: engines/ (the bundle, the clip), deploy/ (configs), systemd/ (units).

In the checkout they are top-level folders; setup.py installs them here.
"""

from pathlib import Path

__all__ = ["shipped"]

_HERE = Path(__file__).parent


def shipped(name: str) -> Path:
    """A shipped file or folder: `shipped("deploy/default.yaml")`. Does not say whether it exists."""
    installed = _HERE / name
    return installed if installed.exists() else _HERE.parents[1] / name
