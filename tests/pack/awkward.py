"""What becomes of awkward exports: the table of docs/pack.md.

    python -m tests.pack.awkward             # prints it
    python -m tests.pack.awkward --write     # puts it into docs/pack.md

Each export is made, packed, and drawn with. The truth is the exported file itself on plain ONNX Runtime, with the
numpy of this file around it: nothing of `edgegan.pack` has a hand in that. Where a file cannot be run as it is
(it draws at random, or is declared for another size), `truth` makes the same network without that.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto

from edgegan.bundle import Bundle
from edgegan.errors import UserError
from edgegan.pack import Constant, PackOptions, pack_model
from tests.pack import exports
from tests.pack.exports import BYTES, DYNAMIC, FLOAT, HALF, LAST, PLANES, H, W

DOCS = Path(__file__).parents[2] / "docs/pack.md"
BEGIN, END = "<!-- the table of tests/pack/awkward.py -->\n", "<!-- end of that table -->\n"
SIGNED, UNIT = (-1.0, 1.0), (0.0, 1.0)
STATISTICS = {"batch_statistics": True}


@dataclass(frozen=True)
class Case:
    """An export, the options it is packed with, and what must come of it.

    refused: a pattern of the sentence; None: it packs. ranges: black and white on both sides.
    truth: makes what ONNX Runtime can draw the truth with, where the export itself cannot.
    write: puts the model into the folder by itself, and gives the file.
    """

    export: str
    make: Callable[[], ModelProto]
    options: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    ranges: tuple[tuple[float, float] | None, tuple[float, float] | None] = (SIGNED, SIGNED)
    truth: Callable[[], ModelProto] | None = None
    feeds: dict[str, Any] = field(default_factory=dict)
    output: str | None = None
    size: tuple[int, int] = (H, W)
    write: Callable[[ModelProto, Path], Path] | None = None


@dataclass(frozen=True)
class Outcome:
    """levels: the largest difference in grey levels; None where the export was refused, with `said`."""

    levels: int | None
    said: str = ""
    described: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        if self.levels is None:
            return f"refused: {self.said}"
        return f"packed, largest difference {self.levels} grey level{'' if self.levels == 1 else 's'}"


def tried(case: Case, folder: Path) -> Outcome:
    """Pack it, and draw with both."""
    path = (case.write or _saved)(case.make(), folder)
    given = {"input_range": case.ranges[0], "output_range": case.ranges[1], **case.options}
    try:
        described = pack_model(path, folder / "bundle", PackOptions(**given), pictures=_photos(folder))
    except UserError as error:
        assert not (folder / "bundle").exists(), "refused, and yet written"
        return Outcome(None, str(error).replace(f"{folder}/", ""))
    packed = onnxruntime.InferenceSession(Bundle.open(folder / "bundle").read_model("fp32"))
    truth = onnxruntime.InferenceSession(
        case.truth().SerializeToString() if case.truth else str(path), _quiet()
    )
    differences = []
    for pixels in _pictures(case.size):
        drawn = packed.run(None, {"input": pixels[None]})[0][0]
        expected = _drawn(truth, case, pixels)
        assert drawn.shape == expected.shape
        assert drawn.std() > 1, "it draws something"
        differences.append(int(np.abs(drawn.astype(int) - expected).max()))
    return Outcome(max(differences), described=described)


def _photos(folder: Path) -> Path:
    """For `pack`'s own comparison."""
    (folder / "photos").mkdir()
    for number, pixels in enumerate(_pictures((H, W))):
        cv2.imwrite(str(folder / f"photos/{number}.png"), pixels)
    return folder / "photos"


def _saved(model: ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def _pictures(size: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """Smooth, black, and grained ones, uint8 (H, W, 3) BGR."""
    random = np.random.default_rng(3)
    corners = random.integers(0, 256, (3, 4, 3), np.uint8)
    smooth = cv2.resize(corners, size[::-1], interpolation=cv2.INTER_CUBIC)
    grained = random.integers(0, 256, (*size, 3), np.uint8)
    return [smooth, np.ascontiguousarray(smooth[::-1, ::-1] // 2), grained]


def _drawn(truth: onnxruntime.InferenceSession, case: Case, pixels: npt.NDArray[np.uint8]) -> Any:
    """BGR bytes to BGR bytes through the export, by the declaration of its own input."""
    picture = next(value for value in truth.get_inputs() if value.name not in case.feeds)
    kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    dtype = kind.get(picture.type, np.uint8)
    last, batch = picture.shape[3] in (1, 3), picture.shape[0] if isinstance(picture.shape[0], int) else 1
    values = pixels[:, :, ::-1].astype(np.float64)
    if picture.shape[3 if last else 1] == 1:
        values = values @ [[0.299], [0.587], [0.114]]
    black, white = (0, 255) if dtype is np.uint8 else case.ranges[0]
    values = black + values * (white - black) / 255
    values = np.rint(values) if dtype is np.uint8 else values
    values = values[None] if last else values.transpose(2, 0, 1)[None]
    feeds = {picture.name: np.repeat(values, batch, 0).astype(dtype), **case.feeds}
    drawn = truth.run([case.output or truth.get_outputs()[-1].name], feeds)[0][0]
    black, white = (0, 255) if drawn.dtype == np.uint8 else case.ranges[1]
    drawn = (
        drawn.astype(np.float64) if drawn.shape[2] in (1, 3) else drawn.astype(np.float64).transpose(1, 2, 0)
    )
    levels = np.clip(np.rint((drawn - black) * 255 / (white - black)), 0, 255)
    return np.repeat(levels, 3 // levels.shape[2], axis=2)[:, :, ::-1]


# -- Files that are awkward themselves


def _apart(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def _apart_and_lost(model: ModelProto, folder: Path) -> Path:
    path = _apart(model, folder)
    (folder / "weights.bin").unlink()
    return path


def _apart_and_outside(model: ModelProto, folder: Path) -> Path:
    path = _apart(model, folder)
    (folder / "weights.bin").unlink()
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../outs.bin"))
    return path


def _cut_short(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString()[:-2000])
    return path


def _e(export: str, make: Callable[..., ModelProto], *args: Any, **kwargs: Any) -> Callable[..., Case]:
    return lambda **more: Case(export, lambda: make(*args, **kwargs), **more)


def _cases() -> list[Case]:
    e, x = _e, exports
    small = {"size": (16, 16)}
    still = {"truth": lambda: x.unet(still=True), "options": STATISTICS, **small}
    return [
        e("U-Net of pix2pix in training mode: BatchNormalization and Dropout", x.unet)(
            refused="BatchNormalization 'norm_3' is in training mode.*--batch-statistics"
        ),
        e("the same with `--batch-statistics`", x.unet)(**still),
        e("its BatchNormalization with one output, `--batch-statistics`", x.unet, norms=1)(**still),
        e("its form of opset 11, with five outputs", x.unet, 11, 5, dropout=False)(
            refused="BatchNormalization 'norm_3' is in training mode"
        ),
        e("the same with `--batch-statistics`", x.unet, 11, 5, dropout=False)(options=STATISTICS, **small),
        e("the U-Net in float16, `--batch-statistics`", x.unet, kind=HALF)(
            **{**still, "truth": lambda: x.unet(still=True)}
        ),
        e("Dropout in training mode alone", x.unet, norms=1, normal=True)(
            refused="Dropout 'drop_.*draws something else each time"
        ),
        e("the same with `--batch-statistics`", x.unet, norms=1, normal=True)(
            **{**still, "truth": lambda: x.unet(norms=1, normal=True, still=True)}
        ),
        e("the U-Net in evaluation mode", x.unet, norms=1, training=False)(**small),
        e("the same with `--batch-statistics`", x.unet, norms=1, training=False)(
            options=STATISTICS, refused="no BatchNormalization and no Dropout in training mode.*leave"
        ),
        e("training mode on maps of 1 x 1, `--batch-statistics`", x.lone_pixel_norm)(options=STATISTICS),
        e("training mode whose running mean is drawn with", x.statistics_read)(
            options=STATISTICS, refused="running statistics of BatchNormalization 'norm'"
        ),
        e("Dropout in evaluation mode, opset 11", x.eval_dropout, 11)(),
        e("Dropout in evaluation mode, opset 13", x.eval_dropout, 13)(),
        *(e(f"opset {opset}", x.plain, opset)() for opset in range(11, 22)),
        e("opset 10", x.plain, 10)(refused="opset 10, edgegan packs 11 to 21.*convert_version"),
        e("opset 22", x.plain, 22)(refused="opset 22"),
        e("every dimension symbolic, `--size 40x56`", x.plain, 17, DYNAMIC)(
            options={"size": (40, 56)}, size=(40, 56)
        ),
        e("dynamic batch alone, Reshape to -1", x.minus_one_reshape)(),
        e("sizes by Shape, Slice, Concat, Cast into Resize", x.computed_sizes)(
            options={"size": (24, 40)}, size=(24, 40)
        ),
        e("shapes by Shape, Gather, Unsqueeze, Concat into Reshape", x.gathered_shape)(
            options={"size": (24, 40)}, size=(24, 40)
        ),
        e("static, another `--size`", x.plain)(
            options={"size": (48, 40)}, size=(48, 40), truth=lambda: x.plain(shape=[1, 3, 48, 40])
        ),
        e("static, another `--size`, sizes computed", x.computed_sizes, PLANES)(
            options={"size": (48, 40)}, size=(48, 40), truth=x.computed_sizes
        ),
        e("static with sizes in a Reshape, another `--size`", x.fixed_reshape)(
            options={"size": (48, 64)}, refused="Reshape 'shuffle/split' holds sizes of 32x48"
        ),
        e("the same, as many pixels in another shape", x.fixed_reshape)(
            options={"size": (W, H)}, refused="Reshape 'shuffle/split' holds sizes of 32x48"
        ),
        e("static with sizes in a Resize, another `--size`", x.fixed_resize)(
            options={"size": (64, 96)}, refused="Resize 'decoder/up' holds sizes of 32x48"
        ),
        e("U-Net, dynamic, a size its levels do not divide", x.skips, DYNAMIC)(
            options={"size": (34, 50)}, refused="cannot draw pictures of 34x50.*--size 36x52 fits"
        ),
        e("batch of 4", x.plain, 17, [4, 3, H, W])(),
        e("draws twice the size", x.enlarging, 2)(ranges=(UNIT, UNIT)),
        e("draws four times the size", x.enlarging, 4)(ranges=(UNIT, UNIT)),
        e("draws half the size", x.halving)(),
        e("a constant of 40 GB, in few bytes", x.huge_constant)(
            refused="ConstantOfShape 'ones' makes a tensor.*larger than 2 GB"
        ),
        e("one weight shared by several nodes", x.shared_weights)(),
        e("weights behind Identity", x.aliased_weights)(),
        e("weights that are inputs too (IR 3)", x.weights_as_inputs)(),
        e("weights from Constant nodes", x.weights_by_nodes)(),
        e("weights from ConstantOfShape", x.weights_of_shape)(),
        e("weights in int8 before DequantizeLinear, arithmetic in float", x.few_bit_weights)(),
        e("a weight that is NaN", x.spoilt, np.nan)(refused="the weight 'encoder.weight' holds NaN"),
        e("a weight that is infinite", x.spoilt, np.inf)(refused="'encoder.weight' holds an infinite number"),
        e("float16 throughout", x.plain, kind=HALF)(),
        e("float16 weights, float32 pictures", x.half_inside)(),
        e("the same with its nodes out of order", x.unsorted)(truth=lambda: x.half_inside()),
        e("float16 with normalisation in float32", x.half_inside, mixed=True)(),
        e("float16, many layers", x.deep_half)(truth=lambda: x.deep_half(FLOAT)),
        e("double throughout", x.plain, kind=onnx.TensorProto.DOUBLE)(truth=x.plain),
        e("double, dynamic, `--size 40x56`", x.plain, 17, DYNAMIC, onnx.TensorProto.DOUBLE)(
            options={"size": (40, 56)}, size=(40, 56), truth=lambda: x.plain(shape=DYNAMIC)
        ),
        e("bfloat16 throughout", x.plain, kind=onnx.TensorProto.BFLOAT16)(truth=x.rounded_to_bfloat16),
        e("quantised, Q/DQ", x.quantised, "QDQ")(refused="QuantizeLinear 'quantise_input'.*float model"),
        e("quantised, QLinearConv", x.quantised, "QLinearConv")(refused="the model is quantised"),
        e("quantised, ConvInteger", x.quantised, "ConvInteger")(refused="the model is quantised"),
        e("NHWC in and out (TensorFlow)", x.tensorflow, LAST)(),
        e("NHWC in, NCHW out", x.tensorflow, LAST, False)(),
        e("NHWC, every other dimension unknown", x.tensorflow, [None, None, None, 3])(
            options={"size": (H, W)}
        ),
        e("bytes in and out, NCHW", x.of_bytes, PLANES)(ranges=(None, None)),
        e("bytes in and out, NHWC", x.of_bytes, LAST)(ranges=(None, None)),
        e("bytes in, float out", x.of_bytes, PLANES, (BYTES, FLOAT))(ranges=(None, UNIT)),
        e("bytes that are padded as bytes", x.bytes_padded)(
            ranges=(None, SIGNED), refused="Pad 'border' reads the bytes of 'x'"),
        e("packed by edgegan already", x.packed_already)(refused="packed already"),
        e("grey in, colour out", x.channels, 1, 3)(),
        e("colour in, grey out", x.channels, 3, 1)(),
        e("grey in and out, NHWC", x.channels, 1, 1, True)(),
        e("two channels", x.channels, 2, 3)(refused=r"'x' float32 \[1, 2, 32, 48\] has 2 channels"),
        e("RGBA", x.channels, 4, 4)(refused=r"'x' float32 \[1, 4, 32, 48\] has four channels"),
        e("RGBA out", x.channels, 3, 4)(refused=r"output 'y' float32 \[1, 4, 32, 48\] is no picture"),
        e("a latent vector in", x.latent)(refused="latent vector"),
        e("several outputs, one is a picture", x.outputs, "features")(),
        e("a picture and its mask", x.outputs, "mask")(),
        e("two pictures", x.outputs, "two")(refused="2 outputs that may be the picture.*--output-name"),
        e("two pictures, `--output-name coarse`", x.outputs, "two")(
            options={"output_name": "coarse"}, output="coarse"
        ),
        e("`--output-name` of none", x.outputs, "two")(
            options={"output_name": "corse"}, refused="no output 'corse': did you mean 'coarse'"
        ),
        e("a second input", x.second_input, [1, 8, 1, 1])(refused=r"the input 'strength' float32.*constants"),
        e("a second input, one number, from the recipe", x.second_input, [])(
            options={"constants": {"strength": Constant(values=(1.5,))}},
            feeds={"strength": np.array(1.5, np.float32)},
        ),
        e("weights in a second file", x.plain)(write=_apart, truth=x.plain),
        e("weights in a second file that is lost", x.plain)(
            write=_apart_and_lost, refused="lacks its weights: 'weights.bin' is not there"
        ),
        e("weights in a file outside of the folder", x.plain)(
            write=_apart_and_outside, refused="'../outs.bin', outside of its folder"
        ),
        e("cut short", x.plain)(write=_cut_short, refused="no ONNX model, or is cut short"),
        e("nodes without names", x.named, "nameless")(),
        e("nodes that share one name", x.named, "shared")(truth=x.plain),
        e("names in other scripts, with slashes and quotes", x.named, "unicode")(),
        e("names with spaces, tabs, line breaks", x.named, "spaces")(),
        e("names that the packed model needs itself, crossed", x.named, "crossed")(),
        e("PixelShuffle: DepthToSpace", x.shuffle, "DepthToSpace")(),
        e("PixelShuffle: Reshape, Transpose, Reshape", x.shuffle, "static")(),
        e("PixelShuffle: the same, dynamic", x.shuffle, "dynamic")(
            options={"size": (24, 40)}, size=(24, 40)
        ),
        e("GroupNorm: Reshape, InstanceNormalization, Reshape", x.group_norm, "InstanceNormalization")(),
        e("GroupNorm: ReduceMean, Sub, Pow, Sqrt, Div", x.group_norm, "ReduceMean")(),
        e("GroupNormalization of opset 18", x.group_norm, "operator 18")(),
        e("GroupNormalization of opset 21", x.group_norm, "operator 21")(),
        e("LayerNormalization over the channels", x.layer_norm)(),
        e("reflection padding", x.reflect, "input")(),
        e("reflection padding, pads by Constant, Concat, Slice, Cast", x.reflect, "computed")(),
        e("ConvTranspose with output_padding", x.transposed, pads=[1] * 4, output_padding=[1, 1])(),
        e("ConvTranspose with auto_pad SAME_UPPER", x.transposed, auto_pad="SAME_UPPER")(),
        e("ConvTranspose with output_shape", x.transposed, output_shape=[H, W])(),
        e("Resize linear, align_corners", x.resized, "linear", "align_corners")(),
        e("Resize cubic, half_pixel", x.resized, "cubic", "half_pixel")(),
        e("an operator of somebody's own", x.foreign, "mmdeploy", "ModulatedDeformConv")(
            refused="ModulatedDeformConv 'deform' is no operator of ONNX but of 'mmdeploy'"
        ),
        e("an operator of ONNX Runtime's own", x.foreign, "com.microsoft", "Gelu")(
            refused="Gelu 'deform' is no operator of ONNX but of 'com.microsoft'"
        ),
        e("noise drawn inside", x.noisy)(refused="RandomNormalLike 'noise' draws something else each time"),
        e("If on a constant", x.branching, True)(),
        e("If on the picture", x.branching, False)(),
        e("Loop", x.looping)(),
        e("Scan", x.scanning)(),
        e("sequences", x.sequenced)(),
        e("local functions", x.with_function)(),
    ]  # fmt: skip


CASES = _cases()


def table(outcomes: list[Outcome]) -> str:
    """In Markdown; a difference that may be another on another machine is still at most 1."""
    rows = [f"| {case.export} | {_cell(o.text())} |" for case, o in zip(CASES, outcomes, strict=True)]
    return "\n".join(["| export | what becomes of it |", "|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def without_figures(text: str) -> str:
    """The table less the measured differences, which depend on the processor."""
    return re.sub(r"largest difference \d+ grey levels?", "largest difference N", text)


def table_in_docs() -> str:
    return DOCS.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip() + "\n"


def main() -> None:
    outcomes = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(tried(case, Path(folder)))
    if "--write" not in sys.argv:
        print(table(outcomes))
        return
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}{table(outcomes)}{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
