"""The live picture on a display, with what is going on written into it."""

from dataclasses import dataclass

import cv2
import numpy as np

from edgegan.display import Display
from edgegan.frame import Pixels
from edgegan.framing import fitted, shrink

__all__ = ["Caption", "Screen", "captioned"]

_LARGEST = (1080, 1920)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_WHITE, _BLACK, _RED = (255, 255, 255), (0, 0, 0), (40, 40, 230)


@dataclass(frozen=True)
class Caption:
    """Text for the lower left corner, behind a red dot if it records; or large, in the middle."""

    text: str
    dot: bool = False
    large: bool = False


class Screen:
    """A display, or none."""

    def __init__(self, display: Display | None) -> None:
        self._display = display

    def show(self, pixels: Pixels, caption: Caption, captured_ns: int) -> None:
        """Show a camera's picture, uint8 (H, W, 3), with the caption on a copy of it. Raises `DisplayError`."""
        if self._display is not None:
            self._display.show(captioned(pixels, caption), captured_ns)

    def poll(self) -> bool:
        """False once a person has closed the display."""
        return self._display is None or self._display.poll_interval_s is None or self._display.poll()

    def close(self) -> None:
        """Close the display."""
        if self._display is not None:
            self._display.close()


def captioned(pixels: Pixels, caption: Caption) -> Pixels:
    """A copy of `pixels`, at most 1920 x 1080, with the caption on it."""
    size = pixels.shape[:2]
    if size[0] > _LARGEST[0] or size[1] > _LARGEST[1]:
        size = fitted(size, _LARGEST)
    picture = np.empty((*size, 3), np.uint8)
    shrink(pixels, picture)
    _draw(picture, caption)
    return picture


def _draw(picture: Pixels, caption: Caption) -> None:
    height, width = picture.shape[:2]
    unit = min(height, width) / (8 if caption.large else 16)
    scale = unit / 30  # capital letters of this font are about 21 pixels high at scale 1
    weight = max(1, round(unit / 12))
    (text_width, text_height), _ = cv2.getTextSize(caption.text, _FONT, scale, weight)
    scale *= min(1.0, 0.9 * width / (text_width + 2 * unit))  # narrow pictures
    (text_width, text_height), _ = cv2.getTextSize(caption.text, _FONT, scale, weight)
    if caption.large:
        left, bottom = (width - text_width) // 2, (height + text_height) // 2
    else:
        left, bottom = round(unit), round(height - 0.8 * unit)
    if caption.dot:
        radius = text_height * 0.55
        centre = (round(left + radius), round(bottom - text_height / 2))
        for colour, grown in ((_BLACK, weight), (_RED, 0)):
            cv2.circle(picture, centre, round(radius) + grown, colour, cv2.FILLED, cv2.LINE_AA)
        left += round(3 * radius)
    _draw_text(picture, caption.text, (left, bottom), scale, weight)


def _draw_text(picture: Pixels, text: str, at: tuple[int, int], scale: float, weight: int) -> None:
    """White with a black outline.

    The outline is grown from the letters: drawn as heavier letters it would not fit them, OpenCV 5's are wider.
    """
    (width, height), below = cv2.getTextSize(text, _FONT, scale, weight)
    margin = 3 * weight
    left, top = max(0, at[0] - margin), max(0, at[1] - height - margin)
    part = picture[top : at[1] + below + margin, left : at[0] + width + margin]
    letters = np.zeros(part.shape[:2], np.uint8)
    cv2.putText(letters, text, (at[0] - left, at[1] - top), _FONT, scale, (255,), weight, cv2.LINE_AA)
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * weight + 1,) * 2)
    for colour, mask in ((_BLACK, cv2.dilate(letters, pen)), (_WHITE, letters)):
        share = mask[..., np.newaxis].astype(np.uint16)
        part[:] = (part * (255 - share) + np.array(colour, np.uint16) * share) // 255
