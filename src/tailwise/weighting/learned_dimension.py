"""An effective dimension that is learned from leave-one-out scores (ours)."""

import math

import numpy as np
import torch
from torch import Tensor

from tailwise.methods.optimal_weight import equal_error_ratio
from tailwise.methods.solvers import leave_one_out_scores
from tailwise.methods.weighted import balancing_threshold


def implied_delta(ratio: Tensor, mean: Tensor, shift: Tensor, prior: float) -> Tensor:
    """Features per sample at which the theory gives a head this mean and this shift.

    With ``D = shift / (1 - mean)`` and ``u = (1 + D) / 2`` the quadratic equation for u
    behind `tailwise.methods.optimal_weight.class_errors` is linear in delta::

        delta = (ratio (1 - u) prior - u (1 - prior)) / (u (1 - u) (ratio - 1))

    Derived, see chapter 1.

    Parameters
    ----------
    ratio : Tensor
        Other than 1.
    mean, shift : Tensor
        Half the difference and half the sum of the classes' mean scores on new data.
    prior : float
    """
    u = (1 + shift / (1 - mean)) / 2
    pulled = ratio * (1 - u) * prior - u * (1 - prior)
    return pulled / (u * (1 - u) * (ratio - 1))


def _left_out(X: Tensor, y: Tensor, ratios: Tensor, ridge: float) -> Tensor:
    """Leave-one-out scores ``[R, S, n]`` with the weights of every ratio."""
    weights = [torch.where(y > 0, ratio, 1.0).to(X) for ratio in ratios.tolist()]
    return torch.stack([leave_one_out_scores(X, y, w, ridge) for w in weights])


def learned_ratio(X: Tensor, y: Tensor, ridge: float, ratios: Tensor) -> float:
    """Equal-error ratio with one dimension learned from samples and ratios together.

    Mean leave-one-out scores are averaged over samples; the median of `implied_delta`
    over the ratios is the dimension per sample.

    Parameters
    ----------
    X : Tensor [S, n, d]
    y : Tensor [S, n]
        Labels in {-1, +1} with equal counts in every sample; +1 is the minority.
    ridge : float
    ratios : Tensor [R]
        Without 1.

    Returns
    -------
    float
        NaN where the dimension is outside the domain of the formula.
    """
    prior = (y[0] > 0).double().mean().item()
    scores, rare = _left_out(X, y, ratios, ridge), (y > 0).to(X)
    up = (scores * rare).sum((1, 2)) / rare.sum()
    down = (scores * (1 - rare)).sum((1, 2)) / (1 - rare).sum()
    delta = implied_delta(ratios.to(X), (up - down) / 2, (up + down) / 2, prior)
    delta = delta.median().item()
    return equal_error_ratio(prior, delta) if 0 <= delta < 2 * prior else math.nan


def balanced_ratio(X: Tensor, y: Tensor, ridge: float, ratios: Tensor) -> float:
    """The ratio at which leave-one-out scores need no other threshold than zero.

    `balancing_threshold`, averaged over samples, is interpolated in the logarithm of
    the ratio. Parameters as in `learned_ratio`; NaN if it does not change its sign.
    """
    scores = _left_out(X, y, ratios, ridge)
    thresholds = [balancing_threshold(s, y).mean().item() for s in scores]
    if not thresholds[0] < 0 < thresholds[-1]:
        return math.nan
    return float(np.exp(np.interp(0.0, thresholds, np.log(ratios.cpu().numpy()))))
