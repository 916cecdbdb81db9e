"""Images of clothes at six severities of noise, and points of two difficulties.

How often each severity occurs is a *law*. Draws under two laws differ in nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tailwise.data import fashion
from tailwise.profiles import keyed_generator

SEVERITIES = (0.0, 0.15, 0.3, 0.45, 0.65, 0.9)  # noise s.d. on pixels in [0, 1]
PIXEL_MEAN, PIXEL_SD = 0.2860, 0.3530
_POISSON = tuple(math.exp(-1) / math.factorial(s) for s in range(5))
LAWS = {
    "rare": (*_POISSON, 1 - sum(_POISSON)),  # Poisson(1), its tail put on severity 5
    "uniform": (1 / 6,) * 6,
    "reversed": (1 - sum(_POISSON), *_POISSON[::-1]),
}
EASY_MEAN, HARD_MEAN = 2.2, 1.15  # distance of a class mean from the origin
HARD_ANGLE = 75.0  # degrees between the class axes of easy and hard points
Law = str | Sequence[float] | Tensor


def law(name_or_probabilities: Law) -> Tensor:
    """Probabilities of the six severities, float64 ``[6]``.

    Takes a name in `LAWS`, or six probabilities that sum to one within 1e-6, which are
    rescaled to machine precision. Anything else is a ValueError.
    """
    given = name_or_probabilities
    if isinstance(given, str):
        if given not in LAWS:
            raise ValueError(f"unknown law {given!r}: expected {', '.join(LAWS)}")
        given = LAWS[given]
    p = torch.as_tensor(given, dtype=torch.float64)
    if p.shape != (6,):
        raise ValueError(f"a severity law has shape {list(p.shape)}: expected [6]")
    if not (p.isfinite() & (p >= 0)).all():
        raise ValueError(f"a severity law holds negative or no numbers: {p.tolist()}")
    if abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"a severity law sums to {p.sum():.6g}: expected 1")
    return p / p.sum()


def corrupt(
    images: Tensor | np.ndarray,
    severity: Tensor,
    *,
    generator: torch.Generator,
    pool: bool = True,
) -> Tensor:
    """Noisy, standardised images of half the size: float32 ``[n, 14, 14]``.

    Parameters
    ----------
    images : uint8 [n, 28, 28]
    severity : Tensor of int64 [n]
        Positions in `SEVERITIES`; others, or other shapes, raise a ValueError.
    generator : torch.Generator
        On the CPU. A generator in the same state draws the same noise pattern at every
        severity: one standard normal field per image, scaled by the severity's s.d.
    pool : bool
        False keeps the whole images, ``[n, 28, 28]``.
    """
    images = torch.asarray(images, copy=True)  # arrays may be read-only
    n = severity.shape[:1] or (1,)
    wanted = ("severity", torch.int64, n), ("images", torch.uint8, (*n, 28, 28))
    for value, (name, dtype, shape) in zip((severity, images), wanted):
        if value.dtype != dtype or value.shape != shape:
            got = f"{name} is {value.dtype} {list(value.shape)}"
            raise ValueError(f"{got}: expected {dtype} {list(shape)}")
    if ((severity < 0) | (severity >= len(SEVERITIES))).any():
        raise ValueError(f"severity has {severity.unique().tolist()}: expected 0 to 5")
    noise = torch.randn(images.shape, generator=generator)
    noise *= torch.tensor(SEVERITIES)[severity][:, None, None]
    x = (images / 255 + noise).clamp(0, 1)
    if pool:
        x = x.reshape(-1, 14, 2, 14, 2).mean((2, 4))
    return (x - PIXEL_MEAN) / PIXEL_SD


@dataclass(frozen=True)
class Corrupted:
    """Noisy images of S seeds: x float32 ``[S, n, 14, 14]``, the rest int64 ``[S, n]``.

    Images that were not pooled are of 28 by 28 pixels.

    `source` is the garment's row in its split of Fashion-MNIST.
    """

    x: Tensor
    y: Tensor
    severity: Tensor
    source: Tensor


@dataclass(frozen=True)
class Draw:
    """Data of S seeds; in each, train and val follow the law and share no garment.

    The test set is the same for all laws and holds each garment at every severity:
    x ``[S, 6, m, 14, 14]``, severity ``[S, 6, m]``, y and source ``[S, m]``.
    """

    train: Corrupted
    val: Corrupted
    test: Corrupted


def _by_law(
    data: fashion.Fashion, rows: Tensor, spec: Law, pool: bool, *key: int
) -> Corrupted:
    g = keyed_generator(*key)
    # Inverse CDF of one uniform per garment, whatever the law.
    uniform = torch.rand(len(rows), dtype=torch.float64, generator=g)
    severity = torch.searchsorted(law(spec).cumsum(0)[:-1], uniform, right=True)
    x = corrupt(data.images[rows.numpy()], severity, generator=g, pool=pool)
    return Corrupted(x, torch.from_numpy(data.labels)[rows], severity, rows)


def _at_all(data: fashion.Fashion, rows: Tensor, pool: bool, *key: int) -> Corrupted:
    images, y = data.images[rows.numpy()], torch.from_numpy(data.labels)[rows]
    severity = torch.arange(len(SEVERITIES))[:, None].expand(-1, len(rows))
    # A fresh generator per severity: one noise pattern per garment.
    x = [
        corrupt(images, level, generator=keyed_generator(*key), pool=pool)
        for level in severity
    ]
    return Corrupted(torch.stack(x), y, severity, rows)


def draw(
    law: Law,
    n_seeds: int,
    *,
    n_train: int,
    n_val: int,
    n_test: int,
    full: bool = False,
    pool: bool = True,
    seed: int = 0,
    first: int = 0,
) -> Draw:
    """Draw training, validation and test data: a random subset for each seed.

    Parameters
    ----------
    law : str or six floats
        See `law`. It sets the severities in train and val and nothing else.
    n_seeds : int
        Seed s is the same however many there are.
    n_train, n_val, n_test : int
        Garments per seed; more than there are, or none, raise a ValueError.
    full : bool
        Take the full Fashion-MNIST instead of the shipped subset.
    pool : bool
        See `corrupt`.
    seed : int
        Of all of them.
    first : int
        Leave out the seeds before this one.
    """
    source, held_out = (fashion.load(split, full=full) for split in ("train", "test"))
    n_source, n_held_out = len(source.labels), len(held_out.labels)
    if min(n_seeds, n_train, n_val, n_test) < 1:
        sizes = f"{n_seeds}, {n_train}, {n_val}, {n_test}"
        raise ValueError(f"n_seeds, n_train, n_val, n_test = {sizes}: expected ≥ 1")
    if n_train + n_val > n_source or n_test > n_held_out:
        sizes = f"n_train + n_val = {n_train + n_val}, n_test = {n_test}"
        raise ValueError(f"{sizes}: there are {n_source} and {n_held_out} garments")
    parts = []
    for s in range(first, first + n_seeds):
        rows = torch.randperm(n_source, generator=keyed_generator(seed, s, 0))
        test = torch.randperm(n_held_out, generator=keyed_generator(seed, s, 3))
        train = _by_law(source, rows[:n_train], law, pool, seed, s, 1)
        val = _by_law(source, rows[-n_val:], law, pool, seed, s, 2)
        parts.append((train, val, _at_all(held_out, test[:n_test], pool, seed, s, 4)))
    stacked = []
    for split in zip(*parts):
        fields = zip(*(vars(part).values() for part in split))
        stacked.append(Corrupted(*map(torch.stack, fields)))
    return Draw(*stacked)


def rotated_gaussians(
    hard: float, n: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw X ``[n, 2]``, y and hard_mask ``[n]``: two classes, a share of hard points.

    Easy points have class means (±`EASY_MEAN`, 0). Hard ones have means `HARD_MEAN`
    from the origin on an axis turned by `HARD_ANGLE` degrees. Noise has unit variance.
    """
    if not (0 <= hard <= 1 and n >= 1):
        raise ValueError(f"hard = {hard}, n = {n}: expected 0 ≤ hard ≤ 1 and n ≥ 1")
    y = torch.randint(0, 2, (n,), generator=generator)
    hard_mask = torch.randperm(n, generator=generator) < round(hard * n)
    angle = torch.deg2rad(HARD_ANGLE * hard_mask)
    radius = (2 * y - 1) * torch.where(hard_mask, HARD_MEAN, EASY_MEAN)
    mean = radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    return mean + torch.randn(n, 2, generator=generator), y, hard_mask


def boundary_angle(coef: Tensor) -> Tensor:
    """Direction of linear scores ``[..., 2]`` in degrees, in (-180, 180].

    0 is best for the easy points of `rotated_gaussians`, 75 for the hard ones; beyond
    ±90 the classes of the easy points are swapped. NaN where both coefficients are 0.
    """
    if coef.shape[-1:] != (2,):
        raise ValueError(f"coef has shape {list(coef.shape)}: expected [..., 2]")
    angle = torch.rad2deg(torch.atan2(coef[..., 1], coef[..., 0]))
    return angle.masked_fill((coef == 0).all(-1), torch.nan)
