"""What one head of chapter 2 achieves, looks at and is made of, on one drawn world."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tailwise.methods.dfr import DeepFeatureReweighting, averaged_zero_fraction
from tailwise.metrics import GroupAccuracies, group_accuracies
from tailwise.profiles import reseeded
from tailwise.spurious import explain
from tailwise.spurious.networks import Embedded

MIXED = 0.2  # standard deviations from which a neuron counts as answering to a cue


@dataclass(frozen=True)
class Head:
    """A linear head on raw features; a positive score means label 1."""

    coef: np.ndarray
    intercept: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        return features @ self.coef + self.intercept


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a head achieves and what it looks at, on one drawn world.

    Attributes
    ----------
    accuracy : GroupAccuracies
        Per group of the test set; the train-prior mean weights by training shares.
    swap_flips, redraw_flips : float
        Share of predictions changed by the other attribute, and by a mere redraw; NaN
        where the redraws were not embedded.
    nuisance_effect : float
        Mean change of the score when attribute 0 becomes 1, in standard deviations of
        the test scores; NaN as well.
    object_share, object_floor : float
        Share on the object of the map of evidence for the true label, whatever the
        head predicts, and of a flat map.
    nuisance_share, nuisance_floor : float
        Share on the nuisance of the map of evidence for label 0, over images that have
        a nuisance, and of a flat map.
    empty_maps : float
        Share of images without any evidence for the true label; the shares leave them
        out.
    label_gap, attribute_gap : float
        Effect of the label and of the attribute on the score, in standard deviations:
        `explain.neuron_effects` of the score.
    nuisance_weight : float
        Share of the absolute weight (times the feature's spread) on features that the
        attribute moves by more than `MIXED`.
    """

    accuracy: GroupAccuracies
    swap_flips: float
    redraw_flips: float
    nuisance_effect: float
    object_share: float
    object_floor: float
    nuisance_share: float
    nuisance_floor: float
    empty_maps: float
    label_gap: float
    attribute_gap: float
    nuisance_weight: float

    @property
    def worst(self) -> float:
        """Worst accuracy of the four groups."""
        return self.accuracy.accuracy_worst_group

    @property
    def worst_present(self) -> float:
        """Worst accuracy of the first three groups, which every split has."""
        return float(self.accuracy.per_group[:3].min())

    @property
    def behind(self) -> float:
        """Worst of the first three groups minus the fourth."""
        return self.worst_present - float(self.accuracy.per_group[3])

    @property
    def lost_to_nuisance(self) -> float:
        """Accuracy of label 1 that the nuisance takes away."""
        return float(self.accuracy.per_group[2] - self.accuracy.per_group[3])

    @property
    def attribute_size(self) -> float:
        """Absolute attribute effect on the score."""
        return abs(self.attribute_gap)

    @property
    def towards_zero(self) -> float:
        """Mean change of the score towards label 0 by the nuisance."""
        return -self.nuisance_effect

    @property
    def excess_flips(self) -> float:
        """Flips by the other attribute above those by a redraw."""
        return self.swap_flips - self.redraw_flips


CHANGES = ("swap_flips", "redraw_flips", "nuisance_effect")


def _changes(head: Head, world: Embedded, scores: torch.Tensor) -> dict:
    """Flips by the other attribute, flips by a redraw, effect of the nuisance."""
    if not {"test_same", "test_swapped"} <= world.features.keys():
        return dict.fromkeys(CHANGES, float("nan"))
    same, swapped = (
        torch.from_numpy(head.scores(world.features[name]))
        for name in ("test_same", "test_swapped")
    )
    # From attribute 0 to 1, whichever of the two the test image has.
    before, after = (
        torch.where(world.splits.test.a == 0, first, second)
        for first, second in ((scores, swapped), (swapped, scores))
    )
    found = (
        explain.flip_rate(scores, swapped).item(),
        explain.flip_rate(scores, same).item(),
        ((after - before).mean() / scores.std()).item(),
    )
    return dict(zip(CHANGES, found))


def report(head: Head, world: Embedded) -> Report:
    """Measure a head on the test set, its redraws if embedded, and its maps.

    Each image has one class whose evidence is mapped, the same for every head: a moved
    intercept changes predictions but no map.
    """
    test, f = world.splits.test, world.features
    scores = torch.from_numpy(head.scores(f["test"]))
    predicted = (scores > 0).long()
    accuracy = group_accuracies(
        test.y, predicted, test.group, train_groups=world.splits.train.group
    )
    coef = torch.from_numpy(head.coef)
    cam = explain.class_activation_map(world.maps, coef, test.y)
    on_object = explain.map_share(cam, test.object_mask)
    of_0 = explain.class_activation_map(world.maps, coef, torch.zeros_like(test.y))
    on_nuisance = explain.map_share(of_0, test.nuisance_mask)
    features = torch.from_numpy(f["test"])
    _, attribute = explain.neuron_effects(features, test.group).abs()
    weight = coef.abs() * features.std(0)
    gaps = explain.neuron_effects(scores[:, None], test.group)
    label_gap, attribute_gap = gaps.flatten().tolist()
    return Report(
        accuracy=accuracy,
        **_changes(head, world, scores),
        object_share=on_object.share.nanmean().item(),
        object_floor=on_object.floor.nanmean().item(),
        nuisance_share=on_nuisance.share.nanmean().item(),
        nuisance_floor=on_nuisance.floor.nanmean().item(),
        empty_maps=(cam.sum((-2, -1)) == 0).double().mean().item(),
        label_gap=label_gap,
        attribute_gap=attribute_gap,
        nuisance_weight=(weight[attribute > MIXED].sum() / weight.sum()).item(),
    )


def own_head(world: Embedded) -> Head:
    """The head that the network was trained with."""
    return Head(world.coef, world.intercept)


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Zeros of a DFR head, and the neurons that it keeps.

    Attributes
    ----------
    zeros : ndarray [R]
        Share of exact zeros in the mean of the first 1 … R heads.
    zeros_single : float
        The same in one head, mean over heads.
    mixed, mixed_kept : float
        Share of neurons that answer to label and attribute, of all and of those with
        a weight in the mean head.
    C : float
    zeros_random : float
        Share of exact zeros in one head that is fitted to permuted labels with the
        same C; NaN where that was not tried, as the next three.
    wide_single, wide_mean, wide_random : float
        The shares of one head, of the mean head and for permuted labels, for features
        that are more than the samples.
    """

    zeros: np.ndarray
    zeros_single: float
    mixed: float
    mixed_kept: float
    C: float
    zeros_random: float = float("nan")
    wide_single: float = float("nan")
    wide_mean: float = float("nan")
    wide_random: float = float("nan")

    @property
    def random_excess(self) -> float:
        """Zeros in one head for permuted labels minus those for the labels."""
        return self.zeros_random - self.zeros_single

    @property
    def wide_random_excess(self) -> float:
        """The same with more features than samples."""
        return self.wide_random - self.wide_single

    @property
    def mixed_excess(self) -> float:
        """Share of mixed neurons among the kept ones minus that of all."""
        return self.mixed_kept - self.mixed

    @property
    def zeros_mean(self) -> float:
        """Share of exact zeros in the mean of all heads."""
        return float(self.zeros[-1])


def sparsity(estimator: DeepFeatureReweighting, world: Embedded) -> Sparsity:
    """Count the zeros of a fitted DFR head and the mixed neurons among the others."""
    coef = estimator.heads_.coef
    test = torch.from_numpy(world.features["test"])
    effects = explain.neuron_effects(test, world.splits.test.group)
    mixed = (effects.abs() > MIXED).all(0).numpy()
    kept = estimator.coef_[0] != 0
    heads = range(1, len(coef) + 1)
    return Sparsity(
        zeros=np.array([averaged_zero_fraction(estimator.heads_, R) for R in heads]),
        zeros_single=float((coef == 0).mean()),
        mixed=float(mixed.mean()),
        mixed_kept=float(mixed[kept].mean()) if kept.any() else float("nan"),
        C=estimator.C_,
    )


def with_random_labels(
    found: Sparsity, estimator: DeepFeatureReweighting, world: Embedded, seed: int
) -> Sparsity:
    """Zeros with more features than samples, and what permuted labels give.

    Permuted over all validation samples, so that no feature tells anything of them,
    and balanced again by group. `estimator` is the head on the usual features, whose
    penalty is taken; the wide features, "wide" of the world, choose their own.
    """
    val = world.splits.val
    y, a = val.y.numpy(), val.a.numpy()
    permuted = np.random.default_rng(reseeded(seed)).permutation(y)

    def heads(X, y, C):
        options = dict(scaler="validation", random_state=seed)
        options |= {"C": C} if np.ndim(C) else {"C": [C], "n_resamples": 5}
        return DeepFeatureReweighting(**options).fit(X, y, groups=2 * y + a)

    def zeros(fitted):
        return float((fitted.heads_.coef == 0).mean())

    f = world.features
    wide = heads(f["wide"], y, estimator.C)
    return replace(
        found,
        zeros_random=zeros(heads(f["val"], permuted, estimator.C_)),
        wide_single=zeros(wide),
        wide_mean=averaged_zero_fraction(wide.heads_, len(wide.heads_.coef)),
        wide_random=zeros(heads(f["wide"], permuted, wide.C_)),
    )
