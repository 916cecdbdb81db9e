"""The gradient flow against many small steps, and against small batches."""

import pytest
import torch
from torch.nn import functional as F

from tailwise.geometry import seli
from tailwise.geometry.flow import gradient_flow
from tailwise.geometry.ufm import Config

COUNTS = [6, 6, 2, 2]
CONFIGS = [
    Config(),
    Config("cdt", 0.5, tau=0.5, seed=1),
    Config(gamma=-0.5, weight_power=1.0),
]


def stepped(config, rate, time, batch=None):
    """Plain descent with one embedding an example, on all or on batches."""
    n = torch.tensor(COUNTS).double()
    y = torch.arange(4).repeat_interleave(torch.tensor(COUNTS))
    g = torch.Generator().manual_seed(config.seed)
    W, G = config.init * torch.randn(2, 4, 8, generator=g).double()
    H = (G / n.sqrt().unsqueeze(-1))[y].clone()
    delta = (n / n.max()) ** config.gamma
    omega = n**-config.weight_power
    omega = omega * len(y) / omega[y].sum()
    order = torch.Generator().manual_seed(0)
    rows = torch.arange(len(y))
    for _ in range(round(time / rate)):
        if batch:
            rows = torch.randperm(len(y), generator=order)[:batch]
        W, H = W.detach().requires_grad_(), H.detach().requires_grad_()
        scale = delta[y[rows]].unsqueeze(-1) if config.kind == "ldt" else delta
        z = H[rows] @ W.T * scale + config.tau * (n / len(y)).log()
        loss = omega[y[rows]] * F.cross_entropy(z, y[rows], reduction="none")
        slopes = torch.autograd.grad(loss.mean(), (W, H))
        W, H = W - rate * slopes[0], H - rate * slopes[1]
    W, H = W.detach(), H.detach()
    return W, torch.stack([H[y == c].mean(0) for c in range(4)])


@pytest.mark.parametrize("i", range(len(CONFIGS)))
def test_the_flow_is_descent_with_small_steps(i):
    flow = gradient_flow(COUNTS, CONFIGS, [3.0, 40.0], length=0.003)
    for t, time in enumerate((3.0, 40.0)):
        for found, expected in zip((flow.W, flow.H), stepped(CONFIGS[i], 0.02, time)):
            # Both are off by their steps: 0.003 of a length of several, and 0.02 of 40.
            off = (found[i, t] - expected).norm() / expected.norm()
            assert off < 0.02


def test_small_batches_are_close_to_the_flow():
    flow = gradient_flow(COUNTS, CONFIGS[:1], [300.0])
    W, _ = stepped(CONFIGS[0], 0.1, 300.0, batch=4)
    assert seli.gram_error(W @ W.T, flow.W[0, 0] @ flow.W[0, 0].T) < 0.03


def test_shorter_steps_change_little():
    coarse, fine = (
        gradient_flow([50, 50, 5, 5], CONFIGS, [1e3, 1e6], length=length)
        for length in (0.03, 0.01)
    )
    torch.testing.assert_close(coarse.error_w, fine.error_w, rtol=0, atol=0.01)
    torch.testing.assert_close(coarse.error_h, fine.error_h, rtol=0, atol=0.01)


def test_each_member_has_its_own_times():
    both = gradient_flow(COUNTS, CONFIGS[:2], [[2.0, 9.0], [1.0, 90.0]])
    for b, times in enumerate(([2.0, 9.0], [1.0, 90.0])):
        alone = gradient_flow(COUNTS, CONFIGS[b : b + 1], times)
        torch.testing.assert_close(both.W[b], alone.W[0], rtol=1e-6, atol=1e-6)
    limit = seli.predicted_grams(COUNTS, torch.ones(4), "ldt")
    for v, error, gram in zip((both.W, both.H), (both.error_w, both.error_h), limit):
        expected = seli.gram_error(v[0] @ v[0].mT, gram)
        torch.testing.assert_close(error[0], expected, rtol=1e-6, atol=1e-6)


def test_it_goes_to_the_limit_slowly():
    flow = gradient_flow(COUNTS, CONFIGS, [1e2, 1e4, 1e8, 1e16])
    assert (flow.error_w.diff(dim=-1) < 0).all()
    assert flow.error_w[0, -1] < 0.03 < flow.error_w[0, 1]


@pytest.mark.parametrize(
    ("configs", "times", "message"),
    [
        ([Config(ridge=0.1)], [1.0], "a config has a ridge: expected none"),
        ([Config()], [0.0, 1.0], r"times is \[0.0, 1.0\]: expected > 0, rising"),
        ([Config()], [2.0, 1.0], "expected > 0, rising"),
        ([Config()], [float("inf")], "expected > 0, rising"),
        ([], [1.0], "for 0 configs"),
    ],
)
def test_bad_input(configs, times, message):
    with pytest.raises(ValueError, match=message):
        gradient_flow(COUNTS, configs, times)


def test_too_few_steps_are_an_error():
    with pytest.raises(RuntimeError, match="10 steps of 0.03 do not reach"):
        gradient_flow(COUNTS, [Config()], [1e6], max_steps=10)
