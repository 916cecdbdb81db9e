"""What a miss and a false alarm cost, and the threshold that costs least."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

PER = 1000  # costs are given for so many samples


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs in the reader's currency.

    Attributes
    ----------
    miss : float
        Of a sample of the class to be found that raises no alarm.
    false_alarm : float
        Of an alarm for a sample of another class.
    currency : str
    """

    miss: float
    false_alarm: float = 1.0
    currency: str = ""

    def __post_init__(self):
        for name in ("miss", "false_alarm"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"the cost {name} is {value}: expected a number > 0")

    @property
    def threshold(self) -> float:
        """Where an alarm pays, if probabilities are right."""
        return self.false_alarm / (self.false_alarm + self.miss)

    def money(self, value: float) -> str:
        """An amount with its currency."""
        return f"{value:,.0f} {self.currency}".strip()


def cost_of(alarm: ArrayLike, rare: ArrayLike, costs: Costs) -> float:
    """Cost per thousand samples of alarms [n] where `rare` [n] is to be found.

    Examples
    --------
    >>> cost_of([True, False], [False, True], Costs(miss=50))
    25500.0
    """
    alarm, rare = np.asarray(alarm, bool), np.asarray(rare, bool)
    missed, false = (~alarm & rare).sum(), (alarm & ~rare).sum()
    return float(PER * (costs.miss * missed + costs.false_alarm * false) / len(rare))


def best_threshold(p: ArrayLike, rare: ArrayLike, costs: Costs) -> float:
    """The threshold on `p` [n] that costs least; alarm at or above it.

    Thresholds lie half way between neighbouring values. Of equally good ones it is the
    one nearest to `Costs.threshold`.

    Examples
    --------
    >>> best_threshold([0.1, 0.2, 0.6], [False, False, True], Costs(miss=1))
    0.4
    """
    p, rare = np.asarray(p, float), np.asarray(rare, bool)
    levels = np.unique(p)
    cuts = np.r_[levels[0] / 2, (levels[1:] + levels[:-1]) / 2, (1 + levels[-1]) / 2]
    missed = np.searchsorted(np.sort(p[rare]), cuts)
    false = (~rare).sum() - np.searchsorted(np.sort(p[~rare]), cuts)
    cost = costs.miss * missed + costs.false_alarm * false
    best = cuts[cost <= cost.min() * (1 + 1e-12)]
    return float(best[np.abs(best - costs.threshold).argmin()])
