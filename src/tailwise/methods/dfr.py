"""Chapter 2: refit the last layer on held-out features with balanced groups (DFR)."""

import warnings
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from tailwise.methods.linear_head import (
    LinearHead,
    checked_groups,
    grid_of,
    two_classes,
)
from tailwise.metrics import group_accuracies

SCALERS = ("reference", "validation")
SPLITS = ("groups", "rows")
C_GRID = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
# penalty="l1" until scikit-learn 1.7, whose default was "l2"; l1_ratio=1 since.
_DEFAULT = LogisticRegression().get_params().get("penalty")
L1 = {"penalty": "l1"} if _DEFAULT == "l2" else {"l1_ratio": 1}

# As read in dfr_evaluate_spurious.py of PolinaKirichenko/deep_feature_reweighting
# (46666e6; arXiv 2204.02937) and of izmailovpavel/spurious_feature_learning (e5b4b4f;
# arXiv 2210.11369). Ten heads belong to the first one's other procedure, DFR(Train).
VARIANTS = {
    "kirichenko2023": {"scaler": "reference", "n_resamples": 20, "split": "rows"},
    "izmailov2022": {"scaler": "validation", "n_resamples": 20, "split": "rows"},
}


@dataclass(frozen=True)
class Heads:
    """Fits before averaging, for scaled features: coef [R, d], intercept [R]."""

    coef: np.ndarray
    intercept: np.ndarray


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


def zero_fraction(coef: ArrayLike) -> float:
    """Share of coefficients that are exactly zero."""
    return float(np.mean(np.asarray(coef) == 0))


def averaged_zero_fraction(heads: Heads, R: int) -> float:
    """Share of exact zeros in the mean of the first `R` heads."""
    if not 1 <= R <= len(heads.coef):
        raise ValueError(f"R is {R}: expected 1 to {len(heads.coef)} heads")
    return zero_fraction(heads.coef[:R].mean(0))


class DeepFeatureReweighting(LinearHead):
    """Averaged l1 heads on group-balanced subsets of held-out features: DFR(Val).

    After the authors' scripts, which `VARIANTS` follow to the letter. One random split
    chooses C; the heads are then fitted on the whole set. liblinear's penalty includes
    the intercept.

    Parameters
    ----------
    C : sequence of float
        Inverse penalties to choose from; the first of the best is taken.
    n_resamples : int, default 20
        Heads R to average.
    scaler : {"reference", "validation"}
        What scales the final fits: `X_reference`, the training embeddings, or the
        held-out features. Fits that choose C are scaled by their own rows.
    split : {"groups", "rows"}
        How the halves that choose C are drawn: within each group, see `halves`, or
        over all rows as the scripts do, where a group of a few samples may lack one.
    random_state : int, RandomState or None
        Drawn as the scripts do: split, tuning subset, resamples, and for each fit an
        integer. With groups in the same order the subsets are the same.
    tol : float
        Of liblinear, which by default stops before the optimum.

    Attributes
    ----------
    classes_ : ndarray [2]
    coef_, intercept_ : ndarray [1, d], [1]
        The mean head for raw features: ``X @ coef_.T + intercept_`` are the scores.
    C_, scores_ : float, ndarray
        The C chosen; worst-group accuracy of each C on the scoring half.
    heads_ : Heads
    scaler_ : StandardScaler
    groups_, group_counts_ : ndarray [G]
        The groups that were balanced; absent ones cannot be.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, place = rng.integers(2, size=(2, 400))
    >>> X = np.stack([y, place], 1) + 0.3 * rng.normal(size=(400, 2))
    >>> head = DeepFeatureReweighting(random_state=0).fit(X, y, groups=2 * y + place)
    >>> head.heads_.coef.shape, head.score(X, y) > 0.9
    ((20, 2), True)
    """

    def __init__(
        self,
        C=C_GRID,
        n_resamples=20,
        scaler="reference",
        random_state=None,
        tol=1e-4,
        split="groups",
    ):
        self.C = C
        self.n_resamples = n_resamples
        self.scaler = scaler
        self.split = split
        self.random_state = random_state
        self.tol = tol

    def fit(self, X, y, *, groups=None, X_reference=None, expected_groups=None):
        """Choose C and fit the heads to held-out features ``X [n, d]``, labels ``y``.

        `groups` [n] default to the classes. WITHOUT `X_reference` [m, d] the scaler
        "reference" is fitted on X, as "validation" is. A ValueError names any of the
        `expected_groups` without samples, a group with fewer than two samples in the
        tuning half, and other bad input; a group with none in the other half warns.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        if not (grid := grid_of("C", self.C)).all():
            raise ValueError(f"C is {self.C}: expected positive numbers")
        if not isinstance(self.n_resamples, Integral) or self.n_resamples < 1:
            raise ValueError(f"n_resamples is {self.n_resamples}: expected ≥ 1")
        for name, known in (("scaler", SCALERS), ("split", SPLITS)):
            if (given := getattr(self, name)) not in known:
                raise ValueError(f"unknown {name} {given!r}: expected {known}")
        self.classes_, target = two_classes(y)
        groups = checked_groups(groups, y, expected_groups)
        self.groups_, self.group_counts_ = np.unique(groups, return_counts=True)
        rng = check_random_state(self.random_state)
        self.scores_ = self._score_grid(X, target, groups, grid, rng)
        self.C_ = float(grid[self.scores_.argmax()])
        reference = X
        if self.scaler == "reference" and X_reference is not None:
            reference = check_array(X_reference, input_name="X_reference")
            if reference.shape[1] != X.shape[1]:
                shapes = f"shape {reference.shape}, X has {X.shape}"
                raise ValueError(f"X_reference has {shapes}: expected equal features")
        self.scaler_ = StandardScaler().fit(reference)
        Z, fits = self.scaler_.transform(X), []
        for _ in range(self.n_resamples):
            rows = balanced_rows(groups, rng)
            fits.append(self._fit_head(Z[rows], target[rows], self.C_, rng))
        self.heads_ = Heads(*(np.concatenate(a) for a in zip(*fits)))
        # Back to raw units: w / scale, b - w . mean / scale.
        self.coef_ = self.heads_.coef.mean(0, keepdims=True) / self.scaler_.scale_
        offset = self.coef_ @ self.scaler_.mean_
        self.intercept_ = self.heads_.intercept.mean(keepdims=True) - offset
        return self

    def _score_grid(self, X, target, groups, grid, rng) -> np.ndarray:
        if self.split == "groups":
            scoring, tuning = halves(groups, rng)
        else:
            scoring, tuning = np.split(rng.permutation(len(X)), [len(X) // 2])
        counts = (groups[tuning, None] == self.groups_).sum(0)
        if counts.min() < 2:
            raise ValueError(
                f"group {self.groups_[counts.argmin()]} has {counts.min()} samples in "
                "the half that is fitted to choose C: expected ≥ 2; collect more of it"
            )
        if unseen := set(self.groups_.tolist()) - set(groups[scoring].tolist()):
            text = "the half that chooses C has no samples of groups"
            warnings.warn(f"{text} {sorted(unseen)}: they do not count", stacklevel=3)
        rows = tuning[balanced_rows(groups[tuning], rng)]
        scaler, worst = StandardScaler().fit(X[rows]), []
        Z, Z_scoring = scaler.transform(X[rows]), scaler.transform(X[scoring])
        for C in grid:
            coef, intercept = self._fit_head(Z, target[rows], C, rng)
            y_hat = Z_scoring @ coef[0] + intercept > 0
            accuracies = group_accuracies(target[scoring], y_hat, groups[scoring])
            worst.append(accuracies.accuracy_worst_group)
        return np.array(worst)

    def _fit_head(self, Z, target, C, rng) -> tuple[np.ndarray, np.ndarray]:
        if len(np.unique(target)) < 2:
            raise ValueError("a balanced subset has one class: group by class as well")
        model = l1_logistic(C, rng, tol=self.tol).fit(Z, target)
        return model.coef_, model.intercept_


def l1_logistic(C: float, random_state=None, *, tol: float = 1e-4):
    """The sparse head of the authors' scripts, unfitted, in any scikit-learn.

    Its penalty includes the intercept, because liblinear's does. The scripts stop after
    100 iterations, which only matters where liblinear warns.
    """
    options = dict(solver="liblinear", tol=tol, max_iter=1000)
    return LogisticRegression(C=C, random_state=random_state, **options, **L1)
