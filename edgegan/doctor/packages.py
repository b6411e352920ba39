"""Python and what is installed in it."""

import ast
import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgegan import __version__
from edgegan.doctor.check import Check, Host, State
from edgegan.doctor.child import run_child
from edgegan.extras import checkout, install_command

__all__ = ["base", "extras", "interpreter", "opencv", "requirements"]

_OLDEST, _NEWEST = (3, 10), (3, 13)
_IMPORT_LIMIT_S = 25.0
_MODULE_OF_PACKAGE = {"opencv-python": "cv2", "PyYAML": "yaml"}
_LIBRARIES_OF_OPENCV = ("libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0")
_NOT_FOR_USERS = ("dev",)

Requirement = tuple[str, str]
"""A package and the least version of it, '' for any."""


def interpreter(host: Host) -> list[Check]:
    """Python, and edgegan in it."""
    version = ".".join(map(str, sys.version_info[:3]))
    where = f"virtual environment {sys.prefix}" if sys.prefix != sys.base_prefix else f"{sys.prefix}, no venv"
    state: State = "ok"
    mend = ""
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        state = "failed" if sys.version_info[:2] < _OLDEST else "warning"
        mend = f"use Python {_text(_OLDEST)} to {_text(_NEWEST)}, with which edgegan is tested"
    clone = checkout()
    place = f"run from the clone {clone}" if clone else f"installed in {Path(__file__).parents[1]}"
    command = shutil.which("edgegan", path=host.environment.get("PATH"))
    found = f"{__version__}, {place}" + ("" if command else "; no command `edgegan` on the PATH")
    begin = "" if command else f"start it with `{sys.executable} -m edgegan`, or put its folder on the PATH"
    return [Check("python", state, f"{version}, {where}", mend), Check("edgegan", "ok", found, begin)]


def base(host: Host) -> list[Check]:
    """Each package that the programs need: whether it can be imported, and is new enough."""
    needed = requirements().get("", [])
    if not needed:
        return [Check("packages", "warning", "what edgegan requires is not known here", install_command())]
    answers = _imported([_module(package) for package, _ in needed])
    return [_package(package, least, answers[_module(package)]) for package, least in needed]


def opencv(host: Host) -> list[Check]:
    """Several OpenCV packages write the same folder: what is left after one is removed does not work."""
    packages = sorted(
        {f"{d.name} {d.version}" for d in importlib.metadata.distributions() if _is_opencv(d.name)}
    )
    places = sorted({str(folder) for folder in map(Path, sys.path) if _holds_cv2(folder)})
    if len(packages) > 1:
        names = [package.partition(" ")[0] for package in packages]
        mend = f"pip uninstall -y {' '.join(names)} && pip install {names[0]}"
        return [Check("opencv packages", "warning", "several at once: " + ", ".join(packages), mend)]
    if len(places) > 1:
        found = f"several at once: in {' and in '.join(places)}; the first one counts"
        mend = "keep one: pip uninstall the one in the venv, or make the venv without --system-site-packages"
        return [Check("opencv packages", "warning", found, mend)]
    if not places:
        return [Check("opencv packages", "failed", "there is no cv2", install_command())]
    return [Check("opencv packages", "ok", packages[0] if packages else f"cv2 in {places[0]}, not pip's")]


def extras(host: Host) -> list[Check]:
    """Each extra: whether its packages are installed."""
    return [
        _extra(extra, needed)
        for extra, needed in sorted(requirements().items())
        if extra and extra not in _NOT_FOR_USERS
    ]


def requirements() -> dict[str, list[Requirement]]:
    """What edgegan needs, by extra ('' is always needed): from the clone it runs from, else as it was installed."""
    clone = checkout()
    if clone:
        return _from_setup((clone / "setup.py").read_text("utf-8"))
    try:
        lines = importlib.metadata.requires("edgegan") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)""", line)
        found.setdefault(extra[1] if extra else "", []).append(_requirement(line))
    return found


def _from_setup(text: str) -> dict[str, list[Requirement]]:
    """The lists of setup.py that are written out there; others (`dev`) are left out."""
    tree = ast.parse(text)
    lists = {
        statement.targets[0].id: found
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        if (found := _listed(statement.value, {})) is not None
    }
    known = {"": lists["REQUIRES"]}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.keyword)
            and node.arg == "extras_require"
            and isinstance(node.value, ast.Dict)
        ):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and (found := _listed(value, lists)) is not None:
                    known[str(key.value)] = found
    return known


def _listed(node: ast.expr, lists: dict[str, list[Requirement]]) -> list[Requirement] | None:
    """The requirements that an expression lists, or names; None for any other expression."""
    if isinstance(node, ast.Name):
        return lists.get(node.id)
    texts = (
        [item.value for item in node.elts if isinstance(item, ast.Constant)]
        if isinstance(node, ast.List)
        else []
    )
    return [_requirement(str(text)) for text in texts] or None


def _requirement(line: str) -> Requirement:
    match = re.match(r"([\w.-]+)\s*(?:\(?>=\s*([\w.]+))?", line)
    assert match is not None, line
    return match[1], match[2] or ""


def _module(package: str) -> str:
    return _MODULE_OF_PACKAGE.get(package, package)


def _imported(modules: list[str]) -> dict[str, dict[str, Any]]:
    """What each module's import gave. Where one crashes or hangs, the others are tried each by itself, side by side."""
    outcome = run_child("import", *modules, limit_s=_IMPORT_LIMIT_S)
    answers = {answer["module"]: answer for answer in outcome.said}
    culprit, *left = [module for module in modules if module not in answers] or [""]
    if culprit:
        answers[culprit] = {"error": outcome.death or "it ended the process"}
    with ThreadPoolExecutor(max(1, len(left))) as threads:
        return answers | dict(zip(left, threads.map(_imported_alone, left), strict=True))


def _imported_alone(module: str) -> dict[str, Any]:
    outcome = run_child("import", module, limit_s=_IMPORT_LIMIT_S)
    return outcome.said[0] if outcome.said else {"error": outcome.death or "it ended the process"}


def _package(package: str, least: str, answer: dict[str, Any]) -> Check:
    module, wanted = _module(package), f"{package}>={least}" if least else package
    if "error" in answer:
        return Check(
            module, "failed", f"cannot be imported: {answer['error']}", _mend(wanted, answer["error"])
        )
    version = str(answer.get("version") or "")
    if not version and answer.get("empty") is not None:
        where = " and ".join(answer["empty"]) or "nowhere"
        found = f"only an empty folder is left of it: {where}"
        return Check(module, "failed", found, f"pip install --force-reinstall '{wanted}'")
    if _number(version) < _number(least):
        found = f"{version}, older than {least}"
        return Check(module, "warning", found, f"pip install --upgrade '{wanted}'")
    return Check(module, "ok", version or "no version")


def _mend(wanted: str, error: str) -> str:
    if any(library in error for library in _LIBRARIES_OF_OPENCV):
        return "apt install libgl1 libglib2.0-0"
    if error.startswith("ModuleNotFoundError"):
        return f"pip install '{wanted}'"
    return f"pip install --force-reinstall '{wanted}'"


def _extra(extra: str, needed: Iterable[Requirement]) -> Check:
    have: list[str] = []
    old: list[str] = []
    lacks = []
    for package, least in needed:
        try:
            version: str | None = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = None
        if version is None:  # so too where metadata is cut short
            lacks.append(package)
        else:
            (have if _number(version) >= _number(least) else old).append(f"{package} {version}")
    name = f"extra {extra}"
    if lacks:
        return Check(name, "absent", f"lacks {', '.join(lacks)}", install_command(extra))
    if old:
        return Check(name, "warning", f"too old: {', '.join(old)}", install_command(extra))
    return Check(name, "ok", ", ".join(have))


def _is_opencv(name: str | None) -> bool:
    return re.fullmatch(r"opencv[-_](contrib[-_])?python.*", name or "", re.IGNORECASE) is not None


def _holds_cv2(folder: Path) -> bool:
    try:
        return (folder / "cv2/__init__.py").is_file() or any(folder.glob("cv2*.so"))
    except OSError:
        return False


def _number(version: str) -> tuple[int, ...]:
    """`4.6.0.66` and `2.1rc1` as numbers to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:4])


def _text(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
