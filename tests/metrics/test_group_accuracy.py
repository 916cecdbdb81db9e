"""Groups that overlap or come from several columns, and what is no label."""

import numpy as np
import pandas as pd
import pytest
import torch

from tailwise.metrics.group_accuracy import from_columns, group_accuracies

RNG = np.random.default_rng(0)
Y = RNG.integers(2, size=300)
Y_HAT = np.where(RNG.random(300) < 0.8, Y, 1 - Y)
MEMBER = RNG.random((300, 5)) < 0.3


def test_memberships_that_overlap_are_groups_within_classes():
    found = group_accuracies(Y, Y_HAT, MEMBER)
    each = {}
    for y, y_hat, member in zip(Y, Y_HAT, MEMBER):
        for k in np.flatnonzero(member):
            each.setdefault((y, k), []).append(y == y_hat)
    expected = [np.mean(each[key]) for key in sorted(each)]
    np.testing.assert_allclose(found.per_group, expected)
    assert found.counts.tolist() == [len(each[key]) for key in sorted(each)]
    assert found.accuracy_test_mean == np.mean(Y == Y_HAT)
    assert found.groups[0] == "0, column 0"


def test_several_columns_are_one_group_a_combination():
    columns = np.stack([Y, RNG.integers(3, size=300)], 1)
    several = group_accuracies(Y, Y_HAT, columns)
    one = group_accuracies(Y, Y_HAT, 3 * columns[:, 0] + columns[:, 1])
    np.testing.assert_array_equal(several.per_group, one.per_group)
    np.testing.assert_array_equal(several.counts, one.counts)
    assert from_columns(columns)[0] == f"{Y[0]}, {columns[0, 1]}"


@pytest.mark.parametrize(
    ("y_hat", "says"),
    [
        (np.array(["0", "1"]), "y holds int64 such as 0, and y_hat holds <U1"),
        (np.array([b"0", b"1"]), "expected labels of one type"),
        (np.array([0.1, 0.9]), "y_hat holds 0.1, which is no label"),
    ],
)
def test_what_can_never_be_equal_is_refused(y_hat, says):
    with pytest.raises(ValueError, match=says):
        group_accuracies([0, 1], y_hat, [0, 1])


def test_labels_of_several_types_may_be_equal():
    for y_hat in ([True, False], [1.0, 0.0], torch.tensor([1, 0])):
        assert group_accuracies([1, 0], y_hat, ["a", "b"]).accuracy_worst_group == 1
    assert group_accuracies([b"u"], ["u"], [0]).accuracy_worst_group == 1


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", [np.array, pd.Series, "string"])
def test_a_missing_group_is_named_by_its_row(missing, kind):
    labels = np.array(["a", "b", "a", missing], dtype=object)
    labels = pd.Series(labels, dtype="string") if kind == "string" else kind(labels)
    with pytest.raises(ValueError, match="groups holds a missing label.*row 3"):
        group_accuracies([0, 1, 0, 1], [0, 1, 0, 1], labels)
