"""A pilot against a plain loop, on splits that are stratified and disjoint."""

import numpy as np
import pytest
from tiny_features import GROUPS, N, X, Y

from tailwise.metrics import group_accuracies
from tailwise.own import features, heads
from tailwise.own.pilot import Split, draw_splits, pilot
from tailwise.own.verdict import gains


def test_splits_are_stratified_and_disjoint(data):
    cell = data.cells()[0]
    for split in draw_splits(data, 10):
        rows = np.concatenate([split.fit, split.val, split.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(N))
        for part in (split.val, split.test):
            share = np.bincount(cell[part]) / np.bincount(cell)
            assert np.abs(share - 0.2).max() <= 0.5 / np.bincount(cell).min()


@pytest.mark.parametrize(
    ("rows", "ask", "sentence"),
    [
        (slice(51, None), {}, "class 'crack' has 9 samples and needs 10"),
        (slice(59, None), {}, "class 'crack' has 1 sample and needs 10"),
        (slice(None), {"n_splits": 9}, "n_splits is 9"),
        (slice(None), {"val": 0.5, "test": 0.5}, "val is 0.5 and test is 0.5"),
    ],
)
def test_what_cannot_be_split_is_refused(data, rows, ask, sentence):
    part = features.from_arrays(X[rows], Y[rows])
    with pytest.raises(ValueError, match=sentence):
        draw_splits(part, **ask)


def test_a_group_too_small_to_split_is_refused():
    groups = np.where(np.arange(N) < 2, "dawn", "day")
    with pytest.raises(ValueError, match="group 'dawn' has 2 samples"):
        pilot(features.from_arrays(X, Y, np.where(Y == "fine", "noon", groups)))


def test_a_pilot_is_a_plain_loop(data, found):
    cell = data.cells()[0]
    differences = []
    for split in found.splits:
        rows, per_head = np.concatenate([split.fit, split.val]), []
        for name in found.heads:
            best = heads.choose(name, data, split.fit, split.val, "balanced")
            head = heads.build(name, best, data.X[rows], data.y[rows], cell[rows])
            y_hat = head.predict(data.X[split.test])
            acc = group_accuracies(data.y[split.test], y_hat, cell[split.test])
            per_head.append(acc.per_group)
        differences.append([row - per_head[0] for row in per_head[1:]])
    assert found.heads[-1] == "DFR"
    np.testing.assert_allclose(gains(found).mean, np.mean(differences, 0), atol=1e-12)


def test_averages_are_those_of_the_cells(data, found):
    counts = np.bincount(data.cells()[0][found.splits[0].test])
    mean = np.average(found.by_cell, axis=-1, weights=counts)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.bins[..., 2].sum(-1) / counts.sum(), mean)


def test_the_order_of_rows_changes_nothing_but_the_splits(data, found):
    order = np.random.default_rng(2).permutation(N)
    place = np.argsort(order)  # where each row of the file has gone
    moved = [Split(place[s.fit], place[s.val], place[s.test]) for s in found.splits]
    again = pilot(data.take(order), moved)
    np.testing.assert_array_equal(again.by_cell, found.by_cell)
    np.testing.assert_array_equal(again.bins, found.bins)


def test_a_large_file_is_sampled_with_a_note(data):
    small = pilot(data, n_splits=10, max_rows=130)
    assert len(small.data) == 130
    assert "130 of 260 rows were used, with 30 of the rarest class" in small.notes[0]


def test_dfr_needs_groups_of_some_size():
    rng = np.random.default_rng(1)
    y = np.where(rng.random(N) < 0.5, Y, "scratch")
    small = features.from_arrays(X, y, GROUPS)
    assert "smallest has" in heads.dfr_refusal(small)
    rows = rng.integers(N, size=3 * N)  # with copies, which does not matter here
    X3 = X[rows] + rng.normal(size=(3 * N, 6))
    three = pilot(features.from_arrays(X3, y[rows], GROUPS[rows]), n_splits=10)
    assert three.heads[-1] == "DFR"
    assert three.by_class.shape == (10, 6, 3)


def test_progress_is_told(data):
    told = []
    pilot(data, n_splits=10, progress=lambda *numbers: told.append(numbers))
    assert told == [(k, 10) for k in range(1, 11)]


def test_counts_are_those_of_the_accuracies(found):
    counts = found.confusion.sum(-1)
    hits = np.diagonal(found.confusion, axis1=-2, axis2=-1)
    np.testing.assert_allclose(hits / counts, found.by_class)
    np.testing.assert_allclose(found.share, counts / counts.sum(-1, keepdims=True))
    # After the correction the mean probability is nearer to the share.
    gap = np.abs(found.probability - found.share[:, :, None]).max(-1).mean(0)
    assert (gap[1:5, 1] < gap[1:5, 0]).all()
