"""The way from an ONNX file to a bundle; it reads downwards."""

import datetime as dt
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from onnx import ModelProto, TensorProto

from edgegan import __version__
from edgegan.bundle import check_target, write_bundle
from edgegan.errors import ConfigError
from edgegan.frame import Pixels
from edgegan.pack.agreement import agree
from edgegan.pack.check import Form, Interface
from edgegan.pack.compare import Agreement, Packed
from edgegan.pack.contract import check_contract
from edgegan.pack.graph import PassReport, dims_of, opset_of, quoted
from edgegan.pack.judging import GATES
from edgegan.pack.macs import count_macs, count_params
from edgegan.pack.pictures import Pictures, comparison_pictures
from edgegan.pack.pixels import add_pixels
from edgegan.pack.preparing import Prepared, prepare
from edgegan.pack.probing import find_ranges
from edgegan.pack.ranges import Range, ValueRanges
from edgegan.pack.recipe import PackOptions
from edgegan.pack.simplify import simplify
from edgegan.pack.versions import ASKED, Versions, Wish, checked_precisions, make_versions
from edgegan.report.quality_page import quality_page

__all__ = ["pack_model"]

log = logging.getLogger(__name__)

_MODEL_FILE = "model_fp32.onnx"
_BYTES: Range = (0.0, 255.0)
Progress = Callable[[str, float], None]


def pack_model(
    model: Path,
    output: Path,
    options: PackOptions,
    *,
    pictures: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a bundle of an ONNX generator, if the packed model draws what the original does.

    model: opset 11 to 21, one picture in and one out, RGB or grey, static or dynamic (docs/pack.md).
    output: a folder, or a file ending in `.edgegan` or `.zip`; replaced if it is a bundle already.
    pictures: a folder of photos or a clip to compare on; None: the shipped clip.
    progress: is called with (what is done now, share of the whole 0..1).
    Returns the bundle's description, as `inspect --json` prints it.
    Raises `ModelError` or `ConfigError` for what cannot be packed, `ModelDisagreement` if the two draw
    differently, `UserError` if the bundle cannot be written. Nothing is written then.
    """
    tell = progress or (lambda what, share: None)
    check_target(output)
    wish = _wish(options)
    if progress is None and "int8" in wish.precisions:
        log.info("making INT8 takes minutes, a quarter of an hour for a large generator")
    tell("reading the model", 0.0)
    prepared = prepare(model, options)
    samples = comparison_pictures(pictures, prepared.size)
    given = _given_ranges(options, prepared.interface)
    ranges = find_ranges(
        prepared.model,
        prepared.interface,
        samples.pictures,
        *given,
        lambda share: tell("probing value ranges", 0.1 * share),
    )

    tell("simplifying", 0.1)
    simple, simplify_report = simplify(prepared.model)
    packed, pixels_report = add_pixels(simple, ranges)
    check_contract(packed)

    compared = 0.9 if wish.precisions == ("fp32",) else 0.2
    tell("comparing with the original", 0.1)
    agreement = agree(
        prepared,
        ranges,
        Packed(packed),
        samples.pictures,
        lambda share: tell("comparing with the original", 0.1 + (compared - 0.1) * share),
    )
    name = options.name or model.stem
    versions = make_versions(
        packed,
        name,
        prepared.size,
        ranges.input,
        wish,
        lambda what, share: tell(what, compared + (0.95 - compared) * share),
    )

    tell("writing the bundle", 0.95)
    manifest = _manifest(name, packed, options, versions)
    reports = (*prepared.reports, simplify_report, pixels_report)
    manifest |= _provenance(model, prepared, ranges, reports, samples, agreement)
    files = _files(packed, options, samples, agreement) | _version_files(versions)
    bundle = write_bundle(output, manifest, files)
    versions.forget()
    tell("done", 1.0)
    return bundle.describe()


def _wish(options: PackOptions) -> Wish:
    """What other precisions are to be made, checked before any work is done."""
    asked = options.precisions or (ASKED if options.calibrate else ("fp32",))
    precisions = checked_precisions(asked, options.calibrate)
    wish = Wish(
        precisions,
        options.calibrate,
        options.perceptual,
        options.gates,
        options.int8_share,
        options.seed,
        by_name=bool(options.precisions),
    )
    for precision in GATES:
        wish.gate(precision)
    return wish


def _version_files(versions: Versions) -> dict[str, bytes]:
    page = {"quality.html": quality_page(versions.report)} if versions.report else {}
    return {**versions.files, **page}


def _given_ranges(options: PackOptions, interface: Interface) -> tuple[Range | None, Range | None]:
    """What was given; bytes are 0 to 255. Raises `ConfigError` where something else is given for bytes."""
    return (
        _given_range("input", interface.input, interface.taken, options.input_range),
        _given_range("output", interface.output, interface.drawn, options.output_range),
    )


def _given_range(side: str, name: str, form: Form, given: Range | None) -> Range | None:
    if form.kind != TensorProto.UINT8:
        return given
    if given not in (None, _BYTES):
        raise ConfigError(
            f"the {side} {quoted(name)} has bytes, which are 0 to 255", f"leave --{side}-range out"
        )
    return _BYTES


def _manifest(name: str, packed: ModelProto, options: PackOptions, versions: Versions) -> dict[str, Any]:
    """What a device reads."""
    pixels = {"dtype": "uint8", "layout": "NHWC", "colour": "BGR"}
    return {
        "name": name,
        "input": {"name": packed.graph.input[0].name, "shape": dims_of(packed.graph.input[0]), **pixels},
        "output": {"name": packed.graph.output[0].name, "shape": dims_of(packed.graph.output[0]), **pixels},
        "models": {
            "fp32": {
                "path": _MODEL_FILE,
                "bytes": packed.ByteSize(),
                "macs": count_macs(packed),
                "macs_int8_share": 0.0,
                "params": count_params(packed),
                "opset": opset_of(packed),
                "quality": None,
            },
            **versions.models,
        },
        "kept_out": list(versions.kept_out),
        "calibration": versions.calibration,
        "licence": options.licence or None,
        "credits": options.credits or None,
    }


def _provenance(
    model: Path,
    prepared: Prepared,
    ranges: ValueRanges,
    reports: tuple[PassReport, ...],
    samples: Pictures,
    agreement: Agreement,
) -> dict[str, Any]:
    """What a person wants to know who doubts the bundle."""
    original = prepared.original
    return {
        "source": {"file": model.name, "params": count_params(original), "opset": opset_of(original)},
        "ranges": {"input": list(ranges.input), "output": list(ranges.output)},
        "assumptions": [*prepared.assumptions, *ranges.assumptions],
        "passes": [{"name": r.name, "changed": r.changed, "did": r.did} for r in reports],
        "agreement": {
            "max_grey_levels": agreement.max_grey_levels,
            "pictures": agreement.pictures,
            "pictures_from": samples.source,
            "original": agreement.original,
        },
        "packed_by": f"edgegan {__version__}",
        "packed_at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }


def _files(
    packed: ModelProto, options: PackOptions, samples: Pictures, agreement: Agreement
) -> dict[str, bytes]:
    return {
        _MODEL_FILE: packed.SerializeToString(deterministic=True),
        "reference_input.png": _png(samples.pictures[0]),
        "reference_output.png": _png(agreement.reference),
        "LICENSE": _licence(options).encode(),
    }


def _licence(options: PackOptions) -> str:
    licence = (
        options.licence
        or "No licence was given for this generator: ask its author before you show or share it."
    )
    return licence.strip() + "\n" + (f"\n{options.credits.strip()}\n" if options.credits else "")


def _png(pixels: Pixels) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])
