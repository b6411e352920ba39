"""How alike two pictures are. Pictures are uint8 (H, W, 3) BGR; both have one shape, else `ValueError`."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.frame import Pixels

__all__ = ["max_difference", "psnr_db", "ssim"]

_Plane = npt.NDArray[np.float64]
_PEAK = 255.0
_LUMA_OF_BGR = (0.114, 0.587, 0.299)  # ITU-R BT.601
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def max_difference(a: Pixels, b: Pixels) -> int:
    """The largest difference of any pixel and colour, 0..255 grey levels."""
    _check(a, b)
    return int(cv2.absdiff(a, b).max())


def psnr_db(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of all pixels and colours, 10 log10(255² / MSE); equal: `math.inf`."""
    _check(a, b)
    error = float(np.mean(np.square(a.astype(np.float32) - b.astype(np.float32)), dtype=np.float64))
    return 10 * math.log10(_PEAK**2 / error) if error else math.inf


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of the luma (BT.601, not rounded): -1..1, equal pictures 1.

    Source: Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment: From Error Visibility to Structural
    Similarity, 2004. Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03; the mean over those windows that
    lie inside the picture, at full size. Both sides must have 11 pixels at least, else `ValueError`.
    """
    _check(a, b)
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(f"SSIM needs pictures of {_WINDOW} x {_WINDOW} pixels at least, got {a.shape[:2]}")
    x, y = _luma(a), _luma(b)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float(np.mean(luminance * structure))


def _check(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8 or a.ndim != 3:
        raise ValueError(f"cannot compare {a.dtype} {a.shape} with {b.dtype} {b.shape}")


def _luma(pixels: Pixels) -> _Plane:
    return np.asarray(pixels @ np.array(_LUMA_OF_BGR), np.float64)


def _windowed(plane: _Plane) -> _Plane:
    """Gaussian mean around each pixel whose window lies inside."""
    kernel, edge = cv2.getGaussianKernel(_WINDOW, _SIGMA), _WINDOW // 2
    blurred = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return np.asarray(blurred[edge:-edge, edge:-edge], np.float64)
