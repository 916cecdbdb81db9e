"""Theory of weighted least squares on two Gaussian classes.

The model: labels ±1 with minority share ``prior``; features ``x = y mu + z`` with
standard normal ``z`` and ``|mu| = snr``; ``n`` samples of ``d`` features with
``delta = d / n``, both large. Errors are those of the fitted head on new data.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import norm


def _check(
    prior: ArrayLike, delta: ArrayLike, limit: str
) -> tuple[np.ndarray, np.ndarray]:
    prior, delta = np.asarray(prior, dtype=float), np.asarray(delta, dtype=float)
    if not ((prior > 0) & (prior <= 0.5)).all():
        raise ValueError(f"prior is {prior}: the minority's share must be in (0, 0.5]")
    largest = 2 * prior if limit == "2 * prior" else np.ones_like(prior)
    if not ((delta >= 0) & (delta < largest)).all():
        raise ValueError(f"delta is {delta}: expected 0 <= delta < {limit}")
    return prior, delta


def _check_positive(name: str, value: ArrayLike) -> np.ndarray:
    value = np.asarray(value, dtype=float)
    if not (value > 0).all():
        raise ValueError(f"{name} is {value}: expected > 0")
    return value


def equal_error_ratio(prior: ArrayLike, delta: ArrayLike) -> np.ndarray | float:
    """Minority weight over majority weight at which both classes err equally.

    ``(2 (1 - prior) - delta) / (2 prior - delta)``: the ratio of priors plus an offset
    that grows with ``delta``. It does not depend on the distance of the classes.

    Parameters
    ----------
    prior : array_like
        Share of the minority class, in (0, 0.5].
    delta : array_like
        Features per sample, ``d / n``, or effective degrees of freedom per sample.

    Returns
    -------
    float or ndarray
        Broadcast over the inputs.

    Raises
    ------
    ValueError
        Unless ``0 <= delta < 2 * prior``: beyond it no ratio balances the errors.

    Notes
    -----
    Derived, see chapter 1; it has the domain and the form of arXiv 2506.20025,
    Theorem 2.

    Examples
    --------
    >>> equal_error_ratio(0.2, np.array([0.0, 0.2])).round(6).tolist()
    [4.0, 7.0]
    """
    prior, delta = _check(prior, delta, "2 * prior")
    return ((2 * (1 - prior) - delta) / (2 * prior - delta))[()]


def _minority_pull(ratio, prior, delta):
    """Share u of the minority in the fixed point; the intercept is ∝ 2u - 1."""
    # Small root of  delta (1-t) u^2 - b u + prior = 0  with t = 1/ratio, written
    # without cancellation so that neither ratio = 1 nor an infinite one is a case.
    t = 1 / ratio
    b = prior + delta + (1 - prior - delta) * t
    root = np.sqrt(b**2 - 4 * delta * (1 - t) * prior)
    return 2 * prior / (b + root)


def _errors_of_pull(u, prior, delta, snr):
    D, q = 2 * u - 1, 4 * prior * (1 - prior)
    A = delta * (u**2 / prior + (1 - u) ** 2 / (1 - prior))
    scale = np.sqrt((1 - A) / (snr**2 + delta / q))
    shift = D / (1 - D**2)
    return norm.sf((snr**2 + shift) * scale), norm.sf((snr**2 - shift) * scale)


def class_errors(
    ratio: ArrayLike, prior: ArrayLike, delta: ArrayLike, snr: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Test error of each class at any ratio of weights, for n, d → ∞.

    Parameters
    ----------
    ratio : array_like
        Minority weight over majority weight, > 0; may be infinite.
    prior : array_like
        Share of the minority class, in (0, 0.5].
    delta : array_like
        Features per sample ``d / n``, in [0, 1).
    snr : array_like
        Distance of each class mean from the origin in units of the noise.

    Returns
    -------
    minority, majority : ndarray
        Error probabilities, broadcast over the inputs.

    Raises
    ------
    ValueError
        For a ratio or snr that is not positive, or values outside the domain.

    Notes
    -----
    Closed form for every ratio: derived, see chapter 1.

    Examples
    --------
    >>> minority, majority = class_errors(7.0, prior=0.2, delta=0.2, snr=1.0)
    >>> bool(abs(minority - majority) < 1e-12)
    True
    """
    prior, delta = _check(prior, delta, "1")
    ratio, snr = _check_positive("ratio", ratio), _check_positive("snr", snr)
    return _errors_of_pull(_minority_pull(ratio, prior, delta), prior, delta, snr)


def _optimal_ratio(prior: float, delta: float, snr: float) -> float:
    # Search over u, where the objective is smooth and the interval is finite: from
    # ratio 1 (u = prior) to equal errors (u = 1/2) or ratio → ∞ (u = prior / delta).
    last = min(0.5, prior / delta if delta > 0 else 0.5)

    def worst(u):
        return max(_errors_of_pull(u, prior, delta, snr))

    best = minimize_scalar(worst, bounds=(prior, last), options={"xatol": 1e-9}).x
    best = min(last, best, key=worst)
    if delta > 0 and best == prior / delta:
        return np.inf
    pulled = best * (1 - prior - delta * (1 - best))
    return pulled / ((1 - best) * (prior - delta * best))


def optimal_ratio(
    prior: ArrayLike, delta: ArrayLike, snr: ArrayLike
) -> np.ndarray | float:
    """Ratio of weights that minimises the worst-class error.

    It is the equal-error ratio while ``snr**2 <= (4 prior (1-prior) - delta) /
    (delta (1 - 2 prior))`` and smaller beyond. From ``delta = 2 * prior`` on it is
    infinite for small ``snr`` and finite for larger. Derived, see chapter 1.

    Parameters
    ----------
    prior, delta, snr : array_like
        As in `class_errors`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ValueError
        For values outside the domain.

    Examples
    --------
    >>> optimal_ratio(0.2, 0.2, np.array([1.0, 4.0])).round(2).tolist()
    [7.0, 2.29]
    """
    prior, delta = _check(prior, delta, "1")
    snr = _check_positive("snr", snr)
    return np.vectorize(_optimal_ratio, otypes=[float])(prior, delta, snr)[()]


def shifted_error(prior: ArrayLike, delta: ArrayLike, snr: ArrayLike) -> np.ndarray:
    """Error of both classes with ratio 1 and the threshold moved until they agree.

    Parameters and errors as in `class_errors`; derived, see chapter 1.
    """
    prior, delta = _check(prior, delta, "1")
    snr = _check_positive("snr", snr)
    q = 4 * prior * (1 - prior)
    return norm.sf(snr**2 * np.sqrt((1 - delta) / (snr**2 + delta / q)))


def downsampled_error(prior: ArrayLike, delta: ArrayLike, snr: ArrayLike) -> np.ndarray:
    """Error after dropping majority samples until the classes are balanced.

    The balanced problem has ``delta / (2 prior)`` features per sample. Parameters as in
    `class_errors`; arXiv 2506.20025, Corollary 3.

    Raises
    ------
    ValueError
        Unless ``0 <= delta < 2 * prior``.
    """
    prior, delta = _check(prior, delta, "2 * prior")
    return class_errors(1.0, 0.5, delta / (2 * prior), snr)[0]
