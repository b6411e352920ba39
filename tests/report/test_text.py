"""Results as a terminal shows them."""

import io
from typing import Any

from edgegan.report.text import (
    ProgressBar,
    bench_text,
    bundle_text,
    engine_text,
    record_text,
    run_text,
    table,
)

RUN = {
    "frames": 250,
    "dropped": 3,
    "throughput_hz": 24.96,
    "first_frame_s": 0.512,
    "end_to_end_ms": {"p50": 41.03, "p95": 52.5, "p99": None},
    "stages_ms": {"infer": {"p50": 30.0, "p95": 40.0, "p99": 50.0}},
    "fallbacks": [{"from": "onnxruntime", "to": "passthrough", "at_s": 3.5, "why": "the worker died"}],
    "power_watts": None,
    "energy_joules_per_frame": None,
    "video": "out/demo.mp4",
}


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        return True


def test_table_aligns_the_first_column_left_and_numbers_right() -> None:
    assert table([("name", "ms"), ("a", 1.23456), ("longer", None)]) == (
        "name       ms\na       1.235\nlonger      -"
    )


def test_run() -> None:
    assert run_text(RUN).splitlines() == [
        "250 frames at 24.96 Hz, 3 dropped, first after 0.512 s",
        "ms            p50   p95  p99",
        "end to end  41.03  52.5    -",
        "infer          30    40   50",
        "at 3.5 s from onnxruntime to passthrough: the worker died",
        "power: not measured here",
        "video: out/demo.mp4",
    ]


def test_a_run_without_frames_and_one_with_power() -> None:
    assert run_text({"frames": 0}).startswith("0 frames at - Hz, - dropped, first after - s\n")
    measured = RUN | {"power_watts": {"vdd_in": 9.5}, "energy_joules_per_frame": 0.38}
    assert "power: vdd_in 9.5 W, 0.38 J a frame" in run_text(measured).splitlines()


def test_bundle() -> None:
    side = {"shape": [1, 256, 448, 3], "dtype": "uint8", "layout": "NHWC", "colour": "BGR"}
    quality = {"psnr_db": 38.25, "psnr_worst_db": 31.5, "ssim": 0.99}
    models: dict[str, dict[str, Any]] = {
        "fp32": {"bytes": 596_362, "macs": 10_080_000_256, "params": 146_306, "quality": None},
        "int8": {"bytes": 1_351_000, "macs": None, "params": 146_306, "quality": quality},
    }
    models["int8"]["macs_int8_share"] = 1.0
    assumptions = ["input range 0 to 1"]
    described = {"name": "paint", "input": side, "output": side, "models": models, "assumptions": assumptions}
    assert bundle_text(described).splitlines() == [
        "paint",
        "input: 1x256x448x3 uint8 BGR",
        "output: 1x256x448x3 uint8 BGR",
        "precision      size   MMACs  in INT8  parameters  PSNR dB  worst  SSIM",
        "fp32       596.4 kB  10,080        -      146306        -      -     -",
        "int8       1.351 MB       -     100%      146306    38.25   31.5  0.99",
        "assumed: input range 0 to 1",
    ]


def test_bench() -> None:
    result = {
        "runtime": "onnxruntime",
        "version": "1.32.0",
        "precision": "fp32",
        "load_s": 0.25,
        "cpu_ms": 45.5,
        "throughput_hz": 20.5,
        "peak_memory_mb": 180.0,
        "latency_ms": {"p50": 48.0, "p90": 50.0, "p99": 61.0},
        "energy_joules_per_frame": None,
    }
    assert bench_text(result).splitlines() == [
        "onnxruntime 1.32.0 fp32: 20.5 Hz, at most 180 MB",
        "ms       p50  p90  p99",
        "latency   48   50   61",
        "loaded in 0.25 s, 45.5 ms of CPU time a picture",
        "power: not measured here",
    ]


def test_progress_is_drawn_on_a_terminal_and_wiped_afterwards() -> None:
    with ProgressBar(terminal := Terminal()) as progress:
        assert progress is not None
        progress("comparing", 0.5)
    assert "[############............]  50% comparing" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_drawn_again_only_where_it_changed() -> None:
    with ProgressBar(terminal := Terminal()) as progress:
        assert progress is not None
        for step in range(1000):
            progress("timing", step / 100_000)
    assert terminal.getvalue().count("timing") == 2  # 0 % and 1 %


def test_progress_is_silent_elsewhere() -> None:
    with ProgressBar(pipe := io.StringIO()) as progress:
        assert progress is None
    assert pipe.getvalue() == ""


def test_a_recording_says_what_was_left_out_only_if_something_was() -> None:
    result = {
        "pictures": 5,
        "directory": "rec",
        "first": "00000001.png",
        "last": "00000005.png",
        "bytes": 1126000,
    }
    taken = "5 pictures in rec, 00000001.png to 00000005.png, 1.126 MB"
    assert record_text({**result, "skipped": 0}) == taken
    assert record_text({**result, "skipped": 7}) == f"{taken}; 7 that showed nothing new were left out"


def test_one_is_singular_and_small_sizes_are_in_kilobytes() -> None:
    assert run_text({"frames": 1}).startswith("1 frame at ")
    one = {"pictures": 1, "directory": "rec", "first": "00000001.png", "last": "00000001.png", "bytes": 9344}
    assert record_text(one) == "1 picture in rec, 00000001.png to 00000001.png, 9.344 kB"


def test_an_engine_that_was_there_already_says_so() -> None:
    engine = {"engine": "store/a.engine", "built_at": "today", "fits_here": True}
    assert "engine: store/a.engine, built today" in engine_text({**engine, "built": True}).splitlines()
    assert engine_text({**engine, "built": False}).splitlines()[-1] == (
        "engine: store/a.engine, already built today (edgegan build --again builds it anew)"
    )


def test_an_engine_shows_what_was_tried_fastest_first_and_what_was_refused() -> None:
    tried = {
        "passed": True,
        "quality": {"psnr_worst_db": 50.0},
        "load_s": 0.5,
        "cpu_ms": 9.0,
        "peak_memory_mb": 90,
    }
    text = engine_text(
        {
            "name": "candy",
            "measured": [
                {"runtime": "onnxruntime", "precision": "fp32", "latency_ms_p50": 9.0, **tried},
                {"runtime": "openvino", "precision": "fp32", "latency_ms_p50": 5.0, **tried},
                {
                    "runtime": "abacus",
                    "precision": "fp32",
                    "why": "it is not installed",
                    "latency_ms_p50": None,
                },
            ],
            "ladder": [
                {"runtime": "openvino", "precision": "fp32"},
                {"runtime": "onnxruntime", "precision": "fp32"},
            ],
            "engine": "store/candy.engine",
            "built_at": "today",
            "fits_here": False,
            "misfit": "it was built for another device",
        }
    )
    lines = text.splitlines()
    names = [line.split("  ")[0] for line in lines]
    assert names.index("openvino fp32") < names.index("onnxruntime fp32") < names.index("abacus fp32")
    assert "abacus fp32: it is not installed" in lines
    assert lines[-3:] == [
        "runs: openvino fp32, then onnxruntime fp32",
        "engine: store/candy.engine, built today",
        "not usable here: it was built for another device",
    ]
