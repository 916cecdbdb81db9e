# %% [markdown]
# # Solutions to chapter 2
#
# Each solution ends with a cell that checks it.
# The exercises are at the end of [chapter 2](../chapters/2_dfr_sufficiency.ipynb#exercises).

# %% tags=["hide-input"]
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec(
    "tailwise"
):
    url = "git+https://github.com/owner_not_set/tailwise"
    get_ipython().run_line_magic("pip", f"install -q --no-deps {url}")
    importlib.invalidate_caches()
    if not importlib.util.find_spec("tailwise"):
        raise ImportError(
            f"pip could not install {url}: its lines above say why. "
            "Correct the address in this cell and run it again."
        )

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from tailwise import plots, profiles
from tailwise.data import spurious
from tailwise.methods import DeepFeatureReweighting, balanced_rows
from tailwise.metrics import estimate, group_accuracies
from tailwise.plots import COLORS
from tailwise.spurious import Recipe, embed, fit, study

plots.use_style()
P = profiles.current()

# %% [markdown]
# Every solution uses the plainly trained (ERM) networks of seeds 0, 1 and 2, whose features are frozen.
# Birds are the harsh ones here: a clean background and closer classes leave ERM's worst group near zero, so that three networks show what moves it.
# A network that is not in the cache is trained first.
# Three networks show a direction; the chapter has more of them.

# %%
SEEDS = P.pick(smoke=(0, 1), laptop=(0, 1, 2))
NETWORKS = "seeds " + ", ".join(map(str, SEEDS))


def load(name, seed, sets):
    """Draw a world and embed it with its ERM network."""
    worlds = {"birds": spurious.HARSH_BIRDS, "skin": spurious.SKIN}
    size = P.pick(
        smoke=(0.05, 0.5, 0.5), laptop=(0.5, 0.8), full=(1, 1)
    )
    world, full = worlds[name].scaled(*size), P.data == "full"
    epochs = P.pick(smoke=1, laptop=3, full=5)
    g = torch.Generator().manual_seed(seed)
    splits = spurious.draw(world, full=full, generator=g)
    recipe = Recipe(
        world, seed, full=full, device=P.device, epochs=epochs
    )
    return embed(fit(recipe, splits)[0], splits, P.device, sets)


def worst(head, world):
    """Worst of the four test accuracies."""
    test = world.splits.test
    predicted = head.scores(world.features["test"]) > 0
    found = group_accuracies(test.y, predicted, test.group)
    return found.accuracy_worst_group


sets = ("train", "val", "hold", "test_same", "test_swapped")
birds = [load("birds", seed, sets) for seed in SEEDS]
erm_worst = np.array([worst(study.own_head(w), w) for w in birds])
fitted = [
    study.refitted(w, w.features["val"], w.splits.val, seed)
    for seed, w in zip(SEEDS, birds)
]
dfr_worst = np.array([worst(h, w) for (h, _), w in zip(fitted, birds)])
print("worst group of birds,", NETWORKS)
print("ERM", erm_worst.round(3), " DFR", dfr_worst.round(3))

# %% [markdown]
# ## 1 · What averaging does to zeros
#
# A weight of the mean head is zero where every head has a zero.
# It could also be zero where weights cancel exactly; the cell checks that this never happens.
# So the mean keeps the union of the supports.
#
# Let head $r$ have a share $z_r$ of zeros.
# If the heads chose their supports independently, the share $\prod_r z_r$ would be left.

# %% mystnb={"image": {"alt": "Share of exact zeros in the mean head against the number of heads, for three networks. It falls from about four fifths for one head to about two fifths for twenty. The share under independent supports falls to nearly zero."}}
R = np.arange(1, 21)
zeros, independent = [], []
for _, estimator in fitted:
    used = estimator.heads_.coef != 0
    outside = ~np.logical_or.accumulate(used)
    for r in R:
        mean = estimator.heads_.coef[:r].mean(0)
        assert np.array_equal(mean == 0, outside[r - 1])
    zeros.append(outside.mean(1))
    independent.append(np.cumprod(1 - used.mean(1)))
zeros, independent = np.array(zeros), np.array(independent)
fig, ax = plt.subplots(figsize=(6, 3.2))
for values, name, color, line in (
    (zeros, "measured", "blue", "-"),
    (independent, "independent supports", "orange", "--"),
):
    style = dict(color=COLORS[color], ls=line)
    ax.plot(R, values.T, lw=0.8, alpha=0.6, **style)
    ax.plot(R, values.mean(0), label=name, **style)
ax.set(xlabel="heads averaged", ylabel="share of zeros", ylim=(0, 1))
ax.set_xticks([1, 5, 10, 15, 20])
ax.legend()
print(f"one head {zeros[:, 0].mean():.2f}, {R[-1]} heads", end=" ")
print(f"{zeros[:, -1].mean():.2f}, if independent", end=" ")
print(f"{independent[:, -1].mean():.2f} (birds, {NETWORKS})")
plt.show()

# %% tags=["exercise-check"]
# May help: np.logical_or.accumulate, np.cumprod
# Checks read: independent, zeros
# - independent [networks, heads]: zeros if supports were independent
# - zeros [networks, heads]: share of zeros in the mean of so many
if P.decides:
    assert (zeros[:, -1] < zeros[:, 0]).all()
    assert (zeros[:, -1] > 2 * independent[:, -1]).all()

# %% [markdown]
# Thin lines are single networks, thick lines their mean.
# Averaging takes away many of the zeros that one fit has.
# It does not take away all of them, because the heads largely agree on which neurons they drop.
# Say whether you count zeros in one fit or in the mean head: these are two different numbers.

# %% [markdown]
# ## 2 · The same method with an l2 penalty
#
# Only the fit of one head changes.
# It draws the same random numbers, so the split and the balanced subsets stay the same, and so does the selection of C.

# %%
grid = (3, 1, 0.3, 0.1, 0.03, 0.01, 0.003)


class WithoutZeros(DeepFeatureReweighting):
    """DFR with an l2 penalty, scikit-learn's default."""

    def _fit_head(self, Z, target, C, rng):
        model = LogisticRegression(
            C=C, solver="liblinear", random_state=rng
        ).fit(Z, target)
        return model.coef_, model.intercept_


l2_worst = []
for seed, world in zip(SEEDS, birds):
    f, val = world.features, world.splits.val
    l2 = WithoutZeros(C=grid, random_state=seed).fit(
        f["val"], val.y, groups=val.group, X_reference=f["train"]
    )
    assert (l2.heads_.coef != 0).all()
    head = study.Head(l2.coef_[0], l2.intercept_[0])
    l2_worst.append(worst(head, world))
change = np.array(l2_worst) - dfr_worst
print("worst group of birds,", NETWORKS)
print("l1", dfr_worst.round(3), " l2", np.round(l2_worst, 3))
print(f"l2 minus l1: {estimate(change)}")

# %% tags=["exercise-check"]
# May help: DeepFeatureReweighting, study.Head, estimate
# Checks read: change
# - change [networks]: worst group with l2 less with l1
if P.decides:
    assert (abs(change) < 0.1 * (dfr_worst - erm_worst)).all()

# %% [markdown]
# The l2 head has no zeros, and its worst group is as good.
# In this world sparsity is not what makes DFR work.

# %% [markdown]
# ## 3 · How many validation images does it take?
#
# We draw the same number of images from each group of the validation set and refit.
# This is repeated five times on each network.
# The interval is over the five resamples, after a mean over the three networks.
# The last point and the line are also repeated: there only the random choices of DFR change.

# %% mystnb={"image": {"alt": "Worst-group accuracy of DFR against the number of validation images per group. It rises slowly from ten images per group to the whole set. The held-out set as trained, with very few images in its smallest group, reaches about the level of ten to twenty images per group. ERM is far below."}}
smallest = birds[0].splits.val.group.bincount().min().item()
sizes = [10, 20, 50, smallest]


def refit_worst(world, state, split="val", size=None, edit=None):
    """Worst group after DFR on a held-out split, cut and edited."""
    images, f = getattr(world.splits, split), world.features[split]
    options = {}
    if size:
        g = np.random.default_rng(state)
        rows = balanced_rows(images.group, g, per_group=size)
        images, f = images.take(rows), f[rows]
        options["n_resamples"] = 1  # all heads would see these images
    images = edit(images) if edit else images
    head, _ = study.refitted(world, f, images, state, **options)
    return worst(head, world)


def repeat(n_states=5, **settings):
    """Worst groups [random states, networks]."""
    states = range(n_states)
    return np.array(
        [[refit_worst(w, k, **settings) for w in birds] for k in states]
    )


true = {split: repeat(split=split) for split in ("val", "hold")}
by_size = [estimate(repeat(size=n).mean(1)) for n in sizes]
by_size.append(estimate(true["val"].mean(1)))
hold = estimate(true["hold"].mean(1))
mean = np.array([e.mean for e in by_size])
stderr = np.array([e.stderr for e in by_size])
place = np.arange(len(mean))
fig, ax = plt.subplots(figsize=(6, 3.4))
style = dict(color=COLORS["blue"], marker="o", label="validation set")
plots.band(ax, place, mean, stderr, **style)
style = dict(color=COLORS["orange"], ls="--", label="set as trained")
flat = np.ones(len(place))
plots.band(ax, place, hold.mean * flat, hold.stderr * flat, **style)
ax.axhline(erm_worst.mean(), color=COLORS["grey"], ls=":", label="ERM")
ax.set_xticks(place, [*sizes, "all"])
ax.set(xlabel="images per group", ylabel="worst group", ylim=(0, 1))
ax.legend(loc="center right")
for size, e in zip([*sizes, "all"], by_size):
    print(f"{size:>4} per group: {e}")
counts = birds[0].splits.hold.group.bincount().tolist()
print(f"as trained, groups of {counts}: {hold}")
few = (mean[0] - erm_worst.mean()) / (mean[-1] - erm_worst.mean())
print(f"ten per group give {few:.0%} of the gain (birds, {NETWORKS})")
plt.show()

# %% tags=["exercise-check"]
# May help: balanced_rows, study.refitted, estimate, plots.band
# Checks read: few, hold, mean, stderr
# - few: share of the gain at ten images per group
# - hold: estimate of the worst group on the set as trained
# - mean [5]: worst group at 10, 20, 50, the smallest group, all
# - stderr [5]: standard errors of mean
if P.decides:
    assert mean[-1] - mean[0] > 4 * np.hypot(stderr[0], stderr[-1])
    assert few > 0.5
    assert mean[-1] - hold.mean > 4 * np.hypot(hold.stderr, stderr[-1])

# %% [markdown]
# Most of the gain is there with ten images per group; the rest comes slowly.
# The held-out set as trained has even fewer images of its smallest group and does about as well as ten to twenty per group.
# It has many images of the other groups, and each of the 20 heads draws others of them.
# With equal groups there is nothing to draw: all 20 heads would see the same images, so one is fitted.
# So the step from the last number to "all" shows more images of the larger groups and an average of heads that differ, together.

# %% [markdown]
# ## 4 · Wrong background labels
#
# We permute the background labels within each class, and DFR takes them for true, also when it selects C.
# What is left of the gain is due to held-out data and balanced classes.
#
# The set as trained is the control.
# After a permutation DFR would still cut every group of it to the few images of the smallest.
# So we drop its background labels instead and balance the classes alone.
# Edited labels are tried with three random states on each network.

# %%
rng = np.random.default_rng(0)


def permuted(images):
    """The same images with background labels permuted by class."""
    a = images.a.clone()
    for label in (0, 1):
        rows = (images.y == label).nonzero()[:, 0]
        a[rows] = a[rng.permutation(rows)]
    return replace(images, a=a)


def classes_only(images):
    """The same images as if there was one background."""
    return replace(images, a=torch.zeros_like(images.a))


print("gain over ERM, worst group of birds,", NETWORKS)
print("last: the share of the gain that is left")
left = {}
for split, name, edit in (
    ("val", "permuted", permuted),
    ("val", "classes only", classes_only),
    ("hold", "classes only", classes_only),
):
    gain = true[split].mean(0) - erm_worst
    found = repeat(3, split=split, edit=edit).mean(0) - erm_worst
    left[split, name] = found / gain
    print(f"{split}, true labels {gain.round(3)}, {name}", end=" ")
    print(f"{found.round(3)}: {found.sum() / gain.sum():.0%}")
for split in true:
    groups = getattr(birds[0].splits, split).group
    print(f"images in the groups of {split}:", end=" ")
    print(groups.bincount().tolist())

# %% tags=["exercise-check"]
# May help: replace, torch.zeros_like
# Checks read: left
# - left: by (set, edit) the share of the gain left [networks]
if P.decides:
    assert (left["val", "permuted"] > 0.8).all()
    assert (left["val", "classes only"] > 0.8).all()
    assert (left["hold", "classes only"] < 0.6).all()

# %% [markdown]
# On the validation set nearly all of the gain remains with wrong labels.
# This does not mean that balanced groups are useless.
# The validation set has both backgrounds equally often in each class, so that balanced classes are already balanced groups.
# On the set as trained, where the background predicts the class, most of the gain goes with the labels.
# What DFR needs is data in which the background says nothing about the class.
# Group labels are one way to get it.

# %% [markdown]
# ## 5 · Erase the background
#
# The direction is $u = \tfrac12\sum_y(\mu_{y,1}-\mu_{y,0})$, with $\mu_{y,a}$ the mean feature of a validation group.
# Projecting it out of the features is the same as projecting it out of the head: $\theta - u\,(u^\top\theta)/\lVert u\rVert^2$.
# An orthogonal projection depends on the units, so we do it in raw features and in features of unit spread.


# %% mystnb={"image": {"alt": "Worst-group accuracy against background flips above those of a redraw, four heads on each of three networks. ERM with a moved threshold is low and flips most. Erasing in raw features is in between, erasing in scaled features is near DFR, and DFR is highest with the fewest flips."}}
def background(world):
    """Differences between backgrounds [2, d], one row a class."""
    X = world.features["val"]
    group = world.splits.val.group.numpy()
    mean = np.stack([X[group == k].mean(0) for k in range(4)])
    return mean[1::2] - mean[::2]


def erased(world, scale):
    """The ERM head without the background, with its best threshold."""
    u = background(world).mean(0) / scale
    coef = world.coef * scale
    coef = (coef - u * (u @ coef) / (u @ u)) / scale
    head = study.Head(coef, world.intercept)
    val = world.splits.val
    return study.moved(head, world.features["val"], val)


reports, gaps = {}, []
for (dfr, _), world in zip(fitted, birds):
    f, own = world.features, study.own_head(world)
    unit = np.ones(len(world.coef))
    raw = erased(world, unit)
    heads = {
        "ERM, moved threshold": study.moved(
            own, f["val"], world.splits.val
        ),
        "erased, raw features": raw,
        "erased, unit spread": erased(world, f["train"].std(0)),
        "DFR": dfr,
    }
    gaps.append(background(world) @ raw.coef)
    gaps[-1] /= raw.scores(f["val"]).std()
    for name, head in heads.items():
        found = study.report(head, world)
        reports.setdefault(name, []).append(found)
fig, ax = plt.subplots(figsize=(6, 3.4))
number = {}
looks = zip(reports.items(), COLORS.values(), plots.MARKERS)
for (name, found), color, marker in looks:
    number[name] = np.array(
        [[r.worst, r.swap_flips, r.excess_flips] for r in found]
    )
    high, _, flips = number[name].T
    style = dict(color=color, ls="none", label=name)
    ax.plot(flips, high, marker, **style)
    row = "worst {:.3f}, flips {:.3f}, above redraw {:.3f}"
    print(f"{name:<21}", row.format(*number[name].mean(0)))
ax.set(xlabel="flips above those of a redraw", ylabel="worst group")
ax.set(ylim=(0, 1), xlim=(0, None))
ax.legend()
print(f"(birds, mean over {NETWORKS})")
gaps = np.array(gaps)
print("raw: gap between backgrounds by class\n", gaps.round(2))
order = np.array([n[:, :2] for n in number.values()])[[0, 1, 3]]
plt.show()

# %% tags=["exercise-check"]
# May help: study.own_head, study.Head, study.moved, study.report
# Checks read: gaps, order
# - gaps [networks, 2]: background in the scores, by class, erased raw
# - order [3, networks, 2]: ERM, erased raw, DFR; worst group, flips
np.testing.assert_allclose(gaps.sum(1), 0, atol=1e-8)  # rounding
if P.decides:
    assert (np.diff(order[..., 0], axis=0) > 0).all()
    assert (np.diff(order[..., 1], axis=0) < 0).all()

# %% [markdown]
# Erasing helps a good deal without any training, but it stays behind DFR in the worst group and in flips.
# The projection removes the mean gap between backgrounds exactly, yet only on average over the classes.
# Within a class a gap remains, with opposite signs, because the background moves the features differently in the two classes.
# In features of unit spread the same recipe came closer to DFR on these networks.
# Why this scale suits better is not tested here.

# %% [markdown]
# ## 6 · What three balanced groups teach about the patch
#
# Let $y=1$ be malignant, and let patch and lesion be independent given the class.
# Then log-odds add, and the patch adds the difference of $\log\frac{P(y=1\mid a)}{P(y=0\mid a)}$ between $a=1$ and $a=0$, whatever the lesion looks like.
#
# Three groups of equal size: without a patch half are malignant, so the log-odds are $\log 1=0$.
# With a patch none are, so they are $\log 0=-\infty$.
# The patch adds $-\infty$: the balance of three groups rewards using it.
#
# Four groups of equal size: half are malignant with and without a patch.
# The patch adds $0$.
#
# First a head that sees nothing but the patch: as the penalty gets weaker (C grows), its weight should fall without end for three groups and stay zero for four.
# Then DFR.

# %%
patch, label = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
found = {}
for groups in (3, 4):
    a, y = (np.repeat(v[:groups], 100) for v in (patch, label))
    found[groups] = [
        LogisticRegression(C=C, solver="newton-cholesky", tol=1e-9)
        .fit(a[:, None], y)
        .coef_.item()
        for C in (1, 100, 10_000)
    ]
    text = ", ".join(f"{w:.2f}" for w in found[groups])
    print(f"{groups} groups, weight of the patch as C grows: {text}")

# %% tags=["exercise-check"]
# May help: LogisticRegression
# Checks read: found
# - found: by number of groups, a weight for C = 1, 100 and 10,000
# Part a: the patch alone.
assert found[3][0] < 0
assert (np.diff(found[3]) < -1).all()
np.testing.assert_allclose(found[4], 0, atol=1e-6)

# %%
sets = ("train", "val", "val_pasted", "test_swapped")
skin = [load("skin", seed, sets) for seed in SEEDS]


def patch_effect(head, world):
    """Change of the score of patch-free test images, in s.d."""
    before, after = (
        head.scores(world.features[name])
        for name in ("test", "test_swapped")
    )
    change = (after - before)[world.splits.test.a.numpy() == 0]
    return estimate(change / before.std())


effects = {"ERM": [], "DFR": [], "DFR, pasted group": []}
for seed, world in zip(SEEDS, skin):
    f, s = world.features, world.splits
    both = np.concatenate([f["val"], f["val_pasted"]])
    images = study.joined(s.val, s.val_pasted)
    heads = (
        study.own_head(world),
        study.refitted(world, f["val"], s.val, seed)[0],
        study.refitted(world, both, images, seed)[0],
    )
    for of_method, head in zip(effects.values(), heads):
        of_method.append(patch_effect(head, world))
print(f"change of the score by a patch (skin, {NETWORKS})")
for name, each in effects.items():
    print(name, *each, sep="\n  ")

# %% tags=["exercise-check"]
# May help: study.joined, study.refitted, study.own_head, estimate
# Checks read: effects
# - effects: by head a list with an estimate for each network
# Part b: the networks.
if P.decides:
    three, four = effects["DFR"], effects["DFR, pasted group"]
    assert all(e.mean < -5 * e.stderr for e in three)
    mean = [np.mean([e.mean for e in each]) for each in (three, four)]
    assert abs(mean[1]) < 0.75 * abs(mean[0])

# %% [markdown]
# Intervals are over test images.
# With three groups the sign is the derived one, on every network: a patch pushes towards benign.
# DFR does this about as much as ERM, or more.
# With the pasted group the push is smaller on every network and much smaller on average, but it is not zero as derived.
# Where one noisy split chose a very strong penalty, little of it is gone.
# The derivation knows the distribution; the head has a few hundred images, a penalty, and features that were learned where a patch meant benign.
# Which of these leaves the rest is not tested here.
