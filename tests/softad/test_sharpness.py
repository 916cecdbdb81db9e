"""Sharpness against Hessians in full, and against what is known of a loss."""

import math

import pytest
import torch
from torch.func import functional_call, hessian
from torch.nn import functional as F

from tailwise.methods import risk
from tailwise.softad import Method, sharpness, train
from tailwise.softad.networks import ARCHITECTURES

HOW = dict(epochs=3, batch_size=8, lr=0.1)


def data(name, seeds=2, n=24):
    g = torch.Generator().manual_seed(2)
    architecture = ARCHITECTURES[name]
    y = torch.randint(architecture.n_classes, (seeds, n), generator=g)
    X = torch.randn(
        seeds, n, *architecture.input_shape, dtype=torch.float64, generator=g
    )
    return X + y.view(seeds, n, *(1,) * len(architecture.input_shape)) / 5, y


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_eigenvalue_is_that_of_the_whole_hessian(seed):
    g = torch.Generator().manual_seed(seed)
    matrix = torch.randn(30, 30, dtype=torch.float64, generator=g)
    matrix = matrix + matrix.T

    def loss(w):
        return w @ matrix @ w / 2 + (w**3).sum() / 6

    at = torch.randn(30, dtype=torch.float64, generator=g)
    expected = torch.linalg.eigvalsh(matrix + at.diag())[-1].item()
    found = sharpness.top_eigenvalue(loss, at, tol=1e-8)
    assert found == pytest.approx(expected, rel=1e-7)


def test_it_is_the_largest_and_not_the_largest_in_size():
    curvature = torch.tensor([1.0, 3.0, -20.0])
    found = sharpness.top_eigenvalue(
        lambda w: (curvature * w**2).sum() / 2, torch.ones(3)
    )
    assert found == pytest.approx(3, rel=1e-2)


@pytest.mark.parametrize("name", ["plane", "linear"])
def test_a_member_is_measured_as_its_hessian_says(name):
    X, y = data(name)
    trained = train(name, X, y, [Method("ERM"), Method("x", scale=2.0)], **HOW)
    for s, k in ((0, 1), (1, 0)):
        member = {n: p[s, k] for n, p in trained.params.items()}
        loss, at = sharpness.member_loss(trained.architecture, member, X[s], y[s])
        logits = trained.logits(X)[s, k]
        torch.testing.assert_close(loss(at), F.cross_entropy(logits, y[s]))
        # An ordinary module and torch's own Hessian.
        weight, bias = member.values()
        module = torch.nn.Linear(weight.shape[1], weight.shape[0]).double()
        names = [n for n, _ in module.named_parameters()]

        def plain(w, module=module, names=names, like=(weight, bias), s=s):
            parts = w.split([p.numel() for p in like])
            params = {n: v.view(p.shape) for n, v, p in zip(names, parts, like)}
            return F.cross_entropy(
                functional_call(module, params, X[s].flatten(1)), y[s]
            )

        full = torch.linalg.eigvalsh(hessian(plain)(at))[-1].item()
        found = sharpness.top_eigenvalue(loss, at, tol=1e-6)
        assert found == pytest.approx(full, rel=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_loss_of_a_member_is_that_of_its_logits(name):
    X, y = data(name)
    trained = train(name, X, y, [Method("ERM"), Method("x", scale=2.0)], **HOW)
    member = {n: p[1, 1] for n, p in trained.params.items()}
    loss, at = sharpness.member_loss(trained.architecture, member, X[1], y[1])
    expected = F.cross_entropy(trained.logits(X)[1, 1], y[1])
    torch.testing.assert_close(loss(at), expected)
    # Curvature along the eigenvector is not known; along any direction it is less.
    top = sharpness.top_eigenvalue(loss, at, tol=1e-4)
    g = torch.Generator().manual_seed(0)
    v = torch.randn(len(at), dtype=at.dtype, generator=g)
    v, h = v / v.norm(), 1e-3
    curvature = (loss(at + h * v) - 2 * loss(at) + loss(at - h * v)) / h**2
    assert 0 < curvature.item() < top


def test_a_rise_is_known_for_a_bowl():
    curvature, at = torch.tensor([1.0, 4.0]).double(), torch.tensor([3.0, 1.0]).double()

    def loss(w):
        return (curvature * w**2).sum() / 2

    slope = curvature * at
    for reach in (1e-3, 0.5):
        step = reach * slope / slope.norm()
        expected = slope @ step + (curvature * step**2).sum() / 2
        found = sharpness.loss_rise(loss, at, reach)
        assert found == pytest.approx(expected.item(), rel=1e-9)


def test_at_the_bottom_there_is_no_slope_to_climb():
    assert sharpness.loss_rise(lambda w: (w**2).sum(), torch.zeros(3), 0.5) == 0


def test_a_lost_member_has_no_curvature():
    at = torch.tensor([1.0, math.nan])
    assert math.isnan(sharpness.top_eigenvalue(lambda w: (w**2).sum(), at))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"at has shape \[1\].*p ≥ 2"):
        sharpness.top_eigenvalue(torch.sum, torch.ones(1))
    with pytest.raises(ValueError, match="reach is 0: expected > 0"):
        sharpness.loss_rise(torch.sum, torch.ones(2), 0)


@pytest.mark.parametrize("step", [0.01, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_two_flooding_steps_are_one_on_the_norm_of_the_gradient(seed, step):
    """Where the first step crosses the level: arXiv 2310.10006, equation 15."""
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(30, 5, dtype=torch.float64, generator=g)
    y = torch.randint(3, (30,), generator=g)
    start = torch.randn(5, 3, dtype=torch.float64, generator=g)

    def losses(w):
        return F.cross_entropy(X @ w, y, reduction="none")

    def slope(w):
        w = w.clone().requires_grad_()
        return torch.autograd.grad(losses(w).mean(), w)[0]

    def flooded(w, tau):
        w = w.clone().requires_grad_()
        each = losses(w)
        weights = risk.example_weights(each.detach(), "flooding", tau=tau)
        return w.detach() - step * torch.autograd.grad((weights * each).sum(), w)[0]

    here = losses(start).mean().item()
    raised = losses(start + step * slope(start)).mean().item()
    assert here < raised
    level = (here + raised) / 2
    two = flooded(flooded(start, level), level)
    ahead = slope(start + step * slope(start))
    penalty = (ahead - slope(start)) / step
    torch.testing.assert_close(two, start - step**2 * penalty, rtol=0, atol=1e-14)
    # And where the level is not crossed, they are two plain steps of one direction.
    two = flooded(flooded(start, raised + 100), raised + 100)
    once = start + step * slope(start)
    torch.testing.assert_close(two, once + step * slope(once), rtol=0, atol=1e-14)
