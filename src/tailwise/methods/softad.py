"""SoftAD and flooding: losses that are held to a level.

A risk takes losses [..., n] and parameters [..., 1]. It returns values T, [..., n] or
[..., 1], whose mean is the objective, and the derivative of that mean, [..., n].
"""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor


def rho(x: Tensor) -> Tensor:
    """Soft absolute value ``sqrt(1 + x^2) - 1`` (arXiv 2408.03619, released code)."""
    return x * (x / (1 + torch.hypot(x, x.new_ones(()))))


def rho_slope(x: Tensor) -> Tensor:
    """Derivative of `rho`, ``x / sqrt(1 + x^2)``: odd, between -1 and 1."""
    return x / torch.hypot(x, x.new_ones(()))


def each(losses: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of losses [..., n] as a risk: its terms, and their weights."""
    return losses, torch.full_like(losses, 1 / losses.shape[-1])


def held(risk: Callable, bend: Callable = rho, slope: Callable = rho_slope):
    """Hold the values of a risk to a level: ``T -> bend(T - tau) + tau``."""

    def held(losses, tau, *columns):
        T, weights = risk(losses, *columns)
        return bend(T - tau) + tau, slope(T - tau) * weights

    return held


def held_to_quantile(losses: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    # tau is the quantile of the batch, linear between neighbours.
    ordered = losses.detach().sort(-1).values
    place = (share * (losses.shape[-1] - 1)).expand(*losses.shape[:-1], 1)
    low, high = (ordered.gather(-1, p.long()) for p in (place, place.ceil()))
    tau = torch.lerp(low, high, place.frac())
    return held(each)(losses, tau)


def check_level(tau: float | Tensor, n_classes: int, *, stacklevel: int = 2) -> None:
    """Warn of a level at or above the loss of a constant predictor, ``ln n_classes``.

    There the rule asks for more loss than guessing has, and trains a classifier that
    avoids the right class. ``frozen_cvar_softad`` holds the mean to another level, so
    pass ``tau * (1 - quantile)``. ValueError unless ``n_classes`` ≥ 2.
    """
    if not n_classes >= 2:
        raise ValueError(f"n_classes is {n_classes}: expected at least 2")
    level = float(tau.max() if isinstance(tau, Tensor) else tau)
    if level >= (guess := math.log(n_classes)):
        warnings.warn(
            f"tau is {level:.4g}, at or above ln {n_classes} = {guess:.4g}, the loss "
            "of a constant predictor: the rule then trains an anti-classifier",
            stacklevel=stacklevel,
        )
