"""The worlds: what is missing before the test, and features in training units."""

import pytest

from tailwise.data import spurious
from tailwise.matrix import worlds
from tailwise.profiles import current


def test_the_missing_group_is_missing_before_the_test_only():
    world = worlds.missing_group(current("laptop"), [0])
    absent = spurious.SKIN.counts["train"].index(0)
    assert absent not in world.train.group.unique()
    assert absent not in world.val.group.unique()
    assert absent in world.test.group.unique()
    assert world.mix[world.test.group == absent].sum() == 0
    assert world.mix.sum().item() == pytest.approx(1)


def test_features_are_scaled_by_the_training_set():
    world = worlds.hard_examples(current("laptop"), [0])
    assert world.train.X.mean(1).abs().max() < 1e-4
    assert world.train.X.std(1).max() < 1 + 1e-4
    assert world.test.X.mean(1).abs().max() > 1e-2
