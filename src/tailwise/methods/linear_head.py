"""What linear heads share: input checks, scores, one threshold."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tailwise.metrics.arrays import as_labels, from_torch


class LinearHead(ClassifierMixin, BaseEstimator):
    """What a fitted head in raw feature units does, however it was fitted.

    With K > 2 classes it has a row of coefficients for each.
    """

    _multi_class = False

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self._multi_class
        return tags

    def decision_function(self, X) -> np.ndarray:
        """Scores: ``[n]``, positive for the second class, or ``[n, K]``."""
        check_is_fitted(self)
        X = validate_data(self, from_torch(X), dtype=np.float64, reset=False)
        if len(self.coef_) == 1:
            return X @ self.coef_[0] + self.intercept_[0]
        return X @ self.coef_.T + self.intercept_

    def predict_proba(self, X) -> np.ndarray:
        """Sigmoid of the scores ``[n, 2]``, or their softmax; not calibrated."""
        scores = self.decision_function(X)
        if scores.ndim > 1:
            return softmax(scores, 1)
        return np.stack([expit(-scores), expit(scores)], 1)

    def predict(self, X) -> np.ndarray:
        """The likelier class of each row of X."""
        scores = self.decision_function(X)
        best = scores.argmax(1) if scores.ndim > 1 else (scores > 0).astype(int)
        return self.classes_[best]


def grid_of(name, values) -> np.ndarray:
    """`values` as an array of numbers ≥ 0, or a ValueError that gives the name."""
    grid = np.atleast_1d(np.asarray(values, dtype=float))
    if not (grid.ndim == 1 and grid.size and ((grid >= 0) & (grid < np.inf)).all()):
        raise ValueError(f"{name} is {values}: expected one or more numbers ≥ 0")
    return grid


def several_classes(y) -> tuple[np.ndarray, np.ndarray]:
    """The classes in y, two or more, and each sample's position among them."""
    check_classification_targets(y)
    classes, target = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y holds one class, {classes}: expected two")
    return classes, target


def two_classes(y) -> tuple[np.ndarray, np.ndarray]:
    """The two classes in y, and each sample's position among them."""
    classes, target = several_classes(y)
    if len(classes) > 2:  # in the words that scikit-learn prescribes
        found = "Only binary classification is supported. The type of the target is"
        raise ValueError(f"{found} multiclass: y holds {len(classes)} classes")
    return classes, target


def checked_groups(groups, y, expected) -> np.ndarray:
    """Group labels, by default y, after every expected group has been looked for."""
    groups = y if groups is None else as_labels("groups", groups)
    if groups.shape != (len(y),):
        raise ValueError(f"groups has shape {groups.shape}: expected ({len(y)},)")
    present = set(groups.tolist())
    wanted = [] if expected is None else np.asarray(expected).tolist()
    missing = [g for g in wanted if g not in present]
    if missing:
        raise ValueError(
            f"no samples of expected groups {missing}. What can still be done: fit "
            "without expected_groups to balance the groups that exist, which does not "
            "protect the missing ones; manufacture them by editing inputs; collect them"
        )
    return groups


def threshold_today(scores: ArrayLike) -> float:
    """The threshold that a model most likely has: 0.5 of probabilities, else 0.

    Scores [n] that all lie in [0, 1] are taken for probabilities.

    Examples
    --------
    >>> threshold_today([0.0, 0.3, 1.0]), threshold_today([-0.1, 0.3, 1.0])
    (0.5, 0.0)
    """
    scores = np.asarray(scores)
    return 0.5 if ((scores >= 0) & (scores <= 1)).all() else 0.0


def threshold_shift(
    scores: ArrayLike, y: ArrayLike, groups: ArrayLike, *, today: float = 0.0
) -> float:
    """The threshold with the best worst-group accuracy on held-out `scores` [n].

    Above it the second of the two classes in `y` [n] is predicted. Groups that do not
    occur do not count. Of equally good thresholds it is the one nearest to `today`,
    the threshold in use.

    Examples
    --------
    >>> threshold_shift([-2.0, -1.0, -0.5, 1.0], [0, 0, 1, 1], [0, 0, 1, 1])
    -0.75
    """
    scores, y, groups = (np.asarray(a) for a in (scores, y, groups))
    if not (scores.ndim == 1 and scores.shape == y.shape == groups.shape):
        shapes = f"{scores.shape}, {y.shape}, {groups.shape}"
        raise ValueError(f"scores, y, groups: expected one length, got shapes {shapes}")
    if not np.isfinite(scores).all():
        raise ValueError("scores holds NaN or infinite values")
    classes, target = two_classes(y)
    levels = np.unique(scores)
    middle = (levels[1:] + levels[:-1]) / 2
    cuts = np.concatenate([[today, levels[0] - 1, levels[-1] + 1], middle])
    worst = np.ones(len(cuts))
    for g in np.unique(groups):
        down, up = (np.sort(scores[(groups == g) & (target == c)]) for c in (0, 1))
        right = np.searchsorted(down, cuts, "right")
        right += len(up) - np.searchsorted(up, cuts, "right")
        worst = np.minimum(worst, right / (len(up) + len(down)))
    best = cuts[worst == worst.max()]
    return float(best[np.abs(best - today).argmin()])
