"""Heads on their way: AdamW as torch has it, and what a stopped head needs."""

import math

import pytest
import torch

from tailwise.methods.solvers import solve_heads, solve_ratio_heads
from tailwise.weighting.descent import SolverRun, descend_heads, solver_run
from tailwise.weighting.images import FrozenPair

RATIOS = torch.tensor([1.0, 5.0], dtype=torch.float64)


@pytest.fixture
def samples():
    g = torch.Generator().manual_seed(0)
    y = torch.tensor([1.0] * 6 + [-1.0] * 14, dtype=torch.float64).expand(3, 20)
    X = torch.randn(3, 20, 4, generator=g).double() + 0.7 * y.unsqueeze(-1)
    return X, y


def test_steps_are_those_of_torch_one_head_at_a_time(samples):
    X, y = samples
    found = descend_heads(X, y, RATIOS, (3, 40), lr=0.05)
    for s in range(3):
        for r, ratio in enumerate(RATIOS.tolist()):
            layer = torch.nn.Linear(4, 1).double()
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            weight = torch.where(y[s] > 0, ratio, 1.0)
            optimizer = torch.optim.AdamW(layer.parameters(), 0.05, weight_decay=0)
            for step in range(1, 41):
                off = layer(X[s])[:, 0] - y[s]
                loss = (weight * off**2).sum() / weight.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step in found:
                    coef, at = (part[s, r] for part in found[step])
                    torch.testing.assert_close(coef, layer.weight.detach()[0])
                    torch.testing.assert_close(at, layer.bias.detach()[0])


def test_with_patience_it_arrives_at_least_squares(samples):
    found = descend_heads(*samples, RATIOS, (6000,), lr=1e-2)[6000]
    for a, b in zip(found, solve_ratio_heads(*samples, RATIOS)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", [(), (0, 5), (5, 3), (2, 2)])
def test_other_steps_are_refused(samples, steps):
    with pytest.raises(ValueError, match="steps is"):
        descend_heads(*samples, RATIOS, steps)


def test_a_closed_wide_head_has_no_ratio_and_a_stopped_one_has():
    g = torch.Generator().manual_seed(1)
    sets = [
        torch.randn(m, 40, generator=g).double() + sign * 0.25
        for m, sign in ((60, 1), (200, -1), (400, 1), (400, -1))
    ]
    pair = FrozenPair(("a", "b"), tuple(sets[:2]), tuple(sets[2:]), (0.5, 0.9))
    size = dict(n_resamples=8, generator=g, steps=(10, 100))
    run = solver_run([pair, pair], **size)
    assert all(map(math.isnan, run.ratios["closed"]))
    assert list(run.table.index) == [10, 100, "closed"]
    assert len(set(run.table.loc["closed"][1:])) == 1  # weights are inert
    assert run.growth(100, 10).mean > 0
    # 4 samples of 20 are rare: the closed head is that of equal weights
    X, y = torch.randn(1, 20, 40, generator=g).double(), torch.ones(1, 20).double()
    y[:, 4:] = -1
    equal = solve_heads(X, y, torch.ones_like(y))
    torch.testing.assert_close(solve_ratio_heads(X, y, RATIOS)[0][:, 1], equal[0])


def test_growth_is_a_mean_of_logs():
    run = SolverRun({30: [2.0, 3.0, 5.0], 300: [4.0, 24.0, math.nan]}, None)
    e = run.growth(300, 30)
    assert e.mean == pytest.approx((math.log(2) + math.log(8)) / 2)
    assert e.n == 2
