"""Exposure, white balance and anti-flicker, on scripted devices."""

import errno
import logging

import pytest

from edgegan.camera.v4l2 import kernel
from edgegan.camera.v4l2.controls import Controls, Wishes
from tests.camera.v4l2_scripted import ControlOffer, ScriptedDevice, grabber, pi_camera, vivid, webcam

AUTO, HELD = kernel.EXPOSURE_AUTO, kernel.EXPOSURE_ABSOLUTE


def prepared(device: ScriptedDevice, **wishes: object) -> Controls:
    controls = Controls(device)
    controls.prepare(Wishes(**wishes))
    return controls


def test_nothing_asked_is_nothing_changed() -> None:
    device = ScriptedDevice(webcam())
    prepared(device)
    assert device.written == []


def test_values_are_set_behind_their_automatic() -> None:
    device = ScriptedDevice(webcam())
    prepared(device, exposure=12.5, white_balance=4600, flicker=50)
    assert device.written == [
        (kernel.POWER_LINE_FREQUENCY, 1),
        (AUTO, 1),
        (HELD, 125),
        (kernel.AUTO_WHITE_BALANCE, 0),
        (kernel.WHITE_BALANCE_TEMPERATURE, 4600),
    ]


@pytest.mark.parametrize(("flicker", "value"), [("off", 0), (50, 1), (60, 2), ("auto", 3)])
def test_anti_flicker(flicker: object, value: int) -> None:
    device = ScriptedDevice(pi_camera())
    prepared(device, flicker=flicker)
    assert device.written == [(kernel.POWER_LINE_FREQUENCY, value)]


def test_the_automatic_that_the_camera_has_is_used() -> None:
    for menu, value in (((1, 3), 3), ((0, 1), 0), ((0, 1, 2, 3), 3)):
        script = webcam()
        script.controls[AUTO] = ControlOffer("Auto Exposure", 0, 3, 1, menu=menu)
        device = ScriptedDevice(script)
        prepared(device, exposure="auto")
        assert device.written == [(AUTO, value)]


def test_a_lock_lets_the_automatic_settle_and_holds_what_it_found() -> None:
    device = ScriptedDevice(webcam())
    wishes = Wishes(exposure="lock", white_balance="lock")
    controls = prepared(device, exposure="lock", white_balance="lock")
    assert device.written == [(AUTO, 3), (kernel.AUTO_WHITE_BALANCE, 1)]
    device.script.controls[HELD].value = 312  # as the automatic would
    device.script.controls[kernel.WHITE_BALANCE_TEMPERATURE].value = 3997
    device.written.clear()
    assert controls.lock(wishes) == "exposure at 31.2 ms and white balance at 3997 K"
    assert device.written == [
        (AUTO, 1),
        (HELD, 312),
        (kernel.AUTO_WHITE_BALANCE, 0),
        (kernel.WHITE_BALANCE_TEMPERATURE, 3997),
    ]


def test_automatic_gain_is_held_too() -> None:
    script = webcam()
    script.controls[kernel.AUTOGAIN] = ControlOffer("Gain, Automatic", 0, 1, 1)
    device = ScriptedDevice(script)
    prepared(device, exposure="lock").lock(Wishes(exposure="lock"))
    gain = kernel.AUTOGAIN
    assert device.written == [(gain, 1), (AUTO, 3), (gain, 0), (AUTO, 1), (HELD, 250)]


def test_automatic_gain_alone_is_held(caplog: pytest.LogCaptureFixture) -> None:
    """So it is with vivid, and with sensors whose exposure is no control of the node."""
    device = ScriptedDevice(vivid())
    assert prepared(device, exposure="lock").lock(Wishes(exposure="lock")) == "exposure"
    assert device.written == [(kernel.AUTOGAIN, 1), (kernel.AUTOGAIN, 0)]
    assert not caplog.records


def test_a_camera_that_does_not_tell_its_exposure_holds_it_all_the_same() -> None:
    script = webcam()
    del script.controls[HELD]
    device = ScriptedDevice(script)
    assert prepared(device, exposure="lock").lock(Wishes(exposure="lock")) == "exposure"
    assert device.written == [(AUTO, 3), (AUTO, 1)]


def test_a_control_that_is_missing_is_a_warning_that_names_those_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    controls = prepared(ScriptedDevice(grabber()), exposure="lock", white_balance=5000, flicker=50)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert caplog.text.count("Brightness") == 1
    assert "flicker: this camera has no such control; it has 'Brightness'" in caplog.text
    assert "exposure: this camera has no such control" in caplog.text
    assert "white_balance: this camera has no such control" in caplog.text
    assert controls.lock(Wishes(exposure="lock")) == ""


def test_what_is_out_of_range_is_brought_into_it(caplog: pytest.LogCaptureFixture) -> None:
    device = ScriptedDevice(webcam())
    prepared(device, exposure=1000.0, white_balance=900)
    assert (HELD, 2047) in device.written
    assert (kernel.WHITE_BALANCE_TEMPERATURE, 2000) in device.written
    assert "exposure: the camera goes from 0.3 ms to 204.7 ms, so 204.7 ms it is" in caplog.text


def test_a_refused_control_is_a_warning_but_an_unplugged_camera_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = ScriptedDevice(webcam())
    device.fail[kernel.S_CTRL] = errno.EIO
    prepared(device, flicker=50)
    assert "flicker: the camera refuses 'Power Line Frequency'" in caplog.text
    device.unplugged = True
    with pytest.raises(OSError, match="refused") as caught:
        prepared(device, flicker=50)
    assert caught.value.errno == errno.ENODEV


def test_controls_that_cannot_be_set_are_not_offered() -> None:
    script = vivid()
    script.controls[kernel.POWER_LINE_FREQUENCY] = ControlOffer(
        "Disabled", 0, 2, 0, flags=kernel.CONTROL_DISABLED
    )
    script.controls[kernel.AUTO_WHITE_BALANCE] = ControlOffer("Read", 0, 1, 0, flags=kernel.CONTROL_READ_ONLY)
    assert set(Controls(ScriptedDevice(script)).names) == {kernel.AUTOGAIN, 0x980913}
