"""URIs, and the words for what is wrong with them."""

import sys
from pathlib import Path
from typing import Literal

import pytest

from edgegan.errors import ConfigError, MissingDependency
from edgegan.registry import (
    GENERATORS,
    Size,
    Uri,
    check_generator_uri,
    check_uri,
    did_you_mean,
    open_driver,
    options_from_uri,
    path_from_text,
    redacted,
)


class Part:
    """A driver with an option of each kind that a URI can carry."""

    def __init__(
        self,
        path: str,
        *,
        rate: float = 25.0,
        count: int | None = None,
        loop: bool = False,
        size: Size | None = None,
        pace: Literal["real", "max"] = "real",
        hold: Literal["auto", "lock"] | float | None = None,
        shared: object = None,
    ) -> None:
        self.path = path
        self.options = {"rate": rate, "count": count, "loop": loop, "size": size, "pace": pace}
        self.hold = hold
        self.shared = shared


PARTS = {"part": f"{__name__}:Part", "lost": "tests_need_no_such_module:Part"}


def test_uri_with_path_and_options() -> None:
    uri = Uri.parse("file:///tmp/a%20b.mp4?loop=1&size=640x480&mirror")
    assert uri == Uri("file", "/tmp/a b.mp4", {"loop": "1", "size": "640x480", "mirror": ""})
    assert uri.without("loop", "mirror") == Uri("file", "/tmp/a b.mp4", {"size": "640x480"})


def test_a_servers_address_stays_as_it_was_written_but_for_our_options() -> None:
    uri = Uri.parse("rtsp://me:a%40b@h:554/c%20d?channel=1&crop=contain&pace=max&x")
    assert uri == Uri("rtsp", "me:a%40b@h:554/c%20d?channel=1&pace=max&x", {"crop": "contain"})
    assert uri.without("crop") == Uri("rtsp", "me:a%40b@h:554/c%20d?channel=1&pace=max&x")


@pytest.mark.parametrize("text", ["", "clip.mp4", "/dev/video0", "://x", "file:clip.mp4"])
def test_what_is_no_uri(text: str) -> None:
    with pytest.raises(ConfigError, match="is no URI: write it as scheme://path"):
        Uri.parse(text)


@pytest.mark.parametrize("text", ["rtsp:/me:hunter2@h/1", "x://me:hunter2@h?a=1&a=2", "x://me:hunter2@h/%E9"])
def test_what_cannot_be_parsed_is_said_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Uri.parse(text)
    assert "hunter2" not in str(caught.value)
    assert "me:***@h" in str(caught.value)


def test_options_are_converted_by_annotation() -> None:
    shared = object()
    part = open_driver(
        "camera",
        PARTS,
        Uri.parse("part://here?rate=12.5&count=3&loop=yes&size=640x480&pace=max"),
        shared=shared,
    )
    assert part.path == "here"
    assert part.options == {"rate": 12.5, "count": 3, "loop": True, "size": (480, 640), "pace": "max"}
    assert part.shared is shared


@pytest.mark.parametrize(("text", "value"), [("lock", "lock"), ("auto", "auto"), ("12.5", 12.5)])
def test_an_option_can_be_a_word_or_a_number(text: str, value: object) -> None:
    assert open_driver("camera", PARTS, Uri.parse(f"part://?hold={text}")).hold == value


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("hold=lok", "cannot be 'lok': use auto, lock, or a number"),
        ("raet=3", "has no option 'raet': did you mean 'rate'"),
        ("rate=fast", "option 'rate' of camera driver 'part' cannot be 'fast': use a number"),
        ("count=1.5", "cannot be '1.5': use a number"),
        ("loop=maybe", "use 1 or 0"),
        ("size=640", "use WIDTHxHEIGHT"),
        ("size=0x480", "use WIDTHxHEIGHT"),
        ("size=99999x1", "at most 16384"),
        ("pace=real-time", "did you mean 'real'"),
        ("path=x", "has no option 'path'"),
    ],
)
def test_wrong_options_are_named_with_their_mend(option: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_uri("camera", PARTS, Uri.parse(f"part://?{option}"))


def test_unknown_driver() -> None:
    with pytest.raises(ConfigError, match="there is no camera driver 'prat': did you mean 'part'"):
        check_uri("camera", PARTS, Uri.parse("prat://"))


def test_did_you_mean_lists_everything_when_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["file", "null"]) == "known are: file, null"
    assert did_you_mean("zebra", []) == "known are: none"


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_sdl.py").write_text("import sdl2\nclass Window: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "sdl2", None)
    with pytest.raises(
        MissingDependency, match=r"display driver 'window' needs the package 'sdl2'.*edgegan\[window\]"
    ):
        check_uri("display", {"window": "needs_sdl:Window"}, Uri.parse("window://"))


def test_a_broken_driver_is_not_called_a_missing_library() -> None:
    with pytest.raises(ModuleNotFoundError, match="tests_need_no_such_module"):
        check_uri("camera", PARTS, Uri.parse("lost://"))


def test_a_function_may_take_options_too() -> None:
    def resize(path: str, *, width: int = 1) -> None: ...

    assert options_from_uri("test", resize, Uri.parse("x://?width=4")) == {"width": 4}


def test_paths_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert path_from_text("~/a") == Path("/home/x/a")
    assert path_from_text("./~a") == Path("~a")
    assert path_from_text("b/~") == Path("b/~")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be empty"),
        ("a\0", "zero byte"),
        ("caf\udce9", "not valid UTF-8: rename"),
        ("~nosuchuser/a", r"no home folder '~nosuchuser' for .* write '\./~nosuchuser'"),
    ],
)
def test_what_no_file_can_be_called(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        path_from_text(text)


def test_a_path_of_other_bytes_than_utf8_is_refused() -> None:
    assert Uri.parse("file://caf%C3%A9.mp4").path == "caf\u00e9.mp4"
    with pytest.raises(ConfigError, match=r"'file://caf%E9\.mp4' names with '%' is not valid UTF-8"):
        Uri.parse("file://caf%E9.mp4")


def test_every_generator_needs_a_bundle_or_says_that_it_does_not() -> None:
    check_generator_uri(Uri.parse("passthrough://?delay_ms=3"))
    for scheme in set(GENERATORS) - {"passthrough"}:
        with pytest.raises(
            ConfigError, match=f"needs a model: give its bundle with --bundle and --runtime {scheme}"
        ):
            check_generator_uri(Uri.parse(f"{scheme}://"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:hunter2@10.0.0.7:554/1?size=1x1", "rtsp://user:***@10.0.0.7:554/1?size=1x1"),
        ("rtsp://user:p:w@host/", "rtsp://user:***@host/"),
        ("rtsp://host/1?user=me&password=hunter2&rate=3", "rtsp://host/1?user=me&password=***&rate=3"),
        ("rtsp://host/1?access_token=abc", "rtsp://host/1?access_token=***"),
        ("rtsp://user@host:554/a@b", "rtsp://user@host:554/a@b"),
        ("file:///srv/clip.mp4?loop=1", "file:///srv/clip.mp4?loop=1"),
        ("file://a:b@c.mp4", "file://a:***@c.mp4"),
        ("RTSPS://me:p@w/@h:1/x?y=1", "RTSPS://me:***@h:1/x?y=1"),
        ("rtsp:/me:pw@h/x", "rtsp:/me:***@h/x"),
        ("rtsp://us@er:pw@h/x", "rtsp://us@er:***@h/x"),
        ("rtsp://us@er:p/w@h/x", "rtsp://us@er:***@h/x"),
        ("rtsp://us@er:12@h/x", "rtsp://us@er:***@h/x"),
        ("rtsp://me:a/b?c#d@h/1", "rtsp://me:***@h/1"),
        ("rtsp://h/?psw=x&pass=y&passphrase=z", "rtsp://h/?psw=***&pass=***&passphrase=***"),
        ("rtsp://h/1;password=x;channel=2", "rtsp://h/1;password=***;channel=2"),
        ("rtsp://h/user=admin_password=p_w_channel=1.sdp", "rtsp://h/user=admin_password=***"),
        ('{"camera":"rtsp://me:pw@h/x","other":"a@b"}', '{"camera":"rtsp://me:***@h/x","other":"a@b"}'),
        ("two: rtsp://a:b@h/x and rtsp://c:d@h/y", "two: rtsp://a:***@h/x and rtsp://c:***@h/y"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown
