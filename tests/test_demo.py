"""The main job, as somebody runs it who has just cloned the project."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgegan.telemetry.trace import summarise


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
    done = edgegan("demo", "-o", str(tmp_path), "--seconds", "1", "--display", "null://", "--json")
    assert done.returncode == 0, done.stderr
    assert f"in '{tmp_path}' this replaces demo.html (give -o another folder" in done.stderr
    assert json.loads(done.stdout)["replaced"] == ["demo.html"]
    assert (tmp_path / "demo.html").read_text("utf-8") != "older"
