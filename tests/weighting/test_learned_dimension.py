"""A dimension from leave-one-out scores: right where the theory is right."""

import math

import pytest
import torch

from tailwise.methods.optimal_weight import _minority_pull, equal_error_ratio
from tailwise.methods.solvers import solve_heads
from tailwise.methods.weighted import effective_ratio
from tailwise.weighting import learned_dimension, simulation

RATIOS = torch.logspace(0.3, 1.3, 8, dtype=torch.float64)


@pytest.mark.parametrize(("prior", "delta"), [(0.2, 0.1), (0.2, 0.35), (0.05, 0.04)])
def test_the_equation_is_solved_for_delta(prior, delta):
    u = torch.tensor([_minority_pull(r, prior, delta) for r in RATIOS.tolist()])
    mean = torch.tensor(0.3)  # any
    shift = (1 - mean) * (2 * u - 1)
    found = learned_dimension.implied_delta(RATIOS, mean, shift, prior)
    torch.testing.assert_close(found, torch.full_like(found, delta))


def draw(n_sets, seed=0, **more):
    g = torch.Generator().manual_seed(seed)
    world = dict(n=300, d=45, prior=0.2, snr=1.0) | more
    found = simulation.draw(n_sets, generator=g, **world)
    return found.X, found.y


def test_the_number_of_features_is_learned():
    X, y = draw(40)
    found = learned_dimension.learned_ratio(X, y, 0.0, RATIOS)
    # 45 features of 300 samples; the ratio's noise is about 3 % at 40 data sets.
    assert found == pytest.approx(equal_error_ratio(0.2, 45 / 300), rel=0.1)


def test_with_a_ridge_it_agrees_with_the_degrees_of_freedom():
    X, y = draw(40, seed=1, d=100)
    rule = effective_ratio(X, y, 0.3).mean().item()
    assert learned_dimension.learned_ratio(X, y, 0.3, RATIOS) == pytest.approx(
        rule, rel=0.1
    )
    assert learned_dimension.balanced_ratio(X, y, 0.3, RATIOS) == pytest.approx(
        rule, rel=0.15
    )


def test_left_out_scores_are_those_of_heads_without_the_sample():
    X, y = draw(1, n=30, d=4)
    found = learned_dimension._left_out(X, y, RATIOS[:2], 0.0)
    for r, ratio in enumerate(RATIOS[:2].tolist()):
        for i in (0, 17, 29):
            rest = torch.arange(30) != i
            w = torch.where(y[:, rest] > 0, ratio, 1.0).double()
            coef, at = solve_heads(X[0, rest], y[0, rest], w)
            assert found[r, 0, i].item() == pytest.approx((coef @ X[0, i] + at).item())


def test_outside_the_domain_there_is_none():
    X, y = draw(4, n=60, d=40)  # 40 / 60 is above 0.4
    assert math.isnan(learned_dimension.learned_ratio(X, y, 0.0, RATIOS))
