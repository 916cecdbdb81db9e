"""Rows that balance groups, and halves that keep groups and units apart."""

import numpy as np
from numpy.typing import ArrayLike

from tailwise.metrics.arrays import as_labels
from tailwise.metrics.group_accuracy import from_columns, memberships


def balanced_rows(
    groups: ArrayLike, rng, *, per_group: int | None = None
) -> np.ndarray:
    """Random rows in which every group has `per_group`, by default its smallest, count.

    `rng` is a numpy Generator or RandomState; it permutes each group once, groups in
    sorted order. Groups too small for the request are a ValueError, never capped.

    Examples
    --------
    >>> rows = balanced_rows([0, 0, 0, 1, 1], np.random.default_rng(0))
    >>> len(rows), sorted(rows[2:].tolist())
    (4, [3, 4])
    """
    groups = np.asarray(groups)
    labels, counts = np.unique(groups, return_counts=True)
    smallest = counts.min(initial=len(groups))
    take = smallest if per_group is None else per_group
    if not 1 <= take <= smallest:
        found = dict(zip(labels.tolist(), counts.tolist()))
        raise ValueError(f"{take} rows per group: expected ≥ 1, groups hold {found}")
    members = (rng.permutation(np.flatnonzero(groups == g)) for g in labels)
    return np.concatenate([rows[:take] for rows in members])


def halves(groups: ArrayLike, rng) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a scoring and a tuning half, drawn at random within each group.

    Of a group with an odd count the tuning half has one more. Groups in sorted order;
    `rng` is a numpy Generator or RandomState. Ours: the scripts draw over all rows, so
    that a small group can fall into one half.

    Examples
    --------
    >>> scoring, tuning = halves([0, 0, 0, 1, 1], np.random.default_rng(0))
    >>> len(scoring), len(tuning)
    (2, 3)
    """
    groups = np.asarray(groups)
    members = [rng.permutation(np.flatnonzero(groups == g)) for g in np.unique(groups)]
    cut = [np.split(rows, [len(rows) // 2]) for rows in members]
    scoring, tuning = (np.concatenate(half) for half in zip(*cut))
    return scoring, tuning


def unit_halves(groups: ArrayLike, units: ArrayLike, rng) -> tuple:
    """Rows that score C and rows that are fitted for it, with no unit in both.

    As `halves`, with the units in place of the rows: a unit counts for the rarest of
    the groups that occur in it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scoring, tuning = unit_halves([0, 0, 0, 0], [7, 7, 8, 8], rng)
    >>> sorted(sorted(half.tolist()) for half in (scoring, tuning))
    [[0, 1], [2, 3]]
    """
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    names, unit = np.unique(units, return_inverse=True)
    rank = np.argsort(np.argsort(counts, kind="stable"))  # 0 is the rarest
    rarest = np.full(len(names), len(counts))
    np.minimum.at(rarest, unit, rank[group])
    scores = np.isin(unit, halves(rarest, rng)[0])
    return np.flatnonzero(scores), np.flatnonzero(~scores)


def group_rows(groups, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and the group of each, where a row may stand in several groups.

    Of several columns of names each combination is a group. Columns of booleans are
    memberships: each class within each column, and each class in no column.
    """
    groups = as_labels("groups", groups)
    if groups.ndim != 2 or len(groups) != len(y) or groups.shape[1] < 2:
        return np.arange(len(y)), groups
    if groups.dtype.kind != "b":
        return np.arange(len(y)), from_columns(groups)
    members = memberships(groups, y)
    members += memberships(~groups.any(1, keepdims=True), y, "{}, in no column")
    names = np.repeat([name for name, _ in members], [len(r) for _, r in members])
    return np.concatenate([rows for _, rows in members]), names
