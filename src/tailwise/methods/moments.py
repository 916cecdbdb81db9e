"""Weighted least-squares heads from what each class adds to the normal equations.

Weights of classes, targets of classes and every ridge need only the count and the mean
of each class and one Gram matrix a choice of weights; all heads of a fit share one
factorisation. Derived, see chapter 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg

CHUNK = 2**14  # rows that are converted to float64 at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMoments:
    """What K classes add to the normal equations, in float64.

    Attributes
    ----------
    counts : ndarray [K]
        Samples of each class, or the sum of their weights.
    means : ndarray [K, d]
        Of the features as they are given.
    grams : ndarray [K, d, d] or None
        About each class's own mean; None where they would be much larger than the
        features, which are then read again for each choice of weights.
    centre, scale : ndarray [d]
        Heads are fitted to ``(x - centre) / scale``.
    """

    X: np.ndarray
    member: np.ndarray
    sample_weight: np.ndarray | None
    counts: np.ndarray
    means: np.ndarray
    grams: np.ndarray | None
    centre: np.ndarray
    scale: np.ndarray
    _kept: dict = field(default_factory=dict, repr=False)

    def scaled(self, centre: np.ndarray, scale: np.ndarray) -> "ClassMoments":
        """The same samples with the features centred and scaled, in no time."""
        return replace(self, centre=centre, scale=scale, _kept={})

    @property
    def scaled_means(self) -> np.ndarray:
        """The means of the scaled features, ``[K, d]``."""
        return (self.means - self.centre) / self.scale

    def gram(self, class_weight: np.ndarray) -> np.ndarray:
        """Weighted centred Gram matrix ``[d, d]`` of the scaled features.

        The last few are kept, for the next ridge.
        """
        key = class_weight.tobytes()
        if key not in self._kept:
            mass = class_weight * self.counts
            mean = mass @ self.means / mass.sum()
            if self.grams is None:
                H = _gram(self.X, class_weight[self.member], self.sample_weight, mean)
            else:
                gap = self.means - mean
                H = np.tensordot(class_weight, self.grams, 1) + (gap.T * mass) @ gap
            while len(self._kept) > 2:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = H / self.scale[:, None] / self.scale
        return self._kept[key]


def class_moments(
    X: np.ndarray,
    member: np.ndarray,
    n_classes: int,
    sample_weight: np.ndarray | None = None,
) -> ClassMoments:
    """Moments of ``X [n, d]``, which may be a memory map, by class.

    Parameters
    ----------
    X : ndarray [n, d]
    member : ndarray of int [n]
        From 0 to ``n_classes - 1``; every class occurs.
    n_classes : int
    sample_weight : ndarray [n], optional
        Positive; a whole weight counts as so many copies of the row.
    """
    n, d = X.shape
    counts = np.bincount(member, sample_weight, minlength=n_classes).astype(float)
    sums = np.zeros((n_classes, d))
    for part, rows in _parts(X):
        one_hot = np.zeros((n_classes, len(part)))
        weight = 1.0 if sample_weight is None else sample_weight[rows]
        one_hot[member[rows], np.arange(len(part))] = weight
        sums += one_hot @ part
    means, grams = sums / counts[:, None], None
    if n_classes * d <= 4 * n:
        grams = np.zeros((n_classes, d, d))
        for part, rows in _parts(X):
            for k in range(n_classes):
                live = member[rows] == k
                root = part[live] - means[k]
                if sample_weight is not None:
                    root *= np.sqrt(sample_weight[rows][live])[:, None]
                grams[k] += root.T @ root
    return ClassMoments(
        X=X,
        member=member,
        sample_weight=sample_weight,
        counts=counts,
        means=means,
        grams=grams,
        centre=np.zeros(d),
        scale=np.ones(d),
    )


def _gram(X, weight, sample_weight, mean: np.ndarray) -> np.ndarray:
    """``sum_i w_i (x_i - mean)(x_i - mean)^T`` over all rows."""
    H = np.zeros((len(mean), len(mean)))
    for part, rows in _parts(X):
        w = (
            weight[rows]
            if sample_weight is None
            else weight[rows] * sample_weight[rows]
        )
        root = part - mean
        root *= np.sqrt(w)[:, None]
        H += root.T @ root
    return H


def _parts(X: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
    for start in range(0, len(X), CHUNK):
        rows = slice(start, start + CHUNK)
        yield X[rows].astype(np.float64, copy=False), rows


def solve_classes(
    moments: ClassMoments, class_weight: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Heads for the targets "this class or not", from one factorisation.

    Each minimises ``sum_i w_i (t_i - x_i.c - b)^2 + n * ridge * |c|^2``. For two
    classes the targets are -1 and +1 and there is one head, else 0 and 1 and K heads.
    With ``ridge=0`` and dependent features the solution of least norm is returned.

    Returns
    -------
    coef : ndarray [1 or K, d]
    intercept : ndarray [1 or K]
    dof : float
        As `tailwise.methods.solvers.effective_dof`.
    """
    mass = class_weight * moments.counts
    means = moments.scaled_means
    mean = mass @ means / mass.sum()
    if len(mass) == 2:
        targets = np.array([[-1.0, 1.0]])
    else:
        targets = np.eye(len(mass))
    target_mean = targets @ mass / mass.sum()
    moment = (targets - target_mean[:, None]) * mass @ (means - mean)
    H = moments.gram(class_weight)
    coef, dof = _solved(H, moments.counts.sum() * ridge, moment.T)
    return coef.T, target_mean - coef.T @ mean, dof


def dof_of(moments: ClassMoments, class_weight: np.ndarray, ridge: float) -> float:
    """Effective degrees of freedom with these weights, without a solution."""
    H = moments.gram(class_weight)
    return _solved(H, moments.counts.sum() * ridge, H[:, :0])[1]


def _solved(H, penalty: float, rhs: np.ndarray) -> tuple[np.ndarray, float]:
    """``(H + penalty I)^-1 rhs`` and ``tr(H (H + penalty I)^-1)``."""
    d = len(H)
    A = H + penalty * np.eye(d)
    try:
        factor = linalg.cholesky(A, lower=True, check_finite=False)
    except linalg.LinAlgError:
        factor = None
    if factor is not None:
        pivots = np.diagonal(factor)
        singular = pivots.min() <= pivots.max() * np.sqrt(d * np.finfo(float).eps)
        factor = None if singular else factor
    if factor is None:
        values, vectors = linalg.eigh(A, check_finite=False)
        live = values > values[-1] * d * np.finfo(float).eps
        inverse = np.where(live, 1 / np.where(live, values, 1), 0)
        coef = vectors @ (inverse[:, None] * (vectors.T @ rhs))
        return coef, float(((values - penalty) * inverse)[live].clip(0).sum())
    coef = linalg.cho_solve((factor, True), rhs, check_finite=False)
    if penalty == 0:
        return coef, float(d)
    # tr(A^-1) is the squared norm of the factor's inverse, a third of a product.
    inverse, _ = linalg.lapack.dtrtri(factor, lower=1)
    return coef, float(d - penalty * (np.tril(inverse) ** 2).sum())
