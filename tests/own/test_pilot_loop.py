"""The pilot against a loop that is written from the page's words.

"In a split each head chooses its setting on the validation rows, is refitted on fitting
and validation rows together, and predicts the test rows once." The heads are solved
here from their objectives, by another method than the package's.
"""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from tailwise.own.features import from_arrays
from tailwise.own.heads import RIDGES, TAUS
from tailwise.own.pilot import draw_splits, pilot

N, D = 400, 12


def drawn():
    """Two classes of which one is rare; the rare class has a rare, hard group."""
    rng = np.random.default_rng(7)
    y = (rng.random(N) < 0.75).astype(int)
    group = (rng.random(N) < 0.25).astype(int)
    X = rng.normal(size=(N, D))
    X[:, 0] += 1.1 * y - 1.3 * group
    X[:, 1] += 0.9 * y * group
    return 3 * X + 5, y, group


X, Y, GROUP = drawn()
CELL = 2 * Y + GROUP  # every class occurs in every group


def solved(X, y, ridge, weights=None):
    """Scale and minimise mean loss + ridge / 2 |w|^2; a score for raw features."""
    weights = np.ones(len(y)) if weights is None else weights
    mean, sd = X.mean(0), X.std(0)
    Z, sign = (X - mean) / sd, 2 * y - 1

    def loss(theta):
        margin = sign * (Z @ theta[1:] + theta[0])
        slope = -weights * sign * expit(-margin) / len(y)
        value = weights @ np.logaddexp(0, -margin) / len(y)
        gradient = np.concatenate([[slope.sum()], Z.T @ slope + ridge * theta[1:]])
        return value + ridge / 2 * theta[1:] @ theta[1:], gradient

    found = minimize(loss, np.zeros(D + 1), jac=True, tol=1e-12).x
    return lambda rows: (rows - mean) / sd @ found[1:] + found[0]


def balanced(y):
    return len(y) / (2 * np.bincount(y))[y]


def shifted(y, tau):
    """What logit adjustment takes from the score: the rare class gains by it."""
    return tau * (np.log(np.mean(y == 1)) - np.log(np.mean(y == 0)))


def accuracies(score, rows):
    hit = (score > 0) == (Y[rows] == 1)
    return np.array([hit[CELL[rows] == k].mean() for k in range(4)])


def by_hand(split, objective):
    """Head, setting and accuracy by cell of one split."""
    judge = {"balanced": np.mean, "worst": np.min}[objective]
    fit, val, both = split.fit, split.val, np.concatenate([split.fit, split.val])
    found = {}
    for name, weigh in (("plain", None), ("logistic, prior weights", balanced)):
        weights = [weigh and weigh(Y[rows]) for rows in (fit, both)]
        heads = [solved(X[fit], Y[fit], ridge, weights[0]) for ridge in RIDGES]
        judged = [judge(accuracies(head(X[val]), val)) for head in heads]
        best = int(np.argmax(judged))
        final = solved(X[both], Y[both], RIDGES[best], weights[1])
        found[name] = RIDGES[best], 0.0, accuracies(final(X[split.test]), split.test)
        if weigh is None:
            scores = heads[best](X[val])
            tried = [
                judge(accuracies(scores - shifted(Y[fit], tau), val)) for tau in TAUS
            ]
            tau = TAUS[int(np.argmax(tried))]
            moved = final(X[split.test]) - shifted(Y[both], tau)
            found["logit adjustment"] = (
                RIDGES[best],
                tau,
                accuracies(moved, split.test),
            )
    return found


@pytest.fixture(scope="module", params=["balanced", "worst"])
def both(request):
    """What the pilot found, and what the loop finds, in every split."""
    data = from_arrays(X, Y, GROUP)
    splits = draw_splits(data, 12, seed=3)
    found = pilot(data, splits, objective=request.param)
    return found, [by_hand(split, request.param) for split in splits]


def test_settings_are_those_that_the_loop_chooses(both):
    found, loop = both
    for name in loop[0]:
        chosen = [(setting.ridge, setting.tau) for setting in found.settings[name]]
        assert chosen == [by_name[name][:2] for by_name in loop], name
    assert len({setting.ridge for setting in found.settings["plain"]}) > 1
    assert len({setting.tau for setting in found.settings["logit adjustment"]}) > 1


def test_accuracies_are_those_of_the_loop(both):
    found, loop = both
    for name in loop[0]:
        ours = found.by_cell[:, found.heads.index(name)]
        theirs = np.array([by_name[name][2] for by_name in loop])
        np.testing.assert_allclose(ours, theirs, err_msg=name)
