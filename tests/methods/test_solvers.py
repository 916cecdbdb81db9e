"""Batched heads against scikit-learn, a plain loop and their own definitions."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from tailwise.methods import solvers
from tailwise.methods.solvers import (
    dof_at_ratios,
    effective_dof,
    leave_one_out_scores,
    ratio_dof,
    solve_heads,
    solve_logistic_heads,
    solve_ratio_heads,
)

SEEDS = range(6)
# Normal equations square the condition number of the features, here below 1e3: errors
# of 1e6 machine epsilons at most, a tenth of which was seen.
CLOSE = dict(rtol=1e-8, atol=1e-8)


def problem(seed, *, own=False, ridge=True):
    """A problem of random size: X [n, d] or [B, n, d], y [n], weights [B, n], ridge."""
    rng = np.random.default_rng(seed)
    B, d = int(rng.integers(2, 8)), int(rng.integers(1, 12))
    n = d + int(rng.integers(10, 60))
    scale = rng.uniform(0.3, 3, d)
    X = rng.standard_normal((B, n, d) if own else (n, d)) * scale + rng.normal(size=d)
    y = np.where(np.arange(n) < max(3, n // 4), 1.0, -1.0)
    weights = rng.uniform(0.1, 5, (B, n))
    penalty = 10 ** rng.uniform(-3, 1) if ridge else 0.0
    return *(torch.from_numpy(a) for a in (X, y, weights)), penalty


def ratio_problem(seed):
    """X [S, n, d], y [S, n] and ratios [R] of random size."""
    X, y, _, ridge = problem(seed, own=True)
    ratios = torch.linspace(0.5, 20, 5, dtype=torch.float64)
    return X, y.expand(len(X), -1), ratios, ridge


def member(X, b):
    return X[b] if X.ndim == 3 else X


def assert_same(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(
            a, torch.as_tensor(b, dtype=a.dtype), **tolerance or CLOSE
        )


# Against scikit-learn


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_ridge_heads_are_scikit_learns(seed, own):
    X, y, weights, ridge = problem(seed, own=own)
    coef, intercept = solve_heads(X, y, weights, ridge)
    for b, w in enumerate(weights):
        model = Ridge(alpha=len(y) * ridge).fit(member(X, b), y, sample_weight=w)
        assert_same((coef[b], intercept[b]), (model.coef_, model.intercept_))


@pytest.mark.parametrize("seed", SEEDS)
def test_heads_without_ridge_are_scikit_learns(seed):
    X, y, weights, _ = problem(seed)
    coef, intercept = solve_heads(X, y, weights)
    for b, w in enumerate(weights):
        model = LinearRegression().fit(X, y, sample_weight=w)
        assert_same((coef[b], intercept[b]), (model.coef_, model.intercept_))


@pytest.mark.parametrize(("n", "d"), [(12, 20), (5, 40)])
def test_fewer_samples_than_features_give_the_least_norm(n, d):
    X = torch.from_numpy(np.random.default_rng(n).standard_normal((n, d)))
    y = torch.ones(n).double()
    y[: n // 3] = -1
    weights = torch.from_numpy(np.random.default_rng(d).uniform(0.5, 2, (3, n)))
    coef, intercept = solve_heads(X, y, weights)
    for b, w in enumerate(weights):
        model = LinearRegression().fit(X, y, sample_weight=w)
        assert_same((coef[b], intercept[b]), (model.coef_, model.intercept_))
    # It interpolates, so that the weights do nothing to the fit.
    fitted = coef @ X.T + intercept[:, None]
    assert_same((fitted,), (y.expand(3, -1),))


def test_dependent_features_share_their_coefficient():
    X, y, weights, _ = problem(0)
    once = solve_heads(X, y, weights)
    coef, intercept = solve_heads(torch.cat([X, X], 1), y, weights)
    half = once[0] / 2
    assert_same((coef, intercept), (torch.cat([half, half], 1), once[1]))


@pytest.mark.parametrize("seed", SEEDS)
def test_logistic_heads_are_scikit_learns(seed):
    X, y, weights, _ = problem(seed)
    ridge = 0.02
    coef, intercept = solve_logistic_heads(X, y, weights, ridge)
    for b, w in enumerate(weights):
        # Its objective is ours divided by twice our penalty n * ridge.
        model = LogisticRegression(
            C=1 / (2 * len(y) * ridge), solver="newton-cholesky", tol=1e-10
        ).fit(X, y, sample_weight=w)
        found = coef[b], intercept[b : b + 1]
        # A gradient of 1e-8 per sample over a curvature of 2 * ridge per sample.
        assert_same(found, (model.coef_[0], model.intercept_), rtol=0, atol=2.5e-7)


# Batches. Newton's method goes on until the last member is done, so that only a tight
# tolerance makes its members equal to single problems.

SOLVERS = [solve_heads, partial(solve_logistic_heads, tolerance=1e-12)]


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_is_a_loop(seed, own, solve):
    X, y, weights, ridge = problem(seed, own=own)
    coef, intercept = solve(X, y, weights, ridge)
    for b in np.random.default_rng(seed).choice(len(weights), 2, replace=False):
        one = solve(member(X, b), y, weights[[b]], ridge)
        assert_same((coef[[b]], intercept[[b]]), one)


@pytest.mark.parametrize("solve", SOLVERS)
def test_permuted_members_give_permuted_heads(solve):
    X, y, weights, ridge = problem(1, own=True)
    order = torch.arange(len(weights)).roll(1)
    expected = [part[order] for part in solve(X, y, weights, ridge)]
    assert_same(solve(X[order], y, weights[order], ridge), expected)


def test_each_member_may_have_its_own_labels():
    X, y, weights, ridge = problem(2)
    many = torch.stack([y.roll(b) for b in range(len(weights))])
    coef, intercept = solve_heads(X, many, weights, ridge)
    for b in range(len(weights)):
        one = solve_heads(X, many[b], weights[[b]], ridge)
        assert_same((coef[[b]], intercept[[b]]), one)


@pytest.mark.parametrize("seed", SEEDS)
def test_class_moments_give_the_same_heads_as_weights(seed):
    X, y, ratios, ridge = ratio_problem(seed)
    coef, intercept = solve_ratio_heads(X, y, ratios, ridge)
    dof = ratio_dof(X, y, ratios, ridge)
    for s in range(len(X)):
        weights = torch.where(y[s] > 0, ratios[:, None], 1.0)
        assert_same((coef[s], intercept[s]), solve_heads(X[s], y[s], weights, ridge))
        assert_same((dof[s],), (effective_dof(X[s], weights, ridge),))
    own = ratios.expand(len(X), -1)
    assert_same((dof,), (dof_at_ratios(X, y, ridge)(own),))


def test_each_data_set_may_have_its_own_ratios():
    X, y, ratios, ridge = ratio_problem(3)
    own = ratios * torch.arange(1, len(X) + 1)[:, None]
    coef, intercept = solve_ratio_heads(X, y, own, ridge)
    for s in range(len(X)):
        one = solve_ratio_heads(X[[s]], y[[s]], own[s], ridge)
        assert_same((coef[[s]], intercept[[s]]), one)


def test_many_data_sets_are_the_same_as_one_at_a_time():
    # 14 of these fill a chunk.
    g = torch.Generator().manual_seed(0)
    X = torch.randn(20, 70, 60, generator=g, dtype=torch.float64)
    y = torch.where(torch.arange(70) < 20, 1.0, -1.0).double().expand(20, 70)
    ratios = torch.linspace(1, 5, 10, dtype=torch.float64)
    coef, intercept = solve_ratio_heads(X, y, ratios, 0.1)
    dof = ratio_dof(X, y, ratios, 0.1)
    for s in (0, 13, 14, 19):
        one = X[[s]], y[[s]], ratios, 0.1
        assert_same((coef[[s]], intercept[[s]]), solve_ratio_heads(*one))
        assert_same((dof[[s]],), (ratio_dof(*one),))


@pytest.mark.parametrize(
    ("shape", "ridge", "singular"),
    [
        ((200, 20), 0.0, False),
        ((70, 60), 0.1, False),
        ((70, 60), 0.0, True),  # fewer samples of the majority than features
        ((40, 60), 0.0, True),
    ],
)
def test_many_ratios_share_a_factorisation(shape, ridge, singular, monkeypatch):
    g = torch.Generator().manual_seed(1)
    n, d = shape
    X = torch.randn(3, n, d, generator=g, dtype=torch.float64)
    X *= torch.logspace(0, -2, d, dtype=torch.float64)
    y = torch.where(torch.arange(n) < n // 4, 1.0, -1.0).double().expand(3, n)
    ratios, shared = torch.logspace(-1, 3, 12, dtype=torch.float64), []
    pencil = solvers._RatioProblem._coef_by_pencil

    def watched(problem, penalty):
        shared.append(pencil(problem, penalty))
        return shared[-1]

    monkeypatch.setattr(solvers._RatioProblem, "_coef_by_pencil", watched)
    many = solve_ratio_heads(X, y, ratios, ridge)
    assert {coef is None for coef in shared} == {singular}
    few = [solve_ratio_heads(X, y, part, ridge) for part in ratios.split(4)]
    assert_same(many, [torch.cat(parts, 1) for parts in zip(*few)])


# What weights mean


@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_weight_zero_leaves_a_sample_out(seed, penalty):
    X, y, weights, _ = problem(seed)
    keep = torch.arange(len(y)) % 5 != 0
    # The penalty is per sample, and counts those of weight zero.
    scale = len(y) / keep.sum().item()
    alone = solve_heads(X[keep], y[keep], weights[:, keep], penalty * scale)
    assert_same(solve_heads(X, y, weights * keep, penalty), alone)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_weight_two_doubles_a_sample(seed, penalty):
    X, y, weights, _ = problem(seed)
    twice = torch.arange(len(y)) % 3 == 0
    X2, y2 = torch.cat([X, X[twice]]), torch.cat([y, y[twice]])
    doubled = torch.cat([weights, weights[:, twice]], 1)
    expected = solve_heads(X2, y2, doubled, penalty * len(y) / len(y2))
    assert_same(solve_heads(X, y, weights * (1 + 1.0 * twice), penalty), expected)


def test_the_scale_of_weights_and_ridge_is_one():
    X, y, weights, ridge = problem(4)
    assert_same(
        solve_heads(X, y, 7 * weights, 7 * ridge), solve_heads(X, y, weights, ridge)
    )


# Degrees of freedom and leave-one-out


@pytest.mark.parametrize("seed", SEEDS)
def test_degrees_of_freedom_are_the_trace(seed):
    X, _, weights, ridge = problem(seed)
    n, d = X.shape
    for w, dof in zip(weights.numpy(), effective_dof(X, weights, ridge)):
        centred = X.numpy() - np.average(X, axis=0, weights=w)
        H = centred.T @ (w[:, None] * centred)
        trace = np.trace(H @ np.linalg.inv(H + n * ridge * np.eye(d)))
        assert_same((dof,), (trace,))


@pytest.mark.parametrize(("n", "d", "rank"), [(30, 7, 7), (8, 20, 7)])
def test_degrees_of_freedom_without_ridge_are_the_rank(n, d, rank):
    X = torch.from_numpy(np.random.default_rng(0).standard_normal((n, d)))
    weights = torch.ones(1, n).double()
    assert effective_dof(X, weights, 0.0).item() == rank
    assert effective_dof(X, weights, 1e9).item() < 1e-6


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("seed", SEEDS)
def test_leave_one_out_scores_are_those_of_refits(seed, ridge):
    X, y, weights, _ = problem(seed)
    n = len(y)
    scores = leave_one_out_scores(X, y, weights, ridge)
    for i in range(n):
        rest = torch.arange(n) != i
        # The penalty n * ridge is kept although a sample is gone.
        kept = ridge * n / (n - 1)
        coef, intercept = solve_heads(X[rest], y[rest], weights[:, rest], kept)
        assert_same((scores[:, i],), (coef @ X[i] + intercept,))


def test_leaving_out_a_sample_that_fixes_a_direction_is_refused():
    X, y, weights, _ = problem(0)
    alone = torch.zeros(len(y), 1).double()
    alone[0] = 1
    with pytest.raises(ValueError, match="leverage 1"):
        leave_one_out_scores(torch.cat([X, alone], 1), y, weights)


# Logistic heads without a minimiser


def test_only_the_separable_member_has_no_logistic_head():
    X = torch.tensor([[-2.0], [-1.0], [1.0], [2.0], [-3.0]]).double()
    y = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0]).double()
    weights = torch.tensor([[1.0, 1, 1, 1, 0], [1.0, 1, 1, 1, 1]]).double()
    coef, intercept = solve_logistic_heads(X, y, weights)
    assert coef.isnan().flatten().tolist() == [True, False]
    assert intercept.isnan().tolist() == [True, False]
    assert solve_logistic_heads(X, y, weights, 0.01)[0].isfinite().all()


@pytest.mark.parametrize(("n", "d"), [(20, 2), (20, 30)])
def test_separable_clouds_have_no_logistic_head(n, d):
    X = torch.from_numpy(np.random.default_rng(n).standard_normal((n, d)))
    y = torch.where(torch.arange(n) < 5, 1.0, -1.0).double()
    X += 10 * y[:, None]
    assert solve_logistic_heads(X, y, torch.ones(1, n).double())[0].isnan().all()


# Types and bad input


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_kept(dtype):
    X, y, weights, ridge = problem(5, own=True)
    X, y, weights = X.to(dtype), y.to(dtype), weights.to(dtype)
    many, ratios = y.expand(len(X), -1), torch.tensor([2.0])
    results = [
        *solve_heads(X, y, weights, ridge),
        *solve_logistic_heads(X, y, weights, ridge),
        *solve_ratio_heads(X, many, ratios, ridge),
        effective_dof(X, weights, ridge),
        effective_dof(X, weights, 0.0),
        ratio_dof(X, many, ratios, ridge),
        leave_one_out_scores(X, y, weights, ridge),
    ]
    assert {result.dtype for result in results} == {dtype}


def changed(values, value):
    values = values.clone()
    values.view(-1)[0] = value
    return values


X, Y, W, _ = problem(0)
N, D, B = *X.shape, len(W)


@pytest.mark.parametrize(
    "solve", [solve_heads, leave_one_out_scores, solve_logistic_heads]
)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((X[0], Y, W, 1.0), rf"X \({D},\)"),
        ((X, Y, W[0], 1.0), rf"weights \({N},\)"),
        ((X[1:], Y, W, 1.0), rf"X \({N - 1}, {D}\).*weights \({B}, {N}\)"),
        ((X.expand(B + 1, N, D), Y, W, 1.0), rf"X \({B + 1}, {N}, {D}\)"),
        ((X, Y[1:], W, 1.0), rf"y has shape \({N - 1},\)"),
        ((changed(X, torch.nan), Y, W, 1.0), "X holds nan"),
        ((X, changed(Y, torch.inf), W, 1.0), "y holds inf"),
        ((X, Y, changed(W, torch.nan), 1.0), "weights holds nan"),
        ((X, Y, changed(W, -0.5), 1.0), "weights holds -0.5"),
        ((X, Y, torch.zeros_like(W), 1.0), "weights holds a row that sums to zero"),
        ((X, Y, W, -0.1), "ridge is -0.1"),
        ((X, Y, W, float("nan")), "ridge is nan"),
        ((X, Y, W.float(), 1.0), "X is torch.float64 and weights is torch.float32"),
    ],
)
def test_bad_input_is_named(solve, args, message):
    with pytest.raises(ValueError, match=message):
        solve(*args)


RATIO = torch.tensor([2.0])


@pytest.mark.parametrize("solve", [solve_ratio_heads, ratio_dof])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((X, Y, RATIO, 1.0), rf"\({N}, {D}\)"),
        ((X[None], Y[None, 1:], RATIO, 1.0), rf"\(1, {N - 1}\)"),
        ((X[None], Y[None], -RATIO, 1.0), "ratios holds -2.0"),
        ((X[None], Y[None], RATIO / 0, 1.0), "ratios holds inf"),
        ((X[None], torch.ones(1, N), RATIO, 1.0), r"y holds \[1.0\]"),
        ((X[None], (Y[None] + 1) / 2, RATIO, 1.0), r"y holds \[0.0, 1.0\]"),
        ((X[None], Y[None], RATIO, -1.0), "ridge is -1.0"),
    ],
)
def test_bad_ratio_problems_are_named(solve, args, message):
    with pytest.raises(ValueError, match=message):
        solve(*args)


@pytest.mark.parametrize("labels", [Y.abs(), (Y + 1) / 2, 2 * Y])
def test_logistic_heads_need_both_labels(labels):
    with pytest.raises(ValueError, match="y holds"):
        solve_logistic_heads(X, labels, W, 1.0)
