"""Sharpness of a loss at a point: its largest curvature, and its rise up the slope."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn import functional as F

from tailwise.profiles import reseeded
from tailwise.softad.networks import Architecture, Params

Loss = Callable[[Tensor], Tensor]


def top_eigenvalue(loss: Loss, at: Tensor, *, tol: float = 1e-2) -> float:
    """Largest eigenvalue of the Hessian of a loss.

    By scipy's Lanczos iteration on products of the Hessian with vectors; the Hessian
    itself is never formed.

    Parameters
    ----------
    loss : callable
        Maps a vector ``[p]`` to a scalar, twice differentiable by autograd.
    at : Tensor [p]
        p ≥ 2.
    tol : float
        Relative accuracy of the eigenvalue.

    Returns
    -------
    float
        NaN where the loss or its gradient is not finite.

    Examples
    --------
    >>> curvature = torch.tensor([1.0, 4.0, -9.0])
    >>> round(top_eigenvalue(lambda w: (curvature * w**2).sum() / 2, torch.ones(3)), 3)
    4.0
    """
    if at.ndim != 1 or len(at) < 2:
        raise ValueError(f"at has shape {list(at.shape)}: expected [p], p ≥ 2")
    w, slope = _slope(loss, at, create_graph=True)
    if not slope.isfinite().all():
        return float("nan")

    def product(v: np.ndarray) -> np.ndarray:
        along = torch.from_numpy(np.ascontiguousarray(v.ravel())).to(slope)
        (found,) = torch.autograd.grad(slope, w, along, retain_graph=True)
        return found.cpu().numpy()

    p, kind = len(at), at.cpu().numpy().dtype
    hessian = LinearOperator((p, p), matvec=product, dtype=kind)
    start = np.random.default_rng(reseeded(0)).standard_normal(p).astype(kind)
    found = eigsh(
        hessian,
        1,
        which="LA",
        v0=start,
        ncv=min(p, 10),  # vectors that are kept: one product each to begin with
        tol=tol,
        return_eigenvectors=False,
    )
    return float(found[0])


def loss_rise(loss: Loss, at: Tensor, reach: float) -> float:
    """How much the loss rises over a step of length `reach` up its slope.

    The inner step of sharpness-aware minimisation: ``loss(w + reach g / |g|) -
    loss(w)`` with the gradient g at w. `loss` and `at` as in `top_eigenvalue`.
    """
    if not reach > 0:
        raise ValueError(f"reach is {reach}: expected > 0")
    w, slope = _slope(loss, at)
    with torch.no_grad():
        size = torch.linalg.vector_norm(slope)
        step = reach * slope / size.clamp_min(torch.finfo(at.dtype).tiny)
        return (loss(w + step) - loss(w)).item()


def of(loss: Loss, at: Tensor, reach: float) -> tuple[float, float]:
    """`top_eigenvalue` and `loss_rise`."""
    return top_eigenvalue(loss, at), loss_rise(loss, at, reach)


def _slope(loss: Loss, at: Tensor, **how) -> tuple[Tensor, Tensor]:
    w = at.detach().clone().requires_grad_()
    with torch.enable_grad():
        return w, torch.autograd.grad(loss(w), w, **how)[0]


def member_loss(
    architecture: Architecture, params: Params, X: Tensor, y: Tensor
) -> tuple[Loss, Tensor]:
    """The mean cross-entropy of one member as a function of one vector, and its place.

    Parameters
    ----------
    architecture : Architecture
    params : dict of Tensor
        Of one member, without leading dimensions.
    X, y : Tensor [n, ...], [n]
    """
    shapes = {name: value.shape for name, value in params.items()}
    at = torch.cat([value.flatten() for value in params.values()])
    rows = architecture.windows(X[None]).flatten(1, 2)

    def loss(w: Tensor) -> Tensor:
        parts = w.split([shape.numel() for shape in shapes.values()])
        stacked = {
            name: part.view(1, 1, *shape)
            for part, (name, shape) in zip(parts, shapes.items())
        }
        logits = architecture.values(stacked, rows)[-1][0, 0].mT
        return F.cross_entropy(logits, y)

    return loss, at
