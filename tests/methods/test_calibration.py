"""Calibration: bins of confidence against a loop, and errors that are known."""

import numpy as np
import pytest
import torch

from tailwise.methods.calibration import (
    calibration_error,
    confidence_bins,
    error_of_bins,
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
