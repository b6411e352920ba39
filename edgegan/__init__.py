"""Run compressed GAN generators live on small boards, with honest traces."""

import os

__version__ = "0.1.0"

__all__ = ["__version__"]

# ONNX Runtime's official builds for Linux came to tell their maker of each start, and to keep a number for this
# device in the home folder (1.32.0 does; its Privacy.md). Read when it is loaded, here or in a worker. The second name
# is older.
for _name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
    os.environ.setdefault(_name, "1")
