"""Chapter 2: a refitted head that needs no group labels to fit (AFR)."""

from itertools import product

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from tailwise.methods.linear_head import (
    LinearHead,
    checked_groups,
    grid_of,
    two_classes,
)

# After the public command for Waterbirds, which takes 14 and 0.2, full batches and 500
# steps of 0.02 (train_embeddings.py of AndPotap/afr, 5d5d78e; arXiv 2306.11074). The
# ends of the grid are known to us from the notes of others.
GAMMAS = tuple(np.linspace(4, 20, 33).tolist())
RIDGES = (0.0, 0.1, 0.2, 0.3, 0.4)


class AutomaticFeatureReweighting(LinearHead):
    """A head refitted with more weight where the old head is unsure or wrong: AFR.

    Ours, after the authors' script: gradient descent from the old head on
    ``sum_i mu_i log(1 + exp(-s_i z_i)) + ridge / 2 * |head - old head|^2`` over raw
    features, with z_i the score, s_i = ±1, ``mu_i ∝ exp(-gamma p_i) / N_i`` summing to
    one, p_i the old head's probability of the true class and N_i its count. The script
    has one output a class, which doubles the step and halves the ridge of the score.

    Parameters
    ----------
    gammas, ridges, lrs : sequence of float
        Emphasis, pull to the old head and step size: all triples are descended at once.
    steps : int
    every : int
        Steps between two looks at the selection data; the script looks at every step.

    Attributes
    ----------
    coef_, intercept_ : ndarray [1, d], [1]
    gamma_, ridge_, lr_, step_ : float, float, float, int
        The first of the best by worst-group accuracy on the selection data, the old
        head (step 0) included.
    scores_ : ndarray [gammas, ridges, lrs]
        Best worst-group accuracy of each triple over the steps looked at.
    """

    def __init__(self, gammas=GAMMAS, ridges=RIDGES, lrs=(0.02,), steps=500, every=10):
        self.gammas = gammas
        self.ridges = ridges
        self.lrs = lrs
        self.steps = steps
        self.every = every

    def fit(self, X, y, *, head=None, selection=None):
        """Refit `head`, a linear classifier of raw features, to held-out X and y.

        `selection` is (X, y) or (X, y, groups), groups default to the classes. For a
        quick try only: without it pairs are compared on the fitted data, by class, and
        without `head` logistic regression on the same data stands in.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        names = ("gammas", "ridges", "lrs")
        grids = [grid_of(name, getattr(self, name)) for name in names]
        for name in ("steps", "every"):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= 1):
                raise ValueError(f"{name} is {value!r}: expected a whole number ≥ 1")
        self.classes_, target = two_classes(y)
        X_new, y_new, *rest = (X, y) if selection is None else selection
        X_new, y_new = check_array(X_new), np.asarray(y_new)
        groups = checked_groups(rest[0] if rest else None, y_new, None)
        head = LogisticRegression(max_iter=1000).fit(X, y) if head is None else head
        old = np.append(head.coef_, head.intercept_)
        if old.shape != (X.shape[1] + 1,):
            raise ValueError(
                f"head.coef_ has shape {np.shape(head.coef_)}: expected (1, "
                f"{X.shape[1]}); of a head with two outputs take the difference"
            )
        X, X_new = (np.column_stack([A, np.ones(len(A))]) for A in (X, X_new))
        sign = 2 * target - 1
        gamma, ridge, lr = np.array(list(product(*grids))).T
        mu = afr_weights(expit(sign * (X @ old)), target, gamma)
        member = (groups[:, None] == np.unique(groups)).astype(float)  # [m, G]
        second = y_new == self.classes_[1]

        theta = np.repeat(old[None], len(gamma), 0)
        best, kept = np.full(len(gamma), -1.0), theta.copy()
        at = np.zeros(len(gamma), dtype=int)
        for step in range(self.steps + 1):
            if step % self.every == 0:
                right = (theta @ X_new.T > 0) == second
                worst = (right @ member / member.sum(0)).min(1)
                better = worst > best
                best[better], at[better] = worst[better], step
                kept[better] = theta[better]
            slope = -mu * sign * expit(-sign * (theta @ X.T))
            move = slope @ X + ridge[:, None] * (theta - old)
            theta = theta - 2 * lr[:, None] * move
        first = int(np.argmax(best))
        self.scores_ = best.reshape([len(grid) for grid in grids])
        self.gamma_, self.ridge_ = float(gamma[first]), float(ridge[first])
        self.lr_, self.step_ = float(lr[first]), int(at[first])
        self.coef_, self.intercept_ = kept[first][None, :-1], kept[first][-1:]
        return self


def afr_weights(p: np.ndarray, target: np.ndarray, gammas: np.ndarray) -> np.ndarray:
    """Weights ``[P, n]`` of samples by the old head's probability p of their class.

    ``exp(-gamma p) / N``, N the count of the class, normalised to one for each gamma.
    """
    mu = np.exp(-np.outer(gammas, p)) / np.bincount(target)[target]
    return mu / mu.sum(1, keepdims=True)
