"""Class imbalance: the counts of a long tail, and Fashion-MNIST with STEP imbalance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data import fashion
from tailwise.profiles import reseeded

MAJORITY = ("trouser", "bag", "ankle boot")
MINORITY = ("dress", "sandal", "sneaker")
PIXEL_MEAN, PIXEL_SD = 0.286, 0.353
MANY, FEW = 100, 20  # training images


@dataclass(frozen=True, kw_only=True)
class Task:
    """Six classes of clothes, three of them rare; one training set a seed.

    Attributes
    ----------
    seeds : tuple of int
    counts : Tensor [k]
        Training images of each class, majority first.
    X, val_X : Tensor [S, n, d], [S, m, d]
        Disjoint draws of training images, 14 x 14 pixels; the validation set is
        balanced.
    y, val_y : Tensor [n], [m]
    test_X, test_y : Tensor [t, d], [t]
        All test images of these classes.
    """

    seeds: tuple[int, ...]
    counts: Tensor
    X: Tensor
    y: Tensor
    val_X: Tensor
    val_y: Tensor
    test_X: Tensor
    test_y: Tensor


def long_tail(
    n_classes: int, n_max: int, imbalance_ratio: float, *, whole: bool = False
) -> Tensor:
    """Counts that fall geometrically from n_max to n_max / ratio: int64 ``[k]``.

    They are rounded to the nearest, or with `whole` down, as CIFAR-100-LT's are (Cao et
    al., 2019, its exponential profile).

    Raises
    ------
    ValueError
        For fewer than two classes, a ratio below 1, or one that leaves the last class
        without an image.
    """
    if not n_classes >= 2:
        raise ValueError(f"n_classes is {n_classes}: expected at least 2")
    if not imbalance_ratio >= 1:
        raise ValueError(f"imbalance_ratio is {imbalance_ratio}: expected at least 1")
    if not n_max >= imbalance_ratio:
        raise ValueError(
            f"n_max is {n_max}: expected at least the imbalance_ratio "
            f"{imbalance_ratio}, or the last class has no image"
        )
    rank = torch.linspace(0, 1, n_classes, dtype=torch.float64)
    counts = n_max * imbalance_ratio**-rank
    # A count that is whole must not be lost to rounding.
    return (counts + 1e-9).floor().long() if whole else counts.round().long()


def many_medium_few(counts: Tensor) -> dict[str, Tensor]:
    """Classes with more than 100 training images, 20 to 100, and fewer: bool ``[k]``.

    The groups are LPT's.
    """
    many, few = counts > MANY, counts < FEW
    return {"many": many, "medium": ~many & ~few, "few": few}


def _pixels(images) -> Tensor:
    x = torch.as_tensor(images).float().unsqueeze(1) / 255
    return (F.avg_pool2d(x, 2).flatten(1) - PIXEL_MEAN) / PIXEL_SD


def draw(
    seeds: Sequence[int],
    n_major: int,
    n_minor: int,
    *,
    n_val: int = 100,
    full: bool = False,
    device: str = "cpu",
) -> Task:
    """Draw a task: `n_major` and `n_minor` training images of each class.

    Raises a ValueError for fewer than one image of a class, or more than there are.
    """
    train, test = (fashion.load(split, full=full) for split in ("train", "test"))
    sizes = [n_major] * len(MAJORITY) + [n_minor] * len(MINORITY)
    classes = [fashion.CLASSES.index(name) for name in MAJORITY + MINORITY]
    rows = [torch.as_tensor((train.labels == c).nonzero()[0]) for c in classes]
    most = min(map(len, rows)) - 1
    if not len(seeds) or not 1 <= n_val <= most:
        given = f"seeds, n_val are {list(seeds)}, {n_val}"
        raise ValueError(f"{given}: expected one seed at least, and 1 to {most}")
    most = most + 1 - n_val
    for name, n in (("n_major", n_major), ("n_minor", n_minor)):
        if not 1 <= n <= most:
            raise ValueError(f"{name} is {n}: expected 1 to {most} images of a class")
    X, V = [], []
    for seed in seeds:
        g = torch.Generator().manual_seed(reseeded(seed))
        mixed = [r[torch.randperm(len(r), generator=g)] for r in rows]
        picked = torch.cat([r[:n] for r, n in zip(mixed, sizes)])
        X.append(_pixels(train.images[picked]))
        V.append(_pixels(train.images[torch.cat([r[-n_val:] for r in mixed])]))
    held = [torch.as_tensor((test.labels == c).nonzero()[0]) for c in classes]

    def labels(counts) -> Tensor:
        return torch.arange(len(sizes)).repeat_interleave(torch.tensor(counts))

    found = dict(
        counts=torch.tensor(sizes, dtype=torch.float64),
        X=torch.stack(X),
        y=labels(sizes),
        val_X=torch.stack(V),
        val_y=labels([n_val] * len(sizes)),
        test_X=_pixels(test.images[torch.cat(held)]),
        test_y=labels([len(r) for r in held]),
    )
    return Task(seeds=tuple(seeds), **{k: x.to(device) for k, x in found.items()})
