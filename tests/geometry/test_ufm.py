"""The batched model against ordinary training, exact solutions and predicted limits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional as F

from tailwise.geometry import seli, ufm
from tailwise.geometry.ridge import _blocks, _symmetric_basis, ridge_grams
from tailwise.geometry.seli import gram_error, step_counts, temperatures
from tailwise.geometry.ufm import Config, train_ufm

# Rounding, after few enough steps for p - 1 to keep its digits in the ordinary loss.
SAME = {"rtol": 1e-9, "atol": 1e-9}
COUNTS = [6, 3, 2, 1]
OFFSET = [[0, 0.3, -0.2, 0.5], [1, 0, 0.1, 0.2], [0.4, -1, 0, 0], [0, 0.7, -0.3, 0]]
MIXED = [
    Config(lr=0.2),
    Config("cdt", 0.4, lr=0.3, seed=1),
    Config(gamma=-0.5, tau=1.0, lr=0.2),
    Config("cdt", delta=[1.0, 0.5, 0.8, 2.0], weight=[1, 2, 0.5, 3], lr=0.2, seed=2),
    Config(weight_power=1.0, offset=OFFSET, lr=0.2, init=0.3),
    Config(ridge=0.01, lr=0.1, seed=1),
    Config("cdt", -0.3, tau=0.5, lr=0.4, ridge=0.003, normalised=False),
    Config(gamma=0.5, weight_power=0.5, lr=0.3, normalised=False, seed=3),
]


def objective(counts, c: Config, W, H, y):
    """The loss as it is written, with an embedding H [N, d] for each example."""
    counts = torch.tensor(counts, dtype=W.dtype)
    delta = (counts / counts.max()) ** c.gamma
    delta = delta if c.delta is None else torch.tensor(c.delta, dtype=W.dtype)
    omega = counts**-c.weight_power
    omega = omega * len(y) / omega[y].sum()
    omega = omega if c.weight is None else torch.tensor(c.weight, dtype=W.dtype)
    logits = H @ W.T * (delta[y].unsqueeze(-1) if c.kind == "ldt" else delta)
    logits = logits + c.tau * (counts / len(y)).log()
    if c.offset is not None:
        logits = logits + torch.tensor(c.offset, dtype=W.dtype).T[y]
    loss = (omega[y] * F.cross_entropy(logits, y, reduction="none")).mean()
    return loss, loss + c.ridge / 2 * (W.square().sum() + H.square().sum())


def plain_loop(counts, c: Config, d: int, steps: int, decay: float = 1.0):
    """One ordinary run on all examples."""
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    generator = torch.Generator().manual_seed(c.seed)
    W, G = c.init * torch.randn(2, len(counts), d, generator=generator).double()
    H = (G / torch.tensor(counts).double().sqrt().unsqueeze(-1))[y]
    for step in range(steps):
        W, H = W.detach().requires_grad_(), H.detach().requires_grad_()
        slopes = torch.autograd.grad(objective(counts, c, W, H, y)[1], (W, H))
        length = torch.cat([g.flatten() for g in slopes]).norm() if c.normalised else 1
        rate = c.lr * decay ** (step / (steps - 1)) / length
        W, H = W - rate * slopes[0], H - rate * slopes[1]
    W, H = W.detach(), H.detach()
    return W, H, y, objective(counts, c, W, H, y)[0].item()


@pytest.mark.parametrize("member", range(len(MIXED)))
def test_members_equal_a_plain_loop(member):
    trained = train_ufm(COUNTS, MIXED, d=5, steps=40, decay=0.3, checks=4)
    W, H, y, loss = plain_loop(COUNTS, MIXED[member], 5, 40, 0.3)
    torch.testing.assert_close(trained.W[member], W, **SAME)
    torch.testing.assert_close(trained.H[member][y], H, **SAME)
    assert trained.log_loss[member, -1].item() == pytest.approx(
        math.log(loss), rel=1e-9
    )
    limits = seli.predicted_grams(COUNTS, trained.delta[member], MIXED[member].kind)
    pairs = zip((W, trained.H[member]), limits)
    error_w, error_h = (seli.gram_error(v @ v.T, limit).item() for v, limit in pairs)
    assert trained.error_w[member, -1].item() == pytest.approx(error_w, rel=1e-6)
    assert trained.error_h[member, -1].item() == pytest.approx(error_h, rel=1e-6)


def test_checks():
    trained = train_ufm(COUNTS, MIXED[:2], steps=60, checks=4)
    assert trained.steps.tolist() == sorted(
        {round(60 ** (i / 4)) for i in (1, 2, 3, 4)}
    )
    for i, steps in enumerate(trained.steps.tolist()):
        early = train_ufm(COUNTS, MIXED[:2], steps=steps, checks=1)
        for name in ("error_w", "error_h", "log_loss"):
            a, b = getattr(trained, name)[:, i], getattr(early, name)[:, 0]
            torch.testing.assert_close(a, b, **SAME)
    for gram, error in zip(trained.grams, (trained.error_w, trained.error_h)):
        assert gram.shape == (2, 4, 4)
        assert error.shape == (2, len(trained.steps))


def test_permuted_configs():
    order = torch.randperm(len(MIXED), generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([COUNTS] * len(MIXED)) + torch.arange(8).unsqueeze(-1)
    a = train_ufm(counts, MIXED, d=5, steps=40)
    b = train_ufm(counts[order], [MIXED[i] for i in order], d=5, steps=40)
    assert b.configs == tuple(a.configs[i] for i in order)
    for name in ("class_counts", "delta", "W", "H", "error_w", "error_h", "log_loss"):
        torch.testing.assert_close(getattr(b, name), getattr(a, name)[order], **SAME)


def test_counts_of_each_config():
    both = train_ufm([[9, 3, 1], [2, 2, 8]], [Config(), Config("cdt", 0.5)], steps=20)
    for b, (counts, c) in enumerate(zip([[9, 3, 1], [2, 2, 8]], both.configs)):
        torch.testing.assert_close(both.W[b], train_ufm(counts, [c], steps=20).W[0])


def main_grid(**settings) -> tuple[torch.Tensor, list[Config]]:
    gammas = (-0.5, -0.25, 0, 0.25, 0.5, 0.75, 1)
    cells = [(R, k, g) for k in seli.KINDS for R in (10, 100) for g in gammas]
    counts = torch.stack([step_counts(5, 5, R) for R, _, _ in cells])
    return counts, [Config(kind, gamma, **settings) for _, kind, gamma in cells]


def test_main_grid_reaches_its_geometry():
    trained = train_ufm(*main_grid(), steps=3000)
    error = torch.maximum(trained.error_w, trained.error_h)[:, -1]
    assert error.median() < 0.01
    ldt = torch.tensor([c.kind == "ldt" and c.gamma >= 0 for c in trained.configs])
    assert error[ldt].max() < 0.01
    assert not trained.diverged.any()
    slow = trained.error_w[:, -1] > 0.05  # a norm and an angle apart: as predicted
    smallest = seli.multipliers(trained.class_counts, trained.delta, "cdt")
    cdt = torch.tensor([c.kind == "cdt" for c in trained.configs])
    assert (cdt | ~slow).all()
    own = ~torch.eye(10, dtype=torch.bool)
    spread = smallest[:, own].amin(-1) / smallest[:, own].amax(-1)
    assert spread[cdt & slow].max() < spread[cdt & ~slow].median()


@pytest.mark.parametrize("ratio", [10, 100])
def test_weights_and_additive_terms_do_not_move_the_limit(ratio):
    offset = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    knobs = [
        {},
        {"weight_power": 1.0},
        {"weight_power": -0.5},
        {"weight": [1.0, 5.0] * 5},
        {"tau": 1.0},
        {"tau": -0.5},
        {"offset": offset.tolist()},
        {"seed": 5},
    ]
    for base in (Config(), Config(gamma=0.25), Config("cdt", -0.25)):
        configs = [replace(base, lr=1.0, **more) for more in knobs]
        trained = train_ufm(step_counts(5, 5, ratio), configs, steps=12000)
        assert torch.maximum(trained.error_w, trained.error_h)[:, -1].max() < 0.02


def test_counts_without_any_symmetry_reach_the_formula():
    counts, delta = [90, 41, 17, 8, 3], [1.0, 1.2, 0.7, 0.8, 0.5]
    configs = [Config(delta=delta), Config("cdt", delta=delta), Config("ldt", 0.5)]
    configs = [replace(c, lr=1.0) for c in configs]
    trained = train_ufm(counts, configs, d=4, steps=10000)  # as few as there can be
    assert trained.error_w[:, -1].max() < 0.02
    assert trained.error_h[:, -1].max() < 0.02
    cosines = seli.norms_and_cosines(trained.grams[0][2])[1]
    etf = torch.full((5, 5), -0.25, dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(cosines, etf, rtol=0, atol=0.01)


def test_plain_gradient_descent_crawls():
    """Without the division by the norm it is far away after as many steps."""
    counts, configs = main_grid(lr=1.0, normalised=False)
    slow = train_ufm(counts, configs, steps=1000)
    fast = train_ufm(counts, [replace(c, lr=0.5, normalised=True) for c in configs])
    assert slow.error_w[:, -1].median() > 10 * fast.error_w[:, -1].median()


def test_half_ldt_with_inverse_weights_is_the_balanced_problem():
    """On the whole path: W, and delta_y h_y, are those of the balanced model."""
    counts = torch.tensor([50.0, 20, 5, 1], dtype=torch.float64)
    delta = (counts / counts.max()).sqrt()
    with_ridge = {"ridge": 1e-3, "lr": 0.2}
    adjusted = [Config(gamma=0.5, weight_power=1, **m) for m in ({}, with_ridge)]
    # Equal examples: the mass of a class is 1/k, and sqrt(n_y) h_y / sqrt(n_max) the
    # vector whose ridge weighs as much as that of the examples of the largest class.
    balanced = [Config(**m) for m in ({}, with_ridge)]
    a = train_ufm(counts, adjusted, d=6, steps=300)
    b = train_ufm([50.0] * 4, balanced, d=6, steps=300)
    torch.testing.assert_close(a.W, b.W, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(a.H * delta.unsqueeze(-1), b.H, rtol=1e-6, atol=1e-6)
    etf = seli.etf_gram(4)
    for ridge in (1e-2, 1e-4, 1e-8):
        exact = ridge_grams(counts, adjusted[0], [ridge])[0]
        assert gram_error(exact, etf) < 1e-7


def test_members_that_diverge_are_reported():
    configs = [Config(), Config("cdt", 0.3, lr=1e200), Config(seed=1)]
    calls = []
    trained = train_ufm(
        COUNTS, configs, steps=50, checks=5, progress=lambda *x: calls.append(x)
    )
    assert trained.diverged.tolist() == [False, True, False]
    assert trained.error_w[1, -1].isnan()
    assert trained.log_loss[1, -1].isnan()
    assert trained.W.isfinite().all()
    assert trained.H.isfinite().all()
    alone = train_ufm(COUNTS, [configs[0], configs[2]], steps=50, checks=5)
    torch.testing.assert_close(trained.W[[0, 2]], alone.W, **SAME)
    assert calls[-1] == (len(trained.steps), len(trained.steps))


def by_scipy(counts, c: Config, seed: int) -> list[torch.Tensor]:
    """Gram matrices of the ridge solution, with an embedding for each example."""
    k, y = (
        len(counts),
        torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
    )

    def value(x):
        x = torch.from_numpy(x).requires_grad_()
        W, H = x.view(-1, k).split([k, len(y)])
        f = objective(counts, c, W, H, y)[1] / c.ridge
        return f.item(), torch.autograd.grad(f, x)[0].numpy()

    start = np.random.default_rng(seed).normal(size=(k + len(y)) * k)
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    W, H = torch.from_numpy(found.x).view(-1, k).split([k, len(y)])
    H = torch.stack([H[y == label].mean(0) for label in range(k)])
    return [W @ W.T, H @ H.T]


@pytest.mark.parametrize(
    ("counts", "config"),
    [
        ([12, 12, 12, 3, 3], Config()),
        ([12, 12, 12, 3, 3], Config("cdt", 0.5, tau=1.0)),
        ([12, 12, 3, 3], Config(gamma=-0.4, weight_power=1.0)),
        ([4, 4, 4], Config(weight=[2, 2, 2])),
        ([4, 4, 4], Config(weight=[2, 1, 2])),
        (COUNTS, Config("cdt", delta=[1.0, 0.5, 0.8, 2.0], offset=OFFSET)),
        ([3, 9, 3, 9], Config(delta=[1.0, 0.5, 0.8, 0.5])),
    ],
)
def test_ridge_solutions_equal_a_solver(counts, config):
    ridges = [1e-2, 1e-4]
    found = ridge_grams(counts, config, ridges)
    for i, ridge in enumerate(ridges):
        expected = by_scipy(counts, replace(config, ridge=ridge), i)
        for a, b in zip(found, expected):
            assert (a[i] - b).norm() < 2e-3 * b.norm()


def test_training_with_a_ridge_reaches_the_exact_solution():
    config = Config(ridge=1e-3, lr=0.5)
    trained = train_ufm([12, 12, 3, 3], [config], steps=4000, decay=1e-5)
    exact = ridge_grams([12, 12, 3, 3], config, [1e-3])
    for a, b in zip(trained.grams, exact):
        assert (a[0] - b[0]).norm() < 1e-3 * b[0].norm()


def test_the_bias_of_a_ridge_vanishes_slowly():
    ridges = [1e-3, 1e-6, 1e-12, 1e-40, 1e-200]
    counts = step_counts(5, 5, 10, 5)
    for config in (Config(), Config("cdt", 0.5), Config(tau=1.0)):
        delta = temperatures(counts, config.gamma)
        limits = seli.predicted_grams(counts, delta, config.kind)
        for gram, limit in zip(ridge_grams(counts, config, ridges), limits):
            errors = gram_error(gram, limit)
            assert (errors[2:] < errors[1:-1]).all()
            # Like 1 / log(1 / ridge): halved, when the logarithm doubles.
            assert 1.5 < errors[2] / errors[3] < 5
            assert 4 < errors[3] / errors[4] < 6
            assert errors[4] < 0.02


def test_norm_ratios_at_a_usual_weight_decay():
    """Values from another implementation: k = 10, counts 50 and 5, ridge 5e-4."""
    counts, minority = step_counts(5, 5, 10, 5), [False] * 5 + [True] * 5
    for kind, gamma, expected in (
        ("ldt", 0, 3.55),
        ("ldt", -0.5, 8.07),
        ("ldt", -1, 18.0),
        ("cdt", -1, 7.07),
    ):
        delta = temperatures(counts, gamma, mean_one=True)
        gram = ridge_grams(counts, Config(kind, delta=delta), [5e-4])[0][0]
        ratio = seli.blocks(gram, minority).norm2_ratio.item()
        assert ratio == pytest.approx(expected, rel=2e-3)


def test_a_ridge_collapses_the_minority_and_a_small_one_does_not():
    counts = step_counts(5, 5, 100)
    gram = ridge_grams(counts, Config(), [3e-3, 1e-5])[0]
    cosine = seli.blocks(gram, [False] * 5 + [True] * 5).cos_minor
    assert cosine[0].item() == pytest.approx(1, abs=1e-6)
    assert cosine[1].item() == pytest.approx(0.31, abs=0.01)


@pytest.mark.parametrize("config", [Config(), Config("cdt", 0.25), Config(gamma=-0.5)])
def test_offsets_from_multipliers_remove_the_bias(config):
    counts = step_counts(5, 5, 10, 5)
    delta = temperatures(counts, config.gamma)
    offset = seli.multipliers(counts, delta, config.kind).log()
    limits = seli.predicted_grams(counts, delta, config.kind)
    without, helped = (
        [
            gram_error(g, t).item()
            for g, t in zip(ridge_grams(counts, c, [1e-5]), limits)
        ]
        for c in (config, replace(config, offset=offset))
    )
    assert max(helped) < 0.001 < 0.05 < min(without)


def test_two_blocks_are_twelve_numbers():
    for counts, numbers in (([9, 9, 9, 2, 2], 12), ([5, 5, 5], 4), ([4, 3, 2], 18)):
        n = torch.tensor([counts], dtype=torch.float64)
        labels = _blocks(ufm.Loss(n, [Config(tau=1.0)]))
        assert 2 * len(_symmetric_basis(labels, n[0])) == numbers


def test_ridge_solutions_that_did_not_converge():
    for gram in ridge_grams([9, 9, 3, 3], Config(), [1e-3, 1e-6], max_steps=2):
        assert gram.isnan().all()


@pytest.mark.parametrize(
    ("counts", "configs", "settings", "message"),
    [
        ([3, 0, 1], [Config()], {}, "class_counts holds 0.0: expected > 0"),
        ([3, -2, 1], [Config()], {}, "class_counts holds -2.0: expected > 0"),
        ([3, 2, 1], [Config(delta=[1, 0, 1])], {}, "delta holds 0.0: expected > 0"),
        ([3, 2, 1], [Config(delta=[1, -1, 1])], {}, "delta holds -1.0: expected > 0"),
        ([3, 2, 1], [Config(delta=[1, 1])], {}, r"delta is \[1.0, 1.0\]: expected"),
        ([3, 2, 1], [Config(weight=[1, 0, 1])], {}, "weight holds 0.0: expected > 0"),
        ([3, 2, 1], [Config(offset=[1.0] * 3)], {}, r"expected finite, \[3, 3\]"),
        ([3, 2, 1], [Config(offset=[[math.inf] * 3] * 3)], {}, "expected finite"),
        ([3, 2, 1], [Config()], {"d": 1}, "d is 1: expected ≥ k - 1 = 2 dimensions"),
        ([3, 2, 1], [], {}, "for 0 configs"),
        ([[3, 2], [2, 1]], [Config()] * 3, {}, r"class_counts has shape \(2, 2\)"),
        ([3, 2, 1], [Config()], {"steps": 0}, "steps, checks, decay are"),
        ([3, 2, 1], [Config()], {"checks": 0}, "steps, checks, decay are"),
        ([3, 2, 1], [Config()], {"decay": 0.0}, "steps, checks, decay are"),
    ],
)
def test_bad_input(counts, configs, settings, message):
    with pytest.raises(ValueError, match=message):
        train_ufm(counts, configs, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "ce"}, "unknown kind 'ce': expected one of ldt, cdt"),
        ({"gamma": math.nan}, "gamma is nan: expected a number"),
        ({"tau": math.inf}, "tau is inf: expected a number"),
        ({"weight_power": -math.inf}, "weight_power is -inf: expected a number"),
        ({"ridge": -1.0}, "ridge is -1.0: expected ≥ 0"),
        ({"lr": 0.0}, "lr is 0.0: expected > 0"),
        ({"init": -0.1}, "init is -0.1: expected > 0"),
    ],
)
def test_bad_config(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


@pytest.mark.parametrize(
    ("counts", "ridges", "message"),
    [
        ([2, 1], [0.0], r"ridges is \[0.0\]: expected numbers > 0"),
        ([2, 1], [math.inf], "expected numbers > 0"),
        ([2, 1], 1.0, "expected numbers > 0"),
        ([2, 0], [1.0], "class_counts holds 0.0"),
        ([[2, 1], [2, 1]], [1.0], r"class_counts has shape \(2, 2\)"),
    ],
)
def test_bad_ridges(counts, ridges, message):
    with pytest.raises(ValueError, match=message):
        ridge_grams(counts, Config(), ridges)
