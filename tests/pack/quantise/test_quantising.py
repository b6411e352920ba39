"""From a packed model and pictures to models for both targets, on nets of every kind."""

import os
from dataclasses import replace

import numpy as np
import pytest

from edgegan.errors import ModelError
from edgegan.pack.compare import Packed
from edgegan.pack.contract import check_contract
from edgegan.pack.half import half
from edgegan.pack.half_executed import as_executed_in_half
from edgegan.pack.quantise.drawing import Studio
from edgegan.pack.quantise.quantising import quantise_model
from edgegan.pack.quantise.search import Goal
from edgegan.quality import psnr_db
from tests.pack.nets import Net
from tests.pack.quantise import odd

GOAL = Goal(38, 30, 0.9, 0.9)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _psnr(version, model, shown):
    version, model = Packed(version), Packed(model)
    return float(
        np.mean([min(psnr_db(version.draw(one.pixels), model.draw(one.pixels)), 99) for one in shown])
    )


HARD = {"rare": 20, "constant": 30}


@pytest.mark.parametrize(
    "name",
    [
        *("SAME_LOWER", "mirrored, then padded", "transposed 3x3, output padding", "normalised pixel"),
        *("dead", "constant"),
    ],
)
def test_every_version_draws_nearly_what_fp32_draws(name):
    model, sets = odd.around(odd.ODD[name]), odd.sets()
    found = quantise_model(model, sets, (-1.0, 1.0), GOAL)
    for version in (found.openvino, found.tensorrt):
        check_contract(version)
        assert _psnr(version, model, sets.judge) > HARD.get(name, 34)
    halved = half(found.tensorrt)[0]
    assert _psnr(as_executed_in_half(halved), model, sets.judge) > HARD.get(name, 34)


def test_a_layer_whose_input_is_not_finite_stays_float():
    model = odd.around(odd.ODD["not finite within"])
    found = quantise_model(model, odd.sets(), (-1.0, 1.0), replace(GOAL, int8_share=0.0))
    assert len(found.best.table.layers) == 2
    assert len(odd.find_layers(model)) == 3
    kinds = [node.op_type for node in found.openvino.graph.node]
    assert kinds.count("QuantizeLinear") <= 2


def _one_conv(op="Conv", ranges=odd.SIGNED, channels=3):
    net = Net()
    made = (
        net.conv("x", 3, channels) if op == "Conv" else odd.transposed(net, "x", 3, channels, 3, pads=[1] * 4)
    )
    net.finish(made, "Identity")
    return odd.packed(net, ranges)


@pytest.mark.parametrize("ranges", [odd.SIGNED, odd.BYTES], ids=["signed", "bytes"])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_one_convolution_alone(op, ranges):
    model, sets = _one_conv(op, ranges), odd.sets()
    found = quantise_model(model, sets, ranges.input, replace(GOAL, int8_share=1.0))
    assert [scale.form != "float" for scale in found.best.table.layers] == [True]
    for version in (found.openvino, found.tensorrt):
        assert _psnr(version, model, sets.judge) > 40


def test_the_smallest_picture_that_can_be_packed():
    size = (8, 8)
    model, sets = odd.around(odd.ODD["plain"], size=size), odd.sets(size)
    found = quantise_model(model, sets, (-1.0, 1.0), GOAL)
    assert _psnr(found.openvino, model, sets.judge) > 34


@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_that_are_all_even_still_give_scales(level):
    """As from a camera with its cap on."""
    model = odd.around(odd.ODD["plain"])
    even = tuple(replace(one, pixels=np.full_like(one.pixels, level)) for one in odd.pictures(6))
    sets = replace(odd.sets(), calibrate=even, search=even[:3])
    found = quantise_model(model, sets, (-1.0, 1.0), GOAL)
    assert _psnr(found.openvino, model, even[:1]) > 34


@pytest.mark.parametrize("opset", [11, 12])
def test_an_opset_without_scales_by_channel_is_refused(opset):
    with pytest.raises(ModelError, match=f"a model of opset {opset} cannot be quantised"):
        quantise_model(odd.around(odd.ODD["plain"], opset), odd.sets(), (-1.0, 1.0), GOAL)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_opsets_with_them_are_taken(opset):
    model, sets = odd.around(odd.ODD["normalised"], opset), odd.sets()
    found = quantise_model(model, sets, (-1.0, 1.0), GOAL)
    assert _psnr(found.openvino, model, sets.judge) > 34
    assert _psnr(as_executed_in_half(half(found.tensorrt)[0]), model, sets.judge) > 34


def test_a_tensor_whose_size_depends_on_the_picture_is_refused():
    def build(net, x):
        mean = net.add("ReduceMean", x, axes=[0, 2, 3], keepdims=0)
        wanted = net.add("GreaterOrEqual", mean, net.hold(np.float32(-1e9)))
        return net.conv(net.add("Compress", x, wanted, axis=1, outputs=["some"]), 8, 8)

    with pytest.raises(ModelError, match=r"the size of its tensor '.*' depends on the picture"):
        quantise_model(odd.around(build), odd.sets(), (-1.0, 1.0), GOAL)


def test_a_model_without_a_convolution_is_refused():
    net = Net()
    net.finish(net.add("Mul", "x", net.hold(np.float32(0.5))))
    with pytest.raises(ModelError, match="no convolution of the model can be quantised"):
        quantise_model(odd.packed(net), odd.sets(), (-1.0, 1.0), GOAL)


def test_the_same_input_and_seed_give_the_same_bytes():
    model = odd.around(odd.ODD["transposed"])
    first, again = (quantise_model(model, odd.sets(), (-1.0, 1.0), GOAL) for _ in range(2))
    assert first.best.table.to_json() == again.best.table.to_json()
    assert first.openvino.SerializeToString(deterministic=True) == again.openvino.SerializeToString(
        deterministic=True
    )


def test_the_judging_set_has_no_part_in_it():
    model, sets = odd.around(odd.ODD["plain"]), odd.sets()
    dark = tuple(replace(one, pixels=np.zeros_like(one.pixels)) for one in sets.judge)
    tables = [
        quantise_model(model, one, (-1.0, 1.0), GOAL).best.table
        for one in (sets, replace(sets, judge=dark, clip=()))
    ]
    assert tables[0] == tables[1]


def _interrupted(after, monkeypatch, counts):
    measured = Studio._measured

    def measure(self, table, numbers):
        counts.append(1)
        if len(counts) == after:
            raise KeyboardInterrupt
        return measured(self, table, numbers)

    monkeypatch.setattr(Studio, "_measured", measure)


def test_what_was_broken_off_goes_on_and_leaves_nothing_behind(cache, monkeypatch):
    model, counts = odd.around(odd.ODD["transposed"]), []
    _interrupted(8, monkeypatch, counts)
    with pytest.raises(KeyboardInterrupt):
        quantise_model(model, odd.sets(), (-1.0, 1.0), GOAL)
    (kept,) = (cache / "edgegan/quantise").iterdir()
    assert len(kept.read_text().splitlines()) == 7
    found = quantise_model(model, odd.sets(), (-1.0, 1.0), GOAL)
    broken = len(counts)
    assert list((cache / "edgegan/quantise").iterdir()) == [kept]
    found.forget()
    assert list((cache / "edgegan/quantise").iterdir()) == []
    counts.clear()
    monkeypatch.setattr(os, "environ", {**os.environ, "XDG_CACHE_HOME": str(cache / "other")})
    counts.extend([0] * 100)
    whole = quantise_model(model, odd.sets(), (-1.0, 1.0), GOAL)
    assert whole.best.table == found.best.table
    assert broken - 1 == len(counts) - 100, "one was begun twice"


def test_pictures_seed_and_model_each_have_a_memory_of_their_own(cache, monkeypatch):
    _interrupted(10_000, monkeypatch, [])
    from edgegan.pack.quantise.quantising import _memo_path

    model, other = odd.around(odd.ODD["plain"]), odd.around(odd.ODD["1x1"])
    sets = odd.sets()
    paths = {
        _memo_path(model, sets),
        _memo_path(other, sets),
        _memo_path(model, replace(sets, seed=1)),
        _memo_path(model, replace(sets, search=sets.search[:2])),
        _memo_path(model, replace(sets, calibrate=sets.calibrate[:2])),
    }
    assert len(paths) == 5
    assert _memo_path(model, replace(sets, judge=sets.judge[:2])) in paths
    assert all(path.parent == cache / "edgegan/quantise" for path in paths)


@pytest.mark.parametrize("place", ["/sys/kernel", "a file"])
def test_a_cache_that_cannot_be_written_is_done_without(place, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    assert quantise_model(odd.around(odd.ODD["1x1"]), odd.sets(), (-1.0, 1.0), GOAL).best.int8_share > 0


def test_a_user_without_a_home_can_quantise(monkeypatch):
    from pathlib import Path

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert quantise_model(odd.around(odd.ODD["1x1"]), odd.sets(), (-1.0, 1.0), GOAL).best.int8_share > 0


@pytest.mark.parametrize("ranges", [odd.SIGNED, odd.BYTES])
def test_openvino_runs_the_layers_in_int8(ranges):
    """Also the first one of a generator that takes 0 to 255, which need no quantising."""
    openvino = pytest.importorskip(
        "openvino", reason="OpenVINO is not installed: pip install 'edgegan[openvino]'"
    )
    net = Net()
    x = net.add("Relu", net.conv("x", 3, 16))
    net.finish(net.conv(net.add("Relu", net.conv(x, 16, 16)), 16, 3))
    model = odd.packed(net, ranges, (32, 32))
    found = quantise_model(model, odd.sets((32, 32)), ranges.input, Goal(0, 0, 0, 1))
    compiled = openvino.compile_model(
        openvino.Core().read_model(found.openvino.SerializeToString()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    said = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [one["runtimePrecision"].value for one in said if one["layerType"].value == "Convolution"]
    assert kinds, "convolutions have a name of their own"
    assert set(kinds) <= {"u8", "i8"}


def test_if_the_goal_is_not_met_it_is_said_and_the_best_is_given():
    found = quantise_model(odd.around(odd.ODD["plain"]), odd.sets(), (-1.0, 1.0), Goal(98, 98, 1, 0.9))
    assert not found.met
    assert found.best in found.frontier
    assert len(found.frontier) > 2, "what there is, to look at"
    assert found.best.outcome.psnr_db == max(point.outcome.psnr_db for point in found.frontier)
