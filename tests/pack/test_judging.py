"""The gate on the shipped generator: good versions pass, and each planted fault is refused for what it is."""

import itertools
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgegan.bundle import Bundle
from edgegan.errors import ConfigError, ModelDisagreement, ModelError, UserError
from edgegan.framing import Framing
from edgegan.pack.judging import GATES, Gate, judge
from edgegan.recorded import open_source
from edgegan.resources import resource
from tests.pack import faults

INT8 = GATES["int8"]
NOTHING = Gate(*[None] * 8)


@pytest.fixture(scope="module")
def model():
    """The shipped generator, FP32."""
    bundle = Bundle.open(resource("engines/paint/paint.edgegan"))
    return onnx.load_model_from_string(bundle.read_model("fp32"))


@pytest.fixture(scope="module")
def frames():
    """Of the shipped clip: six pictures far apart, and six that follow one another."""
    with closing(open_source(str(resource("engines/clip/paint_demo.mp4")))) as source:
        every = [source.next() for _ in range(126)]
    framing = Framing((256, 448))
    return [framing(p) for p in every[:120:20]], [framing(p) for p in every[120:]]


@pytest.fixture(scope="module")
def whole(model, frames):
    """What FP32 draws."""
    return [faults.drawings(model, part) for part in frames]


@pytest.fixture(scope="module")
def expected(whole):
    """A part of each drawing, 192 x 192."""
    return [[np.ascontiguousarray(p[32:224, 128:320]) for p in part] for part in whole]


@pytest.fixture(scope="module")
def ranges(model, frames):
    return faults.ranges_of(model, frames[0])


def _judge(drawn, expected, gate=INT8, clip=(), clip_expected=(), **more):
    drawings = iter([*drawn, *clip])
    names = [f"{n}.jpg" for n in range(len(expected))]
    return judge(
        lambda _: next(drawings),
        expected,
        expected,
        names=names,
        clip=clip_expected,
        clip_expected=clip_expected,
        gate=gate,
        **more,
    )


def _of_version(version, frames, expected, gate=INT8):
    drawn = [faults.drawings(version, part) for part in frames]
    return _judge(drawn[0], expected[0], gate, drawn[1], expected[1])


def test_a_good_version_passes(model, ranges, frames, whole):
    verdict = _of_version(faults.rounded(model, ranges, bits=16), frames, whole)
    assert verdict.why_not == ""
    assert verdict.passed
    assert 45 < verdict.figures["psnr_db"] < 55, "and it is not FP32"
    assert verdict.figures["flicker_ratio"] == pytest.approx(1, abs=0.05)


def test_fp32_passes_every_gate_with_the_best_figures(expected):
    for gate in GATES.values():
        verdict = _judge(expected[0], expected[0], gate, expected[1], expected[1])
        assert verdict.passed
        found = verdict.figures
        assert (found["psnr_db"], found["psnr_worst_db"], found["ssim"]) == (99, 99, 1), (
            "JSON has no infinity"
        )
        assert (found["channel_shift_levels"], found["delta_e"], found["checkerboard_db"]) == (0, 0, 0)
        assert (found["high_frequency_ratio"], found["flicker_ratio"], found["pictures"]) == (1, 1, 6)


def test_eight_bits_without_care_are_refused(model, ranges, frames, whole):
    verdict = _of_version(faults.rounded(model, ranges), frames, whole)
    assert verdict.why_not.startswith(f"the mean PSNR is {verdict.figures['psnr_db']:g} dB, at least 42")


def test_a_planted_wrong_axis_is_refused(model, frames, whole):
    verdict = _of_version(faults.with_wrong_axis(model), frames, whole)
    assert "the worst PSNR is 2" in verdict.why_not
    assert "CIEDE2000" in verdict.why_not


def test_a_planted_clipped_tensor_is_refused(model, ranges, frames, whole):
    last = len(faults.convolutions(model)) - 1
    verdict = _of_version(faults.with_clipped_tensor(model, ranges, last, 10), frames, whole)
    assert "PSNR" in verdict.why_not


ALONE = {
    "channel_shift_levels": (
        lambda p, n: faults.shifted(p, 2),
        "a channel is off by 2 grey levels on average",
    ),
    "delta_e": (lambda p, n: faults.torn(p, 3), "the mean colour difference (CIEDE2000) is 1."),
    "checkerboard_db": (lambda p, n: faults.chequered(p, 1), "a checkerboard stands out by 1"),
    "high_frequency_ratio": (lambda p, n: faults.blurred(p, 0.4), "fine detail has 0.8"),
    "psnr_db": (lambda p, n: faults.noisy(p, 2.4, n), "the mean PSNR is 40"),
    "psnr_worst_db": (lambda p, n: faults.noisy(p, 7, n) if n == 3 else p, "the worst PSNR is 3"),
}


@pytest.mark.parametrize("demand", ALONE)
def test_each_demand_alone_refuses_its_fault(expected, demand):
    spoil, words = ALONE[demand]
    verdict = _judge([spoil(p, n) for n, p in enumerate(expected[0])], expected[0])
    assert verdict.why_not.startswith(words)
    assert ";" not in verdict.why_not
    assert replace(INT8, **{demand: None}).why_not(verdict.figures) == ""


def test_similarity_alone_refuses_fine_detail_that_is_other_detail(expected):
    """As much of it, as faint, and in other places."""
    smooth = [faults.blurred(p, 8) for p in expected[0]]
    wanted, drawn = ([faults.noisy(p, 1.3, seed + n) for n, p in enumerate(smooth)] for seed in (0, 50))
    verdict = _judge(drawn, wanted)
    assert verdict.why_not.startswith("the mean SSIM is 0.9")
    assert ";" not in verdict.why_not


def test_flicker_alone_is_refused(expected):
    noisy = [faults.noisy(p, 3, n) for n, p in enumerate(expected[1])]
    verdict = _judge(expected[0], expected[0], INT8, noisy, expected[1])
    assert verdict.why_not.startswith("it flickers ")
    assert ";" not in verdict.why_not
    still = [faults.noisy(p, 2) for p in expected[1]]
    assert _judge(expected[0], expected[0], INT8, still, expected[1]).passed


def test_the_refusal_names_what_was_found_what_is_demanded_and_the_picture(expected):
    drawn = [*expected[0]]
    drawn[4] = 255 - drawn[4]
    verdict = _judge(drawn, expected[0], replace(NOTHING, psnr_worst_db=36.0, ssim=0.99))
    worst, mean = verdict.why_not.split("; ")
    found = verdict.pictures[4]["psnr_db"]
    assert worst == f"the worst PSNR is {found:g} dB, at least 36 is demanded (worst: 4.jpg)"
    assert mean.startswith("the mean SSIM is 0.")
    assert mean.endswith(", at least 0.99 is demanded (worst: 4.jpg)")
    blurred = [faults.blurred(p, n / 10 + 0.1) for n, p in enumerate(expected[0])]
    detail = _judge(blurred, expected[0], replace(NOTHING, high_frequency_ratio=(0.96, 1.04))).why_not
    assert ", 0.96 to 1.04 is demanded (worst: 5.jpg)" in detail


def test_figures_are_mean_fifth_percentile_and_worst(expected):
    """40 pictures: the fifth percentile is the second worst."""
    plain = [np.ascontiguousarray(p[:48, :64]) for p in itertools.islice(itertools.cycle(expected[0]), 40)]
    drawn = [faults.shifted(faults.noisy(p, 1 + n / 20, n), n / 8, 1) for n, p in enumerate(plain)]
    verdict = _judge(drawn, plain)
    found, rows = verdict.figures, verdict.pictures
    for key, low, worst, lower_is_worse in (
        ("psnr_db", "psnr_p5_db", "psnr_worst_db", True),
        ("ssim", "ssim_p5", "ssim_worst", True),
        ("channel_shift_levels", "channel_shift_p95_levels", "channel_shift_worst_levels", False),
        ("delta_e", "delta_e_p95", "delta_e_worst", False),
        ("checkerboard_db", "checkerboard_p95_db", "checkerboard_worst_db", False),
    ):
        values = np.array([row[key] for row in rows])
        assert found[key] == pytest.approx(values.mean(), abs=1e-3)
        percentile = (5, "lower") if lower_is_worse else (95, "higher")
        assert found[low] == pytest.approx(np.percentile(values, percentile[0], method=percentile[1]))
        end = values.argmin() if lower_is_worse else values.argmax()
        assert (found[worst], found["worst"][key]) == (values[end], f"{end}.jpg")
    assert found["worst_picture"] == found["worst"]["psnr_db"]
    ratios = np.array([row["high_frequency_ratio"] for row in rows])
    assert found["high_frequency_ratio"] == pytest.approx(np.exp(np.log(ratios).mean()), abs=1e-3)
    assert found["high_frequency_worst_ratio"] == ratios[np.abs(np.log(ratios)).argmax()]


def test_blur_and_grain_weigh_as_much_as_each_other(expected):
    """The mean ratio is the geometric one: half and double are one."""
    drawn = [faults.blurred(expected[0][0], 0.5), faults.noisy(expected[0][1], 30)]
    verdict = _judge(drawn, expected[0][:2], NOTHING)
    low, high = (row["high_frequency_ratio"] for row in verdict.pictures)
    assert low < 0.8 < 1.2 < high
    assert verdict.figures["high_frequency_ratio"] == pytest.approx((low * high) ** 0.5, abs=1e-3)


def test_a_verdict_can_be_written_and_says_what_it_lacks(expected):
    small = [np.ascontiguousarray(p[:10, :12]) for p in expected[0]]
    verdict = _judge(small, small)
    assert verdict.passed, "what a picture is too small for is not held against it"
    text = json.dumps([verdict.figures, verdict.pictures, verdict.why_not], allow_nan=False)
    lacking = json.loads(text)[0]
    for key in ("ssim", "ssim_p5", "checkerboard_db", "st_lpips", "st_lpips_worst", "flicker_ratio"):
        assert lacking[key] is None
    assert lacking["worst"]["ssim"] is None


def test_what_is_no_number_never_passes(expected):
    found = _judge(expected[0], expected[0], INT8, expected[1], expected[1]).figures
    for key in (
        "psnr_db",
        "psnr_worst_db",
        "ssim",
        "channel_shift_levels",
        "delta_e",
        "high_frequency_ratio",
    ):
        assert "nan" in INT8.why_not({**found, key: float("nan")})


def test_an_array_that_is_drawn_into_again_is_no_trouble(expected):
    """As a runtime's bound output is."""
    source, slot = iter([*expected[0], *expected[1]]), np.empty_like(expected[0][0])

    def draw(_):
        slot[:] = next(source)
        return slot

    verdict = judge(
        draw,
        expected[0],
        expected[0],
        names="abcdef",
        clip=expected[1],
        clip_expected=expected[1],
        gate=INT8,
    )
    assert verdict.figures["flicker_ratio"] == 1
    assert verdict.figures["psnr_db"] == 99


def test_progress_goes_from_0_to_1(expected):
    told = []
    _judge(
        expected[0],
        expected[0],
        clip=expected[1],
        clip_expected=expected[1],
        progress=lambda what, share: told.append((what, share)),
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.9 < shares[-1] < 1
    assert [what for what, _ in told[5:7]] == ["judging 5.jpg", "judging the clip"]


def test_what_cannot_be_judged_is_said(expected):
    with pytest.raises(UserError, match=r"no picture to judge by: give more photos"):
        _judge([], [])
    with pytest.raises(
        ModelDisagreement, match=r"it draws uint8 \(191, 192, 3\), FP32 draws uint8 \(192, 192, 3\)"
    ):
        _judge([expected[0][0][1:]], expected[0][:1])
    with pytest.raises(ModelDisagreement, match="it draws float32"):
        _judge([np.full((192, 192, 3), np.nan, np.float32)], expected[0][:1])
    with pytest.raises(ValueError, match="zip"):
        judge(lambda p: p, expected[0], expected[0][:-1], names="abcdef", gate=INT8)


def test_a_gate_is_changed_by_field():
    changed = INT8.changed({"psnr_db": 30, "high_frequency_ratio": [0.5, 2], "flicker_ratio": None})
    assert (changed.psnr_db, changed.high_frequency_ratio, changed.flicker_ratio) == (30, (0.5, 2), None)
    assert changed.ssim == INT8.ssim
    assert INT8.changed({}) == INT8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"psnr": 3}, "the gate has no 'psnr': did you mean 'psnr_db'"),
        ({"psnr_db": float("nan")}, "the gate's psnr_db is nan: give a number"),
        ({"ssim": True}, "the gate's ssim is True: give a number"),
        ({"ssim": "0.9"}, "the gate's ssim is '0.9': give a number"),
        ({"high_frequency_ratio": 1.0}, "give the lowest and the highest"),
        ({"high_frequency_ratio": [2, 1]}, "give the lowest and the highest"),
    ],
)
def test_what_is_no_gate_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        INT8.changed(changes)
    assert message in str(caught.value)


def _metric(path, expression="ReduceMean", side=256):
    """|a - b| averaged, or what `expression` makes of it, in place of ST-LPIPS."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, side, side]) for n in "ab"]
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["d"]),
        helper.make_node("Abs", ["d"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["m"], keepdims=0),
        helper.make_node("Div" if expression == "nan" else "Add", ["m", "m"], ["distance"]),
    ]
    output = helper.make_tensor_value_info("distance", TensorProto.FLOAT, [])
    model = helper.make_model(
        helper.make_graph(nodes, "metric", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def test_a_perceptual_model_is_run_on_pictures_of_its_size(tmp_path):
    """A quarter of the levels brighter by 51 is 2 x 51 / 127.5 / 4, as the metric here is twice the mean."""
    plain = np.full((64, 96, 3), 100, np.uint8)
    brighter = plain.copy()
    brighter[:, :24] += 51
    verdict = _judge([plain, brighter], [plain, plain], NOTHING, perceptual=_metric(tmp_path / "metric.onnx"))
    assert verdict.pictures[0]["st_lpips"] == 0
    assert verdict.pictures[1]["st_lpips"] == pytest.approx(0.2, abs=0.002)
    assert verdict.figures["st_lpips"] == pytest.approx(0.1, abs=0.002)
    assert verdict.figures["st_lpips_worst"] == verdict.pictures[1]["st_lpips"]
    assert verdict.figures["worst"]["st_lpips"] == "1.jpg"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "there is no ST-LPIPS model"),
        (lambda path: path.write_bytes(b"no model") and path, "ONNX Runtime cannot load 'metric.onnx'"),
        (lambda path: _metric(path, side=64), r"'metric.onnx' is no ST-LPIPS model: it takes"),
        (lambda path: _metric(path, "nan"), "gives nan for two pictures"),
    ],
)
def test_a_perceptual_model_that_is_none_is_refused(tmp_path, make, message):
    plain = [np.full((64, 96, 3), 100, np.uint8)]
    with pytest.raises(ModelError, match=message):
        _judge(plain, plain, NOTHING, perceptual=make(tmp_path / "metric.onnx"))


def test_the_real_st_lpips_is_0_for_equal_pictures_and_grows_with_noise(models, expected):
    drawn = [expected[0][0], faults.noisy(expected[0][0], 5), faults.noisy(expected[0][0], 25)]
    perceptual = models / "metrics/stlpips_alex.onnx"
    verdict = _judge(drawn, [expected[0][0]] * 3, NOTHING, perceptual=perceptual)
    equal, near, far = (row["st_lpips"] for row in verdict.pictures)
    assert equal == pytest.approx(0, abs=1e-4)
    assert 0.0005 < near < far / 5


@pytest.mark.parametrize(("name", "value"), [("ssim", 2), ("psnr_db", 100), ("psnr_worst_db", 120)])
def test_what_nothing_can_reach_is_no_demand(name, value):
    with pytest.raises(ConfigError, match=f"the gate's {name} is {value}"):
        GATES["int8"].changed({name: value})
