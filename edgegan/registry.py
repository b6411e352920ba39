"""Drivers by name: `v4l2:///dev/video0?rate=30` becomes an open camera.

A URI is `scheme://path?option=value&…`. The scheme names the driver, the path is its first argument, each option
is a keyword argument of the driver's constructor and is converted by that argument's annotation. A driver's
library is imported only when the driver is asked for.
"""

import difflib
import importlib
import inspect
import re
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union
from urllib.parse import parse_qsl, unquote

from edgegan.errors import ConfigError, MissingDependency
from edgegan.extras import install_command

__all__ = [
    "CAMERAS",
    "DISPLAYS",
    "GENERATORS",
    "Size",
    "Uri",
    "check_generator_uri",
    "check_unicode",
    "check_uri",
    "did_you_mean",
    "open_driver",
    "options_of",
    "path_from_text",
    "redacted",
]

Size = NewType("Size", tuple[int, int])
"""(height, width) in pixels. In a URI it is written width x height, `640x480`, as on a camera's box."""

CAMERAS: Mapping[str, str] = {
    "file": "edgegan.camera.file:FileCamera",
    "pattern": "edgegan.camera.pattern:PatternCamera",
    "rtsp": "edgegan.camera.rtsp:RtspCamera",
    "v4l2": "edgegan.camera.v4l2.driver:V4l2Camera",
}
GENERATORS: Mapping[str, str] = {
    "onnxruntime": "edgegan.generator.onnxruntime:OnnxRuntimeGenerator",
    "openvino": "edgegan.generator.openvino:OpenVinoGenerator",
    "passthrough": "edgegan.generator.passthrough:PassthroughGenerator",
}
DISPLAYS: Mapping[str, str] = {
    "file": "edgegan.display.file:FileDisplay",
    "null": "edgegan.display.null:NullDisplay",
    "window": "edgegan.display.window:WindowDisplay",
}
_OURS_IN_URLS = {"rtsp": ("transport", "crop", "rotate", "mirror")}
"""Behind the address of a server everything else is the server's own, and goes there as it was written."""
_NEED_NO_MODEL = ("passthrough",)
_RENAME = "rename the file"
_EXTRA_OF_MODULE = {"sdl2": "window", "onnxruntime": "", "openvino": "openvino", "av": "", "cv2": ""}


@dataclass(frozen=True)
class Uri:
    """A parsed URI; `options` holds the text of each option.

    path: without its `%20`s. That of a server's URL (`rtsp`) is what was written, with the server's own options.
    """

    scheme: str
    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Parse `scheme://path?option=value`; raises `ConfigError`."""
        scheme, separator, rest = text.partition("://")
        if not separator or not scheme:
            raise ConfigError(
                f"'{redacted(text)}' is no URI",
                "write it as scheme://path?option=value, e.g. file://clip.mp4",
            )
        if scheme in _OURS_IN_URLS:
            return cls(scheme, *_split_url(rest, _OURS_IN_URLS[scheme]))
        path, _, query = rest.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
            raise ConfigError(
                f"'{redacted(text)}' gives the option '{twice[0]}' more than once", "keep one of them"
            )
        try:
            return cls(scheme, unquote(path, errors="strict"), dict(pairs))
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"what '{redacted(text)}' names with '%' is not valid UTF-8", _RENAME
            ) from error

    def without(self, *names: str) -> "Uri":
        """The same URI less some options."""
        return Uri(self.scheme, self.path, {k: v for k, v in self.options.items() if k not in names})


def _split_url(rest: str, ours: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """A server's URL behind its scheme, less our options; and our options."""
    path, _, query = rest.partition("?")
    pairs = query.split("&") if query else []
    mine = [pair for pair in pairs if pair.partition("=")[0] in ours]
    theirs = "&".join(pair for pair in pairs if pair not in mine)
    return path + (f"?{theirs}" if theirs else ""), dict(parse_qsl("&".join(mine), keep_blank_values=True))


def did_you_mean(word: str, words: "list[str] | Mapping[str, Any]") -> str:
    """The mend for a misspelt word: the nearest one, else all there are."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean '{near[0]}'?" if near else "known are: " + (", ".join(sorted(words)) or "none")


def redacted(text: str) -> str:
    """A text as it may be shown and stored: `rtsp://user:***@host/`, and the same for options that are secrets."""
    text = re.sub(
        r"(?i)\b(rtsps?:/*[^\s\"'<>/?#@:]*):[^\s\"'<>]*@", r"\1:***@", text
    )  # also with a plain / in it
    text = re.sub(  # also with an @ in the user's name; behind a host there is a port
        r"(?i)\b(rtsps?:/*[^\s\"'<>/?#:]*@[^\s\"'<>/?#:]*):(?!\*\*\*@|\d*(?![^\s\"'<>/?#]))[^\s\"'<>]*@",
        r"\1:***@",
        text,
    )
    text = re.sub(r"(?<=://)([^\s/?#@:]*):[^\s/?#@]*@", r"\1:***@", text)
    return re.sub(
        r"(?i)([?&;_/][^=&;\s]*(?:pass|psw|pwd|secret|token|key)[^=&;\s]*=)[^&;\s\"']*",
        r"\1***",
        text,
    )


def open_driver(kind: str, drivers: Mapping[str, str], uri: Uri, **extra: Any) -> Any:
    """Open the driver that `uri` names; `extra` are arguments that the caller itself supplies.

    kind is the word for messages ('camera'). Raises `ConfigError` for an unknown driver or option,
    `MissingDependency` for a missing library, and whatever the driver raises.
    """
    constructor = _load(kind, drivers, uri.scheme)
    return constructor(uri.path, **options_from_uri(kind, constructor, uri), **extra)


def check_uri(kind: str, drivers: Mapping[str, str], uri: Uri) -> None:
    """Raise `ConfigError` for an unknown driver or a wrong option, without opening anything."""
    options_from_uri(kind, _load(kind, drivers, uri.scheme), uri)


def check_generator_uri(uri: Uri) -> None:
    """Raise `ConfigError` for a generator that draws nothing without a model: its place is a bundle."""
    if uri.scheme in GENERATORS and uri.scheme not in _NEED_NO_MODEL:
        raise ConfigError(
            f"the generator '{uri.scheme}://' needs a model",
            f"give its bundle with --bundle and --runtime {uri.scheme}",
        )


def options_of(kind: str, drivers: Mapping[str, str], uri: Uri) -> dict[str, Any]:
    """All options of the driver that `uri` names, given or by default, without opening it."""
    constructor = _load(kind, drivers, uri.scheme)
    defaults = {n: p.default for n, p in inspect.signature(constructor).parameters.items() if n != "path"}
    return defaults | options_from_uri(kind, constructor, uri)


def options_from_uri(kind: str, constructor: Callable[..., Any], uri: Uri) -> dict[str, Any]:
    """The keyword arguments for `constructor` that a URI's options stand for."""
    init = constructor.__init__ if inspect.isclass(constructor) else constructor
    hints = typing.get_type_hints(init)
    keyword_only = [
        p.name
        for p in inspect.signature(init).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    values = {}
    for name, text in uri.options.items():
        if name not in keyword_only:
            raise ConfigError(
                f"{kind} driver '{uri.scheme}' has no option '{name}'", did_you_mean(name, keyword_only)
            )
        values[name] = _convert(f"option '{name}' of {kind} driver '{uri.scheme}'", text, hints[name])
    return values


def _load(kind: str, drivers: Mapping[str, str], scheme: str) -> Callable[..., Any]:
    if scheme not in drivers:
        raise ConfigError(f"there is no {kind} driver '{scheme}'", did_you_mean(scheme, drivers))
    module, _, name = drivers[scheme].partition(":")
    try:
        return typing.cast(Callable[..., Any], getattr(importlib.import_module(module), name))
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA_OF_MODULE:
            raise
        raise MissingDependency(
            f"{kind} driver '{scheme}' needs the package '{missing}' ({error})",
            install_command(_EXTRA_OF_MODULE[missing]),
        ) from error


def _convert(what: str, text: str, kind: Any) -> Any:
    """Text to the annotated type: bool, int, float, str, Size, Literal, one of these | None, or Literal | number."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, UnionType):
        return _convert_to_one_of(what, text, [a for a in arguments if a is not NoneType])
    if origin is Literal:
        choices = {str(a): a for a in arguments}
        if text not in choices:
            raise ConfigError(f"{what} cannot be '{text}'", did_you_mean(text, choices))
        return choices[text]
    if kind is Size:
        return size_from_text(what, text)
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ConfigError(f"{what} cannot be '{text}'", "use 1 or 0")
        return _BOOLEANS[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{what} cannot be '{text}'", f"use a number ({kind.__name__})") from None


def _convert_to_one_of(what: str, text: str, kinds: list[Any]) -> Any:
    """To the first type that the text fits; words come before a number."""
    *words, last = kinds
    choices = {str(choice): choice for kind in words for choice in typing.get_args(kind)}
    if text in choices:
        return choices[text]
    try:
        return _convert(what, text, last)
    except ConfigError as error:
        mend = f"use {', '.join(choices)}, or" + error.mend.removeprefix("use") if choices else error.mend
        raise ConfigError(error.message, mend) from None


_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "": True}
_BOOLEANS |= {"0": False, "false": False, "no": False, "off": False}


def size_from_text(what: str, text: str) -> Size:
    """`640x480` (width x height) to Size((480, 640))."""
    width, _, height = text.lower().partition("x")
    if not (
        width.isdecimal() and height.isdecimal() and 0 < int(width) <= 16384 and 0 < int(height) <= 16384
    ):
        raise ConfigError(
            f"{what} cannot be '{text}'", "use WIDTHxHEIGHT in pixels, at most 16384, e.g. 640x480"
        )
    return Size((int(height), int(width)))


def path_from_text(text: str) -> Path:
    """A path as a person writes it, in a file or on the command line: `~` at its front is the home folder.

    Raises `ConfigError` for what no file can be called.
    """
    if not text:
        raise ConfigError("a path cannot be empty", "name a file or a folder")
    if "\0" in text:
        raise ConfigError(f"the path {text!r} holds a zero byte", "leave it out")
    check_unicode(text)
    if not text.startswith("~"):
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.partition("/")[0]
        raise ConfigError(
            f"there is no home folder '{user}' for '{text}'", f"check the name, or write './{user}'"
        ) from error


def check_unicode(text: str) -> None:
    """Raise `ConfigError` for text that has no UTF-8: a file's name in Latin-1, as it comes from a shell."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise ConfigError(f"'{shown}' is not valid UTF-8", _RENAME) from error
