"""The runs of chapter 2: heads refitted on frozen networks, and what they look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.data import spurious
from tailwise.methods.afr import GAMMAS, AutomaticFeatureReweighting
from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.methods.linear_head import threshold_shift
from tailwise.metrics import MEAN_AND_ERROR, Estimate, estimate, group_accuracies
from tailwise.profiles import Profile, reseeded
from tailwise.spurious.networks import METHODS, SETS, Embedded, Recipe, embed, fit
from tailwise.spurious.reports import (
    Head,
    Report,
    Sparsity,
    own_head,
    report,
    sparsity,
    with_random_labels,
)
from tailwise.training import loop

NAMES = {
    "worst": "worst group",
    "worst_present": "worst of three present",
    "behind": "present worst − unseen",
    "group 0": "group y = 0, a = 0",
    "group 2": "group y = 1, a = 0",
    "excess_flips": "flips above the floor",
    "towards_zero": "patch effect towards benign",
    "object_share": "map on object",
    "nuisance_share": "benign map on patch",
    "attribute_size": "nuisance effect on the score",
    "nuisance_weight": "weight on nuisance neurons",
    "accuracy_train_prior": "train-prior mean",
    "accuracy_test_mean": "test mean",
    "swap_flips": "nuisance swapped",
    "redraw_flips": "redraw",
    "object_floor": "flat map",
    "nuisance_effect": "patch effect",
    "empty_maps": "empty maps",
    "zeros_single": "zeros in one head",
    "zeros_mean": "zeros in the mean head",
    "zeros_random": "zeros in one head, labels permuted",
    "wide_single": "zeros in one wide head",
    "wide_mean": "zeros in the mean wide head",
    "wide_random": "zeros in one wide head, labels permuted",
    "random_excess": "zeros, permuted − true labels",
    "wide_random_excess": "zeros, wide, permuted − true labels",
    "mixed_excess": "mixed, kept − all",
}
REDRAWS = ("test_same", "test_swapped")
# Shares of training, validation and held-out images by world and profile.
SIZES = {
    "birds": dict(smoke=(0.05, 0.2, 0.5), laptop=(0.5, 1, 1), full=(1, 1)),
    "skin": dict(smoke=(0.05, 0.2, 0.5), laptop=(0.5, 0.8), full=(1, 1)),
}
# Kinds of training, those from random weights last.
TRAININGS = (*METHODS, "ERM, from scratch", "balanced data, from scratch")
# What the claims about zeros count, by claim and part.
ZEROS = {
    "ch2.many_zeros/single, 128 features": ("DFR", "zeros_single"),
    "ch2.many_zeros/averaged, 128 features": ("DFR", "zeros_mean"),
    "ch2.many_zeros/single, 2,048 features": ("DFR", "wide_single"),
    "ch2.many_zeros/averaged, 2,048 features": ("DFR", "wide_mean"),
    "ch2.random_zeros/128 features": ("DFR", "random_excess"),
    "ch2.random_zeros/2,048 features": ("DFR", "wide_random_excess"),
}


def worlds(profile: Profile) -> dict[str, spurious.World]:
    """The chapter's worlds at the size of a profile."""
    return {
        name: world.scaled(*profile.pick(**SIZES[name]))
        for name, world in spurious.WORLDS.items()
    }


def moved(head: Head, features: np.ndarray, images: spurious.Images) -> Head:
    """The same head with the threshold that suits the worst group of held-out data."""
    y, group = images.y.numpy(), images.group.numpy()
    threshold = threshold_shift(head.scores(features), y, group)
    return Head(head.coef, head.intercept - threshold)


def refitted(
    world: Embedded,
    features: np.ndarray,
    images: spurious.Images,
    seed: int,
    **options,
) -> tuple[Head, DeepFeatureReweighting]:
    """DFR, with its options, on held-out features scaled by the training embeddings."""
    estimator = DeepFeatureReweighting(random_state=reseeded(seed), **options)
    estimator.fit(
        features,
        images.y.numpy(),
        groups=images.group.numpy(),
        X_reference=world.features["train"],
    )
    return Head(estimator.coef_[0], float(estimator.intercept_[0])), estimator


def automatic(own: Head, world: Embedded) -> Head:
    """AFR on held-out data as it comes, tuned on the validation set's groups.

    The authors' ridges; every fourth of their emphases and weaker ones, none included;
    and larger steps than theirs, since our features are sixteen times fewer.
    """
    f, hold, val = world.features, world.splits.hold, world.splits.val
    gammas = (0.0, 1.0, 2.0, 3.0, *GAMMAS[::4])
    estimator = AutomaticFeatureReweighting(gammas, lrs=(0.02, 0.2, 2.0))
    estimator.fit(
        f["hold"],
        hold.y.numpy(),
        head=SimpleNamespace(coef_=own.coef[None], intercept_=[own.intercept]),
        selection=(f["val"], val.y.numpy(), val.group.numpy()),
    )
    return Head(estimator.coef_[0], float(estimator.intercept_[0]))


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """Every head on one seed of one world.

    Attributes
    ----------
    reports : dict of str to Report
        Redraws are measured of heads on the ERM network, and of balanced data.
    sparsity : Sparsity
    n_networks, n_trained : int
        Networks used, and those that were trained now and not in the cache.
    heads : dict of str to Head
        Heads on the features of the ERM network.
    features : dict of str to ndarray [n, d]
        Of the ERM network, for every set of the world.
    shown : Tensor of int64 [6]
        Rows of six test images, see `six_images`.
    shown_maps : Tensor [6, d, h, w]
        The ERM network's maps of them.
    """

    reports: dict[str, Report]
    sparsity: Sparsity
    n_networks: int
    n_trained: int
    heads: dict[str, Head]
    features: dict[str, np.ndarray]
    shown: Tensor
    shown_maps: Tensor


def with_heads(world: Embedded, seed: int) -> dict[str, Head]:
    """A network's own head, the same with a moved threshold, and DFR's."""
    own, val = own_head(world), world.splits.val
    return {
        "own": own,
        "moved threshold": moved(own, world.features["val"], val),
        "DFR": refitted(world, world.features["val"], val, seed)[0],
    }


def name_of(training: str, head: str) -> str:
    """What the reports call a head on the features of a kind of training."""
    if head == "own":
        return training
    if head == "DFR" and training == "ERM":
        return head
    return f"{training}, {head}"


def run_seed(recipe: Recipe, *, full: bool = False, light: bool = False) -> SeedRun:
    """Draw a world, train its networks, refit every head and measure all of them.

    Parameters
    ----------
    recipe : Recipe
        World, seed and sizes; its method is not used.
    full : bool
        Every head on every network, networks from random weights as well, and zeros of
        wide features and of permuted labels.
    light : bool
        The ERM network alone, with its own head, the moved threshold and DFR, at a
        quarter of the cost.
    """
    splits = spurious.draw(
        recipe.world,
        full=recipe.full,
        generator=torch.Generator().manual_seed(reseeded(recipe.seed)),
    )
    trained = []

    def network(method: str, sets: tuple[str, ...] = (), *, pretrained: bool = True):
        # Two more epochs from scratch, where there is more to learn.
        epochs = recipe.epochs if pretrained else recipe.epochs + 2
        changes = dict(method=method, pretrained=pretrained, epochs=epochs)
        if method != "group DRO":
            changes["decay"] = Recipe.decay  # tuned for group DRO alone
        model, now = fit(replace(recipe, **changes), splits)
        trained.append(now)
        return embed(model, splits, recipe.device, sets)

    sets = ("train", "val", *REDRAWS) if light else SETS + ("wide",) * full
    erm = network("ERM", sets)
    f, val, hold = erm.features, splits.val, splits.hold
    own = own_head(erm)
    head, estimator = refitted(erm, f["val"], val, recipe.seed)
    heads = {"ERM": own, "ERM, moved threshold": moved(own, f["val"], val)}
    if not light:
        heads["AFR"] = automatic(own, erm)
        by_hold = refitted(erm, f["hold"], hold, recipe.seed)[0]
        heads["DFR, held-out as trained"] = by_hold
    heads["DFR"] = head
    if not light and (val.group.bincount(minlength=4) == 0).any():
        both = np.concatenate([f["val"], f["val_pasted"]])
        images = joined(val, splits.val_pasted)
        heads["DFR, pasted group"] = refitted(erm, both, images, recipe.seed)[0]
    reports = {name: report(head, erm) for name, head in heads.items()}
    found = sparsity(estimator, erm)
    if full:
        found = with_random_labels(found, estimator, erm, reseeded(recipe.seed))
    for method in () if light else METHODS[1:]:
        refit = ("train", "val") if full else ()
        redraws = REDRAWS if method == "balanced data" else ()
        other = network(method, refit + redraws)
        for kind, head in (
            with_heads(other, recipe.seed) if full else {"own": own_head(other)}
        ).items():
            reports[name_of(method, kind)] = report(head, other)
    if full:
        for method in ("ERM", "balanced data"):
            name = f"{method}, from scratch"
            other = network(method, ("train", "val"), pretrained=False)
            for kind, head in with_heads(other, recipe.seed).items():
                reports[name_of(name, kind)] = report(head, other)
    rows = six_images(splits.test)
    return SeedRun(
        reports=reports,
        sparsity=found,
        n_networks=len(trained),
        n_trained=sum(trained),
        heads=heads,
        features=f,
        shown=rows,
        shown_maps=erm.maps[rows],
    )


def joined(a: spurious.Images, b: spurious.Images) -> spurious.Images:
    """Two sets of images as one."""
    other = vars(b)
    both = {name: torch.cat([x, other[name]]) for name, x in vars(a).items()}
    return spurious.Images(**both)


def tune_group_dro(
    recipe: Recipe, steps: Sequence[float], decays: Sequence[float] = ()
) -> dict[tuple[float, float], float]:
    """Worst-group accuracy on validation data by step and weight decay of group DRO.

    First each step with the recipe's decay, then each decay with the best step.
    """
    generator = torch.Generator().manual_seed(reseeded(recipe.seed))
    splits = spurious.draw(recipe.world, full=recipe.full, generator=generator)
    val = splits.val
    x = val.x.to(recipe.device, memory_format=torch.channels_last)

    def judged(step: float, decay: float) -> float:
        changes = dict(method="group DRO", dro_step=step, decay=decay)
        model, _ = fit(replace(recipe, **changes), splits)
        predicted = loop.extract(model, x).argmax(1)
        return group_accuracies(val.y, predicted, val.group).accuracy_worst_group

    found = {(step, recipe.decay): judged(step, recipe.decay) for step in steps}
    best, _ = max(found, key=found.get)
    return found | {(best, decay): judged(best, decay) for decay in decays}


@dataclass(frozen=True)
class Sweep:
    """All seeds of several worlds.

    Attributes
    ----------
    runs : dict of str to list of SeedRun
        By world; those with every method come first.
    tuned : DataFrame
        Worst-group accuracy on validation data by world, step and decay of group DRO.
    """

    runs: dict[str, list[SeedRun]]
    tuned: pd.DataFrame

    @property
    def n_networks(self) -> int:
        """Networks used, without those that tuned group DRO."""
        return sum(run.n_networks for runs in self.runs.values() for run in runs)

    @property
    def n_trained(self) -> int:
        """Networks that were trained in this run and not in the cache."""
        return sum(run.n_trained for runs in self.runs.values() for run in runs)


def sweep(
    worlds: dict[str, spurious.World],
    n_seeds: int,
    *,
    steps: Sequence[float],
    decays: Sequence[float] = (),
    fully: Sequence[str] = (),
    more: dict[str, int] | None = None,
    **size,
) -> Sweep:
    """Run every seed of every world.

    Parameters
    ----------
    worlds : dict of str to World
    n_seeds : int
    steps, decays : sequence of float
        For group DRO, see `tune_group_dro`; the best on the validation data of a world
        of its own, drawn with seed 1000, are taken for all seeds.
    fully : sequence of str
        Worlds whose runs are full ones, see `run_seed`.
    more : dict of str to int
        Further, light runs of a world.
    **size
        ``epochs``, ``full`` and ``device`` of `Recipe`.
    """
    runs, rows = {}, []
    for name, world in worlds.items():
        tuned = tune_group_dro(Recipe(world, 1000, **size), steps, decays)
        step, decay = max(tuned, key=tuned.get)
        rows += [(name, *setting, worst) for setting, worst in tuned.items()]
        runs[name] = [
            run_seed(
                Recipe(world, seed, dro_step=step, decay=decay, **size),
                full=name in fully,
            )
            for seed in range(n_seeds)
        ]
        further = range(n_seeds, n_seeds + (more or {}).get(name, 0))
        runs[name] += [
            run_seed(Recipe(world, seed, **size), light=True) for seed in further
        ]
    columns = ["world", "step", "decay", "worst group"]
    tuned = pd.DataFrame(rows, columns=columns).set_index(columns[:3])
    return Sweep(runs, tuned)


def number_of(run: SeedRun, method: str, number: str) -> float:
    """One number of a run.

    Parameters
    ----------
    run : SeedRun
    method : str
        A key of the reports.
    number : str
        An attribute of its `Report`, of the report's accuracies or of the run's
        `Sparsity`; or "group 0" … "group 3".
    """
    report = run.reports[method]
    if number.startswith("group "):
        return float(report.accuracy.per_group[int(number[-1])])
    sources = (report, report.accuracy, run.sparsity)
    for source in sources:
        if hasattr(source, number):
            return float(getattr(source, number))
    raise ValueError(
        f"unknown number {number!r}: expected a field of Report, GroupAccuracies or "
        "Sparsity"
    )


def over_seeds(
    runs: Sequence[SeedRun], method: str, number: str, less: str | None = None
) -> Estimate:
    """Mean over seeds of a number, or of its paired difference to a method `less`.

    Over the runs that have the method, or both.
    """
    runs = [run for run in runs if {method, less or method} <= run.reports.keys()]
    values = np.array([number_of(run, method, number) for run in runs])
    if less is not None:
        values -= [number_of(run, less, number) for run in runs]
    return estimate(values)


def share_of_gap(
    runs: Sequence[SeedRun],
    method: str,
    start: str = "ERM",
    goal: str = "balanced data",
    *,
    number: str = "worst",
) -> np.ndarray:
    """Share of the way from `start` to `goal` that a method goes, one value a seed."""
    names = (method, start, goal)
    runs = [run for run in runs if {*names} <= run.reports.keys()]
    at, low, high = (
        np.array([number_of(run, name, number) for run in runs]) for name in names
    )
    return (at - low) / (high - low)


def beyond_half(runs: Sequence[SeedRun], method: str, number: str) -> Estimate:
    """Half of ERM's number minus that of a method, paired: above 0, most is gone."""
    runs = [run for run in runs if method in run.reports]
    ends = [(number_of(r, "ERM", number), number_of(r, method, number)) for r in runs]
    return estimate([start / 2 - at for start, at in ends])


def table(
    runs: Sequence[SeedRun], methods: Sequence[str], numbers: Sequence[str]
) -> pd.DataFrame:
    """Numbers of reports as "mean ± standard error"; one row a method."""
    rows = {}
    for method in methods:
        found = {NAMES.get(n, n): over_seeds(runs, method, n) for n in numbers}
        rows[method] = {n: f"{e.mean:.3f} ± {e.stderr:.3f}" for n, e in found.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(columns=MEAN_AND_ERROR)


HEADS = ("own", "moved threshold", "DFR")


def matrix(
    runs: Sequence[SeedRun], trainings: Sequence[str], number: str = "worst"
) -> pd.DataFrame:
    """A number of every head on every network, as "mean ± standard error"."""
    rows = {}
    for training in trainings:
        found = {h: over_seeds(runs, name_of(training, h), number) for h in HEADS}
        rows[training] = {h: f"{e.mean:.3f} ± {e.stderr:.3f}" for h, e in found.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(columns=MEAN_AND_ERROR)


def six_images(test: spurious.Images) -> Tensor:
    """Rows of six test images: two each of the groups in which the cue misleads."""
    first = [(test.group == k).nonzero()[:2, 0] for k in range(4)]
    return torch.cat([first[0][:1], first[1], first[2], first[3][:1]])


def measured(
    runs: Sequence[SeedRun], contests: dict[str, tuple[str, ...]]
) -> tuple[dict[str, dict[str, Estimate]], pd.DataFrame]:
    """Numbers by claim and part, as a ledger enters them, and as a table.

    `contests` maps ``"claim"`` or ``"claim/part"`` to the arguments of `over_seeds`
    after `runs`: method, number and, for a paired difference, the other method.
    """
    found, names, rows = {}, [], []
    for claim, (method, number, *less) in contests.items():
        e = over_seeds(runs, method, number, *less)
        id, _, part = claim.partition("/")
        found.setdefault(id, {})[part] = e
        names.append(" − ".join([method, *less]))
        rows.append([NAMES.get(number, number), f"{e.mean:.3f} ± {e.stderr:.3f}"])
    return found, pd.DataFrame(rows, index=names, columns=["number", MEAN_AND_ERROR])
