"""Pictures side by side: what goes in, what FP32 draws, what each version draws, and where they differ."""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgegan.frame import Pixels

__all__ = ["GAIN", "Compared", "Drawn", "compared_pictures", "difference_picture"]

GAIN = 16
"""How much a difference is amplified. One gain for all, so that versions and reports can be compared."""

_BUDGET_BYTES = 2_000_000  # of all pictures together; each comes in base64, four bytes for three
_TRIES = ((512, 92), (512, 85), (384, 85), (320, 80), (256, 75), (192, 70), (128, 65), (96, 50))
_TINY = 96


@dataclass(frozen=True)
class Drawn:
    """A picture as one version draws it. figures: what is said about it, plain text."""

    version: str
    pixels: Pixels
    figures: str


@dataclass(frozen=True)
class Compared:
    """A picture and all that was drawn from it. mark: plain text that sets it apart, or nothing."""

    name: str
    mark: str
    shown: Pixels
    fp32: Pixels
    drawn: Sequence[Drawn]


@dataclass(frozen=True)
class _Figure:
    caption: str
    alt: str
    pixels: Pixels
    column: int
    row: int
    kind: str


def compared_pictures(pictures: Sequence[Compared]) -> str:
    """The pictures as HTML. They shrink until all of them take some 2 MB, or to 96 pixels a side at least."""
    groups = [list(_figures(picture)) for picture in pictures]
    sources = _sources([figure.pixels for group in groups for figure in group])
    return "\n".join(_group(picture, group, sources) for picture, group in zip(pictures, groups, strict=True))


def difference_picture(pixels: Pixels, fp32: Pixels, side: int) -> Pixels:
    """|pixels - fp32| times `GAIN`, cut at 255, the longer side `side` pixels at most.

    Scaled before it is amplified, while it still is a difference: the mean of its pixels, never cancelled.
    """
    scaled = _scaled(cv2.absdiff(pixels, fp32).astype(np.float32), side)
    amplified: Pixels = np.minimum(scaled * GAIN + 0.5, 255).astype(np.uint8)
    return amplified


def _figures(picture: Compared) -> Iterator[_Figure]:
    name = picture.name
    yield _Figure("Input", f"{name}: the input", picture.shown, 1, 1, "input")
    yield _Figure("FP32", f"{name}: drawn by FP32", picture.fp32, 2, 1, "fp32")
    is_alone = len(picture.drawn) == 1  # then there is room for the difference beside it
    for column, drawn in enumerate(picture.drawn, start=3):
        alt = f"{name}: drawn by {drawn.version}, {drawn.figures}"
        yield _Figure(drawn.version, alt, drawn.pixels, column, 1, "version")
        difference = difference_picture(drawn.pixels, picture.fp32, _TRIES[0][0])
        alt = f"{name}: difference of {drawn.version} from FP32, times {GAIN}"
        yield _Figure(f"difference × {GAIN}", alt, difference, column + is_alone, 2 - is_alone, "difference")


def _group(picture: Compared, figures: Sequence[_Figure], sources: Iterator[str]) -> str:
    said = "".join(
        f"<dt>{html.escape(drawn.version)}</dt><dd>{html.escape(drawn.figures)}</dd>"
        for drawn in picture.drawn
    )
    mark = f' <span class="mark">{html.escape(picture.mark)}</span>' if picture.mark else ""
    images = "".join(_figure(figure, source) for figure, source in zip(figures, sources, strict=False))
    columns = max(figure.column for figure in figures)
    return (
        f'<section class="compared"><h3>{html.escape(picture.name)}{mark}</h3>'
        f'<div class="set" style="--columns:{columns}">{images}<dl>{said}</dl></div></section>'
    )


def _figure(figure: _Figure, source: str) -> str:
    height, width = figure.pixels.shape[:2]
    tiny = " tiny" if max(width, height) < _TINY else ""
    return (
        f'<figure class="{figure.kind}{tiny}" style="--column:{figure.column};--row:{figure.row}">'
        f'<img alt="{html.escape(figure.alt)}" width="{width}" height="{height}" src="{source}">'
        f"<figcaption>{html.escape(figure.caption)}</figcaption></figure>"
    )


def _sources(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Data URIs of the pictures, all of one quality: the best that the budget allows."""
    encoded: list[str] = []
    for side, quality in _TRIES:
        encoded = [_data_uri(_scaled(pixels, side), quality) for pixels in pictures]
        if sum(map(len, encoded)) <= _BUDGET_BYTES:
            break
    return iter(encoded)


def _scaled(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _data_uri(pixels: Pixels, quality: int) -> str:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
