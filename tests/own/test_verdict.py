"""The answer: intervals that cover, and a decision that follows the rarest."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from tailwise.own.pilot import Pilot
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


@pytest.mark.parametrize(
    ("gain", "decision"), [(0.2, "use"), (-0.2, "keep"), (0.0, "keep")]
)
def test_a_verdict_follows_the_rarest(found, gain, decision):
    by_cell = np.repeat(found.by_cell[:, :1], len(found.heads), 1)
    noise = 1e-3 * np.random.default_rng(4).normal(size=by_cell[:, 1:].shape)
    by_cell[:, 1:] += gain + noise - noise.mean()
    staged = Pilot(**{**vars(found), "by_cell": by_cell})
    answer = verdict(staged, smallest_effect=0.05)
    assert answer.decision == decision
    assert answer.chosen == (answer.head if decision == "use" else "plain")
    assert "5 points" in answer.sentence or "no better" in answer.sentence
    assert "crack, night" in answer.sentence
    assert ("rests on 10 splits" in answer.sentence) == (decision == "use")


def test_a_wide_interval_is_undecided(found):
    by_cell = found.by_cell.copy()
    swing = np.tile([0.3, -0.2], 5)[:, None, None]
    by_cell[:, 1:] = by_cell[:, :1] + swing
    staged = Pilot(**{**vars(found), "by_cell": by_cell})
    assert verdict(staged).decision == "undecided"


def test_tables_have_a_row_for_each_head(found):
    assert list(dashboard(found).index) == list(found.heads)
    assert list(gain_table(found).columns) == list(found.cells)
    assert list(gain_table(found, "class").columns) == ["crack", "fine"]
    with pytest.raises(ValueError, match="by is 'group'"):
        gains(found, "group")
    with pytest.raises(ValueError, match="smallest_effect is 2"):
        verdict(found, smallest_effect=2)


def test_without_an_error_no_average_is_more_certain_than_its_samples(found):
    whole = dict(by_cell=np.ones_like(found.by_cell), mean=np.ones_like(found.mean))
    perfect = dashboard(replace(found, **whole)).loc["plain"]
    size = np.bincount(found.data.cells()[0])
    assert perfect["worst"] == f"100.0 ± {300 / size.min():.1f}"
    assert perfect["balanced"] == f"100.0 ± {(300 / size).mean():.1f}"
    assert perfect["test mean"] == f"100.0 ± {300 / size.sum():.1f}"
