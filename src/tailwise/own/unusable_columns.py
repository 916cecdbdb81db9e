"""Columns that must not be features: identifiers, constants up to rounding, gaps."""

import re
import warnings
from collections.abc import Sequence

import numpy as np

from tailwise.own.raw import Raw

CHUNK = 2**16
ULP = 2.0**-23  # of float32, relative
# In steps of float32, the spread below which a column needs float64, below which it is
# nearly constant if most of its values are equal, and below which it is in any case.
COARSE, FLAT, CONSTANT = 2000, 30, 4
IDENTIFIER = re.compile(
    r"(^|[\W_])(id|ids|idx|index|uuid|guid|nr|patient|subject|serial|unnamed)(\d*$|[\W_])"
    r"|[a-z]I[Dd]$",
    re.IGNORECASE,
)


def clean(raw: Raw, columns: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features as float32, or float64 where a column needs it, and their names.

    Raises
    ------
    ValueError
        For NaN or infinity, and where no column is left.

    Warns
    -----
    UserWarning
        For each column that is left out, or that needs float64, with the reason.
    """
    X = raw.X
    low, high, sd, whole = _survey(X, columns, raw)
    left: dict[int, str] = {}
    for k in np.flatnonzero(whole).tolist():
        if why := _identifies(np.asarray(X[:, k], np.float64), columns[k], raw.y):
            left[k] = f"{why} and is not used as a feature: if it names objects that "
            left[k] += "several rows come from, name it as the unit"
    step = np.maximum(abs(low), abs(high)) * ULP
    wide = X.dtype.kind == "f" and X.dtype.itemsize > 4 or X.dtype.kind in "iu"
    exact, precise = False, []
    for k in np.flatnonzero((low < high) & (sd < COARSE * step)).tolist():
        if k in left:
            continue
        values, counts = np.unique(np.asarray(X[:, k], np.float64), return_counts=True)
        few = counts.max() >= 0.9 * len(X) and sd[k] < FLAT * step[k]
        if few or (sd[k] < CONSTANT * step[k] and not (wide and len(values) > 10)):
            left[k] = (
                f"is nearly constant ({values[counts.argmax()]:g} in "
                f"{counts.max():,} of {len(X):,} rows, the rest within "
                f"{high[k] - low[k]:.1g}) and is not used as a feature"
            )
        else:
            exact = True
            precise += [columns[k]] if wide else []
    if raw.asked:  # somebody named these columns, so they are kept
        left = {
            k: why.replace("is not used as", "was asked for as")
            for k, why in left.items()
        }
    for k, why in left.items():
        warnings.warn(f"column {columns[k]!r} {why}", stacklevel=4)
    for name in precise:
        warnings.warn(
            f"column {name!r} needs float64 (f8): float32 (f4) would lose its digits, "
            "so all features stay float64; subtract a constant from it if you can",
            stacklevel=4,
        )
    kept = [k for k in range(X.shape[1]) if raw.asked or k not in left]
    if not kept:
        raise ValueError(
            "no feature is left: every column looks like an identifier or is constant"
        )
    if len(kept) < X.shape[1]:
        X = X[:, kept]
    kind = np.float64 if exact else np.float32
    return X.astype(kind, copy=False), tuple(columns[k] for k in kept)


def _survey(X: np.ndarray, columns, raw: Raw) -> tuple[np.ndarray, ...]:
    """Lowest, highest, standard deviation and "all whole" of each column."""
    n, d = X.shape
    low, high, whole = np.full(d, np.inf), np.full(d, -np.inf), np.ones(d, bool)
    origin, sums, squares = X[0].astype(np.float64), np.zeros(d), np.zeros(d)
    for start in range(0, n, CHUNK):
        part = X[start : start + CHUNK].astype(np.float64, copy=False)
        # What float32 cannot hold is as bad as infinity.
        good = np.abs(part) <= np.finfo(np.float32).max
        if not good.all():
            row, column = np.argwhere(~good)[0]
            more = f", and {m - 1:,} more do" if (m := int((~good).sum())) > 1 else ""
            with np.errstate(over="ignore"):
                value = np.float32(part[row, column])
            raise ValueError(
                f"column {columns[column]!r} holds {value} in "
                f"{raw.at(start + row)}{more}: fill in numbers or delete the rows"
            )
        low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
        gap = part - origin
        sums, squares = sums + gap.sum(0), squares + (gap**2).sum(0)
        if whole.any():
            whole[whole] = (part[:, whole] % 1 == 0).all(0)
    variance = squares / n - (sums / n) ** 2
    return low, high, np.sqrt(variance.clip(0)), whole


def _identifies(values: np.ndarray, name: str, y) -> str:
    """Why whole numbers look like an identifier, or an empty string."""
    n, distinct = len(values), len(np.unique(values))
    if distinct < 10:
        return ""
    if distinct == n:
        if (np.diff(values) > 0).all() or (np.diff(values) < 0).all():
            return "counts the rows"
        span = values.max() - values.min() + 1
        # So many whole numbers in so small a span would meet by chance: n^2 / 2 span.
        if n**2 / (2 * span) >= 10:
            return "counts the rows, in another order,"
    if IDENTIFIER.search(name):
        return f"looks like an identifier ({distinct:,} different whole numbers)"
    if _label_by_value(values, np.asarray(y)):
        return (
            f"looks like an identifier ({distinct:,} different whole numbers, and rows "
            "that share one always share the label)"
        )
    return ""


def _label_by_value(values: np.ndarray, y: np.ndarray) -> bool:
    """Whether equal values share the label although near values do not.

    By chance so many repeated values would not be pure; and a measurement that decides
    the label would have few changes of label in its order.
    """
    if y.shape != values.shape:
        return False
    _, label = np.unique(y.astype(str), return_inverse=True)
    order = np.lexsort((label, values))
    values, label = values[order], label[order]
    start = np.flatnonzero(np.r_[True, np.diff(values) != 0])
    sizes = np.diff(np.r_[start, len(values)])
    if (np.minimum.reduceat(label, start) != np.maximum.reduceat(label, start)).any():
        return False
    share = np.bincount(label) / len(label)
    pure = sum(np.log((share**m).sum()) for m in sizes if m > 1)
    each = label[start]
    k = np.bincount(each) / len(each)
    expected, changes = len(each) * (1 - (k**2).sum()), (np.diff(each) != 0).sum()
    return bool(pure < np.log(1e-6) and changes >= 0.5 * expected)
