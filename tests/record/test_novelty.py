"""What counts as a new picture."""

import cv2
import numpy as np
import pytest

from edgegan.frame import Pixels
from edgegan.record.novelty import Novelty


def room() -> Pixels:
    """480 x 640, the same each time."""
    blocks = np.random.default_rng(0).integers(20, 236, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(blocks, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(pixels: Pixels, seed: int, sigma: float) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [2, 12])
def test_noise_of_the_sensor_is_nothing_new(sigma: float) -> None:
    novelty = Novelty()
    assert novelty.is_new(room())
    novelty.remember(noisy(room(), 1, sigma))
    assert not novelty.is_new(noisy(room(), 2, sigma))


def test_something_that_came_into_the_picture_is_new() -> None:
    novelty = Novelty()
    novelty.remember(room())
    hand = room()
    hand[200:300, 100:220] = 250  # 4 % of the picture
    assert novelty.is_new(hand)
    speck = room()
    speck[200:220, 100:120] = 250
    assert not novelty.is_new(speck)


def test_what_comes_back_was_seen_before() -> None:
    novelty = Novelty()
    novelty.remember(room())
    novelty.remember(255 - room())
    assert not novelty.is_new(room())


def test_only_so_many_are_remembered() -> None:
    novelty = Novelty()
    novelty.remember(room())
    for level in range(500):
        novelty.remember(np.full((32, 32, 3), level % 250, np.uint8))
    assert novelty.is_new(room())
