"""A small bundle whose pictures are known: it draws the negative."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgegan.bundle import Bundle, write_bundle
from tests.generator.packed import inverter

PIXELS = {"dtype": "uint8", "layout": "NHWC", "colour": "BGR"}


def png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def negative_bundle(path: Path, height: int = 16, width: int = 24, **files: Any) -> Bundle:
    """files: model_fp32, other bytes for the model's file; drawn, other pixels for the reference output."""
    seen = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    shape = [1, height, width, 3]
    content = {
        "model_fp32.onnx": files.get("model_fp32", inverter(height, width)),
        "reference_input.png": png(seen),
        "reference_output.png": png(files.get("drawn", 255 - seen)),
    }
    manifest = {
        "name": "negative",
        "input": {"name": "input", "shape": shape, **PIXELS},
        "output": {"name": "output", "shape": shape, **PIXELS},
        "models": {"fp32": {"path": "model_fp32.onnx", "bytes": 1, "macs": 1, "params": 0, "quality": None}},
    }
    return write_bundle(path, manifest, content)


@pytest.fixture
def bundle(tmp_path):
    return negative_bundle(tmp_path / "negative")
