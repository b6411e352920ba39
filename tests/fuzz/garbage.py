"""Things that look right and are not: configurations, recipes, URIs, manifests, archives, models."""

import copy
import inspect
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from pydantic import BaseModel

from edgegan import registry
from edgegan.framing import Framing
from edgegan.registry import Size

DRIVERS = {"camera": registry.CAMERAS, "generator": registry.GENERATORS, "display": registry.DISPLAYS}

WORDS = (
    *(
        "",
        " ",
        "x",
        "0",
        "-1",
        "1",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e-400",
        "9" * 30,
        "9" * 5000,
        "0x1f",
        "1_0",
    ),
    *(
        "null",
        "~",
        "true",
        "no",
        "\u0663",
        "\u00e9\u0301",
        "\U0001f3a8",
        "a" * 300,
        "a" * 9000,
        "\x07",
        "\x1b[2J",
    ),
    *(
        "\x00",
        "\ud800",
        "\ufeff",
        "\u2028",
        "a\nb",
        "a\r\nb",
        "'",
        '"',
        "\\",
        "%",
        "%00",
        "%ff",
        "%2e%2e%2f",
        "&",
        "#",
    ),
    *(
        "../outside",
        "../../../../etc/passwd",
        "/etc/passwd",
        "/",
        ".",
        "..",
        "~",
        "~nosuchuser/x",
        "deep\\er",
    ),
    *("/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/self/fd/0", "CON", "deep/er/sentinel"),
    *("16384x16384", "0x0", "1x1", "99999x1", "640x480", "\u0666x\u0666", "3x", "2026-13-45", "12:99"),
)

RAW_YAML = (
    *(
        "",
        "~",
        "[]",
        "{}",
        "[[]]",
        "{a: {b: {c: 1}}}",
        "&a [*a]",
        "*a",
        "&a {<<: *a}",
        "<<: *b",
        "? a",
        "? [a]\n: 1",
    ),
    *(
        "!!python/object:os.system x",
        "!!binary aGk=",
        "!!binary é",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!int x",
    ),
    *(
        "!!float x",
        "!!bool maybe",
        "!!timestamp x",
        "!!null x",
        "!!str [a]",
        "!!seq {a: 1}",
        "!!map [1]",
        "!x y",
    ),
    *(
        "2026-01-01",
        "2026-13-45",
        "2026-01-01T25:61:61Z",
        "0x1F",
        "0x",
        "0b2",
        "0o9",
        "1_000",
        "1:30:99",
        "190:20:30",
    ),
    *(
        "1e400",
        ".inf",
        "-.inf",
        ".nan",
        "9" * 400,
        "9" * 5000,
        "-0",
        "0",
        "-1",
        "1.5",
        "yes",
        "on",
        "=",
        "<<",
        "- 1",
    ),
    *(
        "|\n  a\n  b",
        ">-\n  a",
        '"\\ud800"',
        '"\\0"',
        '"\\x07"',
        '"\\UFFFFFFFF"',
        "'a",
        '"a',
        "@a",
        "`a",
        "%a",
        "a: b: c",
    ),
    *(
        "[" * 200,
        "[" * 5000,
        "{" * 300,
        "[" * 300 + "]" * 300,
        "\ta",
        "a\tb",
        "\x00",
        "\ufeff",
        "\x85",
        "\u2028",
    ),
    *(
        "x" * 70_000,
        "[" + "1," * 20_000 + "]",
        "pattern://?rate=abc",
        "null://",
        "[null://]",
        "[null]",
        "null://?x",
    ),
)


def values_of(model: type[BaseModel]) -> st.SearchStrategy[list[str]]:
    """Lines of YAML with a model's keys, right and wrong, and what may stand behind them."""
    keys = st.one_of(
        st.sampled_from(sorted(model.model_fields)), st.sampled_from(WORDS), st.sampled_from(RAW_YAML)
    )
    anything = st.one_of(st.sampled_from(RAW_YAML), st.sampled_from(WORDS), quoted(), uris_of_any_kind())
    return st.lists(st.one_of(st.builds(line, keys, anything), inner_lines(model, anything)), max_size=6)


def inner_lines(model: type[BaseModel], anything: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A key of the model whose value holds keys itself, where it has any."""
    inner = {n: f.annotation for n, f in model.model_fields.items() if is_model(f.annotation)}
    if not inner:
        return st.builds(line, st.just("constants"), st.builds("{{x: {}}}".format, anything))

    def lines_of(name: str) -> st.SearchStrategy[str]:
        key = st.sampled_from(sorted(inner[name].model_fields))
        return st.builds(lambda k, v: f"{name}:\n  {k}: {v}", key, anything)

    return st.sampled_from(sorted(inner)).flatmap(lines_of)


def is_model(annotation: Any) -> bool:
    """True for a class of pydantic's."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def line(key: str, value: str) -> str:
    """One key of a YAML file."""
    return f"{key}: {value}"


def quoted() -> st.SearchStrategy[str]:
    """Any text as YAML would be given it in quotes."""
    return st.builds(json.dumps, st.one_of(st.sampled_from(WORDS), st.text(max_size=20)))


def yaml_files(model: type[BaseModel]) -> st.SearchStrategy[bytes]:
    """The content of a file that is meant to be a model's."""
    text = values_of(model).map("\n".join)
    return st.one_of(
        text.map(encoded), st.builds(broken, text.map(encoded), damages()), st.binary(max_size=200)
    )


def encoded(text: str) -> bytes:
    """UTF-8, as far as it goes."""
    return text.encode("utf-8", "surrogatepass")


Damage = tuple[str, int, bytes]


def damages() -> st.SearchStrategy[list[Damage]]:
    """A few places where a file is cut, changed or longer than it was; places count in 1/2**16 of its length."""
    some = st.one_of(
        st.binary(min_size=1, max_size=4), st.sampled_from([b"\xef\xbb\xbf", b"\x00", b"\t", b"\xff\xfe"])
    )
    kinds = st.sampled_from(["cut", "set", "insert", "remove", "flip"])
    return st.lists(st.tuples(kinds, st.integers(0, 2**16), some), min_size=1, max_size=4)


def broken(data: bytes, damage: Iterable[Damage]) -> bytes:
    """`data` after the damage."""
    content = bytearray(data)
    for kind, place, some in damage:
        at = place * len(content) // 2**16
        if kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = some
        elif kind == "remove":
            del content[at : at + len(some)]
        elif kind == "set":
            content[at : at + len(some)] = some
        elif at < len(content):
            content[at] ^= 1 << some[0] % 8
    return bytes(content)


# URIs


def uris(kind: str) -> st.SearchStrategy[str]:
    """URIs of one kind of part: of each driver that is registered, with its own options, right and wrong."""
    own = st.sampled_from(sorted(DRIVERS[kind])).flatmap(lambda scheme: uris_of(kind, scheme))
    return st.one_of(
        own,
        own,
        own,
        st.sampled_from(WORDS),
        st.text(max_size=20),
        st.builds("{}://{}".format, words(), words()),
    )


def uris_of_any_kind() -> st.SearchStrategy[str]:
    """For places where the kind may be wrong too."""
    return st.sampled_from(sorted(DRIVERS)).flatmap(uris)


def uris_of(kind: str, scheme: str) -> st.SearchStrategy[str]:
    """URIs of one driver."""
    known = options_of(kind, scheme)
    option = st.one_of(
        st.sampled_from(sorted(known)).flatmap(lambda n: st.tuples(st.just(n), known[n]))
        if known
        else st.nothing(),
        st.tuples(words(), words()),
    )
    query = st.lists(option, max_size=3).map(lambda pairs: "&".join(f"{n}={v}" for n, v in pairs))
    return st.builds(
        lambda path, query: f"{scheme}://{path}" + (f"?{query}" if query else ""), paths(kind), query
    )


def words() -> st.SearchStrategy[str]:
    """A word that does not fit."""
    return st.one_of(
        st.sampled_from(WORDS), st.text(max_size=8), st.integers().map(str), st.floats().map(repr)
    )


def paths(kind: str) -> st.SearchStrategy[str]:
    """Paths in the cage (`tests.fuzz.test_uris` makes the things there), and such that nobody may open.

    A display is asked to write into the target alone: what it is told to replace, it may replace.
    """
    there = [
        "clip.mp4",
        "pictures/",
        "pictures",
        "picture.png",
        "cut.mp4",
        "text.png",
        "empty.mp4",
        "pipe",
        "socket",
    ]
    there += [
        "deep",
        "loop",
        "nowhere",
        "target",
        "target/",
        "target/out.mp4",
        "target/frames/",
        "target/a/b/c.mp4",
    ]
    there += [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "text.png/x",
        "%2e",
        "",
        "0",
    ]
    if kind == "display":
        there = [path for path in there if path not in ("clip.mp4", "cut.mp4", "empty.mp4")]
    harmless = st.sampled_from([w for w in WORDS if "/" not in w and "." not in w and "%2" not in w])
    return st.one_of(st.sampled_from(there), harmless)


def options_of(kind: str, scheme: str) -> Mapping[str, st.SearchStrategy[str]]:
    """What the text of each option of a driver may be, by its annotation; without the driver's library, nothing."""
    try:
        types = option_types(registry._load(kind, DRIVERS[kind], scheme))
    except ImportError:
        return {}
    if kind == "camera":
        types |= option_types(Framing)
    return {name: texts_of(hint) for name, hint in types.items()}


def option_types(constructor: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each keyword argument, without its None."""
    hints = get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    parameters = inspect.signature(constructor).parameters.values()
    names = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return {
        name: next((a for a in get_args(hints[name]) if a is not NoneType), hints[name])
        if get_origin(hints[name]) in (Union, UnionType)
        else hints[name]
        for name in names
    }


def texts_of(hint: Any) -> st.SearchStrategy[str]:
    """Texts that an option of this type takes, or nearly."""
    if get_origin(hint) is Literal:
        return st.one_of(st.sampled_from([str(a) for a in get_args(hint)]), words())
    if hint is Size:
        sides = st.integers(-1, 700)
        return st.one_of(st.builds("{}x{}".format, sides, sides), words())
    small = {
        bool: st.sampled_from("01"),
        int: st.integers(-1, 60).map(str),
        float: st.floats(0, 100).map(repr),
    }
    return st.one_of(small.get(hint, st.nothing()), words())


# Bundles

JSON_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1,
        2**63,
        -(2**63),
        10**400,
        1.5,
        1e308,
        float("inf"),
        float("nan"),
        "",
        "x",
        [],
        {},
        [None],
    ),
    *(
        [1, 2, 3],
        [1, 0, 448, 3],
        [1, -1, 448, 3],
        [1, 16384, 16384, 3],
        [1, 10**9, 10**9, 3],
        [2, 256, 448, 3],
        [[1]],
    ),
    *(
        "../outside",
        "/etc/passwd",
        "..\\x",
        ".",
        "..",
        "CON",
        "manifest.json",
        "a\x00b",
        "\ud800",
        "a" * 5000,
        "é",
        " a",
    ),
    *(
        {"a": {}},
        {"fp32": None},
        {"../x": {"sha256": "0" * 64}},
        {"sha256": "0" * 64},
        "0" * 64,
        "A" * 64,
        "f" * 63,
    ),
)

Edit = tuple[int, str, Any]


def edits() -> st.SearchStrategy[list[Edit]]:
    """A few changes of a JSON document; the first number says which of its values."""
    value = st.one_of(st.sampled_from(JSON_VALUES), st.integers(), st.floats(), st.text(max_size=10))
    how = st.sampled_from(["drop", "set", "rename", "wrap", "copy"])
    return st.lists(st.tuples(st.integers(0, 10_000), how, value), min_size=1, max_size=3)


def edited(document: Any, changes: Iterable[Edit]) -> Any:
    """`document` with changes made."""
    document = json.loads(json.dumps(document))
    for number, how, value in changes:
        places = list(places_in(document))
        if not places:
            return value
        holder, key = places[number % len(places)]
        if how == "drop":
            del holder[key]
        elif how == "rename" and isinstance(holder, dict):
            holder[str(value)] = holder.pop(key)
        elif how == "copy" and isinstance(holder, dict):
            holder[str(value)] = copy.deepcopy(holder[key])
        else:
            holder[key] = [holder[key]] if how == "wrap" else copy.deepcopy(value)
    return document


def places_in(document: Any) -> Iterable[tuple[Any, Any]]:
    """Each value of a JSON document, as what holds it and the key."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(entries):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from places_in(value)


def manifest_bytes(document: Any) -> bytes:
    """JSON as others may write it: with NaN, with lone surrogates."""
    return json.dumps(document, ensure_ascii=True).encode()


_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
_FIELDS = {  # offset and width in the local and in the central header: APPNOTE.TXT 4.3.7 and 4.3.12
    "flags": ((6, 2), (8, 2)),
    "method": ((8, 2), (10, 2)),
    "crc": ((14, 4), (16, 4)),
    "packed": ((18, 4), (20, 4)),
    "size": ((22, 4), (24, 4)),
    "name": ((26, 2), (28, 2)),
    "extra": ((28, 2), (30, 2)),
    "comment": ((28, 2), (32, 2)),
    "disk": ((28, 2), (34, 2)),
    "attributes": ((28, 2), (38, 4)),
    "offset": ((28, 2), (42, 4)),
}
Forgery = tuple[str, bool, int, int]


def forgeries() -> st.SearchStrategy[list[Forgery]]:
    """Changes of a zip's headers: field, in the central directory?, of which member, value."""
    value = st.one_of(
        st.sampled_from([0, 1, 8, 99, 0xFFFF, 0xFFFFFFFF, 0xA1ED0000, 0x7FFFFFFF]), st.integers(0, 2**32 - 1)
    )
    one = st.tuples(st.sampled_from(sorted(_FIELDS)), st.booleans(), st.integers(0, 9), value)
    return st.lists(one, min_size=1, max_size=3)


def forged(archive: bytes, changes: Iterable[Forgery]) -> bytes:
    """A zip whose headers lie."""
    content = bytearray(archive)
    for field, central, member, value in changes:
        starts = list(positions(archive, _CENTRAL if central else _LOCAL))
        offset, width = _FIELDS[field][central]
        struct.pack_into(
            "<H" if width == 2 else "<I", content, starts[member % len(starts)] + offset, value % 256**width
        )
    return bytes(content)


def positions(data: bytes, what: bytes) -> Iterable[int]:
    """Where it stands."""
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)
