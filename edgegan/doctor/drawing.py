"""Whether the shipped bundle is whole, each runtime draws it, and its pictures can become a video."""

import importlib.util
from pathlib import Path
from typing import Any

from edgegan.bundle import Bundle
from edgegan.doctor.check import Check, Host, State
from edgegan.doctor.child import run_child
from edgegan.errors import EdgeganError
from edgegan.extras import install_command
from edgegan.registry import GENERATORS
from edgegan.resources import shipped_bundle

__all__ = ["bundle", "encoder", "runtimes"]

_DRAW_LIMIT_S, _ENCODE_LIMIT_S = 40.0, 20.0
_GREY_LEVELS = 1
_ALWAYS = "onnxruntime"
_DRAW_NOTHING = ("passthrough",)


def bundle(host: Host) -> list[Check]:
    """The hashes of the shipped bundle."""
    try:
        path = shipped_bundle()
        opened = Bundle.open(path)
        size = sum(len(opened.read_file(name)) for name in opened.manifest["files"])
    except EdgeganError as error:
        return [Check("shipped bundle", "failed", error.message, "install edgegan again, or copy it anew")]
    found = f"{opened.name}, {len(opened.manifest['files'])} files, {size / 1e6:.1f} MB, hashes right"
    return [Check("shipped bundle", "ok", found)]


def runtimes(host: Host) -> list[Check]:
    """Each runtime draws the shipped bundle's reference picture, one after the other: they need the cores."""
    try:
        path = shipped_bundle()
    except EdgeganError:
        return []  # the check of the bundle says it
    return [_runtime(name, path) for name in sorted(GENERATORS) if name not in _DRAW_NOTHING]


def _runtime(runtime: str, path: Path) -> Check:
    name, always = f"runtime {runtime}", runtime == _ALWAYS
    bad: State = "failed" if always else "warning"
    if importlib.util.find_spec(runtime) is None:
        mend = install_command("" if always else runtime)
        return Check(name, "failed" if always else "absent", "not installed", mend)
    outcome = run_child("draw", runtime, str(path), limit_s=_DRAW_LIMIT_S)
    if outcome.death is not None or not outcome.said:
        why = f"cannot draw the shipped bundle: {outcome.death or 'it said nothing'}"
        return Check(
            name, bad, why, f"mend the packages first, then: pip install --force-reinstall {runtime}"
        )
    (answer,) = outcome.said
    if answer["difference"] > _GREY_LEVELS:
        why = f"draws the reference picture {answer['difference']} grey levels off"
        return Check(name, bad, why, f"use another version: pip install --upgrade {runtime}")
    return Check(name, "ok", _figures(answer))


def _figures(answer: dict[str, Any]) -> str:
    levels = f"{answer['difference']} grey level{'' if answer['difference'] == 1 else 's'}"
    return (
        f"{answer['version']} draws the reference picture within {levels}; "
        f"loaded in {answer['load_ms']:.0f} ms, a picture in {answer['draw_ms']:.0f} ms"
    )


def encoder(host: Host) -> list[Check]:
    """H.264 by PyAV, which `file://out.mp4` and the demo need."""
    outcome = run_child("encode", limit_s=_ENCODE_LIMIT_S)
    if outcome.said and outcome.said[0]["pictures"] == 10:
        return [Check("video encoder", "ok", f"H.264 by PyAV {outcome.said[0]['version']}")]
    why = outcome.death or "the video that was written holds no pictures"
    return [Check("video encoder", "warning", f"no H.264: {why}", "pip install --force-reinstall 'av>=15'")]
