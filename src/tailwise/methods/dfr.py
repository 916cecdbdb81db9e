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

from tailwise.methods.balanced_rows import (
    balanced_rows,
    group_rows,
    halves,
    unit_halves,
)
from tailwise.methods.linear_head import (
    LinearHead,
    checked_groups,
    grid_of,
    several_classes,
)
from tailwise.metrics import group_accuracies
from tailwise.metrics.arrays import as_labels, from_torch

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
    """Fits before averaging, for scaled features: coef [R, d], intercept [R].

    With K > 2 classes coef [R, K, d] and intercept [R, K].
    """

    coef: np.ndarray
    intercept: np.ndarray


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
    the intercept. More than two classes are fitted one against the others, as
    liblinear did in the scripts' time.

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
    classes_ : ndarray [K]
    coef_, intercept_ : ndarray [1, d], [1], or [K, d], [K] for K > 2
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

    _multi_class = True

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

    def fit(
        self,
        X,
        y,
        *,
        groups=None,
        X_reference=None,
        expected_groups=None,
        units=None,
    ):
        """Choose C and fit the heads to held-out features ``X [n, d]``, labels ``y``.

        `groups` [n] are labels; or several columns [n, m], see `group_rows`, which may
        overlap. Without them classes are balanced, and a warning says so. WITHOUT
        `X_reference` [m, d] the scaler "reference" is fitted on X, as "validation" is.
        `units` [n], such as patients, are never in both halves that choose C. A
        ValueError names any of the `expected_groups` without samples, a missing label,
        a group with fewer than two samples in the tuning half, and other bad input; a
        group with none in the other half warns.

        In `GridSearchCV` and the like `groups` reach this method only by routing:
        ``sklearn.set_config(enable_metadata_routing=True)`` and
        ``head.set_fit_request(groups=True)``.
        """
        X, y = validate_data(self, from_torch(X), from_torch(y), dtype=np.float64)
        if not (grid := grid_of("C", self.C)).all():
            raise ValueError(f"C is {self.C}: expected positive numbers")
        if not isinstance(self.n_resamples, Integral) or self.n_resamples < 1:
            raise ValueError(f"n_resamples is {self.n_resamples}: expected ≥ 1")
        for name, known in (("scaler", SCALERS), ("split", SPLITS)):
            if (given := getattr(self, name)) not in known:
                raise ValueError(f"unknown {name} {given!r}: expected {known}")
        self.classes_, target = several_classes(y)
        rows = np.arange(len(y))
        if groups is None:
            warnings.warn(
                "DeepFeatureReweighting: groups were not given, so classes are "
                "balanced (groups=y says that this is meant). GridSearchCV and the "
                "like pass groups on only by metadata routing, see fit",
                stacklevel=2,
            )
        else:
            rows, groups = group_rows(groups, y)
        groups = checked_groups(groups, y[rows], expected_groups)
        units = self._checked_units(units, rows, len(y))
        self.groups_, self.group_counts_ = np.unique(groups, return_counts=True)
        rng = check_random_state(self.random_state)
        member = X[rows], target[rows], groups
        self.scores_ = self._score_grid(*member, units, grid, rng)
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
            drawn = rows[balanced_rows(groups, rng)]
            fits.append(self._fit_head(Z[drawn], target[drawn], self.C_, rng))
        join = np.concatenate if len(self.classes_) == 2 else np.stack
        self.heads_ = Heads(*(join(a) for a in zip(*fits)))
        # Back to raw units: w / scale, b - w . mean / scale.
        mean = (np.atleast_2d(self.heads_.coef.mean(0)), self.heads_.intercept.mean(0))
        self.coef_ = mean[0] / self.scaler_.scale_
        self.intercept_ = np.atleast_1d(mean[1]) - self.coef_ @ self.scaler_.mean_
        return self

    def _checked_units(self, units, rows, n: int) -> np.ndarray | None:
        """The unit of each row of `rows`; a row in several groups is a unit."""
        if units is None:
            return rows if len(rows) > n else None
        units = as_labels("units", units)
        if units.shape != (n,):
            raise ValueError(f"units has shape {units.shape}: expected ({n},)")
        if self.split != "groups":
            raise ValueError(f"units with split {self.split!r}: expected 'groups'")
        return units[rows]

    def _score_grid(self, X, target, groups, units, grid, rng) -> np.ndarray:
        if units is not None:
            scoring, tuning = unit_halves(groups, units, rng)
        elif self.split == "groups":
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
            scores = Z_scoring @ coef.T + intercept
            y_hat = scores.argmax(1) if len(coef) > 1 else (scores[:, 0] > 0) * 1
            accuracies = group_accuracies(target[scoring], y_hat, groups[scoring])
            worst.append(accuracies.accuracy_worst_group)
        return np.array(worst)

    def _fit_head(self, Z, target, C, rng) -> tuple[np.ndarray, np.ndarray]:
        present = np.unique(target)
        if len(present) < 2:
            raise ValueError("a balanced subset has one class: group by class as well")
        K = len(self.classes_)
        if len(present) < K:
            text = f"a balanced subset has {len(present)} of {K} classes"
            raise ValueError(f"{text}: group by class as well")
        signs = [target] if K == 2 else [target == k for k in range(K)]
        models = [l1_logistic(C, rng, tol=self.tol).fit(Z, sign) for sign in signs]
        coef = np.concatenate([model.coef_ for model in models])
        return coef, np.concatenate([model.intercept_ for model in models])


def l1_logistic(C: float, random_state=None, *, tol: float = 1e-4):
    """The sparse head of the authors' scripts, unfitted, in any scikit-learn.

    Its penalty includes the intercept, because liblinear's does. The scripts stop after
    100 iterations, which only matters where liblinear warns.
    """
    options = dict(solver="liblinear", tol=tol, max_iter=1000)
    return LogisticRegression(C=C, random_state=random_state, **options, **L1)
