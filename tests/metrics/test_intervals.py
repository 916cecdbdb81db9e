"""Averages of accuracy, against scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest, sem
from scipy.stats import t as student
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from tailwise.metrics import (
    KINDS,
    Estimate,
    decide,
    estimate,
    group_accuracies,
    wilson,
)

# By hand: group "a" has 3 of 4 right, "b" 1 of 2, "c" 0 of 1.
Y = [0, 0, 1, 1, 0, 1, 1]
Y_HAT = [0, 0, 1, 0, 0, 0, 0]
GROUPS = ["a", "a", "a", "a", "b", "b", "c"]


def test_a_hand_made_example():
    acc = group_accuracies(Y, Y_HAT, GROUPS, train_groups=["a", "b", "b", "c"])
    assert acc.groups.tolist() == ["a", "b", "c"]
    assert acc.counts.tolist() == [4, 2, 1]
    assert acc.per_group.tolist() == [0.75, 0.5, 0.0]
    assert acc.accuracy_worst_group == 0.0
    assert acc.accuracy_balanced == pytest.approx(1.25 / 3)
    assert acc.accuracy_test_mean == pytest.approx(4 / 7)
    assert acc.accuracy_train_prior == pytest.approx(0.25 * 0.75 + 0.5 * 0.5)
    assert group_accuracies(Y, Y_HAT, GROUPS).accuracy_train_prior is None


@pytest.mark.parametrize("seed", range(5))
def test_averages_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    y, y_hat = rng.integers(4, size=(2, 300))
    train = np.concatenate([np.arange(4), rng.integers(4, size=90)])
    acc = group_accuracies(y, y_hat, y, train_groups=train)
    # Sums of 300 terms, to rounding.
    close = dict(rel=1e-12)
    assert acc.accuracy_test_mean == pytest.approx(accuracy_score(y, y_hat), **close)
    balanced = balanced_accuracy_score(y, y_hat)
    assert acc.accuracy_balanced == pytest.approx(balanced, **close)
    weight = np.bincount(train)[y] / np.bincount(y)[y]
    by_prior = accuracy_score(y, y_hat, sample_weight=weight)
    assert acc.accuracy_train_prior == pytest.approx(by_prior, **close)
    by_hand = [accuracy_score(y[y == k], y_hat[y == k]) for k in range(4)]
    assert acc.per_group == pytest.approx(by_hand, **close)
    assert acc.accuracy_worst_group == pytest.approx(min(by_hand), **close)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([0, 1], [0], [0, 1]), r"\(2,\), \(1,\), \(2,\)"),
        (([0, 1], [0, 1], [0]), r"\(2,\), \(2,\), \(1,\)"),
        (([], [], []), r"non-empty.*\(0,\)"),
        (([[0, 1]], [[0, 1]], [[0, 1]]), r"one-dimensional.*\(1, 2\)"),
        (([0, 1], [0, np.nan], [0, 1]), "y_hat holds NaN"),
        (([np.inf, 1], [0, 1], [0, 1]), "y holds NaN or inf"),
        (([0, 1], [0, 1], [0, np.nan]), "groups holds NaN"),
    ],
)
def test_bad_labels_are_named(args, message):
    with pytest.raises(ValueError, match=message):
        group_accuracies(*args)


def test_training_groups_without_test_samples_are_refused():
    with pytest.raises(ValueError, match=r"train_groups.*'a', 'b', 'c'.*hold 0.500"):
        group_accuracies(Y, Y_HAT, GROUPS, train_groups=["a", "d"])


@pytest.mark.parametrize("axis", [0, 1])
def test_an_estimate_is_mean_and_standard_error(axis):
    values = np.random.default_rng(0).normal(size=(7, 9))
    e = estimate(values, axis=axis)
    np.testing.assert_allclose(e.mean, values.mean(axis))
    np.testing.assert_allclose(e.stderr, sem(values, axis=axis))
    assert e.n == values.shape[axis]


@pytest.mark.parametrize("values", [[0.5], 0.5, []])
def test_one_repetition_has_no_standard_error(values):
    with pytest.raises(ValueError, match=r"values holds [01] repetition"):
        estimate(values)


def test_an_estimate_reads_well():
    assert str(Estimate(0.81234, 0.0115, 3)) == "0.8123 ± 0.0115 (s.e.)"


KEEPS = {
    "at least": lambda x, bound: x >= bound,
    "at most": lambda x, bound: x <= bound,
    "agreement": lambda x, bound: abs(x) <= bound,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_is_that_of_every_number_in_the_interval(kind):
    # In eighths, so that sums are exact and intervals often end at the bound.
    numbers = np.arange(-16, 17) / 8
    found = set()
    for value, half, bound in np.random.default_rng(0).choice(numbers, (2000, 3)):
        inside = np.linspace(value - abs(half), value + abs(half), 33)
        keep = KEEPS[kind](inside, bound)
        # An agreement reads the value's size only: zero may lie between the ends.
        if kind == "agreement":
            keep = abs(value) + (inside - value) <= bound
        expected = "yes" if keep.all() else "open" if keep.any() else "no"
        assert decide(value, abs(half), bound, kind) == expected
        found.add(expected)
    assert found == {"yes", "open", "no"}


def test_a_number_that_is_not_finite_decides_nothing():
    for value in (np.nan, np.inf, -np.inf):
        assert {decide(value, 0.1, 0.0, kind) for kind in KINDS} == {"open"}
    assert decide(1.0, np.nan, 0.0) == "open"
    with pytest.raises(ValueError, match="unknown kind 'near': expected one of at"):
        decide(1.0, 0.1, 0.0, "near")


def test_the_interval_of_an_estimate_is_that_of_student():
    values = np.array([[1.0, 4.0], [2.0, 4.0], [3.0, 7.0]])
    e = estimate(values)
    low, _ = student.interval(0.95, 2, values.mean(0), sem(values))
    np.testing.assert_allclose(e.mean - e.half, low)


@pytest.mark.parametrize(("hits", "n"), [(3, 3), (0, 4), (7, 20), (990, 1000)])
def test_the_interval_is_that_of_wilson(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(hits, n), [expected.low, expected.high])
    y_hat = np.repeat([0, 1], [hits, n - hits])
    found = group_accuracies(np.zeros(n), y_hat, np.zeros(n)).interval
    np.testing.assert_allclose(found[0], wilson(hits, n))
