"""Pictures of letters moved, turned, and drawn badly, at four levels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 32


@dataclass(frozen=True)
class Level:
    """How badly letters are drawn.

    Attributes
    ----------
    affine : float
        Share of the full jitter: 8 degrees, 10 % of size and shear, 2 pixels.
    background : float
        Largest difference of brightness between two sides of the background.
    contrast : (float, float)
        Range of the factor around middle grey.
    blur : float
        Largest share of a 3 × 3 binomial filter.
    noise : (float, float)
        Range of the noise's standard deviation.
    bar : float
        Largest width of the bar in pixels.
    polarity : bool
        Ink is dark on light in every other picture, on average.
    """

    affine: float = 1.0
    background: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    blur: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    bar: float = 0.0
    polarity: bool = False


LEVELS = {
    "clean": Level(affine=0.0),
    "jittered": Level(),
    "pretraining": Level(
        background=0.2,
        contrast=(0.65, 0.95),
        blur=0.8,
        noise=(0.03, 0.09),
        bar=2,
        polarity=True,
    ),
    "target": Level(
        background=0.3,
        contrast=(0.55, 0.85),
        blur=0.8,
        noise=(0.03, 0.12),
        bar=3,
        polarity=True,
    ),
}


def corrupt(images: Tensor, *, level: str, generator: torch.Generator) -> Tensor:
    """Corrupted pictures in [0, 1], float32 ``[n, 1, 32, 32]``.

    Parameters
    ----------
    images : Tensor of uint8 [n, 32, 32]
        Ink is 255 on 0.
    level : {"clean", "jittered", "pretraining", "target"}
        A name in `LEVELS`; "clean" changes nothing.
    generator : torch.Generator
        On the CPU. Every picture has its own random numbers.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}: expected {', '.join(LEVELS)}")
    if images.dtype != torch.uint8 or images.shape[1:] != (SIZE, SIZE):
        raise ValueError(
            f"images is {images.dtype} {list(images.shape)}: "
            f"expected torch.uint8 [n, {SIZE}, {SIZE}]"
        )
    spec, n = LEVELS[level], len(images)

    def uniform(low: float, high: float) -> Tensor:
        """One number per picture, ``[n, 1, 1, 1]``."""
        u = torch.rand(n, 1, 1, 1, generator=generator)
        return (low + (high - low) * u).to(images.device)

    x = images[:, None].float() / 255
    if spec.affine and n:  # affine_grid refuses an empty batch
        x = _affine(x, spec.affine, uniform)
    if spec.polarity:
        x = torch.where(uniform(0, 1) < 0.5, 1 - x, x)
    if spec.contrast != (1, 1):
        x = 0.5 + uniform(*spec.contrast) * (x - 0.5)
    if spec.background:
        x = x + uniform(0, spec.background) * _ramp(uniform) / 2
    if spec.bar:
        x = torch.where(_bar(spec.bar, uniform), uniform(0, 1), x)
    if spec.blur:
        x = torch.lerp(x, _blurred(x), uniform(0, spec.blur))
    if spec.noise[1]:
        normal = torch.randn(x.shape, generator=generator).to(x)
        x = x + uniform(*spec.noise) * normal
    return x.clamp(0, 1)


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures ``[n, 1, 32, 32]`` in [0, 1] changed so that letters stay what they are.

    Turned by up to 8 degrees, scaled and sheared by up to 10 %, moved by up to 4 pixels
    with the border repeated, half of them with light and dark exchanged, and a little
    noise: augmentation for training.
    """
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        u = torch.rand(n, 1, 1, 1, generator=generator)
        return (low + (high - low) * u).to(images)

    x = _affine(images, 1.0, uniform, shift=4, padding="border")
    x = torch.where(uniform(0, 1) < 0.5, 1 - x, x)
    normal = torch.randn(images.shape, generator=generator).to(images)
    return (x + uniform(0, 0.04) * normal).clamp(0, 1)


def _affine(
    x: Tensor, share: float, uniform, shift: float = 2, padding: str = "zeros"
) -> Tensor:
    """Turn, scale, shear and shift each picture about its centre."""
    turn = share * uniform(-1, 1) * math.radians(8)
    scale, shear = (share * uniform(-0.1, 0.1) for _ in range(2))
    most = 2 * shift / SIZE  # of half sides
    across, down = (share * uniform(-most, most) for _ in range(2))
    cos, sin = turn.cos() / (1 + scale), turn.sin() / (1 + scale)
    rows = (cos, shear - sin, across), (sin, cos, down)
    theta = torch.cat([torch.cat(row, -1) for row in rows], -2)[:, 0]  # [n, 2, 3]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def _coordinate(angle: Tensor) -> Tensor:
    """Signed distance from the centre along a direction, in half sides."""
    side = torch.linspace(-1, 1, SIZE, device=angle.device)
    return angle.cos() * side + angle.sin() * side[:, None]


def _ramp(uniform) -> Tensor:
    """A linear gradient in a random direction, from -1 to 1: ``[n, 1, 32, 32]``."""
    ramp = _coordinate(uniform(-math.pi, math.pi))
    return ramp / ramp.abs().amax((-2, -1), keepdim=True)


def _bar(widest: float, uniform) -> Tensor:
    """A straight bar at a random place, of width 0 to `widest` pixels, as a mask."""
    across = _coordinate(uniform(-math.pi, math.pi)) * SIZE / 2
    place = uniform(-SIZE / 3, SIZE / 3)
    return (across - place).abs() < uniform(0, widest) / 2


def _blurred(x: Tensor) -> Tensor:
    """Convolve with the binomial filter [1, 2, 1] / 4 along both axes."""
    side = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
    kernel = side[:, None] * side
    return F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), kernel[None, None])
