"""One network at a time against the stacked program, and the LeNet's own measures."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.softad import Method, ensemble, lenet, sharpness
from tailwise.softad.networks import ARCHITECTURES
from tailwise.softad.study import Size, values

METHODS = [
    Method("ERM"),
    Method("double", scale=2.0),
    Method("SoftAD", "softad", {"tau": 0.7}),
    Method("COCE-A", "cvar_softad", {"tau": 0.7, "quantile": 0.5}),
    Method("SAM", ascent="sam", reach=0.3),
    Method("SAM of CVaR", "cvar", {"quantile": 0.5}, ascent="sam", reach=0.3),
    Method("SharpDRO", ascent="sharpdro", reach=0.3),
    Method("SharpDRO, half", ascent="sharpdro", reach=0.3, scale=0.5),
]
HOW = dict(epochs=5, batch_size=5, lr=0.1)


@pytest.fixture(scope="module")
def points():
    g = torch.Generator().manual_seed(1)
    X = torch.randn(23, 196, dtype=torch.float64, generator=g).view(23, 14, 14)
    y = torch.randint(10, (23,), generator=g)
    group = torch.randint(3, (23,), generator=g)
    return X + y.view(-1, 1, 1) / 5, y, group


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.label)
def test_one_module_is_a_member_of_the_stacked_program(points, method):
    X, y, group = points
    stacked = ensemble.train(
        "mlp", X[None], y[None], [method], group=group[None], seed=3, **HOW
    )
    g = torch.Generator().manual_seed(3)
    start = ARCHITECTURES["mlp"].init(g)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(196, 48), nn.ReLU(), nn.Linear(48, 10)
    ).double()
    for own, given in zip(model.parameters(), start.values(), strict=True):
        own.data.copy_(given)
    lenet.train(model, X, y, method, group=group, generator=g, **HOW)
    for own, member in zip(model.parameters(), stacked.params.values(), strict=True):
        torch.testing.assert_close(own.detach(), member[0, 0], rtol=1e-9, atol=1e-11)


def test_bad_input_is_named(points):
    X, y, group = points
    model, g = nn.Flatten(), torch.Generator()
    more = {"group": group, "generator": g}
    with pytest.raises(ValueError, match="ascent is 'groupdro'.*'sam', 'sharpdro'"):
        lenet.train(model, X, y, Method("", ascent="groupdro"), **more, **HOW)
    with pytest.raises(ValueError, match="batch_size is 24: expected 1 to n = 23"):
        lenet.train(model, X, y, Method(""), **more, **HOW | {"batch_size": 24})


SIZE = Size(n_seeds=2, n_train=60, n_val=20, n_test=10, epochs=2, batch_size=20)
FEW = [METHODS[0], METHODS[4]]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        first = lenet.run("uniform", SIZE, FEW, ["SAM"])
        patch.setattr(lenet, "train", None)  # what is cached is not trained again
        told = []
        again = lenet.run("uniform", SIZE, FEW, ["SAM"], lambda *at: told.append(at))
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(first.losses, again.losses)
    return first


def test_a_run_is_measured_like_the_stacked_ones(result):
    assert result.labels == ("ERM", "SAM")
    assert result.losses.shape == (2, 2, 6, 10)
    assert result.train_losses.shape == (2, 2, 60)
    assert result.held_losses.shape == (2, 2, 20)
    assert not result.diverged.any()
    assert result.eigenvalue.isnan().tolist() == [[True, False]] * 2
    assert (result.eigenvalue[:, 1] > 0).all()
    # Two epochs of three batches have hardly begun.
    assert (abs(values(result, "ERM", "loss_train") - math.log(10)) < 0.5).all()
    # Seeds differ in data and network, methods in the network alone.
    assert len(result.losses.flatten(2).sum(-1).unique()) == 4


def test_images_are_whole_and_the_noise_is_not_pooled():
    counts = dict(n_train=30, n_val=5, n_test=5)
    whole = corruption.draw("uniform", 1, pool=False, **counts)
    halved = corruption.draw("uniform", 1, **counts)
    assert whole.train.x.shape == (1, 30, 28, 28)
    assert whole.test.x.shape == (1, 6, 5, 28, 28)
    for part in ("train", "val", "test"):
        one, other = getattr(whole, part), getattr(halved, part)
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.severity, other.severity)
        pooled = F.avg_pool2d(one.x.flatten(0, -3)[:, None], 2)[:, 0]
        torch.testing.assert_close(pooled, other.x.flatten(0, -3), rtol=1e-5, atol=1e-5)


def test_the_loss_of_a_module_is_a_function_of_one_vector():
    torch.manual_seed(0)
    model = lenet.lenet()
    X, y = torch.randn(8, 28, 28), torch.arange(8)
    loss, at = lenet.module_loss(model, X, y)
    assert len(at) == 44_426 == sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(loss(at), F.cross_entropy(model(X), y))
    # The slope along one weight of the last layer, by differences.
    step = torch.zeros_like(at)
    step[-1] = 1e-2
    slope = (loss(at + step) - loss(at - step)) / 2e-2
    expected = (model(X).softmax(-1)[:, 9] - (y == 9).float()).mean()
    torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-4)
    assert sharpness.top_eigenvalue(loss, at) > 0
