"""Videos and numbered pictures, also when the disk is full or the process is killed."""

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from edgegan.camera.file import FileCamera
from edgegan.camera.pattern import PatternCamera, read_stamp
from edgegan.display.file import FileDisplay
from edgegan.errors import ConfigError, DisplayError, EndOfStream
from edgegan.frame import Frame
from edgegan.registry import Size
from tests.camera.conftest import without_rights


def stamped(count: int, size: tuple[int, int] = (128, 128)) -> list[Frame]:
    camera = PatternCamera(size=Size(size), pace="max")
    return [camera.read(1.0) for _ in range(count)]


def sequences(file: Path) -> list[int | None]:
    """The stamps in a video."""
    camera = FileCamera(str(file), pace="max")
    found: list[int | None] = []
    while True:
        try:
            stamp = read_stamp(camera.read(1.0).pixels)
        except EndOfStream:
            return found
        found.append(stamp.sequence if stamp else None)


def times_s(file: Path) -> list[float]:
    with av.open(str(file)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(video=0)]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every video counts as a large one."""
    monkeypatch.setattr("edgegan.video._COPIED_BYTES", 0)


def test_every_picture_arrives_in_its_order_and_at_its_time(tmp_path: Path) -> None:
    frames = stamped(40)
    captured = np.cumsum([0, *np.random.default_rng(0).integers(5, 90, 39)]) * 1_000_000 + 10**12
    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        for frame, captured_ns in zip(frames, captured, strict=True):
            display.show(frame.pixels, int(captured_ns))
        assert [p.name for p in tmp_path.iterdir()] == ["out.mp4.part"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert sequences(tmp_path / "out.mp4") == list(range(40))
    np.testing.assert_allclose(times_s(tmp_path / "out.mp4"), (captured - captured[0]) / 1e9, atol=2e-5)


def test_a_rate_replaces_the_times_of_capture(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4", rate=12.5)) as display:
        for frame in stamped(10):
            display.show(frame.pixels, frame.captured_ns)
    np.testing.assert_allclose(times_s(tmp_path / "out.mp4"), np.arange(10) / 12.5, atol=2e-5)


def test_times_that_stand_still_or_run_back_are_borne(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        for frame, captured_ns in zip(stamped(5), (500, 500, 100, 10**8, 10**8), strict=True):
            display.show(frame.pixels, captured_ns)
    assert sequences(tmp_path / "out.mp4") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [(129, 131), (128, 131), (129, 128)])
def test_odd_sizes_get_one_more_line(tmp_path: Path, size: tuple[int, int]) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        for frame in stamped(3, size):
            display.show(frame.pixels, frame.captured_ns)
    assert sequences(tmp_path / "out.mp4") == [0, 1, 2]


def test_colours_are_kept(tmp_path: Path) -> None:
    colours = [(200, 40, 30), (30, 180, 60), (40, 50, 220), (128, 128, 128)]
    with closing(FileDisplay(f"{tmp_path}/out.mp4", rate=10)) as display:
        for colour in colours:
            display.show(np.full((64, 64, 3), colour, np.uint8), 0)
    camera = FileCamera(f"{tmp_path}/out.mp4", pace="max")
    for colour in colours:
        assert np.abs(camera.read(1.0).pixels.mean(axis=(0, 1)) - colour).max() < 4


def test_size_scales_with_bars(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4", size=Size((120, 320)), rate=10)) as display:
        display.show(np.full((64, 64, 3), 200, np.uint8), 0)
    pixels = FileCamera(f"{tmp_path}/out.mp4", pace="max").read(1.0).pixels
    assert pixels.shape == (120, 320, 3)
    assert pixels[:, :95].max() < 20
    assert pixels[:, 105:215].min() > 180


def test_nothing_shown_nothing_written(tmp_path: Path) -> None:
    FileDisplay(f"{tmp_path}/out.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_the_index_comes_first(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4", rate=10)) as display:
        for frame in stamped(70):
            display.show(frame.pixels, frame.captured_ns)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


def test_a_large_video_is_not_copied(tmp_path: Path, large: None) -> None:
    display = FileDisplay(f"{tmp_path}/out.mp4", rate=10)
    for frame in stamped(70):
        display.show(frame.pixels, frame.captured_ns)
    inode = (tmp_path / "out.mp4.part").stat().st_ino
    display.close()
    assert [(p.name, p.stat().st_ino) for p in tmp_path.iterdir()] == [("out.mp4", inode)]
    assert sequences(tmp_path / "out.mp4") == list(range(70))
    np.testing.assert_allclose(times_s(tmp_path / "out.mp4"), np.arange(70) / 10, atol=2e-5)


def test_what_a_kill_leaves_can_be_played(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from edgegan.camera.pattern import PatternCamera\n"
        "from edgegan.display.file import FileDisplay\n"
        "camera = PatternCamera(size=(128, 128), pace='max')\n"
        "display = FileDisplay(sys.argv[1], rate=30)\n"
        "for _ in range(100):\n"
        "    frame = camera.read(1.0)\n"
        "    display.show(frame.pixels, frame.captured_ns)\n"
        "print('shown', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, f"{tmp_path}/out.mp4"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "shown\n"
        process.kill()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4.part"]
    found = sequences((tmp_path / "out.mp4.part").rename(tmp_path / "left.mp4"))
    assert found == list(range(len(found)))
    assert len(found) >= 60


def test_a_full_disk_is_said_once_and_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "out.mp4.part").symlink_to("/dev/full")
    display = FileDisplay(f"{tmp_path}/out.mp4")
    shown = (display.show(frame.pixels, frame.captured_ns) for frame in stamped(100))
    with pytest.raises(DisplayError, match=r"out\.mp4': No space left.*free some space"):
        list(shown)
    display.close()
    assert not (tmp_path / "out.mp4").exists()


def test_a_disk_that_fills_up_while_closing(tmp_path: Path) -> None:
    (tmp_path / "out.mp4.whole").symlink_to("/dev/full")
    display = FileDisplay(f"{tmp_path}/out.mp4")
    for frame in stamped(10):
        display.show(frame.pixels, frame.captured_ns)
    with pytest.raises(DisplayError, match=r"No space left.*kept in '.*out\.mp4\.part'"):
        display.close()
    display.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4.part"]


@pytest.mark.parametrize(
    "path", ["missing/out.mp4", "missing/frames/", "out.avi", "out", "folder.mp4", "file/"]
)
def test_a_wrong_path_is_refused_at_once(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder.mp4.part").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        FileDisplay(f"{tmp_path}/{path}")
    assert caught.value.mend


@pytest.mark.parametrize("rights", [0o500, 0o000])
@pytest.mark.parametrize("path", ["out.mp4", "frames/", ""])
def test_a_folder_without_rights_is_refused_at_once(path: str, rights: int) -> None:
    with without_rights() as folder:
        folder.chmod(rights)
        with pytest.raises(ConfigError, match="Permission denied"):
            FileDisplay(f"{folder}/{path}")


@pytest.mark.parametrize("path", ["x" * 300 + ".mp4", "x" * 300 + "/", "~nosuchuser/out.mp4"])
def test_a_path_that_no_file_can_have_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="cannot write '"):
        FileDisplay(path)


@pytest.mark.parametrize(
    "error",
    [
        av.error.ExternalError(1, "Generic error in an external library"),
        av.error.UnknownError(1, "Unknown error occurred"),
        av.error.EncoderNotFoundError(1, "Encoder not found"),
        MemoryError(),
        cv2.error("Insufficient memory"),
    ],
)
def test_whatever_the_encoder_says_is_the_displays_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        monkeypatch.setattr("edgegan.video.Video._encoder", refuse)
        with pytest.raises(DisplayError, match=r"out\.mp4': \w+"):
            display.show(stamped(1)[0].pixels, 0)
    assert list(tmp_path.iterdir()) == []


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    for options in ({"crf": 99}, {"rate": 0.0}, {"rate": 1e-300}):
        with pytest.raises(ConfigError):
            FileDisplay(f"{tmp_path}/out.mp4", **options)


def test_numbered_pictures(tmp_path: Path) -> None:
    frames = stamped(3)
    with closing(FileDisplay(f"{tmp_path}/frames/")) as display:
        for frame in frames:
            display.show(frame.pixels, frame.captured_ns)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == [f"0000000{n}.png" for n in (1, 2, 3)]
    read = cv2.imread(f"{tmp_path}/frames/00000002.png")
    assert read is not None
    np.testing.assert_array_equal(read, frames[1].pixels)


def test_the_slowest_rate_makes_a_video(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4", rate=0.01)) as display:
        for frame in stamped(3):
            display.show(frame.pixels, 0)
    assert times_s(tmp_path / "out.mp4") == [0, 100, 200]


def test_without_a_picture_there_is_no_folder(tmp_path: Path) -> None:
    FileDisplay(f"{tmp_path}/frames/").close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    FileDisplay(f"{tmp_path}/mine/").close()
    assert (tmp_path / "mine").is_dir()


def test_pictures_of_two_runs_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "00000001.png").touch()
    with pytest.raises(ConfigError, match="not empty"):
        FileDisplay(f"{tmp_path}/")


def test_pictures_on_a_full_disk(tmp_path: Path) -> None:
    display = FileDisplay(f"{tmp_path}/")
    (tmp_path / ".part").symlink_to("/dev/full")
    with pytest.raises(DisplayError, match="No space left"):
        display.show(stamped(1)[0].pixels, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["small", "large"])
def test_a_browser_plays_it(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed: apt install chromium")
    if kind == "large":
        request.getfixturevalue("large")
    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        for number, frame in enumerate(stamped(50)):
            display.show(frame.pixels, number * 33_000_000)
    (tmp_path / "page.html").write_text(
        "<video id=v muted autoplay src=out.mp4></video><script>"
        "v.onended = () => fetch(`/played-${v.videoWidth}x${v.videoHeight}-${v.currentTime > 1.5}`);"
        "v.onerror = () => fetch('/failed-' + encodeURIComponent(v.error.message));</script>"
    )
    answers: queue.Queue[str] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            if self.path.startswith(("/played", "/failed")):
                answers.put(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
        ]
        command += ["--remote-debugging-port=0", f"http://127.0.0.1:{server.server_port}/page.html"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                assert answers.get(timeout=40) == "/played-128x128-true"
            finally:
                process.terminate()
                server.shutdown()


def test_long_recordings_take_no_more_memory(tmp_path: Path) -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    frames = stamped(30)
    with closing(FileDisplay(f"{tmp_path}/out.mp4", rate=30)) as display:
        for number in range(90):
            display.show(frames[number % 30].pixels, 0)
        before = resident_bytes()
        for number in range(900):
            display.show(frames[number % 30].pixels, 0)
        assert resident_bytes() - before < 4 * 2**20


def test_show_says_when_it_was_written(tmp_path: Path) -> None:
    with closing(FileDisplay(f"{tmp_path}/out.mp4")) as display:
        before_ns = time.monotonic_ns()
        assert before_ns < display.show(stamped(1)[0].pixels, 5) <= time.monotonic_ns()
