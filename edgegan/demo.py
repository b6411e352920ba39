"""The main job with nothing attached: the shipped generator paints the shipped clip, live."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgegan.config import Config, load_config
from edgegan.daemon import run
from edgegan.display import window_if_any
from edgegan.errors import UserError, user_error_from_os_error
from edgegan.plan import SHIPPED_CLIP, uri_of_file
from edgegan.report.demo_page import write_demo_page
from edgegan.report.export import remove_export
from edgegan.resources import resource

__all__ = ["run_demo"]

log = logging.getLogger(__name__)

_OTHERS = {"record.json": "a recording", "manifest.json": "a bundle", "engine.json": "an engine"}


def run_demo(output: Path, seconds: float | None = None, display: str | None = None) -> dict[str, Any]:
    """Paint the shipped clip for so long (once through it by default) and leave a video, a trace and a report.

    output: folder, made if need be; holds `demo.mp4`, `demo.trace` and `demo.html` afterwards.
    display: URI in place of the window that is opened where there is a screen.
    Returns the keys of `edgegan demo --json`. Raises `UserError` if the folder cannot be written, or
    holds a recording, a bundle or an engine.
    """
    video, trace, page = (output / name for name in ("demo.mp4", "demo.trace", "demo.html"))
    made = _make_folder(output)
    replaced = [file.name for file in (video, trace, page) if file.exists()]
    replaced += [file.name for file in remove_export(trace)]
    if replaced:
        log.info(
            "in '%s' this replaces %s (give -o another folder to keep them)", output, ", ".join(replaced)
        )
    try:
        summary = run(_demo_config(video, trace, seconds, display))
    except BaseException:
        _remove_empty(made)
        raise
    write_demo_page(page, summary, trace, video, resource(SHIPPED_CLIP))
    paths = {"video": str(video), "trace": str(trace), "report": str(page)}
    return {**summary, **paths, "replaced": replaced}


def _demo_config(video: Path, trace: Path, seconds: float | None, display: str | None) -> Config:
    screen = display or window_if_any("the picture goes into the video file alone")
    return load_config(
        None,
        {
            "camera": uri_of_file(resource(SHIPPED_CLIP), "" if seconds is None else "loop=1"),
            "displays": [*([screen] if screen else []), uri_of_file(video, "size=896x512")],
            "seconds": seconds,
            "trace.file": str(trace),
        },
    )


def _make_folder(output: Path) -> list[Path]:
    """Those that were made, the innermost first."""
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    if stranger := next((name for name in _OTHERS if (output / name).exists()), None):
        raise UserError(f"'{output}' holds {_OTHERS[stranger]} ({stranger})", "give -o another folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise user_error_from_os_error(error, f"the folder '{output}' cannot be made") from error
    if not os.access(output, os.W_OK):
        raise UserError(f"the folder '{output}' cannot be written to", "give -o another folder")
    return made


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
