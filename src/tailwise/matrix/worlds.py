"""The five small worlds of the book as frozen features, one data set a seed.

Nothing is trained here: features are pixels, or come from the shipped networks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tailwise.data import corruption, glyphs, imbalance, spurious
from tailwise.models import experts as pretrained
from tailwise.models.pretrained import pretrained_body
from tailwise.models.resnet import SmallResNet, folded
from tailwise.profiles import Profile, reseeded

BANDS = ("frequent third", "middle third", "rare third")


@dataclass(frozen=True)
class Part:
    """One split of S data sets: X ``[S, n, d]``, y and group int64 ``[S, n]``."""

    X: Tensor
    y: Tensor
    group: Tensor

    def to(self, device: str) -> "Part":
        """The same on a device."""
        return Part(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True, kw_only=True)
class World:
    """A task with frozen features.

    Attributes
    ----------
    name, title : str
    seeds : tuple of int
        Of the S data sets; each depends on its own seed only.
    n_classes : int
    groups : tuple of str
        Names of the groups that the test set is scored by.
    train, val, test : Part
    labelled : bool
        Whether groups are known before the test: methods may balance them and
        validation chooses by the worst of them. Otherwise classes take their place.
    views : int
        Features of the first expert, where a second expert has the others; 0 if there
        is one set of features.
    mix : Tensor [S, n]
        Weights of the test samples that give them the mix of the training set.
    """

    name: str
    title: str
    seeds: tuple[int, ...]
    n_classes: int
    groups: tuple[str, ...]
    train: Part
    val: Part
    test: Part
    labelled: bool
    views: int
    mix: Tensor

    def cells(self, part: Part) -> Tensor:
        """What may be balanced ``[S, n]``: groups where they are known, or classes."""
        return part.group if self.labelled else part.y

    def to(self, device: str) -> "World":
        """The same on a device."""
        names = ("train", "val", "test", "mix")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def scaled(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Features in units of the training set's mean and standard deviation, float32."""
    centre = train.mean(1, keepdim=True)
    spread = train.std(1, keepdim=True).clamp_min(1e-3)
    return [((X - centre) / spread).float() for X in (train, *others)]


def training_mix(test: Tensor, shares: Tensor) -> Tensor:
    """Weights ``[S, n]`` that give test cells ``[S, n]`` the training shares."""
    counts = torch.stack([row.bincount(minlength=shares.shape[-1]) for row in test])
    weights = (shares / counts.clamp_min(1)).gather(-1, test)
    return weights / weights.sum(-1, keepdim=True)


def _shares(cells: Tensor, size: int) -> Tensor:
    counts = torch.stack([row.bincount(minlength=size) for row in cells])
    return counts.double() / cells.shape[-1]


def made(name, title, seeds, k, groups, parts, *, labelled, views=0, mixed_by) -> World:
    """A world of three parts, scaled; `mixed_by`: "y" or "group", see `World.mix`."""
    features = scaled(*(part.X for part in parts))
    train, val, test = (replace(p, X=X) for p, X in zip(parts, features))
    size = max(k, len(groups))
    shares = _shares(getattr(train, mixed_by), size)
    mix = training_mix(getattr(test, mixed_by), shares)
    known = dict(labelled=labelled, views=views, mix=mix)
    return World(
        name=name,
        title=title,
        seeds=tuple(seeds),
        n_classes=k,
        groups=tuple(groups),
        train=train,
        val=val,
        test=test,
        **known,
    )


def rare_classes(P: Profile, seeds: Sequence[int]) -> World:
    """Six kinds of clothes, three of them rare (STEP); pixels."""
    many, few = P.pick(smoke=(40, 4), laptop=(200, 10), full=(1000, 50))
    task = imbalance.draw(seeds, many, few, full=P.data == "full")
    test_X = task.test_X.expand(len(seeds), -1, -1)
    parts = []
    for X, y in ((task.X, task.y), (task.val_X, task.val_y), (test_X, task.test_y)):
        y = y.expand(len(seeds), -1).contiguous()
        parts.append(Part(X, y, y))
    names = imbalance.MAJORITY + imbalance.MINORITY
    title, known = "rare classes", dict(labelled=False, mixed_by="y")
    return made("step", title, seeds, len(names), names, parts, **known)


@torch.no_grad()
def _spurious(
    P: Profile, seeds: Sequence[int], world: spurious.World, title: str
) -> World:
    share, val, n_test = P.pick(
        smoke=(0.05, 0.1, 30), laptop=(0.25, 0.4, 150), full=(1.0, 1.0, 250)
    )
    small = world.scaled(share, val=val)
    small = replace(small, counts=small.counts | {"test": (n_test,) * 4})
    network = SmallResNet(2)
    network.body.load_state_dict(pretrained_body(), strict=False)
    network = folded(network).to(P.device, memory_format=torch.channels_last)

    def embedded(images: spurious.Images) -> Part:
        rows = images.x.split(500)
        layout = dict(device=P.device, memory_format=torch.channels_last)
        X = torch.cat([network.features(x.to(**layout)).cpu() for x in rows])
        return Part(X, images.y, images.group)

    splits = []
    for seed in seeds:
        g = torch.Generator().manual_seed(reseeded(seed))
        drawn = spurious.draw(small, full=P.data == "full", generator=g)
        splits.append([embedded(getattr(drawn, s)) for s in ("train", "val", "test")])
    parts, known = stacked(splits), dict(labelled=True, mixed_by="group")
    return made(world.name, title, seeds, 2, world.groups, parts, **known)


def stacked(seeds: list[list[Part]]) -> list[Part]:
    """Splits of single seeds as splits with a leading axis of seeds."""
    return [
        Part(*(torch.stack(field) for field in zip(*(vars(p).values() for p in split))))
        for split in zip(*seeds)
    ]


def rare_groups(P: Profile, seeds: Sequence[int]) -> World:
    """Clothes on land and on water, every group present; a pretrained network."""
    return _spurious(P, seeds, spurious.HARSH_BIRDS, "rare groups")


def missing_group(P: Profile, seeds: Sequence[int]) -> World:
    """Lesions with a patch that no malignant one has before the test."""
    return _spurious(P, seeds, spurious.SKIN, "a missing group")


def hard_examples(P: Profile, seeds: Sequence[int]) -> World:
    """Clothes under noise of six severities, the severe ones rare; pixels."""
    n_train, n_val, n_test = P.pick(
        smoke=(100, 80, 40), laptop=(500, 400, 200), full=(6000, 2000, 2000)
    )
    sizes = dict(n_train=n_train, n_val=n_val, n_test=n_test)
    splits = []
    for seed in seeds:
        data = corruption.draw("rare", 1, full=P.data == "full", first=seed, **sizes)
        splits.append([])
        for drawn in (data.train, data.val, data.test):
            X = drawn.x.flatten(-2)
            y = drawn.y if X.ndim == 3 else drawn.y.unsqueeze(1).expand(X.shape[:-1])
            rows = X.flatten(0, -2), y.flatten(), drawn.severity.flatten()
            splits[-1].append(Part(*rows))
    parts = stacked(splits)
    names = [f"severity {s}" for s in range(len(corruption.SEVERITIES))]
    title, known = "hard examples", dict(labelled=False, mixed_by="group")
    return made("noise", title, seeds, 10, names, parts, **known)


@torch.no_grad()
def long_tail(P: Profile, seeds: Sequence[int]) -> World:
    """Sixty crowded letters, a few frequent; features of two pretrained experts."""
    n_max, ratio, n_test = P.pick(
        smoke=(6, 3, 4), laptop=(30, 15, 15), full=(200, 100, 20)
    )
    experts = [pretrained.load("visual"), pretrained.load("language")[0]]
    experts = [expert.to(P.device) for expert in experts]
    splits = []
    for seed in seeds:
        sizes = dict(n_max=n_max, imbalance_ratio=ratio, n_test=n_test)
        task = glyphs.draw(seed, crowd=True, **sizes)
        order = task.counts.argsort(descending=True)
        band = torch.empty_like(order)
        band[order] = torch.arange(len(order)) * len(BANDS) // len(order)
        splits.append([])
        for part in (task.train, task.val, task.test):
            rows = part.images.split(500)
            views = [
                torch.cat([expert(x.to(P.device)).cpu() for x in rows])
                for expert in experts
            ]
            splits[-1].append(
                Part(torch.cat(views, -1), part.labels, band[part.labels])
            )
    parts, k = stacked(splits), len(task.counts)
    known = dict(labelled=False, views=views[0].shape[-1], mixed_by="y")
    return made("tail", "a long tail", seeds, k, BANDS, parts, **known)


WORLDS: dict[str, Callable[[Profile, Sequence[int]], World]] = {
    "step": rare_classes,
    "birds": rare_groups,
    "skin": missing_group,
    "noise": hard_examples,
    "tail": long_tail,
}
