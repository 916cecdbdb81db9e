"""Chapter 2's runs: what a head is measured by, and every head of one seed."""

import warnings
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tailwise.data import spurious
from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.metrics import GroupAccuracies, estimate, group_accuracies
from tailwise.spurious import explain, reports, study
from tailwise.spurious.networks import Embedded, Recipe, embed, fit
from tailwise.spurious.study import Head, Report

# A few percent of the worlds, with enough of each group for a refit and half of it.
TRAIN, VAL, HOLD, TEST = (60, 20, 14, 40), (24, 20, 16, 16), (20, 14, 14, 20), (25,) * 4
METHODS = [
    "ERM",
    "ERM, moved threshold",
    "AFR",
    "DFR, held-out as trained",
    "DFR",
    "group-balanced sampling",
    "group DRO",
    "balanced data",
]
KINDS = ["own", "moved threshold", "DFR"]
TRAINED = ["group-balanced sampling", "group DRO", "balanced data"]
SCRATCH = ["ERM, from scratch", "balanced data, from scratch"]
REFITTED = [study.name_of(name, kind) for name in TRAINED for kind in KINDS]
REFITTED += [study.name_of(name, kind) for name in SCRATCH for kind in KINDS]


def tiny(name):
    counts = dict(zip(("train", "val", "hold", "test"), (TRAIN, VAL, HOLD, TEST)))
    if name == "skin":
        counts = {k: c if k == "test" else (*c[:3], 0) for k, c in counts.items()}
    return replace(spurious.WORLDS[name], counts=counts)


RECIPES = {name: Recipe(tiny(name), seed=0, epochs=1) for name in spurious.WORLDS}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Shared by the tests, so that each network is trained once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# Reports, on features made by hand


def images(group):
    """Blank images with the object on the left half and the nuisance on the right."""
    y, a = group // 2, group % 2
    left = (torch.arange(4) < 2).expand(len(group), 4, 4)
    x = torch.zeros(len(group), 3, 4, 4)
    return spurious.Images(
        x=x,
        y=y,
        a=a,
        object_mask=left,
        nuisance_mask=~left,
        source=torch.arange(len(group)),
    )


def made_world(counts=(40, 30, 20, 10), noise=0.0, seed=0):
    """Four features: one of the object, the attribute, and two of noise.

    The object's is the same in both redraws; its map lies on the left half, all others
    on the right. Redraws differ in the two of noise.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(4), counts)
    y, a = group // 2, group % 2
    core = y - 0.5 + 0.4 * rng.normal(size=len(y))

    def features(attribute):
        blur = attribute + noise * rng.normal(size=len(a))
        return np.column_stack([core, blur, rng.normal(size=(len(a), 2))])

    made = {"test": a, "test_same": a, "test_swapped": 1 - a}
    made = {name: features(attribute) for name, attribute in made.items()}
    test = images(torch.from_numpy(group))
    train = images(torch.tensor([0] * 7 + [1] + [2] + [3] * 3))
    maps = torch.zeros(len(y), 4, 4, 4)
    values = 2 * torch.from_numpy(made["test"]).float()[:, :, None, None]
    maps[:, :1, :, :2], maps[:, 1:, :, 2:] = values[:, :1], values[:, 1:]
    splits = SimpleNamespace(test=test, train=train)
    return Embedded(
        features=made,
        maps=maps,
        splits=splits,
        coef=np.array([1.0, 0.5, 0.1, 0]),
        intercept=0.1,
    )


@pytest.fixture(scope="module")
def world():
    return made_world()


def some_heads(n, d=4):
    rng = np.random.default_rng(1)
    return [Head(rng.normal(size=d), rng.normal()) for _ in range(n)]


def test_accuracies_are_counted_per_group(world):
    test = world.splits.test
    for head in some_heads(5):
        found = study.report(head, world)
        right = []
        for k in range(4):
            rows = (test.group == k).numpy()
            scores = world.features["test"][rows] @ head.coef + head.intercept
            right.append(np.mean((scores > 0) == (k >= 2)))
        np.testing.assert_array_equal(found.accuracy.per_group, right)
        assert found.worst == min(right)
        assert found.worst_present == min(right[:3])
        # Weights are the shares of training; rounding of a sum of four.
        prior = np.dot(right, [7, 1, 1, 3]) / 12
        assert found.accuracy.accuracy_train_prior == pytest.approx(prior, rel=1e-14)


def test_a_head_on_what_redraws_keep_has_no_nuisance_effect(world):
    found = study.report(Head(np.array([2.0, 0, 0, 0]), -0.1), world)
    assert found.nuisance_effect == 0
    assert (found.swap_flips, found.redraw_flips, found.excess_flips) == (0, 0, 0)
    assert found.nuisance_weight == 0
    assert found.label_gap > 1


@pytest.mark.parametrize("weight", [1.5, -0.5])
@pytest.mark.parametrize("core", [0.0, 1.0])
def test_the_nuisance_effect_is_the_weight_of_the_attribute(world, core, weight):
    head = Head(np.array([core, weight, 0, 0]), 0.2)
    found = study.report(head, world)
    # From 0 to 1 every score changes by the weight, whatever the image had.
    expected = weight / head.scores(world.features["test"]).std(ddof=1)
    assert found.nuisance_effect == pytest.approx(expected, rel=1e-12)
    # Means of groups differ by it, too, where the rest does not follow the attribute.
    if core == 0:
        assert found.attribute_gap == pytest.approx(expected, rel=1e-12)
        assert found.label_gap == pytest.approx(0, abs=1e-12)


def test_the_nuisance_effect_does_not_depend_on_which_redraw_is_the_test():
    # Test and counterfactual exchanged, with the attribute: the same two pictures.
    one = made_world(counts=(20, 20, 20, 20), noise=0.3)
    f, test = one.features, one.splits.test
    other = replace(
        one,
        features={**f, "test": f["test_swapped"], "test_swapped": f["test"]},
        splits=SimpleNamespace(test=replace(test, a=1 - test.a), train=test),
    )
    for head in some_heads(3):
        effects = [
            study.report(head, w).nuisance_effect
            * head.scores(w.features["test"]).std()
            for w in (one, other)
        ]
        assert effects[0] == pytest.approx(effects[1], rel=1e-12)


def test_flips_of_a_head_on_the_attribute_alone(world):
    found = study.report(Head(np.array([0, 1.0, 0, 0]), -0.5), world)
    assert (found.swap_flips, found.redraw_flips, found.excess_flips) == (1, 0, 1)
    noise = study.report(Head(np.array([0, 0, 1.0, 0]), 0.0), world)
    f = world.features
    for name, flips in (
        ("test_same", noise.redraw_flips),
        ("test_swapped", noise.swap_flips),
    ):
        assert flips == np.mean((f["test"][:, 2] > 0) != (f[name][:, 2] > 0))
        assert flips > 0


def test_the_nuisance_weight_is_a_share_in_units_of_spread(world):
    spread = world.features["test"].std(0)
    groups = world.splits.test.group
    effect = explain.neuron_effects(torch.from_numpy(world.features["test"]), groups)
    nuisance = (effect[1].abs() > reports.MIXED).numpy()
    assert nuisance[:2].tolist() == [False, True]
    for head in some_heads(3):
        weight = np.abs(head.coef) * spread
        expected = weight[nuisance].sum() / weight.sum()
        found = study.report(head, world).nuisance_weight
        assert found == pytest.approx(expected, rel=1e-12)
    assert study.report(Head(np.eye(4)[1], 0.0), world).nuisance_weight == 1


def test_maps_are_shared_out_between_object_and_nuisance(world):
    on_object = study.report(Head(np.array([1.0, 0, 0, 0]), 0.0), world)
    assert (on_object.object_share, on_object.nuisance_share) == (1, 0)
    # The attribute has no values below zero: with a negative weight it speaks for 0.
    on_nuisance = study.report(Head(np.array([0, -1.0, 0, 0]), 0.0), world)
    assert (on_nuisance.object_share, on_nuisance.nuisance_share) == (0, 1)
    for found in (on_object, on_nuisance):
        assert (found.object_floor, found.nuisance_floor) == (0.5, 0.5)


def test_one_class_of_each_image_is_mapped_whatever_is_predicted(world):
    test = world.splits.test
    for head in some_heads(3):
        evidence = (world.maps * torch.from_numpy(head.coef)[:, None, None]).sum(1)
        sign = (2 * test.y - 1)[:, None, None]
        shares = []
        for cam, half in (
            (evidence * sign, np.s_[..., :2]),
            (-evidence, np.s_[..., 2:]),
        ):
            cam = cam.relu()
            each = cam[half].sum((-2, -1)) / cam.sum((-2, -1))
            shares.append(each.nanmean().item())
        for intercept in (-9.0, 0.0, 9.0):
            found = study.report(replace(head, intercept=intercept), world)
            # Single precision.
            assert found.object_share == pytest.approx(shares[0], rel=1e-4)
            assert found.nuisance_share == pytest.approx(shares[1], rel=1e-4)


def test_images_without_a_nuisance_do_not_count_in_its_share(world):
    test = world.splits.test
    few = replace(test, nuisance_mask=test.nuisance_mask & (test.a == 1)[:, None, None])
    other = replace(world, splits=SimpleNamespace(test=few, train=test))
    head = Head(np.array([0, -1.0, 0, 0]), 0.0)
    assert study.report(head, other).nuisance_share == 1
    assert study.report(head, other).nuisance_floor == 0.5


def test_maps_without_evidence_are_counted_and_left_out(world):
    test = world.splits.test
    # The attribute speaks for label 1 or not at all.
    found = study.report(Head(np.array([0, 1.0, 0, 0]), 0.0), world)
    empty = (test.y == 0) | (test.a == 0)
    assert found.empty_maps == empty.double().mean()
    assert found.object_share == 0
    assert np.isnan(found.nuisance_share)


# Heads


def held_out(seed=2):
    drawn = made_world((60, 25, 10, 30), noise=0.3, seed=seed)
    return drawn.features["test"], drawn.splits.test


def worst_group(head, X, held):
    return group_accuracies(held.y, head.scores(X) > 0, held.group).accuracy_worst_group


def test_a_moved_head_keeps_its_direction_and_is_no_worse():
    X, held = held_out()
    gains = []
    for head in some_heads(20):
        moved = study.moved(head, X, held)
        np.testing.assert_array_equal(moved.coef, head.coef)
        gains.append(worst_group(moved, X, held) - worst_group(head, X, held))
        # No intercept would have done better: one in every gap between two scores.
        scores = np.sort(X @ head.coef)
        cuts = [-np.inf, *(scores[1:] + scores[:-1]) / 2, np.inf]
        best = max(worst_group(Head(head.coef, -cut), X, held) for cut in cuts)
        assert worst_group(moved, X, held) == best
    assert min(gains) >= 0
    assert max(gains) > 0


def test_a_refitted_head_is_deep_feature_reweighting(world):
    X, held = held_out()
    train = X[::2] * [1, 2, 3, 4]
    head, estimator = study.refitted(
        replace(world, features={"train": train}), X, held, 5
    )
    # The same sums.
    np.testing.assert_array_equal(head.scores(X), estimator.decision_function(X))
    by_hand = DeepFeatureReweighting(random_state=5)
    by_hand.fit(X, held.y.numpy(), groups=held.group.numpy(), X_reference=train)
    np.testing.assert_array_equal(head.coef, by_hand.coef_[0])
    assert head.intercept == by_hand.intercept_[0]


def test_afr_is_fitted_without_attributes_and_tuned_with_them(world):
    (X, held), (X_val, val) = held_out(3), held_out(13)

    def fitted(held, val):
        splits = SimpleNamespace(hold=held, val=val)
        features = {"hold": X, "val": X_val}
        return study.automatic(
            Head(np.array([1.0, 1.0, 0, 0]), -0.5),
            replace(world, features=features, splits=splits),
        )

    head = fitted(held, val)
    blind = fitted(replace(held, a=1 - held.a), val)
    np.testing.assert_array_equal(head.coef, blind.coef)
    assert head.intercept == blind.intercept
    # Tuned by class, the worst group can only be worse, and here it is.
    by_class = fitted(held, replace(val, a=torch.zeros_like(val.a)))
    assert worst_group(head, X_val, val) > worst_group(by_class, X_val, val)


def test_joined_images_are_one_after_the_other():
    a, b = (images(torch.tensor(group)) for group in ([0, 1, 2], [3, 3]))
    both = study.joined(replace(a, x=a.x + 1), b)
    assert len(both) == 5
    assert both.group.tolist() == [0, 1, 2, 3, 3]
    for field in fields(spurious.Images):
        rest = getattr(both.take(torch.arange(3, 5)), field.name)
        assert torch.equal(rest, getattr(b, field.name))
    assert (both.x[:3] == 1).all()


# Zeros


def test_zeros_of_a_mean_head_only_get_fewer():
    rng = np.random.default_rng(0)
    n, d = 160, 24
    group = np.arange(n) % 4
    X = rng.normal(size=(n, d))
    X[:, :6] += 0.8 * (group // 2)[:, None]
    X[:, 3:9] += 0.8 * (group % 2)[:, None]
    estimator = DeepFeatureReweighting([0.1], n_resamples=12, random_state=0)
    # Unequal groups, so that resamples differ.
    rows = np.r_[np.flatnonzero(group != 1), np.flatnonzero(group == 1)[:15]]
    estimator.fit(X[rows], group[rows] // 2, groups=group[rows])
    world = replace(made_world(), features={"test": X})
    world.splits.test = images(torch.from_numpy(group))
    found = study.sparsity(estimator, world)
    assert found.zeros.shape == (12,)
    assert (np.diff(found.zeros) <= 0).all()
    assert found.zeros[0] > found.zeros[-1]
    heads = estimator.heads_.coef
    assert found.zeros[0] == np.mean(heads[0] == 0)
    assert found.zeros[-1] == np.mean(estimator.coef_ == 0)
    each = [np.mean(head == 0) for head in heads]
    assert found.zeros_single == pytest.approx(np.mean(each), rel=1e-12)  # rounding
    assert found.C == estimator.C_
    effects = explain.neuron_effects(torch.from_numpy(X), torch.from_numpy(group))
    mixed = [min(abs(label), abs(a)) > reports.MIXED for label, a in effects.T]
    assert found.mixed == np.mean(mixed)
    kept = estimator.coef_[0] != 0
    assert found.mixed_kept == np.mean(np.array(mixed)[kept])
    assert 0 < found.mixed < 1
    assert found.mixed_kept != found.mixed
    empty = SimpleNamespace(
        heads_=SimpleNamespace(coef=np.zeros((2, d))), coef_=np.zeros((1, d)), C_=1.0
    )
    found = study.sparsity(empty, world)
    assert found.zeros.tolist() == [1, 1]
    assert np.isnan(found.mixed_kept)


# One seed, end to end


@pytest.fixture(scope="module")
def runs(own_cache):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {
            "birds": study.run_seed(RECIPES["birds"], full=True),
            "skin": study.run_seed(RECIPES["skin"]),
        }


@pytest.fixture(scope="module")
def worlds(runs):
    """What the ERM networks of the runs make of their worlds."""
    found = {}
    for name, recipe in RECIPES.items():
        generator = torch.Generator().manual_seed(recipe.seed)
        splits = spurious.draw(recipe.world, generator=generator)
        model, now = fit(recipe, splits)
        assert not now
        found[name] = embed(model, splits, "cpu")
    return found


NUMBERS = [f.name for f in fields(Report) if f.name != "accuracy"]
REDRAWN = ("swap_flips", "redraw_flips", "nuisance_effect")


def assert_equal(a, b, message=""):
    """Two reports agree exactly; a share is NaN where no map has any evidence."""

    def numbers(report):
        accuracy = report.accuracy
        own = [getattr(report, name) for name in NUMBERS]
        return [*own, *accuracy.per_group, accuracy.accuracy_train_prior]

    np.testing.assert_array_equal(numbers(a), numbers(b), message)


def without_redraws(report):
    return replace(report, **dict.fromkeys(REDRAWN, np.nan))


def test_a_run_has_every_method(runs):
    assert list(runs["birds"].reports) == METHODS[:5] + REFITTED
    pasted = [*METHODS[:5], "DFR, pasted group", *METHODS[5:]]
    assert list(runs["skin"].reports) == pasted
    assert list(runs["birds"].heads) == METHODS[:5]
    assert list(runs["skin"].heads) == pasted[:6]
    networks = [(run.n_networks, run.n_trained) for run in runs.values()]
    assert networks == [(6, 6), (4, 4)]


@pytest.mark.parametrize("name", RECIPES)
def test_all_numbers_are_in_their_range(runs, name):
    for method, report in runs[name].reports.items():
        assert report.accuracy.counts.tolist() == list(TEST)
        if "scratch" in method:
            continue  # a few steps from random weights may leave maps without evidence
        for number in NUMBERS:
            value = getattr(report, number)
            known = method in METHODS[:5] or method.startswith(("balanced", "DFR"))
            of_redraws = number in REDRAWN and not known
            assert np.isfinite(value) != of_redraws, (method, number)
            if of_redraws:
                continue
            if number.endswith(("flips", "share", "floor", "weight")):
                assert 0 <= value <= 1, (method, number)
    assert (np.diff(runs[name].sparsity.zeros) <= 0).all()


@pytest.mark.parametrize("name", RECIPES)
def test_reports_are_those_of_the_heads(runs, worlds, name):
    run, world = runs[name], worlds[name]
    for method, head in run.heads.items():
        assert_equal(study.report(head, world), run.reports[method], method)
    f, splits = world.features, world.splits
    own = study.own_head(world)
    expected = {
        "ERM": own,
        "ERM, moved threshold": study.moved(own, f["val"], splits.val),
        "AFR": study.automatic(own, world),
        "DFR": study.refitted(world, f["val"], splits.val, 0)[0],
        "DFR, held-out as trained": study.refitted(world, f["hold"], splits.hold, 0)[0],
    }
    for method, head in expected.items():
        np.testing.assert_array_equal(run.heads[method].coef, head.coef, method)
        assert run.heads[method].intercept == head.intercept, method
    assert len({head.intercept for head in expected.values()}) == len(expected)


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_keeps_features_and_six_maps_of_its_erm_network(runs, worlds, name):
    run, world = runs[name], worlds[name]
    wide = {"wide"} if name == "birds" else set()
    assert set(run.features) == set(world.features) | wide
    for split, features in world.features.items():
        np.testing.assert_array_equal(run.features[split], features)
    group = world.splits.test.group
    assert group[run.shown].tolist() == [0, 1, 1, 2, 2, 3]
    assert torch.equal(run.shown, study.six_images(world.splits.test))
    assert torch.equal(run.shown_maps, world.maps[run.shown])
    # No view that would keep the maps of all images in memory.
    size = run.shown_maps.untyped_storage().nbytes()
    assert size == run.shown_maps.numel() * run.shown_maps.element_size()


def test_the_pasted_group_is_balanced_as_well(runs, worlds):
    world = worlds["skin"]
    f, splits = world.features, world.splits
    images = study.joined(splits.val, splits.val_pasted)
    assert images.group.bincount().tolist() == [*VAL[:3], VAL[2]]
    X = np.concatenate([f["val"], f["val_pasted"]])
    head, estimator = study.refitted(world, X, images, 0)
    assert estimator.groups_.tolist() == [0, 1, 2, 3]
    found = runs["skin"].heads["DFR, pasted group"]
    np.testing.assert_array_equal(found.coef, head.coef)
    assert found.intercept == head.intercept


def test_zeros_are_counted_in_the_head_on_validation_data(runs, worlds):
    for name, run in runs.items():
        world = worlds[name]
        X, val = world.features["val"], world.splits.val
        by_hand = study.sparsity(study.refitted(world, X, val, 0)[1], world)
        for field in fields(study.Sparsity):
            found = getattr(run.sparsity, field.name)
            if field.name.startswith(("wide", "zeros_random")):
                assert np.isfinite(found) == (name == "birds")
            else:
                np.testing.assert_array_equal(found, getattr(by_hand, field.name))


def test_permuted_labels_are_fitted_with_the_penalty_of_the_true_ones(runs, worlds):
    world, run = worlds["birds"], runs["birds"]
    val = world.splits.val
    y, a = val.y.numpy(), val.a.numpy()
    permuted = np.random.default_rng(0).permutation(y)
    wide = run.features["wide"]

    def fitted(X, y, **options):
        head = DeepFeatureReweighting(scaler="validation", random_state=0, **options)
        return head.fit(X, y, groups=2 * y + a)

    found = run.sparsity
    one = fitted(world.features["val"], permuted, C=[found.C], n_resamples=5)
    assert found.zeros_random == np.mean(one.heads_.coef == 0)
    true = fitted(wide, y)
    assert found.wide_single == np.mean(true.heads_.coef == 0)
    assert found.wide_mean == np.mean(true.coef_ == 0)
    other = fitted(wide, permuted, C=[true.C_], n_resamples=5)
    assert found.wide_random == np.mean(other.heads_.coef == 0)
    assert found.random_excess == found.zeros_random - found.zeros_single
    assert found.wide_random_excess == found.wide_random - found.wide_single
    # More features than samples: no optimum needs more of them than there are samples.
    assert found.wide_single > 1 - (4 * min(VAL) + 1) / wide.shape[1]


def test_every_head_is_measured_on_every_network(runs, worlds):
    run, splits = runs["birds"], worlds["birds"].splits
    recipe = RECIPES["birds"]
    changes = {name: {"method": name} for name in TRAINED}
    # Two more epochs from random weights.
    scratch = {"pretrained": False, "epochs": 3}
    changes |= {SCRATCH[0]: scratch, SCRATCH[1]: {**scratch, "method": METHODS[-1]}}
    for method, change in changes.items():
        model, now = fit(replace(recipe, **change), splits)
        other = embed(model, splits, "cpu")
        assert not now, method
        own, f = study.own_head(other), other.features
        heads = {
            "own": own,
            "moved threshold": study.moved(own, f["val"], splits.val),
            "DFR": study.refitted(other, f["val"], splits.val, 0)[0],
        }
        for kind, head in heads.items():
            found = study.report(head, other)
            if method != METHODS[-1]:
                found = without_redraws(found)
            assert_equal(found, run.reports[study.name_of(method, kind)], method)


def test_a_light_run_is_a_part_of_the_whole(runs):
    few = study.run_seed(RECIPES["skin"], light=True)
    assert list(few.reports) == ["ERM", "ERM, moved threshold", "DFR"]
    assert (few.n_networks, few.n_trained) == (1, 0)
    for method, report in few.reports.items():
        assert_equal(report, runs["skin"].reports[method], method)


def test_heads_on_trainings_have_names():
    assert study.name_of("ERM", "own") == "ERM"
    assert study.name_of("ERM", "DFR") == "DFR"
    assert study.name_of("ERM", "moved threshold") == "ERM, moved threshold"
    assert study.name_of("group DRO", "DFR") == "group DRO, DFR"


def test_a_second_run_trains_nothing_and_finds_the_same(runs):
    # The method of a recipe is not used.
    recipe = replace(RECIPES["skin"], method="balanced data")
    again = study.run_seed(recipe)
    assert (again.n_networks, again.n_trained) == (4, 0)
    for method, report in runs["skin"].reports.items():
        assert_equal(again.reports[method], report, method)
    np.testing.assert_array_equal(again.sparsity.zeros, runs["skin"].sparsity.zeros)


def test_group_dro_is_tuned_on_validation_data_one_setting_after_the_other(worlds):
    recipe, splits = RECIPES["birds"], worlds["birds"].splits
    found = study.tune_group_dro(recipe, [0.05, 0.5], [30.0])
    steps = [(0.05, recipe.decay), (0.5, recipe.decay)]
    best, _ = max(steps, key=found.get)
    assert list(found) == [*steps, (best, 30.0)]
    for (step, decay), worst in found.items():
        chosen = replace(recipe, method="group DRO", dro_step=step, decay=decay)
        model, now = fit(chosen, splits)
        assert not now
        with torch.no_grad():
            predicted = model(splits.val.x).argmax(1)
        right = (predicted == splits.val.y).double()
        by_hand = [right[splits.val.group == k].mean().item() for k in range(4)]
        assert worst == pytest.approx(min(by_hand), rel=1e-14)


def test_six_images_are_the_first_one_or_two_of_each_group():
    group = torch.tensor([3, 1, 2, 1, 0, 2, 1, 3, 2, 0])
    assert study.six_images(images(group)).tolist() == [4, 1, 3, 2, 5, 0]


# Numbers over seeds


def fake(per_group, effect=0.0):
    numbers = {f.name: 0.0 for f in fields(Report)}
    groups, counts = np.arange(4), np.array([10, 10, 10, 70])
    accuracy = GroupAccuracies(groups, counts, np.array(per_group), 0.25)
    return Report(**{**numbers, "accuracy": accuracy, "nuisance_effect": effect})


@pytest.fixture(scope="module")
def seeds():
    rng = np.random.default_rng(0)
    return [
        SimpleNamespace(
            reports={
                name: fake(level + 0.2 * rng.random(4), rng.normal())
                for name, level in (("ERM", 0.1), ("DFR", 0.5), ("balanced data", 0.8))
            },
            sparsity=None,
        )
        for _ in range(5)
    ]


def test_numbers_of_a_run_have_names():
    report = replace(fake([0.9, 0.2, 0.5, 0.1], 3.0), swap_flips=0.3, redraw_flips=0.1)
    report = replace(report, attribute_gap=-0.4)
    zeros = reports.Sparsity(
        zeros=np.array([0.5, 0.25]), zeros_single=0.5, mixed=0.8, mixed_kept=0.7, C=0.1
    )
    run = SimpleNamespace(reports={"DFR": report}, sparsity=zeros)
    for k, accuracy in enumerate([0.9, 0.2, 0.5, 0.1]):
        assert study.number_of(run, "DFR", f"group {k}") == accuracy
    for number, value in {
        "nuisance_effect": 3,
        "towards_zero": -3,
        "attribute_gap": -0.4,
        "attribute_size": 0.4,
        "worst": 0.1,
        "worst_present": 0.2,
        "behind": 0.2 - 0.1,
        "lost_to_nuisance": 0.5 - 0.1,
        "excess_flips": 0.3 - 0.1,
        "accuracy_train_prior": 0.25,
        "accuracy_balanced": 1.7 / 4,
        "zeros_mean": 0.25,
        "zeros_single": 0.5,
        "mixed_excess": 0.7 - 0.8,
    }.items():
        assert study.number_of(run, "DFR", number) == pytest.approx(value), number
    with pytest.raises(ValueError, match="unknown number 'beauty'"):
        study.number_of(run, "DFR", "beauty")


def test_differences_are_paired_by_seed(seeds):
    worst = {
        name: np.array([run.reports[name].worst for run in seeds])
        for name in ("ERM", "DFR")
    }
    assert study.over_seeds(seeds, "DFR", "worst") == estimate(worst["DFR"])
    found = study.over_seeds(seeds, "DFR", "worst", less="ERM")
    assert found == estimate(worst["DFR"] - worst["ERM"])
    assert found.n == 5
    back = study.over_seeds(seeds, "ERM", "worst", less="DFR")
    assert (back.mean, back.stderr) == pytest.approx((-found.mean, found.stderr))
    nothing = study.over_seeds(seeds, "DFR", "group 2", less="DFR")
    assert (nothing.mean, nothing.stderr) == (0, 0)


@pytest.mark.parametrize("number", ["worst", "group 1", "nuisance_effect"])
def test_the_gap_is_open_at_the_start_and_closed_at_the_goal(seeds, number):
    def closed(method, **ends):
        return study.share_of_gap(seeds, method, number=number, **ends)

    assert (closed("ERM") == 0).all()
    assert (closed("balanced data") == 1).all()
    ends = {"start": "balanced data", "goal": "DFR"}
    assert (closed("balanced data", **ends) == 0).all()
    assert (closed("DFR", **ends) == 1).all()
    # The other way round, what was done is what is left.
    back = closed("DFR", start="balanced data", goal="ERM")
    np.testing.assert_allclose(1 - back, closed("DFR"))


def test_what_is_halved_is_at_the_limit():
    def runs(share):
        return [
            SimpleNamespace(
                reports={"ERM": fake([0.5] * 4, e), "DFR": fake([0.5] * 4, share * e)},
                sparsity=None,
            )
            for e in (1.0, 2.0, 4.0)
        ]

    found = study.beyond_half(runs(0.5), "DFR", "nuisance_effect")
    assert (found.mean, found.stderr, found.n) == (0, 0, 3)
    gone = study.beyond_half(runs(0.0), "DFR", "nuisance_effect")
    assert gone == estimate([0.5, 1.0, 2.0])
    assert study.beyond_half(runs(0.75), "DFR", "nuisance_effect").mean < 0
    light = SimpleNamespace(reports={"ERM": fake([0.5] * 4, 9.0)}, sparsity=None)
    some = [*runs(0.0), light]
    assert study.beyond_half(some, "DFR", "nuisance_effect") == gone


def test_half_the_way_is_half_the_gap():
    runs = [
        SimpleNamespace(
            reports={
                "ERM": fake([low] * 4),
                "DFR": fake([low + share * 0.25] * 4),
                "balanced data": fake([low + 0.25] * 4),
            },
            sparsity=None,
        )
        for low, share in ((0.25, 0.5), (0.5, 0.25))
    ]
    assert study.share_of_gap(runs, "DFR").tolist() == [0.5, 0.25]


def test_a_table_has_a_row_a_method(seeds):
    numbers = ["worst", "group 1"]
    found = study.table(seeds, ["DFR", "ERM"], numbers)
    assert list(found.index) == ["DFR", "ERM"]
    assert list(found.columns) == ["worst group", "group 1"]
    for method in found.index:
        for column, number in zip(found.columns, numbers):
            e = study.over_seeds(seeds, method, number)
            mean, error = map(float, found.loc[method, column].split(" ± "))
            # Three decimals.
            assert (mean, error) == pytest.approx((e.mean, e.stderr), abs=5.1e-4)


def test_what_is_measured_is_told_by_part_and_shown(seeds):
    contests = {
        "a.c/one": ("DFR", "group 1", "ERM"),
        "a.b": ("DFR", "worst"),
        "a.c/two": ("ERM", "group 2"),
    }
    parts, found = study.measured(seeds, contests)
    each = [study.over_seeds(seeds, *contest) for contest in contests.values()]
    assert parts == {"a.c": {"one": each[0], "two": each[2]}, "a.b": {"": each[1]}}
    assert list(found.index) == ["DFR − ERM", "DFR", "ERM"]
    for shown, e in zip(found["mean ± s.e."], each, strict=True):
        assert shown == f"{e.mean:.3f} ± {e.stderr:.3f}"


def test_a_sweep_is_its_runs_with_the_tuned_setting():
    world, size = tiny("birds"), {"epochs": 1}
    grid = {"steps": (0.01, 0.5), "decays": (30.0,)}
    found = study.sweep({"birds": world}, 2, **grid, more={"birds": 1}, **size)
    tuned = study.tune_group_dro(Recipe(world, 1000, **size), *grid.values())
    assert found.tuned["worst group"].to_dict() == {
        ("birds", *setting): worst for setting, worst in tuned.items()
    }
    step, decay = max(tuned, key=tuned.get)
    for seed, run in enumerate(found.runs["birds"][:2]):
        recipe = Recipe(world, seed, dro_step=step, decay=decay, **size)
        alone = study.run_seed(recipe)
        for method, report in alone.reports.items():
            assert_equal(report, run.reports[method], method)
    last = found.runs["birds"][2]
    few = study.run_seed(Recipe(world, 2, **size), light=True)
    assert_equal(few.reports["DFR"], last.reports["DFR"])
    assert found.n_networks == 9
    assert found.n_trained <= 9
    # A method of some runs is averaged over those alone.
    assert study.over_seeds(found.runs["birds"], "AFR", "worst", "DFR").n == 2
    assert study.over_seeds(found.runs["birds"], "DFR", "worst", "ERM").n == 3
    assert len(study.share_of_gap(found.runs["birds"], "DFR")) == 2


def test_only_group_dro_is_trained_with_the_tuned_decay(monkeypatch):
    asked = []

    def remembered(recipe, splits):
        asked.append((recipe.method, recipe.decay))
        return fit(replace(recipe, decay=Recipe.decay), splits)

    monkeypatch.setattr(study, "fit", remembered)
    study.run_seed(replace(RECIPES["skin"], decay=3.0))
    assert dict(asked) == {
        name: 3.0 if name == "group DRO" else Recipe.decay for name in ("ERM", *TRAINED)
    }


def test_a_sweep_takes_the_setting_that_is_best_on_a_world_of_its_own(monkeypatch):
    tuned = {
        "birds": {(0.01, 1e-4): 0.2, (0.1, 1e-4): 0.4, (0.1, 1.0): 0.3},
        "skin": {(0.01, 1e-4): 0.5, (0.1, 1e-4): 0.0, (0.01, 1.0): 0.6},
    }
    asked, ran = [], []

    def tune(recipe, *grid):
        asked.append((recipe.world.name, recipe.seed, *grid))
        return tuned[recipe.world.name]

    def run(recipe, *, full=False, light=False):
        setting = recipe.dro_step, recipe.decay
        ran.append((recipe.world.name, recipe.seed, setting, full, light))
        return SimpleNamespace(n_networks=4, n_trained=recipe.seed)

    monkeypatch.setattr(study, "tune_group_dro", tune)
    monkeypatch.setattr(study, "run_seed", run)
    grid = {"steps": (0.01, 0.1), "decays": (1.0,)}
    more = {"skin": 1}
    found = study.sweep(spurious.WORLDS, 2, **grid, fully=["skin"], more=more, epochs=1)
    assert asked == [(name, 1000, *grid.values()) for name in ("birds", "skin")]
    usual = (Recipe.dro_step, Recipe.decay)
    assert ran == [
        *(("birds", seed, (0.1, 1e-4), False, False) for seed in range(2)),
        *(("skin", seed, (0.01, 1.0), True, False) for seed in range(2)),
        ("skin", 2, usual, False, True),
    ]
    assert list(found.runs) == ["birds", "skin"]
    assert (found.n_networks, found.n_trained) == (20, 4)


def test_a_matrix_has_a_row_a_training_and_a_column_a_head(seeds):
    runs = [
        SimpleNamespace(
            reports={
                study.name_of(training, kind): fake(
                    0.1 * i + 0.2 * np.array([s, 1, 1, 1])
                )
                for i, training in enumerate(("ERM", "group DRO"))
                for s, kind in zip((j / 5, j / 6, j / 7), KINDS)
            },
            sparsity=None,
        )
        for j in range(3)
    ]
    found = study.matrix(runs, ["group DRO", "ERM"])
    assert list(found.index) == ["group DRO", "ERM"]
    assert list(found.columns) == KINDS
    for training, row in found.iterrows():
        for kind, shown in row.items():
            e = study.over_seeds(runs, study.name_of(training, kind), "worst")
            assert shown == f"{e.mean:.3f} ± {e.stderr:.3f}"
