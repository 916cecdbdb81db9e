"""Chapter 2: a refitted head that needs no group labels to fit (AFR)."""

from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from tailwise.methods.linear_head import (
    LinearHead,
    checked_groups,
    grid_of,
    two_classes,
)
from tailwise.metrics import group_accuracies


class AutomaticFeatureReweighting(LinearHead):
    """A head refitted with more weight where the old head is unsure or wrong: AFR.

    Our implementation after the idea of arXiv 2306.11074; not checked against its code.
    It minimises ``sum_i mu_i log(1 + exp(-s_i z_i)) + ridge * |head - old head|^2``
    over raw features, with z_i the score, s_i = ±1, ``mu_i ∝ exp(-gamma p_i) / N_i``
    summing to one, p_i the old head's probability of the true class, N_i its count.

    `gammas` and `ridges` are our grids. The first of the best pairs by worst-group
    accuracy, `scores_` [gammas, ridges], becomes `gamma_` and `ridge_`.
    """

    def __init__(
        self,
        gammas=(0.0, 2.0, 4.0, 8.0, 12.0, 16.0),
        ridges=(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    ):
        self.gammas = gammas
        self.ridges = ridges

    def fit(self, X, y, *, head=None, selection=None):
        """Refit `head`, a linear classifier of raw features, to held-out X and y.

        `selection` is (X, y) or (X, y, groups), groups default to the classes. For a
        quick try only: without it pairs are compared on the fitted data, by class, and
        without `head` logistic regression on the same data stands in.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        gammas, ridges = grid_of("gammas", self.gammas), grid_of("ridges", self.ridges)
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
        X, sign = np.column_stack([X, np.ones(len(X))]), 2 * target - 1
        p = expit(sign * (X @ old))
        fits, scores = [], []
        for gamma, ridge in (pairs := list(product(gammas, ridges))):
            mu = np.exp(-gamma * p) / np.bincount(target)[target]
            loss_args = (X, sign, mu / mu.sum(), old, ridge)
            fits.append(minimize(_afr_loss, old, loss_args, "L-BFGS-B", jac=True).x)
            second = X_new @ fits[-1][:-1] + fits[-1][-1] > 0
            y_hat = self.classes_[second.astype(int)]
            scores.append(group_accuracies(y_new, y_hat, groups).accuracy_worst_group)
        best = int(np.argmax(scores))
        self.scores_ = np.reshape(scores, (len(gammas), len(ridges)))
        self.gamma_, self.ridge_ = map(float, pairs[best])
        self.coef_, self.intercept_ = fits[best][None, :-1], fits[best][-1:]
        return self


def _afr_loss(theta, X, sign, mu, old, ridge) -> tuple[float, np.ndarray]:
    margin, move = sign * (X @ theta), theta - old
    slope = -mu * sign * expit(-margin)
    loss = -mu @ log_expit(margin) + ridge * move @ move
    return loss, slope @ X + 2 * ridge * move
