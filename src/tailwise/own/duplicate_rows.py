"""Rows that repeat, or nearly repeat, an earlier one: relatives on two sides."""

import numpy as np
import pandas as pd

from tailwise.metrics.arrays import as_array

N_QUERIES, N_ROWS, N_DIRECTIONS, NEAR, FAR = 2000, 20_000, 48, 10, 20
CHANCE = 0.01  # that anything is reported where rows are independent


def copies(X: np.ndarray, units: np.ndarray | None = None) -> np.ndarray:
    """Rows whose features stand in an earlier row, of another unit if there are any."""
    rows = pd.util.hash_pandas_object(pd.DataFrame(as_array(X)), index=False)
    again = rows.duplicated().to_numpy()
    if units is None:
        return np.flatnonzero(again)
    first = pd.Series(units).groupby(rows.to_numpy()).transform("first").to_numpy()
    return np.flatnonzero(again & (first != units))


def near_repeats(
    X: np.ndarray, units: np.ndarray | None = None, *, seed: int = 0
) -> tuple[int, int, tuple[int, int] | None]:
    """Rows with a neighbour that is too near to be there by chance.

    Where rows fill a space of m dimensions evenly, the volume within the nearest of 20
    neighbours is a share v of that within the 20th with chance ``1 - (1 - v)^19``. The
    dimension is estimated from the 10th and 20th neighbours. Derived. Neighbours of the
    same unit do not count; without units exact copies do not, which `copies` reports.

    Returns
    -------
    found : int
    looked_at : int
        A random sample of rows, against at most 20,000.
    pair : tuple of int or None
        The nearest such pair.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(X))[:N_ROWS])
    if len(rows) < 2 * FAR:
        return 0, 0, None
    Z = np.asarray(X[rows], np.float64)
    Z = Z - Z.mean(0)
    sd = Z.std(0)
    Z = (Z[:, sd > 0] / sd[sd > 0]).astype(np.float32)
    if Z.shape[1] > N_DIRECTIONS:
        Z = Z @ rng.normal(size=(Z.shape[1], N_DIRECTIONS)).astype(np.float32)
    asked = np.sort(rng.permutation(len(rows))[:N_QUERIES])
    nearest, near, far, who = _distances(Z, asked, rows, units)
    good = np.isfinite(far) & (near > 0)
    if not good.any():
        return 0, len(asked), None
    spread = np.log(far[good] / near[good]).mean()
    if spread == 0:
        return 0, len(asked), None
    m = (1 / np.arange(NEAR, FAR)).sum() / spread
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.where(good, (nearest / far) ** m, 1)
    hit = np.flatnonzero(volume < CHANCE / (FAR - 1) / len(asked))
    if not len(hit):
        return 0, len(asked), None
    best = hit[volume[hit].argmin()]
    one, other = sorted((int(rows[asked[best]]), int(rows[who[best]])))
    return len(hit), len(asked), (one, other)


def _distances(Z, asked, rows, units):
    """Distance to the nearest, 10th and 20th neighbour, and which is the nearest."""
    length, found = (Z**2).sum(1), []
    for k in range(0, len(asked), 256):
        some = asked[k : k + 256]
        square = length[some, None] + length - 2 * Z[some] @ Z.T
        floor = 1e-5 * (length[some, None] + length)  # rounding of float32
        square = np.where(square < floor, 0, square)
        if units is None:
            square[square == 0] = np.inf
        else:
            square[units[rows[some], None] == units[rows]] = np.inf
        first = np.argpartition(square, FAR, 1)[:, : FAR + 1]
        near = np.take_along_axis(square, first, 1)
        order = near.argsort(1)
        who = first[np.arange(len(some)), order[:, 0]]
        near = np.sqrt(np.take_along_axis(near, order, 1))
        found.append((near[:, 0], near[:, NEAR - 1], near[:, FAR - 1], who))
    return (np.concatenate(part) for part in zip(*found))
