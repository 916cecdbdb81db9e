"""Effective dimensions of a feature matrix: counts of its spectrum."""

import torch
from torch import Tensor


def _check(X: Tensor) -> None:
    if X.ndim < 2 or X.shape[-2] < 2:
        raise ValueError(f"X has shape {tuple(X.shape)}: expected [..., n ≥ 2, d]")
    if not torch.isfinite(X).all():
        raise ValueError("X holds NaN or infinite values: expected finite numbers")


def _spectrum(X: Tensor) -> Tensor:
    _check(X)
    centred = X - X.mean(-2, keepdim=True)
    return torch.linalg.svdvals(centred).square()


def pca_dimension(X: Tensor, share: float = 0.99) -> Tensor:
    """Fewest principal components that hold a share of the variance.

    Parameters
    ----------
    X : Tensor [..., n, d]
    share : float
        In (0, 1]; the paper of chapter 1 uses 0.99.

    Returns
    -------
    Tensor [...]

    Raises
    ------
    ValueError
        For a share outside (0, 1], non-finite features, or fewer than two samples.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: expected a number in (0, 1]")
    held = _spectrum(X).cumsum(-1)
    return (held < share * held[..., -1:]).sum(-1) + 1


def participation_ratio(X: Tensor) -> Tensor:
    """``(sum of eigenvalues)^2 / sum of squared eigenvalues`` of the covariance.

    Parameters and errors as in `pca_dimension`.
    """
    spectrum = _spectrum(X)
    return spectrum.sum(-1).square() / spectrum.square().sum(-1)


def marchenko_pastur_dimension(X: Tensor) -> Tensor:
    """Eigenvalues of the correlation matrix above the edge of pure noise.

    The edge of a noise matrix is ``(1 + sqrt(d / n))^2``. Constant features are left
    out. Parameters and errors as in `pca_dimension`.
    """
    _check(X)
    spread = X.std(-2, keepdim=True)
    live, n = spread > 0, X.shape[-2]
    scaled = torch.where(live, X / spread, torch.zeros_like(X))
    edge = (1 + (live.sum(-1) / n) ** 0.5) ** 2
    return (_spectrum(scaled) / (n - 1) > edge).sum(-1)
