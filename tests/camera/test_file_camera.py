"""A clip or a folder of pictures as a camera, and what is wrong with some of them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgegan.camera.file import FileCamera
from edgegan.errors import CameraError, ConfigError, EndOfStream
from edgegan.registry import Size
from tests.camera.conftest import CLIP_LENGTH, number_in, numbered_picture, without_rights, write_clip


def numbers(camera: FileCamera, count: int) -> list[int]:
    return [number_in(camera.read(1.0).pixels) for _ in range(count)]


def read_to_the_end(camera: FileCamera) -> int:
    count = 0
    while True:
        camera.read(1.0)
        count += 1


def test_every_picture_of_a_clip_in_its_order(clip: Path) -> None:
    camera = FileCamera(str(clip), pace="max")
    assert numbers(camera, CLIP_LENGTH) == list(range(CLIP_LENGTH))
    with pytest.raises(EndOfStream):
        camera.read(1.0)


def test_a_folder_is_sorted_as_people_count(photos: Path) -> None:
    camera = FileCamera(f"{photos}/", pace="max")
    assert camera.rate_hertz == 25
    assert numbers(camera, 12) == list(range(12))
    with pytest.raises(EndOfStream):
        camera.read(1.0)


def test_one_picture_can_be_held(photos: Path) -> None:
    camera = FileCamera(str(photos / "7.png"), pace="max", loop=True)
    assert numbers(camera, 3) == [6, 6, 6]


@pytest.mark.parametrize("length", [1, CLIP_LENGTH])
def test_a_loop_goes_on_counting(tmp_path: Path, length: int) -> None:
    camera = FileCamera(str(write_clip(tmp_path / "x.mp4", length)), pace="max", loop=True)
    frames = [camera.read(1.0) for _ in range(2 * length + 1)]
    assert [f.sequence for f in frames] == list(range(2 * length + 1))
    assert [number_in(f.pixels) for f in frames] == [*range(length), *range(length), 0]


def test_skipping_goes_on_over_the_end_of_a_loop(clip: Path) -> None:
    camera = FileCamera(str(clip), loop=True, rate=100)
    camera.read(1.0)
    time.sleep(0.45)
    frame = camera.read(1.0)
    assert frame.sequence >= 45
    assert number_in(frame.pixels) == frame.sequence % CLIP_LENGTH


def test_skipping_on_demand_ends_where_reading_would(clip: Path) -> None:
    camera = FileCamera(str(clip), pace="max")
    camera.skip(CLIP_LENGTH - 1)
    assert number_in(camera.read(1.0).pixels) == CLIP_LENGTH - 1
    camera.skip(5)
    with pytest.raises(EndOfStream):
        camera.read(1.0)


def test_hours_of_a_loop_are_skipped_at_once(clip: Path) -> None:
    camera = FileCamera(str(clip), pace="max", loop=True)
    camera.read(1.0)
    started = time.monotonic()
    camera.skip(10**9)
    frame = camera.read(1.0)
    assert time.monotonic() - started < 5
    assert frame.sequence == 10**9 + 1
    assert number_in(frame.pixels) == frame.sequence % CLIP_LENGTH


def test_a_late_reader_of_photos_gets_the_picture_that_is_due(photos: Path) -> None:
    camera = FileCamera(str(photos), loop=True, rate=100)
    for _ in range(5):
        time.sleep(0.073)
        frame = camera.read(1.0)
        assert number_in(frame.pixels) == frame.sequence % 12


def test_the_clip_ends_at_its_time_also_for_a_late_reader(clip: Path) -> None:
    camera = FileCamera(str(clip), rate=100)
    camera.read(1.0)
    time.sleep(0.4)
    with pytest.raises(EndOfStream):
        camera.read(1.0)


def test_after_a_long_pause_the_clip_goes_on_where_it_was(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = FileCamera(str(clip), loop=True, rate=1000)
    camera.read(1.0)
    skip = camera._source.skip

    def slow_skip() -> bool:
        time.sleep(0.02)
        return skip()

    monkeypatch.setattr(camera._source, "skip", slow_skip)
    time.sleep(0.3)
    started = time.monotonic()
    frame = camera.read(1.0)
    assert time.monotonic() - started < 1.0
    assert frame.sequence < 100


def test_scaled_pictures_keep_their_proportions(clip: Path) -> None:
    pixels = FileCamera(str(clip), size=Size((96, 96)), pace="max").read(1.0).pixels
    assert pixels.shape == (96, 96, 3)


def test_a_real_clip(models: Path) -> None:
    camera = FileCamera(str(models / "video" / "bikes_640x272_25fps.mp4"), pace="max")
    assert camera.rate_hertz == 25
    assert camera.read(1.0).pixels.shape == (272, 640, 3)
    with pytest.raises(EndOfStream):
        read_to_the_end(camera)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_clip_that_breaks_off_is_an_error(tmp_path: Path, name: str) -> None:
    whole = write_clip(tmp_path / name, 60)
    half = tmp_path / f"half_{name}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(CameraError, match=r"breaks off after \d+ of about 60") as caught:
        read_to_the_end(FileCamera(str(half), pace="max"))
    assert not isinstance(caught.value, EndOfStream)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "mov"])
def test_a_whole_clip_ends_well_in_every_container(tmp_path: Path, suffix: str) -> None:
    camera = FileCamera(str(write_clip(tmp_path / f"clip.{suffix}", options={})), pace="max")
    with pytest.raises(EndOfStream):
        read_to_the_end(camera)


def test_what_is_no_clip_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is text\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.jpg").write_text("this is text\n")
    for name in ("text.mp4", "empty.mp4", "folder", "missing.mp4"):
        with pytest.raises(ConfigError) as caught:
            FileCamera(str(tmp_path / name))
        assert name in caught.value.message
        assert caught.value.mend
    with pytest.raises(CameraError, match=r"text.jpg"):
        FileCamera(str(tmp_path / "text.jpg")).read(1.0)
    with pytest.raises(ConfigError):
        FileCamera("")


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.jpg"), numbered_picture(1))
    (tmp_path / "2.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:100])
    camera = FileCamera(str(tmp_path), pace="max")
    camera.read(1.0)
    with pytest.raises(CameraError, match=r"2.jpg"):
        camera.read(1.0)


@pytest.mark.parametrize("path", ["~nosuchuser/b.mp4", "x" * 300 + ".mp4", "x" * 300 + "/"])
def test_a_path_that_no_file_can_have_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot read '"):
        FileCamera(path)


@pytest.mark.parametrize("name", ["clip.mp4", "1.png", "folder", "folder/clip.mp4"])
def test_what_may_not_be_read_is_refused(name: str) -> None:
    with without_rights() as folder:
        (folder / "folder").mkdir()
        for file in ("clip.mp4", "1.png", "folder/clip.mp4"):
            (folder / file).touch(0o000)
        (folder / "folder").chmod(0o000)
        with pytest.raises(ConfigError, match="Permission denied"):
            FileCamera(str(folder / name))


@pytest.mark.timeout(20)
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("pipe.mp4", "1.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ConfigError, match="device or a pipe"):
            FileCamera(str(tmp_path / name))
    with pytest.raises(ConfigError, match="device or a pipe"):
        FileCamera("/dev/zero")
    with pytest.raises(ConfigError, match="holds no pictures"):
        FileCamera(str(tmp_path))


def test_a_clip_that_is_removed_while_it_loops_is_said_to_be_gone(clip: Path, tmp_path: Path) -> None:
    copy = shutil.copy(clip, tmp_path / "copy.mp4")
    camera = FileCamera(str(copy), pace="max", loop=True)
    copy.unlink()
    assert numbers(camera, CLIP_LENGTH) == list(range(CLIP_LENGTH))
    with pytest.raises(CameraError, match=r"copy.mp4' is gone"):
        camera.read(1.0)


def test_a_picture_of_absurd_size_is_refused(clip: Path) -> None:
    with pytest.raises(ConfigError, match="4096"):
        FileCamera(str(clip), size=Size((16384, 16384)))


def test_portable_pixmaps_are_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.ppm"), numbered_picture(9))
    assert numbers(FileCamera(str(tmp_path), pace="max"), 1) == [9]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e-300])
def test_an_impossible_rate_is_refused(clip: Path, rate: float) -> None:
    with pytest.raises(ConfigError):
        FileCamera(str(clip), rate=rate)


def test_the_libraries_keep_silent(tmp_path: Path) -> None:
    """OpenCV and FFmpeg print on stderr behind Python's back, so only a process of its own shows it."""
    whole = write_clip(tmp_path / "clip.mp4", 60)
    (tmp_path / "half.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    (tmp_path / "text.mp4").write_text("this is text\n" * 100)
    script = (
        "import sys\n"
        "from edgegan.camera.file import FileCamera\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        camera = FileCamera(path, pace='max')\n"
        "        while True: camera.read(1.0)\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "    except ValueError as error: print(type(error).__name__)\n"
    )
    paths = [str(tmp_path / name) for name in ("clip.mp4", "half.mp4", "text.mp4")]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["EndOfStream", "CameraError", "ConfigError"]
    assert done.stderr == ""


def test_photos_of_every_size_are_framed_alike(tmp_path: Path) -> None:
    for number, shape in enumerate([(50, 80, 3), (80, 50, 3), (64, 64)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full(shape, 99, np.uint8))
    camera = FileCamera(str(tmp_path), pace="max", size=Size((32, 32)))
    assert {camera.read(1.0).pixels.shape for _ in range(3)} == {(32, 32, 3)}
