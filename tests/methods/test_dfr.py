"""Deep feature reweighting and what is compared with it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.nn import functional as F

from tailwise.methods import afr
from tailwise.methods.afr import AutomaticFeatureReweighting
from tailwise.methods.dfr import (
    C_GRID,
    VARIANTS,
    DeepFeatureReweighting,
    Heads,
    averaged_zero_fraction,
    balanced_rows,
    group_rows,
    halves,
    unit_halves,
    zero_fraction,
)
from tailwise.methods.linear_head import threshold_shift, threshold_today
from tailwise.metrics import group_accuracies

TIGHT = 1e-8
# The scripts' penalty="l1", which scikit-learn spells otherwise since 1.8.
OLD = LogisticRegression().get_params().get("penalty") == "l2"
L1_SPELLING = {"penalty": "l1"} if OLD else {"l1_ratio": 1}


def world(counts=(140, 60, 40, 120), d=12, seed=0, shift=0.0):
    """Features with a core and a nuisance direction; groups 2 y + a, shuffled."""
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.repeat(np.arange(4), counts))
    X = rng.normal(size=(len(g), d)) * np.linspace(0.5, 3, d) + shift
    X[:, 0] += 0.8 * (g // 2)
    X[:, 1] += 1.5 * (g % 2)
    return X, g // 2, g


X, Y, G = world()
X_TRAIN = world((300, 20, 10, 150), seed=1, shift=0.3)[0]


def worst_group(y, y_hat, groups):
    return group_accuracies(y, y_hat, groups).accuracy_worst_group


# The official procedure


def official(X, y, g, X_scale, n_resamples, seed, tol, draw_halves=None):
    """The scripts' steps on integer groups, written out; NumPy's old shuffles.

    `draw_halves(g, stream)` replaces the scripts' random half of all rows.
    """
    stream = np.random.RandomState(seed)

    def fit(x, y, c):
        # The scripts' fits draw their seeds from NumPy's global stream.
        kind = dict(solver="liblinear", tol=tol, max_iter=5000, random_state=stream)
        return LogisticRegression(C=c, **L1_SPELLING, **kind).fit(x, y)

    def subset(g):
        members = [np.where(g == k)[0] for k in range(g.max() + 1)]
        for rows in members:
            stream.shuffle(rows)
        size = min(map(len, members))
        return np.concatenate([rows[:size] for rows in members])

    order = np.arange(len(y))
    stream.shuffle(order)
    first, second = order[: len(y) // 2], order[len(y) // 2 :]
    if draw_halves is not None:
        stream = np.random.RandomState(seed)
        first, second = draw_halves(g, stream)
    rows = second[subset(g[second])]
    scale = StandardScaler().fit(X[rows])
    worst = []
    for c in [1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01]:
        right = fit(scale.transform(X[rows]), y[rows], c)
        right = right.predict(scale.transform(X[first])) == y[first]
        worst.append((min(right[g[first] == k].mean() for k in range(4)), c))
    c = worst[int(np.argmax([w for w, _ in worst]))][1]
    scale, coefs, intercepts = StandardScaler().fit(X_scale), [], []
    for _ in range(n_resamples):
        rows = subset(g)
        model = fit(scale.transform(X[rows]), y[rows], c)
        coefs.append(model.coef_)
        intercepts.append(model.intercept_)
    mean = np.mean(coefs, axis=0), np.mean(intercepts, axis=0)
    scores = scale.transform(X) @ mean[0][0] + mean[1]
    return c, [w for w, _ in worst], *mean, scores


def halves_by_the_words(g, stream):
    """Half of each group scores; of an odd group the larger part is fitted."""
    first, second = [], []
    for k in range(4):
        rows = list(stream.permutation([i for i in range(len(g)) if g[i] == k]))
        first += rows[: len(rows) // 2]
        second += rows[len(rows) // 2 :]
    return np.array(first), np.array(second)


# As published, and with halves drawn within the groups, which is ours.
@pytest.mark.parametrize("draw_halves", [None, halves_by_the_words])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_the_official_procedure(name, seed, draw_halves):
    X, y, g = world(seed=seed + 10)
    options = VARIANTS[name] | ({"split": "groups"} if draw_halves else {})
    head = DeepFeatureReweighting(**options, random_state=seed, tol=TIGHT)
    head.fit(X, y, groups=g, X_reference=X_TRAIN)
    X_scale = X_TRAIN if name == "kirichenko2023" else X
    resamples = VARIANTS[name]["n_resamples"]
    C, worst, coef, intercept, scores = official(
        X, y, g, X_scale, resamples, seed, TIGHT, draw_halves
    )
    assert C == head.C_
    np.testing.assert_array_equal(worst, head.scores_)
    # Both take the same steps; what remains is rounding.
    close = dict(rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(head.heads_.coef.mean(0), coef[0], **close)
    np.testing.assert_allclose(head.heads_.intercept.mean(), intercept[0], **close)
    np.testing.assert_allclose(head.decision_function(X), scores, **close)


@pytest.mark.parametrize("C", [1.0, 0.1, 0.02])
def test_each_head_is_an_optimum_with_a_penalised_intercept(C):
    # With equal groups every resample is the whole set, in some order.
    X, y, g = world((50, 50, 50, 50), shift=1.0)
    keep = g != 1  # otherwise the classes balance and no intercept is needed
    X, y, g = X[keep], y[keep], g[keep]
    head = DeepFeatureReweighting([C], 3, random_state=0, tol=TIGHT)
    head.fit(X, y, groups=g)
    Z = np.column_stack([head.scaler_.transform(X), np.ones(len(X))])
    sign = 2 * y - 1
    for coef, intercept in zip(head.heads_.coef, head.heads_.intercept):
        theta = np.append(coef, intercept)
        gradient = -C * (sign / (1 + np.exp(sign * (Z @ theta)))) @ Z
        # The subgradient of |theta_j| is its sign, or anything in [-1, 1] at zero.
        # 1e-5: tol is relative to the gradient at the start, about 100.
        active = theta != 0
        np.testing.assert_allclose(gradient[active], -np.sign(theta[active]), atol=1e-5)
        assert (np.abs(gradient[~active]) <= 1 + 1e-5).all()


def test_ties_go_to_the_first_C():
    head = DeepFeatureReweighting([0.3, 0.3, 1e-6, 0.3], 1, random_state=0)
    head.fit(X, Y, groups=G)
    assert head.scores_[0] > head.scores_[2]
    assert head.C_ == 0.3
    # A head of zeros predicts one class: the worst group is all wrong.
    assert DeepFeatureReweighting([1e-6, 1e-7], 1).fit(X, Y, groups=G).C_ == 1e-6


def test_the_head_is_the_mean_of_the_heads_in_raw_units():
    head = DeepFeatureReweighting(random_state=0).fit(
        X, Y, groups=G, X_reference=X_TRAIN
    )
    assert head.heads_.coef.shape == (20, 12)
    assert head.heads_.intercept.shape == (20,)
    assert head.coef_.shape == (1, 12)
    np.testing.assert_allclose(head.scaler_.mean_, X_TRAIN.mean(0))
    Z = (X - X_TRAIN.mean(0)) / X_TRAIN.std(0)
    single = Z @ head.heads_.coef.T + head.heads_.intercept  # [n, R]
    raw = (X @ head.coef_.T + head.intercept_)[:, 0]
    np.testing.assert_allclose(raw, single.mean(1), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(head.decision_function(X), raw)
    np.testing.assert_array_equal(head.predict(X), (raw > 0).astype(int))
    share = head.predict_proba(X)
    np.testing.assert_allclose(share[:, 1], 1 / (1 + np.exp(-raw)))
    np.testing.assert_allclose(share.sum(1), 1)


def test_without_a_reference_the_held_out_set_scales():
    both = [
        DeepFeatureReweighting(scaler=scaler, random_state=0).fit(X, Y, groups=G, **kw)
        for scaler, kw in [("reference", {}), ("validation", {"X_reference": X_TRAIN})]
    ]
    np.testing.assert_array_equal(both[0].coef_, both[1].coef_)
    np.testing.assert_allclose(both[0].scaler_.mean_, X.mean(0))


def test_balanced_groups_repair_the_worst_group():
    X, y, g = world((700, 60, 40, 600), seed=3)
    X_test, y_test, g_test = world((2000,) * 4, seed=4)
    erm = LogisticRegression().fit(X, y)
    head = DeepFeatureReweighting(random_state=0).fit(X, y, groups=g)
    by_class = DeepFeatureReweighting(random_state=0).fit(X, y, groups=y)
    worst = {
        name: worst_group(y_test, model.predict(X_test), g_test)
        for name, model in [("erm", erm), ("dfr", head), ("by class", by_class)]
    }
    # The Bayes worst group is Φ(0.8 / 2 / 0.5) = 0.79; 0.1 is over ten standard errors.
    assert worst["dfr"] > worst["erm"] + 0.1
    assert worst["dfr"] > worst["by class"] + 0.1
    assert head.groups_.tolist() == [0, 1, 2, 3]
    assert head.group_counts_.tolist() == [700, 60, 40, 600]
    assert by_class.groups_.tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(3))
def test_neither_names_nor_rows_of_groups_matter(seed):
    X, y, g = world((50, 50, 50, 50), seed=seed)
    model = DeepFeatureReweighting([0.1], 2, random_state=seed, tol=TIGHT)
    first = clone(model).fit(X, y, groups=g)
    names = np.array(["water", "land", "sky", "city"])[g]  # another sorted order
    order = np.random.default_rng(seed).permutation(len(y))
    second = clone(model).fit(X[order], y[order], groups=names[order])
    # Every resample is the whole set, up to liblinear's tolerance.
    np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-6)
    np.testing.assert_allclose(first.intercept_, second.intercept_, atol=1e-6)
    # Names in the same sorted order even draw the same subsets.
    kind = dict(random_state=seed)
    X, y, g = world(seed=seed)
    numbers = DeepFeatureReweighting(**kind).fit(X, y, groups=g)
    words = DeepFeatureReweighting(**kind).fit(X, y, groups=np.array([*"abcd"])[g])
    np.testing.assert_array_equal(numbers.coef_, words.coef_)


def test_the_random_state_decides():
    fits = [
        DeepFeatureReweighting(random_state=s).fit(X, Y, groups=G).heads_.coef
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert (fits[0] != fits[2]).any()
    assert all((fits[0][0] != other).any() for other in fits[0][1:])  # resamples


# Subsets, halves and zeros


@pytest.mark.parametrize("seed", range(20))
def test_halves_share_every_group(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, rng.integers(1, 7))
    groups = rng.permutation(np.repeat(np.arange(len(counts)) * 3 - 4, counts))
    scoring, tuning = halves(groups, rng)
    assert sorted([*scoring, *tuning]) == list(range(len(groups)))
    for k, count in zip(np.unique(groups), counts):
        assert (groups[scoring] == k).sum() == count // 2
        assert (groups[tuning] == k).sum() == count - count // 2


def test_every_row_is_scored_as_often_as_the_others():
    rng, groups = np.random.default_rng(0), np.repeat([0, 1], [30, 6])
    often = np.bincount(
        np.concatenate([halves(groups, rng)[0] for _ in range(1000)]), minlength=36
    )
    # Five standard errors.
    assert (np.abs(often / 1000 - 0.5) < 5 * (0.25 / 1000) ** 0.5).all()


@pytest.mark.parametrize("seed", range(40))
def test_four_samples_of_a_group_are_enough(seed):
    X, y, g = world((60, 40, 4, 50), seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = DeepFeatureReweighting([0.1], 1, random_state=seed)
        head.fit(X, y, groups=g)
    assert head.group_counts_.tolist() == [60, 40, 4, 50]


@pytest.mark.parametrize("seed", range(20))
def test_any_request_gives_equal_counts(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, rng.integers(1, 7))
    groups = rng.permutation(np.repeat(np.arange(len(counts)) * 3 - 4, counts))
    for request in [None, *range(1, counts.min() + 1)]:
        rows = balanced_rows(groups, rng, per_group=request)
        assert len(set(rows.tolist())) == len(rows)
        _, found = np.unique(groups[rows], return_counts=True)
        assert found.tolist() == [request or counts.min()] * len(counts)
    for request in (0, -1, counts.min() + 1):
        with pytest.raises(ValueError, match=f"{request} rows per group"):
            balanced_rows(groups, rng, per_group=request)


def test_every_row_of_a_group_is_drawn_equally_often():
    groups = np.repeat([0, 1], [30, 6])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([balanced_rows(groups, rng) for _ in range(1000)])
    often = np.bincount(drawn, minlength=36) / 1000
    assert (often[30:] == 1).all()
    # Five standard errors, for thirty rows.
    assert (np.abs(often[:30] - 0.2) < 5 * (0.2 * 0.8 / 1000) ** 0.5).all()


def test_no_groups_are_refused():
    with pytest.raises(ValueError, match="0 rows per group"):
        balanced_rows([], np.random.default_rng(0))


def test_zeros_of_the_mean_are_the_zeros_of_all():
    head = DeepFeatureReweighting([0.2], random_state=0).fit(X, Y, groups=G)
    coef = head.heads_.coef
    found = [averaged_zero_fraction(head.heads_, R) for R in range(1, 21)]
    for R, zeros in enumerate(found, 1):
        support = (coef[:R] != 0).any(0)
        assert zeros == pytest.approx(1 - support.mean())
    assert found == sorted(found, reverse=True)
    assert found[0] == zero_fraction(coef[0]) > found[-1] == zero_fraction(head.coef_)
    assert zero_fraction([[0.0, 1e-300], [-0.0, 2.0]]) == 0.5
    cancelling = Heads(np.array([[1.0], [-1.0]]), np.zeros(2))
    assert averaged_zero_fraction(cancelling, 2) == 1
    for R in (0, 21):
        with pytest.raises(ValueError, match=f"R is {R}: expected 1 to 20"):
            averaged_zero_fraction(head.heads_, R)


# One threshold


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    n = 60
    g = rng.permutation(np.arange(n) % 5)
    y = np.where(g == 4, rng.integers(2, size=n), g % 2)  # one group of both classes
    scores = (rng.normal(size=n) + y - 1).round(1)  # with ties
    found = threshold_shift(scores, y, g)
    best = worst_group(y, scores > found, g)
    for cut in np.linspace(-6, 6, 2401):
        worst = worst_group(y, scores > cut, g)
        assert worst <= best
        if worst == best:  # cuts between the same two scores are the same
            between = (scores > cut) != (scores > found)
            assert abs(found) <= abs(cut) + 0.1 or not between.any()


def test_a_good_threshold_stays_and_words_are_classes():
    y = np.array(["bird", "bird", "cat", "cat"])
    assert threshold_shift([-1, -2, 1, 2], y, y) == 0
    assert threshold_shift([1, 2, 3, 4], y, y) == 2.5
    assert (
        threshold_shift([-1, 0], [0, 1], [0, 1]) == -0.5
    )  # a score of zero is not above
    assert threshold_shift([-4, -3, -2, -1], y, y) == -2.5
    assert threshold_shift([3, 4, 1, 2], y, ["one"] * 4) in (0.0, 5.0)


def test_a_threshold_moves_as_little_as_it_can_from_the_one_in_use():
    y = np.array([0, 0, 1, 1])
    assert threshold_shift([0.1, 0.4, 0.6, 0.9], y, y, today=0.55) == 0.55
    scores, groups = [0.1, 0.3, 0.2, 0.9], ["one"] * 4  # 0.15 and 0.6 err once each
    assert threshold_shift(scores, y, groups, today=0.95) == 0.6
    assert threshold_shift(scores, y, groups, today=-0.5) == pytest.approx(0.15)
    assert threshold_today([0.0, 1.0]) == 0.5
    assert threshold_today([0.0, 1.1]) == threshold_today([-0.1, 1.0]) == 0.0


@pytest.mark.parametrize(
    ("scores", "y", "groups", "message"),
    [
        ([0, 1], [0, 1], [0], r"\(2,\), \(2,\), \(1,\)"),
        ([[0, 1]], [[0, 1]], [[0, 1]], r"\(1, 2\)"),
        ([0, np.nan], [0, 1], [0, 1], "scores holds NaN"),
        ([0, 1], [1, 1], [0, 1], "y holds one class"),
        ([0, 1, 2], [0, 1, 2], [0, 1, 2], "Only binary"),
    ],
)
def test_bad_scores_are_named(scores, y, groups, message):
    with pytest.raises(ValueError, match=message):
        threshold_shift(scores, y, groups)


# AFR


def erm_head():
    X, y, _ = world((700, 60, 40, 600), seed=5)
    return LogisticRegression().fit(X, y)


def two_outputs(X, y, old, gamma, ridge, lr, steps):
    """The script's descent with one output a class, as one score; by autograd."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    half = torch.from_numpy(np.append(old.coef_, old.intercept_)) / 2
    start = torch.stack([-half, half])

    def logits(head):
        return X @ head[:, :-1].T + head[:, -1]

    each = torch.exp(-gamma * logits(start).softmax(1)[torch.arange(len(y)), y])
    each = each * (len(y) / torch.bincount(y).double())[y]
    each = each / each.sum()
    head = start.clone().requires_grad_()
    descent = torch.optim.SGD([head], lr=lr)
    for _ in range(steps):
        descent.zero_grad()
        loss = each @ F.cross_entropy(logits(head), y, reduction="none")
        (loss + ridge * (head - start).square().sum()).backward()
        descent.step()
    return (head[1] - head[0]).detach().numpy()


@pytest.mark.parametrize(("gamma", "ridge", "lr"), [(4, 0.3, 0.02), (14, 0.0, 0.2)])
def test_afr_takes_the_steps_of_the_script(gamma, ridge, lr):
    old, steps = erm_head(), 30
    # Looked at before the first step and after the last one alone.
    head = AutomaticFeatureReweighting([gamma], [ridge], [lr], steps, every=steps)
    X_new = np.repeat(X, 2, 0)
    head.fit(X, Y, head=old, selection=(X_new, np.repeat(Y, 2), np.repeat(G, 2)))
    found = two_outputs(X, Y, old, gamma, ridge, lr, steps)
    assert head.step_ in (0, steps)
    theta = np.append(head.coef_, head.intercept_)
    expected = np.append(old.coef_, old.intercept_) if head.step_ == 0 else found
    np.testing.assert_allclose(theta, expected, rtol=1e-9, atol=1e-12)
    worst = [
        worst_group(Y, X @ t[:-1] + t[-1] > 0, G)
        for t in (np.append(old.coef_, old.intercept_), found)
    ]
    # Not by chance: one of the two is better.
    assert worst[0] != worst[1]
    assert head.scores_.item() == max(worst)
    assert head.step_ == (steps if worst[1] > worst[0] else 0)


def test_afr_stays_at_its_head_where_nothing_is_better():
    old = erm_head()
    perfect = (X, old.predict(X))
    head = AutomaticFeatureReweighting([8.0]).fit(X, Y, head=old, selection=perfect)
    np.testing.assert_array_equal(head.coef_, old.coef_)
    np.testing.assert_array_equal(head.intercept_, old.intercept_)
    assert (head.step_, head.scores_.max()) == (0, 1)


def test_afr_without_emphasis_becomes_class_weighted_logistic_regression():
    Z = StandardScaler().fit_transform(X)
    old = SimpleNamespace(coef_=np.zeros((1, 12)), intercept_=np.zeros(1))
    model = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10)
    model.fit(Z, Y)
    # Selected by what the limit predicts, so that the last steps are kept.
    head = AutomaticFeatureReweighting([0.0], [0.0], [1.0], steps=400, every=400)
    head.fit(Z, Y, head=old, selection=(Z, model.predict(Z)))
    assert head.step_ == 400
    np.testing.assert_allclose(head.coef_, model.coef_, atol=1e-4)
    np.testing.assert_allclose(head.intercept_, model.intercept_, atol=1e-4)


def test_afr_weighs_samples_as_its_docstring_says():
    p, target = np.array([0.9, 0.5, 0.1, 0.2]), np.array([0, 0, 0, 1])
    found = afr.afr_weights(p, target, np.array([0.0, 2.0]))
    np.testing.assert_allclose(found[0], [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    raw = np.exp(-2 * p) / [3, 3, 3, 1]
    np.testing.assert_allclose(found[1], raw / raw.sum())


def test_afr_moves_weight_to_the_worst_group_and_selects_by_it():
    X, y, g = world((700, 60, 40, 600), seed=3)
    old = erm_head()
    X_new, y_new, g_new = world((800,) * 4, seed=6)
    head = AutomaticFeatureReweighting((1.0, 4.0), (0.0, 0.1), (0.02, 0.2, 1.0))
    head.fit(X, y, head=old, selection=(X_new, y_new, g_new))
    assert head.scores_.shape == (2, 2, 3)
    best = np.unravel_index(head.scores_.argmax(), head.scores_.shape)
    grids = head.gammas, head.ridges, head.lrs
    chosen = tuple(grid[k] for grid, k in zip(grids, best))
    assert (head.gamma_, head.ridge_, head.lr_) == chosen
    assert head.step_ % head.every == 0
    assert head.scores_.max() == worst_group(y_new, head.predict(X_new), g_new)
    # Four standard errors of the accuracy of one group.
    before = worst_group(y_new, old.predict(X_new), g_new)
    assert head.scores_.max() > before + 4 * (0.25 / 800) ** 0.5
    by_class = clone(head).fit(X, y, head=old, selection=(X_new, y_new))
    assert by_class.scores_.max() == worst_group(y_new, by_class.predict(X_new), y_new)


@pytest.mark.parametrize(
    ("parameters", "fit", "message"),
    [
        ({"gammas": []}, {}, r"gammas is \[\]"),
        ({"gammas": [-1]}, {}, r"gammas is \[-1\]"),
        ({"ridges": [np.nan]}, {}, r"ridges is \[nan\]"),
        ({"lrs": [np.inf]}, {}, r"lrs is \[inf\]"),
        ({"steps": 0}, {}, "steps is 0: expected a whole number"),
        ({"every": 2.5}, {}, "every is 2.5: expected a whole number"),
        ({}, {"selection": (X, Y, G[1:])}, "groups has shape"),
        (
            {},
            {"head": SimpleNamespace(coef_=np.ones((2, 12)), intercept_=np.ones(2))},
            r"head.coef_ has shape \(2, 12\): expected \(1, 12\)",
        ),
    ],
)
def test_bad_input_of_afr_is_named(parameters, fit, message):
    with pytest.raises(ValueError, match=message):
        AutomaticFeatureReweighting(**parameters).fit(X, Y, **fit)


# scikit-learn


@parametrize_with_checks(
    [
        DeepFeatureReweighting(random_state=0),
        AutomaticFeatureReweighting([4.0], [0.1], steps=20),
    ]
)
def test_they_are_scikit_learn_classifiers(estimator, check):
    check(estimator)


def test_it_works_in_a_pipeline_and_as_a_copy():
    pipeline = make_pipeline(MinMaxScaler(), DeepFeatureReweighting(random_state=0))
    words = np.array(["landbird", "waterbird"])[Y]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.fit(X, words, deepfeaturereweighting__groups=G)
    assert set(pipeline.predict(X)) == set(words)
    assert pipeline.score(X, words) > 0.6
    copy = clone(pipeline[-1])
    assert copy.get_params() == {
        "C": C_GRID,
        "n_resamples": 20,
        "scaler": "reference",
        "random_state": 0,
        "tol": 1e-4,
        "split": "groups",
    }
    assert not hasattr(copy, "coef_")


# Bad input


def spoiled(X, value):
    X = X.copy()
    X[0, 0] = value
    return X


@pytest.mark.parametrize(
    ("parameters", "data", "message"),
    [
        ({"C": []}, {}, r"C is \[\]"),
        ({"C": [1.0, 0.0]}, {}, r"C is \[1.0, 0.0\]: expected positive"),
        ({"C": [-1.0]}, {}, r"C is \[-1.0\]"),
        ({"C": [np.inf]}, {}, r"C is \[inf\]"),
        ({"n_resamples": 0}, {}, "n_resamples is 0"),
        ({"n_resamples": 2.5}, {}, "n_resamples is 2.5"),
        ({"scaler": "train"}, {}, "unknown scaler 'train'.*'reference'"),
        ({"split": "classes"}, {}, "unknown split 'classes'.*'groups', 'rows'"),
        ({}, {"groups": G[1:]}, r"groups has shape \(359,\): expected \(360,\)"),
        ({}, {"groups": G[:, None]}, r"groups has shape \(360, 1\)"),
        ({}, {"groups": np.where(G == 3, np.nan, G)}, "groups holds NaN"),
        ({}, {"y": np.ones(360)}, r"y holds one class, \[1.\]"),
        ({}, {"y": np.linspace(0, 1, 360)}, "Unknown label type"),
        ({}, {"y": Y[1:]}, r"\[360, 359\]"),
        ({}, {"X": spoiled(X, np.nan)}, "Input X contains NaN"),
        ({}, {"X": spoiled(X, np.inf)}, "Input X contains infinity"),
        ({}, {"X_reference": spoiled(X, np.nan)}, "Input X_reference contains NaN"),
        ({}, {"X_reference": X[:, 1:]}, r"X_reference has shape \(360, 11\)"),
        (
            {},
            {"expected_groups": range(6)},
            r"expected groups \[4, 5\].*groups that exist.*manufacture.*collect",
        ),
        ({}, {"groups": np.where(np.arange(360) == 7, 9, G)}, "group 9 has 1 sam"),
        ({}, {"groups": np.where(np.arange(360) < 2, 9, G)}, "group 9 has 1 s"),
        (
            {"split": "rows"},
            {"groups": np.where(np.arange(360) < 4, Y, 2)},
            "group . has [01] sam",
        ),
    ],
)
def test_bad_input_is_named(parameters, data, message):
    data = {"X": X, "y": Y, "groups": G, **data}
    model = DeepFeatureReweighting(**parameters, random_state=0)
    with pytest.raises(ValueError, match=message):
        model.fit(data.pop("X"), data.pop("y"), **data)


def test_a_missing_group_has_a_name():
    names = np.array(["benign", "benign+patch", "malignant", "malignant+patch"])
    three = G < 3
    fit = DeepFeatureReweighting(random_state=0).fit
    with pytest.raises(ValueError, match=r"groups \['malignant\+patch'\]"):
        fit(X[three], Y[three], groups=names[G[three]], expected_groups=names)
    assert fit(X[three], Y[three], groups=names[G[three]]).groups_.tolist() == sorted(
        names[:3]
    )
    fit(X, Y, groups=names[G], expected_groups=names)


def test_groups_must_not_hide_a_class():
    y = np.zeros(400, int)
    y[:2] = 1  # two of 200 in a group: most balanced subsets of 20 lack them
    groups = np.repeat([0, 1], [380, 20])
    X = np.random.default_rng(0).normal(size=(400, 3))
    with pytest.raises(ValueError, match="has one class: group by class as well"):
        DeepFeatureReweighting(random_state=0).fit(X, y, groups=groups)


def test_a_group_that_is_not_scored_is_named():
    X, y, g = world((60, 60, 60, 3))
    heard = []
    for seed in range(20):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                head = DeepFeatureReweighting(split="rows", random_state=seed)
                head.fit(X, y, groups=g)
            except ValueError:
                continue
        heard += [str(w.message) for w in caught]
    assert heard
    assert all("no samples of groups [3]" in message for message in heard)


def test_other_features_are_refused():
    head = DeepFeatureReweighting(random_state=0).fit(X, Y, groups=G)
    with pytest.raises(ValueError, match="11 features.*expecting 12"):
        head.predict(X[:, 1:])


# More classes, groups that overlap, units


def three_classes(n=900, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    a = (rng.random(n) < np.where(y == 0, 0.5, 0.15)).astype(int)
    X = rng.normal(size=(n, 6)) + 1.5 * np.eye(6)[y] + 2.0 * a[:, None] * np.eye(6)[4]
    return X, y, 2 * y + a


def test_three_classes_are_one_against_the_others_each():
    X, y, g = three_classes()
    head = DeepFeatureReweighting([0.3], 4, random_state=0, tol=TIGHT)
    head.fit(X, y, groups=g)
    assert head.heads_.coef.shape == (4, 3, 6)
    assert head.groups_.tolist() == [*range(6)]
    stream, Z = np.random.RandomState(0), StandardScaler().fit_transform(X)
    # The stream's draws: halves and a subset with three fits, then four times the same.
    tuning = halves(g, stream)[1]
    balanced_rows(g[tuning], stream)
    fits = []
    for _ in range(3):
        stream.randint(np.iinfo(np.int32).max)
    for _ in range(4):
        rows = balanced_rows(g, stream)
        fits.append(
            [
                LogisticRegression(
                    C=0.3, l1_ratio=1, solver="liblinear", tol=TIGHT, max_iter=5000
                )
                .fit(Z[rows], y[rows] == k)
                .coef_[0]
                for k in range(3)
            ]
        )
        for _ in range(3):
            stream.randint(np.iinfo(np.int32).max)
    np.testing.assert_allclose(head.heads_.coef, fits, atol=1e-3)
    p = head.predict_proba(X)
    assert p.shape == (900, 3)
    np.testing.assert_array_equal(p.argmax(1), head.predict(X))
    scores = X @ head.coef_.T + head.intercept_
    np.testing.assert_allclose(head.decision_function(X), scores)


def test_columns_of_names_are_their_combinations():
    site = np.array(["A", "B"])[G % 2]
    kind = dict(C=[0.1], n_resamples=2, random_state=0)
    joint = np.array([f"{y}, {s}" for y, s in zip(Y, site)])
    one = DeepFeatureReweighting(**kind).fit(X, Y, groups=joint)
    columns = np.stack([Y.astype(str), site], 1)
    two = DeepFeatureReweighting(**kind).fit(X, Y, groups=columns)
    np.testing.assert_array_equal(one.coef_, two.coef_)
    assert two.groups_.tolist() == ["0, A", "0, B", "1, A", "1, B"]


def test_memberships_that_overlap_are_balanced():
    rng = np.random.default_rng(0)
    member = rng.random((len(Y), 3)) < [0.3, 0.2, 0.1]
    head = DeepFeatureReweighting([0.1], 2, random_state=0).fit(X, Y, groups=member)
    counts = dict(zip(head.groups_.tolist(), head.group_counts_.tolist()))
    for c in (0, 1):
        for k in range(3):
            assert counts[f"{c}, column {k}"] == (member[:, k] & (Y == c)).sum()
        assert counts[f"{c}, in no column"] == (~member.any(1) & (Y == c)).sum()
    # A row of two groups is in one half only.
    rows, names = group_rows(member, Y)
    first, second = unit_halves(names, rows, np.random.default_rng(1))
    assert not set(rows[first]) & set(rows[second])
    assert len(first) + len(second) == len(rows)


def test_no_unit_is_in_both_halves():
    rng = np.random.default_rng(2)
    unit = rng.integers(60, size=len(Y))
    for seed in range(5):
        first, second = unit_halves(G, unit, np.random.default_rng(seed))
        assert not set(unit[first]) & set(unit[second])
        assert len(first) + len(second) == len(Y)
        assert set(G[first]) == set(G[second]) == {0, 1, 2, 3}
    kind = dict(C=[0.3, 0.03], n_resamples=1, random_state=0)
    apart = DeepFeatureReweighting(**kind).fit(X, Y, groups=G, units=unit)
    alone = DeepFeatureReweighting(**kind).fit(X, Y, groups=G)
    assert not np.array_equal(apart.scores_, alone.scores_)
    for units, says in ((unit[1:], "units has shape"), ([None] * 360, "units holds")):
        with pytest.raises(ValueError, match=says):
            DeepFeatureReweighting(**kind).fit(X, Y, groups=G, units=units)


def test_groups_reach_it_through_a_grid_search():
    head = DeepFeatureReweighting([0.1], 2, random_state=0)
    grid = {"scaler": ["reference", "validation"]}
    with pytest.warns(UserWarning, match="groups were not given"):
        found = GridSearchCV(head, grid, cv=3).fit(X, Y).best_estimator_
    assert found.groups_.tolist() == [0, 1]
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        head.set_fit_request(groups=True)
        found = GridSearchCV(head, grid, cv=3).fit(X, Y, groups=G).best_estimator_
    assert found.groups_.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.coef_, clone(head).fit(X, Y, groups=G).coef_)


def test_half_precision_is_read():
    half = torch.from_numpy(X).bfloat16()
    one = DeepFeatureReweighting([0.1], 2, random_state=0).fit(half, Y, groups=G)
    two = DeepFeatureReweighting([0.1], 2, random_state=0)
    two.fit(half.float().numpy(), Y, groups=G)
    np.testing.assert_array_equal(one.coef_, two.coef_)
