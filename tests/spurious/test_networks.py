"""The networks of chapter 2: losses, sampling, one network per recipe, features."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tailwise.data import spurious
from tailwise.models import resnet
from tailwise.softad import Method, ensemble
from tailwise.spurious import group_dro
from tailwise.spurious import networks as training
from tailwise.spurious.networks import Recipe, fit

COUNTS = {
    "train": (50, 20, 10, 30),
    "val": (6, 6, 6, 6),
    "hold": (6, 2, 2, 4),
    "test": (5, 4, 3, 4),
}
TINY = replace(spurious.BIRDS, counts=COUNTS)
RECIPE = Recipe(TINY, seed=0, epochs=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def splits():
    return spurious.draw(TINY, generator=generator())


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A function that turns to another empty cache; called once at the start."""
    n = 0

    def empty():
        nonlocal n
        n += 1
        monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / str(n)))

    empty()
    return empty


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# Losses


def batches(n, groups):
    g = generator(1)
    for drawn in groups:
        group = torch.tensor(drawn)[torch.randint(len(drawn), (n,), generator=g)]
        yield torch.randn(n, 2, generator=g, dtype=torch.float64), group


def group_means(logits, group):
    """Mean loss per group, zero where a group is absent; one group after another."""
    each = F.cross_entropy(logits, group // 2, reduction="none")
    found = [each[group == k] for k in range(4)]
    return torch.stack([v.mean() if len(v) else v.sum() for v in found])


def test_the_erm_loss_does_not_see_the_attribute():
    ((logits, group),) = batches(40, [range(4)])
    expected = F.cross_entropy(logits, group // 2)
    assert torch.equal(group_dro.erm_loss(logits, group), expected)
    assert torch.equal(group_dro.erm_loss(logits, group ^ 1), expected)


def test_group_dro_without_steps_is_the_mean_of_group_means():
    loss = group_dro.group_dro_loss(0.0)
    for logits, group in batches(40, [range(4)] * 3):
        # Sums of 40 terms in another order.
        torch.testing.assert_close(
            loss(logits, group), group_means(logits, group).mean(), rtol=1e-13, atol=0
        )


def test_group_weights_are_a_softmax_of_summed_losses():
    step, total = 0.7, torch.zeros(4, dtype=torch.float64)
    loss = group_dro.group_dro_loss(step)
    present = [range(4), (0, 3), (1, 2, 3), (2,), range(4)]
    for logits, group in batches(40, present):
        logits.requires_grad_()
        mean = group_means(logits, group)
        # What is absent adds nothing, so it keeps its weight relative to the others.
        total += mean.detach()
        expected = (step * total).softmax(0) @ mean
        found = loss(logits, group)
        # The weights start in single precision, 1e-7, but a quarter is exact.
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        # They are constants to the gradient.
        gradients = (torch.autograd.grad(v, logits)[0] for v in (found, expected))
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


def test_chapter_3_moves_the_same_weights():
    step, q = 0.7, torch.full((1, 1, 4), 0.25, dtype=torch.float64)
    loss, method = group_dro.group_dro_loss(step), Method("DRO", ascent="groupdro")
    weigh = ensemble.Weights([method], [0], "groupdro", q, step)
    for logits, group in batches(40, [range(4), (0, 3), (1, 2, 3), (2,), range(4)]):
        each = F.cross_entropy(logits, group // 2, reduction="none")
        member = F.one_hot(group, 4).to(each)
        found = weigh(each[None, None], member[None])[0, 0] @ each
        torch.testing.assert_close(found, loss(logits, group), rtol=1e-12, atol=0)


def test_group_weights_move_to_the_group_with_the_larger_loss():
    ((logits, group),) = batches(40, [range(4)])
    logits[group == 2] += torch.tensor([2.0, 0.0])
    mean = group_means(logits, group)
    loss = group_dro.group_dro_loss(0.5)
    found = torch.stack([loss(logits, group) for _ in range(10)])
    assert found[0] > mean.mean()
    assert (found.diff() > 0).all()
    # After ten steps the ratio of two weights is exp(10 * 0.5 * gap of their losses).
    others = mean.sort().values
    left = 3 * torch.exp(-10 * 0.5 * (others[3] - others[2])) * (others[3] - others[0])
    assert mean.argmax() == 2
    assert 0 < mean[2] - found[-1] < left < 0.05
    # Another loss starts again with equal weights.
    assert group_dro.group_dro_loss(0.5)(logits, group) == found[0]


# Sampling


def numbered(counts):
    """Images whose only pixel is their number."""
    group = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    n = torch.arange(len(group))
    mask = torch.zeros(len(group), 1, 1, dtype=torch.bool)
    return spurious.Images(
        x=n.float()[:, None, None, None],
        y=group // 2,
        a=group % 2,
        object_mask=mask,
        nuisance_mask=mask,
        source=n,
    )


@pytest.mark.parametrize(
    "counts", [(3000, 900, 90, 10), (2000, 1900, 100, 0), (0, 5, 3995, 0)]
)
def test_sampling_draws_the_groups_that_occur_about_equally(counts):
    images = numbered(counts)
    drawn = group_dro.group_balanced(images, 3)
    assert len(drawn) == len(images)
    found = drawn.group.bincount(minlength=4).double() / len(images)
    occurs = torch.tensor(counts) > 0
    assert (found[~occurs] == 0).all()
    p = 1 / occurs.sum()
    # Four standard errors of a share.
    assert ((found[occurs] - p).abs() < 4 * (p * (1 - p) / len(images)).sqrt()).all()


def test_sampling_keeps_images_whole_and_follows_its_seed():
    images = numbered((50, 30, 10, 10))
    drawn = group_dro.group_balanced(images, 3)
    assert torch.equal(drawn.x.flatten().long(), drawn.source)
    assert torch.equal(drawn.group, images.group[drawn.source])
    assert torch.equal(drawn.source, group_dro.group_balanced(images, 3).source)
    assert not torch.equal(drawn.source, group_dro.group_balanced(images, 4).source)


# One network per recipe


def test_a_recipe_is_trained_once(splits):
    state = torch.random.get_rng_state()
    trained, first = fit(RECIPE, splits)
    found, second = fit(RECIPE, splits)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (first, second) == (True, False)
    assert same(trained, found)
    x = splits.test.x.to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(trained(x), found(x))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"method": "balanced data"},
        {"method": "group-balanced sampling"},
        {"method": "group DRO"},
        {"pretrained": False},
        {"epochs": 2},
    ],
)
def test_another_recipe_is_another_network(splits, change):
    plain, _ = fit(RECIPE, splits)
    other, now = fit(replace(RECIPE, **change), splits)
    assert now
    assert not torch.equal(plain.head.weight, other.head.weight)


def test_the_step_of_group_dro_is_used(splits):
    a, b = (
        fit(replace(RECIPE, method="group DRO", dro_step=step), splits)[0]
        for step in (0.01, 1.0)
    )
    assert not same(a, b)


def test_methods_are_erm_on_other_images_or_with_another_loss(
    splits, empty_cache, monkeypatch
):
    for method, train in (
        ("balanced data", splits.balanced),
        ("group-balanced sampling", group_dro.group_balanced(splits.train, 0)),
        ("group DRO", group_dro.group_balanced(splits.train, 0)),
    ):
        model, _ = fit(replace(RECIPE, method=method), splits)
        empty_cache()
        with monkeypatch.context() as patch:
            if method == "group DRO":
                dro = group_dro.group_dro_loss(RECIPE.dro_step)
                patch.setattr(group_dro, "erm_loss", dro)
            by_hand, now = fit(RECIPE, replace(splits, train=train))
        assert now
        assert same(model, by_hand), method


def test_the_same_recipe_gives_the_same_network(splits, empty_cache):
    recipes = [replace(RECIPE, seed=seed, pretrained=False) for seed in (0, 1)]
    before = torch.get_rng_state()
    first = [fit(recipe, splits) for recipe in recipes]
    assert torch.equal(torch.get_rng_state(), before)
    empty_cache()
    torch.rand(1)
    second = [fit(recipe, splits) for recipe in recipes]
    assert all(now for _, now in first + second)
    for (a, _), (b, _) in zip(first, second):
        assert same(a, b)
    assert not same(first[0][0], first[1][0])


def test_the_step_of_group_dro_matters_to_it_alone(splits):
    for method, again in (("ERM", False), ("group DRO", True)):
        _, first = fit(replace(RECIPE, method=method), splits)
        _, second = fit(replace(RECIPE, method=method, dro_step=0.5), splits)
        assert (first, second) == (True, again), method


def test_the_start_is_the_shipped_one_or_random(splits):
    shipped = training.pretrained_body()
    start, _ = fit(replace(RECIPE, epochs=0), splits)
    body = start.body.state_dict()
    # A count of batches, which decides nothing, is all that is not shipped.
    assert {k for k in body if not k.endswith("num_batches_tracked")} == set(shipped)
    for name, weights in shipped.items():
        assert torch.equal(body[name], weights), name
    random, _ = fit(replace(RECIPE, epochs=0, pretrained=False), splits)
    assert not torch.equal(random.body[0].weight, start.body[0].weight)
    # The fresh layer is drawn from the seed alone.
    assert torch.equal(random.head.weight, start.head.weight)
    other, _ = fit(replace(RECIPE, epochs=0, seed=1), splits)
    assert not torch.equal(other.head.weight, start.head.weight)


def test_an_unknown_method_is_named_with_the_known_ones(splits):
    known = "'ERM', 'group-balanced sampling', 'group DRO', 'balanced data'"
    with pytest.raises(ValueError, match=f"unknown method 'IRM': .*{known}"):
        fit(replace(RECIPE, method="IRM"), splits)


# Features


@pytest.fixture(scope="module")
def embedded(splits, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        model, _ = fit(RECIPE, splits)
    return model, training.embed(model, splits, "cpu")


def test_features_are_means_of_maps(embedded, splits):
    model, world = embedded
    assert world.maps.shape == (len(splits.test), 128, 8, 8)
    means = world.maps.double().mean((-2, -1)).numpy()
    np.testing.assert_array_equal(world.features["test"], means)
    for name in training.SETS:
        x = getattr(splits, name).x
        with torch.no_grad():
            by_hand = model.maps(x).mean((-2, -1)).double()
        # Single precision, in which another memory layout sums in another order.
        np.testing.assert_allclose(world.features[name], by_hand, rtol=1e-4, atol=1e-5)


def test_the_networks_score_is_its_head_on_its_features(embedded, splits):
    model, world = embedded
    for name in training.SETS:
        with torch.no_grad():
            logits = model(getattr(splits, name).x).double()
        scores = world.features[name] @ world.coef + world.intercept
        # 128 products in single precision.
        np.testing.assert_allclose(scores, logits[:, 1] - logits[:, 0], atol=1e-5)


def test_only_the_sets_asked_for_are_extracted(embedded, splits):
    model, world = embedded
    assert set(world.features) == set(training.SETS)
    few = training.embed(model, splits, "cpu", ("val",))
    assert set(few.features) == {"val", "test"}
    for name, found in few.features.items():
        np.testing.assert_array_equal(found, world.features[name])
    assert few.splits is splits


# The architecture


def test_a_folded_network_is_the_same_function():
    model = resnet.SmallResNet(2, n_features=7, widths=(2, 3, 4, 5)).double()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            torch.nn.init.uniform_(values, 0.5, 2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        small = resnet.folded(model)
        torch.testing.assert_close(small(x), model.eval()(x))
    assert not any("running" in name for name in small.state_dict())
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_last_map_is_eight_by_eight():
    model = resnet.SmallResNet(5, n_features=7, widths=(2, 3, 4, 5)).eval()
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        maps, features, logits = model.maps(x), model.features(x), model(x)
    assert maps.shape == (3, 7, 8, 8)
    assert (maps >= 0).all()
    assert torch.equal(features, maps.mean((-2, -1)))
    assert torch.equal(logits, model.head(features))
    assert logits.shape == (3, 5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_adds_its_shortcut(stride):
    block = resnet.Block(2, 3, stride).eval()
    x = torch.randn(1, 2, 8, 8)
    with torch.no_grad():
        assert block(x).shape == (1, 3, 8 // stride, 8 // stride)
        kept = block(x)
        for weight in (block.body[-1].weight, block.body[-1].bias):
            weight.zero_()
        assert torch.equal(block(x), block.shortcut(x).relu())
    assert not torch.equal(kept, block(x))


def test_wide_features_keep_sixteen_parts_of_the_validation_set_apart(splits):
    model = resnet.SmallResNet(2).eval()
    found = training.embed(model, splits, "cpu", ("val", "wide"))
    assert set(found.features) == {"val", "wide", "test"}
    maps = resnet.folded(model).maps(splits.val.x).detach().double()
    n, d, h, w = maps.shape
    by_hand = np.stack(
        [
            maps[:, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((-2, -1))
            for c in range(d)
            for i in range(h // 2)
            for j in range(w // 2)
        ],
        1,
    )
    assert found.features["wide"].shape == (n, 16 * d)
    # Single precision.
    np.testing.assert_allclose(found.features["wide"], by_hand, rtol=1e-4, atol=1e-5)
    mean = found.features["wide"].reshape(n, d, 16).mean(-1)
    np.testing.assert_allclose(mean, found.features["val"], rtol=1e-4, atol=1e-5)


def test_weight_decay_is_that_of_the_recipe(splits, monkeypatch):
    seen = []
    monkeypatch.setattr(
        training.loop, "train", lambda *_, **options: seen.append(options)
    )
    for decay in (1e-4, 3.0):
        fit(replace(RECIPE, decay=decay), splits)
    assert [options["weight_decay"] for options in seen] == [1e-4, 3.0]
