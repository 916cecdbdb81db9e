"""Chapter 1's rules on features of a real backbone: far more features than samples."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tailwise.data import fashion
from tailwise.models import backbone
from tailwise.training import cache
from tailwise.weighting.images import (
    FrozenPair,
    RuleComparison,
    resample,
    rule_heads,
)

SIZE = 96  # pixels, chosen on validation images among 64, 96 and 128
RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)
SIZES = (64, 96, 128)
# Images of each class: samples come from the pool, ridges are chosen on the next ones.
N_POOL, N_VAL = 1500, 500


def features(images: Tensor, size: int = SIZE, *, device: str = "cpu") -> Tensor:
    """Features ``[n, 1280]`` of the backbone, computed once and kept with a checksum.

    Parameters
    ----------
    images : Tensor of uint8 [n, 28, 28]
    size : int
        Pixels a side that images are enlarged to.
    device : str

    Raises
    ------
    ImportError
        Without the extra ``backbone``, unless the features are in the cache.
    """
    settings = {
        "weights": backbone.SHA256,
        "images": hashlib.sha256(images.numpy().tobytes()).hexdigest(),
        "size": size,
        "device": device,
    }

    def compute() -> dict[str, Tensor]:
        model = backbone.load(device)
        return {"X": backbone.embed(model, images.unsqueeze(1), size)[0]}

    return cache.compute_once(compute, settings, [backbone])["X"]


def class_images(name: str, split: str, n: int, full: bool = True) -> Tensor:
    """The first n images of a class of Fashion-MNIST, uint8 ``[n, 28, 28]``."""
    data = fashion.load(split, full=full)
    return torch.from_numpy(data.images[data.labels == fashion.CLASSES.index(name)][:n])


def class_features(
    name: str, *, full: bool = True, device: str = "cpu"
) -> dict[str, Tensor]:
    """Features of one class of Fashion-MNIST: "pool", "val" and "test".

    The first 2,000 training images, the last 500 of them for "val", and all 1,000 test
    images; of the shipped subset 1,500 and 500.
    """
    parts = {}
    for split, n in (("train", N_POOL + N_VAL), ("test", 1000)):
        images = class_images(name, split, n, full=full)
        parts[split] = features(images, device=device).double()
    train = parts["train"]
    return {"pool": train[:-N_VAL], "val": train[-N_VAL:], "test": parts["test"]}


@dataclass(frozen=True)
class BackbonePair:
    """Two classes, minority first; nothing was trained on either.

    Attributes
    ----------
    names : tuple of str
    pool, val, test : tuple of Tensor [m, 1280]
        Standardised by the pool, each class with its share.
    """

    names: tuple[str, str]
    pool: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def standardiser(
    minority: Tensor, majority: Tensor, prior: float
) -> Callable[[Tensor], Tensor]:
    """Map to mean zero and variance one in a mixture of two classes.

    Features that are constant in the mixture become zero.
    """
    shares = ((prior, minority), (1 - prior, majority))
    centre = sum(share * X.mean(0) for share, X in shares)
    variance = sum(share * (X - centre).square().mean(0) for share, X in shares)
    spread = variance.sqrt()
    live = spread > 1e-6 * spread.max()

    def scale(X: Tensor) -> Tensor:
        return torch.where(live, (X - centre) / spread, 0.0)

    return scale


def backbone_pair(
    minority: str,
    majority: str,
    *,
    prior: float = 0.2,
    full: bool = True,
    device: str = "cpu",
) -> BackbonePair:
    """Features of a pair of classes, the minority with a share of `prior`."""
    size = dict(full=full, device=device)
    found = [class_features(name, **size) for name in (minority, majority)]
    parts = {part: tuple(f[part] for f in found) for part in ("pool", "val", "test")}
    return standardised((minority, majority), prior, **parts)


def validation_pair(
    minority: str, majority: str, size: int, *, n: int = 1000, device: str = "cpu"
) -> BackbonePair:
    """A pair without test images, to choose the size of images on.

    Of the first n training images of a class 300 validate; "test" repeats them.
    """
    found = [
        features(class_images(name, "train", n), size, device=device).double()
        for name in (minority, majority)
    ]
    pool, val = (tuple(X[rows] for X in found) for rows in (slice(300, n), slice(300)))
    return standardised((minority, majority), 0.2, pool=pool, val=val, test=val)


def standardised(
    names: tuple[str, str], prior: float, **parts: tuple[Tensor, Tensor]
) -> BackbonePair:
    """The pair with every part scaled by its pool."""
    scale = standardiser(*parts["pool"], prior)
    scaled = {part: tuple(map(scale, both)) for part, both in parts.items()}
    return BackbonePair(names, **scaled)


def row_space(X: Tensor) -> Tensor:
    """Orthonormal basis ``[d, min(n, d)]`` of the rows of X [n, d].

    A ridge head lies in it, so that fitting and judging in its coordinates changes
    nothing but the cost.
    """
    return torch.linalg.qr(X.mT).Q


@dataclass(frozen=True)
class WideComparison:
    """Every rule at every ridge, on validation and on test features.

    Attributes
    ----------
    val, test : dict of float to RuleComparison
        By ridge.
    """

    val: dict[float, RuleComparison]
    test: dict[float, RuleComparison]

    def chosen(self, rule: str) -> float:
        """The ridge with the best mean worst-class accuracy on validation features.

        Ridges at which a rule is undefined for more than half of the samples are left
        out; NaN if that holds for all.
        """
        best = {}
        for ridge, found in self.val.items():
            worst = found.worst(rule)
            if worst.isfinite().double().mean() > 0.5:
                best[ridge] = worst.nanmean().item()
        return max(best, key=best.get) if best else float("nan")


def compare_wide(
    pair: BackbonePair,
    n: int,
    *,
    prior: float,
    n_resamples: int,
    grid: Tensor,
    generator: torch.Generator,
    ridges: Sequence[float] = RIDGES,
    n_draws: int = 8,
) -> WideComparison:
    """Refit the last layer under every rule and ridge on the same samples.

    Parameters as in `tailwise.weighting.images.compare_rules`; every rule may choose
    its ridge with `WideComparison.chosen`.
    """
    found = {(part, r): [] for part in ("val", "test") for r in ridges}
    source = FrozenPair(pair.names, pair.pool, pair.test, (float("nan"),) * 2)
    options = dict(grid=grid, n_draws=n_draws, generator=generator)
    for _ in range(n_resamples):
        X, y = resample(source, n, 1, prior=prior, generator=generator)
        basis = row_space(X[0])
        X = X @ basis
        places = {
            part: tuple(Z @ basis for Z in getattr(pair, part))
            for part in ("val", "test")
        }
        for r in ridges:
            heads = rule_heads(X, y, r, **options)
            for part, both in places.items():
                found[part, r].append(heads.judged(both))
    joined = {key: _joined(runs) for key, runs in found.items()}
    return WideComparison(
        **{part: {r: joined[part, r] for r in ridges} for part in ("val", "test")}
    )


def _joined(runs: list[RuleComparison]) -> RuleComparison:
    first = runs[0]
    return RuleComparison(
        {k: torch.cat([r.accuracy[k] for r in runs], 1) for k in first.accuracy},
        {k: torch.cat([r.ratio[k] for r in runs]) for k in first.ratio},
        first.grid,
        torch.cat([r.sweep for r in runs], 1),
    )
