"""The batched program against one ordinary training loop per member."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tailwise.methods import risk
from tailwise.softad import Method, train
from tailwise.softad.networks import (
    ARCHITECTURES,
    Batches,
    Gradients,
    linear,
    norm,
    stack,
)
from tailwise.softad.sam_and_group_dro import climb

S, N, G = 2, 23, 4
SETTINGS = {"epochs": 5, "batch_size": 5, "lr": 0.1}  # 4 batches an epoch, 20 steps
RULE_PARAMS = {"tau": 0.7, "quantile": 0.5, "radius": 0.4, "gamma": 0.3, "share": 0.25}
NETWORKS = {
    "plane": lambda: nn.Sequential(nn.Linear(2, 2)),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(196, 10)),
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(196, 48), nn.ReLU(), nn.Linear(48, 10)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 14)),
        nn.Conv2d(1, 12, 5, stride=3),
        nn.ReLU(),
        nn.Conv2d(12, 24, 2, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 10),
    ),
}


def ruled(label: str, rule: str, **more) -> Method:
    params = {name: RULE_PARAMS[name] for name in risk.RULES[rule].params}
    return Method(label, rule, params, **more)


RULES = [ruled(rule, rule) for rule in risk.RULES]
ASCENTS = [
    Method("sharpdro", ascent="sharpdro", reach=0.3),
    Method("erm x 2", scale=2.0),
    Method("groupdro", ascent="groupdro"),
    Method("sam", ascent="sam", reach=0.3),
    ruled("cvar with sam", "cvar", ascent="sam", reach=0.1),
    Method("sharpdro / 2", scale=0.5, ascent="sharpdro", reach=0.1),
    Method("softad .2", "softad", {"tau": 0.2}),
]
METHODS = [*RULES, *ASCENTS]


def data(name: str, seeds: int = S) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, classes that they tell, and groups of which some are rare."""
    generator = torch.Generator().manual_seed(1)
    architecture = ARCHITECTURES[name]
    shape = (seeds, N, *architecture.input_shape)
    y = torch.randint(architecture.n_classes, (seeds, N), generator=generator)
    X = torch.randn(shape, dtype=torch.float64, generator=generator)
    X += y.view(seeds, N, *(1,) * len(architecture.input_shape)) / 5
    group = torch.randint(G, (seeds, N), generator=generator)
    return X, y, group * (torch.rand(seeds, N, generator=generator) < 0.7)


def set_weights(network: nn.Module, params: dict, *member: int) -> None:
    for own, given in zip(network.parameters(), params.values(), strict=True):
        own.data = given[member].clone().view(own.shape)


def group_weights(losses, group, q, q_step=0.3):
    """The weights q_s / n_s, once q has moved."""
    means = torch.zeros_like(q)
    for s in group.unique():
        means[s] = losses[group == s].mean()
    q = q * torch.exp(q_step * means)
    q = q / q.sum()
    return q[group] / group.bincount(minlength=len(q))[group], q


def plain_loop(name, X, y, group, method, seed, *, epochs, batch_size, lr):
    """One ordinary run: its parameters, mean losses and group weights."""
    network = NETWORKS[name]().double()
    generator = torch.Generator().manual_seed(seed)
    set_weights(network, ARCHITECTURES[name].init(generator))
    optimizer = torch.optim.SGD(
        network.parameters(), lr, momentum=0.9, weight_decay=5e-4
    )
    steps = [math.ceil(round(share * epochs, 6)) for share in (0.3, 0.6, 0.8)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, 0.2)
    own, history, q = list(network.parameters()), [], torch.ones(G).double() / G

    def gradient(rows, grouped):
        nonlocal q
        losses = F.cross_entropy(network(X[rows]), y[rows], reduction="none")
        if grouped:
            weights, q = group_weights(losses.detach(), group[rows], q)
        else:
            weights = risk.example_weights(
                losses.detach(), method.rule, **method.params
            )
        total = method.scale * (weights * losses).sum()
        return losses.mean().item(), torch.autograd.grad(total, own)

    for _ in range(epochs):
        order, means = torch.randperm(len(X), generator=generator), []
        for rows in order.split(batch_size)[: len(X) // batch_size]:
            mean, slope = gradient(rows, method.ascent == "groupdro")
            means.append(mean)
            if method.ascent in ("sam", "sharpdro"):
                length = torch.cat([g.flatten() for g in slope]).norm()
                start = [p.data.clone() for p in own]
                for p, g in zip(own, slope):
                    p.data += method.reach * g / length
                first = slope
                slope = gradient(rows, method.ascent == "sharpdro")[1]
                for p, before in zip(own, start):
                    p.data = before
                if method.ascent == "sharpdro":
                    slope = [a + b for a, b in zip(first, slope)]
            for p, g in zip(own, slope):
                p.grad = g
            optimizer.step()
        schedule.step()
        history.append(sum(means) / len(means))
    return [p.data for p in own], history, q


def same(a, b, **tolerance):
    """Compare two ensembles member by member."""
    assert a.methods == b.methods
    for name in a.params:
        torch.testing.assert_close(a.params[name], b.params[name], **tolerance)
    torch.testing.assert_close(a.history, b.history, equal_nan=True, **tolerance)
    torch.testing.assert_close(a.q, b.q, equal_nan=True, **tolerance)
    assert torch.equal(a.diverged, b.diverged)


def take(ensemble, seeds=slice(None), members=slice(None)):
    """The same ensemble, fewer members."""

    def pick(values):
        return values[seeds][:, members]

    chosen = torch.arange(len(ensemble.methods))[members]
    return replace(
        ensemble,
        methods=tuple(ensemble.methods[k] for k in chosen),
        params={name: pick(p) for name, p in ensemble.params.items()},
        diverged=pick(ensemble.diverged),
        history=pick(ensemble.history),
        q=pick(ensemble.q),
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_forward_is_that_of_torch_modules(name):
    X, _, _ = data(name)
    generator = torch.Generator().manual_seed(3)
    members = [ARCHITECTURES[name].init(generator) for _ in range(6)]
    params = stack(members, 1, X)[1]
    params = {key: p.view(S, 3, *p.shape[2:]) for key, p in params.items()}
    logits = ARCHITECTURES[name].forward(params, X)
    network = NETWORKS[name]().double()
    for s in range(S):
        for k in range(3):
            set_weights(network, params, s, k)
            torch.testing.assert_close(logits[s, k], network(X[s]).detach())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_backward_is_that_of_autograd(name):
    X, y, _ = data(name)
    architecture = ARCHITECTURES[name]
    generator = torch.Generator().manual_seed(3)
    params = stack([architecture.init(generator) for _ in range(S)], 3, X)[1]
    for p in params.values():
        p += torch.randn(p.shape, generator=generator) / 10
    weights = torch.randn(S, 3, N, dtype=torch.float64, generator=generator)
    program = Gradients(
        architecture, {key: torch.empty_like(p) for key, p in params.items()}
    )
    order = torch.arange(N).expand(S, N)
    (batch,) = Batches(architecture, X, y).draw(order, N)
    for _ in range(2):  # the second call writes over the memory of the first
        losses = program(params, batch, lambda losses, member: weights)
    leaves = {key: p.clone().requires_grad_() for key, p in params.items()}
    logits = architecture.forward(leaves, X)
    target = y.unsqueeze(1).expand(S, 3, N)
    expected = F.cross_entropy(logits.movedim(-1, 1), target, reduction="none")
    (weights * expected).sum().backward()
    torch.testing.assert_close(losses, expected.detach())
    for key, leaf in leaves.items():
        torch.testing.assert_close(program.out[key], leaf.grad)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_member_equals_a_plain_loop(name):
    X, y, group = data(name)
    ensemble = train(name, X, y, METHODS, group=group, seed=7, **SETTINGS)
    assert not ensemble.diverged.any()
    close = {"rtol": 0, "atol": 1e-8}
    for s in range(S):
        for k, method in enumerate(METHODS):
            own, history, q = plain_loop(
                name, X[s], y[s], group[s], method, 7 + s, **SETTINGS
            )
            for ours, theirs in zip(ensemble.params.values(), own, strict=True):
                torch.testing.assert_close(
                    ours[s, k].view(theirs.shape), theirs, **close
                )
            torch.testing.assert_close(
                ensemble.history[s, k],
                torch.tensor(history, dtype=torch.float64),
                **close,
            )
            if method.ascent in ("sharpdro", "groupdro"):
                torch.testing.assert_close(ensemble.q[s, k], q, **close)
            else:
                assert ensemble.q[s, k].isnan().all()


def test_the_plain_loop_tells_the_methods_apart():
    X, y, group = data("linear")
    ensemble = train("linear", X, y, METHODS, group=group, **SETTINGS)
    weights = ensemble.params["weight1"].flatten(2)
    distance = torch.cdist(weights, weights) + torch.eye(len(METHODS)) * 9
    assert distance.min() > 1e-4


# Rounding differs with the sizes of the products; 20 steps in float64 leave 1e-12.
CLOSE = {"rtol": 0, "atol": 1e-11}


@pytest.mark.parametrize("name", ["linear", "cnn"])
def test_the_order_of_the_methods_does_not_matter(name):
    X, y, group = data(name)
    order = torch.randperm(
        len(METHODS), generator=torch.Generator().manual_seed(0)
    ).tolist()
    straight = train(name, X, y, METHODS, group=group, **SETTINGS)
    shuffled = [METHODS[k] for k in order]
    same(
        train(name, X, y, shuffled, group=group, **SETTINGS),
        take(straight, members=order),
        **CLOSE,
    )


def test_a_seed_does_not_depend_on_the_others():
    X, y, group = data("mlp", seeds=3)
    group[2, group[2] == G - 1] = 0  # one data set lacks a group
    assert (group[:2].amax(-1) == G - 1).all()
    every = train("mlp", X, y, ASCENTS, group=group, seed=5, **SETTINGS)
    two = train("mlp", X[:2], y[:2], ASCENTS, group=group[:2], seed=5, **SETTINGS)
    same(take(every, slice(2)), two, **CLOSE)
    last = train("mlp", X[1:2], y[1:2], ASCENTS, group=group[1:2], seed=6, **SETTINGS)
    same(take(every, slice(1, 2)), last, **CLOSE)


@pytest.mark.parametrize("chunk", [1, len(ASCENTS), 2 * len(ASCENTS) + 1, 1000])
def test_chunks_change_nothing(chunk):
    X, y, group = data("mlp", seeds=3)
    group[0, group[0] == G - 1] = 0  # one data set lacks a group
    ticks = []
    ensemble = train(
        "mlp",
        X,
        y,
        ASCENTS,
        group=group,
        chunk=chunk,
        progress=lambda *tick: ticks.append(tick),
        **SETTINGS,
    )
    same(ensemble, train("mlp", X, y, ASCENTS, group=group, **SETTINGS), **CLOSE)
    total = SETTINGS["epochs"] * -(-3 // max(1, chunk // len(ASCENTS)))
    assert ticks == [(i + 1, total) for i in range(total)]


def test_members_of_a_seed_start_alike():
    X, y, _ = data("cnn")
    methods = [Method("erm"), ruled("cvar", "cvar"), Method("sam", ascent="sam")]
    settings = {**SETTINGS, "lr": 0.0}
    params = train("cnn", X, y, methods, seed=4, **settings).params
    for name, p in params.items():
        drawn = ARCHITECTURES["cnn"].init(torch.Generator().manual_seed(5))[name]
        assert torch.equal(p[1], drawn.expand(3, *drawn.shape))
        assert (p[0] != p[1]).all()
    for layer, fan_in in (("1", 25), ("2", 48), ("3", 96)):
        for kind in ("weight", "bias"):
            largest = params[kind + layer].abs().max() * fan_in**0.5
            assert 0.7 < largest <= 1


WILD = [ruled(f"wild {method.label}", method.rule, scale=1e160) for method in RULES] + [
    Method(f"wild {ascent}", ascent=ascent, reach=reach, scale=1e160)
    for ascent, reach in (("sam", 0.1), ("sharpdro", 0.1), ("groupdro", 0.0))
]


def test_a_member_that_diverges_is_marked_and_harms_no_other():
    X, y, group = data("mlp")
    methods = [method for pair in zip(WILD, METHODS) for method in pair]
    ensemble = train("mlp", X, y, methods, group=group, **SETTINGS)
    assert ensemble.diverged[:, ::2].all()
    assert ensemble.history[:, ::2].isnan().all()
    tame = train("mlp", X, y, METHODS[: len(WILD)], group=group, **SETTINGS)
    same(take(ensemble, members=slice(1, None, 2)), tame, **CLOSE)
    assert ensemble.norm.isfinite().all()
    assert ensemble.logits(X).isfinite().all()


def test_a_diverged_member_keeps_its_last_finite_epoch():
    X, y, _ = data("mlp")
    methods = [Method("erm"), Method("wild", scale=1e12)]
    settings = {"batch_size": N, "lr": 0.1, "milestones": ()}  # one step an epoch
    ensemble = train("mlp", X.float(), y, methods, epochs=5, **settings)
    assert ensemble.diverged.tolist() == [[False, True]] * S
    finite = ensemble.history[0, 1].isfinite()
    last = int(finite.sum())
    assert 0 < last < 5
    assert finite[:last].all()
    shorter = train("mlp", X.float(), y, methods, epochs=last, **settings)
    assert not shorter.diverged.any()
    for name, p in ensemble.params.items():
        assert torch.equal(p[0, 1], shorter.params[name][0, 1])


def test_parameters_lost_in_the_last_step_are_noticed():
    X, y, _ = data("linear")
    methods = [Method("erm"), Method("wild", scale=1e300)]  # infinite in float32
    settings = {"epochs": 1, "batch_size": N, "lr": 0.1}
    ensemble = train("linear", X.float(), y, methods, seed=3, **settings)
    assert ensemble.diverged.tolist() == [[False, True]] * S
    assert ensemble.history[:, 1].isnan().all()
    start = ARCHITECTURES["linear"].init(torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        ensemble.params["weight1"][0, 1], start["weight1"].float(), rtol=0, atol=0
    )


def test_a_loss_without_bound_is_noticed_while_parameters_are_finite():
    X, y, _ = data("plane")
    X = torch.tensor([2e38, 0.0]).expand(X.shape)  # finite losses, whose sum is not
    settings = {"epochs": 1, "batch_size": N, "lr": 0.0}
    ensemble = train("plane", X, y, [Method("erm")], **settings)
    assert ensemble.diverged.all()


def test_results_follow_the_type_of_the_data():
    X, y, group = data("cnn")
    double = train("cnn", X, y, METHODS, group=group, **SETTINGS)
    single = train("cnn", X.float(), y, METHODS, group=group, **SETTINGS)
    assert {p.dtype for p in single.params.values()} == {torch.float32}
    # 20 steps, each with a relative rounding of some 1e-6.
    torch.testing.assert_close(
        single.history.double(), double.history, rtol=1e-3, atol=1e-3
    )


def test_labels_may_be_of_any_integer_type():
    X, y, group = data("linear")
    wide = train("linear", X, y, ASCENTS, group=group, **SETTINGS)
    small = train("linear", X, y.byte(), ASCENTS, group=group.byte(), **SETTINGS)
    same(small, wide, rtol=0, atol=0)


def test_what_an_ensemble_says():
    X, y, group = data("mlp")
    ensemble = train("mlp", X, y, METHODS[:2], **SETTINGS)
    assert ensemble.q is None
    assert ensemble.methods == tuple(METHODS[:2])
    assert ensemble.history.shape == (S, 2, SETTINGS["epochs"])
    logits = ensemble.logits(X, batch_size=4)
    torch.testing.assert_close(
        logits, ensemble.architecture.forward(ensemble.params, X)
    )
    squares = sum(p.square().flatten(2).sum(-1) for p in ensemble.params.values())
    torch.testing.assert_close(ensemble.norm, squares.sqrt())


def test_an_architecture_may_be_ones_own():
    X = torch.randn(S, N, 3, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(N).expand(S, N) % 5
    ensemble = train(linear("own", 5, 3, 4), X, y, ERM, **SETTINGS)
    assert ensemble.logits(X).shape == (S, 1, N, 5)
    assert (ensemble.history[..., -1] < ensemble.history[..., 0]).all()


def test_a_climb_has_the_given_length_and_survives_a_flat_place():
    params = {"a": torch.zeros(1, 2, 3), "b": torch.zeros(1, 2, 1)}
    slope = {"a": torch.ones(1, 2, 3), "b": torch.ones(1, 2, 1)}
    slope["a"][0, 1], slope["b"][0, 1] = 0, 0
    moved = climb(params, slope, torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(norm(moved), torch.tensor([[0.5, 0.0]]))


X, Y, GROUP = data("linear")
ERM, DRO = [Method("erm")], [Method("dro", ascent="groupdro")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "vit"}, "'vit'.*plane, linear, mlp, cnn"),
        ({"X": X[:, :, :7]}, r"X has shape \(2, 23, 7, 14\).*\(2, n, 14, 14\)"),
        ({"X": X[:1]}, r"X has shape \(1, 23, 14, 14\).*\(2, n, 14, 14\)"),
        ({"X": X.long()}, "X is torch.int64"),
        ({"X": X / 0}, "X.*finite"),
        ({"y": Y[:, :9]}, r"y has shape \(2, 9\).*\(2, 23\)"),
        ({"y": Y.double()}, r"y .*float64"),
        ({"y": Y - 9}, "y holds -9 to 0: expected 0 to 9"),
        ({"y": Y + 1}, "y holds 1 to 10: expected 0 to 9"),
        ({"group": GROUP[:1]}, r"group has shape \(1, 23\).*\(2, 23\)"),
        ({"methods": DRO}, r"group is None.*\(2, 23\)"),
        ({"methods": []}, r"labels \[\]"),
        ({"methods": ERM * 2}, r"labels \['erm', 'erm'\]"),
        ({"methods": [Method("m", "rm")]}, "rm"),
        ({"methods": [Method("m", "softad")]}, "tau"),
        ({"methods": [Method("m", "chi2_dro", {"radius": 2.1})]}, "radius"),
        ({"batch_size": 24}, r"batch_size is 24.*n = 23"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"chunk": 0}, "chunk 0"),
    ],
)
def test_bad_input_says_what_is_expected(change, message):
    arguments = {"architecture": "linear", "X": X, "y": Y, "methods": ERM, **SETTINGS}
    with pytest.raises(ValueError, match=message):
        train(**{**arguments, **change})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"ascent": "up"}, "'up'.*none, sam, sharpdro, groupdro"),
        ({"ascent": "sharpdro", "rule": "cvar"}, "'cvar'.*'erm'"),
        ({"reach": 0.1}, "reach is 0.1"),
        ({"ascent": "sam", "reach": -0.1}, "reach is -0.1"),
        ({"ascent": "sam", "reach": math.nan}, "reach is nan"),
        ({"scale": 0.0}, "scale is 0.0"),
    ],
)
def test_bad_methods_say_what_is_expected(bad, message):
    with pytest.raises(ValueError, match=message):
        Method("m", **bad)
