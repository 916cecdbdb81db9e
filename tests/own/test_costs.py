"""The threshold that costs least, and an objective in money."""

import numpy as np
import pytest

from tailwise.own import boards, features
from tailwise.own.costs import Costs, best_threshold, cost_of
from tailwise.own.pilot import check_objective, class_to_find, pilot
from tailwise.own.verdict import verdict


@pytest.mark.parametrize("miss", [1.0, 7.0, 100.0])
def test_no_threshold_costs_less(miss):
    rng = np.random.default_rng(0)
    price = Costs(miss=miss, false_alarm=2.0)
    for _ in range(20):
        p = rng.random(40).round(1 if rng.random() < 0.5 else 6)
        rare = rng.random(40) < p
        best = best_threshold(p, rare, price)
        tried = [cost_of(p >= t, rare, price) for t in [0, *p, *(p + 1e-9), 1.1]]
        assert cost_of(p >= best, rare, price) == min(tried)


def test_with_right_probabilities_it_is_where_an_alarm_pays():
    rng = np.random.default_rng(1)
    p = rng.random(200_000)
    price = Costs(miss=9, false_alarm=1)
    assert price.threshold == 0.1
    assert best_threshold(p, rng.random(len(p)) < p, price) == pytest.approx(
        0.1, abs=0.02
    )


@pytest.mark.parametrize("name", ["miss", "false_alarm"])
@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
def test_costs_are_positive(name, value):
    with pytest.raises(ValueError, match=f"cost {name} is"):
        Costs(**{"miss": 1.0, name: value})


def drawn(signal, n=1500, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.1).astype(int)
    X = rng.normal(size=(n, 5))
    X[:, 0] += signal * y
    return features.from_arrays(X, np.array(["ok", "fault"])[y])


def test_a_threshold_that_saves_is_used():
    found = pilot(drawn(2.5), n_splits=10, objective="cost", costs=Costs(miss=30))
    answer = verdict(found)
    assert answer.decision == "use"
    assert "it saves" in answer.sentence
    assert "per thousand samples" in answer.sentence
    assert 0 < answer.threshold < 0.3
    m = found.heads.index(answer.head)
    today = found.cost[:, 0, [0, 2, 3]].mean(0).min()
    assert found.cost[:, m, 1].mean() < today
    table = boards.cost_table(found)
    assert "no alarm at all" in table.index
    strict = verdict(found, max_alarms=1.0)
    assert strict.decision == "keep"
    assert "above 1 alarms per hit" in strict.sentence


def test_noise_saves_nothing():
    found = pilot(drawn(0.0), n_splits=10, objective="cost", costs=Costs(miss=30))
    assert verdict(found).decision != "use"


def test_an_objective_in_money_needs_costs():
    with pytest.raises(ValueError, match="say what a miss costs"):
        check_objective("cost")
    data = drawn(1.0)
    assert class_to_find(data, None) == class_to_find(data, "fault") == 0
    assert class_to_find(data, "ok") == 1
    with pytest.raises(ValueError, match="no class 'bad'"):
        class_to_find(data, "bad")
    with pytest.raises(ValueError, match="has no costs"):
        boards.cost_table(pilot(data, n_splits=10))
