#!/usr/bin/env python3
"""Make the clip that ships with edgegan: ten seconds of free photographs, moving as a camera's picture moves.

    python tools/make_clip.py --photos PHOTOS -o engines/clip/paint_demo.mp4

640x360, 25 frames a second, 250 frames, H.264. Five photographs, each under a hand-held camera's path (pan,
zoom, sway, a little rotation, a shutter that is open for a while); the motorcycle is seen from a camera that
really changes place, since its depth is known; leaves fall in front, shadows pass, the light changes.

Sources: `motorcycle_left.png` with `motorcycle_disp.npz` (Middlebury 2014 stereo), `coffee.png` and
`astronaut.png` out of `skimage/data` of the package scikit-image, CC0 or public domain; `perched-osprey.jpg`
and `lake-sherburne.jpg`, CC0, of github.com/BuddiesOfBudgie/budgie-backgrounds (folder `backgrounds/`),
wherever --photos finds them, with or without `budgie_` before the name.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]  # (H, W, 3) BGR 0..255, or (H, W)

WIDTH, HEIGHT, RATE = 640, 360, 25
FRAMES, SCENES, FADE = 250, 5, 10
SCENE = (FRAMES + (SCENES - 1) * FADE) // SCENES  # frames of a scene, its fades among them
SHUTTER = 0.4  # share of the time between two frames during which light is gathered


class UsageError(Exception):
    """A mistake of the person who called: one line on stderr, exit code 2."""


# ---------------------------------------------------------------------------------------------------- sources


def photo(folder: Path, name: str) -> Picture:
    """A photograph of the folder, with or without `budgie_` before its name, at most 720 pixels high."""
    if not folder.is_dir():
        raise UsageError(f"no folder of photographs at {folder}: give --photos, or set EDGEGAN_MODELS")
    for path in (folder / name, folder / f"budgie_{name}"):
        if path.is_file():
            return _read(path)
    raise UsageError(
        f"no {name} in {folder}: it is in backgrounds/ of github.com/BuddiesOfBudgie/budgie-backgrounds"
    )


def sample_folder() -> Path:
    """Where scikit-image keeps its sample pictures. The package is only looked for, not imported."""
    found = importlib.util.find_spec("skimage")
    places = list(found.submodule_search_locations or []) if found else []
    if not places:
        raise UsageError("scikit-image is needed for its sample pictures: pip install scikit-image")
    return Path(places[0]) / "data"


def _f32(pixels: npt.ArrayLike) -> Picture:
    return np.asarray(pixels, np.float32)


def _read(path: Path) -> Picture:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise UsageError(f"{path} cannot be read as a picture")
    scale = min(1.0, 720 / pixels.shape[0])
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)


def read_disparity(path: Path) -> Picture:
    """Disparity of the left picture in pixels, (H, W).

    Where none was measured, the farther of its neighbours to the left and right: what one view hides lies
    behind.
    """
    if not path.is_file():
        raise UsageError(f"no {path.name} in {path.parent}: this scikit-image is too small, take 0.26")
    disparity = np.load(path)["arr_0"].astype(np.float32)
    known = np.isfinite(disparity)
    for row, good in zip(disparity, known, strict=True):
        where = np.flatnonzero(good)
        if where.size:
            left = where[np.clip(np.searchsorted(where, np.arange(row.size), "right") - 1, 0, None)]
            right = where[np.clip(np.searchsorted(where, np.arange(row.size)), None, where.size - 1)]
            row[:] = np.where(good, row, np.minimum(row[left], row[right]))
    return _f32(cv2.medianBlur(disparity, 5))


# ----------------------------------------------------------------------------------------------------- camera


@dataclass(frozen=True)
class View:
    """What the camera looks at: centre and height seen as shares of the picture, the turn in degrees."""

    x: float
    y: float
    height: float
    turn: float = 0.0


def between(first: View, last: View, t: float) -> View:
    """The view at t in [0, 1], setting out and arriving gently."""
    s = t * t * (3 - 2 * t) * 0.5 + t * 0.5
    pairs = zip(
        (first.x, first.y, first.height, first.turn), (last.x, last.y, last.height, last.turn), strict=True
    )
    return View(*(a + (b - a) * s for a, b in pairs))


def sway(seconds: float, scene: int) -> tuple[float, float, float]:
    """A hand's unrest: sideways and up as shares of the height seen, and degrees. Three slow waves each."""

    def wave(axis: int) -> float:
        phases = np.random.default_rng(100 * scene + axis).uniform(0, 2 * np.pi, 3)
        return float(
            sum(
                a * np.sin(2 * np.pi * f * seconds + p)
                for a, f, p in zip((1.0, 0.5, 0.2), (0.4, 0.9, 2.3), phases, strict=True)
            )
        )

    return 0.006 * wave(0), 0.006 * wave(1), 0.35 * wave(2)


def look(picture: Picture, view: View, shake: tuple[float, float, float]) -> Picture:
    """The picture as seen by the camera, (360, 640, 3); what lies outside is mirrored."""
    height, width = picture.shape[:2]
    scale = HEIGHT / (view.height * height)
    matrix = cv2.getRotationMatrix2D((0.0, 0.0), view.turn + shake[2], scale)
    centre = np.array(
        [view.x * width + shake[0] * view.height * height, view.y * height + shake[1] * view.height * height]
    )
    matrix[:, 2] = np.array([WIDTH / 2, HEIGHT / 2]) - matrix[:, :2] @ centre
    seen = cv2.warpAffine(
        picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.clip(seen, 0, 255).astype(np.float32)


def displaced(picture: Picture, disparity: Picture, x: float, y: float, forward: float) -> Picture:
    """The picture from another place: x, y in baselines of the pair, forward as a share of the nearest depth.

    Backward warping with the disparity of the new view, found by fixed-point steps; near things are grown
    first, so that their edges keep their own colour.
    """
    height, width = disparity.shape
    grid_y, grid_x = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = cv2.dilate(disparity, np.ones((3, 3), np.uint8)).astype(np.float32)
    zoom = forward / float(depth.max())
    at_x, at_y = grid_x, grid_y
    for _ in range(6):
        d = cv2.remap(depth, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        at_x = grid_x + d * (np.float32(x) - np.float32(zoom) * (grid_x - width / 2))
        at_y = grid_y + d * (np.float32(y) - np.float32(zoom) * (grid_y - height / 2))
    return cv2.remap(picture, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101).astype(
        np.float32
    )


# --------------------------------------------------------------------------------------- what moves by itself


NEAR = 20.0  # pixels: leaves larger than that are out of focus


@dataclass(frozen=True)
class Leaf:
    """One falling leaf. Lengths in pixels, times in seconds, angles in radians."""

    x: float
    start: float
    speed: float
    size: float
    swing: float
    pace: float
    phase: float
    colour: tuple[float, float, float]


def leaves(count: int, seed: int) -> list[Leaf]:
    rng = np.random.default_rng(seed)
    colours = [(30.0, 120.0, 205.0), (25.0, 80.0, 190.0), (40.0, 165.0, 220.0), (45.0, 130.0, 120.0)]  # BGR
    return [
        Leaf(
            x=float(rng.uniform(-40, WIDTH + 40)),
            start=float(rng.uniform(-2.0, 1.6)),
            speed=float(rng.uniform(150, 260)),
            size=float(rng.uniform(11, 32)),
            swing=float(rng.uniform(20, 70)),
            pace=float(rng.uniform(2, 4)),
            phase=float(rng.uniform(0, 2 * np.pi)),
            colour=colours[int(rng.integers(len(colours)))],
        )
        for _ in range(count)
    ]


def leaf_outline(leaf: Leaf, seconds: float) -> npt.NDArray[np.float64]:
    """The outline at that time, (40, 2) x and y in pixels, tip to tip and back; tumbling makes it narrow."""
    t = seconds - leaf.start
    angle = leaf.pace * t + leaf.phase
    u = np.linspace(0, 2 * np.pi, 40)
    breadth = 0.45 * np.cos(1.7 * angle) * np.abs(np.sin(u)) ** 0.3
    flat = leaf.size * np.stack([np.cos(u), breadth * np.sin(u)], 1)
    turn = 0.8 * np.sin(angle) + 0.5 * leaf.phase
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    place = np.array([leaf.x + leaf.swing * np.sin(angle) - 30 * t, leaf.speed * t - 2 * leaf.size])
    return np.asarray(flat @ rotation.T + place)


def draw_leaf(canvas: Picture, leaf: Leaf, seconds: float) -> Picture:
    """The canvas (360, 640, 3) with the leaf over it; large leaves are near and out of focus."""
    points = leaf_outline(leaf, seconds)
    if points[:, 1].max() < -20 or points[:, 1].min() > HEIGHT + 20:
        return canvas
    fixed = np.round(points * 16).astype(np.int32)  # sixteenths of a pixel, or slow leaves would jump
    light = 0.75 + 0.35 * np.sin(1.7 * (leaf.pace * (seconds - leaf.start) + leaf.phase))
    colour = tuple(float(light * part) for part in leaf.colour)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    ink = np.zeros((HEIGHT, WIDTH, 3), np.float32) + np.array(colour, np.float32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=4)
    vein = [0.6 * part for part in colour]
    cv2.line(ink, fixed[0].tolist(), fixed[20].tolist(), vein, 1, cv2.LINE_AA, 4)
    if leaf.size > NEAR:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), leaf.size / 10), np.uint8)
    share = mask.astype(np.float32)[..., None] / 255
    return _f32(canvas * (1 - share) + ink * share)


def shadow(seconds: float, seed: int, coarse: int, speed: float, depth: float) -> Picture:
    """Light left by what passes overhead: factors (360, 640, 1) from 1 - depth to 1, drifting right."""
    noise = np.random.default_rng(seed).random((coarse, 8 * coarse)).astype(np.float32)
    scale = 2 * HEIGHT / coarse
    matrix = np.array([[scale, 0, -(4 * WIDTH) + speed * seconds], [0, scale, -HEIGHT / 2]], np.float32)
    soft = cv2.warpAffine(noise, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    edge = 1 / (1 + np.exp(-12 * (soft - 0.5)))
    return _f32(1 - depth * edge[..., None])


# ----------------------------------------------------------------------------------------------------- scenes

Scene = Callable[[float], Picture]  # from seconds since the scene began to (360, 640, 3)

LENGTH = SCENE / RATE


def motorcycle(samples: Path) -> Scene:
    picture, disparity = (
        _read(samples / "motorcycle_left.png"),
        read_disparity(samples / "motorcycle_disp.npz"),
    )

    def at(seconds: float) -> Picture:
        t, shake = seconds / LENGTH, sway(seconds, 0)
        moved = displaced(
            picture, disparity, 0.45 * np.cos(np.pi * t) + shake[0], -0.08 + 0.16 * t + shake[1], 0.14 * t
        )
        view = between(View(0.50, 0.52, 0.77, -0.6), View(0.50, 0.51, 0.74, 0.6), t)
        return _f32(look(moved, view, shake) * (0.95 + 0.08 * np.sin(2.2 * seconds)))

    return at


def osprey(photos: Path) -> Scene:
    picture, falling = photo(photos, "perched-osprey.jpg"), leaves(26, 5)

    def at(seconds: float) -> Picture:
        view = between(View(0.52, 0.50, 0.92, 0.8), View(0.38, 0.40, 0.62, -0.8), seconds / LENGTH)
        seen = look(picture, view, sway(seconds, 1)) * shadow(seconds, 8, 6, 90.0, 0.35)
        for leaf in falling:
            seen = draw_leaf(seen, leaf, seconds)
        return seen

    return at


def coffee(samples: Path) -> Scene:
    picture = _read(samples / "coffee.png")

    def at(seconds: float) -> Picture:
        view = between(View(0.44, 0.50, 0.70, -3.0), View(0.55, 0.44, 0.60, 3.0), seconds / LENGTH)
        seen = look(picture, view, sway(seconds, 2)) * shadow(seconds, 3, 5, 260.0, 0.45)
        return _f32(seen * (1.08 + 0.05 * np.sin(5 * seconds)))

    return at


def lake(photos: Path) -> Scene:
    picture, falling = photo(photos, "lake-sherburne.jpg"), leaves(9, 12)

    def at(seconds: float) -> Picture:
        view = between(View(0.35, 0.52, 0.62, -0.5), View(0.62, 0.50, 0.70, 0.7), seconds / LENGTH)
        seen = look(picture, view, sway(seconds, 3)) * shadow(seconds, 21, 5, 120.0, 0.4)
        for leaf in falling:
            seen = draw_leaf(seen, leaf, seconds)
        return seen

    return at


def astronaut(samples: Path) -> Scene:
    picture = _read(samples / "astronaut.png")

    def at(seconds: float) -> Picture:
        view = between(View(0.50, 0.32, 0.54, 1.0), View(0.45, 0.27, 0.44, -1.0), seconds / LENGTH)
        return look(picture, view, sway(seconds, 4)) * shadow(seconds, 30, 4, 150.0, 0.25)

    return at


def frames(scenes: Sequence[Scene]) -> Iterator[npt.NDArray[np.uint8]]:
    """All frames, uint8 (360, 640, 3) BGR, each the mean of three instants of the open shutter."""
    stride = SCENE - FADE
    for number in range(FRAMES):
        total, weights = np.zeros((HEIGHT, WIDTH, 3), np.float32), 0.0
        for index, scene in enumerate(scenes):
            local = number - index * stride
            if not 0 <= local < SCENE:
                continue
            into = 1.0 if index == 0 else min(1.0, (local + 0.5) / FADE)
            out = 1.0 if index == len(scenes) - 1 else min(1.0, (SCENE - local - 0.5) / FADE)
            instants = [scene((local + SHUTTER * k / 2) / RATE) for k in range(3)]
            total += np.float32(into * out) * np.mean(instants, axis=0)
            weights += into * out
        yield np.clip(total / weights + 0.5, 0, 255).astype(np.uint8)


def write_video(path: Path, pictures: Iterator[npt.NDArray[np.uint8]]) -> None:
    """H.264, yuv420p, its index at the front. Written beside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.stem + ".part.mp4")
    with av.open(str(beside), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryslow", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    beside.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the clip. Exit code 0, or 2 for a mistake of the caller."""
    models = os.environ.get("EDGEGAN_MODELS")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--photos", type=Path, help="folder with the two photographs (default $EDGEGAN_MODELS/photos-calib)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        photos = options.photos or (Path(models) / "photos-calib" if models else None)
        if photos is None:
            raise UsageError(
                "which photographs? give --photos, or set EDGEGAN_MODELS to the folder of photos-calib"
            )
        samples = sample_folder()
        scenes = [motorcycle(samples), osprey(photos), coffee(samples), lake(photos), astronaut(samples)]
        write_video(options.output, frames(scenes))
    except UsageError as error:
        print(f"make_clip: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
