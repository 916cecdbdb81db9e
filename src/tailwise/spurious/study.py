"""The runs of chapter 2: heads refitted on frozen networks, and what they look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.data import spurious
from tailwise.methods.afr import AutomaticFeatureReweighting
from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.methods.linear_head import threshold_shift
from tailwise.metrics import Estimate, estimate, group_accuracies
from tailwise.profiles import reseeded
from tailwise.spurious.networks import SETS, Embedded, Recipe, embed, fit
from tailwise.spurious.reports import Head, Report, Sparsity, own_head, report, sparsity
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
    "nuisance_share": "map on nuisance",
    "attribute_size": "nuisance effect on the score",
    "nuisance_weight": "weight on nuisance neurons",
    "accuracy_train_prior": "train-prior mean",
    "accuracy_test_mean": "test mean",
    "swap_flips": "nuisance swapped",
    "redraw_flips": "redraw",
    "object_floor": "flat map",
    "nuisance_effect": "patch effect",
    "nuisance_share_0": "same, called benign",
    "empty_maps": "empty maps",
    "zeros_single": "zeros in one head",
    "zeros_mean": "zeros in the mean head",
    "mixed_excess": "mixed, kept − all",
}
REDRAWS = ("test_same", "test_swapped")


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
    """AFR on held-out data as it comes, tuned on the validation set's groups."""
    f, hold, val = world.features, world.splits.hold, world.splits.val
    estimator = AutomaticFeatureReweighting()
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


def run_seed(recipe: Recipe, *, scratch: bool = False) -> SeedRun:
    """Draw a world, train its networks, refit every head and measure all of them.

    Parameters
    ----------
    recipe : Recipe
        World, seed and sizes; its method is not used.
    scratch : bool
        Also train from random weights.
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
        model, now = fit(replace(recipe, **changes), splits)
        trained.append(now)
        return embed(model, splits, recipe.device, sets)

    erm = network("ERM", SETS)
    f, val, hold = erm.features, splits.val, splits.hold
    own = own_head(erm)
    head, estimator = refitted(erm, f["val"], val, recipe.seed)
    heads = {
        "ERM": own,
        "ERM, moved threshold": moved(own, f["val"], val),
        "AFR": automatic(own, erm),
        "DFR, held-out as trained": refitted(erm, f["hold"], hold, recipe.seed)[0],
        "DFR": head,
    }
    if (val.group.bincount(minlength=4) == 0).any():
        both = np.concatenate([f["val"], f["val_pasted"]])
        images = joined(val, splits.val_pasted)
        heads["DFR, pasted group"] = refitted(erm, both, images, recipe.seed)[0]
    reports = {name: report(head, erm) for name, head in heads.items()}
    for method in ("group-balanced sampling", "group DRO", "balanced data"):
        other = network(method, REDRAWS if method == "balanced data" else ())
        reports[method] = report(own_head(other), other)
    if scratch:
        other = network("ERM", ("train", "val"), pretrained=False)
        head = refitted(other, other.features["val"], val, recipe.seed)[0]
        reports["ERM, from scratch"] = report(own_head(other), other)
        reports["DFR, from scratch"] = report(head, other)
        other = network("balanced data", pretrained=False)
        reports["balanced data, from scratch"] = report(own_head(other), other)
    rows = six_images(splits.test)
    return SeedRun(
        reports=reports,
        sparsity=sparsity(estimator, erm),
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


def tune_group_dro(recipe: Recipe, steps: Sequence[float]) -> dict[float, float]:
    """Worst-group accuracy on validation data for each step size of group DRO."""
    generator = torch.Generator().manual_seed(reseeded(recipe.seed))
    splits = spurious.draw(recipe.world, full=recipe.full, generator=generator)
    val, found = splits.val, {}
    x = val.x.to(recipe.device, memory_format=torch.channels_last)
    for step in steps:
        model, _ = fit(replace(recipe, method="group DRO", dro_step=step), splits)
        predicted = loop.extract(model, x).argmax(1)
        accuracy = group_accuracies(val.y, predicted, val.group)
        found[step] = accuracy.accuracy_worst_group
    return found


@dataclass(frozen=True)
class Sweep:
    """All seeds of several worlds.

    Attributes
    ----------
    runs : dict of str to list of SeedRun
        By world.
    tuned : DataFrame
        Worst-group accuracy on validation data by world and step of group DRO.
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
    scratch: Sequence[str] = (),
    **size,
) -> Sweep:
    """Run every seed of every world.

    Parameters
    ----------
    worlds : dict of str to World
    n_seeds : int
    steps : sequence of float
        For group DRO; the best on the validation data of a world of its own, drawn
        with seed 1000, is taken for all seeds.
    scratch : sequence of str
        Worlds in which networks are also trained from random weights.
    **size
        ``epochs``, ``full`` and ``device`` of `Recipe`.
    """
    runs, tuned = {}, {}
    for name, world in worlds.items():
        tuned[name] = tune_group_dro(Recipe(world, 1000, **size), steps)
        best = max(tuned[name], key=tuned[name].get)
        runs[name] = [
            run_seed(
                Recipe(world, seed, dro_step=best, **size), scratch=name in scratch
            )
            for seed in range(n_seeds)
        ]
    return Sweep(runs, pd.DataFrame.from_dict(tuned, orient="index"))


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
    """Mean over seeds of a number, or of its paired difference to a method `less`."""
    values = np.array([number_of(run, method, number) for run in runs])
    if less is not None:
        values -= [number_of(run, less, number) for run in runs]
    return estimate(values)


def share_of_gap(
    runs: Sequence[SeedRun],
    method: str,
    *,
    start: str = "ERM",
    goal: str = "balanced data",
    number: str = "worst",
) -> np.ndarray:
    """Share of the way from `start` to `goal` that a method goes, one value a seed."""
    at, low, high = (
        np.array([number_of(run, name, number) for run in runs])
        for name in (method, start, goal)
    )
    return (at - low) / (high - low)


def table(
    runs: Sequence[SeedRun], methods: Sequence[str], numbers: Sequence[str]
) -> pd.DataFrame:
    """Numbers of reports as "mean ± standard error"; one row a method."""
    rows = {}
    for method in methods:
        found = {NAMES.get(n, n): over_seeds(runs, method, n) for n in numbers}
        rows[method] = {n: f"{e.mean:.3f} ± {e.stderr:.3f}" for n, e in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


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
    return found, pd.DataFrame(rows, index=names, columns=["number", "mean ± s.e."])
