"""Tasks with STEP imbalance: which images they hold, how many, and of which class."""

import re

import numpy as np
import pytest
import torch

from tailwise.data import fashion, imbalance
from tailwise.data.imbalance import (
    MAJORITY,
    MINORITY,
    PIXEL_MEAN,
    PIXEL_SD,
    draw,
    long_tail,
)

SEEDS, MANY, FEW, VAL = (3, 1, 7), 40, 4, 10
CLASSES = [fashion.CLASSES.index(name) for name in MAJORITY + MINORITY]


def raw(split):
    """Images of each class as sums of 2 x 2 pixels, one string of bytes an image."""
    data = fashion.load(split)
    blocks = data.images.reshape(-1, 14, 2, 14, 2)
    sums = blocks.sum((2, 4), dtype=np.int16)
    return [[x.tobytes() for x in sums[data.labels == c]] for c in CLASSES]


def strings(X):
    """The same strings from the pixels of a task: 0 to 4 * 255 after rounding."""
    sums = ((X.double() * PIXEL_SD + PIXEL_MEAN) * 4 * 255).round()
    return [x.tobytes() for x in sums.short().numpy()]


@pytest.fixture(scope="module")
def task():
    return draw(SEEDS, MANY, FEW, n_val=VAL)


def test_each_class_has_as_many_images_as_asked_for(task):
    assert task.seeds == SEEDS
    assert task.counts.tolist() == [MANY] * 3 + [FEW] * 3
    assert task.counts.dtype == torch.float64
    assert task.y.bincount().tolist() == task.counts.tolist()
    assert task.val_y.bincount().tolist() == [VAL] * 6
    assert task.X.shape == (3, len(task.y), 196)
    assert task.val_X.shape == (3, len(task.val_y), 196)


def test_images_are_of_their_class_and_none_is_there_twice(task):
    known = raw("train")
    for X, V in zip(task.X, task.val_X):
        found = strings(X) + strings(V)
        assert len(set(found)) == len(found)  # training and validation are disjoint
        for string, c in zip(found, torch.cat([task.y, task.val_y]).tolist()):
            assert string in known[c]


def test_pixels_are_averaged_and_standardised(task):
    data = fashion.load("test")
    images = torch.from_numpy(data.images[data.labels == CLASSES[0]]).double() / 255
    means = images.unflatten(2, (14, 2)).unflatten(1, (14, 2)).mean((2, 4)).flatten(1)
    expected = ((means - PIXEL_MEAN) / PIXEL_SD).float()
    torch.testing.assert_close(task.test_X[task.test_y == 0], expected)


def test_the_test_set_is_every_test_image_of_these_classes(task):
    known = raw("test")
    assert task.test_y.bincount().tolist() == [len(images) for images in known]
    found = strings(task.test_X)
    for c, images in enumerate(known):
        mine = [x for x, y in zip(found, task.test_y.tolist()) if y == c]
        assert mine == images


def test_a_seed_draws_the_same_images_whatever_others_are_drawn(task):
    for s, seed in enumerate(SEEDS):
        alone = draw([seed], MANY, FEW, n_val=VAL)
        assert torch.equal(alone.X[0], task.X[s])
        assert torch.equal(alone.val_X[0], task.val_X[s])
    for X in (task.X, task.val_X):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert not torch.equal(X[a], X[b])


def test_all_images_that_are_not_held_back_can_be_drawn():
    most = len(raw("train")[0]) - VAL
    task = draw([0], most, 1, n_val=VAL)
    together = set(strings(task.X[0])) | set(strings(task.val_X[0]))
    for images in raw("train")[:3]:
        assert together.issuperset(images)
    assert task.y.bincount().tolist() == [most] * 3 + [1] * 3


def test_the_full_set_is_asked_for_both_splits(monkeypatch):
    asked, load = [], fashion.load

    def told(split, *, full):
        asked.append((split, full))
        return load(split)

    monkeypatch.setattr(imbalance.fashion, "load", told)
    for full in (True, False):
        draw([0], 2, 1, full=full)
    assert sorted(asked[:2]) == [("test", True), ("train", True)]
    assert sorted(asked[2:]) == [("test", False), ("train", False)]


def test_tensors_go_to_the_device():
    task = draw([0], 2, 1, device="meta")
    names = ("counts", "X", "y", "val_X", "val_y", "test_X", "test_y")
    assert all(getattr(task, name).is_meta for name in names)


@pytest.mark.parametrize(
    ("n_major", "n_minor", "message"),
    [
        (0, 1, "n_major is 0: expected 1 to 1490 images"),
        (1491, 1, "n_major is 1491: expected 1 to 1490 images"),
        (5, 0, "n_minor is 0: expected 1 to 1490 images"),
        (5, -2, "n_minor is -2: expected 1 to 1490 images"),
        (5, 1491, "n_minor is 1491: expected 1 to 1490 images"),
    ],
)
def test_bad_counts_say_what_is_expected(n_major, n_minor, message):
    with pytest.raises(ValueError, match=message):
        draw([0], n_major, n_minor, n_val=VAL)


@pytest.mark.parametrize(("seeds", "n_val"), [([], 5), ([0], 0), ([0], 1500)])
def test_a_draw_without_seeds_or_validation_images_is_refused(seeds, n_val):
    with pytest.raises(ValueError, match="seeds, n_val are"):
        imbalance.draw(seeds, 3, 2, n_val=n_val)


@pytest.mark.parametrize("ratio", [1, 10, 50, 100])
def test_a_long_tail_rounded_down_is_the_published_one(ratio):
    counts = long_tail(100, 500, ratio, whole=True)
    # The published recipe, in another order of operations
    published = [int(500 * (1 / ratio) ** (c / 99.0) + 1e-9) for c in range(100)]
    assert counts.tolist() == published
    assert counts[0] == 500
    assert counts[-1] == 500 / ratio


@pytest.mark.parametrize(("ratio", "n_max"), [(1, 5), (10, 40), (5, 5)])
def test_a_long_tail_is_geometric_to_one_half(ratio, n_max):
    counts = long_tail(60, n_max, ratio)
    ideal = [n_max / ratio ** (c / 59) for c in range(60)]
    assert max(abs(n - x) for n, x in zip(counts.tolist(), ideal)) <= 0.5
    assert (counts.max(), counts.min()) == (n_max, n_max // ratio)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1, 500, 10), "n_classes is 1: expected at least 2"),
        ((100, 500, 0.5), "imbalance_ratio is 0.5: expected at least 1"),
        ((100, 500, float("nan")), "imbalance_ratio is nan: expected at least 1"),
        ((100, 50, 100), "n_max is 50: expected at least the imbalance_ratio 100"),
    ],
)
def test_bad_long_tails(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        long_tail(*given)
