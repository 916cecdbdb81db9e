"""Counts of a spectrum, on features whose spectrum is known."""

import pytest
import torch

from tailwise.methods.effective_dimension import (
    marchenko_pastur_dimension,
    participation_ratio,
    pca_dimension,
)

COUNTS = [pca_dimension, participation_ratio, marchenko_pastur_dimension]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_spectrum(*variances, n=40):
    """Features [n, d] whose centred Gram matrix has exactly these eigenvalues."""
    d = len(variances)
    noise = torch.randn(n, d, generator=generator(), dtype=torch.float64)
    directions = torch.linalg.qr(noise - noise.mean(0))[0]
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator()).double())[0]
    return directions * torch.tensor(variances).double().sqrt() @ turn + 3


@pytest.mark.parametrize(
    ("share", "count"),
    [(0.5, 1), (0.89, 1), (0.95, 2), (0.99, 2), (0.997, 3), (0.9995, 4)],
)
def test_the_fewest_components_that_hold_a_share(share, count):
    assert pca_dimension(with_spectrum(90, 9.5, 0.4, 0.1), share).item() == count


def test_the_papers_share_is_99_percent():
    X = with_spectrum(90, 8.9, 1.0, 0.1)
    assert pca_dimension(X).item() == pca_dimension(X, 0.99).item() == 3


def test_the_participation_ratio_counts_equal_eigenvalues():
    # Rounding of sums of 20 squares.
    flat = participation_ratio(with_spectrum(*[2.0] * 20))
    assert flat.item() == pytest.approx(20, rel=1e-12)
    assert participation_ratio(with_spectrum(3.0, 1.0)).item() == pytest.approx(
        4**2 / 10, rel=1e-12
    )


def planted(n_spikes, seed, *, n=400, d=100, strength=1.0):
    """Noise, in which each spike is a factor shared by ten features."""
    X = torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
    for k in range(n_spikes):
        factor = torch.randn(n, 1, generator=generator(k)).double()
        X[:, 10 * k : 10 * k + 10] += strength * factor
    return X * torch.linspace(0.1, 5, d) + 7


@pytest.mark.parametrize("n_spikes", [0, 1, 4])
def test_above_the_noise_edge_are_the_planted_factors(n_spikes):
    found = torch.stack(
        [marchenko_pastur_dimension(planted(n_spikes, s)) for s in range(20)]
    )
    # The largest noise eigenvalue fluctuates around the edge (Tracy-Widom): it is
    # above it in about one data set of six, and the second almost never.
    assert ((found == n_spikes) | (found == n_spikes + 1)).all()
    assert (found == n_spikes).sum() >= 10


def test_constant_features_do_not_count():
    # The factors' eigenvalues are near 3: above the edge of 100 features, 2.25, and
    # below that of 400, 4.
    for X in (planted(2, seed=0, strength=0.5), planted(0, seed=1)):
        padded = torch.cat([X, torch.full((400, 300), 5.0)], 1)
        for count in COUNTS:
            torch.testing.assert_close(count(padded), count(X))


@pytest.mark.parametrize("count", COUNTS)
def test_a_stack_is_a_loop(count):
    stack = torch.stack([planted(k, seed=k, n=50, d=30) for k in range(3)])
    alone = torch.stack([count(X) for X in stack])
    torch.testing.assert_close(count(stack), alone)
    torch.testing.assert_close(count(stack[:, None]), alone[:, None])


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (torch.ones(5), r"X has shape \(5,\)"),
        (torch.ones(1, 5), r"X has shape \(1, 5\)"),
        (torch.tensor([[1.0, 2.0], [torch.nan, 1.0]]), "X holds NaN"),
        (torch.tensor([[1.0, 2.0], [torch.inf, 1.0]]), "X holds NaN or infinite"),
    ],
)
def test_bad_features_are_named(count, X, message):
    with pytest.raises(ValueError, match=message):
        count(X)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_is_above_zero_and_at_most_one(share):
    with pytest.raises(ValueError, match=f"share is {share}"):
        pca_dimension(torch.ones(3, 2), share)
