"""Two changes to a pair of classes: each mends what it names and leaves the rest."""

import pytest
import torch

from tailwise.weighting import spread
from tailwise.weighting.images import FrozenPair


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair() -> FrozenPair:
    """A skewed minority that spreads half as far as the majority."""
    g, d = rng(1), 5
    scale = torch.tensor([2.0, 1.0, 1.5, 1.2, 1.8]).double()

    def minority(m):
        skewed = torch.rand(m, d, generator=g).double().log().neg() - 1  # exponential
        return 0.5 * scale * skewed + 1

    def majority(m):
        return scale * torch.randn(m, d, generator=g).double() - 1

    return FrozenPair(
        ("rare", "common"),
        (minority(4000), majority(9000)),
        (minority(500), majority(500)),
        (0.5, 0.9),
    )


def test_the_direction_is_that_of_a_balanced_fit(pair):
    # Fisher: least squares on balanced classes points the same way.
    X = torch.cat([pair.pool[0], pair.pool[1][:4000]])
    y = torch.cat([torch.ones(4000), -torch.ones(4000)]).double()
    Z = torch.cat([X, torch.ones(8000, 1).double()], 1)
    fitted = torch.linalg.lstsq(Z, y.unsqueeze(1)).solution[:-1, 0]
    cosine = torch.cosine_similarity(fitted, spread.score_direction(pair), dim=0)
    assert cosine > 0.99


def test_equal_spread_is_equal_and_moves_nothing_else(pair):
    before, after = spread.spread_ratio(pair), spread.equal_spread(pair)
    assert before < 0.7
    direction = spread.score_direction(pair)
    up, down = (X @ direction for X in after.pool)
    assert up.std().item() == pytest.approx(down.std().item())
    torch.testing.assert_close(after.pool[0].mean(0), pair.pool[0].mean(0))
    assert after.pool[1] is pair.pool[1]
    # Uncorrelated with the score: the residual of a regression on it.
    for a, b in ((pair.pool[0], after.pool[0]), (pair.test[0], after.test[0])):
        score = (pair.pool[0] - pair.pool[0].mean(0)) @ direction
        slope = (pair.pool[0] - pair.pool[0].mean(0)).T @ score / score.square().sum()
        left = [
            X - ((X - pair.pool[0].mean(0)) @ direction).unsqueeze(1) * slope
            for X in (a, b)
        ]
        torch.testing.assert_close(*left)


def test_gaussians_keep_means_and_covariances(pair):
    found = spread.gaussian(pair, rng(2))
    assert [len(X) for X in found.pool] == [4000, 9000]
    assert [len(X) for X in found.test] == [4000, 4000]
    for new, old in zip(found.pool + found.test, pair.pool * 2):
        # Five standard errors of a mean, and of a variance of normal numbers.
        error = 5 * old.std(0) / len(new) ** 0.5
        assert ((new.mean(0) - old.mean(0)).abs() < error).all()
        off = (torch.cov(new.T) - torch.cov(old.T)).abs().amax()
        assert off < 5 * old.var(0).max() * (2 / len(new)) ** 0.5
        # A skewed class is skewed no more: skewness 2 of an exponential becomes 0.
        z = (new - new.mean(0)) / new.std(0)
        assert (z**3).mean(0).abs().max() < 5 * (6 / len(new)) ** 0.5


def test_a_gaussian_pair_with_equal_spread_passes_both_tests():
    g = rng(3)
    sets = [
        torch.randn(m, 12, generator=g).double() + sign * 0.35
        for m, sign in ((1500, 1), (1500, -1), (1500, 1), (1500, -1))
    ]
    pair = FrozenPair(("a", "b"), tuple(sets[:2]), tuple(sets[2:]), (0.5, 0.9))
    size = dict(n_resamples=12, generator=g)
    found = spread.shape_tests([pair, pair], **size)
    assert list(found) == ["spread", "as is", "equal spread", "Gaussian"]
    assert found["spread"].sub(1).abs().max() < 0.1
    claims = spread.shape_claims(found)
    moved = found["equal spread"] - found["as is"]
    assert claims["ch1.equal_spread"][""].mean == pytest.approx(moved.mean())
    # The rule holds for such features: no more than the noise of 12 samples.
    assert found[["as is", "equal spread", "Gaussian"]].abs().max().max() < 0.35
