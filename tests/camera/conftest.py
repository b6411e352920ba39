"""Clips and pictures that the tests of this folder make themselves."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

CLIP_LENGTH, CLIP_RATE = 30, 25


def numbered_picture(number: int) -> np.ndarray:
    """uint8 (48, 64, 3): `number` (0 to 63) as six bright or dark stripes, which survive compression."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    for bit in range(6):
        pixels[bit * 8 : bit * 8 + 8] = 220 if number >> bit & 1 else 30
    return pixels


def number_in(pixels: np.ndarray) -> int:
    """What `numbered_picture` wrote."""
    return sum(int(pixels[bit * 8 + 4].mean() > 125) << bit for bit in range(6))


def write_clip(file: Path, length: int = CLIP_LENGTH, options: dict[str, str] | None = None) -> Path:
    """A clip of numbered pictures, H.264."""
    with av.open(str(file), "w", options=options or {"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE, options={"crf": "15", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(number % 64), "bgr24")))
        container.mux(stream.encode())
    return file


@contextmanager
def without_rights() -> Iterator[Path]:
    """A folder, and until it is left this process is not root, who may read and write everything."""
    nobody, is_root = 65534, os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        if is_root:
            os.chown(folder, nobody, nobody)
            os.seteuid(nobody)
        try:
            yield Path(folder)
        finally:
            if is_root:
                os.seteuid(0)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 numbered pictures, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 numbered pictures, 1.png to 12.png, and files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        cv2.imwrite(str(folder / f"{number + 1}.png"), numbered_picture(number))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder
