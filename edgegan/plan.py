"""What a configuration means: the worker's task, the displays, and whether they can all be true at once."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edgegan.config import Config
from edgegan.engine.store import bundle_of
from edgegan.errors import ConfigError
from edgegan.registry import GENERATORS, Uri, options_of, redacted
from edgegan.resources import resource, shipped_bundle
from edgegan.worker import WorkerTask

__all__ = ["SHIPPED_CLIP", "Plan", "plan_from_config", "uri_of_file"]

SHIPPED_CLIP = "engines/clip/paint_demo.mp4"
_LONGEST_URI = 8192


@dataclass(frozen=True)
class Plan:
    """What a configuration means, after looking at the files it names.

    size: (height, width) of the pictures that the worker draws. lossless: every frame of a file is drawn.
    """

    task: WorkerTask
    size: tuple[int, int]
    lossless: bool
    displays: tuple[Uri, ...]
    config: Config


def plan_from_config(config: Config) -> Plan:
    """Check the files and URIs that a configuration names; raises `UserError`."""
    camera = config.camera or uri_of_file(resource(SHIPPED_CLIP), "loop=1")
    bundle = "" if config.generator else str(config.bundle or shipped_bundle())
    for uri in (camera, config.generator, *config.displays):
        if len(uri) > _LONGEST_URI:
            raise ConfigError(
                f"'{redacted(uri)[:60]}…' is {len(uri)} characters long", f"use at most {_LONGEST_URI}"
            )
    _refuse_one_file_for_two(config, camera, bundle)
    task = WorkerTask(
        camera, config.generator, bundle, config.runtime, config.precision, config.threads, config.store
    )
    displays = tuple(Uri.parse(text) for text in config.displays)
    lossless = Uri.parse(camera).options.get("pace") == "max"
    return Plan(task, _drawn_size(config.generator, bundle), lossless, displays, config)


def uri_of_file(path: Path, options: str = "") -> str:
    """The URI of a file, whatever characters are in its name."""
    return f"file://{quote(str(path))}" + (f"?{options}" if options else "")


def _drawn_size(generator: str, bundle: str) -> tuple[int, int]:
    if not generator:
        return bundle_of(Path(bundle)).output_size
    return options_of("generator", GENERATORS, Uri.parse(generator))["size"]  # type: ignore[no-any-return]


def _refuse_one_file_for_two(config: Config, camera: str, bundle: str) -> None:
    """What is written must not be what is read, nor be written twice."""
    used: dict[str, str] = {}
    uris = [("the camera", camera), *(("a display", uri) for uri in config.displays)]
    paths = [(what, Uri.parse(uri).path) for what, uri in uris if uri.startswith("file://")]
    paths += [("the bundle", bundle), ("the trace", config.trace.file)]
    for what, path in paths:
        real = os.path.realpath(Path(path).expanduser()) if path else ""
        if real and real in used:
            raise ConfigError(
                f"'{path}' is meant to be {used[real]} and {what}", "give each a file of its own"
            )
        used[real] = what
