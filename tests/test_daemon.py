"""Daemon and worker together, with real processes: what a person at the screen and at the keyboard meets."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import psutil
import pytest

import edgegan
from edgegan import registry
from edgegan.camera.pattern import PatternCamera, read_stamp
from edgegan.config import load_config
from edgegan.daemon import Daemon, _in_words, run
from edgegan.display.scaling import Scaler
from edgegan.errors import CameraError, ConfigError, DisplayError, GeneratorError, UserError
from edgegan.frame import Pixels
from edgegan.plan import plan_from_config
from edgegan.signals import Signals
from edgegan.telemetry.trace import read_events, summarise

FULL = bool(os.environ.get("EDGEGAN_FULL"))
SQUARE = "passthrough://?size=256x256"


class ProbeDisplay:
    """Reads the stamp of each picture after scaling it to a screen, as a camera in front of the screen would."""

    poll_interval_s: float | None = None
    description = "probe"
    shown: ClassVar[list[tuple[int, int, int]]] = []  # sequence, captured_ns, shown_ns

    def __init__(self, path: str = "") -> None:
        self._scaler = Scaler((1080, 1920))

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        scaled = self._scaler(pixels)
        shown_ns = time.monotonic_ns()
        stamp = read_stamp(scaled)
        assert stamp is not None, "a picture without a legible stamp was shown"
        self.shown.append((stamp.sequence, stamp.captured_ns, shown_ns))
        return shown_ns

    def poll(self) -> bool:
        return True

    def close(self) -> None:
        pass


class BrokenDisplay(ProbeDisplay):
    """Fails after three pictures."""

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        if len(self.shown) == 3:
            raise DisplayError("the cable was pulled", "plug it in")
        return super().show(pixels, captured_ns)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int, int]]]:
    own = {"probe": f"{__name__}:ProbeDisplay", "broken": f"{__name__}:BrokenDisplay"}
    monkeypatch.setattr(registry, "DISPLAYS", {**registry.DISPLAYS, **own})
    for module in ("edgegan.daemon", "edgegan.config"):
        monkeypatch.setattr(f"{module}.DISPLAYS", registry.DISPLAYS, raising=False)
    ProbeDisplay.shown.clear()
    yield ProbeDisplay.shown
    assert not workers_left(), "a worker is still running"


def workers_left() -> list[int]:
    return [
        p.pid for p in psutil.Process().children(recursive=True) if "edgegan.worker" in " ".join(p.cmdline())
    ]


def is_running(pid: int) -> bool:
    """False for a dead process, also for one that nobody has reaped yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def config(**values: Any) -> Any:
    defaults = {"camera": "pattern://?rate=60", "generator": SQUARE, "displays": ["null://"], "seconds": 20.0}
    # The schema knows the shipped drivers alone, so a probe is put in after it was checked.
    displays = values.pop("displays", defaults["displays"])
    checked = load_config(None, {**defaults, **values, "displays": ["null://"]})
    return checked.model_copy(update={"displays": tuple(displays)})


def stamped_clip(path: Path, frames: int) -> None:
    camera = PatternCamera(pace="max")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (640, 480))
    for _ in range(frames):
        writer.write(np.array(camera.read(1).pixels))
    writer.release()


def test_every_frame_of_a_file_on_demand_is_shown_in_order(tmp_path: Path, probe: list[Any]) -> None:
    stamped_clip(tmp_path / "clip.mp4", 120)
    summary = run(config(camera=f"file://{tmp_path}/clip.mp4?pace=max", displays=["probe://"]))
    assert [sequence for sequence, _, _ in probe] == list(range(120))
    assert (summary["frames"], summary["dropped"], summary["ended"]) == (120, 0, "the end of the stream")


def test_every_frame_of_a_file_on_demand_is_in_the_video_file(tmp_path: Path) -> None:
    stamped_clip(tmp_path / "clip.mp4", 75)
    displays = [f"file://{tmp_path}/out.mp4?size=480x480"]
    run(config(camera=f"file://{tmp_path}/clip.mp4?pace=max", displays=displays))
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    sequences = []
    while (read := capture.read())[0]:
        stamp = read_stamp(np.asarray(read[1], np.uint8))
        sequences.append(stamp.sequence if stamp else None)
    assert sequences == list(range(75))


def test_latency_in_the_pixels_agrees_with_the_trace(tmp_path: Path, probe: list[Any]) -> None:
    """p95 at most 2.2 times the generator's median and one camera period, read from the shown pixels."""
    generator = "passthrough://?size=256x256&delay_ms=25"
    values = {"camera": "pattern://?rate=30", "generator": generator, "trace.file": str(tmp_path / "t")}
    run(config(**values, displays=["probe://"], frames=150))
    in_pixels = np.array([(shown - captured) / 1e6 for _, captured, shown in probe])
    summary = summarise(tmp_path / "t")
    assert np.median(in_pixels) == pytest.approx(summary["end_to_end_ms"]["p50"], abs=0.5)
    assert np.percentile(in_pixels, 95) == pytest.approx(summary["end_to_end_ms"]["p95"], abs=1.5)
    assert np.percentile(in_pixels, 95) <= 2.2 * summary["stages_ms"]["infer"]["p50"] + 1000 / 30


def test_drops_are_counted_from_the_sequence(tmp_path: Path, probe: list[Any]) -> None:
    values = {"camera": "pattern://?rate=100", "generator": "passthrough://?size=256x256&delay_ms=25"}
    summary = run(config(**values, displays=["probe://"], frames=40))
    sequences = [sequence for sequence, _, _ in probe]
    assert summary["dropped"] == sequences[-1] - sequences[0] + 1 - 40 > 40


def test_who_paints_a_file_into_a_file_is_told_how_to_lose_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stamped_clip(tmp_path / "clip.mp4", 30)
    values = {
        "camera": f"file://{tmp_path}/clip.mp4",
        "generator": "passthrough://?size=256x256&delay_ms=100",
    }
    run(config(**values, displays=["null://"]))
    assert "pace=max" not in caplog.text
    run(config(**values, displays=[f"file://{tmp_path}/out.mp4"]))
    assert "pace=max" in caplog.text


def killed_at_random(count: int, trace: Path) -> dict[str, Any]:
    """A run whose worker is killed `count` times at random instants, each time before or after it has drawn."""
    values = {"worker.restart_backoff_seconds": 0.01, "worker.restart_backoff_limit_seconds": 0.01}
    plan = plan_from_config(
        config(**values, seconds=3600.0, **{"trace.file": str(trace)}, displays=["probe://"])
    )
    chance = random.Random(7)
    with Signals() as signals, Daemon(plan, signals) as daemon:

        def kill() -> None:
            for _ in range(count):
                time.sleep(chance.uniform(0.05, 1.2))
                while not workers_left():
                    time.sleep(0.01)
                with suppress(IndexError, ProcessLookupError, psutil.NoSuchProcess):  # it may just have ended
                    os.kill(workers_left()[0], signal.SIGKILL)
            time.sleep(1.5)
            daemon._ended = "enough"

        killer = threading.Thread(target=kill)
        killer.start()
        daemon.loop()
        killer.join()
    return daemon.summary()


def test_a_killed_worker_is_replaced_and_leaves_nothing(
    tmp_path: Path, probe: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    descriptors, shared = len(os.listdir("/proc/self/fd")), set(os.listdir("/dev/shm"))
    count = 100 if FULL else 8
    with caplog.at_level(logging.ERROR):
        summary = killed_at_random(count, tmp_path / "t")
    assert count * 0.8 <= summary["worker_restarts"] <= count
    assert "it was killed by SIGKILL" in caplog.text
    assert len(probe) == summary["frames"] > 0, "the display failed, or showed a torn picture"
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert set(os.listdir("/dev/shm")) <= shared
    deaths = [event for event in read_events(tmp_path / "t") if event["kind"] == "worker_died"]
    assert len(deaths) == summary["worker_restarts"]


def test_a_killed_worker_does_not_draw_a_file_again(tmp_path: Path, probe: list[Any]) -> None:
    stamped_clip(tmp_path / "clip.mp4", 150)
    values = {"camera": f"file://{tmp_path}/clip.mp4?pace=max", "worker.restart_backoff_seconds": 0.01}
    generator = "passthrough://?size=256x256&delay_ms=10"
    plan = plan_from_config(config(**values, generator=generator, displays=["probe://"]))
    with Signals() as signals, Daemon(plan, signals) as daemon:

        def kill() -> None:
            for _ in range(2):
                time.sleep(1.3)
                with suppress(IndexError, ProcessLookupError, psutil.NoSuchProcess):  # it may just have ended
                    os.kill(workers_left()[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        daemon.loop()
        killer.join()
    assert daemon.summary()["worker_restarts"] > 0
    assert [sequence for sequence, _, _ in probe] == list(range(150))


def test_a_worker_that_hangs_is_replaced(
    tmp_path: Path, probe: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_from_config(
        config(**{"worker.frame_timeout_seconds": 0.3}, displays=["probe://"], seconds=5.0)
    )
    with caplog.at_level(logging.ERROR), Signals() as signals, Daemon(plan, signals) as daemon:

        def freeze() -> None:
            while not probe:
                time.sleep(0.01)
            for pid in workers_left():
                os.kill(pid, signal.SIGSTOP)

        freezer = threading.Thread(target=freeze)
        freezer.start()
        daemon.loop()
        freezer.join()
    assert "it has drawn nothing for 0.3 s" in caplog.text
    assert daemon.summary()["frames"] > 60, "no worker took over"


def test_a_strange_signal_is_named(
    tmp_path: Path, probe: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_from_config(config(displays=["probe://"], seconds=2.5))
    with caplog.at_level(logging.ERROR), Signals() as signals, Daemon(plan, signals) as daemon:
        os.kill(workers_left()[0], 40)
        daemon.loop()
    assert "killed by signal 40" in caplog.text


def test_a_worker_whose_camera_gives_nothing_is_waited_for(tmp_path: Path) -> None:
    """A picture every 3 s, a patience of 1.2 s."""
    values = {
        "worker.frame_timeout_seconds": 1.2,
        "worker.start_timeout_seconds": 5.0,
        "trace.file": str(tmp_path / "t"),
    }
    summary = run(config(camera="pattern://?rate=0.3333", **values, frames=3))
    assert summary["frames"] == 3
    assert "worker_died" not in [event["kind"] for event in read_events(tmp_path / "t")]


def test_a_worker_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('a stranger')")
    (tmp_path / "socket.py").write_text("raise SystemExit('a stranger')")
    program = "import sys; sys.path.remove(''); from edgegan.cli import main; sys.exit(main())"
    options = (
        "run",
        "--camera",
        "pattern://",
        "--generator",
        SQUARE,
        "--display",
        "null://",
        "--frames",
        "5",
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(edgegan.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "stranger" in done.stderr) == (0, False), done.stderr


STUCK = """
import sys, time
from pathlib import Path
import edgegan
from edgegan import registry
from edgegan.config import load_config
class StuckDisplay:
    poll_interval_s, description = None, "stuck"
    def __init__(self, path=""): self.left = 20
    def show(self, pixels, captured_ns):
        self.left -= 1
        if not self.left: print("stuck", flush=True); time.sleep(60)
        return time.monotonic_ns()
    def close(self): time.sleep(60)
registry.DISPLAYS["stuck"] = "__main__:StuckDisplay"
from edgegan.daemon import run
run(load_config(None, {"camera": "pattern://", "generator": "passthrough://", "displays": ["stuck://"],
    "trace.file": sys.argv[1], "trace.flush_seconds": 0.1}))
"""


def test_a_screen_that_does_not_answer_cannot_hold_the_end_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUCK, str(tmp_path / "t")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=5)
    assert process.returncode == 1
    assert "does not answer" in errors
    assert os.listdir(tmp_path) == ["t"]
    assert summarise(tmp_path / "t")["frames"] == 19


@pytest.mark.parametrize("number", ["camera", "bundle", "trace", "display"])
def test_one_file_cannot_be_two_things(tmp_path: Path, number: str) -> None:
    stamped_clip(tmp_path / "clip.mp4", 3)
    before = (tmp_path / "clip.mp4").read_bytes()
    clip = f"{tmp_path}/../{tmp_path.name}/clip.mp4"
    values: dict[str, Any] = {
        "camera": {"camera": f"file://{tmp_path}/clip.mp4"},
        "bundle": {"bundle": str(tmp_path / "clip.mp4"), "generator": ""},
        "trace": {"trace.file": str(tmp_path / "clip.mp4")},
        "display": {"displays": ["null://", f"file://{tmp_path}/clip.mp4"]},
    }[number]
    displays = [*values.pop("displays", []), f"file://{clip}"]
    with pytest.raises(ConfigError, match="is meant to be"):
        run(config(**values, displays=displays))
    assert (tmp_path / "clip.mp4").read_bytes() == before


def test_a_mistake_costs_no_older_trace(tmp_path: Path) -> None:
    run(config(frames=3, **{"trace.file": str(tmp_path / "t")}))
    for mistake in ({"camera": "file://absent.mp4"}, {"displays": [f"file://{tmp_path}/absent/out.mp4"]}):
        with pytest.raises(UserError):
            run(config(**mistake, **{"trace.file": str(tmp_path / "t")}))
    assert summarise(tmp_path / "t")["frames"] == 3
    assert os.listdir(tmp_path) == ["t"]


def start_edgegan(*options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "edgegan",
        "run",
        "--json",
        "--camera",
        "pattern://",
        "--generator",
        SQUARE,
    ]
    return subprocess.Popen([*command, "--display", "null://", *options], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_within_a_second(tmp_path: Path, number: signal.Signals) -> None:
    process = start_edgegan("--trace", str(tmp_path / "t"))
    time.sleep(2.5)
    process.send_signal(number)
    asked = time.monotonic()
    output, _ = process.communicate(timeout=5)
    assert time.monotonic() - asked < 1.0
    assert process.returncode == 0
    summary = json.loads(output)
    assert summary["frames"] == summarise(tmp_path / "t")["frames"] > 20
    assert os.listdir(tmp_path) == ["t"]


def test_a_worker_in_the_middle_of_a_long_picture_does_not_delay_the_end() -> None:
    process = start_edgegan("--generator", "passthrough://?delay_ms=30000")
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.communicate(timeout=5)
    assert (process.returncode, time.monotonic() - asked < 1.0) == (0, True)


def test_a_killed_daemon_takes_its_worker_with_it() -> None:
    process = start_edgegan("--generator", "passthrough://?delay_ms=30000")  # hung, as the daemon sees it
    time.sleep(2)
    (worker,) = workers_left()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 1
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(worker)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("file://absent.mp4", "absent.mp4"),
        ("file://{folder}/text.mp4", "text.mp4"),
        ("file://{folder}/empty.mp4", "empty"),
    ],
)
def test_a_camera_that_cannot_work_is_a_users_mistake(tmp_path: Path, camera: str, words: str) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises((UserError, CameraError), match=words):
        run(config(camera=camera.format(folder=tmp_path), **{"trace.file": str(tmp_path / "t")}))


def test_a_misspelt_option_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="rate"):
        run(config(camera="pattern://?rte=60"))


def test_a_display_that_cannot_open_leaves_no_trace_behind(tmp_path: Path) -> None:
    displays = [f"file://{tmp_path}/absent/out.mp4"]
    with pytest.raises(UserError):
        run(config(displays=displays, **{"trace.file": str(tmp_path / "t")}))
    assert os.listdir(tmp_path) == []


def test_a_display_that_fails_ends_the_run_with_its_reason(probe: list[Any]) -> None:
    with pytest.raises(DisplayError, match="cable"):
        run(config(displays=["broken://"]))
    assert len(probe) == 3


def test_a_worker_that_never_loads_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(GeneratorError, match="before its first picture"):
        run(config(seconds=1.5, **{"worker.start_timeout_seconds": 0.05}))
    assert "it has drawn nothing for 0.05 s" in caplog.text


@pytest.mark.parametrize(
    ("kind", "told", "words"),
    [
        (
            "generator_loaded",
            {
                "runtime": "onnxruntime",
                "version": "1.27.0",
                "threads": 2,
                "spinning": "auto",
                "bundle": "paint",
                "precision": "fp32",
                "model_sha256": "507a",
                "fingerprint": None,
            },
            "generator loaded: paint, by onnxruntime 1.27.0 fp32 on 2 threads",
        ),
        ("generator_loaded", {"runtime": "passthrough"}, "generator loaded: passthrough"),
        ("camera_opened", {"description": "C920, 30 Hz", "rate_hertz": 30.0}, "camera opened: C920, 30 Hz"),
        ("camera_silent", {"for_s": 2.5}, "the camera has given nothing for 2.5 s; the last picture stays"),
        ("camera_back", {"after_s": 4.0}, "the camera is back, after 4 s"),
        ("something_new", {"a": 1}, "something new, a 1"),
    ],
)
def test_the_log_is_in_words(kind: str, told: dict[str, Any], words: str) -> None:
    assert _in_words(kind, told) == words
