"""From a pilot to an answer: paired differences, a dashboard, and one sentence."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from tailwise.metrics import decide
from tailwise.own.pilot import Pilot

METRICS = ("test mean", "balanced", "worst", "calibration error")
FEW_SPLITS = 30  # with fewer, a decision to change asks for a second look


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


def gains(found: Pilot, by: str = "cell", *, n_compared: int = 1) -> Interval:
    """Accuracy of each other head minus the plain one's on the same test rows.

    Parameters
    ----------
    found : Pilot
    by : {"cell", "class"}
    n_compared : int
        As in `interval`.

    Returns
    -------
    Interval
        Of shape ``[M - 1, G]``, or ``[M - 1, k]`` by class.
    """
    values = found.by_class if by == "class" else found.by_cell
    differences = values[:, 1:] - values[:, :1]
    size = np.bincount(_units(found, by)[0])
    return interval(differences, _share(found), samples=size, n_compared=n_compared)


def _units(found: Pilot, by: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """What is judged: the unit of each sample, and the units' names."""
    if by not in ("cell", "class"):
        raise ValueError(f"by is {by!r}: expected 'cell' or 'class'")
    if by == "cell":
        return found.data.cells()
    return found.data.y, tuple(map(str, found.data.classes))


def _share(found: Pilot) -> float:
    n_test = len(found.splits[0].test)
    return n_test / (len(found.data) - n_test)


def metrics(found: Pilot) -> dict[str, np.ndarray]:
    """Each of `METRICS` on every split and for every head, ``[S, M]``.

    "balanced" and "worst" are the mean and the smallest accuracy over cells.
    """
    balanced, worst = found.by_cell.mean(-1), found.by_cell.min(-1)
    return dict(zip(METRICS, (found.mean, balanced, worst, found.calibration_error)))


def dashboard(found: Pilot) -> pd.DataFrame:
    """A row a head: averages, accuracy per cell and calibration, in percent.

    "±" is half of a 95 % interval over splits.
    """
    table, share = {}, _share(found)
    size = np.bincount(found.data.cells()[0])
    behind = (size.sum(), stats.hmean(size), size.min(), ())
    for (name, values), samples in zip(metrics(found).items(), behind):
        table[name] = _texts(interval(values, share, samples=samples))
    each = interval(found.by_cell, share, samples=size)
    for k, name in enumerate(found.cells):
        table[name] = _texts(Interval(each.mean[:, k], each.half[:, k]))
    return pd.DataFrame(table, index=list(found.heads))


def gain_table(found: Pilot, by: str = "cell") -> pd.DataFrame:
    """Who gains and who loses against the plain head, in points of accuracy.

    A star marks a 95 % interval without zero; it does not pay for looking at many.
    """
    e = gains(found, by)
    names = _units(found, by)[1]
    table = {
        name: [
            f"{text} {'*' if decide(m, h, 0.0, 'agreement') == 'no' else ' '}"
            for text, m, h in zip(_texts(Interval(mean, half), "+"), mean, half)
        ]
        for name, mean, half in zip(names, e.mean.T, e.half.T)
    }
    return pd.DataFrame(table, index=list(found.heads[1:]))


def _texts(e: Interval, sign: str = "") -> list[str]:
    return [f"{100 * m:{sign}.1f} ± {100 * h:.1f}" for m, h in zip(e.mean, e.half)]


@dataclass(frozen=True)
class Verdict:
    """What to do, and the sentence that says it.

    Attributes
    ----------
    decision : str
        "use", "keep" (the plain head) or "undecided".
    head : str
        The best of the other heads.
    sentence : str
    """

    decision: str
    head: str
    sentence: str

    @property
    def chosen(self) -> str:
        """The head to export: the other one only if the decision is to use it."""
        return self.head if self.decision == "use" else "plain"


def verdict(
    found: Pilot, *, smallest_effect: float = 0.02, by: str = "cell"
) -> Verdict:
    """Judge the best of the other heads by what its rarest cell gains.

    The best has the largest mean gain in the pilot's objective. Its intervals pay for
    its being the best of several. The decision is that of the book's ledger: with gain
    g and half-width h of the rarest cell, "use" if ``g - h >= smallest_effect``,
    "keep" if ``g + h < smallest_effect`` or if the objective does not rise.

    Parameters
    ----------
    found : Pilot
    smallest_effect : float
        The smallest gain in accuracy that would be worth a change, in (0, 1).
    by : {"cell", "class"}
        Judge the rarest group, where groups are known, or the rarest class.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        For a smallest effect that is not between 0 and 1.
    """
    check_effect(smallest_effect)
    scores = metrics(found)[found.objective]
    rise = (scores[:, 1:] - scores[:, :1]).mean(0)
    best = int(rise.argmax())
    e = gains(found, by, n_compared=len(rise))
    code, names = _units(found, by)
    size = np.bincount(code)
    rare, common = int(size.argmin()), int(size.argmax())
    gain, half = e.mean[best, rare], e.half[best, rare]
    decision, why = _decide(gain, half, rise[best], smallest_effect)
    head = found.heads[1 + best]
    what = "class" if by == "class" or found.data.groups is None else "group"
    start = {
        "use": f"Use {head}",
        "keep": f"Keep the plain head. The best other is {head}",
        "undecided": f"Undecided. The best other head is {head}",
    }[decision]
    sentence = (
        f"{start}: the rarest {what} ({names[rare]}) {_change(gain, half)} points and "
        f"the most common ({names[common]}) "
        f"{_change(e.mean[best, common], e.half[best, common])}; {why}"
    )
    losers = [
        names[k]
        for k in range(len(size))
        if k not in (rare, common)
        and decide(e.mean[best, k], e.half[best, k], 0.0) == "no"
    ]
    if losers:
        sentence += f" Also worse: {'; '.join(losers)}."
    if decision == "use" and (S := len(found.splits)) < FEW_SPLITS:
        sentence += f" This rests on {S} splits: repeat it with {FEW_SPLITS} or more."
    return Verdict(decision, head, sentence)


def check_effect(smallest_effect: float) -> None:
    """Refuse an effect that `verdict` would refuse."""
    if not 0 < smallest_effect < 1:
        raise ValueError(
            f"smallest_effect is {smallest_effect}: expected an accuracy between 0 and "
            "1, such as 0.02 for two points"
        )


def _decide(gain, half, rise, smallest: float) -> tuple[str, str]:
    named = f"the smallest effect you named ({100 * smallest:g} points)"
    if rise <= 0:
        return "keep", "on the whole it is no better than the plain head."
    above = f"the gain is above {named}; whether others pay too much, you judge."
    covers = f"the interval covers {named}: test more samples of the rarest."
    return {
        "yes": ("use", above),
        "no": ("keep", f"the gain is below {named}."),
        "open": ("undecided", covers),
    }[decide(gain, half, smallest)]


def _change(mean: float, half: float) -> str:
    verb = "gains" if mean >= 0 else "pays"
    return f"{verb} {100 * abs(mean):.1f} ± {100 * half:.1f}"
