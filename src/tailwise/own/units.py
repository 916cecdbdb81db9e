"""Units: patients, parts, sites or days that several rows come from."""

import numpy as np

MIN_UNITS = 3


def pairs(cell: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Each cell and unit that occur together, ``[m, 2]``."""
    return np.unique(np.stack([cell, units], 1), axis=0)


def per_cell(cell: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Units in which each cell occurs, or its samples where every row is a unit."""
    return np.bincount(cell if units is None else pairs(cell, units)[:, 0])


def keys(cell: np.ndarray, units: np.ndarray) -> list[np.ndarray]:
    """Units by the rarest cell in them; fewer than three join the next."""
    both = pairs(cell, units)
    rank = np.argsort(np.argsort(np.bincount(both[:, 0]), kind="stable"))
    key = np.full(units.max() + 1, len(rank))
    np.minimum.at(key, both[:, 1], rank[both[:, 0]])
    found, waiting = [], np.empty(0, int)
    for k in range(len(rank)):
        waiting = np.r_[waiting, np.flatnonzero(key == k)]
        if len(waiting) >= MIN_UNITS:
            found.append(waiting)
            waiting = np.empty(0, int)
    if not len(waiting):
        return found
    return [*found[:-1], np.r_[found[-1], waiting]] if found else [waiting]
