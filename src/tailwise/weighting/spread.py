"""Two tests of why a rule misses: the classes' spread, and their shape."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.metrics import Estimate
from tailwise.weighting.images import FrozenPair, compare_rules
from tailwise.weighting.study import equal_accuracy_ratio, over_networks


def _moments(pair: FrozenPair) -> tuple[list[Tensor], list[Tensor]]:
    """Means [d] and covariances [d, d] of the pool, minority first."""
    means = [X.mean(0) for X in pair.pool]
    return means, [torch.cov(X.mT) for X in pair.pool]


def score_direction(pair: FrozenPair, ridge: float = 1e-2) -> Tensor:
    """Direction ``[d]`` of a balanced least-squares head: Fisher's discriminant."""
    means, covariances = _moments(pair)
    within = sum(covariances) / 2
    penalty = ridge * torch.eye(len(within), dtype=within.dtype, device=within.device)
    return torch.linalg.solve(within + penalty, means[0] - means[1])


def spread_ratio(pair: FrozenPair) -> float:
    """Spread of the minority's scores over that of the majority's, on the pool."""
    direction = score_direction(pair)
    minority, majority = (X @ direction for X in pair.pool)
    return (minority.std() / majority.std()).item()


def equal_spread(pair: FrozenPair) -> FrozenPair:
    """The pair with the minority's scores stretched about their mean.

    Along `score_direction` both classes then spread alike; what is uncorrelated with
    the minority's score stays as it is.
    """
    direction = score_direction(pair)
    means, covariances = _moments(pair)
    along = covariances[0] @ direction
    along = along / (direction @ along)  # moves the score by 1
    stretch = 1 / spread_ratio(pair) - 1

    def moved(X: Tensor) -> Tensor:
        return X + stretch * ((X - means[0]) @ direction).unsqueeze(1) * along

    pool, test = ((moved(both[0]), both[1]) for both in (pair.pool, pair.test))
    return replace(pair, pool=pool, test=test)


def gaussian(
    pair: FrozenPair, generator: torch.Generator, *, n_test: int = 4000
) -> FrozenPair:
    """Gaussian features with the means and covariances of the pair's pool.

    Each class keeps its own spread; only the shape of the distributions changes. The
    test features follow the same distribution.
    """
    means, covariances = _moments(pair)

    def draw(n: int, k: int) -> Tensor:
        values, vectors = torch.linalg.eigh(covariances[k])
        root = vectors * values.clamp_min(0).sqrt()
        noise = torch.randn(n, len(root), generator=generator, dtype=root.dtype)
        return means[k] + noise.to(root) @ root.mT

    pool = tuple(draw(len(X), k) for k, X in enumerate(pair.pool))
    return replace(pair, pool=pool, test=tuple(draw(n_test, k) for k in range(2)))


def shape_tests(
    networks: list[FrozenPair],
    *,
    n: int = 180,
    ridge: float = 0.01,
    n_resamples: int,
    generator: torch.Generator,
) -> pd.DataFrame:
    """Does a pair miss the rule for the spread of its classes, or for their shape?

    Returns
    -------
    DataFrame
        A row a network: spread of the rare class's scores over the common one's, log
        of the equal-accuracy ratio over the effective-dof rule for the features as
        they are ("as is"), with `equal_spread`, and for `gaussian` features.
    """
    grid = torch.logspace(-1, 2, 49, dtype=torch.float64)
    rows = []
    for pair in networks:
        changed = {
            "as is": pair,
            "equal spread": equal_spread(pair),
            "Gaussian": gaussian(pair, generator),
        }
        row, seed = {"spread": spread_ratio(pair)}, generator.get_state()
        for name, one in changed.items():
            generator.set_state(seed)  # the same samples
            options = dict(n_resamples=n_resamples, grid=grid, n_draws=0)
            found = compare_rules(one, n, ridge, generator=generator, **options)
            rule = found.ratio["effective dof"].nanmean().item()
            row[name] = np.log(equal_accuracy_ratio(found).mean / rule)
        rows.append(row)
    return pd.DataFrame(rows).rename_axis("network")


def shape_claims(tests: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    """Claims on `shape_tests`: what equal spread moves, and what a Gaussian shape."""
    moved = {
        "ch1.equal_spread": tests["equal spread"] - tests["as is"],
        "ch1.gaussian_shape": tests["Gaussian"] - tests["as is"],
    }
    return {claim: {"": over_networks(by)[0]} for claim, by in moved.items()}
