"""Whatever a URI names, of each driver that is registered: it is opened and used, or refused in one line."""

import os
import socket

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.cage import Cage
from tests.fuzz.garbage import DRIVERS, WORDS, options_of, uris, uris_of

EXAMPLES = settings().max_examples


@pytest.fixture(scope="module", autouse=True)
def things(cage: Cage) -> None:
    """What the paths of `tests.fuzz.garbage` name."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    (cage.work / "pictures").mkdir()
    for name in ("picture.png", "pictures/1.png", "pictures/2.png"):
        cv2.imwrite(str(cage.work / name), noise)
    writer = cv2.VideoWriter(str(cage.work / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for _ in range(5):
        writer.write(noise)
    writer.release()
    (cage.work / "cut.mp4").write_bytes((cage.work / "clip.mp4").read_bytes()[:600])
    (cage.work / "text.png").write_text("no picture")
    (cage.work / "empty.mp4").touch()
    (cage.work / "loop").symlink_to("loop")
    (cage.work / "nowhere").symlink_to("gone")
    os.mkfifo(cage.work / "pipe")
    with socket.socket(socket.AF_UNIX) as bound, pytest.MonkeyPatch.context() as patch:
        patch.chdir(cage.work)  # a socket's name must be short
        bound.bind("socket")


def every_driver() -> list[tuple[str, str]]:
    """Kind and scheme; what is added to the registry is fuzzed from then on."""
    return [(kind, scheme) for kind in DRIVERS for scheme in sorted(DRIVERS[kind])]


@pytest.mark.parametrize(("kind", "scheme"), every_driver())
@given(data=st.data())
def test_a_driver(cage: Cage, kind: str, scheme: str, data: st.DataObject) -> None:
    opened(cage, kind, data.draw(uris_of(kind, scheme)))


@pytest.mark.parametrize(
    ("kind", "scheme", "option"),
    [
        (kind, scheme, option)
        for kind, scheme in every_driver()
        for option in sorted(options_of(kind, scheme))
    ],
)
def test_an_option(cage: Cage, kind: str, scheme: str, option: str) -> None:
    for word in WORDS:
        opened(cage, kind, f"{scheme}://{'clip.mp4' if kind == 'camera' else ''}?{option}={word}")


@pytest.mark.parametrize("kind", sorted(DRIVERS))
@given(data=st.data())
def test_whatever_is_no_uri(cage: Cage, kind: str, data: st.DataObject) -> None:
    opened(cage, kind, data.draw(uris(kind)))


def opened(cage: Cage, kind: str, uri: str) -> None:
    """Open it, use it, close it."""
    with cage.new_target():
        cage.run("!open", kind, uri)


@settings(max_examples=EXAMPLES // 4)
@given(camera=uris("camera"), display=uris("display"), generator=uris("generator"))
def test_a_run(cage: Cage, camera: str, display: str, generator: str) -> None:
    """All three at once, as a person starts them, with a worker of its own."""
    if "\0" in camera + display + generator:
        return  # no program can be given one
    with cage.new_target():
        given_uris = [f"--camera={camera}", f"--display={display}", f"--generator={generator}"]
        cage.run("run", *given_uris, "--frames", "2", "--seconds", "1", "--trace", "target/t", "--json")


@settings(max_examples=EXAMPLES // 10)
@given(camera=uris("camera"), display=uris("display"))
def test_a_run_in_a_process_of_its_own(cage: Cage, camera: str, display: str) -> None:
    if "\0" in camera + display or not (camera + display).isprintable():
        return  # a shell would not
    with cage.new_target():
        limits = ("--generator", "passthrough://", "--frames", "2", "--seconds", "1", "--json")
        cage.spawn("run", f"--camera={camera}", f"--display={display}", *limits)
