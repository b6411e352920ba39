"""The bundle: what travels from the workstation to a device.

A folder, or the same as one file (an uncompressed zip named `.edgegan` or `.zip`):

    manifest.json          name, pixels, models, hashes: all that `inspect` prints
    model_fp32.onnx        the packed model, one file for each precision
    reference_input.png    a picture of the generator's own size, and
    reference_output.png   what the FP32 model makes of it
    LICENSE                the terms of the generator, as far as they were given

The daemon imports this module, so it needs the standard library alone.
"""

import hashlib
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import NoneType
from typing import Any

from edgegan.errors import BundleError, UserError, user_error_from_os_error
from edgegan.files import beside, put_in_place, remove, sync, write_file, write_folder

__all__ = [
    "ARCHIVE_SUFFIXES",
    "FORMAT_VERSION",
    "MANIFEST",
    "Bundle",
    "check_target",
    "copy_bundle",
    "json_from_bytes",
    "write_bundle",
]

ARCHIVE_SUFFIXES = (".edgegan", ".zip")
FORMAT = "edgegan-bundle"
FORMAT_VERSION = 1
_PAGE = "quality.html"
MANIFEST = "manifest.json"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_MOST_MANIFEST_BYTES = 16 << 20
_MOST_FILE_BYTES = 4 << 30
_MAKE_AGAIN = "copy the bundle again, or make it again with edgegan pack"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. Opening reads the manifest; a file is read, and its hash checked, when asked for.

    path: the folder or the archive. manifest: as it lies in `manifest.json`, checked for what is used here.
    """

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Bundle":
        """Open the folder or archive at `path`.

        Raises `BundleError`: missing, no bundle, damaged manifest, made by a newer edgegan, a file missing.
        """
        manifest = _parsed(path, _read(path, MANIFEST, _MOST_MANIFEST_BYTES))
        bundle = cls(path, manifest)
        with _damaged(path):
            bundle._check()
        return bundle

    @property
    def name(self) -> str:
        """What the generator is called."""
        return str(self.manifest["name"])

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the pictures that the generator takes."""
        return _size_of(self.manifest["input"])

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the pictures that it draws."""
        return _size_of(self.manifest["output"])

    @property
    def precisions(self) -> tuple[str, ...]:
        """What `read_model` can be asked for, the reference first."""
        return tuple(self.manifest["models"])

    def sha256(self, precision: str) -> str:
        """Hash of a model's file, 64 hexadecimal digits, as the manifest has it. Raises `BundleError`."""
        return str(self.manifest["files"][self._file_of(precision)]["sha256"])

    def model_path(self, precision: str) -> Path | None:
        """Where a model's file lies; None inside an archive. Raises `BundleError`."""
        name = self._file_of(precision)
        return self.path / name if self.path.is_dir() else None

    def read_model(self, precision: str) -> bytes:
        """The serialised ONNX model. Raises `BundleError` if it is not there or was changed."""
        return self.read_file(self._file_of(precision))

    def read_file(self, name: str) -> bytes:
        """The content of a file of the bundle. Raises `BundleError` if it is not there or was changed."""
        if name not in self.manifest["files"]:
            raise BundleError(f"bundle '{self.path}' has no file '{name}'", _MAKE_AGAIN)
        data = _read(self.path, name, _MOST_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != self.manifest["files"][name]["sha256"]:
            raise BundleError(
                f"'{name}' in bundle '{self.path}' is not what was packed: its hash differs", _MAKE_AGAIN
            )
        return data

    def write_page(self, path: Path) -> None:
        """Write the page of pictures and figures to `path`. Raises `BundleError` if there is none, `UserError`."""
        if _PAGE not in self.manifest["files"]:
            raise BundleError(
                f"bundle '{self.path}' has no page: it has FP32 alone, and nothing to compare",
                "pack it with --calibrate, or --precision fp32,fp16",
            )
        try:
            write_file(path, self.read_file(_PAGE))
        except OSError as error:
            raise user_error_from_os_error(error, f"cannot write '{path}'") from error

    def describe(self) -> dict[str, Any]:
        """What `inspect --json` prints: the manifest and `bundle`; in a folder, `path` is the whole one."""
        models = {
            precision: {**model, "path": str(self.model_path(precision) or model["path"])}
            for precision, model in self.manifest["models"].items()
        }
        return {**self.manifest, "models": models, "bundle": str(self.path)}

    def _file_of(self, precision: str) -> str:
        if precision not in self.manifest["models"]:
            raise BundleError(
                f"bundle '{self.path}' has no precision '{precision}'",
                "it has: " + ", ".join(self.precisions),
            )
        return str(self.manifest["models"][precision]["path"])

    def _check(self) -> None:
        """Raise KeyError, TypeError or ValueError if the manifest lacks what this class relies on."""
        if not isinstance(self.manifest["name"], str) or not self.precisions:
            raise ValueError("it has no name or no model")
        for side in ("input", "output"):
            _size_of(self.manifest[side])
        files = self.manifest["files"]
        for name, entry in files.items():
            if not _PLAIN_NAME.fullmatch(name) or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
                raise ValueError(f"its entry for the file '{name}' is wrong")
        for precision in self.precisions:
            if self._file_of(precision) not in files:
                raise ValueError(f"it has no hash for the model '{precision}'")
            _check_figures(precision, self.manifest["models"][precision])
        assumptions = self.manifest.get("assumptions", [])
        if not isinstance(assumptions, list) or not all(isinstance(one, str) for one in assumptions):
            raise ValueError(f"assumptions is {assumptions!r}, no list of texts")
        missing = sorted(set(files) - _names_in(self.path))
        if missing:
            raise BundleError(f"bundle '{self.path}' lacks {', '.join(missing)}", _MAKE_AGAIN)


def write_bundle(path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle and open it: all of it, or nothing.

    path: a folder to be made, or a file if it ends in `.edgegan` or `.zip`. What is there is replaced, in one
        step, if it is nothing but a bundle (or empty).
    manifest: without `format`, `format_version` and `files`, which are added here.
    files: content by plain file name.
    Raises `UserError` if something else is there already, or the file system refuses (read-only, full).
    """
    check_target(path)
    hashes = {
        n: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for n, data in files.items()
    }
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest, "files": hashes}
    content = {MANIFEST: _text_of(whole), **files}
    path = path.resolve()  # a link stays a link, what it points to is replaced
    new = beside(path)
    new_parents = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_archive if path.suffix in ARCHIVE_SUFFIXES else write_folder)(new, content)
        put_in_place(new, path)
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write the bundle '{path}'") from error
    finally:
        remove(new)
        _remove_empty(new_parents)
    return Bundle.open(path)


def copy_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle as it is, every file of it checked, as the new folder `path`. Raises `OSError`, `BundleError`."""
    files = {name: bundle.read_file(name) for name in bundle.manifest["files"]}
    write_folder(path, {MANIFEST: _text_of(bundle.manifest), **files})


def check_target(path: Path) -> None:
    """Raise `UserError` if `write_bundle` would have to destroy something that is no bundle."""
    try:
        _check_target(path)
    except OSError as error:
        raise user_error_from_os_error(error, f"cannot write the bundle '{path}'") from error


def _check_target(path: Path) -> None:
    archive = path.suffix in ARCHIVE_SUFFIXES
    if path.is_symlink() and not path.exists():
        raise UserError(f"'{path}' is a link to nowhere", "remove it, or write somewhere else")
    _check_place(path)
    if not path.exists():
        return
    if path.is_dir() is archive:
        mend = "give another name, or one ending in .edgegan for a bundle in one file"
        raise UserError(f"'{path}' is there already, as a {'folder' if archive else 'file'}", mend)
    if path.stat().st_size == 0 if archive else not any(path.iterdir()):
        return
    try:
        own = {MANIFEST, *Bundle.open(path).manifest["files"]}
    except BundleError as error:
        raise UserError(
            f"'{path}' is there already and is no bundle: {error.message}", "give another name"
        ) from error
    strangers = _names_in(path) - own
    if strangers:
        found = ", ".join(sorted(strangers)[:3])
        raise UserError(f"the bundle '{path}' also holds {found}", "move it away, or give another name")


def _check_place(path: Path) -> None:
    """Raise `OSError` where nothing can be written, before there is anything to be lost."""
    there = next(folder for folder in path.absolute().parents if folder.is_dir())
    with TemporaryFile(dir=there) as file:
        file.write(b"x")


def _text_of(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _size_of(pixels: Mapping[str, Any]) -> tuple[int, int]:
    batch, height, width, channels = pixels["shape"]
    sides_are_sane = all(type(side) is int and 0 < side <= 16384 for side in (height, width))
    if (batch, channels) != (1, 3) or not sides_are_sane:
        raise ValueError(f"the shape {pixels['shape']} is no picture's")
    return height, width


def _check_figures(precision: str, model: Mapping[str, Any]) -> None:
    """Raise ValueError for figures that are none; each may also be null or absent."""
    counts = {name: model.get(name) for name in ("bytes", "macs", "params")}
    quality = model.get("quality")
    if not isinstance(quality, (dict, NoneType)):
        raise ValueError(f"quality of the model '{precision}' is {quality!r}")
    ratios = {name: quality.get(name) for name in ("psnr_db", "psnr_worst_db", "ssim")} if quality else {}
    ratios["macs_int8_share"] = model.get("macs_int8_share")
    for name, value in {**counts, **ratios}.items():
        kinds = (int,) if name in counts else (int, float)
        if value is not None and (type(value) not in kinds or not abs(value) < 2**63):
            raise ValueError(f"{name} of the model '{precision}' is {value!r}")


def json_from_bytes(data: bytes) -> Any:
    """What JSON says; raises `ValueError` for what is none, also for NaN and infinity."""
    return json.loads(data, parse_float=_number, parse_constant=_number)


def _number(text: str) -> float:
    """JSON has no NaN and no infinity; Python's reader lets them pass, also as 1e999."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    with _damaged(path):
        manifest = json_from_bytes(text)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise BundleError(
                f"'{path}' is no bundle of edgegan", "make one: edgegan pack MODEL.onnx -o BUNDLE"
            )
        version = manifest["format_version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format_version is {version!r}")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"bundle '{path}' has format {version}, this edgegan reads up to {FORMAT_VERSION}",
                "upgrade edgegan on this device: pip install --upgrade edgegan",
            )
        return manifest


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Whatever a manifest lacks or has wrong is one error, told in the words of its first mistake."""
    try:
        yield
    except BundleError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"the manifest of bundle '{path}' is damaged: {what}", _MAKE_AGAIN) from error


def _read(path: Path, name: str, most_bytes: int) -> bytes:
    try:
        return (
            _read_from_folder(path / name, most_bytes)
            if path.is_dir()
            else _read_member(path, name, most_bytes)
        )
    except FileNotFoundError as error:
        if path.is_dir():
            raise _no_bundle(path, name) from error
        mend = f"check the path, or make it: edgegan pack MODEL.onnx -o {path}"
        raise BundleError(f"there is no bundle '{path}', nor anything else of that name", mend) from error
    except KeyError as error:
        raise BundleError(f"'{path}' is no bundle: it has no '{name}'", _MAKE_AGAIN) from error
    except (zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        if path.suffix.lower() == ".onnx":
            mend = f"pack it first: edgegan pack {path} -o {path.stem}.edgegan"
            raise BundleError(f"'{path}' is an ONNX model, no bundle", mend) from error
        raise BundleError(f"'{path}' is no bundle, or is damaged: {error}", _MAKE_AGAIN) from error
    except (OSError, RuntimeError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(
            f"cannot read '{name}' of bundle '{path}': {reason}", "check the path and its permissions"
        ) from error


def _no_bundle(folder: Path, name: str) -> BundleError:
    """What a folder holds instead, and what to do about it."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return BundleError(f"cannot look into '{folder}': {error.strerror}", "check its permissions")
    if name != MANIFEST or "reference_input.png" in names:
        return BundleError(f"the bundle '{folder}' is not whole: it has no '{name}'", _MAKE_AGAIN)
    what = f"'{folder}' is no bundle"
    if not names:
        return BundleError(
            f"{what}: it is empty", "name a bundle, or make one: edgegan pack MODEL.onnx -o BUNDLE"
        )
    if "record.json" in names:
        return BundleError(f"{what}: it holds a recording", "name the folder that edgegan pack wrote")
    if inner := next((name for name in names if _looks_like_one(folder / name)), ""):
        return BundleError(f"{what}, but holds '{inner}'", f"name that: {folder / inner}")
    if model := next((n for n in names if n.endswith(".onnx")), ""):
        mend = f"pack it first: edgegan pack {folder / model} -o {Path(model).stem}.edgegan"
        return BundleError(f"{what}, but holds the ONNX model '{model}'", mend)
    found = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return BundleError(
        f"{what}: it holds {found}, and no '{name}'", "name the folder that edgegan pack wrote"
    )


def _looks_like_one(path: Path) -> bool:
    return path.suffix in ARCHIVE_SUFFIXES or os.path.isfile(path / MANIFEST)  # noqa: PTH113 - as in is_engine


def _read_from_folder(path: Path, most_bytes: int) -> bytes:
    _check_regular(path)
    if path.stat().st_size > most_bytes:
        raise OSError(f"it is larger than {most_bytes} bytes")
    return path.read_bytes()


def _check_regular(path: Path) -> None:
    """A pipe would block, a device may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no file but a pipe or a device")


def _read_member(path: Path, name: str, most_bytes: int) -> bytes:
    _check_regular(path)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > most_bytes:
            raise OSError("it is compressed or too large (zip -0 stores without compressing)")
        return archive.read(member)


def _names_in(path: Path) -> set[str]:
    if path.is_dir():
        return {entry.name for entry in path.iterdir()}
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def _write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """Times are the same in every archive, so equal content gives equal bytes."""
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files.items():
                member = zipfile.ZipInfo(name)
                member.external_attr = 0o644 << 16
                archive.writestr(member, data)
        file.flush()
        sync(file.fileno())


def _remove_empty(folders: Iterable[Path]) -> None:
    """Those that were made for a bundle which then could not be written; inner ones first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
