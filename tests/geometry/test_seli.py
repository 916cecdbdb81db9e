"""Closed forms against the programs that they solve, and against each other."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tailwise.geometry import seli
from tailwise.geometry.seli import (
    blocks,
    etf_gram,
    gram_error,
    norms_and_cosines,
    predicted_grams,
    sel_matrix,
    step_blocks,
    step_counts,
    temperatures,
)

# Rounding, where a square root of a matrix with a condition number below 1e8 is taken.
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def random_problem(seed: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts over two decades, temperatures over one."""
    rng = np.random.default_rng(seed)
    counts = np.round(10 ** rng.uniform(0, 2, k))
    return counts, 10 ** rng.uniform(-0.5, 0.5, k)


def svm(counts, labels, delta, kind, seed) -> tuple[np.ndarray, np.ndarray]:
    """W and embeddings that minimise the ridge subject to the margins, by SLSQP.

    Embeddings h_i have label labels[i] and count counts[i] times: the variables are W
    and sqrt(counts) h.
    """
    k, m = len(delta), len(labels)
    root = np.sqrt(counts)[:, None]
    pairs = [(i, c) for i, y in enumerate(labels) for c in range(k) if c != y]
    i, c = np.array(pairs).T
    y, row = np.asarray(labels)[i], np.arange(len(pairs))
    own, other = (delta[y], delta[y]) if kind == "ldt" else (delta[y], delta[c])

    def margins(x):
        W, H = x[: k * k].reshape(k, k), x[k * k :].reshape(m, k) / root
        return ((own[:, None] * W[y] - other[:, None] * W[c]) * H[i]).sum(1) - 1

    def slopes(x):
        W, H = x[: k * k].reshape(k, k), x[k * k :].reshape(m, k) / root
        slope = np.zeros((len(pairs), k + m, k))
        slope[row, y] += own[:, None] * H[i]
        slope[row, c] -= other[:, None] * H[i]
        slope[row, k + i] = (own[:, None] * W[y] - other[:, None] * W[c]) / root[i]
        return slope.reshape(len(pairs), -1)

    start = np.concatenate([np.eye(k), root * np.eye(k)[labels]]) / delta.min()
    start = start + 0.1 * np.random.default_rng(seed).normal(size=start.shape)
    found = minimize(
        lambda x: (x**2).sum() / 2,
        start.ravel(),
        jac=lambda x: x,
        constraints={"type": "ineq", "fun": margins, "jac": slopes},
        method="SLSQP",
        options={"maxiter": 2000, "ftol": 1e-10},
    )
    assert found.success, found.message
    return found.x[: k * k].reshape(k, k), found.x[k * k :].reshape(m, k) / root


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
@pytest.mark.parametrize("seed", range(12))
def test_grams_solve_the_program(seed, kind):
    k = 3 + seed % 3
    counts, delta = random_problem(seed, k)
    W, H = svm(counts, np.arange(k), delta, kind, seed)
    for found, predicted in zip((W, H), predicted_grams(counts, delta, kind)):
        gram = torch.from_numpy(found @ found.T)
        assert (gram - predicted).norm() < 1e-5 * predicted.norm()  # often 1e-7
    logits = torch.from_numpy(W @ H.T)
    torch.testing.assert_close(logits, sel_matrix(delta, kind), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
def test_grams_solve_the_program_with_an_embedding_per_example(kind):
    labels, delta = [0, 0, 0, 0, 1, 1, 2], np.array([1.3, 0.8, 0.5])
    W, H = svm(np.ones(7), labels, delta, kind, 0)
    gram_w, gram_h = predicted_grams([4, 2, 1], delta, kind)
    torch.testing.assert_close(torch.from_numpy(W @ W.T), gram_w, rtol=0, atol=1e-3)
    per_example = gram_h[labels][:, labels]
    torch.testing.assert_close(
        torch.from_numpy(H @ H.T), per_example, rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
def test_multipliers_balance_the_forces(kind):
    """W and each embedding are the multipliers times the slopes of the margins."""
    counts, delta = map(torch.from_numpy, random_problem(7, 6))
    gram_w, gram_h = predicted_grams(counts, delta, kind)
    alpha = seli.multipliers(counts, delta, kind)
    others = ~torch.eye(6, dtype=torch.bool)
    assert (alpha[others] > 0).all()
    assert (alpha.diagonal() == 0).all()
    # By logit z_c of an example of class y the sum of alpha * margin has the slope F.
    if kind == "ldt":
        F = torch.diag(alpha.sum(0) * delta) - alpha * delta
    else:
        F = torch.diag(alpha.sum(0) * delta) - alpha * delta.unsqueeze(-1)
    Z = sel_matrix(delta, kind)
    # W = F N H^T times H, and H = W^T F from the left by W.
    torch.testing.assert_close(Z, (F * counts) @ gram_h, **EXACT)
    torch.testing.assert_close(Z, gram_w @ F, **EXACT)


def test_the_matrix_is_the_margin():
    delta = torch.tensor([1.0, 0.5, 2.0, 0.1], dtype=torch.float64)
    for kind in seli.KINDS:
        Z = sel_matrix(delta, kind)
        scaled = Z * (delta if kind == "ldt" else delta.unsqueeze(-1))
        margin = scaled.diagonal() - scaled
        torch.testing.assert_close(
            margin, 1 - torch.eye(4, dtype=margin.dtype), **EXACT
        )
        v = seli.null_direction(delta, kind)
        gram_w, gram_h = predicted_grams([9, 3, 2, 4], delta, kind)
        for zero in (v @ Z, gram_w @ v, gram_h @ (delta * v)):
            torch.testing.assert_close(zero, torch.zeros_like(zero), rtol=0, atol=1e-10)


def full(b: seli.Blocks, k_major: int, k_minor: int) -> torch.Tensor:
    """The Gram matrix that a summary describes."""
    minor = torch.arange(k_major + k_minor) >= k_major
    length = torch.where(minor, b.norm2_minor, b.norm2_major).sqrt()
    same = torch.where(minor, b.cos_minor, b.cos_major)
    cos = torch.where(minor.unsqueeze(-1) == minor, same, b.cos_between)
    return cos.fill_diagonal_(1) * length * length.unsqueeze(-1)


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
@pytest.mark.parametrize(
    ("k_major", "k_minor"), [(5, 5), (2, 7), (3, 1), (1, 2), (1, 1)]
)
@pytest.mark.parametrize("ratio", [1, 10, 300])
@pytest.mark.parametrize("gamma", [-0.7, 0.0, 0.5, 1.2])
def test_step_formulas_equal_the_general_one(k_major, k_minor, ratio, gamma, kind):
    counts = step_counts(k_major, k_minor, ratio, n_minor=7)
    general = predicted_grams(counts, temperatures(counts, gamma), kind)
    step = step_blocks(k_major, k_minor, ratio, gamma, kind, n_minor=7)
    minority = [False] * k_major + [True] * k_minor
    for gram, found in zip(general, step):
        torch.testing.assert_close(full(found, k_major, k_minor), gram, **EXACT)
        summary = blocks(gram, minority)
        for name, value in vars(found).items():
            again = getattr(summary, name)
            torch.testing.assert_close(again, value, equal_nan=True, **EXACT)
            alone = (name, k_major) == ("cos_major", 1) or (name, k_minor) == (
                "cos_minor",
                1,
            )
            assert value.isnan() == alone


def test_step_formulas_broadcast():
    ratio, gamma = torch.tensor([[3.0], [50.0]]), torch.tensor([-1.0, 0.2, 0.6])
    for b in step_blocks(3, 2, ratio, gamma, "cdt"):
        assert b.norm2_ratio.shape == (2, 3)
    one = step_blocks(3, 2, 50, 0.2, "cdt")[1]
    assert b.cos_between[1, 1] == pytest.approx(one.cos_between.item(), rel=1e-6)


def test_a_table_computed_independently():
    """Norm ratios and cosines of W and H for cross-entropy, ten classes, half rare."""
    table = {
        10: ((2.672, -0.144, 0.033, -0.139), (0.351, -0.070, -0.187, -0.085)),
        100: ((5.766, -0.148, 0.338, -0.196), (0.116, -0.063, -0.228, -0.051)),
        1000: ((9.066, -0.148, 0.671, -0.245), (0.037, -0.062, -0.243, -0.029)),
    }
    for ratio, rows in table.items():
        for b, row in zip(step_blocks(5, 5, ratio, 0, "ldt"), rows):
            found = b.norm2_ratio, b.cos_major, b.cos_minor, b.cos_between
            assert [x.item() for x in found] == pytest.approx(row, abs=6e-4)


@pytest.mark.parametrize("seed", range(5))
def test_square_root_temperatures_give_an_etf(seed):
    counts = torch.from_numpy(random_problem(seed, 9)[0])
    gram_w, gram_h = predicted_grams(counts, seli.etf_temperatures(counts), "ldt")
    etf = etf_gram(9)
    torch.testing.assert_close(gram_w, counts.amax().sqrt() * etf, **EXACT)
    length, cos = norms_and_cosines(gram_h)
    torch.testing.assert_close(cos, etf / etf[0, 0], **EXACT)
    expected = length[0] ** 2 * counts[0] / counts
    torch.testing.assert_close(length**2, expected, **EXACT)


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
def test_class_dependent_temperatures_give_no_etf(kind):
    found = predicted_grams([50, 50, 5, 5], temperatures([50, 50, 5, 5], 0.5), kind)[0]
    assert (gram_error(found, etf_gram(4)) < 1e-10) == (kind == "ldt")


def test_balanced_classes_give_a_simplex():
    for kind in seli.KINDS:
        for gamma in (-1.0, 0.0, 0.4):
            counts = torch.full((6,), 30.0)
            for gram in predicted_grams(counts, temperatures(counts, gamma), kind):
                assert gram_error(gram, etf_gram(6)) < 1e-12


def test_label_temperatures_change_the_ratio():
    """LDT at (R, gamma) has the classifiers and the angles of CE at R^(1 - 2 gamma)."""
    ldt_w, ldt_h = step_blocks(3, 4, 20, 0.3, "ldt")
    ce_w, ce_h = step_blocks(3, 4, 20**0.4, 0, "ldt")
    assert ldt_w.norm2_ratio.item() == pytest.approx(ce_w.norm2_ratio.item())
    ratio = ce_h.norm2_ratio.item() * 20**-0.6
    assert ldt_h.norm2_ratio.item() == pytest.approx(ratio)
    for a, b in ((ldt_w, ce_w), (ldt_h, ce_h)):
        for name in ("cos_major", "cos_minor", "cos_between"):
            assert getattr(a, name).item() == pytest.approx(getattr(b, name).item())


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
def test_permuted_classes(kind):
    counts, delta = random_problem(3, 7)
    order = np.random.default_rng(0).permutation(7)
    permuted = predicted_grams(counts[order], delta[order], kind)
    for a, b in zip(permuted, predicted_grams(counts, delta, kind)):
        torch.testing.assert_close(a, b[order][:, order], **EXACT)


@pytest.mark.parametrize("kind", ["ldt", "cdt"])
def test_scales(kind):
    """Of all counts and of all temperatures."""
    counts, delta = map(torch.from_numpy, random_problem(4, 5))
    gram_w, gram_h = predicted_grams(counts, delta, kind)
    more_w, more_h = predicted_grams(4 * counts, 3 * delta, kind)
    torch.testing.assert_close(more_w, gram_w * 2 / 3, **EXACT)
    torch.testing.assert_close(more_h, gram_h / 6, **EXACT)


def test_leading_dimensions():
    counts = torch.rand(4, 1, 5, dtype=torch.float64) * 50 + 1
    delta = torch.rand(3, 5, dtype=torch.float64) + 0.5
    together = predicted_grams(counts, delta, "cdt")
    alone = predicted_grams(counts[2, 0], delta[1], "cdt")
    for a, b in zip(together, alone):
        assert a.shape == (4, 3, 5, 5)
        torch.testing.assert_close(a[2, 1], b, **EXACT)
    assert seli.multipliers(counts, delta, "ldt").shape == (4, 3, 5, 5)


def test_mean_one_temperatures():
    delta = temperatures([50.0, 5, 5], 0.5, mean_one=True)
    assert delta.mean().item() == pytest.approx(1)
    assert (delta[0] / delta[1]).item() == pytest.approx(math.sqrt(10))


def test_lists_keep_double_precision():
    delta = [0.1, 0.2, 0.7]
    exact = predicted_grams([1, 2, 3], torch.tensor(delta).double(), "cdt")[0]
    double = predicted_grams([1, 2, 3], np.array(delta), "cdt")[0]
    assert torch.equal(predicted_grams([1, 2, 3], delta, "cdt")[0], double)
    assert not torch.equal(exact, double)


@pytest.mark.parametrize(
    ("counts", "delta", "kind", "message"),
    [
        ([3, 0, 2], [1, 1, 1], "ldt", "class_counts holds 0.0: expected > 0"),
        ([3, -1, 2], [1, 1, 1], "ldt", "class_counts holds -1.0: expected > 0"),
        ([3, math.inf, 2], [1, 1, 1], "ldt", "class_counts holds inf"),
        ([3, 1, 2], [1, 0, 1], "cdt", "delta holds 0.0: expected > 0"),
        ([3, 1, 2], [1, -2, 1], "cdt", "delta holds -2.0: expected > 0"),
        ([3, 1, 2], [1, math.nan, 1], "cdt", "delta holds nan"),
        ([3, 1, 2], [1, 1], "cdt", "delta is for 2 classes, class_counts for 3"),
        ([3], [1], "ldt", r"class_counts has shape \(1,\): expected \[\.\.\., k\]"),
        (3, 1, "ldt", r"class_counts has shape \(\)"),
        ([3, 1], [1, 1], "vs", "unknown kind 'vs': expected one of ldt, cdt"),
    ],
)
def test_bad_input(counts, delta, kind, message):
    with pytest.raises(ValueError, match=message):
        predicted_grams(counts, delta, kind)
    with pytest.raises(ValueError, match=message):
        seli.multipliers(counts, delta, kind)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperatures([1, 2], math.nan), "gamma is not finite"),
        (lambda: step_counts(0, 2, 10), r"k_major, k_minor are \(0, 2\)"),
        (lambda: step_counts(2, 2, -1), "class_counts holds -1.0"),
        (lambda: step_blocks(2, 2, 10, 0, "ce"), "unknown kind 'ce'"),
        (lambda: sel_matrix([1, 0], "ldt"), "delta holds 0.0"),
        (lambda: blocks(etf_gram(3), [True] * 3), "of both kinds"),
        (lambda: blocks(etf_gram(3), [True, False]), "of both kinds"),
    ],
)
def test_bad_input_elsewhere(call, message):
    with pytest.raises(ValueError, match=message):
        call()
