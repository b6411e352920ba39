"""The quality page: whole in itself, says what passed and what did not, and takes any bundle's words as words."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from edgegan.frame import Pixels
from edgegan.report.quality_page import FrontierPoint, LayerRow, QualityReport, Version, quality_page

NAMES = ("meadow.jpg", "night.jpg", "face.jpg")
PSNRS = (47.5, 41.25, 50.0)
VOID = {"meta", "img", "wbr"}
EVIL = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """What a browser would make of the page; an end tag that closes nothing is an error."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.script = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


def picture(seed: int, height: int = 48, width: int = 64) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def figures(**changes: Any) -> Mapping[str, Any]:
    return {"psnr_db": 46.25, "psnr_worst_db": 41.25, "ssim": 0.99125, "pictures": 3, **changes}


LAYERS = [
    LayerRow("/c1/Conv", "Conv", "int8", 100, "entropy", 0.0, 255.0, 60.0, ""),
    LayerRow("/c2/Conv", "Conv", "float", 300, "min-max", -3.5, 21.875, 40.0, "the worst one"),
    LayerRow("/up/ConvTranspose", "ConvTranspose", "int8 x2", 600, "", math.nan, math.nan, None, ""),
]
FRONTIER = [FrontierPoint(1.0, 40, 31, 0.3, False), FrontierPoint(0.7, 46, 42, 0.47, True)]


def version(**changes: Any) -> Version:
    values: dict[str, Any] = {
        "precision": "int8",
        "figures": figures(),
        "gate": {"psnr_db": 42.0, "psnr_worst_db": 38.0},
        "why_not": "",
        "per_picture": [{"name": n, "psnr_db": p, "ssim": 0.99} for n, p in zip(NAMES, PSNRS, strict=True)],
        "drawn": [picture(seed + 20) for seed in range(3)],
        "bytes": 1_690_000,
        "macs_int8_share": 0.7,
        "layers": LAYERS,
        "frontier": FRONTIER,
    }
    return Version(**{**values, **changes})


def report(*versions: Version, **changes: Any) -> QualityReport:
    values: dict[str, Any] = {
        "name": "paint",
        "shown": [(name, picture(seed), picture(seed + 10)) for seed, name in enumerate(NAMES)],
        "sets": {"calibrate": 40, "search": 20, "judge": 41, "from": "photos", "seed": 7},
        "versions": versions,
        "made_by": "edgegan 9.8.7",
    }
    return QualityReport(**{**values, **changes})


FP16 = version(precision="fp16", macs_int8_share=0.0, layers=(), frontier=(), gate={"psnr_db": 46.0})
FAILED = version(
    precision="int8_fp16",
    figures=figures(psnr_worst_db=35.5),
    why_not="night.jpg has 35.5 dB, the gate is 38",
)


def words(page: bytes) -> str:
    return " ".join(
        re.sub(r"<[^>]*>", " ", page.decode().partition("<body>")[2].partition("<script>")[0]).split()
    )


def test_a_page_is_whole_in_itself() -> None:
    page = quality_page(report(version(), FP16, FAILED))
    parsed = Page(page)
    sources = [attrs["src"] for _, attrs in parsed.tags if "src" in attrs]
    assert len(sources) == 3 * (2 + 2 * 3)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [
        attrs for _, attrs in parsed.tags if {"href", "srcset", "action", "xlink:href"} & attrs.keys()
    ]
    assert not re.search(rb"https?:|@import|url\(", page)


def test_a_browser_is_told_to_load_nothing_and_to_run_this_script_alone() -> None:
    page = Page(quality_page(report(version())))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    known = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{known}'" in policy
    assert "default-src 'none'" in policy


def test_everything_that_is_seen_can_be_heard() -> None:
    page = Page(quality_page(report(version(), FP16)))
    assert len({attrs["alt"] for attrs in page.all("img")}) == len(page.all("img"))
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))
    assert [bool(attrs["aria-label"]) for attrs in page.all("svg")] == [True] * 3


def test_the_verdict_comes_first_a_line_for_each_version() -> None:
    said = words(quality_page(report(version(), FAILED)))
    assert said.startswith(
        "paint: quality against FP32 int8 ✓ passed . 46.2 dB mean, 41.2 dB on the worst picture, 70 % of MACs in "
        "INT8, 1.69 MB. int8_fp16 ✗ kept out of the bundle : night.jpg has 35.5 dB, the gate is 38. "
        "46.2 dB mean, 35.5 dB on the worst picture"
    )


def test_a_version_that_passed_is_not_called_kept_out() -> None:
    assert "✗" not in words(quality_page(report(version())))


def test_figures_stand_beside_their_gates() -> None:
    said = words(quality_page(report(version(), FAILED)))
    assert "PSNR, mean dB; from 40 on a difference is hard to see 46.25 ✓ ≥ 42 46.25 ✓ ≥ 42" in said
    assert "PSNR, worst picture dB 41.25 ✓ ≥ 38 35.50 ✗ misses ≥ 38" in said
    assert "0.9912" in said
    assert "Each measured on 3 pictures" in said
    assert "ST-LPIPS" not in said


@pytest.mark.parametrize(
    ("key", "value", "gate", "said"),
    [
        ("ssim_worst", 0.95, 0.95, "0.9500 ✓ ≥ 0.95"),
        ("ssim_worst", 0.9499, 0.95, "0.9499 ✗ misses ≥ 0.95"),
        ("st_lpips", 0.02, 0.01, "0.0200 ✗ misses ≤ 0.01"),
        ("st_lpips", 0.01, 0.01, "0.0100 ✓ ≤ 0.01"),
        ("channel_shift_levels", 1.5, 1, "1.50 ✗ misses ≤ 1"),
        ("delta_e", 0.5, 1, "0.50 ✓ ≤ 1"),
        ("checkerboard_db", -2.0, 1.0, "-2.00 ✓ ≤ 1"),
        ("flicker_ratio", 1.2, 1.1, "1.200 ✗ misses ≤ 1.1"),
        ("high_frequency_ratio", 1.2, 1.1, "1.200 ✗ misses 0.909 to 1.1"),
        ("high_frequency_ratio", 0.9, 1.1, "0.900 ✗ misses 0.909 to 1.1"),
        ("high_frequency_ratio", 0.95, 0.9, "0.950 ✓ 0.9 to 1.11"),
        ("high_frequency_ratio", 0.95, (0.9, 1.05), "0.950 ✓ 0.9 to 1.05"),
        ("high_frequency_ratio", 1.06, (0.9, 1.05), "1.060 ✗ misses 0.9 to 1.05"),
        ("flicker_ratio", None, 1.1, "not measured ≤ 1.1"),
        ("psnr_p5_db", math.inf, 50, "∞ ✓ ≥ 50"),
        ("psnr_p5_db", math.nan, 50, "– ✗ misses ≥ 50"),
        ("of_tomorrow", 3.25, 3, "of_tomorrow 3.2500"),
    ],
)
def test_each_gate_bounds_the_side_that_is_worse(key: str, value: Any, gate: Any, said: str) -> None:
    one = version(figures=figures(**{key: value}), gate={key: gate})
    assert said in words(quality_page(report(one)))


def test_the_worst_picture_comes_first_and_is_marked() -> None:
    page = quality_page(report(version(), FP16)).decode()
    headings = re.findall(r"<h3>(\w+\.jpg)(.*?)</h3>", page)
    assert [name for name, _ in headings] == ["night.jpg", "meadow.jpg", "face.jpg"]
    assert "worst with int8 and fp16" in headings[0][1]
    assert ["worst" in mark for _, mark in headings] == [True, False, False]


def test_each_picture_has_the_figures_of_each_version() -> None:
    better = [{"name": n, "psnr_db": p + 10} for n, p in zip(NAMES, PSNRS, strict=True)]
    said = words(quality_page(report(version(), version(precision="fp16", per_picture=better))))
    assert "int8 41.25 dB, SSIM 0.9900 fp16 51.25 dB meadow.jpg" in said


def test_a_shown_picture_that_did_not_judge_is_measured_here() -> None:
    drawn = [np.array(picture(seed + 10)) for seed in range(3)]
    drawn[2] ^= 1
    page = quality_page(report(version(per_picture=(), drawn=drawn)))
    assert re.findall(r"<h3>(\w+)\.jpg", page.decode()) == ["face", "meadow", "night"]
    assert "int8 48.13 dB meadow.jpg" in words(page)
    assert "worst with" not in words(page)


def test_layers_have_form_share_range_and_cost() -> None:
    page = quality_page(report(version()))
    said = words(page)
    assert "int8 x2 : 1 layer, 60.0 % of MACs; activations as the sum of two 8-bit terms" in said
    assert "2 /c2/Conv Conv float 30.0 % min-max -3.5 to 21.88 40.0 dB the worst one" in re.sub(
        r"/ (?=\w)", "/", said
    )
    assert "int8 x2 60.0 % – – – " in said
    bars = [attrs["style"] for attrs in Page(page).all("span") if attrs["class"] == "bar"]
    assert bars == ["width:10.0%", "width:100.0%"]  # 20 dB are ten times the error


def test_the_frontier_is_a_plot_and_a_table() -> None:
    said = words(quality_page(report(version())))
    assert "70.0 % 46.00 dB 42.00 dB 0.470 chosen 100.0 % 40.00 dB 31.00 dB 0.300" in said


def test_a_version_without_layers_has_no_layer_table() -> None:
    said = words(quality_page(report(FP16)))
    assert "Layers of" not in said
    assert "INT8 share of" not in said
    assert "Every picture" in said


def test_layers_without_a_search_have_no_frontier() -> None:
    said = words(quality_page(report(version(frontier=()))))
    assert "Layers of int8" in said
    assert "INT8 share of" not in said


def test_where_all_pictures_are_equal_none_is_the_worst() -> None:
    equal = [{"name": name, "psnr_db": math.inf} for name in NAMES]
    said = words(quality_page(report(version(per_picture=equal))))
    assert "worst with" not in said
    assert "int8 ∞ dB" in said


def test_how_it_was_measured_is_said_also_what_is_not_known_here() -> None:
    said = words(quality_page(report(version(), sets={"judge": 41, "seed": 7, "crop": "cover"})))
    assert "Pictures that judged, used for nothing else 41 Seed of the split 7 crop cover" in said
    assert "Made by edgegan 9.8.7." in said


def test_words_of_a_bundle_are_words_never_markup() -> None:
    one = version(
        precision=EVIL,
        why_not=EVIL,
        per_picture=[{"name": EVIL, "psnr_db": 40.0}],
        gate={EVIL: 1.0},
        drawn=[picture(3)],
        layers=[LayerRow(EVIL, EVIL, "int8", 1, EVIL, 0, 1, 40, EVIL)],
    )
    page = quality_page(
        report(one, name=EVIL, shown=[(EVIL, picture(1), picture(2))], sets={EVIL: EVIL}, made_by=EVIL)
    )
    parsed = Page(page)
    assert len(parsed.all("script")) == 1
    assert "alert" not in parsed.script
    assert all(attrs.keys() <= {"src", "alt", "width", "height"} for attrs in parsed.all("img"))
    assert all(EVIL in attrs["alt"] for attrs in parsed.all("img"))
    assert page.count(b"alert(1)") > 15
    assert b"<script>alert" not in page


def test_six_pictures_of_three_versions_stay_small() -> None:
    shown = [(f"{i}.jpg", picture(i, 256, 256), picture(i + 10, 256, 256)) for i in range(6)]
    drawn = [picture(i + 30, 256, 256) for i in range(6)]  # noise: nothing is larger as a JPEG
    many = [{"name": f"{i}.jpg", "psnr_db": 40 + i / 100} for i in range(1000)]
    versions = [version(precision=p, drawn=drawn, per_picture=many) for p in ("fp16", "int8", "int8_fp16")]
    assert len(quality_page(report(*versions, shown=shown))) < 2_500_000


@pytest.mark.parametrize("size", [(1, 1), (1080, 1920)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    shown = [("a", picture(1, *size), picture(2, *size))]
    one = version(drawn=[picture(3, *size)], per_picture=[])
    assert len(Page(quality_page(report(one, shown=shown))).all("img")) == 4


def test_fp32_alone_and_nothing_to_show() -> None:
    assert "The bundle has FP32 alone." in words(quality_page(report()))
    assert Page(quality_page(report(version(drawn=()), shown=()))).all("img") == []


def test_the_same_report_gives_the_same_bytes() -> None:
    assert quality_page(report(version(), FP16)) == quality_page(report(version(), FP16))


def test_a_version_that_drew_other_pictures_is_refused() -> None:
    with pytest.raises(ValueError):
        quality_page(report(replace(version(), drawn=[picture(1)])))
