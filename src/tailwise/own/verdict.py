"""From a pilot to an answer: what the reader's objective gains, and at what price."""

from dataclasses import dataclass

import numpy as np

from tailwise.metrics import decide
from tailwise.own import boards
from tailwise.own.boards import METRICS, dashboard, gain_table, gains, metrics
from tailwise.own.intervals_over_splits import Interval, interval, share_of
from tailwise.own.pilot import Pilot

FEW_SPLITS = 30  # with fewer, a decision to change asks for a second look
ACCEPT = 0.05

__all__ = [
    "METRICS",
    "Interval",
    "Verdict",
    "check_effect",
    "dashboard",
    "gain_table",
    "gains",
    "interval",
    "metrics",
    "verdict",
]


@dataclass(frozen=True)
class Verdict:
    """What to do, and the sentence that says it.

    Attributes
    ----------
    decision : str
        "use", "keep" (the plain head) or "undecided".
    head : str
        The best of the other heads; with costs it may be the plain one at a threshold.
    sentence : str
    threshold : float or None
        On the corrected probability of the class to be found, where costs are given.
    """

    decision: str
    head: str
    sentence: str
    threshold: float | None = None

    @property
    def chosen(self) -> str:
        """The head to export: the other one only if the decision is to use it."""
        return self.head if self.decision == "use" else "plain"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Candidates with what each gains and costs, ``[M']``, as intervals."""

    heads: tuple[str, ...]
    gain: Interval
    price: Interval
    alarms: np.ndarray
    unit: str  # what a gain is counted in


def verdict(
    found: Pilot,
    *,
    smallest_effect: float = 0.02,
    accept: float = ACCEPT,
    max_alarms: float | None = None,
    by: str = "cell",
) -> Verdict:
    """Whether the reader's objective improves enough, at a price that was accepted.

    Gains are over the better of the plain head and a coin: a head that knows nothing
    can move errors from one class to another. The price is what the test mean loses
    and, if `max_alarms` is given, the alarms per hit. For the objective "cost" gains
    are a share of what the plain head costs, or no alarm, or nothing but alarms,
    whichever is least; the price is in the costs, except `max_alarms`.

    Of the heads whose mean price is accepted the one with the largest mean gain is
    judged; its intervals pay for its being the best of several. With gain g and
    half-width h the decision is "use" if ``g - h >= smallest_effect`` and the price is
    accepted with its interval, "keep" if ``g + h < smallest_effect`` or the price is
    above what is accepted, and "undecided" else.

    Parameters
    ----------
    found : Pilot
    smallest_effect : float
        The smallest gain that would be worth a change, in (0, 1): of accuracy, or of
        the share of costs.
    accept : float
        The largest loss of the mean accuracy over test samples that is accepted, in
        [0, 1].
    max_alarms : float, optional
        The most alarms per hit that are accepted, for the class to be found.
    by : {"cell", "class"}
        Judge groups, where they are known, or classes.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        For an effect or a price outside of its range.
    """
    check_effect(smallest_effect)
    check_price(accept, max_alarms)
    case = _costs(found) if found.objective == "cost" else _accuracies(found, by)
    free = found.objective == "cost"
    cheap = np.ones(len(case.heads), bool) if free else case.price.mean <= accept
    if max_alarms is not None:
        cheap &= case.alarms <= max_alarms
    among = np.flatnonzero(cheap) if cheap.any() else np.arange(len(cheap))
    best = int(among[case.gain.mean[among].argmax()])
    gain, half = case.gain.mean[best], case.gain.half[best]
    paid = "yes"
    if not free:
        paid = decide(case.price.mean[best], case.price.half[best], accept, "at most")
    if not cheap[best]:
        paid = "no"
    worth = "no" if gain <= 0 else decide(gain, half, smallest_effect)
    decision = {"no": "keep", "open": "undecided", "yes": "use"}[
        min(worth, paid, key=("no", "open", "yes").index)
    ]
    head = case.heads[best]
    threshold = None
    if found.costs is not None:
        threshold = float(found.threshold[:, found.heads.index(head)].mean())
    sentence = " ".join(
        [
            _start(decision, head, threshold if free else None),
            _gained(found, case, best, smallest_effect, worth, by),
            *([] if free else [_who(found, head, by)]),
            _paid(found, case, best, accept, max_alarms, paid),
            *_also(found, head, by, decision, free),
        ]
    )
    return Verdict(decision, head, sentence, threshold)


def check_effect(smallest_effect: float) -> None:
    """Refuse an effect that `verdict` would refuse."""
    if not 0 < smallest_effect < 1:
        raise ValueError(
            f"smallest_effect is {smallest_effect}: expected an accuracy between 0 and "
            "1, such as 0.02 for two points"
        )


def check_price(accept: float, max_alarms: float | None = None) -> None:
    """Refuse a price that `verdict` would refuse."""
    if not 0 <= accept <= 1:
        raise ValueError(
            f"accept is {accept}: expected a loss of accuracy from 0 to 1, such as "
            "0.05 for five points"
        )
    if max_alarms is not None and not max_alarms >= 1:
        raise ValueError(f"max_alarms is {max_alarms}: expected at least one per hit")


def _accuracies(found: Pilot, by: str) -> _Case:
    """Gains over the better of the plain head and a coin, and losses of the mean."""
    boards.judged(found, by)
    scores = metrics(found, by)[found.objective]
    coin = 1 / len(found.data.classes)
    M, share = len(found.heads) - 1, share_of(found)
    size = found.size.min()
    rise = scores[:, 1:] - np.maximum(scores[:, :1], coin)
    loss = found.mean[:, :1] - found.mean[:, 1:]
    return _Case(
        heads=found.heads[1:],
        gain=interval(rise, share, samples=size, n_compared=M),
        price=interval(loss, share, samples=found.size.sum(), n_compared=M),
        alarms=boards.alarms_per_hit(found)[1:],
        unit="points",
    )


def _costs(found: Pilot) -> _Case:
    """Savings at the threshold, as a share of the cheapest way without a pilot."""
    M, share = len(found.heads), share_of(found)
    today = found.cost[:, :1, [0, 2, 3]]
    base = today[:, 0, today[:, 0].mean(0).argmin()]
    saved = (base[:, None] - found.cost[:, :, 1]) / base.mean()
    none = np.zeros_like(saved)
    return _Case(
        heads=found.heads,
        gain=interval(saved, share, samples=found.size.min(), n_compared=M),
        price=interval(none, share),
        alarms=boards.alarms_per_hit(found, at_threshold=True),
        unit="%",
    )


def _start(decision: str, head: str, threshold: float | None) -> str:
    at = "" if threshold is None else f" with an alarm from {100 * threshold:.2g} %"
    return {
        "use": f"Use {head}{at}:",
        "keep": f"Keep the plain head. The best other is {head}{at}:",
        "undecided": f"Undecided. The best other head is {head}{at}:",
    }[decision]


def _gained(found, case: _Case, best: int, smallest: float, worth: str, by) -> str:
    gain, half = 100 * case.gain.mean[best], 100 * case.gain.half[best]
    named = f"the smallest effect that counts ({100 * smallest:g} {case.unit})"
    grouped = by == "cell" and found.data.groups is not None
    what = {
        "balanced": f"the mean over {'groups' if grouped else 'classes'} gains",
        "worst": f"the worst {'group' if grouped else 'class'} gains",
        "cost": "it saves",
    }[found.objective]
    if case.gain.mean[best] <= 0:
        coin = "or fixed alarms" if found.objective == "cost" else "or a coin"
        return f"on the whole it is no better than the plain head {coin}."
    if found.objective == "cost":
        ways = "the plain head", "no alarm at all", "an alarm for everything"
        today = found.cost[:, 0, [0, 2, 3]].mean(0)
        money = found.costs.money(today.min())
        what = (
            f"it saves {gain:.1f} ± {half:.1f} {case.unit} of what the cheapest way "
            f"without it costs ({ways[today.argmin()]}: {money} per thousand samples),"
        )
    else:
        what = f"{what} {gain:.1f} ± {half:.1f} points,"
    return {
        "yes": f"{what} above {named}.",
        "no": f"{what} below {named}.",
        "open": f"{what} and the interval covers {named}: test more of the rarest.",
    }[worth]


def _who(found: Pilot, head: str, by: str) -> str:
    """What the rarest and the most common cell gain or pay."""
    m = found.heads.index(head) - 1
    e = gains(found, by, n_compared=len(found.heads) - 1)
    code, names, _ = boards.judged(found, by)
    size = np.bincount(code)
    rare, common = int(size.argmin()), int(size.argmax())
    what = "class" if by == "class" or found.data.groups is None else "group"
    first, last = (_change(e.mean[m, k], e.half[m, k]) for k in (rare, common))
    return (
        f"The rarest {what} ({names[rare]}) {first} points, the most common "
        f"({names[common]}) {last}."
    )


def _paid(found, case: _Case, best: int, accept, max_alarms, paid: str) -> str:
    name = str(found.data.classes[found.positive])
    alarms = case.alarms[best]
    said = (
        f"{alarms:.1f} alarms for each {name} that is found"
        if np.isfinite(alarms)
        else f"no {name} is found"
    )
    limits = (
        [] if found.objective == "cost" else [f"{100 * accept:g} points of the mean"]
    )
    if max_alarms is not None:
        limits.append(f"{max_alarms:g} alarms per hit")
    if found.objective == "cost":
        start = f"At that threshold: {said}."
        return start if paid == "yes" else f"{start} That is above {limits[0]}."
    loss, half = 100 * case.price.mean[best], 100 * case.price.half[best]
    verb = "pays" if loss >= 0 else "gains"
    start = f"The mean over samples {verb} {abs(loss):.1f} ± {half:.1f}, with {said}:"
    return {
        "yes": f"{start} within the price you accepted ({' and '.join(limits)}).",
        "no": f"{start} more than the price you accepted ({' and '.join(limits)}).",
        "open": f"{start} the interval covers the price you accepted "
        f"({' and '.join(limits)}).",
    }[paid]


def _also(found: Pilot, head: str, by: str, decision: str, free: bool) -> list[str]:
    said = []
    if not free:
        m = found.heads.index(head) - 1
        e = gains(found, by, n_compared=len(found.heads) - 1)
        code, names, _ = boards.judged(found, by)
        size = np.bincount(code)
        told = int(size.argmin()), int(size.argmax())
        losers = [
            names[k]
            for k in range(len(size))
            if k not in told and decide(e.mean[m, k], e.half[m, k], 0.0) == "no"
        ]
        if losers:
            said.append(f"Also worse: {'; '.join(losers)}.")
    S = len(found.splits)
    if decision == "use" and S < FEW_SPLITS and not found.given_split:
        said.append(f"This rests on {S} splits: repeat it with {FEW_SPLITS} or more.")
    return said


def _change(mean: float, half: float) -> str:
    verb = "gains" if mean >= 0 else "pays"
    return f"{verb} {100 * abs(mean):.1f} ± {100 * half:.1f}"
