"""Chapter 1: how much weight a rare class needs when only the last layer is refitted.

The closed forms live in `methods.optimal_weight`, the solvers in `methods.solvers`;
this module adds rules that choose a ratio from data and the scikit-learn classifier.
"""

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from tailwise.methods.moments import (
    ClassMoments,
    class_moments,
    dof_of,
    solve_classes,
)
from tailwise.methods.optimal_weight import (
    class_errors,
    equal_error_ratio,
    optimal_ratio,
)
from tailwise.methods.solvers import (
    check_labels,
    dof_at_ratios,
    effective_dof,
    leave_one_out_scores,
    solve_heads,
)
from tailwise.metrics.arrays import from_torch

__all__ = [
    "WeightedHead",
    "balancing_threshold",
    "class_errors",
    "class_weights",
    "downsampled_rows",
    "effective_dof",
    "effective_ratio",
    "equal_error_ratio",
    "leave_one_out_scores",
    "optimal_ratio",
    "solve_heads",
]

RULES = ("priors", "ambient", "effective")
NUMBERS = (int, float, np.number)


def class_weights(priors: np.ndarray, delta: float) -> np.ndarray:
    """Class weights that equalise the classes' mean scores, largest class at 1.

    ``w_k ∝ 1 / (K p_k - delta)``; for two classes the ratio is `equal_error_ratio`.
    Derived, see chapter 1.

    Parameters
    ----------
    priors : ndarray [K]
        Class shares, summing to one.
    delta : float
        Features, or effective degrees of freedom, per sample.

    Returns
    -------
    ndarray [K]

    Raises
    ------
    ValueError
        Unless ``0 <= delta < K * min(priors)``, or if the shares do not sum to one.

    Examples
    --------
    >>> class_weights(np.array([0.8, 0.2]), 0.2).round(6).tolist()
    [1.0, 7.0]
    """
    priors = np.asarray(priors, dtype=float)
    if priors.ndim != 1 or not np.isclose(priors.sum(), 1) or (priors <= 0).any():
        raise ValueError(f"priors is {priors}: expected positive shares summing to 1")
    limit = len(priors) * priors.min()
    if not 0 <= delta < limit:
        raise ValueError(f"delta is {delta}: expected 0 <= delta < {limit:.4g}")
    weights = 1 / (len(priors) * priors - delta)
    return weights / weights[priors.argmax()]


def effective_ratio(
    X: Tensor, y: Tensor, ridge: float, *, tolerance: float = 1e-6, max_steps: int = 200
) -> Tensor:
    """Equal-error ratio with the head's own effective degrees of freedom.

    The degrees of freedom depend on the ratio, so the two are iterated from the ratio
    of priors upwards until they agree. Derived, see chapter 1.

    Parameters
    ----------
    X : Tensor [S, n, d]
        Data sets.
    y : Tensor [S, n]
        Labels in {-1, +1}; +1 is the minority.
    ridge : float
    tolerance : float
        Largest relative change of a ratio in the last step.
    max_steps : int

    Returns
    -------
    Tensor [S]
        NaN where the degrees of freedom reach the limit ``2 * prior * n`` or the
        iteration has not settled: no ratio balances the errors.

    Raises
    ------
    ValueError
        As `tailwise.methods.solvers.dof_at_ratios`.
    """
    n, dof_at = y.shape[-1], dof_at_ratios(X, y, ridge)
    prior = (y > 0).to(X.dtype).mean(-1)
    ratio, limit = (1 - prior) / prior, 2 * torch.minimum(prior, 1 - prior)
    for _ in range(max_steps):
        usable = torch.where(ratio.isfinite(), ratio, torch.ones_like(ratio))
        dof = dof_at(usable.unsqueeze(-1)).squeeze(-1)
        delta = dof / n
        found = (2 * (1 - prior) - delta) / (2 * prior - delta)
        found = torch.where(ratio.isfinite() & (delta < limit), found, torch.nan)
        change = ((found - ratio) / found).abs()
        ratio = found
        if not (change > tolerance).any():
            return ratio
    return torch.where(change > tolerance, torch.nan, ratio)


def balancing_threshold(scores: Tensor, y: Tensor) -> Tensor:
    """Threshold at which both classes err equally if their scores were Gaussian.

    Parameters
    ----------
    scores : Tensor [B, n]
        Scores of samples that the head has not seen, such as `leave_one_out_scores`.
    y : Tensor [n] or [B, n]
        Labels in {-1, +1}.

    Returns
    -------
    Tensor [B]
        Predict +1 where the score is above it.

    Raises
    ------
    ValueError
        For labels other than -1 and +1, or only one of them.
    """
    check_labels(y)
    stats = []
    for sign in (1, -1):
        member = (y == sign).to(scores).expand(scores.shape)
        count = member.sum(-1)
        mean = (member * scores).sum(-1) / count
        square = (member * (scores - mean.unsqueeze(-1)) ** 2).sum(-1)
        stats += [mean, (square / (count - 1).clamp_min(1)).sqrt()]
    mean_up, spread_up, mean_down, spread_down = stats
    total = spread_up + spread_down
    return (mean_up * spread_down + mean_down * spread_up) / total


def downsampled_rows(y: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Rows of balanced subsets: every minority sample and as many of the majority.

    Parameters
    ----------
    y : Tensor [n]
        Labels in {-1, +1}; +1 is the minority, with m samples.
    n_draws : int
        Independent subsets B.
    generator : torch.Generator
        On the device of `y`.

    Returns
    -------
    Tensor of int64 [B, 2 m]
        The minority's rows first.

    Raises
    ------
    ValueError
        If +1 is not the smaller class, or is empty.
    """
    minority, majority = (y > 0).nonzero()[:, 0], (y < 0).nonzero()[:, 0]
    m = len(minority)
    if not 0 < m <= len(majority):
        raise ValueError(
            f"y holds {m} of {len(y)} samples with label +1: "
            "expected the smaller class, and not an empty one"
        )
    lottery = torch.rand(
        n_draws, len(majority), generator=generator, device=generator.device
    )
    drawn = majority[lottery.argsort(-1)[:, :m].to(y.device)]
    return torch.cat([minority.expand(n_draws, m), drawn], 1)


def _secant(asked: list[float], answered: list[float], limit: float) -> float:
    """The next guess of a fixed point, from the last two; else the last answer."""
    plain = answered[-1]
    if len(answered) < 2 or asked[-1] == asked[-2]:
        return plain
    slope = (answered[-1] - answered[-2]) / (asked[-1] - asked[-2])
    guess = (plain - slope * asked[-1]) / (1 - slope) if slope < 1 else plain
    return guess if plain <= guess < limit else plain


class WeightedHead(ClassifierMixin, BaseEstimator):
    """A last layer fitted by weighted least squares, with the weights chosen for you.

    Parameters
    ----------
    ratio : float or {"priors", "ambient", "effective"}, default "effective"
        Minority weight over majority weight (two classes), or the rule that finds the
        class weights: the ratio of priors, or the equal-error rule with the number of
        features ("ambient") or with the head's effective degrees of freedom.
    ridge : float, default 1e-2
        Penalty per sample, relative to the variance of the features: scale them first.

    Attributes
    ----------
    classes_ : ndarray [K]
    coef_ : ndarray [1, d] or [K, d]
    intercept_ : ndarray [1] or [K]
    class_weight_ : ndarray [K]
        Weights used, the largest class at 1.
    effective_dof_ : float
        Effective degrees of freedom of the fitted head.
    n_features_in_ : int

    Notes
    -----
    Where a rule is outside its domain (too many features for so few rare samples) the
    ratio of priors is used and a warning says so. Scores are regression outputs;
    `predict_proba` passes them through a softmax and is not calibrated. Derived, see
    chapter 1; for two classes after arXiv 2506.20025.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(400, weights=[0.9], random_state=0)
    >>> head = WeightedHead(ridge=0.1).fit(X, y)
    >>> bool(head.class_weight_[1] > 360 / 40)
    True
    """

    def __init__(self, ratio="effective", ridge=1e-2):
        self.ratio = ratio
        self.ridge = ridge

    def fit(self, X, y, sample_weight=None) -> "WeightedHead":
        """Fit the head to features ``X [n, d]`` and labels ``y [n]``.

        `sample_weight` [n] multiplies the weights of classes: a whole weight counts as
        so many copies of the row, in the shares of the classes too.

        Raises
        ------
        ValueError
            For non-finite or misshapen data, fewer than two classes, an unknown rule,
            a ratio that is not positive or not for two classes, a negative ridge, or
            sample weights that are negative or zero throughout a class.
        """
        X, y = from_torch(X), from_torch(y)
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = self._checked_weights(sample_weight, len(y))
            y = y[kept := sample_weight > 0]
            X, sample_weight = X[kept], sample_weight[kept]
        classes, member = np.unique(y, return_inverse=True)
        moments = class_moments(X, member, len(classes), sample_weight)
        return self.fit_moments(moments, classes)

    def fit_moments(self, moments: ClassMoments, classes: ArrayLike) -> "WeightedHead":
        """Fit the same head from the moments of its classes, without the samples.

        For many ridges, rules or parts of one data set: the pass over the samples is
        made once, by `tailwise.methods.moments.class_moments`.
        """
        self.classes_ = np.asarray(classes)
        if (K := len(self.classes_)) < 2:
            raise ValueError(f"y holds one class, {self.classes_}: expected ≥ 2")
        self._check_parameters(K)
        self.n_features_in_ = moments.means.shape[1]
        self.class_weight_ = self._choose(moments)
        self.coef_, self.intercept_, self.effective_dof_ = solve_classes(
            moments, self.class_weight_, float(self.ridge)
        )
        return self

    def _checked_weights(self, sample_weight, n: int) -> np.ndarray:
        weights = check_array(
            from_torch(sample_weight),
            ensure_2d=False,
            dtype=np.float64,
            input_name="sample_weight",
        )
        if weights.shape != (n,):
            raise ValueError(
                f"sample_weight has shape {weights.shape}: expected ({n},)"
            )
        if (weights < 0).any():
            raise ValueError(f"sample_weight holds {weights.min()}: expected ≥ 0")
        if not weights.any():
            raise ValueError("sample_weight is zero everywhere: expected some > 0")
        return weights

    def _check_parameters(self, n_classes: int) -> None:
        if isinstance(self.ratio, str):
            if self.ratio not in RULES:
                raise ValueError(
                    f"unknown ratio {self.ratio!r}: expected a number or one of {RULES}"
                )
        elif not isinstance(self.ratio, NUMBERS) or not 0 < self.ratio < np.inf:
            raise ValueError(
                f"ratio is {self.ratio!r}: expected a positive number or one of {RULES}"
            )
        elif n_classes > 2:
            raise ValueError(
                f"ratio is {self.ratio} but y has {n_classes} classes: "
                f"a number needs two classes, otherwise use one of {RULES}"
            )
        if not isinstance(self.ridge, NUMBERS) or not 0 <= self.ridge < np.inf:
            raise ValueError(f"ridge is {self.ridge}: expected a finite number ≥ 0")

    def _choose(self, moments: ClassMoments) -> np.ndarray:
        """Class weights for the chosen rule."""
        n, d = moments.counts.sum(), moments.means.shape[1]
        priors = moments.counts / n
        if not isinstance(self.ratio, str):
            return np.where(np.arange(2) == priors.argmin(), float(self.ratio), 1.0)
        by_priors = class_weights(priors, 0.0)
        if self.ratio == "priors":
            return by_priors
        # Degrees of freedom depend on the weights, and they on these: a fixed point.
        weights, limit = by_priors, len(priors) * priors.min()
        asked, answered = [0.0], []
        for _ in range(100):
            dof = float(d)
            if self.ratio == "effective":
                dof = dof_of(moments, weights, float(self.ridge))
            answered.append(dof / n)
            if answered[-1] >= limit:
                warnings.warn(
                    f"{dof:.1f} effective features on {n:g} samples are too many for a "
                    f"class with a share of {priors.min():.3f} (limit "
                    f"{limit * n:.1f}): using the ratio of priors; a larger ridge or "
                    "more rare samples would help",
                    stacklevel=4,
                )
                return by_priors
            found = class_weights(priors, answered[-1])
            if np.allclose(found, weights, rtol=1e-6):
                return found
            asked.append(_secant(asked, answered, limit))
            weights = class_weights(priors, asked[-1])
        return weights

    def decision_function(self, X) -> np.ndarray:
        """Scores: ``[n]`` for two classes (positive: second class), else ``[n, K]``."""
        check_is_fitted(self)
        X = validate_data(self, from_torch(X), dtype=np.float64, reset=False)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X) -> np.ndarray:
        """Softmax of the scores, ``[n, K]``; not calibrated."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], 1)
        return softmax(scores, 1)

    def predict(self, X) -> np.ndarray:
        """The class with the largest score, for each row of X."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        return self.classes_[best]
