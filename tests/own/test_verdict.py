"""The answer: intervals that cover, and a decision that follows the rarest."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from tailwise.own.verdict import dashboard, gain_table, gains, interval, verdict


def test_an_interval_is_the_corrected_t_interval():
    values = np.random.default_rng(2).normal(size=(12, 3))
    by_hand = student.ppf(0.975, 11) * np.sqrt(values.var(0, ddof=1) * (1 / 12 + 0.25))
    np.testing.assert_allclose(interval(values, 0.25).half, by_hand)
    wider = interval(values, 0.25, n_compared=5).half
    assert (wider > by_hand).all()
    still = interval(np.zeros((12, 2)), 0.25, samples=[30, 60])
    np.testing.assert_allclose(still.half, [0.1, 0.05])


def test_the_interval_covers_when_heads_are_equal():
    # Two heads that guess: the true difference is 0, and an interval that ignored
    # that splits overlap would miss it far more often than once in twenty.
    rng, n, misses = np.random.default_rng(3), 60, 0
    for _ in range(400):
        difference = rng.choice([-1, 0, 1], size=n, p=[0.25, 0.5, 0.25])
        tests = [rng.permutation(n)[: n // 5] for _ in range(20)]
        e = interval([difference[rows].mean() for rows in tests], 0.25)
        misses += abs(e.mean) > e.half
    # 20 of 400 are expected, with a standard error below 4.4.
    assert misses <= 20 + 3 * 4.4


def staged(found, gain, price=0.0, spread=1e-3):
    """A pilot whose other heads gain and pay the same everywhere, but for noise."""
    rng = np.random.default_rng(4)
    by_cell = np.repeat(found.by_cell[:, :1], len(found.heads), 1)
    noise = spread * rng.normal(size=by_cell[:, 1:].shape)
    by_cell[:, 1:] += gain + noise - noise.mean()
    mean = np.repeat(found.mean[:, :1], len(found.heads), 1)
    noise = spread * rng.normal(size=mean[:, 1:].shape)
    mean[:, 1:] -= price + noise - noise.mean()
    return replace(found, by_cell=by_cell, mean=mean)


@pytest.mark.parametrize(
    ("gain", "decision"), [(0.2, "use"), (-0.2, "keep"), (0.0, "keep")]
)
def test_a_verdict_follows_the_objective(found, gain, decision):
    answer = verdict(staged(found, gain), smallest_effect=0.05)
    assert answer.decision == decision
    assert answer.chosen == (answer.head if decision == "use" else "plain")
    assert "5 points" in answer.sentence or "no better" in answer.sentence
    assert "crack, night" in answer.sentence
    assert ("rests on 10 splits" in answer.sentence) == (decision == "use")


@pytest.mark.parametrize(
    ("price", "accept", "decision", "says"),
    [
        (0.02, 0.05, "use", "within the price you accepted"),
        (0.08, 0.05, "keep", "more than the price you accepted"),
        (0.08, 0.1, "use", "within the price"),
        (0.0499, 0.05, "undecided", "the interval covers the price"),
    ],
)
def test_use_needs_a_price_that_was_accepted(found, price, accept, decision, says):
    one = staged(found, 0.2, price)
    answer = verdict(one, accept=accept)
    assert (answer.decision, says in answer.sentence) == (decision, True)
    few = verdict(one, accept=accept, max_alarms=1.0)
    assert few.decision == "keep"
    assert "1 alarms per hit" in few.sentence


def test_a_wide_interval_is_undecided(found):
    by_cell = np.repeat(found.by_cell[:, :1], len(found.heads), 1)
    by_cell[:, 1:] += np.tile([0.3, -0.2], 5)[:, None, None]
    one = replace(staged(found, 0.0), by_cell=by_cell)
    assert verdict(one).decision == "undecided"


@pytest.mark.parametrize("objective", ["balanced", "worst"])
def test_a_coin_gains_nothing(found, objective):
    # The plain head says always the common class; the others toss a coin.
    by_cell = np.zeros_like(found.by_cell)
    common = [k for k, name in enumerate(found.cells) if name.startswith("fine")]
    by_cell[:, 0, common] = 1
    noise = np.random.default_rng(5).normal(size=by_cell[:, 1:].shape)
    by_cell[:, 1:] = 0.5 + 0.03 * noise
    one = replace(staged(found, 0.0), by_cell=by_cell, objective=objective)
    answer = verdict(one)
    assert answer.decision != "use"
    assert (one.by_cell[:, 1:] - one.by_cell[:, :1]).min(-1).mean() < -0.3


def test_tables_have_a_row_for_each_head(found):
    assert list(dashboard(found).index) == list(found.heads)
    assert list(gain_table(found).columns) == list(found.cells)
    assert list(gain_table(found, "class").columns) == ["crack", "fine"]
    with pytest.raises(ValueError, match="by is 'group'"):
        gains(found, "group")
    for ask in ({"smallest_effect": 2}, {"accept": 2}, {"max_alarms": 0.5}):
        with pytest.raises(ValueError, match=f"{[*ask][0]} is "):
            verdict(found, **ask)


def test_without_an_error_no_average_is_more_certain_than_its_samples(found):
    whole = dict(by_cell=np.ones_like(found.by_cell), mean=np.ones_like(found.mean))
    perfect = dashboard(replace(found, **whole)).loc["plain"]
    size = np.bincount(found.data.cells()[0])
    assert perfect["worst"] == f"100.0 ± {300 / size.min():.1f}"
    assert perfect["balanced"] == f"100.0 ± {(300 / size).mean():.1f}"
    assert perfect["test mean"] == f"100.0 ± {300 / size.sum():.1f}"
