"""Simulation of the Gaussian mixture of chapter 1 and of heads fitted to it.

The model is that of `methods.optimal_weight`. Test errors are exact: they follow from a
head's coefficients, without test data.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tailwise.methods.optimal_weight import equal_error_ratio
from tailwise.methods.solvers import (
    leave_one_out_scores,
    solve_heads,
    solve_ratio_heads,
)
from tailwise.methods.weighted import balancing_threshold, downsampled_rows


@dataclass(frozen=True)
class Draw:
    """Data sets from the mixture: ``X [S, n, d]``, ``y [S, n]`` in {-1, +1}."""

    X: Tensor
    y: Tensor
    snr: float


def draw(
    n_sets: int,
    n: int,
    d: int,
    *,
    prior: float,
    snr: float,
    spectrum: Tensor | None = None,
    generator: torch.Generator,
) -> Draw:
    """Draw data sets with exact class counts; the first ``round(prior n)`` are +1.

    Parameters
    ----------
    n_sets, n, d : int
    prior, snr : float
        As in `class_errors`.
    spectrum : Tensor [d], optional
        Variances of the noise; 1 by default. The class means lie along the all-ones
        direction of the whitened features, so that `snr` keeps its meaning.
    generator : torch.Generator
        Its device is where the data is drawn.
    """
    kind = dict(dtype=torch.float64, device=generator.device)
    y = -torch.ones(n_sets, n, **kind)
    y[:, : round(prior * n)] = 1
    X = torch.randn(n_sets, n, d, generator=generator, **kind)
    X += (snr / d**0.5) * y.unsqueeze(-1)
    if spectrum is not None:
        X *= spectrum.to(X).sqrt()
    return Draw(X, y, snr)


def exact_errors(
    coef: Tensor, intercept: Tensor, snr: float, spectrum: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Test error of each class of given heads under the mixture, without test data.

    Parameters
    ----------
    coef : Tensor [..., d]
    intercept : Tensor [...]
    snr : float
    spectrum : Tensor [d], optional
        As in `draw`.

    Returns
    -------
    minority, majority : Tensor [...]
    """
    d = coef.shape[-1]
    white = coef if spectrum is None else coef * spectrum.to(coef).sqrt()
    score = white.sum(-1) * snr / d**0.5
    size = torch.linalg.vector_norm(white, dim=-1)
    return tuple(
        torch.special.ndtr(-(score + sign * intercept) / size) for sign in (1, -1)
    )


def simulate(
    ratios: Tensor,
    *,
    n_sets: int,
    n: int,
    d: int,
    prior: float,
    snr: float,
    ridge: float = 0.0,
    spectrum: Tensor | None = None,
    generator: torch.Generator,
    chunk: int = 2,
) -> tuple[Tensor, Tensor]:
    """Fit heads at every ratio on simulated data sets and return their test errors.

    Parameters
    ----------
    ratios : Tensor [R]
    n_sets : int
        Independent data sets S.
    n, d, prior, snr, spectrum, generator
        As in `draw`.
    ridge : float
        As in `tailwise.methods.weighted.solve_heads`.
    chunk : int
        Data sets held in memory at a time.

    Returns
    -------
    minority, majority : Tensor [S, R]
        Exact test errors of each fitted head.
    """
    parts = []
    for start in range(0, n_sets, chunk):
        sets = draw(
            min(chunk, n_sets - start),
            n,
            d,
            prior=prior,
            snr=snr,
            spectrum=spectrum,
            generator=generator,
        )
        heads = solve_ratio_heads(sets.X, sets.y, ratios, ridge)
        parts.append(exact_errors(*heads, snr, spectrum))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


@dataclass(frozen=True)
class Rivals:
    """Test errors of rival corrections on the same data sets, minority first.

    Attributes
    ----------
    weighted : Tensor [S, 2]
        Head weighted by the equal-error ratio.
    moved : Tensor [S, 2]
        Unweighted head with the threshold that balances its leave-one-out scores.
    averaged : Tensor [S, 2, B]
        Mean of the first 1, 2, …, B downsampled heads.
    """

    weighted: Tensor
    moved: Tensor
    averaged: Tensor


def simulate_rivals(
    *,
    n_sets: int,
    n: int,
    d: int,
    prior: float,
    snr: float,
    n_draws: int = 32,
    generator: torch.Generator,
) -> Rivals:
    """Weight, move the threshold, or downsample and average, on the same data sets.

    Parameters
    ----------
    n_sets, n, d, prior, snr, generator
        As in `simulate`.
    n_draws : int
        Downsampled heads B per data set.

    Raises
    ------
    ValueError
        Unless ``d / n < 2 * prior``.
    """
    ratio = torch.tensor([1.0, equal_error_ratio(prior, d / n)])
    errors = []
    for _ in range(n_sets):
        one = draw(1, n, d, prior=prior, snr=snr, generator=generator)
        coef, intercept = (h[0] for h in solve_ratio_heads(one.X, one.y, ratio))
        scores = leave_one_out_scores(one.X, one.y, torch.ones_like(one.y))
        moved = intercept[:1] - balancing_threshold(scores, one.y)
        rows = downsampled_rows(one.y[0], n_draws, generator)
        few = max(1, 2**21 // (rows.shape[1] * d))  # that stay in the cache of a CPU
        solved = [
            solve_heads(one.X[0, r], one.y[0, r], one.X.new_ones(r.shape))
            for r in rows.split(few)
        ]
        c, b = map(torch.cat, zip(*solved))
        count = torch.arange(1, n_draws + 1, device=b.device)
        coef = torch.cat([coef.flip(0), c.cumsum(0) / count[:, None]])
        intercept = torch.cat([intercept[1:], moved, b.cumsum(0) / count])
        errors.append(torch.stack(exact_errors(coef, intercept, snr)))
    errors = torch.stack(errors)
    return Rivals(errors[..., 0], errors[..., 1], errors[..., 2:])


def crossing(ratios: ArrayLike, gap: ArrayLike) -> np.ndarray:
    """First ratio at which a gap between the classes' errors changes sign.

    Parameters
    ----------
    ratios : array_like [R]
        Increasing.
    gap : array_like [..., R]
        Minority error minus majority error.

    Returns
    -------
    ndarray [...]
        Interpolated in the logarithm of the ratio; NaN where there is no crossing.
    """
    x, gap = np.log(np.asarray(ratios, dtype=float)), np.asarray(gap, dtype=float)
    flips = (gap[..., :-1] > 0) & (gap[..., 1:] <= 0)
    left = flips.argmax(-1)[..., None]
    g0, g1 = (np.take_along_axis(gap, left + k, -1)[..., 0] for k in (0, 1))
    x0, x1 = (x[left + k][..., 0] for k in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.exp(x0 + (x1 - x0) * g0 / (g0 - g1))
    return np.where(flips.any(-1), found, np.nan)


def bootstrap_crossing(
    ratios: ArrayLike, gap: ArrayLike, *, n_boot: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Crossing of the mean curve and its bootstrap standard error.

    Parameters
    ----------
    ratios : array_like [R]
    gap : array_like [S, R]
        One curve per repetition.
    n_boot, seed : int

    Returns
    -------
    crossing, stderr : float
        NaN where the mean curve does not cross; the standard error is over the
        bootstrap curves that do.
    """
    gap = np.asarray(gap)
    rows = np.random.default_rng(seed).integers(len(gap), size=(n_boot, len(gap)))
    again = crossing(ratios, gap[rows].mean(1))
    found = float(crossing(ratios, gap.mean(0)))
    crossed = np.isfinite(again)
    stderr = float(np.std(again[crossed])) if crossed.sum() > 1 else float("nan")
    return found, stderr
