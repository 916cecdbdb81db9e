"""The rules that choose weights, and the classifier that uses them."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tailwise import metrics
from tailwise.methods import weighted
from tailwise.methods.solvers import ratio_dof
from tailwise.methods.weighted import (
    WeightedHead,
    balancing_threshold,
    class_weights,
    downsampled_rows,
    effective_ratio,
    equal_error_ratio,
)
from tailwise.metrics import estimate
from tailwise.weighting.simulation import draw, exact_errors

# Rounding through normal equations with a condition number below 1e3.
CLOSE = dict(rtol=1e-8, atol=1e-8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# The public contract


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        (weighted, "equal_error_ratio", "prior, delta"),
        (weighted, "class_errors", "ratio, prior, delta, snr"),
        (weighted, "optimal_ratio", "prior, delta, snr"),
        (weighted, "solve_heads", "X, y, weights, ridge=0.0"),
        (weighted, "effective_dof", "X, weights, ridge"),
        (weighted, "WeightedHead", "ratio='effective', ridge=0.01"),
        (metrics, "group_accuracies", "y, y_hat, groups"),
    ],
)
def test_the_public_contract_holds(module, name, parameters):
    signature = inspect.signature(getattr(module, name)).parameters.values()
    named = [str(p).split(":")[0] for p in signature if p.kind != p.KEYWORD_ONLY]
    defaults = [p.default for p in signature if p.kind != p.KEYWORD_ONLY]
    found = [
        n if d is inspect.Parameter.empty or "=" in n else f"{n}={d!r}"
        for n, d in zip(named, defaults)
    ]
    assert ", ".join(found) == parameters


# Weights of classes


@pytest.mark.parametrize("seed", range(5))
def test_class_weights_make_all_classes_count_alike_on_new_data(seed):
    rng = np.random.default_rng(seed)
    K = int(rng.integers(2, 7))
    priors = rng.dirichlet(np.full(K, 3.0))
    delta = rng.uniform(0.1, 0.95) * K * priors.min()
    weights = class_weights(priors, delta)
    assert weights[priors.argmax()] == 1

    # The equations of the paper's model for K classes: the leverages sum to delta,
    # kappa sum_k p_k v_k = delta, and a class pulls with p_k v_k.
    def pull(kappa):
        return priors * weights / (1 + weights * kappa)

    kappa = np.exp(brentq(lambda x: np.exp(x) * pull(np.exp(x)).sum() - delta, -30, 30))
    np.testing.assert_allclose(pull(kappa), pull(kappa).mean(), rtol=1e-9)


def test_two_classes_get_the_equal_error_ratio():
    rng = np.random.default_rng(0)
    for prior in rng.uniform(0.05, 0.5, 20):
        delta = rng.uniform(0, 0.99) * 2 * prior
        weights = class_weights([prior, 1 - prior], delta)
        assert weights[0] == pytest.approx(equal_error_ratio(prior, delta), rel=1e-12)


@pytest.mark.parametrize(
    ("priors", "delta", "message"),
    [
        ([0.5, 0.6], 0.0, r"priors is \[0.5 0.6\]"),
        ([1.2, -0.2], 0.0, r"priors is \[ 1.2 -0.2\]"),
        ([np.nan, 1.0], 0.0, "priors is .*nan"),
        ([[0.5, 0.5]], 0.0, "priors is"),
        ([0.7, 0.2, 0.1], 0.31, r"delta is 0.31: expected 0 <= delta < 0.3"),
        ([0.7, 0.3], -0.1, "delta is -0.1"),
        ([0.7, 0.3], np.nan, "delta is nan"),
    ],
)
def test_bad_shares_are_named(priors, delta, message):
    with pytest.raises(ValueError, match=message):
        class_weights(priors, delta)


# The ratio by effective degrees of freedom


@pytest.mark.parametrize(
    ("n", "d", "ridge"),
    [(200, 20, 0.0), (100, 30, 0.01), (80, 60, 1.0), (60, 200, 20.0)],
)
def test_the_effective_ratio_is_a_fixed_point(n, d, ridge):
    data = draw(4, n, d, prior=0.25, snr=1.0, generator=generator())
    ratio = effective_ratio(data.X, data.y, ridge)
    dof = ratio_dof(data.X, data.y, ratio[:, None], ridge)[:, 0]
    # The iteration stops at a relative change of 1e-6; its steps shrink.
    again = equal_error_ratio(0.25, dof.numpy() / n)
    np.testing.assert_allclose(again, ratio, rtol=2e-6)
    if ridge == 0:
        np.testing.assert_allclose(ratio, equal_error_ratio(0.25, d / n), rtol=1e-12)


def test_without_an_effective_ratio_it_is_nan():
    both = [
        draw(1, 100, d, prior=0.2, snr=1.0, generator=generator()) for d in (20, 45)
    ]
    padded = torch.cat([both[0].X, torch.zeros(1, 100, 25)], 2)
    X, y = torch.cat([padded, both[1].X]), both[0].y.expand(2, -1)
    assert effective_ratio(X, y, 0.0).isnan().tolist() == [False, True]
    assert effective_ratio(X, y, 0.5).isfinite().all()
    # The limit is twice the smaller class, whichever that is.
    assert effective_ratio(X, -y, 0.0).isnan().tolist() == [False, True]
    assert effective_ratio(X, y, 0.5, max_steps=1).isnan().all()


# Thresholds and subsets


@pytest.mark.parametrize("own", [False, True])
def test_at_the_threshold_gaussian_scores_err_equally(own):
    y = torch.where(torch.arange(40) % 4 == 0, 1.0, -1.0).double()
    scores = torch.randn(3, 40, generator=generator()).double() * (2 + y) + y
    labels = torch.stack([y, y.roll(1), y.roll(2)]) if own else y
    threshold = balancing_threshold(scores, labels)
    for s, t, label in zip(scores, threshold, labels.expand(3, -1)):
        up, down = s[label > 0], s[label < 0]
        # The same distance in standard deviations.
        torch.testing.assert_close(
            (up.mean() - t) / up.std(), (t - down.mean()) / down.std()
        )


@pytest.mark.parametrize("labels", [torch.ones(6), torch.tensor([0.0, 1, 1, 0, 1, 1])])
def test_a_threshold_needs_both_labels(labels):
    with pytest.raises(ValueError, match="y holds"):
        balancing_threshold(torch.zeros(1, 6), labels)


@pytest.mark.parametrize("m", [1, 7, 30])
def test_subsets_are_balanced(m):
    y = torch.ones(60)
    y[torch.randperm(60, generator=generator())[m:]] = -1
    rows = downsampled_rows(y, 400, generator())
    assert rows.shape == (400, 2 * m)
    assert (y[rows].sum(1) == 0).all()
    assert all(len(set(drawn)) == 2 * m for drawn in rows.tolist())
    # Every majority sample is drawn equally often, within five standard errors: there
    # are up to 59 of them.
    share = m / (60 - m)
    often = torch.bincount(rows.flatten(), minlength=60)[y < 0] / 400
    assert ((often - share).abs() <= 5 * (share * (1 - share) / 400) ** 0.5).all()


@pytest.mark.parametrize(("m", "held"), [(0, 0), (6, 6), (10, 10)])
def test_subsets_need_a_smaller_class(m, held):
    y = torch.where(torch.arange(10) < m, 1.0, -1.0)
    with pytest.raises(ValueError, match=f"y holds {held} of 10"):
        downsampled_rows(y, 1, generator())


# The classifier


def features(n=200, d=12, n_classes=2, seed=0, shares=(0.8, 0.2)):
    """Features and integer labels with unequal class shares."""
    return make_classification(
        n,
        d,
        n_informative=6,
        n_redundant=0,
        n_classes=n_classes,
        weights=list(shares),
        flip_y=0,
        random_state=seed,
    )


@parametrize_with_checks([WeightedHead(), WeightedHead("priors", ridge=0.0)])
def test_it_is_a_scikit_learn_classifier(estimator, check):
    with warnings.catch_warnings():
        # Some checks have more features than the rule can correct for.
        warnings.filterwarnings("ignore", message=".*effective features on")
        check(estimator)


@pytest.mark.parametrize("ratio", [1.0, 1, 5.0, 0.2])
@pytest.mark.parametrize("ridge", [0.0, 0.05])
def test_a_number_is_the_weight_of_the_smaller_class(ratio, ridge):
    X, y = features()
    for labels in (y, 1 - y):  # whichever label it has
        head = WeightedHead(ratio=ratio, ridge=ridge).fit(X, labels)
        smaller = np.bincount(labels).argmin()
        weights = np.where(labels == smaller, ratio, 1.0)
        model = Ridge(alpha=len(y) * ridge).fit(X, 2 * labels - 1, weights)
        np.testing.assert_allclose(head.coef_[0], model.coef_, **CLOSE)
        np.testing.assert_allclose(head.intercept_[0], model.intercept_, **CLOSE)
        scores = model.predict(X)
        np.testing.assert_allclose(head.decision_function(X), scores, **CLOSE)
        assert (head.predict(X) == (scores > 0)).all()


def test_rules_give_the_ratios_of_the_formulas():
    X, y = features()
    n, d = X.shape
    prior = y.mean()
    found = {rule: WeightedHead(rule, ridge=0.1).fit(X, y) for rule in weighted.RULES}
    expected = {
        "priors": (1 - prior) / prior,
        "ambient": equal_error_ratio(prior, d / n),
        # Its own degrees of freedom, up to where the iteration stops.
        "effective": equal_error_ratio(prior, found["effective"].effective_dof_ / n),
    }
    for rule, ratio in expected.items():
        assert found[rule].class_weight_[0] == 1
        assert found[rule].class_weight_[1] == pytest.approx(ratio, rel=2e-6)
    signs = torch.from_numpy(2.0 * y - 1)
    batched = effective_ratio(torch.from_numpy(X)[None], signs[None], 0.1).item()
    assert found["effective"].class_weight_[1] == pytest.approx(batched, rel=4e-6)
    without = WeightedHead(ridge=0.0).fit(X, y)
    assert without.effective_dof_ == np.linalg.matrix_rank(X - X.mean(0))


@pytest.mark.parametrize("rule", weighted.RULES)
def test_several_classes_are_one_against_the_rest(rule):
    X, y = features(400, n_classes=4, shares=(0.4, 0.3, 0.2, 0.1))
    head = WeightedHead(rule, ridge=0.02).fit(X, y)
    counts = np.bincount(y)
    delta = {"priors": 0, "ambient": 12 / 400, "effective": head.effective_dof_ / 400}
    weights = class_weights(counts / 400, delta[rule])
    np.testing.assert_allclose(head.class_weight_, weights, rtol=2e-6)
    model = Ridge(alpha=400 * 0.02).fit(X, np.eye(4)[y], head.class_weight_[y])
    np.testing.assert_allclose(head.coef_, model.coef_, **CLOSE)
    np.testing.assert_allclose(head.decision_function(X), model.predict(X), **CLOSE)
    assert (head.predict(X) == model.predict(X).argmax(1)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_may_be_words(n_classes):
    X, y = features(n_classes=n_classes, shares=(0.5, 0.3, 0.2)[:n_classes])
    words = np.array(["shirt", "coat", "bag"])[y]
    head = WeightedHead().fit(X, words)
    assert head.classes_.tolist() == sorted(set(words))
    share = head.predict_proba(X)
    np.testing.assert_allclose(share.sum(1), 1)
    assert (head.predict(X) == head.classes_[share.argmax(1)]).all()
    assert set(head.predict(X)) == set(words)
    assert head.score(X, words) > 1 / n_classes


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_works_in_a_pipeline_and_a_grid_search(n_classes):
    X, y = features(300, n_classes=n_classes, shares=(0.6, 0.25, 0.15)[:n_classes])
    words = np.array(["shirt", "coat", "bag"])[y]
    pipeline = make_pipeline(StandardScaler(), WeightedHead())
    grid = {
        "weightedhead__ratio": list(weighted.RULES),
        "weightedhead__ridge": [1e-3, 1e-1, 10.0],
    }
    search = GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=3)
    search.fit(100 * X, words)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = clone(pipeline).set_params(**search.best_params_).fit(100 * X, words)
    assert (best.predict(100 * X) == search.predict(100 * X)).all()


def test_a_copy_has_the_parameters_and_nothing_else():
    head = WeightedHead(ratio="priors", ridge=0.5).fit(*features())
    copy = clone(head)
    assert copy.get_params() == {"ratio": "priors", "ridge": 0.5}
    assert not hasattr(copy, "coef_")


def test_only_the_corrected_weights_equalise_the_errors():
    n, d, prior, snr, ridge = 250, 100, 0.2, 1.5, 0.2
    gaps = {"priors": [], "effective": []}
    for seed in range(60):
        kind = dict(prior=prior, snr=snr, generator=generator(seed))
        data = draw(1, n, d, **kind)
        for rule, gap in gaps.items():
            head = WeightedHead(rule, ridge).fit(data.X[0], data.y[0])
            coef, intercept = map(torch.from_numpy, (head.coef_, head.intercept_))
            minority, majority = exact_errors(coef, intercept, snr)
            gap.append((minority - majority).item())
    priors, effective = map(estimate, gaps.values())
    # The rule holds for n, d → ∞; 0.01 is of order 1 / d.
    assert abs(effective.mean) < 3 * effective.stderr + 0.01
    assert priors.mean > 3 * priors.stderr + 0.01


@pytest.mark.parametrize(
    ("rule", "n", "d", "n_classes"),
    [("ambient", 60, 40, 2), ("effective", 60, 40, 2), ("ambient", 60, 40, 3)],
)
def test_outside_its_domain_a_rule_says_so_and_uses_the_priors(rule, n, d, n_classes):
    X, y = features(n, d, n_classes, shares=(0.7, 0.2, 0.1)[:n_classes])
    with pytest.warns(UserWarning, match=f"on {n} samples are too many.*using the rat"):
        head = WeightedHead(rule, ridge=0.0).fit(X, y)
    by_priors = WeightedHead("priors", ridge=0.0).fit(X, y)
    np.testing.assert_array_equal(head.class_weight_, by_priors.class_weight_)
    np.testing.assert_array_equal(head.coef_, by_priors.coef_)


DATA_X, DATA_Y = features()


def spoiled(value):
    X = DATA_X.copy()
    X[0, 0] = value
    return X


@pytest.mark.parametrize(
    ("head", "X", "y", "message"),
    [
        (WeightedHead("prior"), DATA_X, DATA_Y, "unknown ratio 'prior'.*'effective'"),
        (WeightedHead(0.0), DATA_X, DATA_Y, "ratio is 0.0"),
        (WeightedHead(-2), DATA_X, DATA_Y, "ratio is -2"),
        (WeightedHead(np.nan), DATA_X, DATA_Y, "ratio is nan"),
        (WeightedHead(np.inf), DATA_X, DATA_Y, "ratio is inf"),
        (
            WeightedHead(2.0),
            DATA_X,
            np.arange(200) % 3,
            "ratio is 2.0 but y has 3",
        ),
        (WeightedHead(ridge=-1), DATA_X, DATA_Y, "ridge is -1"),
        (WeightedHead(ridge=np.nan), DATA_X, DATA_Y, "ridge is nan"),
        (WeightedHead(), DATA_X, np.ones(200), r"y holds one class, \[1.\]"),
        (WeightedHead(), spoiled(np.nan), DATA_Y, "contains NaN"),
        (WeightedHead(), spoiled(np.inf), DATA_Y, "contains infinity"),
        (WeightedHead(), DATA_X[0], DATA_Y, "Expected 2D array, got 1D"),
        (WeightedHead(), DATA_X, DATA_Y[1:], r"\[200, 199\]"),
        (
            WeightedHead(),
            DATA_X,
            np.linspace(0, 1, 200),
            "Unknown label type",
        ),
    ],
)
def test_bad_input_is_named(head, X, y, message):
    with pytest.raises(ValueError, match=message):
        head.fit(X, y)


def test_other_features_are_refused():
    head = WeightedHead().fit(DATA_X, DATA_Y)
    with pytest.raises(ValueError, match="11 features.*expecting 12"):
        head.predict(DATA_X[:, 1:])
