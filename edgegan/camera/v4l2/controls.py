"""Exposure, white balance and anti-flicker of a V4L2 camera.

An automatic exposure that hunts makes a generator's whole picture pump. `lock` lets the automatic settle for two
seconds of pictures and then holds what it found. A control that the camera lacks is a warning: the picture goes on.
"""

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.kernel import Device
from edgegan.errors import ConfigError

__all__ = ["Controls", "Wishes"]

log = logging.getLogger(__name__)

_MANUAL, _AUTO, _APERTURE_PRIORITY = 1, 0, 3  # V4L2_EXPOSURE_…
_POWER_LINE = {"off": 0, 50: 1, 60: 2, "auto": 3}  # V4L2_CID_POWER_LINE_FREQUENCY_…
_MOST = 500
_LARGEST = 100_000


@dataclass(frozen=True)
class Wishes:
    """What was asked for; None leaves a control as it was found.

    exposure: or milliseconds. white_balance: or kelvin. flicker: the mains' frequency in hertz.
    """

    exposure: Literal["auto", "lock"] | float | None = None
    white_balance: Literal["auto", "lock"] | int | None = None
    flicker: Literal["off", 50, 60, "auto"] | None = None

    def check(self) -> None:
        """Raise `ConfigError` for what no camera can be set to."""
        for option, value, unit in (
            ("exposure", self.exposure, "milliseconds"),
            ("white_balance", self.white_balance, "kelvin"),
        ):
            if not (value is None or isinstance(value, str) or 0 < value <= _LARGEST):
                raise ConfigError(
                    f"{option} cannot be {value:g}", f"use auto, lock, or {unit} up to {_LARGEST}"
                )

    @property
    def lock_later(self) -> bool:
        """True where something is to be locked once the automatic has settled."""
        return "lock" in (self.exposure, self.white_balance)


class Controls:
    """The controls of one open camera. `names`: its own words for those it has, by id."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._ranges = {one.id: one for one in _controls(device)}
        self._missed: set[str] = set()
        self.names = {i: one.name.decode("utf-8", "replace") for i, one in self._ranges.items()}

    def prepare(self, wishes: Wishes) -> None:
        """Set what can be set at once; what is to be locked is first left to the automatic."""
        if wishes.flicker is not None:
            self._set("flicker", kernel.POWER_LINE_FREQUENCY, _POWER_LINE[wishes.flicker])
        if wishes.exposure in ("auto", "lock"):
            self._automatic_exposure()
        elif wishes.exposure is not None:
            self._hold_exposure(round(float(wishes.exposure) * 10))
        if wishes.white_balance in ("auto", "lock"):
            self._set("white_balance", kernel.AUTO_WHITE_BALANCE, 1)
        elif wishes.white_balance is not None:
            self._hold_white_balance(int(wishes.white_balance))

    def lock(self, wishes: Wishes) -> str:
        """Hold what the automatic has found; says what that is."""
        held = []
        if wishes.exposure == "lock" and self._ranges.keys() & {kernel.EXPOSURE_AUTO, kernel.AUTOGAIN}:
            now = self._get(kernel.EXPOSURE_ABSOLUTE)
            self._hold_exposure(now)
            held.append("exposure" + (f" at {now / 10:g} ms" if now is not None else ""))
        if wishes.white_balance == "lock" and kernel.AUTO_WHITE_BALANCE in self._ranges:
            now = self._get(kernel.WHITE_BALANCE_TEMPERATURE)
            self._hold_white_balance(now)
            held.append("white balance" + (f" at {now} K" if now is not None else ""))
        return " and ".join(held)

    def _automatic_exposure(self) -> None:
        known = self._menu(kernel.EXPOSURE_AUTO)
        self._switch_exposure(_APERTURE_PRIORITY if _APERTURE_PRIORITY in known else _AUTO, gain=1)

    def _switch_exposure(self, mode: int, *, gain: int) -> None:
        """The automatic of exposure, and that of gain where it is one of its own, or the only one."""
        if kernel.AUTOGAIN in self._ranges:
            self._set("exposure", kernel.AUTOGAIN, gain)
        if kernel.EXPOSURE_AUTO in self._ranges or kernel.AUTOGAIN not in self._ranges:
            self._set("exposure", kernel.EXPOSURE_AUTO, mode)

    def _hold_exposure(self, tenths_ms: int | None) -> None:
        """tenths_ms: None where the camera does not tell its exposure; then it holds what it has."""
        self._switch_exposure(_MANUAL, gain=0)
        if tenths_ms is not None:
            self._set("exposure", kernel.EXPOSURE_ABSOLUTE, tenths_ms, lambda value: f"{value / 10:g} ms")

    def _hold_white_balance(self, kelvin: int | None) -> None:
        self._set("white_balance", kernel.AUTO_WHITE_BALANCE, 0)
        if kelvin is not None:
            self._set("white_balance", kernel.WHITE_BALANCE_TEMPERATURE, kelvin, lambda value: f"{value} K")

    def _set(self, option: str, control: int, value: int, shown: Callable[[int], str] = str) -> None:
        """Set a control, within what it allows. What does not work is told in a warning."""
        known = self._ranges.get(control)
        if known is None:
            if option not in self._missed:
                log.warning(
                    "%s: this camera has no such control%s", option, "" if self._missed else self._all()
                )
            self._missed.add(option)
            return
        kept = min(max(value, known.minimum), known.maximum)
        if kept != value:
            log.warning(
                "%s: the camera goes from %s to %s, so %s it is",
                option,
                *map(shown, (known.minimum, known.maximum, kept)),
            )
        try:
            self._device.ioctl(kernel.S_CTRL, kernel.Control(id=control, value=kept))
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise
            log.warning("%s: the camera refuses '%s': %s", option, self.names[control], error.strerror)

    def _get(self, control: int) -> int | None:
        answer = kernel.Control(id=control)
        try:
            self._device.ioctl(kernel.G_CTRL, answer)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise
            return None
        return int(answer.value)

    def _menu(self, control: int) -> list[int]:
        """The values of a menu that the camera knows."""
        known = self._ranges.get(control)
        found = []
        for index in range(known.minimum, min(known.maximum, known.minimum + _MOST) + 1) if known else ():
            try:
                self._device.ioctl(kernel.QUERYMENU, kernel.QueryMenu(id=control, index=index))
            except OSError:
                continue
            found.append(index)
        return found

    def _all(self) -> str:
        return "; it has " + (", ".join(f"'{name}'" for name in self.names.values()) or "none at all")


def _controls(device: Device) -> list[kernel.QueryControl]:
    """Every control that can be set."""
    found: list[kernel.QueryControl] = []
    asked = kernel.CONTROL_NEXT
    for _ in range(_MOST):
        one = kernel.QueryControl(id=asked)
        try:
            device.ioctl(kernel.QUERYCTRL, one)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise
            break
        asked = one.id | kernel.CONTROL_NEXT
        if not one.flags & (kernel.CONTROL_DISABLED | kernel.CONTROL_READ_ONLY):
            found.append(one)
    return found
