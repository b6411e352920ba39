"""One YAML file says what runs; every mistake in it is told at once, with its line and its mend.

`load_yaml_model` serves any model of this project (recipes use it too). Types are strict: `frames: "12"` is a
mistake. This module loads nothing but pydantic and yaml, because the daemon imports it.
"""

import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from edgegan.errors import ConfigError, Mistake
from edgegan.registry import (
    CAMERAS,
    DISPLAYS,
    GENERATORS,
    Uri,
    check_generator_uri,
    check_unicode,
    did_you_mean,
    path_from_text,
    redacted,
)

__all__ = ["CheckUri", "Config", "Settings", "load_config", "load_yaml_model"]

M = TypeVar("M", bound=BaseModel)
CheckUri = Callable[[str, Uri], None]
"""Takes the kind of part ('camera') and its URI; raises `ConfigError` for what else is wrong with it."""
Location = tuple[str | int, ...]
"""Where a value lies: keys and indices from the root, as pydantic's `loc`."""

_MOST_BYTES = 256 << 10
_MOST_NODES = 10_000  # aliases can make a short file endless
_MOST_SHOWN = 20
_TEN_YEARS_SECONDS = 10 * 365 * 86_400


class Settings(BaseModel):
    """Base of every model that a YAML file is read into: frozen, unknown keys are mistakes, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known_scheme(kind: str, drivers: Mapping[str, str], *, or_empty: bool = False) -> AfterValidator:
    """Refuses unknown drivers and impossible paths.

    Options are checked on opening, or where `load_config` is given a `check_uri`: to know them is to import the driver.
    """

    def check(text: str, info: ValidationInfo) -> str:
        if or_empty and not text:
            return text
        uri = Uri.parse(text)
        if uri.scheme not in drivers:
            raise ConfigError(f"there is no {kind} driver '{uri.scheme}'", did_you_mean(uri.scheme, drivers))
        if drivers is GENERATORS:
            check_generator_uri(uri)
        if uri.scheme == "file" and uri.path:
            path_from_text(uri.path)
        if info.context:
            info.context(kind, uri)
        return text

    return AfterValidator(check)


def _path_or_nothing(text: str) -> str:
    """The text of a path, with its `~` replaced by the home folder it stands for."""
    path = path_from_text(text) if text else None
    return str(path) if path and text.startswith("~") else text


def _file_of_sqlite(text: str) -> str:
    if text and str(Path(text)) == ":memory:":
        raise ConfigError("SQLite keeps ':memory:' in memory and writes no file", "give another name")
    return text


CameraUri = Annotated[str, _known_scheme("camera", CAMERAS, or_empty=True)]
GeneratorUri = Annotated[str, _known_scheme("generator", GENERATORS, or_empty=True)]
DisplayUri = Annotated[str, _known_scheme("display", DISPLAYS)]
PathText = Annotated[str, AfterValidator(_path_or_nothing)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class TraceSettings(Settings):
    """Where the trace goes (empty: nowhere), and how much of it a power cut may cost."""

    file: Annotated[PathText, AfterValidator(_file_of_sqlite)] = ""
    flush_seconds: Seconds = 2.0


class WorkerSettings(Settings):
    """How patient the daemon is with the process that owns camera and generator."""

    start_timeout_seconds: Seconds = 30.0
    frame_timeout_seconds: Seconds = 30.0
    restart_backoff_seconds: Seconds = 0.5
    restart_backoff_limit_seconds: Seconds = 30.0
    stop_timeout_seconds: Seconds = 0.5

    @model_validator(mode="after")
    def _backoff_grows(self) -> "WorkerSettings":
        if self.restart_backoff_limit_seconds < self.restart_backoff_seconds:
            raise ConfigError(
                f"restart_backoff_limit_seconds is {self.restart_backoff_limit_seconds:g}, less than "
                f"restart_backoff_seconds, {self.restart_backoff_seconds:g}",
                "the first wait cannot be longer than the longest",
            )
        return self


class LogSettings(Settings):
    """How much is said on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Settings):
    """What runs. Each key is described where people look for it: deploy/default.yaml."""

    camera: CameraUri = ""
    bundle: PathText = ""
    generator: GeneratorUri = ""
    runtime: Literal["auto", "onnxruntime", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "int8", "int8_bf16"] = "auto"
    store: PathText = ""
    displays: tuple[DisplayUri, ...] = Field(default=("window://",), min_length=1)
    frames: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0, le=_TEN_YEARS_SECONDS)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    trace: TraceSettings = TraceSettings()
    worker: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _one_thing_draws(self) -> "Config":
        if self.bundle and self.generator:
            raise ConfigError(
                f"both the bundle '{self.bundle}' and the generator '{self.generator}' are given",
                "leave one out: a generator takes the place of a bundle",
            )
        return self


def load_config(path: Path | None, overrides: Mapping[str, Any], check_uri: CheckUri | None = None) -> Config:
    """The file's configuration (None: the defaults), with `overrides` laid over it.

    overrides: value by key, inner keys with dots: `{"trace.file": "run.trace", "displays": ["null://"]}`.
        A bundle there takes the place of the file's generator, and the other way round.
    check_uri: looks at each URI too, and what it raises is told with the other mistakes.
    Raises `ConfigError`. Relative paths mean the working directory, in the file as on the command line.
    """
    config = Config() if path is None else load_yaml_model(path, Config, check_uri)
    data = config.model_dump(mode="json")
    for given, other in (("bundle", "generator"), ("generator", "bundle")):
        if overrides.get(given):
            data[other] = ""
    for dotted, value in overrides.items():
        *parents, key = dotted.split(".")
        inner = data
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    return _validate(Config, _Document(None, data), check_uri)


def load_yaml_model(path: Path, model: type[M], check_uri: CheckUri | None = None) -> M:
    """The YAML file at `path` as `model`; raises `ConfigError` with every mistake, `file:line: key: …`."""
    return _validate(model, _Document.read(path), check_uri)


@dataclass
class _Document:
    """Data with the line of each value; `mistakes` are those that YAML itself would let pass.

    path: None for what was not read from a file but given on the command line.
    """

    path: Path | None
    data: Any = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "_Document":
        document = cls(path)
        try:
            loader = _Loader(_content(path).decode("utf-8-sig"))
            loader.name = str(path)
            root = loader.get_single_node()
            if root is not None:
                document._walk(root, (), root.start_mark.line + 1)
                document.data = loader.construct_document(root)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is no text: {error.reason}", "save it as UTF-8") from error
        except yaml.YAMLError as error:
            raise _broken(path, error) from error
        except ConfigError:
            raise
        except (ValueError, OverflowError) as error:  # "\UFFFFFFFF"
            mistake = Mistake(str(path), loader.line + 1, "", f"no such character: {error}", "leave it out")
            raise _all_at_once(str(path), [mistake]) from error
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deep", "is it the right file?") from error
        return document

    def mistake(self, location: Location, message: str, mend: str) -> Mistake:
        """A mistake at the value's line, or at that of the nearest thing around it that is in the file."""
        around = location
        while around and around not in self.lines:
            around = around[:-1]
        line = self.lines.get(around, 1)
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
        return Mistake(str(self.path) if self.path else None, line if self.path else None, key, message, mend)

    def _walk(self, node: yaml.Node, location: Location, line: int) -> None:
        if len(self.lines) > _MOST_NODES:
            raise ConfigError(f"{self.path} holds more than {_MOST_NODES} values", "is it the right file?")
        self.lines[location] = line
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*location, index), item.start_mark.line + 1)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._key(key, value, location)

    def _key(self, key: yaml.Node, value: yaml.Node, location: Location) -> None:
        if not isinstance(key, yaml.ScalarNode):
            return  # the constructor refuses it, with the line
        if key.tag != "tag:yaml.org,2002:merge":
            key.tag = "tag:yaml.org,2002:str"  # else YAML 1.1 reads the keys `on`, `no` and `y` as booleans
        inner, line = (*location, key.value), key.start_mark.line + 1
        if inner in self.lines:
            self.mistakes.append(self.mistake(inner, f"given again in line {line}", "keep one of the two"))
        else:
            self._walk(value, inner, line)


class _Loader(yaml.SafeLoader):
    """Says where a value stands that only looks like a date, or that a tag claims to be a number."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. Raises `ConfigError`, and `yaml.YAMLError` for what PyYAML itself refuses."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                str(value)  # refuses a number of more digits than Python writes, e.g. 0xFFF… and 1:1:1:…
            return value
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            if isinstance(error, ConfigError):
                raise
            kind = node.tag.rpartition(":")[2]
            message = f"{_shown(node.value)} is no {kind}: {error}"
            mend = "put it in quotes if it is meant as a text"
            mistake = Mistake(self.name, node.start_mark.line + 1, "", message, mend)
            raise _all_at_once(self.name, [mistake]) from error


def _content(path: Path) -> bytes:
    """Raises `OSError`, and `ConfigError` for what would block, or never end, or is too long to be meant."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not path.is_dir():
        raise ConfigError(f"{path} is no file but a pipe or a device", "write it to a file first")
    if found.st_size > _MOST_BYTES:
        raise ConfigError(f"{path} has {found.st_size} bytes", "is it the right file?")
    return path.read_bytes()


def _broken(path: Path, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    mend = "check this line and the one above it: indent with spaces, close each quote and bracket"
    if "got '?'" in problem:
        mend = "put a URI with '?' in quotes when it stands in brackets"
    mistake = Mistake(str(path), mark.line + 1 if mark else 1, "", f"broken YAML: {problem}", mend)
    return _all_at_once(str(path), [mistake])


def _validate(model: type[M], document: _Document, check_uri: CheckUri | None) -> M:
    """Validate as JSON, where strict means strict types but a list may still become a tuple."""
    validated = None
    mistakes = document.mistakes + [document.mistake(*one) for one in _not_unicode(document.data)]
    try:
        data = json.dumps(document.data, default=str, ensure_ascii=False).encode("utf-8", "replace")
        validated = model.model_validate_json(data, strict=True, context=check_uri)
    except ValidationError as error:
        found = ((e["loc"], *_in_our_words(model, e)) for e in _without_echoes(error))
        mistakes = mistakes + [document.mistake(*one) for one in found]
    if validated is None or mistakes:
        raise _all_at_once(str(document.path or "what was given"), mistakes)
    return validated


def _not_unicode(data: Any, location: Location = ()) -> Iterator[tuple[Location, str, str]]:
    """Location, message and mend of each text that has no UTF-8; JSON, and with it pydantic, refuses those."""
    if isinstance(data, str):
        try:
            check_unicode(data)
        except ConfigError as error:
            yield location, error.message, error.mend
    elif isinstance(data, (list, tuple, dict)):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _not_unicode(value, (*location, key))


def _without_echoes(error: ValidationError) -> list[Any]:
    """pydantic counts what was valid: a list's one item that is wrong also makes the list too short."""
    errors = error.errors(include_url=False)
    around = {e["loc"][:length] for e in errors for length in range(len(e["loc"]))}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in around]


def _all_at_once(where: str, mistakes: list[Mistake]) -> ConfigError:
    if len(mistakes) == 1:
        return ConfigError(str(mistakes[0]), mistakes[0].mend, mistakes)
    told = sorted(mistakes, key=lambda mistake: mistake.line or 0)[:_MOST_SHOWN]
    lines = [f"  {m}: {m.mend}" if m.mend else f"  {m}" for m in told]
    if len(mistakes) > len(told):
        lines.append(f"  and {len(mistakes) - len(told)} more")
    return ConfigError("\n".join([f"{where} has {len(mistakes)} mistakes", *lines]), "", told)


def _in_our_words(model: type[BaseModel], error: Any) -> tuple[str, str]:
    """Message and mend of one of pydantic's errors."""
    kind, location, found = error["type"], error["loc"], _shown(error["input"])
    own = error.get("ctx", {}).get("error")
    if isinstance(own, ConfigError):
        return own.message, own.mend
    if kind == "extra_forbidden":
        return "there is no such key", did_you_mean(str(location[-1]), _keys_at(model, location[:-1]))
    if kind == "missing":
        return "is missing", "every such entry needs it"
    if kind in ("model_type", "dict_type"):
        return f"is {found}, but should hold keys", "write 'key: value' lines, or leave it out"
    if kind == "too_short":
        return f"is {found}", f"give at least {error['ctx']['min_length']}"
    if kind == "literal_error":
        known = re.findall("'([^']*)'", error["ctx"]["expected"])
        return f"cannot be {found}", did_you_mean(str(error["input"]), known)
    if kind in _TYPES:
        what, mend = _TYPES[kind]
        return f"is {found}, but should be {what}", mend
    return f"is {found}, but {error['msg'].replace('Input ', '', 1)}", ""


_A_LIST = ("a list", "put it in brackets: [A] or [A, B], texts with ? in quotes")
_A_NUMBER = ("a number", "write it in digits, without quotes")
_A_WHOLE_NUMBER = ("a whole number", "write it in digits, without quotes")
_TYPES = {
    "string_type": ("a text", "write one, in quotes if YAML takes it for something else"),
    "tuple_type": _A_LIST,
    "list_type": _A_LIST,
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": _A_NUMBER,
    "finite_number": ("a finite number", _A_NUMBER[1]),
}
"""What each of pydantic's complaints about a type asks for, in words of YAML, and how to write it."""


def _shown(value: Any) -> str:
    text = redacted(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that a model knows at a place inside it."""
    models = [model]
    for step in location:
        annotations = [m.model_fields[step].annotation for m in models if step in m.model_fields]
        if annotations:
            models = [inner for annotation in annotations for inner in _models_in(annotation)]
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if inner := get_args(annotation):
        return [model for one in inner for model in _models_in(one)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
