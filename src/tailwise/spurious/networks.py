"""The networks of chapter 2: trained once per world, seed and method, then frozen."""

import sys
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tailwise.data import fashion, spurious
from tailwise.models import resnet
from tailwise.models.pretrained import pretrained_body
from tailwise.profiles import reseeded
from tailwise.spurious import group_dro
from tailwise.training import cache, loop

METHODS = ("ERM", "group-balanced sampling", "group DRO", "balanced data")
SETS = ("train", "val", "hold", "test", "test_same", "test_swapped", "val_pasted")
WIDE = 4  # positions a side that are kept apart in wide features


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a trained network.

    Attributes
    ----------
    world : World
    seed : int
        Of the drawn world, the fresh layers and the order of batches.
    method : str
        One of `METHODS`; "balanced data" is the oracle.
    pretrained : bool
        Start from the shipped weights instead of random ones.
    epochs : int
    full : bool
        Draw from the full Fashion-MNIST.
    device : str
    dro_step : float
        Step size of the group weights of group DRO.
    decay : float
        Weight decay of AdamW.
    """

    world: spurious.World
    seed: int
    method: str = "ERM"
    pretrained: bool = True
    epochs: int = 3
    full: bool = False
    device: str = "cpu"
    dro_step: float = 0.05
    decay: float = 1e-4


def fit(recipe: Recipe, splits: spurious.Splits) -> tuple[resnet.SmallResNet, bool]:
    """The network of a recipe, from the cache or trained now, and which of the two.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if recipe.method not in METHODS:
        raise ValueError(f"unknown method {recipe.method!r}: expected one of {METHODS}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(reseeded(recipe.seed))
        model = resnet.SmallResNet(2)
    if recipe.pretrained:
        model.body.load_state_dict(pretrained_body(), strict=False)
    # The layout in which small convolutions are fastest on a CPU.
    model.to(recipe.device, memory_format=torch.channels_last)
    sources = (fashion, spurious, resnet, loop, group_dro, sys.modules[__name__])
    settings = asdict(recipe)
    if recipe.method != "group DRO":
        del settings["dro_step"]  # it decides nothing for the others
    return model, cache.train_once(
        model, lambda net: _train(net, recipe, splits), settings, sources
    )


def _train(model: resnet.SmallResNet, recipe: Recipe, splits: spurious.Splits) -> None:
    images, loss = splits.train, group_dro.erm_loss
    if recipe.method == "balanced data":
        images = splits.balanced
    elif recipe.method != "ERM":
        images = group_dro.group_balanced(images, recipe.seed)
        if recipe.method == "group DRO":
            loss = group_dro.group_dro_loss(recipe.dro_step)
    loop.train(
        model,
        _layout(images.x, recipe.device),
        images.group.to(recipe.device),
        epochs=recipe.epochs,
        generator=torch.Generator().manual_seed(reseeded(recipe.seed)),
        batch_size=96,
        lr=2e-3,
        weight_decay=recipe.decay,
        loss=loss,
    )


def _layout(x: Tensor, device: str) -> Tensor:
    return x.to(device, memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What a frozen network makes of a world.

    Attributes
    ----------
    features : dict of str to ndarray [n, d]
        For the sets of `Splits` that were asked for; "wide" are those of the
        validation set averaged over 16 parts of the image each, ``[n, 16 d]``.
    maps : Tensor [n, d, h, w]
        Of the test images.
    splits : Splits
    coef, intercept : ndarray [d], float
        The network's own head as one score: label 1 minus label 0.
    """

    features: dict[str, np.ndarray]
    maps: Tensor
    splits: spurious.Splits
    coef: np.ndarray
    intercept: float


@torch.no_grad()
def embed(
    model: resnet.SmallResNet,
    splits: spurious.Splits,
    device: str,
    sets: tuple[str, ...] = SETS,
) -> Embedded:
    """Extract features of the given sets, and the maps and features of the test set.

    The set "wide" is the validation set with wide features.
    """
    frozen = resnet.folded(model)
    wide = "wide" in sets
    sets = tuple(s for s in sets if s != "wide")
    images = {s: _layout(getattr(splits, s).x, device) for s in {*sets, "test"}}
    maps = torch.cat([frozen.maps(x).cpu() for x in images.pop("test").split(500)])
    features = {s: loop.extract(frozen.features, x) for s, x in images.items()}
    features["test"] = maps.mean((-2, -1), dtype=torch.float64)
    if wide:
        parts = nn.Sequential(nn.AdaptiveAvgPool2d(WIDE), nn.Flatten())
        x = _layout(splits.val.x, device)
        features["wide"] = loop.extract(lambda rows: parts(frozen.maps(rows)), x)
    weight, bias = model.head.weight.double().cpu(), model.head.bias.double().cpu()
    return Embedded(
        features={name: values.numpy() for name, values in features.items()},
        maps=maps,
        splits=splits,
        coef=(weight[1] - weight[0]).numpy(),
        intercept=float(bias[1] - bias[0]),
    )
