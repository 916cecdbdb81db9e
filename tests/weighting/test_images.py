"""Frozen features: sampling, rules and their accuracies, on a tiny made-up pair."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tailwise import profiles
from tailwise.methods.optimal_weight import equal_error_ratio
from tailwise.methods.solvers import leave_one_out_scores
from tailwise.methods.weighted import (
    balancing_threshold,
    downsampled_rows,
    effective_ratio,
)
from tailwise.weighting.images import (
    FrozenPair,
    candidate_ratios,
    class_accuracies,
    compare_rules,
    frozen_pair,
    resample,
)

D, PRIOR, RIDGE = 6, 0.2, 0.05


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair() -> FrozenPair:
    """Gaussian features of two made-up classes."""
    g = generator(1)
    sets = [
        torch.randn(m, D, generator=g).double() + sign
        for m, sign in ((60, 0.5), (200, -0.5), (80, 0.5), (90, -0.5))
    ]
    return FrozenPair(("rare", "common"), tuple(sets[:2]), tuple(sets[2:]), (0.5, 0.9))


def compare(pair, n=50, n_resamples=3, n_draws=5, **more):
    return compare_rules(
        pair,
        n,
        RIDGE,
        n_resamples=n_resamples,
        grid=torch.tensor([1.0, 4.0, 9.0]),
        generator=generator(),
        n_draws=n_draws,
        **more,
    )


def test_without_draws_all_other_rules_stay(pair):
    whole, less = compare(pair), compare(pair, n_draws=0)
    left_out = ["one downsample", "5 downsamples"]
    assert list(whole.accuracy) == [*less.accuracy, *left_out]
    for rule, found in less.accuracy.items():
        assert torch.equal(found.nan_to_num(-1), whole.accuracy[rule].nan_to_num(-1))
    assert torch.equal(less.sweep, whole.sweep)


# Sampling


@pytest.mark.parametrize(
    ("n", "prior", "m"), [(50, 0.2, 10), (33, 0.1, 3), (90, 0.5, 45)]
)
def test_a_resample_has_exact_counts_and_no_image_twice(pair, n, prior, m):
    X, y = resample(pair, n, 8, prior=prior, generator=generator())
    assert X.shape == (8, n, D)
    assert y.tolist() == [[1.0] * m + [-1.0] * (n - m)] * 8
    pools = [{tuple(row) for row in pool.tolist()} for pool in pair.pool]
    drawn = []
    for sample in X:
        rows = [tuple(row) for row in sample.tolist()]
        assert len(set(rows)) == n
        assert set(rows[:m]) <= pools[0]
        assert set(rows[m:]) <= pools[1]
        drawn.append(frozenset(rows))
    assert len(set(drawn)) == 8
    again, _ = resample(pair, n, 8, prior=prior, generator=generator())
    assert torch.equal(X, again)


def test_the_whole_pool_may_be_drawn(pair):
    X, _ = resample(pair, 260, 1, prior=60 / 260, generator=generator())
    assert {tuple(x) for x in X[0].tolist()} == {
        tuple(x) for pool in pair.pool for x in pool.tolist()
    }


@pytest.mark.parametrize(
    ("n", "prior", "message"),
    [
        (310, 0.2, "62 × rare asked for, the pool has 60"),
        (260, 0.2, "208 × common asked for, the pool has 200"),
    ],
)
def test_a_pool_that_is_too_small_is_named(pair, n, prior, message):
    with pytest.raises(ValueError, match=message):
        resample(pair, n, 1, prior=prior, generator=generator())


# Rules


def accuracies(pair, coef, intercept):
    """Accuracy of one head on each class, by counting."""
    scores = [features.numpy() @ coef + intercept for features in pair.test]
    return [np.mean(scores[0] > 0), np.mean(scores[1] < 0)]


def refit(X, y, ratio, ridge=RIDGE):
    model = Ridge(alpha=len(y) * ridge)
    model.fit(X, y, sample_weight=np.where(y > 0, ratio, 1.0))
    return model.coef_, model.intercept_


def test_accuracies_are_counted_per_class(pair):
    coef = torch.randn(2, 3, D, generator=generator()).double()
    intercept = torch.randn(2, 3, generator=generator()).double()
    found = class_accuracies(coef, intercept, pair.test)
    assert found.shape == (2, 2, 3)
    for i, j in np.ndindex(2, 3):
        by_hand = accuracies(pair, coef[i, j].numpy(), intercept[i, j].item())
        assert found[:, i, j].tolist() == by_hand


def test_every_rule_is_a_refit(pair):
    result = compare(pair)
    g = generator()
    X, y = resample(pair, 50, 3, prior=PRIOR, generator=g)
    flat = torch.ones_like(y)
    thresholds = balancing_threshold(leave_one_out_scores(X, y, flat, RIDGE), y)
    for s in range(3):
        data = X[s].numpy(), y[s].numpy()
        expected = {
            rule: accuracies(pair, *refit(*data, ratio[s].item()))
            for rule, ratio in result.ratio.items()
        }
        coef, intercept = refit(*data, 1.0)
        moved = intercept - thresholds[s].item()
        expected["threshold shift"] = accuracies(pair, coef, moved)
        heads = [
            refit(data[0][rows], data[1][rows], 1.0)
            for rows in downsampled_rows(y[s], 5, g).numpy()
        ]
        mean = (np.mean(part, axis=0) for part in zip(*heads))
        expected["one downsample"] = accuracies(pair, *heads[0])
        expected["5 downsamples"] = accuracies(pair, *mean)
        assert {k: v[:, s].tolist() for k, v in result.accuracy.items()} == expected
        for r, ratio in enumerate(result.grid.tolist()):
            by_hand = accuracies(pair, *refit(*data, ratio))
            assert result.sweep[:, s, r].tolist() == by_hand
        assert result.worst("priors")[s].item() == min(expected["priors"])


def test_rules_choose_the_ratios_of_the_formulas(pair):
    X, y = resample(pair, 50, 4, prior=PRIOR, generator=generator())
    found = candidate_ratios(X, PRIOR, RIDGE)
    ambient = equal_error_ratio(PRIOR, D / 50)
    # One rounding of each operation.
    np.testing.assert_allclose(found["unweighted"], 1)
    np.testing.assert_allclose(found["priors"], 4)
    np.testing.assert_allclose(found["ambient d"], ambient, rtol=1e-12)
    for rule in ("PCA 99 %", "participation", "noise edge"):
        assert (found[rule] >= 4).all()
        assert (found[rule] <= ambient * (1 + 1e-12)).all()
    assert torch.equal(found["effective dof"], effective_ratio(X, y, RIDGE))


def test_a_rule_outside_its_domain_has_no_accuracy(pair):
    result = compare(pair, n=15)  # 6 / 15 features per sample, the limit is 0.4
    assert result.ratio["ambient d"].isnan().all()
    assert result.accuracy["ambient d"].isnan().all()
    assert result.worst("ambient d").isnan().all()
    for rule in ("unweighted", "priors", "threshold shift", "one downsample"):
        assert result.accuracy[rule].isfinite().all()


# The network


def test_one_epoch_gives_a_frozen_pair():
    profile = profiles.current("laptop")
    state = torch.random.get_rng_state()
    pair = frozen_pair("shirt", "T-shirt", profile, seed=3, epochs=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert pair.names == ("shirt", "T-shirt")
    # 1,500 images of each class, less 750 // 4 and 750 for training.
    assert [len(features) for features in pair.pool] == [1500 - 187, 750]
    assert [len(features) for features in pair.test] == [500, 500]
    assert all(0 <= accuracy <= 1 for accuracy in pair.own_accuracy)
    as_trained = torch.cat([pair.pool[0][: 750 // 4], pair.pool[1]])
    assert as_trained.dtype == torch.float64
    # Sums of 937 terms.
    np.testing.assert_allclose(as_trained.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(as_trained.std(0), 1, rtol=1e-10)
    again = frozen_pair("shirt", "T-shirt", profile, seed=3, epochs=1)
    for one, two in zip((*pair.pool, *pair.test), (*again.pool, *again.test)):
        assert torch.equal(one, two)


@pytest.mark.parametrize("names", [("shirt", "shoe"), ("shoe", "shirt")])
def test_an_unknown_class_is_named(names):
    with pytest.raises(ValueError, match="unknown class 'shoe': .*'ankle boot'"):
        frozen_pair(*names, profiles.current("laptop"))
