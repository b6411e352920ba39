"""How alike two pictures, or two clips, are. Pictures are uint8 (H, W, 3) BGR; both have one shape, else `ValueError`.

PSNR and SSIM average over a picture, and let pass what an eye sees at once: a cast, a pattern, a flicker. The other
figures look for one such fault each: `a` is the picture in question, `b` what it should be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.frame import Pixels

__all__ = [
    "ChannelShift",
    "channel_shift",
    "checkerboard_db",
    "ciede2000",
    "delta_e",
    "flicker_ratio",
    "high_frequency_ratio",
    "max_difference",
    "psnr_db",
    "ssim",
]

_Plane = npt.NDArray[np.float64]
_PEAK = 255.0
_LUMA_OF_BGR = (0.114, 0.587, 0.299)  # ITU-R BT.601
_WINDOW, _SIGMA = 11, 1.5
_UNSEEN = 1.0  # energy in grey levels squared below which nobody sees anything: the figures start from it
_TILES = 16  # of a side
_FLICKER = 16  # pixels
_TILE = 32  # pixels, of the spectrum
_PLACES = ((0, 8), (0, 16), (8, 0), (16, 0), (8, 8), (8, 24), (8, 16), (16, 8), (16, 16))  # of period 2 and 4
_RING = [
    (y, x) for y in range(-3, 4) for x in range(-3, 4) if max(abs(y), abs(x)) > 1
]  # outside of a peak's foot
_XYZ_OF_RGB = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
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


@dataclass(frozen=True)
class ChannelShift:
    """Mean of `a` less mean of `b`, each channel for itself: -255..255 grey levels."""

    blue: float
    green: float
    red: float

    @property
    def largest_levels(self) -> float:
        """The magnitude of the largest of the three, 0..255 grey levels."""
        return max(abs(self.blue), abs(self.green), abs(self.red))


def channel_shift(a: Pixels, b: Pixels) -> ChannelShift:
    """How much brighter each channel of `a` is on average: a cast of the whole picture. Noise averages out."""
    _check(a, b)
    blue, green, red = (x - y for x, y in zip(cv2.mean(a)[:3], cv2.mean(b)[:3], strict=True))
    return ChannelShift(blue, green, red)


def delta_e(a: Pixels, b: Pixels) -> float:
    """CIEDE2000 between the mean colours of each of 16 x 16 tiles, averaged: 0..100 or so, 1 is just visible.

    Tiles, because a cast may colour some objects alone; their means, because noise averages out in them (of
    256 x 256 pixels a tile holds 256), while the mean over pixels makes 0.8 to 1.1 of noise of 45 dB. A side of
    fewer than 16 pixels has as many tiles as pixels.
    """
    _check(a, b)
    return float(np.mean(ciede2000(_lab(_tiles(a)), _lab(_tiles(b)))))


def ciede2000(a: _Plane, b: _Plane) -> _Plane:
    """Colour differences of CIELAB colours (..., 3), kL = kC = kH = 1; an array (...).

    Source: Sharma, Wu, Dalal, The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test
    Data, and Mathematical Observations, 2005, equations 2 to 22.
    """
    l1, l2 = a[..., 0], b[..., 0]
    chroma = (np.hypot(a[..., 1], a[..., 2]) + np.hypot(b[..., 1], b[..., 2])) / 2
    gain = 1.5 - 0.5 * _saturation(chroma)
    c1, h1 = _polar(gain * a[..., 1], a[..., 2])
    c2, h2 = _polar(gain * b[..., 1], b[..., 2])
    turn = h2 - h1
    turn = np.where(c1 * c2 == 0, 0, np.where(abs(turn) > 180, turn - 360 * np.sign(turn), turn))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = np.where(c1 * c2 == 0, h1 + h2, h1 + turn / 2)
    middle = (lightness - 50) ** 2
    dl = (l2 - l1) / (1 + 0.015 * middle / np.sqrt(20 + middle))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / (1 + 0.015 * chroma * _hue_weight(hue))
    squared = dl**2 + dc**2 + dh**2 + _rotation(hue, chroma) * dc * dh
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float64)


def high_frequency_ratio(a: Pixels, b: Pixels) -> float:
    """Energy of the fine detail of `a` over that of `b`: above 0; 1 is as much, less is blurred, more is grainy.

    Detail is the luma less its Gaussian mean of sigma 1 pixel: 1 - exp(-2 pi^2 f^2) of an amplitude at f periods a
    pixel, half of it at 0.19. One grey level squared is added to both energies, so that flat pictures, whose detail
    is rounding, are alike.
    """
    _check(a, b)
    return (_detail_energy(a) + _UNSEEN) / (_detail_energy(b) + _UNSEEN)


def checkerboard_db(a: Pixels, b: Pixels) -> float:
    """How far a pattern with a period of 2 or 4 pixels stands out of `a`, more than out of `b`: decibels.

    Such patterns are what strided and transposed convolutions leave (Odena, Dumoulin, Olah, Deconvolution and
    Checkerboard Artifacts, 2016). In the spectrum they lie where fx and fy are multiples of 1/4 period a pixel, nine
    places besides the mean. A place stands out by its power over the geometric mean of the power two and three bins
    beside it; the largest excess of `a` over `b` at any place is given, below 0 if `a` stands out less everywhere.
    The spectrum is that of the luma, averaged (Welch: tiles of 32 x 32, half overlapping, less their mean, Hann
    windows), with white noise of one grey level added: in a flat picture +-1 level of checkerboard gives 27 dB.
    Both sides must have 32 pixels at least, else `ValueError`.
    """
    _check(a, b)
    if min(a.shape[:2]) < _TILE:
        raise ValueError(f"a spectrum needs pictures of {_TILE} x {_TILE} pixels at least, got {a.shape[:2]}")
    return float(np.max(_standing_out_db(a) - _standing_out_db(b)))


def flicker_ratio(a: Sequence[Pixels], b: Sequence[Pixels]) -> float:
    """How much more clip `a` changes from frame to frame than clip `b`, where `b` is quiet: above 0; 1 is as much.

    The root of the mean squared change of `a` over that of `b`, with one grey level squared added to both means. A
    constant difference changes nothing. Tiles of 16 x 16 pixels of each two successive frames are looked at: of
    those in which anything changes at all (repeated frames and black bars do not flicker) the tenth in which `b`
    changes least, as motion hides a flicker. Two frames at least, else `ValueError`.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"flicker needs two clips of the same two frames or more, got {len(a)} and {len(b)}")
    changes = np.concatenate([_changes(a[i - 1 : i + 1], b[i - 1 : i + 1]) for i in range(1, len(a))])
    changes = changes[changes.any(1)]
    if not len(changes):
        return 1.0
    quiet = changes[np.argsort(changes[:, 1], kind="stable")[: -(-len(changes) // 10)]].mean(0) + _UNSEEN
    return math.sqrt(quiet[0] / quiet[1])


def _check(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8 or a.ndim != 3:
        raise ValueError(f"cannot compare {a.dtype} {a.shape} with {b.dtype} {b.shape}")


def _luma(pixels: Pixels) -> _Plane:
    return np.asarray(pixels @ np.array(_LUMA_OF_BGR), np.float64)


def _detail_energy(pixels: Pixels) -> float:
    luma = _luma(pixels)
    return float(np.mean(np.square(luma - cv2.GaussianBlur(luma, (0, 0), 1))))


def _tiles(pixels: Pixels) -> _Plane:
    """Mean colours, (16, 16, 3) 0..1 BGR, fewer where a side has fewer pixels."""
    height, width = (min(side, _TILES) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels / _PEAK, (width, height), interpolation=cv2.INTER_AREA), np.float64)


def _lab(colours: _Plane) -> _Plane:
    """sRGB colours (..., 3) 0..1 BGR to CIELAB of D65 (IEC 61966-2-1, CIE 15)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear[..., ::-1] @ np.array(_XYZ_OF_RGB).T / np.sum(_XYZ_OF_RGB, axis=1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _polar(a: _Plane, b: _Plane) -> tuple[_Plane, _Plane]:
    """Chroma, and hue in degrees 0..360."""
    return np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360


def _hue_weight(hue: _Plane) -> _Plane:
    terms = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    return 1 + sum((gain * np.cos(np.radians(n * hue + turn)) for gain, n, turn in terms), np.zeros(()))


def _rotation(hue: _Plane, chroma: _Plane) -> _Plane:
    angle = np.radians(60 * np.exp(-np.square((hue % 360 - 275) / 25)))
    return np.asarray(-2 * np.sin(angle) * _saturation(chroma), np.float64)


def _saturation(chroma: _Plane) -> _Plane:
    return np.asarray(np.sqrt(chroma**7 / (chroma**7 + 25.0**7)), np.float64)


def _standing_out_db(pixels: Pixels) -> _Plane:
    """Of the nine places."""
    level = 10 * np.log10(_spectrum(_luma(pixels)) + _UNSEEN)
    places = np.array(_PLACES)
    beside = (places[:, None] + _RING) % _TILE
    return np.asarray(level[tuple(places.T)] - level[beside[..., 0], beside[..., 1]].mean(1), np.float64)


def _spectrum(luma: _Plane) -> _Plane:
    """Mean power of the tiles, (32, 32); of white noise it is its variance."""
    hann = np.hanning(_TILE + 1)[:-1]
    window = np.outer(hann, hann)
    step = _TILE // 2
    views = np.lib.stride_tricks.sliding_window_view(luma, (_TILE, _TILE))[::step, ::step]
    tiles = views.reshape(-1, _TILE, _TILE)  # a copy, in which the rest is three times as fast
    spectra = np.fft.rfft2((tiles - tiles.mean((1, 2), keepdims=True)) * window)
    half = np.mean(spectra.real**2 + spectra.imag**2, axis=0) / np.sum(window**2)
    mirrored = np.roll(half[::-1, -2:0:-1], 1, axis=0)  # the power at (-y, -x) is that at (y, x)
    return np.concatenate([half, mirrored], axis=1)


def _changes(a: Sequence[Pixels], b: Sequence[Pixels]) -> _Plane:
    """Mean squared change between two frames in each tile, (tiles, 2): of `a`, of `b`."""
    _check(a[0], b[0])
    return np.stack([_change(*a), _change(*b)], axis=-1)


def _change(before: Pixels, after: Pixels) -> _Plane:
    _check(before, after)
    squared = np.square(cv2.absdiff(before, after).astype(np.float32)).mean(2)
    size = (max(squared.shape[1] // _FLICKER, 1), max(squared.shape[0] // _FLICKER, 1))
    return np.asarray(cv2.resize(squared, size, interpolation=cv2.INTER_AREA).ravel(), np.float64)


def _windowed(plane: _Plane) -> _Plane:
    """Gaussian mean around each pixel whose window lies inside."""
    kernel, edge = cv2.getGaussianKernel(_WINDOW, _SIGMA), _WINDOW // 2
    blurred = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return np.asarray(blurred[edge:-edge, edge:-edge], np.float64)
