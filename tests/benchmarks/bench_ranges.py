"""What `edgegan pack` finds of the value ranges of every generator of EDGEGAN_MODELS, against its recipe.

    EDGEGAN_MODELS=… python tests/benchmarks/bench_ranges.py [--pictures DIR] [--without-last] [NAME…]

Each runs in a process of its own, so that "peak MB" is its own; "before" is that of the same process with the
model and the pictures loaded. --without-last takes the last node (Tanh or Sigmoid) away before it is asked: the
last node's hint is gone. "dynamic" means that height and width of the file were made dynamic, as an exporter
could have left them.
"""

import argparse
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, helper

from edgegan.errors import ModelError
from edgegan.pack import load_recipe
from edgegan.pack.check import find_interface
from edgegan.pack.constants import bind_constants, constant_arrays
from edgegan.pack.pictures import comparison_pictures
from edgegan.pack.probing import find_ranges
from edgegan.pack.ranges import range_text
from edgegan.pack.size import chosen_size

RECIPES = Path(__file__).parents[2] / "engines/recipes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in RECIPES.glob("*.yaml")))
    parser.add_argument("--pictures", type=Path, help="a folder of photos (default: the shipped clip)")
    parser.add_argument("--without-last", action="store_true")
    args = parser.parse_args()
    print(
        "| generator | size | input, output | truth | seconds | before, peak MB | why |\n" + "|---" * 7 + "|"
    )
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in args.names:
            for dynamic in (False, True):
                print(pool.submit(row, name, dynamic, args.without_last, args.pictures).result(), flush=True)


def row(name: str, dynamic: bool, without_last: bool, pictures: Path | None) -> str:
    """One line of the table."""
    _, options = load_recipe(RECIPES / f"{name}.yaml")
    model = onnx.load(Path(os.environ["EDGEGAN_MODELS"]) / "generators" / f"{name}.onnx")
    model = _made_dynamic(model) if dynamic else model
    model = _without_last(model) if without_last else model
    interface = find_interface(model, options.constants)
    bound, _ = bind_constants(model, constant_arrays(model, options.constants))
    size = chosen_size(interface, None)
    samples = comparison_pictures(pictures, size).pictures
    before, start = _peak_megabytes(), time.monotonic()
    try:
        ranges = find_ranges(bound, interface, samples, None, None)
        found, why = f"{range_text(ranges.input)}, {range_text(ranges.output)}", "; ".join(ranges.assumptions)
    except ModelError as error:
        found, why = "asked", error.message
    seconds = time.monotonic() - start
    truth = f"{range_text(options.input_range)}, {range_text(options.output_range)}"
    shown = "dynamic" if dynamic else f"{size[0]}x{size[1]}"
    return f"| {name} | {shown} | {found} | {truth} | {seconds:.1f} | {before}, {_peak_megabytes()} | {why} |"


def _made_dynamic(model: ModelProto) -> ModelProto:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["n", 3, "h", "w"]))
    del model.graph.value_info[:]
    return model


def _without_last(model: ModelProto) -> ModelProto:
    last = model.graph.node[-1]
    if last.op_type in ("Tanh", "Sigmoid"):
        last.op_type = "Identity"
    return model


def _peak_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
