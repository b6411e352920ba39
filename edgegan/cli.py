"""The command line. A handler takes the arguments and gives the result twice: as data (`--json`) and as text.

Standard output carries that result alone; progress, the log and errors go to standard error. What a command
needs is imported in its handler, so that `edgegan --help` costs nothing.
"""

import argparse
import errno
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from edgegan import __version__
from edgegan.errors import ConfigError, EdgeganError, MissingDependency, ModelError, UserError
from edgegan.registry import (
    CAMERAS,
    DISPLAYS,
    GENERATORS,
    Uri,
    check_uri,
    did_you_mean,
    path_from_text,
)

if TYPE_CHECKING:
    from edgegan.config import CheckUri, Config

__all__ = ["main"]

log = logging.getLogger(__name__)

Outcome = tuple[dict[str, Any], str]
"""What `--json` prints, and what is printed without it."""

_INTERRUPTED, _BROKEN_PIPE = 130, 141  # 128 + the signal's number, as shells say it
_CONFIG_KEYS = {"display": "displays", "trace": "trace.file"}
_CONFIG_OPTIONS = [
    *("bundle", "generator", "runtime", "precision", "store", "camera", "display"),
    *("frames", "seconds", "threads", "trace"),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 a user's mistake, 1 a failure, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    _fill_closed_streams()
    try:
        args = _parse(arguments)
        logging.basicConfig(
            level=logging.DEBUG if args.verbose else logging.INFO,
            format="%(levelname)s %(name)s: %(message)s",
        )
        with _stdout_kept_clean():
            data, text = args.handler(args)
        _print_result(json.dumps(data, indent=2, default=str, allow_nan=False) if as_json else text)
    except _ReaderGone:
        return _BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, as_json, verbose="-v" in arguments or "--verbose" in arguments)
    return int(data.get("verdict") == "broken")  # of `doctor`: the result itself is a failure


def _failed(error: BaseException, as_json: bool, verbose: bool) -> int:
    """Say what went wrong: in one line if it was foreseen, with the traceback if it was not."""
    foreseen = isinstance(error, (EdgeganError, KeyboardInterrupt))
    if isinstance(error, EdgeganError):
        code, message, mend = error.exit_code, error.message, error.mend
    elif isinstance(error, KeyboardInterrupt):
        code, message, mend = _INTERRUPTED, str(error) or "interrupted", ""
    else:
        code, message = 1, f"{type(error).__name__}: {error}"
        mend = "a bug: please report it with the traceback"
    line = f"edgegan: error: {message}" + (f": {mend}" if mend else "")
    trace = "".join(traceback.format_exception(error)) if verbose or not foreseen else ""
    with suppress(OSError):
        _write(f"{trace}{line}\n", sys.stderr, 2)
    if as_json:
        with suppress(OSError):  # the exit code is left to say it
            said = {"message": message, "mend": mend, **_one_by_one(error)}
            _write(json.dumps({"error": said}, indent=2) + "\n", sys.stdout, 1)
    return code


def _one_by_one(error: BaseException) -> dict[str, Any]:
    """Each mistake of a configuration by itself, for scripts and editors."""
    mistakes = error.mistakes if isinstance(error, ConfigError) else ()
    return {"mistakes": [asdict(mistake) for mistake in mistakes]} if mistakes else {}


# -- Standard output and standard error


class _ReaderGone(Exception):
    """Nobody reads standard output any more, as in `edgegan config | head -1`. That is no failure of ours."""


def _print_result(text: str, end: str = "\n") -> None:
    """Raises `_ReaderGone`, and `EdgeganError` where the result cannot be written."""
    try:
        _write(text + end, sys.stdout, 1)
    except BrokenPipeError as error:
        raise _ReaderGone from error
    except OSError as error:
        raise EdgeganError(
            f"the result cannot be written to standard output: {error.strerror or error}",
            "check where it was sent",
        ) from error


def _write(text: str, stream: TextIO | None, descriptor: int) -> None:
    """Write at once; what the stream's encoding lacks is escaped. Raises `OSError`: closed, full, reader gone."""
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)  # else the interpreter tries again at the end, and complains
        os.dup2(null, descriptor)
        os.close(null)
        raise


def _fill_closed_streams() -> None:
    """A stream that the caller has closed (`>&-`) would lend its number to the next file that is opened."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


@contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """Whatever a library or a child process prints goes to stderr: stdout is for the result."""
    if sys.stdout is not None:
        sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


# -- Parsing


class _Parser(argparse.ArgumentParser):
    """argparse, with errors and output in our form; an abbreviated option is a misspelt one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise UserError(message, f"see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's own loses what cannot be written. `--help` and `--version` come through here."""
        _print_result(message, end="")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    arguments = _joined_ranges(arguments)
    command = next((a for a in arguments if not a.startswith("-")), None)
    if command is not None and command not in commands:
        raise UserError(f"there is no command '{command}'", did_you_mean(command, list(commands)))
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        option = next((u for u in unknown if u.startswith("-")), None)
        if option is None:
            raise UserError(f"'{unknown[0]}' is one argument too many", f"see edgegan {command} --help")
        known = re.findall(r"--[a-z-]+", (commands[command] if command else parser).format_help())
        raise UserError(f"there is no option '{option.partition('=')[0]}'", did_you_mean(option, known))
    if command is None:
        raise UserError("no command was given", "begin with 'edgegan demo'; 'edgegan --help' lists them all")
    return args


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    common = _Parser(add_help=False)
    common.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print the result as JSON"
    )
    common.add_argument(
        "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="log everything"
    )
    parser = _Parser(prog="edgegan", description="Run compressed GAN generators live on small boards.")
    parser.add_argument("--version", action="version", version=f"edgegan {__version__}")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log everything, and tracebacks of errors"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    commands = {}
    for name, (help_text, add_arguments, handler) in _COMMANDS.items():
        commands[name] = subparsers.add_parser(name, help=help_text, description=help_text, parents=[common])
        commands[name].set_defaults(handler=handler)
        add_arguments(commands[name])
    return parser, commands


def _joined_ranges(arguments: list[str]) -> list[str]:
    """`--input-range -1,1` as `--input-range=-1,1`: argparse would take -1,1 for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--\w+-range", joined[-1]) and argument[:1] == "-":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _path(text: str) -> Path:
    try:
        return path_from_text(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error  # else argparse leaves out why


def _path_text(text: str) -> str:
    """For what is read again as a value of the configuration, which expands `~`; there, empty means none."""
    _path(text)
    return text


def _height_and_width(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text.lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write HEIGHTxWIDTH, e.g. 256x256")
    return int(match[1]), int(match[2])


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return value


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no range; write LOW,HIGH, e.g. -1,1") from None
    return low, high


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no seed; write a whole number from 0")
    return int(text)


# -- Commands


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="how long (default: until the clip has ended)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=_path,
        default=Path("edgegan-demo"),
        metavar="DIR",
        help="folder of results (default: %(default)s)",
    )
    parser.add_argument(
        "--display", metavar="URI", help="where to show it (default: a window, if there is a screen)"
    )


def _demo(args: argparse.Namespace) -> Outcome:
    from edgegan.demo import run_demo
    from edgegan.report.text import run_text

    _config_from({"seconds": args.seconds, "displays": args.display and [args.display]})
    summary = run_demo(args.output, args.seconds, args.display)
    return summary, run_text(summary)


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", type=_path, metavar="MODEL.onnx", help="the generator, unless the recipe names it"
    )
    parser.add_argument(
        "--recipe", type=_path, metavar="R.yaml", help="these options in a file; those given here go first"
    )
    parser.add_argument("--name", help="name of the bundle (default: the model's)")
    parser.add_argument(
        "--size", type=_height_and_width, metavar="HxW", help="height and width of the pictures"
    )
    parser.add_argument(
        "--input-range", type=_range, metavar="A,B", help="what black and white are to the generator"
    )
    parser.add_argument("--output-range", type=_range, metavar="A,B", help="what it means by black and white")
    parser.add_argument("--output-name", metavar="NAME", help="the picture, if several outputs may be it")
    parser.add_argument(
        "--batch-statistics",
        action="store_true",
        default=None,
        help="normalise with each picture's own statistics, and leave Dropout out, where the model is in training mode",
    )
    parser.add_argument("--pictures", type=_path, metavar="DIR", help="photos to compare the packed model on")
    parser.add_argument(
        "--calibrate",
        type=_path,
        metavar="DIR|VIDEO",
        help="photos of what the camera will see, or a clip: makes INT8 and FP16 too, and judges them",
    )
    parser.add_argument(
        "--precision",
        type=_names,
        metavar="P,P",
        help="fp32 alone, or also fp16 and int8 (default: all, if there is something to calibrate with)",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="which pictures calibrate, which judge")
    parser.add_argument(
        "--perceptual", type=_path, metavar="FILE.onnx", help="an ST-LPIPS model, for one more figure"
    )
    parser.add_argument(
        "-o", "--output", type=_path, required=True, metavar="BUNDLE", help="where to write it"
    )


_PACK_OPTIONS = (
    *("name", "size", "input_range", "output_range", "output_name", "batch_statistics"),
    *("calibrate", "seed", "perceptual"),
)


def _pack(args: argparse.Namespace) -> Outcome:
    from edgegan.pack import PackOptions, load_recipe, pack_model, with_shipped_recipe
    from edgegan.report.text import ProgressBar, packed_text

    model, options = load_recipe(args.recipe) if args.recipe else (None, PackOptions())
    given = {name: getattr(args, name) for name in _PACK_OPTIONS if getattr(args, name) is not None}
    given |= {"precisions": args.precision} if args.precision else {}
    model = args.model or model
    if model is None:
        raise UserError("no model was given", "name it: edgegan pack MODEL.onnx -o BUNDLE, or in the recipe")
    try:
        with ProgressBar(sys.stderr) as progress:
            description = pack_model(
                model, args.output, replace(options, **given), pictures=args.pictures, progress=progress
            )
    except ModelError as error:
        raise error if args.recipe else with_shipped_recipe(error, model) from error
    return description, packed_text(description, args.output)


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        nargs="?",
        type=_path,
        metavar="BUNDLE",
        help="or an engine that was built on a device like this one (default: the shipped bundle)",
    )
    _runtime_arguments(parser, default="auto")
    parser.add_argument(
        "--objective",
        default="latency",
        help="latency or quality: what the best one is (default: %(default)s)",
    )
    _store_argument(parser)
    parser.add_argument(
        "--export", type=_path, metavar="DIR", help="also write the engine there, for devices like this one"
    )
    parser.add_argument("--again", action="store_true", help="build even if it is there already")
    parser.add_argument(
        "--seconds",
        type=_positive,
        default=8.0,
        metavar="S",
        help="how long the fastest are timed (default: %(default)s)",
    )
    parser.add_argument(
        "--store-limit-mb",
        type=_positive,
        default=4096.0,
        metavar="MB",
        help="size of the store (default: 4096)",
    )


def _build(args: argparse.Namespace) -> Outcome:
    from edgegan.engine.build import build
    from edgegan.engine.store import Store, default_store
    from edgegan.report.text import ProgressBar, engine_text
    from edgegan.resources import shipped_bundle

    _config_from({"threads": args.threads})
    names = ("runtime", "precision", "objective", "threads", "seconds", "again", "export")
    options = {name: getattr(args, name) for name in names}
    store = Store(path_from_text(args.store) if args.store else default_store())
    with ProgressBar(sys.stderr) as progress:
        result = build(
            args.bundle or shipped_bundle(),
            store,
            **options,
            most_bytes=int(args.store_limit_mb * 2**20),
            progress=progress,
        )
    return result, engine_text(result)


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera", required=True, metavar="URI", help="the camera of the installation, as for run"
    )
    parser.add_argument(
        "-o", "--output", type=_path, required=True, metavar="DIR", help="folder of the pictures"
    )
    parser.add_argument(
        "--count", type=int, default=120, metavar="N", help="how many pictures (default: %(default)s)"
    )
    spread = parser.add_mutually_exclusive_group()
    spread.add_argument(
        "--every", type=float, metavar="S", help="seconds from one picture to the next (default: 0.5)"
    )
    spread.add_argument("--seconds", type=float, metavar="S", help="spread the pictures over so long")
    parser.add_argument(
        "--countdown", type=float, default=3.0, metavar="S", help="seconds before the first (default: 3)"
    )
    parser.add_argument(
        "--display", metavar="URI", help="where it shows (default: a window, if there is a screen)"
    )
    parser.add_argument("--append", action="store_true", help="go on with the recording that is in DIR")
    parser.add_argument(
        "--keep-alike", action="store_true", help="also take pictures that look like an earlier one"
    )


def _record(args: argparse.Namespace) -> Outcome:
    from edgegan.record import RecordOptions, record
    from edgegan.report.text import ProgressBar, record_text

    every_s = 0.5 if args.every is None else args.every
    if args.seconds is not None:
        every_s = args.seconds / max(args.count, 1)
    _config_from({"camera": args.camera, "displays": args.display and [args.display]})
    names = ("camera", "output", "count", "display", "append", "keep_alike")
    options = RecordOptions(
        every_s=every_s, countdown_s=args.countdown, **{name: getattr(args, name) for name in names}
    )
    with ProgressBar(sys.stderr) as progress:
        result = record(options, progress)
    return result, record_text(result)


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=_path, metavar="BUNDLE|ENGINE")
    parser.add_argument(
        "--page", type=_path, metavar="FILE.html", help="also write its page of pictures and figures there"
    )


def _inspect(args: argparse.Namespace) -> Outcome:
    from edgegan.bundle import Bundle
    from edgegan.engine.store import Engine, bundle_of, is_engine
    from edgegan.report.text import bundle_text, engine_text

    if args.page:
        bundle_of(args.bundle).write_page(args.page)
    if is_engine(args.bundle):
        description = Engine.open(args.bundle).describe()
        return description, engine_text(description)
    description = Bundle.open(args.bundle).describe()
    return description, bundle_text(description)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", type=_path, metavar="CONFIG.yaml", help="see edgegan config --template"
    )
    parser.add_argument(
        "--bundle", type=_path_text, metavar="B", help="the generator (default: the shipped one)"
    )
    parser.add_argument(
        "--generator", metavar="URI", help="a driver instead of a bundle, e.g. passthrough://"
    )
    parser.add_argument(
        "--camera",
        metavar="URI",
        help="e.g. v4l2:///dev/video0, rtsp://user:password@host/path, file://clip.mp4, pattern://?rate=30",
    )
    parser.add_argument(
        "--display",
        action="append",
        metavar="URI",
        help="e.g. window://, file://out.mp4, null://; may be repeated",
    )
    _runtime_arguments(parser, default=None)
    _store_argument(parser)
    parser.add_argument("--frames", type=int, metavar="N", help="stop after so many shown frames")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    parser.add_argument("--trace", type=_path_text, metavar="FILE", help="write the trace there")


def _run(args: argparse.Namespace) -> Outcome:
    from edgegan.daemon import run
    from edgegan.report.text import run_text

    config = _effective(args)
    logging.getLogger().setLevel("DEBUG" if args.verbose else config.log.level.upper())
    try:
        summary = run(config)
    except ConfigError as error:
        _say_where(args, error)
    return summary, run_text(summary)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", nargs="?", type=_path, metavar="BUNDLE|ENGINE", help="default: the shipped bundle"
    )
    _runtime_arguments(parser, default="auto")
    _store_argument(parser)
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="how long (default: %(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=_positive,
        metavar="HZ",
        help="pictures a second, as from a camera (default: full speed)",
    )


def _bench(args: argparse.Namespace) -> Outcome:
    from edgegan.bench import bench
    from edgegan.report.text import ProgressBar, bench_text

    names = ("runtime", "precision", "seconds", "threads", "store")
    options = {name: getattr(args, name) for name in names}
    _config_from(options)
    options["store"] = str(path_from_text(args.store)) if args.store else ""
    with ProgressBar(sys.stderr) as progress:
        result = bench(args.bundle, **options, rate_hertz=args.rate, progress=progress)
    return result, bench_text(result)


def _runtime_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--runtime", default=default, help="auto, onnxruntime or openvino")
    parser.add_argument("--precision", default=default, help="auto, fp32, bf16, int8 or int8_bf16")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of the generator (default: physical cores)"
    )


def _store_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        type=_path_text,
        metavar="DIR",
        help="where engines lie (default: ~/.cache/edgegan/engines)",
    )


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "The exit code is 1 if something is broken, else 0."


def _doctor(args: argparse.Namespace) -> Outcome:
    from edgegan.doctor import examine
    from edgegan.report.text import ProgressBar, doctor_text

    with ProgressBar(sys.stderr) as progress:
        result = examine(progress=progress)
    return result, doctor_text(result, getattr(sys.__stdout__, "encoding", None) or "ascii")


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    _run_arguments(parser)
    parser.add_argument(
        "--template", action="store_true", help="print the commented default instead, to begin one's own"
    )


def _config(args: argparse.Namespace) -> Outcome:
    import yaml

    from edgegan.resources import resource

    if args.template:
        return _config_from({}).model_dump(mode="json"), resource("deploy/default.yaml").read_text(
            "utf-8"
        ).rstrip()
    config = _effective(args, _check_options)
    data = config.model_dump(mode="json")
    return data, yaml.safe_dump(data, sort_keys=False).rstrip()


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        type=_one_of("summary", "export"),
        metavar="summary|export",
        help="say what the frames of a run took, or write its frames and events as tables",
    )
    parser.add_argument("file", type=_path, metavar="FILE")
    parser.add_argument(
        "--format", type=_format, metavar="csv", help="of the tables of export (default: csv)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=_path,
        metavar="X.csv",
        help="where export writes the frames; the events go to X.events.csv (default: FILE's name with .csv)",
    )


def _trace(args: argparse.Namespace) -> Outcome:
    from edgegan.report.text import run_text
    from edgegan.telemetry.trace import summarise

    if args.action == "export":
        return _export(args)
    if args.format or args.output:
        raise UserError("a summary is printed, not written", "leave --format and -o out, or use 'export'")
    summary = summarise(args.file)
    return summary, run_text(summary)


def _export(args: argparse.Namespace) -> Outcome:
    from edgegan.report.export import export_csv
    from edgegan.report.text import ProgressBar, counted

    with ProgressBar(sys.stderr) as progress:
        done = export_csv(args.file, args.output, progress)
    texts = (f"{counted(done[table], table[:-1])}: {file}" for table, file in done["files"].items())
    return done, "\n".join(texts)


def _format(text: str) -> str:
    if text in ("parquet", "perfetto"):
        raise argparse.ArgumentTypeError(f"'{text}' comes in a later version; use csv")
    return _one_of("csv")(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"there is no '{text}'; {did_you_mean(text, list(words))}")
        return text

    return check


def _effective(args: argparse.Namespace, check_uri: "CheckUri | None" = None) -> "Config":
    """The configuration file with the options of `run` laid over it."""
    given = {_CONFIG_KEYS.get(n, n): getattr(args, n) for n in _CONFIG_OPTIONS}
    return _config_from(given, args.config, check_uri)


def _config_from(
    given: dict[str, Any], path: Path | None = None, check_uri: "CheckUri | None" = None
) -> "Config":
    from edgegan.config import load_config

    return load_config(path, {k: v for k, v in given.items() if v is not None}, check_uri)


def _check_options(kind: str, uri: Uri) -> None:
    """Raise `ConfigError` for a wrong option; where the driver's library is absent, say so and go on."""
    from edgegan.framing import split_framing

    drivers = {"camera": CAMERAS, "generator": GENERATORS, "display": DISPLAYS}[kind]
    try:
        check_uri(kind, drivers, split_framing(uri)[0] if kind == "camera" else uri)
    except MissingDependency as error:
        log.warning("%s", error)


def _say_where(args: argparse.Namespace, error: ConfigError) -> NoReturn:
    """Raise what `edgegan config` would say of the option that stopped a run: file, line, and other wrong options.

    Only now, because the daemon is to load no driver's library before it needs it.
    """
    try:
        _effective(args, _check_options)
    except ConfigError as placed:
        if error.message in placed.message:
            raise placed from error
    raise error


_Command = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], Outcome]]

_COMMANDS: dict[str, _Command] = {
    "demo": ("See it work: shipped generator, shipped clip, nothing attached.", _demo_arguments, _demo),
    "run": ("Run camera, generator and displays in the foreground.", _run_arguments, _run),
    "pack": ("Make a portable bundle from an ONNX model.", _pack_arguments, _pack),
    "build": ("Find the fastest way to run a bundle on this device, by trying.", _build_arguments, _build),
    "inspect": ("Say what a bundle or an engine is.", _inspect_arguments, _inspect),
    "bench": ("Time a bundle or an engine on this device.", _bench_arguments, _bench),
    "record": ("Take calibration pictures with the camera of the installation.", _record_arguments, _record),
    "doctor": (
        "Say what this device is, what works, and how to mend what does not.",
        _doctor_arguments,
        _doctor,
    ),
    "config": ("Check a configuration and print it as it takes effect.", _config_arguments, _config),
    "trace": ("Read the trace of a run.", _trace_arguments, _trace),
}
