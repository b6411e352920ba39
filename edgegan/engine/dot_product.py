"""Whether this device's CPU multiplies bytes as INT8 on ONNX Runtime needs it."""

from pathlib import Path

from edgegan.engine.fingerprint import describe_device

__all__ = ["lacking"]

_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "asimddp")
"""Flags of /proc/cpuinfo: x86 in 512 and in 256 bits, and ARM from v8.2 on."""


def lacking(root: Path = Path("/")) -> str:
    """Why this CPU should not run INT8 on ONNX Runtime, in words; empty if it may.

    Without VNNI, x86 adds two products of bytes in 16 bits, where large ones are cut off: the picture is wrong.
    Source: docs/performance of ONNX Runtime, quantization, "U8S8 saturation". ARM without dot products is right, and
    slower than in float. Each kind of core must have the instruction: a thread may run on any.
    """
    kinds = describe_device(root)["cpus"]["kinds"]
    if not kinds:
        return "the kernel does not say what this CPU can"
    if all(set(_INSTRUCTIONS) & set(str(kind["flags"]).split()) for kind in kinds):
        return ""
    if any("asimd" in str(kind["flags"]).split() for kind in kinds):
        return "this CPU has no dot product of bytes (asimddp): INT8 would be slower than FP32"
    return "this CPU has no VNNI: products of bytes would overflow, and the picture be wrong"
