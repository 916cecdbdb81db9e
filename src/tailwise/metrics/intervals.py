"""Means and shares with their intervals, and what is decided by them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

KINDS = ("at least", "at most", "agreement")
MEAN_AND_ERROR = "mean ± s.e."  # over tables whose "±" is a standard error
MEAN_AND_HALF = "mean ± half of 95 %"


@dataclass(frozen=True)
class Estimate:
    """A mean over independent repetitions with its standard error."""

    mean: np.ndarray | float
    stderr: np.ndarray | float
    n: int

    @property
    def half(self) -> np.ndarray | float:
        """Half of the interval, see `half_width`."""
        return half_width(self.stderr, self.n)

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.stderr:.4f} (s.e.)"


def estimate(values: ArrayLike, axis: int = 0) -> Estimate:
    """Mean and standard error over repetitions.

    Parameters
    ----------
    values : array_like
        One value per repetition along `axis`; at least two repetitions.
    axis : int
        The axis of the repetitions.

    Returns
    -------
    Estimate
        The mean, the standard error (ddof 1) and the number of repetitions.

    Raises
    ------
    ValueError
        With fewer than two repetitions: an interval needs a spread.

    Examples
    --------
    >>> print(estimate([0.80, 0.82, 0.84]))
    0.8200 ± 0.0115 (s.e.)
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[axis] if values.ndim else 1
    if n < 2:
        raise ValueError(f"values holds {n} repetition along axis {axis}: expected ≥ 2")
    return Estimate(values.mean(axis), values.std(axis, ddof=1) / np.sqrt(n), n)


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    values: ArrayLike,
    *,
    n_boot: int = 400,
    seed: int = 0,
) -> Estimate:
    """A statistic of repetitions with its bootstrap standard error.

    Parameters
    ----------
    statistic : callable
        Maps repetitions ``[n, ...]`` to a number.
    values : array_like [n, ...]
        One row per repetition; rows are drawn with replacement.
    n_boot, seed : int

    Returns
    -------
    Estimate
        The statistic of all rows, and the standard deviation over draws.

    Examples
    --------
    >>> bootstrap(np.mean, [1.0, 1.0, 1.0]).stderr
    0.0
    """
    values = np.asarray(values, dtype=float)
    rows = np.random.default_rng(seed).integers(len(values), size=(n_boot, len(values)))
    drawn = [statistic(values[r]) for r in rows]
    return Estimate(float(statistic(values)), float(np.std(drawn)), len(values))


def wilson(hits: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> np.ndarray:
    """Wilson's interval of a share ``hits / n``, ``[..., 2]``: low and high.

    It keeps its width where every sample is right, or none.

    Examples
    --------
    >>> wilson(3, 3).round(3).tolist()
    [0.439, 1.0]
    """
    hits, n = np.asarray(hits, float), np.asarray(n, float)
    z = stats.norm.ppf(0.5 + confidence / 2)
    share, total = hits / n, n + z**2
    middle = (hits + z**2 / 2) / total
    half = z * np.sqrt(n * share * (1 - share) + z**2 / 4) / total
    return np.stack([middle - half, middle + half], -1).clip(0, 1)


@cache
def student(n: int, n_compared: int = 1) -> float:
    """Student's t at n - 1 degrees of freedom for a two-sided interval of 95 %.

    With `n_compared` intervals at once, each is wide enough that all of them hold
    (Bonferroni). Infinite for n < 2: one number has no spread.
    """
    return float(stats.t.ppf(1 - 0.025 / n_compared, n - 1)) if n > 1 else math.inf


def half_width(stderr: np.ndarray | float, n: int) -> np.ndarray | float:
    """Half of the 95 % interval of a mean over n independent repetitions.

    Examples
    --------
    >>> round(half_width(1.0, 3), 2), round(half_width(1.0, 30), 2)
    (4.3, 2.05)
    """
    return student(n) * stderr


def chance_to_stay(distance: float, stderr: float, n: int) -> float:
    """How likely a fresh run of the same size decides the same way.

    If the effect is what was seen, `distance` from its bound, the next run's distance
    over its standard error follows the noncentral t distribution; it decides alike
    where that exceeds `student`. Derived.

    Examples
    --------
    >>> [round(chance_to_stay(d, 1.0, 5), 2) for d in (2.78, 4.6, 9.0)]
    [0.56, 0.92, 1.0]
    """
    if not stderr or not math.isfinite(distance):
        return float(math.isfinite(distance))
    shift = abs(distance) / stderr
    stay = stats.nct.sf(student(n), n - 1, shift) if n > 1 else 0.0
    return 1.0 if math.isnan(stay) else float(stay)  # of a shift beyond its tables


def repetitions(distance: float, sd: float, chance: float = 0.9) -> int | None:
    """Repetitions with which a distance this large would be decided, and stay so.

    Parameters
    ----------
    distance : float
        Of the effect from its bound.
    sd : float
        Of one repetition.
    chance : float
        Of a fresh run of that size to decide alike.

    Returns
    -------
    int or None
        None where ten thousand would not do.

    Examples
    --------
    >>> repetitions(1.0, 1.0), repetitions(0.5, 1.0)
    (13, 44)
    """

    def enough(n: int) -> bool:
        return chance_to_stay(distance, sd / math.sqrt(n), n) >= chance

    if not enough(10_000):
        return None
    low, high = 1, 10_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def decide(
    value: float, half: float, bound: float, kind: str = "at least"
) -> Literal["yes", "no", "open"]:
    """Whether an effect keeps to a bound, as far as its interval can tell.

    Parameters
    ----------
    value, half : float
        The interval is ``value - half`` to ``value + half``, both ends included.
    bound : float
        The smallest or the largest effect, or the tolerance of an agreement.
    kind : {"at least", "at most", "agreement"}
        In an agreement the absolute value is at most the bound.

    Returns
    -------
    {"yes", "no", "open"}
        "yes" where the whole interval keeps to the bound, "no" where none of it does,
        "open" where it covers the bound or the value is not finite.

    Examples
    --------
    >>> decide(0.05, 0.02, 0.01), decide(0.05, 0.02, 0.06), decide(0.05, 0.02, 0.1)
    ('yes', 'open', 'no')
    >>> decide(0.05, 0.02, 0.1, "at most"), decide(-0.05, 0.02, 0.1, "agreement")
    ('yes', 'yes')
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: expected one of {', '.join(KINDS)}")
    # Effect e and minimum m, signed so that a larger effect is on the bound's good
    # side; for an agreement e = tolerance - |value| and m = 0.
    if kind == "agreement":
        effect, minimum = bound - abs(value), 0.0
    else:
        sign = 1.0 if kind == "at least" else -1.0
        effect, minimum = sign * value, sign * bound
    if not math.isfinite(effect):
        return "open"
    if effect - half >= minimum:
        return "yes"
    return "no" if effect + half < minimum else "open"
