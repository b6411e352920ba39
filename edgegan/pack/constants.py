"""Pass: inputs beside the picture, such as a style, become constants."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, helper, numpy_helper

from edgegan.errors import ConfigError, ModelError
from edgegan.pack.graph import PassReport, copied, described, dims_of
from edgegan.pack.recipe import Constant
from edgegan.registry import did_you_mean

__all__ = ["bind_constants", "constant_arrays"]

Arrays = Mapping[str, npt.NDArray[np.generic]]


def constant_arrays(model: ModelProto, constants: Mapping[str, Constant]) -> Arrays:
    """The value of each input that a recipe names, with that input's shape (a dynamic batch is 1) and type.

    Raises `ConfigError` for an input that the model has not, or a value that does not fit.
    """
    inputs = {value.name: value for value in model.graph.input}
    arrays = {}
    for name, constant in constants.items():
        if name not in inputs:
            raise ConfigError(f"the model has no input '{name}'", did_you_mean(name, inputs))
        value, dims = inputs[name], dims_of(inputs[name])
        if dims is None or None in dims[1:]:
            raise ModelError(f"the input {described(value)} has no fixed shape", "export it with one")
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        try:
            arrays[name] = constant.array([dim or 1 for dim in dims], kind)
        except ValueError as error:
            raise ConfigError(f"the value for the input {described(value)} does not fit: {error}") from error
    return arrays


def bind_constants(model: ModelProto, arrays: Arrays) -> tuple[ModelProto, PassReport]:
    """Make initialisers of the inputs in `arrays`; old exporters' initialisers stop being inputs as well."""
    model = copied(model)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    held = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in held]
    bound = len(model.graph.input) - len(kept)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)  # before, every initialiser had to be an input as well
    did = f"bound {', '.join(arrays)}" if arrays else f"took {bound} weights out of the inputs"
    return model, PassReport("constants", did if bound else "nothing to bind", bool(bound))
