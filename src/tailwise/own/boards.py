"""Tables of a pilot: what every head does, whom it serves, and what it costs."""

import numpy as np
import pandas as pd
from scipy import stats

from tailwise.metrics import decide
from tailwise.own import units
from tailwise.own.intervals_over_splits import Interval, interval, share_of, texts
from tailwise.own.pilot import Pilot

METRICS = ("test mean", "balanced", "worst", "alarms per hit")


def alarms_per_hit(found: Pilot, *, at_threshold: bool = False) -> np.ndarray:
    """Alarms for the class to be found per sample found, over all splits, [M].

    An alarm is raised where that class is the likeliest, or at the threshold.
    """
    once = slice(1) if found.given_split else slice(None)
    if at_threshold:
        alarms, hits = found.alarms[once].sum(0).T
    else:
        column = found.confusion[once].sum(0)[:, :, found.positive]
        alarms, hits = column.sum(1), column[:, found.positive]
    return np.where(hits > 0, alarms / np.maximum(hits, 1), np.inf)


def metrics(found: Pilot, by: str = "cell") -> dict[str, np.ndarray]:
    """Averages of accuracy on every split and for every head, ``[S, M]``.

    "balanced" and "worst" are the mean and the smallest accuracy over cells, or over
    classes.
    """
    values = found.by_class if by == "class" else found.by_cell
    return dict(zip(METRICS, (found.mean, values.mean(-1), values.min(-1))))


def judged(found: Pilot, by: str) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """What is judged, [n], its names, and the distinct units behind each, [G]."""
    if by not in ("cell", "class"):
        raise ValueError(f"by is {by!r}: expected 'cell' or 'class'")
    if by == "cell":
        code, names = found.data.cells()
    else:
        code, names = found.data.y, tuple(map(str, found.data.classes))
    return code, names, units.per_cell(code, found.data.units)


def columns_of(found: Pilot) -> tuple[str, ...]:
    """Names of the cells' columns: a class may be called like a metric."""
    what, names = "class" if found.data.groups is None else "group", []
    for name in found.cells:
        while name in METRICS or name in names:
            name = f"{what} {name}"
        names.append(name)
    return tuple(names)


def dashboard(found: Pilot) -> pd.DataFrame:
    """A row a head: averages, alarms per hit and accuracy per cell, in percent.

    "±" is half of a 95 % interval over splits.
    """
    table, share, size = {}, share_of(found), found.size
    behind = (size.sum(), stats.hmean(size), size.min())
    for (name, values), samples in zip(metrics(found).items(), behind):
        table[name] = texts(interval(values, share, samples=samples))
    table[METRICS[-1]] = [_ratio(value) for value in alarms_per_hit(found)]
    each = interval(found.by_cell, share, samples=size)
    for k, name in enumerate(columns_of(found)):
        table[name] = texts(Interval(each.mean[:, k], each.half[:, k]))
    return pd.DataFrame(table, index=list(found.heads))


def _ratio(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "no hit"


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
    size = judged(found, by)[2]
    values = found.by_class if by == "class" else found.by_cell
    differences = values[:, 1:] - values[:, :1]
    return interval(differences, share_of(found), samples=size, n_compared=n_compared)


def gain_table(found: Pilot, by: str = "cell") -> pd.DataFrame:
    """Who gains and who loses against the plain head, in points of accuracy.

    A star marks a 95 % interval without zero; it does not pay for looking at many.
    """
    e = gains(found, by)
    table = {
        name: [
            f"{text} {'*' if decide(m, h, 0.0, 'agreement') == 'no' else ' '}"
            for text, m, h in zip(texts(Interval(mean, half), "+"), mean, half)
        ]
        for name, mean, half in zip(judged(found, by)[1], e.mean.T, e.half.T)
    }
    return pd.DataFrame(table, index=list(found.heads[1:]))


def decision_table(found: Pilot, positive: int | None = None) -> pd.DataFrame:
    """What a decision needs to know of one class, a row a head.

    Recall and average precision with intervals; precision and alarms per hit from the
    counts of all splits together.
    """
    c = found.positive if positive is None else positive
    share, size = share_of(found), judged(found, "class")[2][c]
    recall = interval(found.by_class[:, :, c], share, samples=size)
    average = interval(found.average_precision[:, :, c], share, samples=size)
    counts = found.confusion[:1] if found.given_split else found.confusion
    column = counts.sum(0)[:, :, c]
    hits, alarms = column[:, c], column.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, per_hit = 100 * hits / alarms, alarms / hits
    return pd.DataFrame(
        {
            "recall": texts(recall),
            "precision": [
                f"{p:.1f}" if n else "no alarm" for p, n in zip(precision, alarms)
            ],
            "alarms per hit": [_ratio(value) for value in per_hit],
            "average precision": texts(average),
        },
        index=list(found.heads),
    )


def confusion_table(found: Pilot, head: str) -> pd.DataFrame:
    """Counts of test samples: true classes in rows, predicted ones in columns.

    Over all splits, in which a sample may be tested several times.
    """
    m = found.heads.index(head)
    counts = found.confusion[:1] if found.given_split else found.confusion
    names = list(map(str, found.data.classes))
    return pd.DataFrame(
        counts[:, m].sum(0),
        index=pd.Index(names, name="true"),
        columns=pd.Index(names, name="said to be"),
    )


def probability_table(found: Pilot) -> pd.DataFrame:
    """Whether probabilities mean something, before and after they were corrected.

    In percent: the mean probability of the class to be found, its share, and the
    expected calibration error.
    """
    c, share = found.positive, share_of(found)
    error = found.calibration_error, found.calibration_error_after
    before, after = (interval(v, share) for v in error)
    return pd.DataFrame(
        {
            "mean probability": 100 * found.probability[:, :, 0, c].mean(0),
            "corrected": 100 * found.probability[:, :, 1, c].mean(0),
            "share": 100 * found.share[:, :, c].mean(0),
            "error": texts(before),
            "error, corrected": texts(after),
        },
        index=list(found.heads),
    ).round(1)


def cost_table(found: Pilot) -> pd.DataFrame:
    """What each head costs per thousand samples, and the threshold that costs least."""
    if found.costs is None:
        raise ValueError("this pilot has no costs: say what a miss costs")
    share = share_of(found)
    table = {
        name: texts(interval(found.cost[:, :, k], share), ",", scale=1, digits=0)
        for k, name in enumerate(("likeliest class", "at the threshold"))
    }
    at = interval(found.threshold, share)
    if found.given_split:  # chosen once
        table["threshold, percent"] = [f"{100 * t:.2f}" for t in found.threshold[0]]
    else:
        table["threshold, percent"] = texts(at, digits=2)
    alarms = alarms_per_hit(found, at_threshold=True)
    table["alarms per hit"] = [_ratio(value) for value in alarms]
    rows = pd.DataFrame(table, index=list(found.heads))
    for k, name in ((2, "no alarm at all"), (3, "alarm for everything")):
        rows.loc[name] = [f"{found.cost[:, 0, k].mean():,.0f}", "", "", ""]
    return rows
