"""Three sets of pictures that share neither a picture nor a scene, and are the same each time."""

import shutil
from contextlib import suppress

import cv2
import numpy as np
import pytest

from edgegan.errors import ConfigError, UserError
from edgegan.pack.quantise import sets as module
from edgegan.pack.quantise.sets import read_sets
from edgegan.resources import resource
from tests.pack.quantise import odd

SIZE = (24, 32)
PARTS = ("calibrate", "search", "judge")


def _scene(seed, size=(48, 64)):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def _folder(tmp_path, pictures, name="photos", stem="{}.png"):
    folder = tmp_path / name
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        assert cv2.imwrite(str(folder / stem.format(number)), pixels)
    return folder


def _given(part):
    """Without those that were made dark, pale and so on."""
    return [one for one in part if ", " not in one.name]


def _bytes(part):
    return [one.pixels.tobytes() for one in part]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """40 scenes; each fourth twice, a little brighter the second time."""
    scenes = [_scene(n) for n in range(40)]
    again = [cv2.convertScaleAbs(pixels, alpha=0.97, beta=3) for pixels in scenes[::4]]
    return _folder(tmp_path_factory.mktemp("sets"), scenes + again)


def test_the_sets_have_their_sizes(photos):
    found = read_sets(photos, SIZE)
    counts = [len(_given(getattr(found, part))) for part in PARTS]
    assert sum(counts) >= 48
    assert [abs(n - wanted) <= 1 for n, wanted in zip(counts, (20, 12, 18), strict=True)] == [True] * 3
    assert all(one.pixels.shape == (*SIZE, 3) and one.pixels.dtype == np.uint8 for one in found.judge)
    assert found.describe() == {
        "from": "50 photos of photos",
        "seed": 0,
        **{part: len(getattr(found, part)) for part in PARTS},
        "clip": 16,
    }


def test_no_picture_is_in_two_sets(photos):
    found = read_sets(photos, SIZE)
    parts = [set(_bytes(getattr(found, part))) for part in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_no_scene_is_in_two_sets(photos):
    """Picture 40 + n shows what picture 4 n shows."""
    found = read_sets(photos, SIZE)
    place = {one.name: part for part in PARTS for one in _given(getattr(found, part))}
    pairs = [(place.get(f"{4 * n}.png"), place.get(f"{40 + n}.png")) for n in range(10)]
    assert [a == b for a, b in pairs if a and b] == [True] * sum(1 for a, b in pairs if a and b)
    assert sum(1 for a, b in pairs if a and b) >= 8
    assert len({a for a, _ in pairs}) > 1, "and not all in one"


def test_what_is_hard_for_int8_is_in_the_first_two_sets_alone(photos):
    found = read_sets(photos, SIZE)
    for part in (found.calibrate, found.search):
        count = len(_given(part))
        hard = [one.name.partition(", ")[2] for one in part[count:]]
        assert len(hard) == (count + 1) // 2
        assert set(hard) == {"dark", "pale", "blurred", "stark", "bright"}
    assert _given(found.judge) == list(found.judge)


def test_the_same_pictures_are_dealt_alike_whatever_their_files_are_called(photos, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    for number, path in enumerate(sorted(photos.iterdir())):
        shutil.copy(path, other / f"{(number * 7) % 50:03}-x.png")
    first, second = read_sets(photos, SIZE), read_sets(other, SIZE)
    assert [_bytes(getattr(first, part)) for part in PARTS] == [
        _bytes(getattr(second, part)) for part in PARTS
    ]
    assert first.key() == second.key()


def test_a_seed_deals_anew(photos):
    first, second, again = (read_sets(photos, SIZE, seed) for seed in (0, 1, 1))
    assert set(_bytes(first.judge)) != set(_bytes(second.judge))
    assert second.key() == again.key() != first.key()


def test_the_key_tells_apart_what_calibrates_and_searches(photos):
    found = read_sets(photos, SIZE)
    moved = module.Sets(
        found.search, found.calibrate, found.judge, found.search_clip, found.clip, found.source, found.seed
    )
    judged = module.Sets(
        found.calibrate, found.search, found.judge[:3], found.search_clip, (), "elsewhere", 0
    )
    assert found.key() != moved.key()
    assert found.key() == judged.key(), "the judging set has no part in the scales"


def test_equal_pictures_count_once(tmp_path):
    scenes = [_scene(n) for n in range(10)]
    found = read_sets(_folder(tmp_path, scenes * 3), SIZE)
    assert sum(len(_given(getattr(found, part))) for part in PARTS) == 10
    assert found.source == "10 photos of photos"


def test_nine_pictures_are_enough_and_eight_are_not(tmp_path):
    found = read_sets(_folder(tmp_path, [_scene(n) for n in range(9)]), SIZE)
    assert [len(_given(getattr(found, part))) for part in PARTS] == [4, 2, 3]
    with pytest.raises(UserError) as caught:
        read_sets(_folder(tmp_path, [_scene(n) for n in range(8)], "few"), SIZE)
    assert (
        "few' has too few pictures to calibrate with: 8 different pictures, 8 scenes" in caught.value.message
    )
    assert "edgegan record" in caught.value.mend
    assert caught.value.exit_code == 2


def test_one_scene_is_not_enough_however_often_it_was_taken(tmp_path):
    scene = _scene(1)
    noise = np.random.default_rng(0)
    taken = [np.clip(scene + noise.normal(0, 1, scene.shape), 0, 255).astype(np.uint8) for _ in range(20)]
    with pytest.raises(UserError, match="20 different pictures, 1 scene"):
        read_sets(_folder(tmp_path, taken), SIZE)


def test_scenes_that_leave_one_picture_to_judge_by_are_too_few(tmp_path):
    noise = np.random.default_rng(0)
    taken = [
        np.clip(_scene(n) + noise.normal(0, 1, (1, 1, 3)), 0, 255).astype(np.uint8)
        for n, times in ((1, 12), (2, 12), (3, 1))
        for _ in range(times)
    ]
    judged = set()
    for seed in range(6):
        with suppress(UserError):
            judged.add(len(read_sets(_folder(tmp_path, taken, f"p{seed}"), SIZE, seed).judge))
    assert len(judged) > 0
    assert min(judged) >= 3


def test_a_scene_that_was_taken_often_does_not_fill_a_set_beyond_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CALIBRATE", 6)
    scene, noise = _scene(1), np.random.default_rng(0)
    taken = [np.clip(scene + noise.normal(0, 1, scene.shape), 0, 255).astype(np.uint8) for _ in range(40)]
    for seed in range(4):
        found = read_sets(
            _folder(tmp_path, taken + [_scene(n) for n in range(2, 14)], f"p{seed}"), SIZE, seed
        )
        counts = [len(_given(getattr(found, part))) for part in PARTS]
        assert counts[0] <= 6, counts
        assert counts[1] <= 13, counts
        assert counts[2] <= 18, counts


def test_what_cannot_be_read_is_left_out(tmp_path, caplog):
    folder = _folder(tmp_path, [_scene(n) for n in range(12)])
    (folder / "0.png").write_bytes(b"no picture")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:40])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no picture either")
    assert read_sets(folder, SIZE).source == "10 photos of photos"
    assert "3 of 13 pictures are left out" in caplog.text
    assert "0.png" in caplog.text


def test_of_many_pictures_some_are_drawn_by_lot(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_READ", 20)
    folder = _folder(tmp_path, [_scene(n, (24, 32)) for n in range(50)])
    first, second, again = (read_sets(folder, SIZE, seed) for seed in (0, 1, 0))
    assert first.source == "20 photos of photos"
    numbers = [int(one.name[:-4]) for part in PARTS for one in _given(getattr(first, part))]
    assert max(numbers) > 25, "not the first ones"
    assert first.key() == again.key() != second.key()


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_nothing_there_is_a_mistake(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        read_sets(tmp_path / name, SIZE)
    assert name in caught.value.message


def test_one_picture_is_too_few(tmp_path):
    folder = _folder(tmp_path, [_scene(1)])
    with pytest.raises(UserError, match="too few to calibrate with"):
        read_sets(folder / "0.png", SIZE)


def _clip(tmp_path, frames, name="clip.avi"):
    path = tmp_path / name
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for pixels in frames:
        writer.write(pixels)
    writer.release()
    return path


def test_a_clip_is_cut_in_three_with_gaps(tmp_path):
    found = read_sets(_clip(tmp_path, [_scene(n) for n in range(120)]), SIZE)
    numbers = [[int(one.name.split()[1]) for one in _given(getattr(found, part))] for part in PARTS]
    assert [numbers[0][0], numbers[0][-1]] == [0, 57]
    assert [numbers[1][0], numbers[1][-1]] == [60, 81]
    assert [numbers[2][0], numbers[2][-1]] == [84, 119]
    assert [len(part) for part in numbers] == [58, 22, 36]
    assert len(found.clip) == 16
    assert found.source == "120 frames of clip.avi"


def test_the_frames_of_a_clip_are_those_that_were_asked_for(tmp_path):
    """Each frame has its number as its brightness."""
    frames = [np.full((48, 64, 3), 2 * n, np.uint8) for n in range(100)]
    found = read_sets(_clip(tmp_path, frames), SIZE)
    for part in PARTS:
        for one in _given(getattr(found, part)):
            assert one.pixels.mean() == pytest.approx(2 * int(one.name.split()[1]), abs=1.5)
    steps = np.diff([pixels.mean() for pixels in found.clip])
    assert np.all(np.abs(steps - 2) < 1.5), "frames that follow one another"


def test_a_short_clip_is_refused(tmp_path):
    with pytest.raises(UserError, match="has 29 frames, too few"):
        read_sets(_clip(tmp_path, [_scene(n) for n in range(29)]), SIZE)
    assert len(read_sets(_clip(tmp_path, [_scene(n) for n in range(30)]), SIZE).judge) == 9


def test_a_clip_that_repeats_itself_has_no_frame_in_two_sets(tmp_path):
    found = read_sets(_clip(tmp_path, [_scene(n % 110) for n in range(140)]), SIZE)
    parts = [set(_bytes(getattr(found, part))) for part in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert len(found.judge) >= 3


def test_a_clip_of_a_picture_that_stands_still_is_refused(tmp_path):
    with pytest.raises(UserError, match="frames"):
        read_sets(_clip(tmp_path, [_scene(1)] * 60), SIZE)


def test_the_shipped_clip_gives_all_three_sets():
    found = read_sets(resource("engines/clip/paint_demo.mp4"), SIZE)
    assert min(len(_given(getattr(found, part))) for part in PARTS) >= 20


def test_pictures_are_cropped_as_live_frames_are(tmp_path):
    """The middle of a wide picture, not the whole of it squeezed."""
    pictures = []
    for number in range(9):
        pixels = np.zeros((24, 96, 3), np.uint8)
        pixels[:, 32:64] = _scene(number, (24, 32))
        pictures.append(pixels)
    found = read_sets(_folder(tmp_path, pictures), SIZE)
    wanted = {_scene(number, (24, 32)).tobytes() for number in range(9)}
    assert {one.pixels.tobytes() for one in found.judge} <= wanted


def test_the_own_sets_of_these_tests_are_disjoint():
    found = odd.sets()
    assert len({one.pixels.tobytes() for part in PARTS for one in getattr(found, part)}) == 15
