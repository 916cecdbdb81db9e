"""Calibration: bins of confidence against a loop, and errors that are known."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tailwise.methods.calibration import (
    calibration_error,
    confidence_bins,
    error_of_bins,
    fit_temperature,
    recalibrate,
)


def drawn(*shape):
    """Logits and labels of some members."""
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(*shape, 4, generator=g, dtype=torch.float64)
    return logits, torch.randint(0, 4, shape, generator=g)


def looped(logits, y, n_bins):
    """Bins of one member, sample by sample."""
    bins = np.zeros((n_bins, 3))
    for z, label in zip(logits.numpy(), y.numpy()):
        p = np.exp(z) / np.exp(z).sum()
        k = int(min(p.max() * n_bins, n_bins - 1))
        bins[k] += (1, p.max(), p.argmax() == label)
    return bins


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_bins_and_their_error_are_a_loop(n_bins):
    logits, y = drawn(2, 3, 90)
    confidence, predicted = logits.softmax(-1).max(-1)
    bins = confidence_bins(confidence, predicted == y, n_bins=n_bins)
    errors = calibration_error(logits, y, n_bins=n_bins)
    assert errors.dtype == logits.dtype
    for s, k in np.ndindex(2, 3):
        expected = looped(logits[s, k], y[s, k], n_bins)
        np.testing.assert_allclose(bins[s, k], expected, rtol=1e-12)
        gaps = [abs(c / n - hits / n) * n / 90 for n, c, hits in expected if n]
        assert errors[s, k].item() == pytest.approx(sum(gaps), rel=1e-12)
    np.testing.assert_allclose(error_of_bins(bins.numpy()), errors, rtol=1e-12)


def test_certainty_is_in_the_last_bin():
    confidence = torch.tensor([1.0, 0.95, 0.9, 0.05])
    bins = confidence_bins(confidence, torch.tensor([1, 0, 1, 1]), n_bins=10)
    assert bins[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert bins[:, 2].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_calibration_error_of_known_cases():
    y = torch.zeros(100, dtype=torch.int64)
    y[70:] = 1
    odds = torch.tensor([0.7, 0.3]).log().expand(100, 2)
    assert calibration_error(odds, y) == pytest.approx(0, abs=1e-6)
    sure = torch.tensor([50.0, 0.0]).expand(100, 2)
    assert calibration_error(sure, y) == pytest.approx(0.3, abs=1e-6)
    with pytest.raises(ValueError, match="n_bins 0"):
        calibration_error(odds, y, n_bins=0)


def weighted_logistic(seed, share=0.05, n=4000):
    """A logistic head that was fitted with weights, and rows with the true shares."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    X = rng.normal(size=(n, 3)) + 1.5 * y[:, None] * np.eye(3)[0]
    head = LogisticRegression(C=1e6, class_weight="balanced").fit(X, y)
    return np.stack([0 * y, head.decision_function(X)], 1), y


def test_weights_are_undone_by_the_shares():
    z, y = weighted_logistic(0)
    found = recalibrate(z, y)
    p = found.probability(z)
    np.testing.assert_allclose(p.mean(0), [1 - y.mean(), y.mean()], atol=1e-5)
    # The weights multiply the odds by the ratio of shares, up to sampling.
    gap = found.shift[1] - found.shift[0]
    assert gap == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=0.3)
    before = softmax(z, 1)[:, 1]
    assert before.mean() > 5 * y.mean()
    loss = [-np.log(q[np.arange(len(y)), y]).mean() for q in (softmax(z, 1), p)]
    assert loss[1] < loss[0]


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("k", [2, 5])
def test_a_known_distortion_is_found(scale, k):
    rng = np.random.default_rng(k)
    true = 2 * rng.normal(size=(20_000, k))
    y = np.array([rng.choice(k, p=p) for p in softmax(true, 1)])
    shift = rng.normal(size=k)
    found = recalibrate(scale * (true - shift), y)
    # Maximum likelihood with 20,000 rows: 5 standard errors of about 0.01.
    assert found.temperature == pytest.approx(scale, rel=0.05)
    np.testing.assert_allclose(found.shift, shift - shift.max(), atol=0.15)


def test_with_the_shares_right_it_is_the_temperature():
    rng = np.random.default_rng(3)
    true = rng.normal(size=(4000, 3))
    y = np.array([rng.choice(3, p=p) for p in softmax(true, 1)])
    z = 3 * true
    found = recalibrate(z, y)
    moved = torch.from_numpy(z + found.shift * found.temperature)
    alone = fit_temperature(moved, torch.from_numpy(y)).item()
    assert found.temperature == pytest.approx(alone, rel=5e-3)


def test_rows_without_an_error_leave_a_finite_temperature():
    z, y = np.repeat([[1.0, 0.0], [0.0, 1.0]], 10, 0), np.repeat([0, 1], 10)
    found = recalibrate(z, y)
    assert 0.05 < found.temperature < 1
    assert np.isfinite(found.shift).all()


@pytest.mark.parametrize(
    ("z", "y", "says"),
    [
        (np.zeros((3, 2)), [0, 1], r"shape \(3, 2\) and y \(2,\)"),
        (np.full((2, 2), np.nan), [0, 1], "expected finite"),
        (np.zeros((2, 3)), [0, 1], "expected each of 3"),
    ],
)
def test_rows_that_cannot_recalibrate_are_refused(z, y, says):
    with pytest.raises(ValueError, match=says):
        recalibrate(z, y)
