"""From somebody's float ONNX generator to a bundle. Workstation only: needs `pip install 'edgegan[pack]'`.

A graph pass is a function `pass(model, …) -> (model, PassReport)`: it leaves its argument as it was, and says
what it did instead of printing it. `packing` is the order in which they run; `contract` is what must hold
afterwards.
"""

from edgegan.errors import MissingDependency
from edgegan.extras import install_command

try:
    from edgegan.pack.packing import pack_model
    from edgegan.pack.recipe import Constant, PackOptions, load_recipe, with_shipped_recipe
except ImportError as error:
    if error.name is None or error.name.partition(".")[0] not in ("onnx", "onnxsim", "onnxruntime"):
        raise
    raise MissingDependency(f"packing needs the package '{error.name}'", install_command("pack")) from error

__all__ = ["Constant", "PackOptions", "load_recipe", "pack_model", "with_shipped_recipe"]
