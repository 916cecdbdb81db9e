"""Chapter 1's sweeps: their summaries are what their definitions say."""

import numpy as np
import pytest
import torch

from tailwise.metrics import bootstrap
from tailwise.weighting import study


def test_the_worst_class_error_is_the_larger_mean_error():
    # Each data set's own larger error is 0.4, but both classes err 0.3 on average.
    a = np.array([[0.2, 0.4], [0.4, 0.2]] * 10)
    b = np.full((20, 2), 0.1)
    assert study.worst_difference(a, b).mean == pytest.approx(0.2)
    assert study.worst_difference(torch.from_numpy(a), b).n == 20


def test_a_difference_to_itself_is_exactly_nothing():
    a = np.random.default_rng(0).random((20, 2))
    found = study.worst_difference(a, a)
    assert (found.mean, found.stderr) == (0, 0)


def test_the_bootstrap_error_of_a_mean_is_the_standard_error():
    x = np.random.default_rng(0).standard_normal(400)
    found = bootstrap(np.mean, x, n_boot=2000)
    # The bootstrap's own relative error is 1 / sqrt(2 n_boot) = 1.6 %; five of them.
    assert found.stderr == pytest.approx(x.std() / 20, rel=0.08)


def test_pooling_independent_values():
    found = study.pooled([-1.0, 1.0, 1.0, 1.0], [0.2] * 4)
    assert (found.mean, found.stderr) == pytest.approx((1.0, 0.1))


def test_named_ratios_are_rows_of_the_same_simulation():
    setting = study.Setting(delta=0.2, prior=0.2, snr=1.0)
    run = study.run_setting(
        setting,
        d=10,
        n_sets=4,
        grid=torch.tensor([1.0, 4.0, 7.0], dtype=torch.float64),
        generator=torch.Generator().manual_seed(0),
    )
    for name, column in (("one", 0), ("priors", 1), ("equal", 2)):
        np.testing.assert_allclose(
            run.minority[name], run.minority["grid"][:, column], rtol=1e-6
        )
    assert run.saving("one", "one").mean == 0
    assert not study.Setting(0.5, 0.2, 1.0).balances
