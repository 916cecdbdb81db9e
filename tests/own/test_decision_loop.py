"""What a decision needs, against a loop that is written from the page's words.

"Of the rarest class: recall is the share that is found, precision the share of alarms
that are right, average precision the mean precision over all thresholds." "The costs
per thousand samples, for the likeliest class and at the threshold that cost least on
the validation rows." "One constant for each class, so that the mean probability is the
share, and one temperature", found on validation rows. "No unit is on two sides."
"""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import expit

from tailwise.own import boards, features
from tailwise.own.costs import Costs
from tailwise.own.heads import RIDGES
from tailwise.own.pilot import pilot

P, S, D, MISS, FALSE = 150, 3, 6, 40.0, 3.0
RNG = np.random.default_rng(11)
RARE = RNG.permutation(np.arange(P) < 36)
UNIT = np.repeat(np.arange(P), S)
Y = RARE[UNIT].astype(int)  # 1 is to be found
X = RNG.normal(size=(P, D))[UNIT] * 0.7 + 0.7 * RNG.normal(size=(P * S, D))
X[:, 0] += 1.4 * Y
X = (2 * X + 9).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    data = features.from_arrays(X, np.array(["good", "bad"])[Y], units=UNIT)
    costs = Costs(miss=MISS, false_alarm=FALSE)
    return pilot(data, n_splits=10, costs=costs, seed=2)


def logistic(rows, ridge):
    """Mean loss plus ridge / 2 times squared weights, on scaled features; a score."""
    mean, sd = X[rows].mean(0, dtype=float), X[rows].std(0, dtype=float)
    Z, sign = (X[rows] - mean) / sd, 2 * Y[rows] - 1

    def loss(t):
        margin = sign * (Z @ t[1:] + t[0])
        slope = -sign * expit(-margin) / len(rows)
        value = np.logaddexp(0, -margin).mean() + ridge / 2 * t[1:] @ t[1:]
        return value, np.r_[slope.sum(), Z.T @ slope + ridge * t[1:]]

    t = minimize(loss, np.zeros(D + 1), jac=True, tol=1e-12).x
    return lambda rows: (X[rows] - mean) / sd @ t[1:] + t[0]


def corrected(score, y):
    """Slope and shift of the log odds with the least loss on validation rows."""

    def shift(slope):  # the mean probability is the share
        return brentq(lambda b: expit(slope * score + b).mean() - y.mean(), -99, 99)

    def loss(u):
        z = np.exp(u) * score + shift(np.exp(u))
        # A normal prior on log T, counted as one row.
        return np.logaddexp(0, np.where(y == 1, -z, z)).sum() + u**2 / 2

    grid = np.linspace(-4, 4, 161)
    u = grid[np.argmin([loss(u) for u in grid])]
    for width in 10.0 ** -np.arange(2, 8):
        near = u + width * np.linspace(-5, 5, 21)
        u = near[np.argmin([loss(one) for one in near])]
    return np.exp(u), shift(np.exp(u))


def money(alarm, y):
    missed, false = np.sum(~alarm & (y == 1)), np.sum(alarm & (y == 0))
    return 1000 * (MISS * missed + FALSE * false) / len(y)


def by_hand(split):
    """Plain head: alarms, costs, threshold and probabilities on the test rows."""
    heads = [logistic(split.fit, ridge) for ridge in RIDGES]

    def balanced(head):
        hit = (head(split.val) > 0) == (Y[split.val] == 1)
        return (hit[Y[split.val] == 0].mean() + hit[Y[split.val] == 1].mean()) / 2

    best = int(np.argmax([balanced(head) for head in heads]))
    y_val = Y[split.val]
    slope, shift = corrected(heads[best](split.val), y_val)
    p_val = expit(slope * heads[best](split.val) + shift)
    levels = np.sort(p_val)
    cuts = [levels[0] / 2, *(levels[:-1] + levels[1:]) / 2, (1 + levels[-1]) / 2]
    costs = np.array([money(p_val >= cut, y_val) for cut in cuts])
    cheapest = [cut for cut, cost in zip(cuts, costs) if cost <= costs.min() + 1e-9]
    pays = FALSE / (FALSE + MISS)
    threshold = min(cheapest, key=lambda cut: abs(cut - pays))
    final = logistic(np.r_[split.fit, split.val], RIDGES[best])(split.test)
    return final, expit(slope * final + shift), threshold


def test_units_are_apart(found):
    for split in found.splits:
        used = [set(UNIT[rows]) for rows in (split.fit, split.val, split.test)]
        assert sum(map(len, used)) == len(set.union(*used)) == P


def test_the_decision_is_that_of_the_loop(found):
    alarms = hits = rare = 0
    c = [*found.data.classes].index("bad")
    assert found.positive == c
    for s, split in enumerate(found.splits):
        score, p, threshold = by_hand(split)
        y = Y[split.test]
        alarms, hits = alarms + (score > 0).sum(), hits + ((score > 0) & (y == 1)).sum()
        rare += (y == 1).sum()
        assert found.by_class[s, 0, c] == pytest.approx((score > 0)[y == 1].mean())
        order = np.argsort(-p, kind="stable")
        precision = np.cumsum(y[order]) / np.arange(1, len(y) + 1)
        average = precision[y[order] == 1].mean()
        assert found.average_precision[s, 0, c] == pytest.approx(average)
        assert found.probability[s, 0, 1, c] == pytest.approx(p.mean(), abs=1e-4)
        assert found.threshold[s, 0] == pytest.approx(threshold, abs=1e-4)
        expected = [money(score > 0, y), money(p >= threshold, y)]
        expected += [money(y > 1, y), money(y < 2, y)]
        np.testing.assert_allclose(found.cost[s, 0], expected)
        sure, right = np.maximum(p, 1 - p), (p > 0.5) == (y == 1)
        error = 0.0
        for k in range(15):
            here = (sure >= k / 15) & (sure < (k + 1) / 15 + (k == 14))
            error += abs(sure[here].sum() - right[here].sum()) / len(y)
        assert found.calibration_error_after[s, 0] == pytest.approx(error, abs=1e-3)
    table = boards.decision_table(found).loc["plain"]
    assert table["precision"] == f"{100 * hits / alarms:.1f}"
    assert table["alarms per hit"] == f"{alarms / hits:.1f}"
    counts = boards.confusion_table(found, "plain")
    assert counts.loc["bad", "bad"] == hits
    assert counts.loc["bad", "good"] == rare - hits
    assert counts.loc["good", "bad"] == alarms - hits


def test_averages_of_the_rarest_are_in_the_board(found):
    board = boards.dashboard(found)
    assert list(board.columns) == [*boards.METRICS, "bad", "good"]
    assert (
        board.loc["plain", "alarms per hit"]
        == boards.decision_table(found).loc["plain", "alarms per hit"]
    )
    costs = boards.cost_table(found)
    assert costs.loc["no alarm at all", "likeliest class"].replace(",", "") == (
        f"{found.cost[:, 0, 2].mean():.0f}"
    )


@pytest.mark.parametrize("name", ["balanced", "worst", "test mean", "alarms per hit"])
def test_a_class_may_be_called_like_a_metric(found, name):
    names = {"bad": f"un{name}", "good": name}
    called = features.from_arrays(X, [names[v] for v in np.array(["good", "bad"])[Y]])
    one = pilot(called, n_splits=10)
    board = boards.dashboard(one)
    assert len(board.columns) == 4 + 2 == len(set(board.columns))
    assert f"class {name}" in board.columns
    mean = 100 * one.by_class[:, 0].mean()
    assert board.loc["plain", "balanced"].split()[0] == f"{mean:.1f}"
