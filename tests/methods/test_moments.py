"""Heads from the moments of classes against one least-squares problem a class."""

import numpy as np
import pytest
import torch

from tailwise.methods import moments
from tailwise.methods.moments import class_moments, solve_classes
from tailwise.methods.solvers import effective_dof, solve_heads
from tailwise.methods.weighted import WeightedHead

# Rounding through normal equations with a condition number below 1e3.
CLOSE = dict(rtol=1e-8, atol=1e-8)


def problem(K, n=300, d=5, seed=0):
    rng = np.random.default_rng(seed)
    member = np.r_[np.arange(K), rng.integers(K, size=n - K)]
    return rng.normal(size=(n, d)) + rng.normal(size=(K, d))[member] + 3, member


@pytest.mark.parametrize("ridge", [0.1, 0.0])
@pytest.mark.parametrize(("K", "d"), [(2, 5), (4, 5), (90, 20)])  # the last: no Grams
@pytest.mark.parametrize("chunk", [37, 2**14])
def test_all_classes_at_once_are_one_problem_each(monkeypatch, K, d, ridge, chunk):
    monkeypatch.setattr(moments, "CHUNK", chunk)
    X, member = problem(K, d=d)
    weight = np.random.default_rng(1).uniform(0.5, 3, size=K)
    found = class_moments(X, member, K)
    assert (found.grams is None) == (K == 90)
    coef, intercept, dof = solve_classes(found, weight, ridge)
    rows = torch.from_numpy(weight[member])[None]
    targets = [2.0 * member - 1] if K == 2 else np.eye(K)[:, member]
    for k, target in enumerate(targets):
        one = solve_heads(torch.from_numpy(X), torch.tensor(target), rows, ridge)
        np.testing.assert_allclose(coef[k], one[0][0], **CLOSE)
        np.testing.assert_allclose(intercept[k], one[1][0], **CLOSE)
    expected = effective_dof(torch.from_numpy(X), rows, ridge).item()
    assert dof == pytest.approx(expected, rel=1e-8)


def test_dependent_features_get_the_solution_of_least_norm():
    X, member = problem(3)
    X = np.concatenate([X, X[:, :1]], 1)
    coef, _, dof = solve_classes(class_moments(X, member, 3), np.ones(3), 0.0)
    targets = np.eye(3)[member]
    expected = np.linalg.pinv(X - X.mean(0)) @ (targets - targets.mean(0))
    np.testing.assert_allclose(coef, expected.T, rtol=1e-6, atol=1e-8)
    assert dof == pytest.approx(5)


def test_scaled_moments_are_those_of_scaled_features():
    X, member = problem(4)
    centre, scale = X.mean(0), X.std(0)
    one = class_moments(X, member, 4).scaled(centre, scale)
    two = class_moments((X - centre) / scale, member, 4)
    for a, b in zip(
        solve_classes(one, np.ones(4), 0.1), solve_classes(two, np.ones(4), 0.1)
    ):
        np.testing.assert_allclose(a, b, **CLOSE)


@pytest.mark.parametrize("rule", ["priors", "effective", 3.0])
def test_a_whole_weight_is_so_many_copies(rule):
    X, member = problem(2)
    w = np.random.default_rng(2).integers(0, 4, size=len(X))
    head = WeightedHead(rule, ridge=0.1).fit(X, member, sample_weight=w)
    again = WeightedHead(rule, ridge=0.1).fit(np.repeat(X, w, 0), np.repeat(member, w))
    np.testing.assert_allclose(head.coef_, again.coef_, **CLOSE)
    np.testing.assert_allclose(head.class_weight_, again.class_weight_, rtol=1e-5)


def test_weights_of_samples_must_not_be_negative():
    X, member = problem(2)
    for weights, says in (
        (-np.ones(len(X)), "holds -1.0: expected ≥ 0"),
        (np.ones(3), r"shape \(3,\): expected \(300,\)"),
        (np.full(len(X), np.nan), "sample_weight contains NaN"),
    ):
        with pytest.raises(ValueError, match=says):
            WeightedHead().fit(X, member, sample_weight=weights)


def test_half_precision_and_memory_maps_are_features(tmp_path):
    X, member = problem(2)
    half = torch.from_numpy(X).bfloat16()
    expected = WeightedHead(ridge=0.1).fit(half.float().numpy(), member).coef_
    np.testing.assert_array_equal(
        WeightedHead(ridge=0.1).fit(half, member).coef_, expected
    )
    np.save(tmp_path / "X.npy", half.float().numpy())
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        WeightedHead(ridge=0.1).fit(mapped, member).coef_, expected
    )


def test_a_number_of_numpy_is_a_ratio():
    X, member = problem(2)
    head = WeightedHead(np.float32(3), ridge=np.float32(0.5)).fit(X, member)
    again = WeightedHead(3, ridge=0.5).fit(X, member)
    np.testing.assert_array_equal(head.coef_, again.coef_)
    assert sorted(head.class_weight_) == [1, 3]
