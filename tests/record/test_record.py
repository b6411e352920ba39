"""Recording as a person does it: what is stored, what is shown, and every way in which it ends."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgegan.camera.file import FileCamera
from edgegan.camera.pattern import PatternCamera, read_stamp
from edgegan.display.null import NullDisplay
from edgegan.errors import CameraError, CameraTimeout, DisplayError, RecordError, UserError
from edgegan.frame import Frame, Pixels
from edgegan.record import RecordOptions, record
from edgegan.record.folder import RecordingFolder
from edgegan.record.screen import Caption, captioned
from edgegan.registry import CAMERAS, DISPLAYS
from tests.camera.conftest import number_in, write_clip
from tests.display.conftest import screenshot, x11, xvfb  # noqa: F401 (fixtures)


def recorded(camera: str, output: Path, **settings: Any) -> dict[str, Any]:
    """Record without a countdown, onto no screen."""
    return record(RecordOptions(camera, output, **{"countdown_s": 0, "display": "null://", **settings}))


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(folder.glob("*.png"))]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgegan", "record", *arguments]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """30 numbered pictures, 25 a second."""
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture in which nothing ever moves."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    return tmp_path / "photo.png"


# What is stored


def test_a_live_camera_is_stored_whole_and_well_spread(tmp_path: Path) -> None:
    result = recorded("pattern://?rate=50&size=320x240", tmp_path / "rec", count=4, every_s=0.2)
    assert sorted(os.listdir(tmp_path / "rec")) == [*(f"0000000{k}.png" for k in range(1, 5)), "record.json"]
    stamps = [read_stamp(pixels) for pixels in pictures(tmp_path / "rec")]
    times = np.array([stamp.captured_ns for stamp in stamps if stamp is not None]) / 1e9
    assert pictures(tmp_path / "rec")[0].shape == (240, 320, 3)
    assert len(times) == 4
    assert (np.diff(times) >= 0.199).all()
    assert (result["pictures"], result["first"], result["last"]) == (4, "00000001.png", "00000004.png")
    assert result["bytes"] == sum(path.stat().st_size for path in (tmp_path / "rec").glob("*.png"))


def test_pictures_are_those_of_the_camera_to_the_last_bit(clip: Path, tmp_path: Path) -> None:
    recorded(f"file://{clip}?pace=max&crop=contain", tmp_path / "rec", count=5, every_s=0.2)
    camera = FileCamera(str(clip), pace="max")
    wanted = [camera.read(1).pixels for _ in range(30)][:25:5]
    assert all(map(np.array_equal, pictures(tmp_path / "rec"), wanted))


def test_a_file_read_on_demand_is_spread_by_its_own_time_and_nobody_waits(clip: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    result = recorded(f"file://{clip}?pace=max", tmp_path / "rec", every_s=0.4, countdown_s=60)
    assert time.monotonic() - started < 20
    assert [number_in(pixels) for pixels in pictures(tmp_path / "rec")] == [0, 10, 20]
    assert result["ended"] == "the end of the stream"


def test_every_picture_of_a_folder_can_be_taken(clip: Path, tmp_path: Path) -> None:
    assert recorded(f"file://{clip}?pace=max", tmp_path / "rec", every_s=0)["pictures"] == 30


def test_turned_and_mirrored_as_the_generator_sees_it_but_not_cropped(photo: Path, tmp_path: Path) -> None:
    recorded(f"file://{photo}?rotate=90&mirror=1&crop=cover", tmp_path / "rec", count=1)
    (pixels,) = pictures(tmp_path / "rec")
    upright = cv2.rotate(np.asarray(cv2.imread(str(photo))), cv2.ROTATE_90_CLOCKWISE)
    assert np.array_equal(pixels, cv2.flip(upright, 1))


def test_the_manifest_says_where_it_came_from_and_no_password(clip: Path, tmp_path: Path) -> None:
    result = recorded(f"file://{clip}?pace=max", tmp_path / "rec", count=2)
    manifest = json.loads((tmp_path / "rec/record.json").read_text())
    (session,) = manifest["sessions"]
    assert (manifest["format"], manifest["pictures"]) == ("edgegan-recording", 2)
    assert session["camera"] == result["camera"] == f"file://{clip}?pace=max"
    assert session["size"] == [48, 64]
    assert session["rate_hertz"] == 25
    assert "64 x 48" in session["description"]
    assert (session["first"], session["last"]) == ("00000001.png", "00000002.png")
    assert session["ended"] == "2 pictures were taken"


def test_a_password_is_kept_out_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, "rtsp", f"{__name__}:TwoPictures")
    with pytest.raises(CameraError):
        recorded("rtsp://user:hunter2@10.0.0.7/1", tmp_path / "rec", every_s=0)
    text = (tmp_path / "rec/record.json").read_text()
    assert "hunter2" not in text
    assert "rtsp://user:***@10.0.0.7/1" in text


def test_a_password_in_what_the_camera_says_is_kept_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAMERAS, "rtsp", f"{__name__}:Talkative")
    with pytest.raises(CameraError) as caught:
        recorded("rtsp://h/1", tmp_path / "rec", every_s=0, keep_alike=True)
    assert "rtsp://user:***@h/1 is gone (the 2 pictures" in caught.value.message
    assert caught.value.mend == "look at rtsp://user:***@h/1"
    (session,) = json.loads((tmp_path / "rec/record.json").read_text())["sessions"]
    assert session["ended"] == "rtsp://user:***@h/1 is gone"


def test_the_result_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, "rtsp", f"{__name__}:TwoPictures")
    result = recorded("rtsp://user:hunter2@10.0.0.7/1", tmp_path / "rec", count=1)
    assert result["camera"] == "rtsp://user:***@10.0.0.7/1"


def test_only_the_owner_can_look_at_pictures_of_people(clip: Path, tmp_path: Path) -> None:
    recorded(f"file://{clip}?pace=max", tmp_path / "a/rec", count=1)
    assert (tmp_path / "a/rec").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a").stat().st_mode & 0o777 != 0o700


# What is there already


def test_nothing_is_overwritten_and_append_goes_on(clip: Path, tmp_path: Path) -> None:
    uri, folder = f"file://{clip}?pace=max", tmp_path / "rec"
    recorded(uri, folder, count=2)
    before = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    with pytest.raises(UserError, match="holds a recording of 2 pictures already: add --append"):
        recorded(uri, folder, count=2)
    (folder / ".00000003.png.0123abcd.tmp").write_bytes(b"half of what a killed recording wrote")
    result = recorded(uri, folder, count=3, every_s=0.2, append=True)
    assert (result["pictures"], result["first"], result["last"]) == (3, "00000003.png", "00000005.png")
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert sorted(os.listdir(folder)) == [*(f"0000000{k}.png" for k in range(1, 6)), "record.json"]
    manifest = json.loads((folder / "record.json").read_text())
    assert [session["pictures"] for session in manifest["sessions"]] == [2, 3]
    assert manifest["pictures"] == 5


def test_the_manifest_counts_the_pictures_that_are_there(clip: Path, tmp_path: Path) -> None:
    uri, folder = f"file://{clip}?pace=max", tmp_path / "rec"
    recorded(uri, folder, count=3)
    (folder / "00000002.png").unlink()
    result = recorded(uri, folder, count=2, every_s=0.2, append=True)
    assert (result["first"], result["last"]) == ("00000004.png", "00000005.png")
    assert json.loads((folder / "record.json").read_text())["pictures"] == len(pictures(folder)) == 4


def test_append_knows_what_earlier_sessions_saw(clip: Path, photo: Path, tmp_path: Path) -> None:
    recorded(f"file://{photo}?pace=max", tmp_path / "rec", count=1)
    with pytest.raises(CameraError, match="nothing was recorded"):
        recorded(f"file://{photo}?pace=max&loop=1", tmp_path / "rec", append=True)
    manifest = json.loads((tmp_path / "rec/record.json").read_text())
    assert (manifest["pictures"], len(manifest["sessions"])) == (1, 1)
    assert len(pictures(tmp_path / "rec")) == 1


@pytest.mark.parametrize("append", [False, True])
def test_a_folder_of_something_else_is_left_alone(clip: Path, tmp_path: Path, append: bool) -> None:
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec/00000001.png").write_text("precious")
    with pytest.raises(UserError, match="is not empty and holds no recording"):
        recorded(f"file://{clip}?pace=max", tmp_path / "rec", append=append)
    assert (tmp_path / "rec/00000001.png").read_text() == "precious"
    with pytest.raises(UserError, match="cannot record into"):
        recorded(f"file://{clip}?pace=max", tmp_path / "rec/00000001.png", append=append)


def test_a_damaged_manifest_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    recorded(f"file://{clip}?pace=max", tmp_path / "rec", count=2)
    for damage in ("{", "[]", '{"format": "x"}', '{"format": "edgegan-recording", "format_version": 9}'):
        (tmp_path / "rec/record.json").write_text(damage)
        with pytest.raises(UserError, match="is damaged, or from a later edgegan"):
            recorded(f"file://{clip}?pace=max", tmp_path / "rec", append=True)
        assert (tmp_path / "rec/record.json").read_text() == damage


def test_two_recordings_cannot_share_a_folder(clip: Path, tmp_path: Path) -> None:
    with (
        RecordingFolder(tmp_path / "rec"),
        pytest.raises(UserError, match="another recording is going on in"),
    ):
        recorded(f"file://{clip}?pace=max", tmp_path / "rec")
    recorded(f"file://{clip}?pace=max", tmp_path / "rec", count=1)


def test_a_folder_cannot_be_recorded_into_itself(photo: Path) -> None:
    (photo.parent / "empty").mkdir()
    for camera, display in ((f"file://{photo.parent}", None), ("pattern://", f"file://{photo.parent}/")):
        with pytest.raises(UserError, match="is also read, or shown, as"):
            recorded(camera, photo.parent, display=display)


def test_what_is_shown_does_not_go_into_the_recording(tmp_path: Path) -> None:
    for inside in ("rec/shown.mp4", "rec/shown/"):
        with pytest.raises(UserError, match="is also read, or shown, as"):
            recorded("pattern://", tmp_path / "rec", display=f"file://{tmp_path}/{inside}")
    assert os.listdir(tmp_path) == []


def test_a_camera_that_cannot_be_opened_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no pictures at"):
        recorded(f"file://{tmp_path}/nothing.mp4", tmp_path / "a/b/rec")
    assert os.listdir(tmp_path) == []


# Disks


@pytest.mark.parametrize("small_disk", ["size=2m"], indirect=True)
def test_too_little_room_is_said_before_anything_is_written(small_disk: Path) -> None:
    with pytest.raises(UserError, match=r"120 pictures of 0\.\d MB may need \d+ MB, and .* has 2 MB left"):
        recorded("pattern://?pace=max", small_disk / "rec")
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("small_disk", ["size=2m"], indirect=True)
def test_a_disk_that_fills_up_keeps_what_was_recorded(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingFolder, "check_space", lambda *_: None)  # somebody else filled it meanwhile
    with pytest.raises(RecordError, match="No space left on device") as caught:
        recorded("pattern://?pace=max", small_disk / "rec")
    assert caught.value.exit_code == 1
    kept = pictures(small_disk / "rec")
    assert f"the {len(kept)} pictures before that are kept" in caught.value.message
    assert len(kept) > 2
    assert all(read_stamp(pixels) for pixels in kept)
    assert not list((small_disk / "rec").glob(".*"))
    json.loads((small_disk / "rec/record.json").read_text())


@pytest.mark.parametrize("small_disk", ["size=64k"], indirect=True)
def test_a_disk_without_room_for_one_picture_is_left_as_it_was(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingFolder, "check_space", lambda *_: None)  # somebody else filled it meanwhile
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(small_disk.parent / "noise.png"), noise)
    with pytest.raises(RecordError, match="No space left on device") as caught:
        recorded(f"file://{small_disk.parent}/noise.png?pace=max", small_disk)
    assert "kept" not in caught.value.message
    assert os.listdir(small_disk) == []


def test_the_manifest_is_replaced_in_one_step(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(f"file://{clip}?pace=max", tmp_path / "rec", count=2)
    before = (tmp_path / "rec/record.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with RecordingFolder(tmp_path / "rec", append=True) as folder:
        monkeypatch.setattr("edgegan.files.sync", full)
        folder.describe({"first": "00000003.png"})
        assert (tmp_path / "rec/record.json").read_bytes() == before


@pytest.mark.parametrize("small_disk", ["ro"], indirect=True)
def test_a_read_only_disk_is_one_error(small_disk: Path) -> None:
    for folder in (small_disk, small_disk / "rec"):
        with pytest.raises(UserError, match=r"cannot be written to|Read-only file system"):
            recorded("pattern://", folder)


# Scenes and cameras that fail


def test_a_scene_that_stands_still_is_recorded_once_and_ends_by_itself(photo: Path, tmp_path: Path) -> None:
    result = recorded(f"file://{photo}?pace=max&loop=1", tmp_path / "rec")
    assert result["pictures"] == 1
    assert result["skipped"] > 50
    assert "nothing new was seen for 30 s (--keep-alike" in result["ended"]


def test_alike_pictures_are_kept_on_request(photo: Path, tmp_path: Path) -> None:
    result = recorded(f"file://{photo}?pace=max&loop=1", tmp_path / "rec", keep_alike=True, count=7)
    assert (result["pictures"], result["skipped"]) == (7, 0)


class TwoPictures:
    """A camera that breaks after two pictures."""

    live, rate_hertz, description, count = True, 30.0, "rtsp://user:hunter2@10.0.0.7/1, two pictures", 0

    def __init__(self, path: str) -> None:
        self._pattern = PatternCamera(pace="max")

    def read(self, timeout_s: float) -> Frame:
        self.count += 1
        if self.count > 2:
            raise CameraError("the cable was pulled", "push it in")
        return self._pattern.read(timeout_s)

    def close(self) -> None:
        pass


class Talkative(TwoPictures):
    """A camera whose library puts its whole URL into an error."""

    def read(self, timeout_s: float) -> Frame:
        try:
            return super().read(timeout_s)
        except CameraError:
            url = "rtsp://user:hunter2@h/1"
            raise CameraError(f"{url} is gone", f"look at {url}") from None


class Slow(TwoPictures):
    """A network camera that takes long to open."""

    def __init__(self, path: str) -> None:
        Path(path).touch()
        time.sleep(20)


class Silent(TwoPictures):
    """A camera that opens and gives nothing."""

    def read(self, timeout_s: float) -> Frame:
        raise CameraTimeout("nothing")


def test_a_camera_that_breaks_is_an_error_that_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAMERAS, "broken", f"{__name__}:TwoPictures")
    with pytest.raises(CameraError, match=r"cable was pulled \(the 2 pictures before that are kept in"):
        recorded("broken://", tmp_path / "rec", every_s=0, keep_alike=True)
    (session,) = json.loads((tmp_path / "rec/record.json").read_text())["sessions"]
    assert (session["pictures"], session["ended"]) == (2, "the cable was pulled")


class Unplugged(NullDisplay):
    """A screen that is unplugged after ten pictures."""

    count = 0

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        self.count += 1
        if self.count > 10:
            raise DisplayError("the screen is gone", "plug it in")
        return super().show(pixels, captured_ns)


def test_it_does_not_go_on_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DISPLAYS, "unplugged", f"{__name__}:Unplugged")
    with pytest.raises(DisplayError, match=r"screen is gone \(the 11 pictures before that are kept in"):
        recorded("pattern://?pace=max", tmp_path / "rec", every_s=0, keep_alike=True, display="unplugged://")


def test_a_camera_that_gives_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, "silent", f"{__name__}:Silent")
    monkeypatch.setattr("edgegan.record._SILENT_S", 0.2)
    with pytest.raises(CameraError, match=r"the camera gave no picture for \d s"):
        recorded("silent://", tmp_path / "rec")
    assert os.listdir(tmp_path) == []


def test_a_clip_that_ends_during_the_countdown_records_nothing(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="nothing was recorded: the end of the stream: give --countdown 0"):
        recorded(f"file://{clip}", tmp_path / "rec", countdown_s=30)
    assert not (tmp_path / "rec").exists()


# What is shown


def is_red(pixels: np.ndarray) -> int:
    """How many pixels are of the dot's red."""
    return int((np.abs(pixels.astype(int) - (40, 40, 230)).max(axis=2) < 12).sum())


def captured_s(pixels: np.ndarray) -> float:
    stamp = read_stamp(pixels)
    assert stamp is not None
    return stamp.captured_ns / 1e9


def test_the_screen_counts_down_then_shows_a_red_dot_which_is_not_recorded(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    recorded("pattern://?rate=20", tmp_path / "rec", count=3, countdown_s=1, display=f"file://{shown}/")
    frames = pictures(shown)
    red = [is_red(pixels) > 150 for pixels in frames]
    assert all(red[red.index(True) :])
    assert not any(is_red(pixels) > 150 for pixels in pictures(tmp_path / "rec"))
    first, counted = (captured_s(pixels) for pixels in (frames[0], frames[red.index(True) - 1]))
    assert 0.5 < counted - first < 1.0
    assert all(captured_s(pixels) - first >= 0.999 for pixels in pictures(tmp_path / "rec"))
    middle = frames[0][220:270, 100:540].reshape(-1, 3)
    assert (middle.min(axis=1) > 250).sum() > 1500, "white letters in the middle"


def test_where_nothing_moves_the_screen_says_so(photo: Path, tmp_path: Path) -> None:
    told: list[str] = []
    options = RecordOptions(
        f"file://{photo}?pace=max&loop=1", tmp_path / "rec", countdown_s=0, display="null://"
    )
    record(options, lambda what, _share: told.append(what))
    assert "1 of 120" in told
    assert "1 of 120: nothing moves" in told


def test_it_looks_again_every_half_second_where_nothing_moves(photo: Path, tmp_path: Path) -> None:
    result = recorded(f"file://{photo}?pace=max&loop=1", tmp_path / "rec", every_s=2)
    assert 65 < result["skipped"] < 85  # in 40 s; a clip of 25 pictures a second is looked at every 0.52 s


@pytest.mark.parametrize(("size", "shown"), [((2160, 3840), (1080, 1920)), ((480, 640), (480, 640))])
def test_a_large_picture_is_made_smaller_for_the_screen(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert captioned(np.zeros((*size, 3), np.uint8), Caption("1 of 2")).shape == (*shown, 3)


@pytest.mark.parametrize("display", ["null://", "file://{}/shown/"])
def test_a_display_that_nobody_sees_is_said_to_be_one(
    clip: Path, tmp_path: Path, display: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(f"file://{clip}?pace=max", tmp_path / "rec", count=1, display=display.format(tmp_path))
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "nobody sees that it records" in warning.getMessage()


def test_a_desktop_that_is_gone_is_said_and_it_records(tmp_path: Path, clip: Path) -> None:
    pytest.importorskip("sdl2")
    environment = {**os.environ, "DISPLAY": ":999"}
    environment.pop("WAYLAND_DISPLAY", None)
    arguments = ("--camera", f"file://{clip}?pace=max", "-o", str(tmp_path / "rec"), "--count", "2")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "WARNING edgegan.display: no window, so nobody sees that it records" in done.stderr


def test_without_a_screen_it_says_so(tmp_path: Path, clip: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    arguments = ("--camera", f"file://{clip}?pace=max", "-o", str(tmp_path / "rec"), "--count", "2")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "WARNING edgegan.display: there is no screen here, so nobody sees that it records" in done.stderr
    assert done.stdout.startswith("2 pictures in")


@pytest.mark.usefixtures("x11")
def test_in_the_window_esc_ends_it_and_keeps_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("edgegan.display.window")
    arguments = ("--camera", "pattern://", "-o", str(tmp_path / "rec"), "--countdown", "0", "--json")
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 30
        while is_red(screenshot()) < 150 and time.monotonic() < end:
            time.sleep(0.1)
        subprocess.run(["xdotool", "key", "Escape"], check=True)
        out, err = process.communicate(timeout=30)
    result = json.loads(out)
    assert process.returncode == 0
    assert result["ended"] == "the window was closed"
    assert result["pictures"] == len(pictures(tmp_path / "rec")) > 0
    assert b"of 120 pictures: the window was closed" in err


# Ctrl-C


def interrupted(tmp_path: Path, countdown: str, until: Any) -> "subprocess.CompletedProcess[str]":
    arguments = ("--camera", "pattern://", "-o", str(tmp_path / "rec"), "--display", "null://", "--json")
    with subprocess.Popen(
        command(*arguments, "--countdown", countdown),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 30
        while not until() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_ctrl_c_keeps_what_is_there_and_is_no_failure(tmp_path: Path) -> None:
    done = interrupted(tmp_path, "0", (tmp_path / "rec/00000002.png").exists)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == len(pictures(tmp_path / "rec")) >= 2
    assert "of 120 pictures: SIGINT was received" in done.stderr
    assert json.loads((tmp_path / "rec/record.json").read_text())["sessions"][0]["ended"]


def test_ctrl_c_during_the_countdown_leaves_nothing(tmp_path: Path) -> None:
    def opened() -> bool:
        time.sleep(1.5)
        return (tmp_path / "rec").exists()

    done = interrupted(tmp_path, "60", opened)
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["message"] == "interrupted"
    assert os.listdir(tmp_path) == []


class Hung(TwoPictures):
    """A camera whose driver never comes back after the second picture."""

    def read(self, timeout_s: float) -> Frame:
        self.count += 1
        while self.count > 2:
            time.sleep(1)  # goes on after a signal, as a library in C would
        return self._pattern.read(timeout_s)


class HungAtOnce(Hung):
    """A camera whose driver never gives a picture."""

    count = 2


HUNG = """
import sys
from edgegan.cli import main
from edgegan.registry import CAMERAS
CAMERAS["hung"] = "tests.record.test_record:Hung"
sys.exit(main(["record", "--camera", "hung://", "--display", "null://", "--countdown", "0", "--every", "0",
    "--keep-alike", "-o", sys.argv[1]]))
"""


def ended(script: str, *arguments: str, at: Path, after_s: float = 0.0) -> "subprocess.CompletedProcess[str]":
    """Run a script of this project and send it SIGINT as soon as a file is there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        while not at.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, "", err)


SLOW_DISK = """
import sys, time
from edgegan import files
from edgegan.cli import main
sync = files.sync
def stall(descriptor):
    time.sleep(float(sys.argv[2]))
    sync(descriptor)
files.sync = stall
sys.exit(main(["record", "--camera", "pattern://", "--display", "null://", "--countdown", "0", "--every", "0",
    "--keep-alike", "-o", sys.argv[1]]))
"""


@pytest.mark.parametrize("picture", [1, 2])
def test_a_disk_that_stalls_is_no_hang(tmp_path: Path, picture: int) -> None:
    at = tmp_path / f"rec/{picture:08d}.png"
    done = ended(SLOW_DISK, str(tmp_path / "rec"), "1.3", at=at)
    assert done.returncode == 0, done.stderr
    assert "does not answer" not in done.stderr
    manifest = json.loads((tmp_path / "rec/record.json").read_text())
    assert (
        manifest["pictures"]
        == manifest["sessions"][0]["pictures"]
        == len(pictures(tmp_path / "rec"))
        >= picture
    )
    assert manifest["sessions"][0]["ended"] == "SIGINT was received"
    assert not list((tmp_path / "rec").glob(".*"))


STOPPED_DISK = SLOW_DISK.replace(
    "time.sleep(float(sys.argv[2]))",
    "time.sleep(1e9 if threading.current_thread() is threading.main_thread() and exists(sys.argv[2]) else 0)",
).replace(
    "import sys, time",
    "import sys, threading, time\nfrom os.path import exists\nfrom edgegan import signals\n"
    "signals._DISK_PATIENCE_S = 2",
)


def test_a_disk_that_stops_is_left_and_what_has_its_name_is_counted(tmp_path: Path) -> None:
    at = tmp_path / "rec/00000002.png"
    done = ended(STOPPED_DISK, str(tmp_path / "rec"), str(at), at=at)
    assert done.returncode == 1
    assert "the disk does not answer" in done.stderr
    manifest = json.loads((tmp_path / "rec/record.json").read_text())
    assert manifest["pictures"] == manifest["sessions"][0]["pictures"] == len(pictures(tmp_path / "rec")) == 2
    assert manifest["sessions"][0]["ended"]
    assert not list((tmp_path / "rec").glob(".*"))


SLOW_CAMERA = """
import sys
from edgegan.cli import main
from edgegan.registry import CAMERAS
CAMERAS["slow"] = "tests.record.test_record:Slow"
sys.exit(main(["record", "--camera", f"slow://{sys.argv[2]}", "--display", "null://", "-o", sys.argv[1]]))
"""


def test_ctrl_c_while_a_camera_opens_leaves_nothing(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    started = time.monotonic()
    done = ended(SLOW_CAMERA, str(tmp_path / "rec"), str(begun), at=begun)
    assert time.monotonic() - started < 15
    assert done.returncode == 130, done.stderr
    assert "does not answer" not in done.stderr
    assert os.listdir(tmp_path) == ["begun"]


def test_ctrl_c_leaves_a_camera_that_hangs_before_the_first_picture_and_no_folder(tmp_path: Path) -> None:
    script = HUNG.replace(":Hung", ":HungAtOnce")
    done = ended(script, str(tmp_path / "rec"), at=tmp_path / "rec", after_s=2)
    assert done.returncode == 1
    assert os.listdir(tmp_path) == []


def test_ctrl_c_leaves_a_camera_that_hangs(tmp_path: Path) -> None:
    done = ended(HUNG, str(tmp_path / "rec"), at=tmp_path / "rec/00000002.png", after_s=0.5)
    assert done.returncode == 1
    assert "the screen, a camera or its driver does not answer" in done.stderr
    (session,) = json.loads((tmp_path / "rec/record.json").read_text())["sessions"]
    assert session["pictures"] == len(pictures(tmp_path / "rec")) == 2


def test_a_kill_leaves_whole_pictures_and_a_manifest(tmp_path: Path) -> None:
    arguments = ("--camera", "pattern://", "-o", str(tmp_path / "rec"), "--display", "null://")
    with subprocess.Popen(command(*arguments, "--every", "0", "--countdown", "0", "--keep-alike")) as process:
        while not (tmp_path / "rec/00000009.png").exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert all(read_stamp(pixels) for pixels in pictures(tmp_path / "rec"))
    assert json.loads((tmp_path / "rec/record.json").read_text())["sessions"][0]["ended"] is None
    recorded("pattern://?pace=max", tmp_path / "rec", count=1, append=True)
    assert not list((tmp_path / "rec").glob(".*"))
