"""Which of a camera's modes is chosen: on scripted devices, each named after what its lists were read from."""

import pytest

from edgegan.camera.v4l2.modes import Mode, Wish, agree, choose
from edgegan.errors import ConfigError
from tests.camera.v4l2_scripted import Script, ScriptedDevice, SizeOffer, grabber, pi_camera, vivid, webcam

CHOICES = {
    # YUYV where it is fast enough, else MJPG.
    "webcam, default": (webcam, Wish((480, 640), 30), Mode("YUYV", 640, 480, 30)),
    "webcam, YUYV is slow at this size": (webcam, Wish((720, 1280), 30), Mode("MJPG", 1280, 720, 30)),
    "webcam, YUYV is fast enough for this": (webcam, Wish((720, 1280), 10), Mode("YUYV", 1280, 720, 10)),
    "webcam, YUYV asked for": (webcam, Wish((720, 1280), 30, "yuyv"), Mode("YUYV", 1280, 720, 10)),
    "webcam, MJPG asked for": (webcam, Wish((480, 640), 30, "mjpg"), Mode("MJPG", 640, 480, 30)),
    # The smallest size that is not smaller; else the largest.
    "webcam, a size between": (webcam, Wish((500, 700), 30), Mode("MJPG", 800, 600, 30)),
    "webcam, too large": (webcam, Wish((2160, 3840), 5), Mode("YUYV", 1920, 1080, 5)),
    "webcam, tiny": (webcam, Wish((80, 80), 30), Mode("YUYV", 160, 90, 30)),
    # The highest rate up to the asked one.
    "webcam, a rate between": (webcam, Wish((480, 640), 28), Mode("YUYV", 640, 480, 25)),
    "webcam, 29.97 is 30": (webcam, Wish((480, 640), 29.97), Mode("YUYV", 640, 480, 30)),
    "webcam, too fast": (webcam, Wish((480, 640), 120), Mode("YUYV", 640, 480, 30)),
    "webcam, MJPG alone goes so slowly": (webcam, Wish((480, 640), 7.5), Mode("MJPG", 640, 480, 7.5)),
    "grabber, default": (grabber, Wish((480, 640), 30), Mode("MJPG", 1360, 768, 30)),
    "grabber, full HD": (grabber, Wish((1080, 1920), 60), Mode("MJPG", 1920, 1080, 30)),
    "Pi, stepwise": (pi_camera, Wish((481, 641), 30), Mode("YUYV", 642, 482, 30)),
    "Pi, too large": (pi_camera, Wish((3000, 4000), 200), Mode("YUYV", 2592, 1944, 90)),
    "Pi, too small": (pi_camera, Wish((8, 8), 0.5), Mode("YUYV", 32, 32, 1)),
    "vivid": (vivid, Wish((180, 320), 59.94), Mode("YUYV", 320, 180, 60)),
    "vivid, all it can": (vivid, Wish((480, 640), 30), Mode("YUYV", 640, 480, 25)),
    "vivid, a size between": (vivid, Wish((700, 1000), 60), Mode("YUYV", 1280, 720, 12.5)),
    "vivid, 20": (vivid, Wish((180, 320), 20), Mode("YUYV", 320, 180, 15)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_rule(name: str) -> None:
    script, wish, expected = CHOICES[name]
    device = ScriptedDevice(script())
    got, pix = agree(device, wish)
    assert got == expected
    assert (device.width, device.height) == (expected.width, expected.height) == (pix.width, pix.height)
    assert device.rate == pytest.approx(expected.rate_hertz)


def test_a_faster_rate_is_taken_rather_than_less_than_half_of_the_asked_one() -> None:
    modes = [Mode("YUYV", 640, 480, 5), Mode("MJPG", 640, 480, 60), Mode("MJPG", 640, 480, 90)]
    assert choose(modes, Wish((480, 640), 30)) == modes[1]
    assert choose([Mode("YUYV", 640, 480, 15), modes[1]], Wish((480, 640), 30)).rate_hertz == 15


def test_what_cannot_be_had_is_refused_with_what_can() -> None:
    with pytest.raises(ConfigError, match="gives no YUYV, only MJPG"):
        agree(ScriptedDevice(grabber()), Wish((480, 640), 30, "yuyv"))
    bayer = Script("sensor", formats={"pRAA": [SizeOffer((1640, 1232), (30,))], "H264": []})
    with pytest.raises(ConfigError, match="gives no MJPG and no YUYV, only pRAA, H264"):
        agree(ScriptedDevice(bayer), Wish((480, 640), 30))


def test_a_driver_that_lists_no_sizes_is_asked_for_what_was_asked() -> None:
    script = pi_camera()
    script.knows_sizes = False
    assert agree(ScriptedDevice(script), Wish((480, 640), 30))[0] == Mode("YUYV", 640, 480, 30)


def test_a_driver_that_knows_no_rates_has_none() -> None:
    script = webcam()
    script.knows_rates = False
    assert agree(ScriptedDevice(script), Wish((480, 640), 30))[0].rate_hertz is None


def test_what_the_driver_set_instead_is_what_is_got() -> None:
    """A driver may round a size that it listed; the last word is its own."""
    device = ScriptedDevice(webcam())
    answer = device._s_fmt

    def rounded(asked: object) -> None:
        answer(asked)
        asked.fmt.pix.width, asked.fmt.pix.height = 632, 480

    device._s_fmt = rounded
    got, pix = agree(device, Wish((480, 640), 30))
    assert (got.width, got.height) == (pix.width, pix.height) == (632, 480)
