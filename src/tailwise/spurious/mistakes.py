"""Mistakes of evaluation, made on purpose on the worlds of chapter 2.

Each function measures claims twice on the same networks, as the chapter does and with
the mistake: by claim and part, the two estimates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from tailwise.data import spurious
from tailwise.ledger.mistakes import Pairs
from tailwise.methods.dfr import DeepFeatureReweighting, l1_logistic
from tailwise.metrics import GroupAccuracies, estimate, group_accuracies
from tailwise.profiles import Profile, reseeded
from tailwise.spurious.networks import Recipe, embed, fit
from tailwise.spurious.reports import Head, own_head
from tailwise.spurious.study import moved, refitted, worlds

Number = Callable[[GroupAccuracies], float]
REQUEST = 200  # rows a group that are asked for, more than the rarest group has


@dataclass(frozen=True)
class Frozen:
    """Features of one drawn world from its ERM network, and three heads.

    Attributes
    ----------
    features : dict of str to ndarray [n, d]
        Of training, validation and test images.
    splits : Splits
    own, shifted, dfr : Head
        As trained, with a moved threshold, and refitted.
    C : float
        What the refitted head chose.
    seed : int
    """

    features: dict[str, np.ndarray]
    splits: spurious.Splits
    own: Head
    shifted: Head
    dfr: Head
    C: float
    seed: int

    def judged(self, head: Head) -> GroupAccuracies:
        """Accuracies of a head on the test images, by group."""
        test = self.splits.test
        predicted = torch.from_numpy(head.scores(self.features["test"]) > 0).long()
        prior = dict(train_groups=self.splits.train.group)
        return group_accuracies(test.y, predicted, test.group, **prior)


Runs = dict[str, list[Frozen]]
Heads = tuple[Callable[[Frozen], Head], ...]


def prepare(profile: Profile) -> Runs:
    """The chapter's ERM networks and heads by world, from the cache if they are in."""
    epochs, seeds = profile.pick(smoke=(1, 2), laptop=(3, 5), full=(5, 10))
    full, found = profile.data == "full", {}
    for name, world in worlds(profile).items():
        found[name] = []
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(reseeded(seed))
            splits = spurious.draw(world, full=full, generator=generator)
            size = dict(epochs=epochs, full=full, device=profile.device)
            model, _ = fit(Recipe(world, seed, **size), splits)
            one = embed(model, splits, profile.device, ("train", "val"))
            own, val = own_head(one), one.features["val"]
            shifted = moved(own, val, splits.val)
            dfr, estimator = refitted(one, val, splits.val, seed)
            heads = own, shifted, dfr, estimator.C_
            found[name].append(Frozen(one.features, splits, *heads, seed))
    return found


def capped_groups(runs: Runs) -> Pairs:
    """DFR takes 200 rows of each group, or as many as there are: not balanced."""

    def capped(one: Frozen) -> Head:
        rng = np.random.default_rng(reseeded(one.seed))
        y, groups = one.splits.val.y.numpy(), one.splits.val.group.numpy()
        scaler = StandardScaler().fit(one.features["train"])
        Z, fits = scaler.transform(one.features["val"]), []
        for _ in range(20):
            members = [np.flatnonzero(groups == g) for g in range(4)]
            rows = np.concatenate([rng.permutation(m)[:REQUEST] for m in members])
            head = l1_logistic(one.C, int(rng.integers(2**31)))
            head.fit(Z[rows], y[rows])
            fits.append(np.append(head.coef_, head.intercept_))
        coef, intercept = np.split(np.mean(fits, 0), [-1])
        coef = coef / scaler.scale_
        return Head(coef, float(intercept[0] - coef @ scaler.mean_))

    return _with_heads(runs, (_dfr, capped))


def scaler_on_everything(runs: Runs) -> Pairs:
    """The scaler of the features is fitted on training, validation and test rows."""

    def leaked(one: Frozen) -> Head:
        val, f = one.splits.val, one.features
        estimator = DeepFeatureReweighting(random_state=reseeded(one.seed)).fit(
            f["val"],
            val.y.numpy(),
            groups=val.group.numpy(),
            X_reference=np.concatenate([f["train"], f["val"], f["test"]]),
        )
        return Head(estimator.coef_[0], float(estimator.intercept_[0]))

    return _with_heads(runs, (_dfr, leaked))


def threshold_on_test(runs: Runs) -> Pairs:
    """The threshold is chosen on the test images on which it is judged."""

    def leaked(one: Frozen) -> Head:
        seen = one.splits.val.group.unique()
        rows = torch.isin(one.splits.test.group, seen)
        images = one.splits.test.take(rows.nonzero()[:, 0])
        return moved(one.own, one.features["test"][rows.numpy()], images)

    heads = (lambda one: one.shifted), leaked
    skin = _differences(runs["skin"], _present, heads, _dfr)
    birds = _differences(runs["birds"], _worst, heads, _dfr)
    return {
        "ch2.one_threshold": {"": _pair(skin)},
        "ch2.threshold_fails_on_birds": {"": _pair(-birds)},
    }


def average_by_training_share(runs: Runs) -> Pairs:
    """Groups count by their shares of the training set."""
    worst, by_share, falls, rises = (
        estimate(sign * _differences(runs[world], number, (_dfr,), _own)[:, 0])
        for sign, world, number in (
            (1, "birds", _worst),
            (1, "birds", _train_prior),
            (-1, "skin", _train_prior),
            (-1, "skin", lambda found: found.accuracy_test_mean),
        )
    )
    both = {"train_prior": (falls, falls), "test_mean": (rises, falls)}
    return {"ch2.dfr_gain": {"": (worst, by_share)}, "ch2.overall_falls": both}


def _with_heads(runs: Runs, heads: Heads) -> Pairs:
    """Claims about DFR, with its head and with another one."""
    birds = _differences(runs["birds"], _worst, heads, _own)
    malignant, benign = (
        _differences(runs["skin"], lambda a, g=g: float(a.per_group[g]), heads, _own)
        for g in (2, 0)
    )
    return {
        "ch2.dfr_gain": {"": _pair(birds)},
        "ch2.gain_and_price": {
            "malignant gains": _pair(malignant),
            "benign pays": _pair(-benign),
        },
    }


def _differences(
    sets: list[Frozen], number: Number, heads: Heads, less: Callable[[Frozen], Head]
) -> np.ndarray:
    """A number of each head minus that of another one, ``[sets, heads]``."""
    found = []
    for one in sets:
        base = number(one.judged(less(one)))
        found.append([number(one.judged(head(one))) - base for head in heads])
    return np.array(found)


def _pair(values: np.ndarray):
    return estimate(values[:, 0]), estimate(values[:, 1])


def _dfr(one: Frozen) -> Head:
    return one.dfr


def _own(one: Frozen) -> Head:
    return one.own


def _worst(found: GroupAccuracies) -> float:
    return found.accuracy_worst_group


def _present(found: GroupAccuracies) -> float:
    return float(found.per_group[:3].min())


def _train_prior(found: GroupAccuracies) -> float:
    return found.accuracy_train_prior
