"""ST-LPIPS, a learned distance between pictures: an ONNX model that is not part of the project."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.errors import ModelError
from edgegan.frame import Pixels
from edgegan.pack.reading import run_session, session

__all__ = ["StLpips"]

_SIDE = 256
_SHAPE = [1, 3, _SIDE, _SIDE]


class StLpips:
    """ST-LPIPS with the AlexNet backbone: a distance of 0 (equal) to about 1.

    Source: Ghildyal, Liu, Shift-Tolerant Perceptual Similarity Metric, ECCV 2022. It is not the older LPIPS, whose
    figures are others: call it "ST-LPIPS(alex)".
    model: an ONNX file that takes `a` and `b`, float32 (1, 3, 256, 256) RGB -1..1, and gives one number first.
    Raises `ModelError` if it is not there or is another.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise ModelError(f"there is no ST-LPIPS model '{model}'", "name an ONNX file, or leave it out")
        self._session = session(model, f"'{model.name}'")
        takes = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        if takes != {"a": _SHAPE, "b": _SHAPE}:
            raise ModelError(
                f"'{model.name}' is no ST-LPIPS model: it takes {takes}",
                f"give one that takes a and b of {_SHAPE}, or leave it out",
            )
        self._output, self._name = self._session.get_outputs()[0].name, model.name

    def __call__(self, a: Pixels, b: Pixels) -> float:
        """The distance of two pictures, uint8 (H, W, 3) BGR, of one shape; both are scaled to 256 x 256."""
        drawn = run_session(self._session, {"a": _scaled(a), "b": _scaled(b)}, self._output)
        distance = float(np.ravel(drawn)[0])
        if not np.isfinite(distance):
            raise ModelError(f"'{self._name}' gives {distance} for two pictures", "leave it out")
        return distance


def _scaled(pixels: Pixels) -> npt.NDArray[np.float32]:
    way = cv2.INTER_AREA if min(pixels.shape[:2]) >= _SIDE else cv2.INTER_LINEAR
    rgb = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=way)[..., ::-1]
    planes = rgb.transpose(2, 0, 1)[None].astype(np.float32)
    return np.ascontiguousarray(planes / np.float32(127.5) - np.float32(1), np.float32)
