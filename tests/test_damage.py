"""Whatever is wrong with what is given: one clear error, the right exit code, nothing half-written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, save

FAST = ("--display", "null://", "--frames", "5")
SQUARE = ("--generator", "passthrough://")


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and damaged things."""
    folder = tmp_path_factory.mktemp("things")
    good = small_model()
    save(good, folder / "good.onnx")
    (folder / "truncated.onnx").write_bytes((folder / "good.onnx").read_bytes()[:-200])
    (folder / "text.onnx").write_text("this is not a model")
    (folder / "empty.onnx").touch()
    (folder / "folder.onnx").mkdir()
    (folder / "broken.yaml").write_text("camera: 'pattern://\n")
    (folder / "misspelt.yaml").write_text("camera: pattern://\ndisplay: [null://]\nframess: 3\n")
    clip(folder / "clip.mp4", 200)
    (folder / "early.mp4").write_bytes(ends_early((folder / "clip.mp4").read_bytes()))
    (folder / "text.mp4").write_text("this is not a clip")
    (folder / "nothing").mkdir()
    return folder


def small_model() -> object:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 1, 1], np.eye(3, dtype=np.float32).ravel())
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Tanh", ["y"], ["z"])]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 64, 64]) for n in ("x", "z")]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def clip(path: Path, frames: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (frames, 8, 8, 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 120))
    for small in noise:
        writer.write(cv2.resize(small, (160, 120)))
    writer.release()


def ends_early(data: bytes) -> bytes:
    """The same mp4 with the second half of its pictures overwritten; its index still promises all of them."""
    start = data.index(b"mdat") + 4
    middle = start + (data.index(b"moov") - start) // 2
    return data[:middle] + bytes(data.index(b"moov") - 4 - middle) + data[data.index(b"moov") - 4 :]


def edgegan(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgegan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def assert_one_clear_error(
    done: subprocess.CompletedProcess[str], words: str, codes: tuple[int, ...] = (2,)
) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("edgegan: error: ")]
    assert len(errors) == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in codes


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("truncated.onnx", "truncated.onnx"),
        ("text.onnx", "text.onnx"),
        ("empty.onnx", "empty"),
        ("folder.onnx", "folder"),
        ("absent.onnx", "absent.onnx"),
    ],
)
def test_a_damaged_model_is_not_packed(things: Path, tmp_path: Path, model: str, words: str) -> None:
    done = edgegan("pack", str(things / model), "-o", str(tmp_path / "bundle"))
    assert_one_clear_error(done, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["0x0", "99999x99999", "-1x5", "one"])
def test_an_absurd_size_is_refused(things: Path, tmp_path: Path, size: str) -> None:
    done = edgegan("pack", str(things / "good.onnx"), f"--size={size}", "-o", str(tmp_path / "bundle"))
    assert_one_clear_error(done, "size")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["pattern://?size=0x0", "pattern://?size=99999x9", "pattern://?rate=0", "file://?x"]
)
def test_an_absurd_camera_is_refused(uri: str) -> None:
    assert_one_clear_error(edgegan("run", "--camera", uri, *SQUARE, *FAST), uri.partition("?")[0][:4])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("broken.yaml", "broken.yaml:2"),
        ("misspelt.yaml", "framess"),
        ("misspelt.yaml", "did you mean"),
        ("x.yaml", "x.yaml"),
    ],
)
def test_a_wrong_configuration_is_told_with_its_line(things: Path, config: str, words: str) -> None:
    assert_one_clear_error(edgegan("run", str(things / config)), words)


def test_a_clip_that_ends_early_is_said_to(things: Path, tmp_path: Path) -> None:
    camera = f"file://{things}/early.mp4?pace=max"
    done = edgegan("run", "--camera", camera, *SQUARE, "--display", f"file://{tmp_path}/out.mp4")
    assert_one_clear_error(done, "early.mp4", (1, 2))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("camera", ["text.mp4", "nothing", "absent.mp4"])
def test_a_camera_file_that_is_none(things: Path, tmp_path: Path, camera: str) -> None:
    trace = tmp_path / "t"
    done = edgegan("run", "--camera", f"file://{things}/{camera}", *SQUARE, *FAST, "--trace", str(trace))
    assert_one_clear_error(done, camera)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["good.onnx", "text.mp4", "nothing", "absent"])
def test_what_is_no_bundle_is_refused(things: Path, given: str) -> None:
    for command in (["inspect"], ["bench"], ["run", *FAST, "--bundle"]):
        assert_one_clear_error(edgegan(*command, str(things / given)), given)


@pytest.fixture(params=["size=400k", "ro"])
def bad_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk that is full after 400 KB, or that is read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root: run as root, or in a container with CAP_SYS_ADMIN")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_bad_disk_takes_no_half_of_a_bundle(bad_disk: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.onnx"
    save(big_model(), big)
    done = edgegan("pack", str(big), "-o", str(bad_disk / "bundle"))
    assert_one_clear_error(done, "bundle", (1, 2))
    assert os.listdir(bad_disk) == []


def big_model() -> object:
    weight = np.random.default_rng(0).standard_normal((256, 3, 9, 9), np.float32)
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.ravel()),
        helper.make_tensor("v", TensorProto.FLOAT, [3, 256, 1, 1], np.full(768, 1e-3, np.float32)),
        helper.make_tensor("u", TensorProto.FLOAT, [1, 256, 64, 64], weight.ravel()[:1].repeat(2**20)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[4, 4, 4, 4]),
        helper.make_node("Add", ["a", "u"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"]),
        helper.make_node("Tanh", ["c"], ["z"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 64, 64]) for n in ("x", "z")]
    graph = helper.make_graph(nodes, "big", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_bad_disk_takes_no_half_of_a_video(bad_disk: Path, things: Path) -> None:
    camera = f"file://{things}/clip.mp4?pace=max&loop=1"
    done = edgegan(
        "run", "--camera", camera, *SQUARE, "--frames", "400", "--display", f"file://{bad_disk}/out.mp4?crf=1"
    )
    assert_one_clear_error(done, "out.mp4", (1, 2))
    assert "out.mp4" not in os.listdir(bad_disk)
    assert not os.listdir(bad_disk) or ".part" in done.stderr, "what is kept of the video is not mentioned"


def test_a_bad_disk_ends_the_trace_with_its_reason(bad_disk: Path) -> None:
    camera, trace = "pattern://?pace=max&size=160x120", bad_disk / "t"
    done = edgegan(
        "run", "--camera", camera, *SQUARE, "--display", "null://", "--frames", "9000", "--trace", str(trace)
    )
    assert_one_clear_error(done, "trace", (1, 2))
