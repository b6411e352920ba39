"""Which format, size and rate a V4L2 camera is asked for, of all that it offers.

The rule, in this order:
  1. the size: the smallest that is not smaller than the one asked for; where none is, the largest;
  2. the rate: the highest up to the one asked for; where that is less than half of it, the lowest above, if any;
  3. the format: YUYV if it reaches as high a rate as MJPG does, for it costs less to decode; else MJPG.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.kernel import Device
from edgegan.errors import ConfigError

__all__ = ["FORMATS", "Mode", "Wish", "agree", "choose", "offers", "other_formats"]

FORMATS = {"YUYV": "yuyv", "MJPG": "mjpg", "JPEG": "mjpg"}
"""What can be decoded: V4L2's four letters and the option's word, the cheapest first."""

_SHOWN = 12  # formats in a message; vivid has 80
_MOST = 1000  # of a list; a driver that never ends it would hang us
_SAME_RATE = 1.01  # 29.97 is 30
_S = TypeVar("_S", bound=Any)


@dataclass(frozen=True)
class Wish:
    """What was asked for. size: (height, width)."""

    size: tuple[int, int]
    rate_hertz: float
    format: str = "auto"

    def __str__(self) -> str:
        return f"{self.size[1]} x {self.size[0]} at {self.rate_hertz:g} pictures a second, {self.format}"


@dataclass(frozen=True)
class Mode:
    """What a camera can give, or gives. fourcc: V4L2's four letters. rate_hertz: None where it does not say."""

    fourcc: str
    width: int
    height: int
    rate_hertz: float | None

    def __str__(self) -> str:
        rate = f" at {self.rate_hertz:g} pictures a second" if self.rate_hertz else ", rate unknown"
        return f"{self.fourcc} {self.width} x {self.height}{rate}"


@dataclass(frozen=True)
class Sizes:
    """Sizes from `least` to `most` (width, height) in steps; a single size where the two are the same."""

    least: tuple[int, int]
    most: tuple[int, int]
    step: tuple[int, int] = (1, 1)

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The smallest size here that is not smaller; where none is, the largest."""
        return _stepped(width, 0, self), _stepped(height, 1, self)


def _stepped(asked: int, axis: int, sizes: Sizes) -> int:
    least, most, step = sizes.least[axis], sizes.most[axis], max(1, sizes.step[axis])
    steps = -(-(asked - least) // step)
    return min(least + max(0, steps) * step, least + (most - least) // step * step)


@dataclass(frozen=True)
class Rates:
    """Rates from `least` to `most` in hertz; a single rate where the two are the same."""

    least: float
    most: float

    def nearest(self, asked: float) -> float:
        """The rate here that is nearest to the one asked for."""
        return min(max(asked, self.least), self.most)


def fourcc_from_code(code: int) -> str:
    """0x56595559 to `YUYV`."""
    return code.to_bytes(4, "little").decode("latin-1")


def code_from_fourcc(fourcc: str) -> int:
    """`YUYV` to 0x56595559."""
    return int.from_bytes(fourcc.encode("latin-1"), "little")


def formats_of(device: Device) -> list[str]:
    """The four letters of every format that the camera lists."""
    found = _listed(device, kernel.ENUM_FMT, lambda i: kernel.FormatDescription(index=i, type=kernel.CAPTURE))
    return [fourcc_from_code(one.pixelformat) for one in found]


def other_formats(device: Device) -> str:
    """The camera's formats, for a message."""
    formats = formats_of(device)
    more = f" and {len(formats) - _SHOWN} more" if len(formats) > _SHOWN else ""
    return ", ".join(formats[:_SHOWN]) + more or "none"


def offers(device: Device, wish: Wish) -> list[Mode]:
    """For each format and range of sizes that can be decoded, the mode that is nearest to the wish."""
    wanted = [f for f in formats_of(device) if wish.format in ("auto", FORMATS.get(f)) and f in FORMATS]
    return [mode for fourcc in wanted for mode in _offers_in(device, fourcc, wish)]


def choose(modes: list[Mode], wish: Wish) -> Mode:
    """The best of `modes`, by this module's rule."""
    height, width = wish.size
    large = [m for m in modes if m.width >= width and m.height >= height]
    area = min(m.width * m.height for m in large) if large else max(m.width * m.height for m in modes)
    same_size = [m for m in large or modes if m.width * m.height == area]
    return min(same_size, key=lambda m: (_rate_missed(m.rate_hertz, wish.rate_hertz), _cost(m.fourcc)))


def agree(device: Device, wish: Wish) -> tuple[Mode, kernel.PixelFormat]:
    """Set format, size and rate; what the camera then says that it does.

    Raises `ConfigError` if it offers nothing that can be decoded, `OSError` if it refuses.
    """
    modes = offers(device, wish)
    if not modes:
        raise ConfigError(
            f"the camera gives no {_words(wish.format)}, only {other_formats(device)}",
            "leave out the option 'format'"
            if wish.format != "auto"
            else "use another camera, or another driver",
        )
    chosen = choose(modes, wish)
    asked = kernel.Format(type=kernel.CAPTURE)
    asked.fmt.pix.width, asked.fmt.pix.height = chosen.width, chosen.height
    asked.fmt.pix.pixelformat = code_from_fourcc(chosen.fourcc)
    device.ioctl(kernel.S_FMT, asked)
    pix: kernel.PixelFormat = asked.fmt.pix
    got = replace(chosen, fourcc=fourcc_from_code(pix.pixelformat), width=pix.width, height=pix.height)
    if got.fourcc not in FORMATS:
        raise ConfigError(f"asked for {chosen}, the camera set {got}", "try the option 'format'")
    return replace(got, rate_hertz=_agree_on_rate(device, chosen.rate_hertz or wish.rate_hertz)), pix


def _agree_on_rate(device: Device, rate_hertz: float) -> float | None:
    """Ask for a rate; the one that is kept, None where the driver knows of none."""
    parameters = kernel.StreamParameters(type=kernel.CAPTURE)
    try:
        device.ioctl(kernel.G_PARM, parameters)
        capture = parameters.parm.capture
        if capture.capability & kernel.CAP_TIMEPERFRAME:
            interval = capture.timeperframe
            interval.numerator, interval.denominator = 1_000_000, round(rate_hertz * 1_000_000)
            device.ioctl(kernel.S_PARM, parameters)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        return None
    return _hertz(parameters.parm.capture.timeperframe)


def _offers_in(device: Device, fourcc: str, wish: Wish) -> Iterator[Mode]:
    code = code_from_fourcc(fourcc)
    found = _listed(device, kernel.ENUM_FRAMESIZES, lambda i: kernel.FrameSize(index=i, pixel_format=code))
    sizes = [_sizes(one) for one in found] or [
        Sizes((1, 1), (1 << 14, 1 << 14))
    ]  # a driver that does not say
    for one in sizes:
        width, height = one.nearest(wish.size[1], wish.size[0])
        rates = _rates(device, code, width, height)
        nearest = [rate.nearest(wish.rate_hertz) for rate in rates]
        best = min(nearest, key=lambda rate: _rate_missed(rate, wish.rate_hertz)) if nearest else None
        yield Mode(fourcc, width, height, best)


def _sizes(one: kernel.FrameSize) -> Sizes:
    if one.type == kernel.DISCRETE:
        size = (one.min_width, one.max_width)  # named width and height there
        return Sizes(size, size)
    return Sizes(
        (one.min_width, one.min_height), (one.max_width, one.max_height), (one.step_width, one.step_height)
    )


def _rates(device: Device, code: int, width: int, height: int) -> list[Rates]:
    found = _listed(
        device,
        kernel.ENUM_FRAMEINTERVALS,
        lambda i: kernel.FrameInterval(index=i, pixel_format=code, width=width, height=height),
    )
    return [rates for one in found if (rates := _rates_from(one))]


def _rates_from(one: kernel.FrameInterval) -> Rates | None:
    most = _hertz(one.shortest)
    least = most if one.type == kernel.DISCRETE else _hertz(one.longest)
    return Rates(least or 0.001, most) if most else None


def _hertz(interval: kernel.Fraction) -> float | None:
    if not interval.numerator or not interval.denominator:
        return None
    return round(int(interval.denominator) / int(interval.numerator), 3)


def _rate_missed(rate: float | None, asked: float) -> tuple[int, float]:
    """Smaller is better: up to the asked rate, above it, less than half of it, unknown."""
    if rate is None:
        return 3, 0.0
    if rate > asked * _SAME_RATE:
        return 1, rate
    return 0 if 2 * rate >= asked else 2, max(0.0, asked / _SAME_RATE - rate)


def _cost(fourcc: str) -> int:
    return list(FORMATS).index(fourcc)


def _words(option: str) -> str:
    return "MJPG and no YUYV" if option == "auto" else option.upper()


def _listed(device: Device, request: int, query: Callable[[int], _S]) -> list[_S]:
    """Everything that a request tells one by one, up to EINVAL; nothing where a driver lacks the request."""
    found: list[_S] = []
    for index in count():
        one = query(index)
        try:
            device.ioctl(request, one)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            return found
        found.append(one)
        if len(found) >= _MOST:
            return found
    return found
