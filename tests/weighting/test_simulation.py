"""Simulated heads against the closed form, and the tools that simulate them."""

import secrets

import numpy as np
import pytest
import torch

from tailwise.methods.optimal_weight import class_errors, equal_error_ratio
from tailwise.methods.solvers import (
    leave_one_out_scores,
    solve_heads,
    solve_ratio_heads,
)
from tailwise.methods.weighted import balancing_threshold, downsampled_rows
from tailwise.metrics import estimate
from tailwise.weighting.simulation import (
    bootstrap_crossing,
    crossing,
    draw,
    exact_errors,
    simulate,
    simulate_rivals,
)

# The closed form holds for n, d → ∞: the errors at finite d are off by a term of order
# 1 / d. Over 40 settings of 400 data sets at d = 100 its root mean square was 0.0003.
FINITE_D = 0.003


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Theory


def random_setting(rng, d):
    """prior, delta, snr and ratio inside the domain, as whole numbers of samples."""
    prior, snr = rng.uniform(0.1, 0.5), rng.uniform(0.7, 2.5)
    n = round(d / rng.uniform(0.05, min(0.85 * 2 * prior, 0.6)))
    prior, delta = round(prior * n) / n, d / n
    ratio = equal_error_ratio(prior, delta) ** rng.uniform(0, 1.2)
    return n, prior, delta, snr, ratio


def test_the_closed_form_is_what_simulation_finds():
    seed, d = secrets.randbelow(2**31), 100
    rng = np.random.default_rng(seed)
    for _ in range(10):
        n, prior, delta, snr, ratio = random_setting(rng, d)
        found = simulate(
            torch.tensor([ratio]),
            n_sets=100,
            n=n,
            d=d,
            prior=prior,
            snr=snr,
            generator=generator(int(rng.integers(2**31))),
        )
        for theory, errors in zip(class_errors(ratio, prior, delta, snr), found):
            e = estimate(errors[:, 0])
            assert abs(e.mean - theory) < 3 * e.stderr + FINITE_D, (
                f"seed {seed}: {e} simulated, {theory:.4f} in theory at "
                f"{prior=:.3f}, {delta=:.3f}, {snr=:.2f}, {ratio=:.2f}"
            )


# Data and errors


@pytest.mark.parametrize("spectrum", [None, [1.0, 4.0, 0.25, 9.0]])
def test_a_draw_has_exact_counts_and_the_spectrum(spectrum):
    n_sets, n, d, prior, snr = 3, 20_001, 4, 0.2, 1.5
    variance = torch.ones(d) if spectrum is None else torch.tensor(spectrum)
    data = draw(
        n_sets,
        n,
        d,
        prior=prior,
        snr=snr,
        spectrum=None if spectrum is None else variance,
        generator=generator(),
    )
    assert data.X.shape == (n_sets, n, d)
    assert ((data.y > 0).sum(1) == 4000).all()
    assert (data.y[:, :4000] == 1).all()
    assert (data.y.abs() == 1).all()
    for X, y in zip(data.X, data.y):
        for sign in (1, -1):
            rows = X[y == sign] / variance.sqrt()
            # Four standard errors of a mean, and of an entry of a covariance matrix
            # (that of a variance is larger by the root of two).
            slack = 4 / len(rows) ** 0.5
            mean = torch.full((d,), sign * snr / d**0.5).double()
            torch.testing.assert_close(rows.mean(0), mean, rtol=0, atol=slack)
            eye = torch.eye(d).double()
            torch.testing.assert_close(rows.T.cov(), eye, rtol=0, atol=slack * 2**0.5)


def test_a_draw_depends_on_its_generator_only():
    one, same, other = (
        draw(1, 9, 2, prior=0.3, snr=1.0, generator=generator(s)).X for s in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("spectrum", [None, torch.tensor([1.0, 0.1, 5.0])])
def test_exact_errors_are_those_on_new_data(spectrum):
    n = 200_000
    kind = dict(snr=1.2, spectrum=spectrum)
    new = draw(1, n, 3, prior=0.5, generator=generator(1), **kind)
    coef = torch.tensor([[1.0, 0.5, 0.2], [-0.3, 1.0, 2.0]]).double()
    intercept = torch.tensor([0.4, -1.0]).double()
    scores = new.X[0] @ coef.T + intercept
    for sign, errors in zip((1, -1), exact_errors(coef, intercept, **kind)):
        wrong = scores[new.y[0] == sign] * sign < 0
        stderr = (errors * (1 - errors) / len(wrong)).sqrt()
        assert ((wrong.double().mean(0) - errors).abs() < 4 * stderr).all()


def test_exact_errors_do_not_depend_on_the_length_of_a_head():
    coef, intercept = torch.randn(5, 4, generator=generator()), torch.ones(5)
    for one, two in zip(
        exact_errors(coef, intercept, 1.0), exact_errors(9 * coef, 9 * intercept, 1.0)
    ):
        torch.testing.assert_close(one, two)


def test_a_simulation_is_draw_fit_and_exact_error():
    kind = dict(n=60, d=7, prior=0.3, snr=1.0, spectrum=torch.arange(1.0, 8))
    ratios = torch.tensor([1.0, 4.0])
    alone = dict(n_sets=5, chunk=5, ridge=0.1, generator=generator())
    found = simulate(ratios, **alone, **kind)
    data = draw(5, generator=generator(), **kind)
    heads = solve_ratio_heads(data.X, data.y, ratios, 0.1)
    for one, two in zip(found, exact_errors(*heads, 1.0, kind["spectrum"])):
        torch.testing.assert_close(one, two)


def test_chunks_make_up_the_whole():
    kind = dict(n=40, d=3, prior=0.3, snr=1.0, generator=generator())
    errors = simulate(torch.tensor([1.0, 2.0]), n_sets=7, chunk=3, **kind)
    assert [e.shape for e in errors] == [(7, 2), (7, 2)]
    assert len(torch.unique(errors[0])) == 14


# Rivals


def test_rivals_are_what_their_names_say():
    n, d, prior, snr = 80, 10, 0.25, 1.0
    kind = dict(n=n, d=d, prior=prior, snr=snr)
    rivals = simulate_rivals(n_sets=1, n_draws=6, generator=generator(), **kind)

    def errors(coef, intercept):
        return torch.stack(exact_errors(coef, intercept, snr), 1)

    g = generator()
    data = draw(1, generator=g, **kind)
    X, y, flat = data.X[0], data.y[0], torch.ones_like(data.y)
    ratio = flat + (y > 0) * (equal_error_ratio(prior, d / n) - 1)
    # The ratio passes through single precision: 1e-7, and as much in the error.
    torch.testing.assert_close(
        rivals.weighted, errors(*solve_heads(X, y, ratio)), rtol=1e-6, atol=0
    )
    coef, intercept = solve_heads(X, y, flat)
    threshold = balancing_threshold(leave_one_out_scores(X, y, flat), y)
    torch.testing.assert_close(rivals.moved, errors(coef, intercept - threshold))
    heads = []
    for rows in downsampled_rows(y, 6, g):
        heads.append(solve_heads(X[rows], y[rows], flat[:, rows]))
        mean = (torch.stack(part).mean(0) for part in zip(*heads))
        found = rivals.averaged[..., len(heads) - 1]
        torch.testing.assert_close(found, errors(*mean))
    assert rivals.averaged.shape == (1, 2, 6)


def test_rivals_need_samples():
    with pytest.raises(ValueError, match="delta is 0.5"):
        simulate_rivals(n_sets=1, n=20, d=10, prior=0.2, snr=1.0, generator=generator())


# Crossings

RATIOS = np.geomspace(1, 50, 12)


def test_a_crossing_is_found_between_the_ratios():
    where = np.array([1.3, 7.0, 42.0])
    gap = np.log(where)[:, None] - np.log(RATIOS)
    np.testing.assert_allclose(crossing(RATIOS, gap), where, rtol=1e-12)


def test_no_crossing_is_nan():
    gap = np.linspace(1, 0.1, len(RATIOS))
    found = crossing(RATIOS, np.stack([gap, -gap, np.log(7 / RATIOS)]))
    assert np.isnan(found).tolist() == [True, True, False]


def test_the_first_crossing_from_above_counts():
    up_and_down = np.sin(np.linspace(-1, 9.9, len(RATIOS)))
    k = np.flatnonzero((up_and_down[:-1] > 0) & (up_and_down[1:] <= 0))
    assert len(k) == 2
    assert RATIOS[k[0]] < crossing(RATIOS, up_and_down) <= RATIOS[k[0] + 1]


def test_the_bootstrap_knows_the_standard_error_of_a_shifted_curve():
    shift = np.random.default_rng(0).normal(0, 0.5, 200)
    gap = np.log(7 / RATIOS) + shift[:, None]
    found, stderr = bootstrap_crossing(RATIOS, gap, n_boot=400)
    assert found == pytest.approx(7 * np.exp(shift.mean()))
    # A spread estimated from 400 curves: 1 / sqrt(800) = 3.5 %, four times that.
    exact = found * shift.std() / np.sqrt(200)
    assert stderr == pytest.approx(exact, rel=0.14)


def test_the_bootstrap_of_curves_that_never_cross_is_nan():
    found = bootstrap_crossing(RATIOS, np.ones((5, len(RATIOS))))
    assert np.isnan(found).all()
