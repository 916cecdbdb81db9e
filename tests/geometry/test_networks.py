"""The program of all members against one ordinary training loop per member."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tailwise.data import imbalance
from tailwise.data.imbalance import Task
from tailwise.geometry import networks as training
from tailwise.geometry import seli, study
from tailwise.geometry.networks import Body, Recipe, train
from tailwise.geometry.ufm import Config
from tailwise.methods import losses

SEEDS, COUNTS, D = (4, 9), (7, 5, 3, 2), 6
N, K = sum(COUNTS), len(COUNTS)
SMALL = {"epochs": 5, "batch_size": 6, "widths": (8, 5)}  # 3 steps an epoch: 6, 6, 5
RECIPES = {
    "features": Recipe(ridge=0.02, ridge_w=0.1, lr=0.01, head_factor=5.0, **SMALL),
    "ordinary": Recipe(True, ridge=0.02, lr=0.05, head_factor=2.0, **SMALL),
}
# Not symmetric, so that it matters which of the two is the label.
OFFSET = [[0, 0.3, -0.2, 0.5], [1, 0, 0.1, 0.2], [0.4, -1, 0, 0], [0, 0.7, -0.3, 0]]
CONFIGS = {
    "CE": Config(),
    "wCE": Config(weight_power=1),
    "LA": Config(tau=1.5),
    "LDT": Config(gamma=0.5),
    "LDT + 1/n": Config(gamma=0.5, weight_power=1),
    "CDT": Config("cdt", 0.5),
    "VS": Config("cdt", 0.25, tau=1),
    "offset": Config(offset=OFFSET),
    "given": Config(delta=[1.0, 0.5, 0.8, 2.0], weight=[1.0, 2.0, 0.5, 3.0]),
}
# Rounding differs with the sizes of the products; 15 steps in float64 leave 1e-12.
CLOSE = {"rtol": 0, "atol": 1e-9}
NAMES = "W H error_w error_h train_recall val_logits test_logits diverged".split()


def drawn(seeds=SEEDS, dtype=torch.float64):
    """A small task of Gaussian images around a mean of each class."""

    def labels(counts):
        return torch.arange(K).repeat_interleave(torch.tensor(counts))

    def images(seed, y):
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(len(y), D, generator=g, dtype=torch.float64)
        return (x + 1.5 * torch.eye(K, D)[y]).to(dtype)

    y, val_y, test_y = labels(COUNTS), labels([3] * K), labels([4] * K)
    return Task(
        seeds=tuple(seeds),
        counts=torch.tensor(COUNTS, dtype=torch.float64),
        X=torch.stack([images(seed, y) for seed in seeds]),
        y=y,
        val_X=torch.stack([images(100 + seed, val_y) for seed in seeds]),
        val_y=val_y,
        test_X=images(1000, test_y),
        test_y=test_y,
    )


def same(a, b, **tolerance):
    """Compare two results number by number."""
    assert a.labels == b.labels
    assert a.configs == b.configs
    assert a.epochs == b.epochs
    for name in NAMES:
        torch.testing.assert_close(
            getattr(a, name),
            getattr(b, name),
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
            **tolerance,
        )


def take(networks, seeds=slice(None), labels=None):
    """The same result, fewer members or another order."""
    labels = networks.labels if labels is None else labels
    at = [networks.index(label) for label in labels]
    return replace(
        networks,
        labels=tuple(labels),
        configs=tuple(networks.configs[i] for i in at),
        **{name: getattr(networks, name)[seeds][:, at] for name in NAMES},
    )


def by_hand(config, z, y):
    """Loss of each example from the formula, with its weight."""
    n = torch.tensor(COUNTS, dtype=z.dtype)
    delta = (n / n.max()) ** config.gamma
    if config.delta is not None:
        delta = torch.tensor(config.delta, dtype=z.dtype)
    omega = n**-config.weight_power
    omega = omega * n.sum() / (omega * n).sum()
    if config.weight is not None:
        omega = torch.tensor(config.weight, dtype=z.dtype)
    z = z * (delta[y].unsqueeze(-1) if config.kind == "ldt" else delta)
    z = z + config.tau * (n / n.sum()).log()
    if config.offset is not None:
        z = z + torch.tensor(config.offset, dtype=z.dtype).T[y]
    return omega[y] * F.cross_entropy(z, y, reduction="none")


class Plain(nn.Module):
    """One member: ordinary layers, with the weights that its seed draws."""

    def __init__(self, seed, recipe):
        super().__init__()
        body, sizes = [], (D, *recipe.widths)
        g = torch.Generator().manual_seed(seed)
        for d, f in zip(sizes, sizes[1:]):
            layer = nn.Linear(d, f, bias=not recipe.ordinary)
            layer.weight.data = torch.randn(f, d, generator=g) * (2 / d) ** 0.5
            if recipe.ordinary:
                body += [layer, nn.BatchNorm1d(f), nn.ReLU()]
            else:
                layer.bias.data.zero_()
                body += [layer, nn.ReLU()]
        self.body = nn.Sequential(*(body if recipe.ordinary else body[:-1]))
        self.head = nn.Linear(recipe.widths[-1], K, bias=False)
        g = torch.Generator().manual_seed(seed + 1_000_000)
        start = torch.randn(K, recipe.widths[-1], generator=g)
        size = recipe.widths[-1] ** -0.5 * (1 if recipe.ordinary else 0.1)
        self.head.weight.data = size * start.double()


def plain_loss(model, config, recipe, x, y):
    h = model.body(x)
    loss = by_hand(config, model.head(h), y).mean()
    if recipe.ordinary:  # weight decay is the optimiser's
        return loss
    a, b = recipe.ridge_w, recipe.ridge**2 / recipe.ridge_w
    # The sum over all embeddings, from those of the batch.
    of_h = b / 2 * N * h.square().sum() / len(y)
    return loss + a / 2 * model.head.weight.square().sum() + of_h


def plain_loop(task, s, config, recipe):
    """One ordinary run."""
    model = Plain(task.seeds[s], recipe).double()
    groups = [
        {"params": model.body.parameters(), "scale": 1.0},
        {"params": model.head.parameters(), "scale": recipe.head_factor},
    ]
    if recipe.ordinary:
        kind = {"momentum": 0.9, "weight_decay": recipe.ridge}
        optimizer = torch.optim.SGD(groups, recipe.lr, **kind)
    else:
        optimizer = torch.optim.Adam(groups, recipe.lr)
    g = torch.Generator().manual_seed(task.seeds[s] + 2_000_000)
    steps, step = recipe.epochs * math.ceil(N / recipe.batch_size), 0
    for _ in range(recipe.epochs):
        for rows in torch.randperm(N, generator=g).split(recipe.batch_size):
            rate = (1 + math.cos(math.pi * step / steps)) / 2
            if recipe.ordinary:
                rate = 0.1 ** ((step >= steps // 3) + (step >= 2 * steps // 3))
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * rate * group["scale"]
            optimizer.zero_grad()
            x, y = task.X[s, rows], task.y[rows]
            plain_loss(model, config, recipe, x, y).backward()
            optimizer.step()
            step += 1
    return model.eval()


def centred(means, config):
    """Class means less the multiple of one vector that makes the weighted sum zero."""
    n = torch.tensor(COUNTS, dtype=means.dtype)
    delta = (n / n.max()) ** config.gamma
    if config.delta is not None:
        delta = torch.tensor(config.delta, dtype=means.dtype)
    share = delta if config.kind == "ldt" else torch.ones_like(delta)
    return means - share @ means / share.sum(), delta


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def networks(recipe):
    return train(drawn(), CONFIGS, recipe, checks=3)


@pytest.fixture(scope="module")
def plain(recipe):
    """The same members, one after the other."""
    return {
        (s, label): plain_loop(drawn(), s, config, recipe)
        for s in range(len(SEEDS))
        for label, config in CONFIGS.items()
    }


# Training


def test_every_member_equals_an_ordinary_loop(recipe, networks, plain):
    task = drawn()
    assert not networks.diverged.any()
    for (s, label), model in plain.items():
        i = networks.index(label)
        with torch.no_grad():
            for name, x in (("val", task.val_X[s]), ("test", task.test_X)):
                found = getattr(networks, f"{name}_logits")[s, i]
                torch.testing.assert_close(found, model.head(model.body(x)), **CLOSE)
            h = model.body(task.X[s])
            right = (model.head(h).argmax(-1) == task.y).double()
            recall = torch.stack([right[task.y == c].mean() for c in range(K)])
            means = torch.stack([h[task.y == c].mean(0) for c in range(K)])
        W, (H, _) = model.head.weight.detach(), centred(means, CONFIGS[label])
        torch.testing.assert_close(networks.W[s, i], W, **CLOSE)
        torch.testing.assert_close(networks.H[s, i], H, **CLOSE)
        torch.testing.assert_close(networks.train_recall[s, i], recall, **CLOSE)


def test_the_ordinary_loop_tells_the_members_apart(networks):
    W = networks.W.flatten(0, 1).flatten(1)
    assert (torch.cdist(W, W) + torch.eye(len(W))).min() > 1e-3


def test_errors_are_distances_to_the_limit_of_each_member(networks):
    assert networks.epochs == (2, 3, 5)
    assert networks.error_w.shape == networks.error_h.shape == (2, len(CONFIGS), 3)
    for i, config in enumerate(CONFIGS.values()):
        _, delta = centred(networks.H[0, i], config)
        limits = seli.predicted_grams(COUNTS, delta, config.kind)
        measured = (networks.W, networks.error_w), (networks.H, networks.error_h)
        for (v, error), limit in zip(measured, limits):
            v = v[:, i]
            expected = seli.gram_error(v @ v.mT, limit)
            torch.testing.assert_close(error[:, i, -1], expected, **CLOSE)


def test_errors_on_the_way_are_those_of_the_networks_there(networks, recipe):
    # Ordinary training of three epochs is not the start of one of five, whose steps
    # shrink later: the schedule is that of five, and the loop is stopped.
    seen = []
    vectors = training._Program.vectors

    def kept(program):
        found = vectors(program)
        seen.append([v.clone() for v in found])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Program, "vectors", kept)
        again = train(drawn(), CONFIGS, recipe, checks=3)
    same(again, networks, **CLOSE)
    assert len(seen) == 4  # at three checks and at the end
    for t, (W, _) in enumerate(seen[:3]):
        for i, config in enumerate(CONFIGS.values()):
            _, delta = centred(networks.H[0, i], config)
            limit, _ = seli.predicted_grams(COUNTS, delta, config.kind)
            expected = seli.gram_error(W[:, i] @ W[:, i].mT, limit)
            torch.testing.assert_close(networks.error_w[:, i, t], expected, **CLOSE)


def test_shapes_and_types(networks, recipe):
    S, M, f = len(SEEDS), len(CONFIGS), recipe.widths[-1]
    assert networks.W.shape == networks.H.shape == (S, M, K, f)
    assert networks.W.dtype == networks.H.dtype == torch.float64
    assert networks.val_logits.shape == (S, M, 3 * K, K)
    assert networks.test_logits.shape == (S, M, 4 * K, K)
    assert networks.diverged.shape == (S, M)
    assert networks.labels == tuple(CONFIGS)
    assert networks.configs == tuple(CONFIGS.values())
    assert networks.recipe == recipe


def test_class_means_are_centred_as_the_limit_is(networks):
    n = networks.task.counts
    for i, config in enumerate(CONFIGS.values()):
        H, delta = centred(networks.H[0, i], config)
        v = seli.null_direction(delta, config.kind)
        weighted = (delta * v) @ networks.H[:, i]
        torch.testing.assert_close(weighted, torch.zeros_like(weighted), **CLOSE)
        # The limit has the same zero, and no other centre does.
        _, limit = seli.predicted_grams(n, delta, config.kind)
        zero = (delta * v) @ limit
        torch.testing.assert_close(zero, torch.zeros_like(zero), **CLOSE)


def test_the_order_of_the_configurations_does_not_matter(networks, recipe):
    order = list(reversed(CONFIGS))
    order = order[1:] + order[:1]
    shuffled = train(drawn(), {x: CONFIGS[x] for x in order}, recipe, checks=3)
    same(shuffled, take(networks, labels=order), **CLOSE)


def test_a_member_does_not_depend_on_the_others(networks, recipe):
    for s, seed in enumerate(SEEDS):
        for label in ("LDT", "VS"):
            alone = train(drawn([seed]), {label: CONFIGS[label]}, recipe, checks=3)
            same(alone, take(networks, slice(s, s + 1), [label]), **CLOSE)


def test_results_follow_the_type_of_the_data(networks, recipe):
    single = train(drawn(dtype=torch.float32), CONFIGS, recipe, checks=3)
    assert single.val_logits.dtype == torch.float32
    assert single.W.dtype == single.error_h.dtype == torch.float64
    # 15 steps, each with a relative rounding of some 1e-6.
    for name in ("W", "H", "error_w", "val_logits", "test_logits"):
        found, expected = (getattr(x, name).double() for x in (single, networks))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    some = {label: CONFIGS[label] for label in ("CE", "CDT")}
    alone = train(drawn([9], torch.float32), some, recipe, checks=3)
    same(alone, take(single, slice(1, 2), list(some)), rtol=1e-3, atol=1e-3)


def test_what_a_configuration_says_of_its_training_is_not_used(networks, recipe):
    other = {
        label: replace(c, ridge=0.3, lr=7.0, normalised=False, init=2.0, seed=5)
        for label, c in CONFIGS.items()
    }
    found = train(drawn(), other, recipe, checks=3)
    same(replace(found, configs=networks.configs), networks, **CLOSE)


def test_progress_is_told(recipe):
    told = []
    train(
        drawn(), {"CE": Config()}, recipe, checks=1, progress=lambda *t: told.append(t)
    )
    assert told == [(i, 5) for i in range(1, 6)]


# A step


@pytest.fixture
def program(recipe):
    """Members with weights of their own, and a batch."""
    task = drawn()
    program = training._Program(task, tuple(CONFIGS.values()), recipe)
    g = torch.Generator().manual_seed(0)
    for p in (*program.body.parameters(), program.head):
        p.data += 0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype).abs()
    rows = torch.stack([torch.randperm(N, generator=g)[:9] for _ in SEEDS])
    return program, task.X[torch.arange(2).unsqueeze(-1), rows], task.y[rows]


FAMILY = {
    "CE": ("ce", {}),
    "wCE": ("wce", {}),
    "LA": ("la", {"tau": 1.5}),
    "LDT": ("ldt", {"gamma": 0.5}),
    "LDT + 1/n": (
        "ldt",
        {"gamma": 0.5, "weight": losses.inverse_frequency(COUNTS)},
    ),
    "CDT": ("cdt", {"gamma": 0.5}),
    "VS": ("vs", {"gamma": 0.25, "tau": 1.0}),
}


def ridges(program, recipe, h):
    """Ridge terms of each member, from its parameters and the batch's features."""
    if recipe.ordinary:
        return torch.zeros(len(h), dtype=h.dtype)
    of_w = recipe.ridge_w / 2 * torch.stack([W.square().sum() for W in program.head])
    each = torch.stack([x.square().sum() / x.shape[-1] for x in h])
    return of_w + recipe.ridge**2 / recipe.ridge_w / 2 * N * each


def test_the_loss_of_a_batch_is_that_of_the_losses_and_the_ridge(program, recipe):
    program, x, y = program
    with torch.no_grad():
        h = program.body(x)
        value = (program.objective(x, y) - ridges(program, recipe, h)).view(2, -1)
        z = (program.head @ h).mT.unflatten(0, (2, -1))
    for s in range(2):
        for i, (label, config) in enumerate(CONFIGS.items()):
            # The mean over the examples of weight times loss: by their number, not by
            # the sum of the weights in the batch.
            if label in FAMILY:
                loss, params = FAMILY[label]
                each = losses.family_loss(
                    z[s, i], y[s], COUNTS, loss, reduction="none", **params
                )
            else:
                knobs = {
                    "label_temperature": config.delta,
                    "offset": config.offset and z.new_tensor(OFFSET).T,
                    "weight": config.weight,
                }
                each = losses.adjusted_cross_entropy(
                    z[s, i], y[s], reduction="none", **knobs
                )
            torch.testing.assert_close(value[s, i], each.mean(), **CLOSE)
            written = by_hand(config, z[s, i], y[s])
            torch.testing.assert_close(each, written, **CLOSE)


def test_the_ridge_is_a_ridge_of_the_free_model_by_the_balance_of_both_factors():
    recipe, task = RECIPES["features"], drawn()
    program = training._Program(task, (Config(),), recipe)
    x, y = task.X, task.y.expand(2, -1)  # all examples are one batch
    with torch.no_grad():
        h = program.body(x)
        found = program.objective(x, y)
        z = (program.head @ h).mT
        loss = torch.stack([F.cross_entropy(a, b) for a, b in zip(z, y)])
        # W and H times and over the fourth root of the ratio: the product stays, and
        # the ridge becomes `ridge` for both.
        root = (recipe.ridge_w / recipe.ridge) ** 0.5
        W, H = root * program.head, h / root
        squares = W.square().sum((1, 2)) + H.square().sum((1, 2))
    torch.testing.assert_close(found, loss + recipe.ridge / 2 * squares, **CLOSE)


def test_four_times_the_images_are_twice_the_ridge():
    recipe, task = RECIPES["features"], drawn()
    more = replace(
        task, counts=4 * task.counts, X=task.X.repeat(1, 4, 1), y=task.y.repeat(4)
    )
    program = training._Program(more, (Config(),), recipe)
    twice = training._Program(
        task, (Config(),), replace(recipe, ridge=2 * recipe.ridge)
    )
    with torch.no_grad():
        found = program.objective(more.X, more.y.expand(2, -1))
        expected = twice.objective(task.X, task.y.expand(2, -1))
    torch.testing.assert_close(found, expected, **CLOSE)


def test_offsets_from_the_prediction_fit_until_the_ridge_is_that_of_full():
    """Ten times the images: the square root of ten times the ridge."""
    task = imbalance.draw([0], 500, 50)
    helped = study.all_assisted(task.counts, ("CE", "LDT 1/2", "CDT 1/2"))
    for ridge, fits in ((1, True), (math.sqrt(10), False)):
        recipe = replace(training.FEATURES, ridge=ridge * training.FEATURES.ridge)
        recall = train(task, helped, recipe).train_recall.amin(-1)
        assert ((recall > 0.99) if fits else (recall < 0.5)).all()


def test_the_gradient_of_a_step_is_that_of_ordinary_modules(program, recipe):
    program, x, y = program
    program.objective(x, y).sum().backward()
    for member in range(2 * len(CONFIGS)):
        s, i = divmod(member, len(CONFIGS))
        model = Plain(0, recipe).double()
        copy_weights(model.body, program.body, member)
        model.head.weight.data = program.head[member].data.clone()
        config = list(CONFIGS.values())[i]
        plain_loss(model, config, recipe, x[s], y[s]).backward()
        torch.testing.assert_close(
            program.head.grad[member], model.head.weight.grad, **CLOSE
        )
        layers = [m for m in model.body if isinstance(m, nn.Linear)]
        for ours, theirs in zip(program.body.weights, layers, strict=True):
            torch.testing.assert_close(ours.grad[member], theirs.weight.grad, **CLOSE)
        norms = [m for m in model.body if isinstance(m, nn.BatchNorm1d)]
        shifted = norms if recipe.ordinary else layers
        for ours, theirs in zip(program.body.shifts, shifted, strict=True):
            grad = ours.grad[member].squeeze(-1)
            torch.testing.assert_close(grad, theirs.bias.grad, **CLOSE)
        for ours, theirs in zip(program.body.gains, norms, strict=True):
            grad = ours.grad.view(2 * len(CONFIGS), -1)[member]
            torch.testing.assert_close(grad, theirs.weight.grad, **CLOSE)


def test_members_of_a_seed_start_alike(recipe):
    program = training._Program(drawn(), tuple(CONFIGS.values()), recipe)
    for p in (program.head, *program.body.weights):
        a, b = p.detach().unflatten(0, (2, -1))
        assert torch.equal(a, a[:1].expand_as(a))
        assert torch.equal(b, b[:1].expand_as(b))
        assert (a != b).all()


def test_a_warm_start_has_the_shape_of_the_limit(recipe):
    cold, warm = (
        training._Program(drawn(), tuple(CONFIGS.values()), replace(recipe, warm=warm))
        for warm in (False, True)
    )
    for W, start, limit in zip(
        warm.head, cold.head, cold.loss.targets()[0].repeat(2, 1, 1)
    ):
        W, start = W.detach().double(), start.detach().double()
        assert seli.gram_error(W @ W.T, limit) < 1e-5  # single precision
        torch.testing.assert_close(W.norm(), start.norm(), rtol=1e-5, atol=0)
        # Of all with this shape and length, none in its frame is nearer to the start.
        U, _, Vh = torch.linalg.svd(start.T @ W, full_matrices=False)
        assert (start * W).sum() > 0
        assert torch.linalg.matrix_rank(torch.cat([start, W]), rtol=1e-4) <= K
    for a, b in zip(warm.body.weights, cold.body.weights):
        assert torch.equal(a, b)


# Layers


def copy_weights(layers, body, member):
    """Give an `nn.Sequential` the weights and running numbers of one member."""
    linear = [m for m in layers if isinstance(m, nn.Linear)]
    norms = [m for m in layers if isinstance(m, nn.BatchNorm1d)]
    for j, layer in enumerate(linear):
        layer.weight.data = body.weights[j][member].data.clone()
        shift = body.shifts[j][member, :, 0].data.clone()
        if norms:
            M = len(body.weights[j])
            norms[j].bias.data = shift
            norms[j].weight.data = body.gains[j].data.view(M, -1)[member].clone()
            mean, var = body.running[j].data.view(2, M, -1)[:, member].clone()
            norms[j].running_mean, norms[j].running_var = mean, var
        else:
            layer.bias.data = shift


@pytest.mark.parametrize("norm", [False, True])
def test_layers_are_those_of_torch(norm):
    recipe = replace(RECIPES["ordinary" if norm else "features"], widths=(8, 7, 5))
    body = Body(SEEDS, 3, (D, 8, 7, 5), norm).double()
    g = torch.Generator().manual_seed(0)
    for p in body.parameters():
        p.data += torch.rand(p.shape, generator=g, dtype=p.dtype)
    plain = [Plain(0, recipe).double().body for _ in range(6)]
    for member, layers in enumerate(plain):
        copy_weights(layers, body, member)
    for training_mode in (True, True, False):  # running means move, then are used
        body.train(training_mode)
        x = torch.randn(2, 11, D, generator=g, dtype=torch.float64)
        h = body(x)
        assert h.shape == (6, 5, 11)
        for member, layers in enumerate(plain):
            layers.train(training_mode)
            expected = layers(x[member // 3]).T
            torch.testing.assert_close(h[member], expected, **CLOSE)
    # Only with the norm are the features cut at zero.
    assert (h < 0).any() != norm


def test_running_means_are_not_trained():
    body = Body(SEEDS, 3, (D, 8, 5), True)
    assert not any(p.requires_grad for p in body.running)
    program = training._Program(drawn(), (Config(),), RECIPES["ordinary"])
    groups = program.optimizer(6)[0].param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert not held & {id(p) for p in program.body.running}
    assert {id(p) for p in (*program.body.gains, *program.body.shifts)} <= held


def test_measuring_changes_no_running_mean():
    recipe = RECIPES["ordinary"]
    once, often = (train(drawn(), CONFIGS, recipe, checks=c) for c in (1, 5))
    assert often.epochs == (1, 2, 3, 4, 5)
    last = {f"error_{x}": getattr(often, f"error_{x}")[..., -1:] for x in "wh"}
    same(replace(often, epochs=once.epochs, **last), once, rtol=0, atol=0)


# Members that diverge

WILD = Config(delta=[1e30] * K, weight=[1e30] * K)  # infinite slopes in float32


def test_a_member_that_diverges_is_marked_and_harms_no_other(recipe):
    task = drawn(dtype=torch.float32)
    labels = [x for pair in zip(CONFIGS, (f"wild {x}" for x in CONFIGS)) for x in pair]
    both = {label: CONFIGS.get(label, WILD) for label in labels}
    mixed, tame = (train(task, c, recipe, checks=2) for c in (both, CONFIGS))
    assert mixed.diverged[:, 1::2].all()
    assert not tame.diverged.any()
    assert mixed.error_w[:, 1::2, -1].isnan().all()
    same(take(mixed, labels=list(CONFIGS)), tame, rtol=1e-3, atol=1e-3)


def test_an_absurd_learning_rate_is_marked_in_every_member():
    recipe = replace(RECIPES["ordinary"], lr=1e30)
    found = train(drawn(dtype=torch.float32), CONFIGS, recipe, checks=2)
    assert found.diverged.all()


# Input


@pytest.mark.parametrize(
    ("change", "given"),
    [
        ({"configs": {}}, r"\(0, 5, 2\)"),
        ({"recipe": replace(RECIPES["features"], widths=(8, 2))}, r"\(9, 2, 2\)"),
        ({"checks": 0}, r"\(9, 5, 0\)"),
        ({"checks": 6}, r"\(9, 5, 6\)"),
    ],
)
def test_bad_input_says_what_is_expected(change, given):
    arguments = {"configs": CONFIGS, "recipe": RECIPES["features"], "checks": 2}
    message = f"configs, features, checks are {given}: expected ≥ 1, ≥ 3, 1 to 5"
    with pytest.raises(ValueError, match=message):
        train(drawn(), **{**arguments, **change})


def test_as_many_features_as_the_limit_needs_are_enough():
    recipe = replace(RECIPES["features"], widths=(8, K - 1))
    assert train(drawn(), {"CE": Config()}, recipe, checks=5).W.shape[-1] == K - 1


def test_bad_numbers_of_a_configuration_are_named():
    for name, value in (("delta", [1.0, 2.0]), ("weight", [1, 1, 1, -1])):
        bad = {"bad": Config(**{name: value})}
        with pytest.raises(ValueError, match=name):
            train(drawn(), bad, RECIPES["features"], checks=1)


def test_an_unknown_label_is_an_error():
    two = {"CE": Config(), "LA": Config(tau=1)}
    found = train(drawn(), two, RECIPES["features"], checks=1)
    assert [found.index(x) for x in ("CE", "LA")] == [0, 1]
    with pytest.raises(ValueError, match=r"unknown label 'LDT'.*\('CE', 'LA'\)"):
        found.index("LDT")
