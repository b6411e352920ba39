"""The main job, as somebody runs it who has just cloned the project."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgegan.demo import run_demo
from edgegan.errors import UserError
from edgegan.report.export import export_csv, remove_export
from edgegan.telemetry.trace import summarise
from tests.report.test_export import write_trace


def edgegan(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgegan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo")
    done = edgegan(
        "demo", "-o", str(folder / "50 % odd?"), "--seconds", "4", "--display", "null://", "--json"
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_the_demo_leaves_a_video_a_trace_and_a_report(result: dict[str, Any]) -> None:
    assert {path.name for path in Path(result["video"]).parent.iterdir()} == {
        "demo.mp4",
        "demo.trace",
        "demo.html",
    }
    assert result["frames"] == summarise(Path(result["trace"]))["frames"] > 10
    assert set(result["stages_ms"]) == {"capture", "infer", "handover", "display"}


def test_its_video_is_painted_and_moves(result: dict[str, Any]) -> None:
    with av.open(result["video"]) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(pictures) == result["frames"]
    assert min(picture.std() for picture in pictures) > 20, "a picture is flat"
    assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(pictures)]) > 0.5


def test_its_report_stands_alone(result: dict[str, Any]) -> None:
    page = Path(result["report"]).read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 6
    assert "<polygon" in page
    assert "http" not in page, "the page reaches for the network"


def test_the_first_picture_comes_soon(result: dict[str, Any]) -> None:
    assert (
        0 < result["first_frame_s"] < 20
    )  # docs/performance.md has the figure; this only sees that it is one


def test_bench_prints_what_scripts_rely_on() -> None:
    done = edgegan("bench", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    latency = data["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    assert data["throughput_hz"] == pytest.approx(1000 / latency["p50"], rel=0.5)
    assert (data["runtime"], data["precision"], data["energy_joules_per_frame"]) == (
        "onnxruntime",
        "fp32",
        None,
    )
    assert data["peak_memory_mb"] > 20


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("precious")
    done = edgegan("demo", "-o", str(tmp_path / "taken"), "--seconds", "1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "precious"


def test_a_second_demo_says_what_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "demo.html").write_text("older")
    export_csv(write_trace(tmp_path / "demo.trace", 3))
    (tmp_path / "demo.trace").unlink()
    done = edgegan("demo", "-o", str(tmp_path), "--seconds", "4", "--display", "null://", "--json")
    assert done.returncode == 0, done.stderr
    replaced = "demo.html, demo.csv, demo.events.csv"
    assert f"in '{tmp_path}' this replaces {replaced} (give -o another folder" in done.stderr
    assert json.loads(done.stdout)["replaced"] == replaced.split(", ")
    assert not list(tmp_path.glob("*.csv"))
    assert (tmp_path / "demo.html").read_text("utf-8") != "older"


def test_a_table_that_is_no_export_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.csv").write_text("precious")
    assert remove_export(tmp_path / "demo.trace") == []
    assert (tmp_path / "demo.csv").read_text() == "precious"


def test_the_folder_of_a_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds a recording \(record\.json\): give -o another folder"):
        run_demo(tmp_path, 1, "null://")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_where_the_desktop_is_gone_the_video_is_left_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("sdl2")
    environment = {**os.environ, "DISPLAY": ":999"}
    environment.pop("WAYLAND_DISPLAY", None)
    command = [sys.executable, "-m", "edgegan", "demo", "-o", str(tmp_path / "a"), "--seconds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    assert done.returncode == 0, done.stderr
    assert "no window, so the picture goes into the video file alone" in done.stderr
    command += ["--display", "window://", "-o", str(tmp_path / "b/c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    assert done.returncode == 1
    assert "null://" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "b").exists()
