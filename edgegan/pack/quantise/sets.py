"""Three disjoint sets of pictures: to calibrate with, to search with, and to judge with, which is read once."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgegan.errors import BundleError, CameraError, UserError
from edgegan.frame import Pixels
from edgegan.framing import Framing
from edgegan.recorded import Source, open_source
from edgegan.resources import resource

__all__ = ["FEWEST", "Picture", "Sets", "read_sets"]

log = logging.getLogger(__name__)

FEWEST = 9
_FEWEST_TO_JUDGE = 3
_CALIBRATE, _SEARCH, _JUDGE = 64, 32, 60
_SHARES = (0.4, 0.25)
"""Of what there is, to calibrate and to search; the rest judges."""
_MOST_READ = 600
_CLIP = "engines/clip/paint_demo.mp4"
_SEARCH_FRAMES, _CLIP_FRAMES = 10, 16
_ALIKE_BITS = 12
"""Pictures whose 16 x 16 difference hashes differ by so few of 256 bits are one scene, and stay in one set."""


@dataclass(frozen=True)
class Picture:
    """uint8 (H, W, 3) BGR of the generator's own size, and a name for people."""

    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Sets:
    """No picture is in two of them, and no scene of photos; those of a clip are apart in time.

    search_clip, clip: consecutive frames, to see flicker while searching and while judging; may be empty.
    """

    calibrate: tuple[Picture, ...]
    search: tuple[Picture, ...]
    judge: tuple[Picture, ...]
    search_clip: tuple[Pixels, ...]
    clip: tuple[Pixels, ...]
    source: str
    seed: int

    def describe(self) -> dict[str, str | int]:
        """For the manifest."""
        counts = {name: len(getattr(self, name)) for name in ("calibrate", "search", "judge", "clip")}
        return {"from": self.source, "seed": self.seed, **counts}

    def key(self) -> str:
        """A hash of the pictures that calibrate and search."""
        digest = hashlib.sha256()
        parts = (
            *([p.pixels for p in pictures] for pictures in (self.calibrate, self.search)),
            self.search_clip,
        )
        for part in parts:
            digest.update(len(part).to_bytes(4, "big"))
            for pixels in part:
                digest.update(pixels.tobytes())
        return digest.hexdigest()


def read_sets(path: Path, size: tuple[int, int], seed: int = 0) -> Sets:
    """Pictures of a folder, or frames of a clip, cropped and scaled to `size` (height, width) as live frames are.

    Photos are drawn by lot (the same for the same pictures and seed, whatever the files are called; of more than
    600, the order of their names decides which are read); equal ones are taken once, and those of one scene go
    together, as many as the set still wants. A clip is cut in three: its first part calibrates, its last part
    judges, and a frame that comes again is taken once. Raises `UserError` if there are too few, `ConfigError` if
    there is nothing at `path`.
    """
    with closing(open_source(str(path))) as source:
        if path.is_dir():
            return _from_photos(_photos(source, path, size, seed), path, size, seed)
        return _from_clip(source, path, size, seed)


def _photos(source: Source, path: Path, size: tuple[int, int], seed: int) -> list[Picture]:
    lot = np.random.default_rng(seed).permutation(source.length)[:_MOST_READ]
    chosen, framing = set(lot.tolist()), Framing(size)
    found: dict[str, Picture] = {}
    unreadable: list[str] = []
    for index in range(source.length):
        try:
            if index not in chosen:
                source.skip()
                continue
            pixels = source.next()
        except CameraError as error:
            unreadable += [error.message] if index in chosen else []
            continue
        if pixels is None:
            break
        picture = framing(pixels)
        found.setdefault(_digest(picture), Picture(source.latest, picture))
    if unreadable:
        log.warning(
            "%d of %d pictures are left out: %s", len(unreadable), len(chosen), "; ".join(unreadable[:3])
        )
    return list(found.values())


def _from_photos(pictures: list[Picture], path: Path, size: tuple[int, int], seed: int) -> Sets:
    scenes = _scenes(pictures, seed)
    if len(pictures) < FEWEST or len(scenes) < 3:
        raise _too_few(path, len(pictures), len(scenes))
    sets: dict[str, list[Picture]] = {"calibrate": [], "search": [], "judge": []}
    wanted = _wanted(len(pictures))
    for scene in scenes:
        name = min(sets, key=lambda one: len(sets[one]) / wanted[one])
        sets[name].extend(scene[: max(wanted[name] - len(sets[name]), 0)])
    if len(sets["judge"]) < _FEWEST_TO_JUDGE:
        raise UserError(
            f"'{path}' has too few scenes: {len(scenes)} of {len(pictures)} pictures, most of them alike, leave "
            f"{len(sets['judge'])} to judge by",
            "give pictures of more different scenes (edgegan record takes them)",
        )
    source = f"{len(pictures)} photos of {path.name}"
    return _made(sets["calibrate"], sets["search"], sets["judge"], _shipped_clips(size), source, seed)


def _made(
    calibrate: Sequence[Picture],
    search: Sequence[Picture],
    judge: Sequence[Picture],
    clips: tuple[Sequence[Pixels], Sequence[Pixels]],
    source: str,
    seed: int,
) -> Sets:
    """Every second picture of the first two sets also as what is rare in photos and hard for INT8."""
    rehearsal, clip = clips
    return Sets(
        (*calibrate, *_hard(calibrate)),
        (*search, *_hard(search)),
        tuple(judge),
        tuple(rehearsal),
        tuple(clip),
        source,
        seed,
    )


def _hard(pictures: Sequence[Picture]) -> list[Picture]:
    names = list(_HARDER)
    chosen = [(one, names[i % len(names)]) for i, one in enumerate(pictures[::2])]
    return [Picture(f"{one.name}, {how}", _HARDER[how](one.pixels)) for one, how in chosen]


def _by_level(
    change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Callable[[Pixels], Pixels]:
    levels = np.asarray(np.rint(255 * np.clip(change(np.arange(256) / 255), 0, 1)), np.uint8)
    return lambda pixels: np.asarray(levels[pixels], np.uint8)


_HARDER: Mapping[str, Callable[[Pixels], Pixels]] = {
    "dark": _by_level(lambda level: level**4),
    "pale": _by_level(lambda level: 0.4 + 0.25 * level),
    "blurred": lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 6), np.uint8),
    "stark": _by_level(lambda level: 0.5 + 2.5 * (level - 0.5)),
    "bright": _by_level(lambda level: level**0.4),
}


def _wanted(count: int) -> dict[str, int]:
    """How many pictures each set should have; the first that is asked for has the first scene."""
    judge = min(_JUDGE, round(count * (1 - sum(_SHARES))))
    calibrate, search = (
        min(m, round(count * s)) for m, s in zip((_CALIBRATE, _SEARCH), _SHARES, strict=True)
    )
    return {"calibrate": calibrate, "search": max(search, 1), "judge": judge}


def _too_few(path: Path, pictures: int, scenes: int) -> UserError:
    found = f"{pictures} different picture{'s' * (pictures != 1)}, {scenes} scene{'s' * (scenes != 1)}"
    return UserError(
        f"'{path}' has too few pictures to calibrate with: {found}",
        f"give {FEWEST} of 3 scenes at least, better 100: dark, bright, flat and busy ones, "
        "of what the camera will see (edgegan record takes them)",
    )


def _scenes(pictures: Sequence[Picture], seed: int) -> list[list[Picture]]:
    """Pictures that look alike together, in an order that the seed and the pixels alone decide."""
    scenes: list[tuple[npt.NDArray[np.bool_], list[Picture]]] = []
    salt = seed.to_bytes(8, "big", signed=True)
    for picture in sorted(pictures, key=lambda p: hashlib.sha256(salt + p.pixels.tobytes()).digest()):
        bits = _difference_hash(picture.pixels)
        for known, scene in scenes:
            if np.count_nonzero(bits != known) <= _ALIKE_BITS:
                scene.append(picture)
                break
        else:
            scenes.append((bits, [picture]))
    return [scene for _, scene in scenes]


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _difference_hash(pixels: Pixels) -> npt.NDArray[np.bool_]:
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (17, 16), interpolation=cv2.INTER_AREA)
    return np.asarray(grey[:, 1:] > grey[:, :-1]).ravel()


def _from_clip(source: Source, path: Path, size: tuple[int, int], seed: int) -> Sets:
    """Frames are read from the start: seeking misses in a clip of variable frame rate."""
    length, framing = source.length, Framing(size)
    first, second = round(0.5 * length), round(0.7 * length)
    gap = max(1, length // 50)
    spans = [(0, first - gap, _CALIBRATE), (first, second - gap, _SEARCH), (second, length, _JUDGE)]
    indices = [_spread(*span) for span in spans]
    if min(map(len, indices)) < 3 or length < 30:
        raise UserError(
            f"'{path}' has {length} frames, too few to calibrate with",
            "give a clip of 30 frames at least, or a folder of photos",
        )
    flickers = [_in_the_middle(*spans[1][:2], _SEARCH_FRAMES), _in_the_middle(second, length, _CLIP_FRAMES)]
    wanted = set().union(*indices, *flickers)
    frames: dict[int, Pixels] = {}
    for index in range(max(wanted) + 1):
        with suppress(CameraError):
            if index not in wanted:
                source.skip()
            elif (pixels := source.next()) is not None:
                frames[index] = framing(pixels)
    first_seen: dict[str, int] = {}
    for index, pixels in frames.items():
        first_seen.setdefault(_digest(pixels), index)
    once = set(first_seen.values())
    sets = [tuple(Picture(f"frame {i}", frames[i]) for i in part if i in once) for part in indices]
    if min(map(len, sets)) < 3:
        raise UserError(f"too few different frames of '{path}' can be read", "check the clip, or give photos")
    calibrate, search, judge = sets
    rehearsal, clip = ([frames[i] for i in flicker if i in frames] for flicker in flickers)
    return _made(calibrate, search, judge, (rehearsal, clip), f"{length} frames of {path.name}", seed)


def _spread(start: int, end: int, most: int) -> list[int]:
    """At most so many indices, evenly in start..end."""
    return sorted({round(i) for i in np.linspace(start, end - 1, min(most, max(end - start, 0)))})


def _in_the_middle(start: int, end: int, most: int) -> range:
    first = max(start, (start + end - most) // 2)
    return range(first, min(first + most, end))


def _shipped_clips(size: tuple[int, int]) -> tuple[list[Pixels], list[Pixels]]:
    """Of its beginning, to search with, and of its end, to judge by."""
    framing = Framing(size)
    try:
        with closing(open_source(str(resource(_CLIP)))) as source:
            first: list[Pixels] = []
            last: deque[Pixels] = deque(maxlen=_CLIP_FRAMES)
            length = 0
            while (pixels := source.next()) is not None:
                length += 1
                (first if length <= _SEARCH_FRAMES else last).append(framing(pixels))
    except (BundleError, CameraError):
        return [], []
    return first, list(last) if length > 4 * _CLIP_FRAMES else []
