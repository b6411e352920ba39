"""How this edgegan came here, and so the command that adds what it lacks."""

from pathlib import Path

import edgegan

__all__ = ["checkout", "install_command"]

_PACKAGE = Path(edgegan.__file__).parent


def checkout(package: Path = _PACKAGE) -> Path | None:
    """The clone that the package is run from; None where it was installed."""
    return package.parent if (package.parent / "setup.py").is_file() else None


def install_command(extra: str = "") -> str:
    """The command that installs the package with an extra, as the mend of an error says it."""
    named = f"'edgegan[{extra}]'" if extra else "edgegan"
    here = f"'.[{extra}]'" if extra else "."
    return f"pip install {named}" + (f" (in a clone: pip install {here})" if checkout() else "")
