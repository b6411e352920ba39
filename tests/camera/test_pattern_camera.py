"""The stamp in the test picture must come back from whatever a picture goes through."""

import cv2
import numpy as np
import pytest

from edgegan.camera.pattern import STAMP_TICK_NS, PatternCamera, PatternStamp, read_stamp
from edgegan.display.scaling import Scaler
from edgegan.errors import ConfigError
from edgegan.frame import Frame
from edgegan.framing import Framing
from edgegan.registry import Size

SIZES = [(480, 640), (272, 640), (256, 256), (1080, 1920), (480, 360)]


def stamped(size: tuple[int, int], count: int = 5) -> list[Frame]:
    """Frames with very different numbers."""
    camera = PatternCamera(size=Size(size), pace="max")
    frames = []
    for number in range(count):
        camera._index = 1_234_567 * number**5 % 2**32
        frames.append(camera.read(1.0))
    return frames


def expected(frame: Frame) -> PatternStamp:
    return PatternStamp(frame.sequence, frame.captured_ns // STAMP_TICK_NS * STAMP_TICK_NS)


CHANGES = {
    "nothing": lambda p: p,
    "cropped": lambda p: Framing((256, 256))(p),
    "contained": lambda p: Framing((256, 256), crop="contain")(p),
    "squeezed": lambda p: cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA),
    "on a screen": lambda p: Scaler((1080, 1920))(Framing((256, 256))(p)),
    "on a square screen": lambda p: Scaler((600, 600), "cover")(p),
    "small": lambda p: Framing((128, 128))(p),
    "blurred": lambda p: cv2.GaussianBlur(Framing((256, 256))(p), (0, 0), 1.2),
    "shifted": lambda p: cv2.warpAffine(
        Framing((256, 256))(p), np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32), (256, 256)
    ),
    "compressed": lambda p: cv2.imdecode(
        cv2.imencode(".jpg", Framing((256, 256))(p), (cv2.IMWRITE_JPEG_QUALITY, 30))[1], cv2.IMREAD_COLOR
    ),
    "darker": lambda p: (Framing((256, 256))(p) * 0.7).astype(np.uint8),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_stamp_survives(size: tuple[int, int], change: str) -> None:
    for frame in stamped(size):
        assert read_stamp(CHANGES[change](frame.pixels)) == expected(frame)


def test_a_picture_without_stamp_has_none() -> None:
    random = np.random.default_rng(0)
    assert read_stamp(random.integers(0, 256, (256, 256, 3), np.uint8)) is None
    assert read_stamp(np.zeros((256, 256, 3), np.uint8)) is None
    assert read_stamp(np.full((256, 256, 3), 255, np.uint8)) is None


def test_a_damaged_stamp_is_none_rather_than_wrong() -> None:
    frame = stamped((256, 256), 1)[0]
    for cell in range(30):
        pixels = frame.pixels.copy()
        left = 26 + 6 + 6 + cell * 6
        row = pixels[-5 * 6 : -4 * 6, left : left + 6]
        row[:] = 255 - row
        assert read_stamp(pixels) in (None, expected(frame))
        assert not np.array_equal(pixels, frame.pixels)


def test_the_picture_moves_all_over() -> None:
    camera = PatternCamera(pace="max")
    first, second = camera.read(1.0).pixels, [camera.read(1.0) for _ in range(8)][-1].pixels
    assert (first[:380] != second[:380]).mean() > 0.8


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        ((64, 64), 30.0),
        ((16384, 16384), 30.0),
        ((480, 640), 0.0),
        ((480, 640), 1e-300),
        ((480, 640), float("nan")),
    ],
)
def test_impossible_patterns_are_refused(size: tuple[int, int], rate: float) -> None:
    with pytest.raises(ConfigError):
        PatternCamera(size=Size(size), rate=rate)
