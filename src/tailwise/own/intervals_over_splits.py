"""Intervals over splits that share samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tailwise.own.pilot import Pilot


@dataclass(frozen=True)
class Interval:
    """Means and half-widths of their 95 % intervals, of one shape."""

    mean: np.ndarray
    half: np.ndarray


def interval(
    values: ArrayLike, share: float, *, samples: ArrayLike = (), n_compared: int = 1
) -> Interval:
    """Mean over splits with an interval that knows that splits overlap.

    The corrected resampled t interval (Nadeau and Bengio, 2003): the variance of the
    mean is ``(1 / S + share) * var``, not ``var / S``.

    Parameters
    ----------
    values : array_like [S, ...]
        One row per split: an accuracy, or a difference of two on the same split.
    share : float
        Test samples per sample that is not in the test part.
    samples : array_like, optional
        Distinct samples behind each number. Where no split differs from another, the
        rule of three takes over from a spread of zero: 3 / samples.
    n_compared : int
        Simultaneous intervals for so many numbers (Bonferroni), for a best of many.

    Returns
    -------
    Interval
        Of shape ``[...]``.
    """
    values = np.asarray(values, dtype=float)
    S = len(values)
    spread = values.std(0, ddof=1)
    quantile = stats.t.ppf(1 - 0.025 / n_compared, S - 1)
    half = quantile * spread * np.sqrt(1 / S + share)
    if np.size(samples):
        half = np.where(spread > 0, half, 3 / np.asarray(samples))
    return Interval(values.mean(0), half)


def share_of(found: Pilot) -> float:
    """What `interval` needs for the splits of a pilot.

    With units the shares are those of units. Resamples of one test part spread as the
    estimate itself does, so that there the variance is not divided.
    """
    if found.given_split:
        return 1 - 1 / len(found.mean)
    data, share = found.data, []
    for split in found.splits:
        n, tested = len(data), len(split.test)
        if data.units is not None:
            n, tested = data.units.max() + 1, len(np.unique(data.units[split.test]))
        share.append(tested / (n - tested))
    return float(np.mean(share))


def texts(
    e: Interval, sign: str = "", scale: float = 100, digits: int = 1
) -> list[str]:
    """Each mean with its half-width, in percent."""
    form = f"{{:{sign}.{digits}f}} ± {{:{sign.strip(chr(43))}.{digits}f}}"
    return [form.format(scale * m, scale * h) for m, h in zip(e.mean, e.half)]
