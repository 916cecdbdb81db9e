"""What treatments cost and buy."""

from types import SimpleNamespace

import numpy as np
import pytest

from tailwise.data import spurious
from tailwise.spurious import budget

PRICE = {
    "trained image": 0.01,
    "embedded image": 0.002,
    "threshold": 0.1,
    "AFR": 3.0,
    "DFR": 1.5,
}
LEVELS = {
    "ERM": [0.9, 0.8, 0.5, 0.9],
    "ERM, moved threshold": [0.8, 0.5, 0.7, 0.95],
    "AFR": [0.9, 0.8, 0.5, 0.9],
    "DFR": [0.95, 0.85, 0.8, 0.85],
    "group-balanced sampling": [0.8, 0.8, 0.6, 0.9],
    "group DRO": [0.8, 0.8, 0.7, 0.5],
    "balanced data": [0.9, 0.9, 0.9, 0.9],
}


def runs():
    def report(level, shift):
        per_group = np.array(level) + shift
        accuracy = SimpleNamespace(
            per_group=per_group, accuracy_test_mean=0.6, accuracy_train_prior=0.7
        )
        return SimpleNamespace(accuracy=accuracy, worst=per_group.min())

    return [
        SimpleNamespace(
            reports={name: report(level, shift) for name, level in LEVELS.items()},
            sparsity=None,
        )
        for shift in (-0.01, 0.01)
    ]


def splits():
    return SimpleNamespace(
        train=range(1000), val=range(200), hold=range(100), world=spurious.BIRDS
    )


def test_a_bill_counts_labels_time_and_who_pays():
    found = budget.bill(runs(), splits(), PRICE, epochs=3, n_tried=5)
    assert list(found.index) == list(LEVELS)
    assert found["group labels"].tolist() == [0, 200, 200, 200, 1000, 1200, 1000]
    # 3 · 1000 · 0.01 = 30; 200 · 0.002 = 0.4 and so on.
    assert found["CPU s"].tolist() == [
        *("30.0", "0.5", "3.6", "3.9"),
        *("30.0", "180.0", "30.0"),
    ]
    assert found["worst group"].tolist() == ["50", "50", "50", "80", "60", "50", "90"]
    names = spurious.BIRDS.groups
    assert found["falls most"].tolist() == [
        "nobody",
        f"{names[1]} -30",
        "nobody",
        f"{names[3]} -5",
        f"{names[0]} -10",
        f"{names[3]} -40",
        "nobody",
    ]


def test_monitoring_is_an_audit_of_the_worst_group():
    group = np.repeat([0, 1, 3], [180, 16, 4])
    found = budget.monitoring(
        runs(), SimpleNamespace(train=SimpleNamespace(group=group)), "group DRO"
    )
    need, look = budget.audit(0.5, 4 / 200)
    assert f"{need} labelled" in found
    assert f"about {look:,}" in found


def test_seconds_are_those_of_the_processor():
    def work():
        np.linalg.svd(np.random.default_rng(0).normal(size=(200, 200)))

    assert 0 < budget.cpu_seconds(work) < 60
    assert budget.cpu_seconds(lambda: None) < 0.1


@pytest.mark.parametrize(("accuracy", "share", "half"), [(0.8, 0.02, 0.05)])
def test_an_audit_has_the_interval_it_promises(accuracy, share, half):
    n, looked_at = budget.audit(accuracy, share, half=half)
    rng = np.random.default_rng(0)
    found = rng.binomial(n, accuracy, 20_000) / n
    # 95 %, up to the steps of a binomial with n near 250.
    assert np.mean(np.abs(found - accuracy) <= half) == pytest.approx(0.95, abs=0.02)
    assert looked_at * share == pytest.approx(n, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accuracy": 1.0}, "accuracy is 1.0"),
        ({"share": 0.0}, "share is 0.0"),
        ({"half": -0.1}, "half is -0.1"),
    ],
)
def test_an_audit_needs_shares(arguments, message):
    given = {"accuracy": 0.9, "share": 0.1, "half": 0.05} | arguments
    with pytest.raises(ValueError, match=message):
        budget.audit(given["accuracy"], given["share"], half=given["half"])
