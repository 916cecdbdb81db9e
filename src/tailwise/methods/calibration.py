"""Probabilities that mean something: one temperature, and the calibration error."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor

N_BINS = 15
Bins = TypeVar("Bins", Tensor, np.ndarray)


def confidence_bins(confidence: Tensor, hit: Tensor, *, n_bins: int) -> Tensor:
    """Samples, summed confidence and hits ``[..., n_bins, 3]`` in bins of confidence.

    Bins are of equal width from 0 to 1, sums in float64. `confidence` ``[..., n]`` is
    the probability of the predicted class, `hit` ``[..., n]`` whether it is the label.
    """
    place = (confidence * n_bins).long().clamp_max(n_bins - 1)
    columns = [x.double() for x in (torch.ones_like(hit), confidence, hit)]
    empty = columns[0].new_zeros(*hit.shape[:-1], n_bins)
    return torch.stack([empty.scatter_add(-1, place, x) for x in columns], -1)


def error_of_bins(bins: Bins) -> Bins:
    """Expected calibration error ``[...]`` from what `confidence_bins` returns."""
    n, confidence, hits = (bins[..., k] for k in range(3))
    return abs(confidence - hits).sum(-1) / n.sum(-1)


def calibration_error(logits: Tensor, y: Tensor, *, n_bins: int = N_BINS) -> Tensor:
    """Expected calibration error ``[...]`` of ``[..., n, k]`` and labels ``[..., n]``.

    Mean over bins of equal width, weighted by their share of the samples, of the
    difference between the mean probability of the predicted class and the accuracy.

    Raises
    ------
    ValueError
        For shapes that do not fit, or fewer than one bin.
    """
    if logits.shape[:-1] != y.shape or n_bins < 1:
        given = f"logits {list(logits.shape)}, y {list(y.shape)}, n_bins {n_bins}"
        raise ValueError(f"{given}: expected [..., n, k], [..., n] and at least 1")
    confidence, predicted = logits.softmax(-1).max(-1)
    bins = confidence_bins(confidence, predicted == y, n_bins=n_bins)
    return error_of_bins(bins).to(logits)


@dataclass(frozen=True)
class Recalibration:
    """Logits whose softmax is a probability: ``z / temperature + shift``.

    Attributes
    ----------
    temperature : float
    shift : ndarray [k]
        The prior correction; its largest entry is 0.
    """

    temperature: float
    shift: np.ndarray

    def probability(self, logits: ArrayLike) -> np.ndarray:
        """Probabilities ``[..., k]`` for logits ``[..., k]``."""
        return softmax(np.asarray(logits, float) / self.temperature + self.shift, -1)


def recalibrate(logits: ArrayLike, y: ArrayLike) -> Recalibration:
    """Prior correction and one temperature from held-out rows with the true shares.

    After class weights, subsampling or logit adjustment the logits are off by a
    constant for each class. The temperature and these constants minimise the
    cross-entropy; at its minimum the mean probability of each class is its share of
    `y`. A normal prior on log T, counted as one row, keeps T finite where the rows are
    told apart without an error. Derived; with fixed shifts it is `fit_temperature`.

    Parameters
    ----------
    logits : array_like [n, k]
        Of rows that were not used to fit the head.
    y : array_like of int [n]
        Labels from 0 to k - 1; every class occurs.

    Raises
    ------
    ValueError
        For shapes that do not fit, logits that are not finite, or a missing class.

    Examples
    --------
    >>> z = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> found = recalibrate(z, [0, 1, 1, 0])
    >>> found.temperature > 1, found.probability(z).mean(0).round(3).tolist()
    (True, [0.5, 0.5])
    """
    z, y = np.asarray(logits, float), np.asarray(y)
    if z.ndim != 2 or y.shape != z.shape[:1] or not np.isfinite(z).all():
        raise ValueError(
            f"logits has shape {z.shape} and y {y.shape}: expected finite [n, k], [n]"
        )
    n, k = z.shape
    counts = np.bincount(y, minlength=k)
    if len(counts) > k or not counts.all():
        raise ValueError(
            f"y holds {counts} samples of the classes: expected each of {k}"
        )
    log_share, true = np.log(counts / n), z[np.arange(n), y].sum()

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        u, shift = theta[0], theta[1:]
        beta = np.exp(u)
        scores = beta * z + shift
        total = logsumexp(scores, 1).sum() - beta * true - counts @ shift
        p = softmax(scores, 1)
        slope = beta * ((p * z).sum() - true) + u
        gradient = np.concatenate([[slope], p.sum(0) - counts])
        return (total + u**2 / 2) / n, gradient / n

    start = log_share - np.log(softmax(z, 1).mean(0).clip(1e-300))
    options = dict(maxiter=1000, ftol=1e-14, gtol=1e-8)
    found = minimize(
        loss, np.r_[0.0, start], jac=True, method="L-BFGS-B", options=options
    ).x
    shift = found[1:] - found[1:].max()
    return Recalibration(float(np.exp(-found[0])), shift)


def fit_temperature(
    logits: Tensor,
    y: Tensor,
    weights: Tensor | None = None,
    *,
    bounds: tuple[float, float] = (1e-3, 1e3),
) -> Tensor:
    """The temperature T of every member that minimises cross-entropy of logits / T.

    Parameters
    ----------
    logits : Tensor [..., n, k]
    y : Tensor of int64
        Labels; broadcast to ``[..., n]``.
    weights : Tensor, optional
        Not negative, broadcast to ``[..., n]``; the mean divides by their sum.
    bounds : tuple of float
        T stays within. The lower one is reached where all labels have the largest
        logit, the upper one where logits point away from the labels on average.

    Returns
    -------
    Tensor of float64 [...]
        NaN for a member with logits that are not finite.

    Raises
    ------
    ValueError
        If shapes do not fit, labels are not in 0 ... k - 1, a member's weights are
        negative or zero throughout, or the bounds are not positive and in order.
    """
    if not 0 < bounds[0] < bounds[1] < math.inf:
        raise ValueError(f"bounds = {bounds}: expected 0 < low < high, finite")
    y, weights = _checked_targets(logits, y, weights)
    finite = logits.isfinite().all(-1).all(-1)
    z = logits.double().masked_fill(~finite[..., None, None], 0)
    z = z - z.gather(-1, y[..., None])
    weights = weights / weights.sum(-1, keepdim=True)
    low, high = (
        torch.full(z.shape[:-2], -math.log(t), dtype=z.dtype, device=z.device)
        for t in reversed(bounds)
    )
    # Where the slope keeps its sign, T is at a bound.
    rises, falls = _slope(z, weights, low.exp())[0], _slope(z, weights, high.exp())[0]
    low, high = torch.where(falls <= 0, high, low), torch.where(rises > 0, low, high)
    u, last = torch.zeros_like(low).clamp(low, high), high - low  # u = -log T
    for _ in range(100):
        slope, curvature = _slope(z, weights, u.exp())
        up = slope <= 0  # a lower T is better, or too good to tell
        low, high = torch.where(up, u, low), torch.where(up, high, u)
        step = -slope / (curvature * u.exp())
        new = u + step
        # Newton's step for log T, or bisection where it is slow or leaves the bracket.
        newton = (new >= low) & (new <= high) & (step.abs() < last / 2)
        new = torch.where(newton, new, (low + high) / 2)
        new = torch.where(step.abs() < 1e-12, u, new)
        u, last = new, (new - u).abs()
        if (last < 1e-10).all():
            break
    return (-u).exp().masked_fill(~finite, torch.nan)


def _slope(z: Tensor, weights: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative in beta = 1 / T of the mean of logsumexp(beta z)."""
    p = (beta[..., None, None] * z).softmax(-1)
    mean = (p * z).sum(-1)
    variance = (p * (z - mean[..., None]) ** 2).sum(-1)
    return (weights * mean).sum(-1), (weights * variance).sum(-1)


def _checked_targets(
    logits: Tensor, y: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    shape = list(logits.shape)
    if logits.dim() < 2 or not logits.numel():
        raise ValueError(f"logits has shape {shape}: expected [..., n, k], not empty")
    weights = torch.ones(1) if weights is None else weights
    fitted = []
    for name, value in (("y", y), ("weights", weights)):
        try:
            fitted.append(value.to(logits.device).broadcast_to(shape[:-1]))
        except RuntimeError:
            raise ValueError(
                f"{name} has shape {list(value.shape)}, which does not broadcast to "
                f"{shape[:-1]}: logits has shape {shape}"
            ) from None
    y, weights = fitted[0], fitted[1].double()
    if y.dtype != torch.int64 or not 0 <= y.min() <= y.max() < shape[-1]:
        raise ValueError(f"y must hold int64 labels from 0 to {shape[-1] - 1}")
    if not (weights.isfinite() & (weights >= 0)).all() or (weights.sum(-1) == 0).any():
        raise ValueError("weights must be finite, not negative, and not all zero")
    return y, weights
