"""Accuracy of each group and of the worst; groups may be columns, or overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tailwise.metrics.arrays import as_array, as_labels, check_comparable
from tailwise.metrics.intervals import wilson


@dataclass(frozen=True)
class GroupAccuracies:
    """Accuracy per group and the averages that papers call "the" accuracy.

    Attributes
    ----------
    groups : ndarray
        The group labels, sorted.
    counts : ndarray
        Test samples per group.
    per_group : ndarray
        Accuracy per group, in [0, 1].
    accuracy_train_prior : float or None
        Mean weighted by the groups' shares in the *training* data.
    of_samples : float or None
        Mean over samples where groups overlap, so that counts cannot tell it.
    """

    groups: np.ndarray
    counts: np.ndarray
    per_group: np.ndarray
    accuracy_train_prior: float | None = None
    of_samples: float | None = None

    @property
    def accuracy_worst_group(self) -> float:
        """The smallest accuracy of any group."""
        return float(self.per_group.min())

    @property
    def accuracy_balanced(self) -> float:
        """Mean over groups, every group counted once."""
        return float(self.per_group.mean())

    @property
    def accuracy_test_mean(self) -> float:
        """Mean over test samples."""
        if self.of_samples is not None:
            return self.of_samples
        return float(np.average(self.per_group, weights=self.counts))

    @property
    def interval(self) -> np.ndarray:
        """Wilson's 95 % interval of each group's accuracy, ``[G, 2]``: low and high."""
        return wilson(self.per_group * self.counts, self.counts)


def from_columns(columns: ArrayLike, name: str = "groups") -> np.ndarray:
    """One group label [n] for each combination of several columns ``[n, m]``.

    Examples
    --------
    >>> from_columns([["day", "A"], ["night", "A"]]).tolist()
    ['day, A', 'night, A']
    """
    rows = as_labels(name, columns)
    return np.array([", ".join(map(str, row)) for row in rows])


def memberships(
    groups: ArrayLike, y: np.ndarray, name: str = "{}, column {}"
) -> list[tuple[str, np.ndarray]]:
    """Each class within each column of ``groups`` bool ``[n, m]``: name and rows.

    A sample may be in several columns, or in none; what is empty is left out.
    """
    member = np.asarray(groups)
    found = [
        (name.format(c, k), np.flatnonzero(member[:, k] & (y == c)))
        for c in np.unique(y)
        for k in range(member.shape[1])
    ]
    return [(name, rows) for name, rows in found if len(rows)]


def group_accuracies(
    y: ArrayLike,
    y_hat: ArrayLike,
    groups: ArrayLike,
    *,
    train_groups: ArrayLike | None = None,
) -> GroupAccuracies:
    """Accuracy of every group, with all the usual averages in one object.

    Parameters
    ----------
    y, y_hat : array_like [n]
        True and predicted labels.
    groups : array_like [n] or [n, m]
        The group of each test sample; pass `y` for accuracy per class. Of several
        columns of names each combination is a group. Several columns of booleans are
        memberships that may overlap: each class within each column is a group.
    train_groups : array_like, optional
        The groups of the training data, for `accuracy_train_prior`.

    Raises
    ------
    ValueError
        If lengths differ, an input is empty or holds a missing value, labels are
        compared with names or probabilities, or `train_groups` holds a group that the
        test data lacks.

    Examples
    --------
    >>> acc = group_accuracies([0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1])
    >>> acc.accuracy_worst_group, acc.accuracy_test_mean
    (0.5, 0.75)
    """
    y, y_hat, groups = (
        as_labels(name, values)
        for name, values in (("y", y), ("y_hat", y_hat), ("groups", groups))
    )
    if not (y.ndim == 1 and y.shape == y_hat.shape == groups.shape[:1] and y.size):
        raise ValueError(
            "y, y_hat and groups must be one-dimensional, non-empty and of one length: "
            f"got shapes {y.shape}, {y_hat.shape}, {groups.shape}"
        )
    check_comparable(y=y, y_hat=y_hat)
    if groups.ndim > 1 and groups.dtype.kind == "b":
        return _overlapping(y, y_hat, groups)
    if groups.ndim > 1:
        groups = from_columns(groups)
        train_groups = None if train_groups is None else from_columns(train_groups)
    labels, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    per_group = np.bincount(member, weights=y == y_hat) / counts
    if train_groups is None:
        return GroupAccuracies(labels, counts, per_group)
    shares = np.array([np.mean(as_array(train_groups) == g) for g in labels])
    if not np.isclose(shares.sum(), 1.0):
        raise ValueError(
            f"train_groups and groups differ: test groups {labels.tolist()} hold "
            f"{shares.sum():.3f} of the training data, expected all of it"
        )
    prior_mean = float(np.average(per_group, weights=shares))
    return GroupAccuracies(labels, counts, per_group, prior_mean)


def _overlapping(y, y_hat, member) -> GroupAccuracies:
    names, rows = zip(*memberships(member, y))
    hit = y == y_hat
    return GroupAccuracies(
        groups=np.array(names),
        counts=np.array([len(r) for r in rows]),
        per_group=np.array([hit[r].mean() for r in rows]),
        of_samples=float(hit.mean()),
    )
