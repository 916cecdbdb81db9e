"""Closed forms against the equations they solve, and against each other."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from tailwise.methods.optimal_weight import (
    class_errors,
    downsampled_error,
    equal_error_ratio,
    optimal_ratio,
    shifted_error,
)

# Machine precision times the condition of the formulas: they divide by 2 prior - delta
# and by 1 - D^2, both above 1e-4 in the settings drawn here.
CLOSE = dict(rtol=1e-10, atol=1e-12)


def settings(n=200, *, seed=0):
    """Random prior, delta < 2 * prior, snr and ratio."""
    rng = np.random.default_rng(seed)
    prior = rng.uniform(0.02, 0.5, n)
    delta = rng.uniform(0, 0.99, n) * 2 * prior
    snr, ratio = rng.uniform(0.3, 4, n), np.exp(rng.uniform(-2, 5, n))
    return prior, delta, snr, ratio


def worst(ratio, prior, delta, snr):
    return np.maximum(*class_errors(ratio, prior, delta, snr))


# The equal-error ratio


def test_both_classes_err_equally_at_the_equal_error_ratio():
    prior, delta, snr, _ = settings()
    ratio = equal_error_ratio(prior, delta)
    minority, majority = class_errors(ratio, prior, delta, snr)
    np.testing.assert_allclose(minority, majority, **CLOSE)
    # The error there, as the fact sheet of the paper writes it.
    effect = delta / (4 * prior) + delta / (4 * (1 - prior))
    expected = norm.sf(snr**2 * np.sqrt((1 - effect) / (snr**2 + effect)))
    np.testing.assert_allclose(minority, expected, **CLOSE)


def test_the_ratio_is_that_of_priors_plus_an_offset():
    prior, delta, _, _ = settings()
    offset = delta * (1 - 2 * prior) / (prior * (2 * prior - delta))
    by_parts = (1 - prior) / prior + offset
    np.testing.assert_allclose(equal_error_ratio(prior, delta), by_parts, **CLOSE)
    plenty = equal_error_ratio(prior, 0.0)
    np.testing.assert_allclose(plenty, (1 - prior) / prior, **CLOSE)
    np.testing.assert_allclose(equal_error_ratio(0.5, delta), 1.0, **CLOSE)


@pytest.mark.parametrize("delta", [0.4, 0.41, 1.0, -0.01, np.nan, [0.1, 0.4]])
@pytest.mark.parametrize("function", [equal_error_ratio, downsampled_error])
def test_delta_must_be_below_twice_the_prior(function, delta):
    args = (0.2, delta) if function is equal_error_ratio else (0.2, delta, 1.0)
    with pytest.raises(ValueError, match=r"delta is .*< 2 \* prior"):
        function(*args)


# Errors at any ratio


def errors_by_equations(ratio, prior, delta, snr):
    """Errors of both classes from the leave-one-out equations, solved one by one."""
    share, weight = np.array([prior, 1 - prior]), np.array([ratio, 1.0])

    def trace(log_kappa):  # kappa * P - delta, increasing in kappa
        pull = weight * np.exp(log_kappa)
        return (share * pull / (1 + pull)).sum() - delta

    kappa = np.exp(brentq(trace, -60, 60, xtol=1e-14))
    v = weight / (1 + weight * kappa)
    p = share * v
    D = (p[0] - p[1]) / p.sum()
    t = 1 - D**2
    m = snr**2 * t / (1 + snr**2 * t)
    b = (1 - m) * D
    np.testing.assert_allclose(p[0] * (1 - m - b), p[1] * (1 - m + b), rtol=1e-9)
    # alpha^2 = m^2/s^2 + delta/P^2 sum_c prior_c v_c^2 ((1 - m - c b)^2 + alpha^2)
    square = delta / p.sum() ** 2 * share * v**2
    residual = (1 - m - np.array([b, -b])) ** 2
    alpha = np.sqrt((m**2 / snr**2 + (square * residual).sum()) / (1 - square.sum()))
    return norm.sf(np.array([m + b, m - b]) / alpha)


def test_the_closed_form_solves_the_fixed_point_equations():
    for prior, delta, snr, ratio in zip(*settings(300)):
        expected = errors_by_equations(ratio, prior, delta, snr)
        found = class_errors(ratio, prior, delta, snr)
        # 1 - sum of squares and 1 - D^2 lose three to six digits near the edge.
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-14)


def test_on_the_way_to_equal_errors_the_majority_pays():
    prior, delta, snr, _ = settings()
    # The minority gains all the way only where the equal-error ratio is the best one.
    small = np.minimum(snr, np.sqrt(bound(prior, delta)) * 0.99)
    path = np.linspace(0, 1, 20)[:, None] * np.log(equal_error_ratio(prior, delta))
    minority, majority = class_errors(np.exp(path), prior, delta, small)
    assert (np.diff(minority, axis=0) <= 1e-12).all()
    minority, majority = class_errors(np.exp(path), prior, delta, snr)
    assert (np.diff(majority, axis=0) >= -1e-12).all()


def test_swapping_the_classes_swaps_the_errors_of_balanced_classes():
    _, delta, snr, ratio = settings()
    there = class_errors(ratio, 0.5, delta, snr)
    back = class_errors(1 / ratio, 0.5, delta, snr)
    np.testing.assert_allclose(there, back[::-1], **CLOSE)


def test_with_plenty_of_samples_the_bayes_rule_is_found():
    # delta = 0 and the ratio of priors: the threshold of the balanced problem.
    snr = np.linspace(0.3, 3, 9)
    errors = class_errors(4.0, 0.2, 0.0, snr)
    np.testing.assert_allclose(errors, norm.sf([snr, snr]), **CLOSE)


def test_an_infinite_ratio_is_the_limit_of_large_ones():
    limit = class_errors(np.inf, 0.2, 0.5, 1.0)
    # The error falls off like 1 / ratio.
    np.testing.assert_allclose(class_errors(1e9, 0.2, 0.5, 1.0), limit, atol=1e-8)


# The best ratio, and rivals


def bound(prior, delta):
    """Largest snr^2 at which the equal-error ratio is the best one."""
    with np.errstate(divide="ignore"):
        return (4 * prior * (1 - prior) - delta) / (delta * (1 - 2 * prior))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_ratio_is_the_best_of_a_dense_grid(seed):
    prior, delta, snr, _ = settings(20, seed=seed)
    delta[::4] = np.minimum(1.5 * delta[::4] + 2 * prior[::4], 0.95)  # past the domain
    best = optimal_ratio(prior, delta, snr)
    found = worst(best, prior, delta, snr)
    grid = np.geomspace(0.5, 1e4, 4001)[:, None]
    on_grid = worst(grid, prior, delta, snr).min(0)
    assert (found <= on_grid + 1e-12).all()
    # Two neighbours differ by 0.25 %: around a smooth minimum or a crossing the error
    # moves by less than that share of itself (a third was seen).
    inside = best < 1e4
    np.testing.assert_allclose(found[inside], on_grid[inside], rtol=2.5e-3)


def test_it_is_the_equal_error_ratio_up_to_the_bound_only():
    prior, delta, _, _ = settings(40)
    prior, delta = np.minimum(prior, 0.45), 0.9 * delta + 0.01 * prior
    limit = np.sqrt(bound(prior, delta))
    equal = equal_error_ratio(prior, delta)
    # The search is exact to 1e-9 in u, and that to a ratio by a factor below 1e3.
    np.testing.assert_allclose(
        optimal_ratio(prior, delta, 0.95 * limit), equal, rtol=1e-6
    )
    assert (optimal_ratio(prior, delta, 1.05 * limit) < 0.9999 * equal).all()


@pytest.mark.parametrize("delta", [0.4, 0.5, 0.8])
def test_past_the_domain_it_is_infinite_for_near_classes_only(delta):
    assert optimal_ratio(0.2, delta, 0.5) == np.inf
    assert optimal_ratio(0.2, delta, 3.0) < 100


def test_balanced_classes_want_equal_weights():
    assert optimal_ratio(0.5, 0.3, 1.0) == pytest.approx(1, rel=1e-6)


def test_moving_the_threshold_beats_the_equal_error_ratio():
    prior, delta, snr, _ = settings()
    at_equal = worst(equal_error_ratio(prior, delta), prior, delta, snr)
    moved = shifted_error(prior, delta, snr)
    assert (moved <= at_equal + 1e-15).all()
    unbalanced = (prior < 0.45) & (delta > 0.01) & (at_equal > 1e-6)
    assert unbalanced.sum() > 50
    assert (moved < at_equal)[unbalanced].all()
    # Moving it shares the two distances, in standard deviations, out equally.
    # An error close to 1 does not say how far away it is, so leave those out.
    errors = np.array(class_errors(1.0, prior, delta, snr))
    precise = errors.max(0) < 0.9
    shared = norm.sf(norm.isf(errors).mean(0))
    np.testing.assert_allclose(moved[precise], shared[precise], **CLOSE)
    # Nothing is to be moved where the classes are balanced.
    balanced = class_errors(1.0, 0.5, delta, snr)[0]
    np.testing.assert_allclose(shifted_error(0.5, delta, snr), balanced, **CLOSE)


def test_no_weighting_beats_the_moved_threshold():
    prior, delta, snr, ratio = settings()
    assert (worst(ratio, prior, delta, snr) >= shifted_error(prior, delta, snr)).all()


def test_downsampling_is_a_smaller_balanced_problem():
    prior, delta, snr, _ = settings()
    down = downsampled_error(prior, delta, snr)
    fewer = delta / (2 * prior)
    expected = norm.sf(snr**2 * np.sqrt((1 - fewer) / (snr**2 + fewer)))
    np.testing.assert_allclose(down, expected, **CLOSE)
    at_equal = worst(equal_error_ratio(prior, delta), prior, delta, snr)
    assert (down >= at_equal - 1e-15).all()
    # At the end of the domain nothing is left of it.
    edge = downsampled_error(prior, 2 * prior * (1 - 1e-12), snr)
    np.testing.assert_allclose(edge, 0.5, atol=1e-5)


# Shapes and bad input


@pytest.mark.parametrize(
    ("function", "first"),
    [
        (class_errors, (np.full((5, 1, 1, 1), 2.0),)),
        (optimal_ratio, ()),
        (shifted_error, ()),
        (downsampled_error, ()),
        (equal_error_ratio, ()),
    ],
)
def test_inputs_broadcast(function, first):
    axes = [np.full(4, 0.2), np.full((3, 1), 0.1), np.full((2, 1, 1), 1.5)]
    args = *first, *axes[: 2 if function is equal_error_ratio else 3]
    results = function(*args)
    for found in results if isinstance(results, tuple) else (results,):
        assert found.shape == np.broadcast_shapes(*map(np.shape, args))
        np.testing.assert_allclose(found, found.flat[0], **CLOSE)
    one = function(*(arg.flat[0] for arg in args))
    assert np.shape(one[0] if isinstance(one, tuple) else one) == ()


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (equal_error_ratio, (0.6, 0.1), "prior is 0.6"),
        (equal_error_ratio, (0.0, 0.0), "prior is 0.0"),
        (equal_error_ratio, (np.nan, 0.0), "prior is nan"),
        (class_errors, (0.0, 0.2, 0.1, 1.0), "ratio is 0.0"),
        (class_errors, (2.0, 0.2, 0.1, -1.0), "snr is -1.0"),
        (class_errors, (np.nan, 0.2, 0.1, 1.0), "ratio is nan"),
        (class_errors, (2.0, 0.2, 1.0, 1.0), "delta is 1.0: expected 0 <= delta < 1"),
        (class_errors, (2.0, 0.7, 0.1, 1.0), "prior is 0.7"),
        (optimal_ratio, (0.2, 1.0, 1.0), "delta is 1.0"),
        (optimal_ratio, (0.2, 0.1, 0.0), "snr is 0.0"),
        (shifted_error, (0.2, 0.1, -1.0), "snr is -1.0"),
        (shifted_error, (0.2, 1.2, 1.0), "delta is 1.2"),
        (downsampled_error, (0.2, 0.1, 0.0), "snr is 0.0"),
    ],
)
def test_values_outside_the_domain_are_named(function, args, message):
    with pytest.raises(ValueError, match=message):
        function(*args)
