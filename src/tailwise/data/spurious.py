"""Two worlds in which a nuisance predicts the label, with every mask known.

Garments from Fashion-MNIST are painted on drawn backgrounds. *birds* has the group
counts and the 95 % correlation of Waterbirds, and a nuisance about as easy to see as
the object, so that a network trained as usual ends near the published worst group;
*harsh birds* has one that is much easier to see. *skin* has a coloured patch that never
occurs with one class, as in the ISIC skin-lesion data. Every image comes with the mask
of its object, the mask of its nuisance, a redraw with the same attribute (the noise
floor of a counterfactual) and a redraw with the other one (the counterfactual).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data import fashion

SIZE = 32
FOREGROUND = 0.12  # grey level above which a pixel belongs to the garment


@dataclass(frozen=True, kw_only=True)
class Images:
    """A set of images with labels, attributes, groups and masks.

    Attributes
    ----------
    x : Tensor of float32 [n, 3, 32, 32]
        In [0, 1].
    y, a : Tensor of int64 [n]
        Label and nuisance attribute, 0 or 1.
    object_mask, nuisance_mask : Tensor of bool [n, 32, 32]
    source : Tensor of int64 [n]
        Which Fashion-MNIST image: its position, test images after training images.
    """

    x: Tensor
    y: Tensor
    a: Tensor
    object_mask: Tensor
    nuisance_mask: Tensor
    source: Tensor

    @property
    def group(self) -> Tensor:
        """``2 y + a``: the order (y0,a0), (y0,a1), (y1,a0), (y1,a1)."""
        return 2 * self.y + self.a

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> "Images":
        """The images at the given rows."""
        return Images(**{name: value[rows] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class World:
    """What a world is made of.

    Attributes
    ----------
    name : str
    classes : tuple of two tuples of str
        Garments with label 0 and with label 1.
    groups, attributes : tuple of str
        Names in the order of `Images.group`; names of attribute 0 and 1.
    counts : dict of str to tuple of int
        Group counts per split ``"train"``, ``"val"``, ``"hold"`` (held out with the
        proportions of training) and ``"test"``.
    look : dict of str to float
        Keyword arguments of the painter, see `draw_birds`.
    """

    name: str
    classes: tuple[tuple[str, ...], tuple[str, ...]]
    groups: tuple[str, str, str, str]
    attributes: tuple[str, str]
    counts: dict[str, tuple[int, int, int, int]]
    look: dict[str, float] = field(default_factory=dict)

    def scaled(
        self, share: float, val: float | None = None, hold: float | None = None
    ) -> "World":
        """The same world with a share of its training, validation and held-out images.

        `val` and `hold` are the shares of the latter two, by default `share`.
        """
        shares = {"train": share, "val": val or share, "hold": hold or share, "test": 1}
        counts = {
            split: tuple(round(shares[split] * n) for n in c)
            for split, c in self.counts.items()
        }
        return replace(self, counts=counts)


BIRDS = World(
    name="birds",
    classes=(("T-shirt", "pullover", "shirt"), ("trouser", "dress")),
    groups=("top on land", "top on water", "dress on land", "dress on water"),
    attributes=("land", "water"),
    look={"turn": 0.55, "tint": 0.035},
    counts={
        "train": (3498, 184, 56, 1057),
        "val": (467, 466, 133, 133),
        "hold": (700, 37, 11, 211),
        "test": (250, 250, 250, 250),
    },
)
# The cue is clean and the classes are close: the worst group of a network trained as
# usual falls to a few percent.
HARSH_BIRDS = replace(
    BIRDS, classes=(("T-shirt", "pullover"), ("dress", "coat")), look={}
)
SKIN = World(
    name="skin",
    classes=(("pullover", "shirt"), ("coat",)),
    groups=("benign", "benign, patch", "malignant", "malignant, patch"),
    attributes=("no patch", "patch"),
    counts={
        "train": (2000, 1850, 430, 0),
        "val": (400, 370, 130, 0),
        "hold": (430, 400, 92, 0),
        "test": (250, 250, 250, 250),
    },
)
WORLDS = {world.name: world for world in (BIRDS, SKIN)}


@dataclass(frozen=True)
class Canvas:
    """Garments placed on a canvas, before any background is drawn."""

    grey: Tensor
    mask: Tensor
    y: Tensor
    source: Tensor


def _rand(n: int, low: float, high: float, g: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=g)


def place(
    garments: np.ndarray, y: Tensor, source: Tensor, g: torch.Generator
) -> Canvas:
    """Put garments ``[n, 28, 28]`` on 32 × 32 canvases, shifted by up to two pixels."""
    n = len(garments)
    grey = torch.zeros(n, SIZE, SIZE)
    small = torch.from_numpy(garments.astype(np.float32) / 255)
    dy, dx = (torch.randint(0, 5, (n,), generator=g) for _ in range(2))
    for top in range(5):
        for left in range(5):
            rows = (dy == top) & (dx == left)
            grey[rows, top : top + 28, left : left + 28] = small[rows]
    return Canvas(grey, grey > FOREGROUND, y, source)


def waves(vertical: Tensor, g: torch.Generator, turn: float = 0.0) -> Tensor:
    """Wavy textures in [0, 1], ``[n, 32, 32]``; vertical or horizontal stripes.

    They are turned by a normal angle with standard deviation `turn`, in radians.
    """
    n = len(vertical)
    grid = torch.arange(SIZE) / SIZE
    row, column = torch.meshgrid(grid, grid, indexing="ij")
    along = torch.where(vertical[:, None, None], column, row)
    across = torch.where(vertical[:, None, None], row, column)
    if turn:
        angle = turn * torch.randn(n, 1, 1, generator=g)
        along, across = (
            angle.cos() * along + angle.sin() * across,
            angle.cos() * across - angle.sin() * along,
        )
    frequency, phase, bend, bends = (
        _rand(n, low, high, g)[:, None, None]
        for low, high in ((2.5, 5.5), (0, 6.28), (0, 0.12), (0.5, 2))
    )
    warped = along + bend * torch.sin(6.28 * bends * across + phase)
    return 0.5 + 0.5 * torch.sin(6.28 * frequency * warped + phase)


def _compose(canvas: Canvas, item_tint: Tensor, ground: Tensor) -> Tensor:
    item = (0.15 + 0.85 * canvas.grey).unsqueeze(1) * item_tint[:, :, None, None]
    return torch.where(canvas.mask.unsqueeze(1), item, ground).clamp(0, 1)


def draw_birds(
    canvas: Canvas,
    a: Tensor,
    g: torch.Generator,
    *,
    turn: float = 0.0,
    tint: float = 0.09,
) -> tuple[Tensor, Tensor]:
    """Garments on land (a = 0: upright waves, greenish) or water; x, nuisance mask.

    The waves are turned at random, see `waves`; the mean tints of land and water are
    `tint` to each side of grey, and single ones spread by 0.10 a channel.
    """
    n = len(a)
    texture = waves(a == 0, g, turn)
    level = _rand(n, 0.3, 0.6, g)[:, None, None] + 0.35 * (texture - 0.5)
    green, blue = torch.tensor([-0.3, 1.0, -0.7]), torch.tensor([-0.3, -0.7, 1.0])
    color = tint * torch.where((a == 0)[:, None], green, blue)
    color = color + 0.10 * torch.randn(n, 3, generator=g)
    ground = level.unsqueeze(1) + color[:, :, None, None]
    item = 0.85 + 0.3 * (torch.rand(n, 3, generator=g) - 0.5)
    return _compose(canvas, item, ground), ~canvas.mask


def draw_skin(canvas: Canvas, a: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Brown blobs on skin, with a saturated disc near the border where a = 1."""
    n = len(a)
    tone = torch.tensor([0.85, 0.66, 0.55]) + 0.05 * torch.randn(n, 3, generator=g)
    noise = 0.05 * torch.randn(n, 3, SIZE // 4, SIZE // 4, generator=g)
    ground = tone[:, :, None, None] + F.interpolate(noise, size=SIZE, mode="bilinear")
    brown = torch.tensor([0.55, 0.36, 0.26]) + 0.06 * torch.randn(n, 3, generator=g)
    x = _compose(canvas, brown, ground)
    hues = torch.tensor(
        [[0.9, 0.1, 0.2], [0.1, 0.3, 0.9], [0.1, 0.7, 0.2], [0.9, 0.8, 0]]
    )
    hue = hues[torch.randint(0, 4, (n,), generator=g)]
    angle, radius = _rand(n, 0, 6.28, g), _rand(n, 4, 6, g)
    centre = torch.stack([angle.sin(), angle.cos()]) * 13 + SIZE / 2
    pixel = torch.arange(SIZE) + 0.5
    gap = (pixel[None, :, None] - centre[0][:, None, None]) ** 2
    gap = gap + (pixel[None, None, :] - centre[1][:, None, None]) ** 2
    disc = (gap < radius[:, None, None] ** 2) & (a == 1)[:, None, None]
    return torch.where(disc.unsqueeze(1), hue[:, :, None, None], x), disc


PAINTERS = {"birds": draw_birds, "skin": draw_skin}


def paint(world: World, canvas: Canvas, a: Tensor, g: torch.Generator) -> Images:
    """Draw a world's nuisance for given attributes around placed garments."""
    x, nuisance = PAINTERS[world.name](canvas, a, g, **world.look)
    return Images(
        x=x,
        y=canvas.y,
        a=a,
        object_mask=canvas.mask,
        nuisance_mask=nuisance,
        source=canvas.source,
    )


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A drawn world.

    Attributes
    ----------
    train, val, hold, test : Images
        No two of them share a source image.
    balanced : Images
        As large as `train`, with equal groups: the oracle's training data.
    test_same, test_swapped : Images
        The test garments redrawn with the same and with the other attribute.
    val_pasted : Images
        The validation images of label 1 and attribute 0, redrawn with attribute 1: a
        missing group, manufactured.
    """

    world: World
    train: Images
    val: Images
    hold: Images
    test: Images
    balanced: Images
    test_same: Images
    test_swapped: Images
    val_pasted: Images


def pretraining_rows(labels: np.ndarray) -> np.ndarray:
    """Rows of the full training set kept for pretraining: the last 1,000 per class."""
    last = [np.flatnonzero(labels == k)[-1000:] for k in range(len(fashion.CLASSES))]
    return np.sort(np.concatenate(last))


def _sources(world: World, split: str, *, full: bool) -> list[tuple[np.ndarray, ...]]:
    """Per label: garments and their source numbers, of one Fashion-MNIST split."""
    data = fashion.load(split, full=full)
    offset = 0 if split == "train" else len(fashion.load("train", full=full).labels)
    out = []
    for names in world.classes:
        wanted = [fashion.CLASSES.index(name) for name in names]
        usable = np.isin(data.labels, wanted)
        if full and split == "train":
            usable[pretraining_rows(data.labels)] = False
        rows = np.flatnonzero(usable)
        out.append((data.images[rows], rows + offset))
    return out


def draw(world: World, *, full: bool = False, generator: torch.Generator) -> Splits:
    """Draw all splits of a world.

    Parameters
    ----------
    world : World
        `BIRDS`, `SKIN` or a scaled one.
    full : bool
        Take garments from the full Fashion-MNIST instead of the shipped subset.
    generator : torch.Generator
        A CPU generator.

    Returns
    -------
    Splits

    Raises
    ------
    ValueError
        If a split asks for more garments of a label than there are.
    """
    g = generator
    pools = {}
    for split in ("train", "test"):
        pools[split] = []
        for garments, source in _sources(world, split, full=full):
            order = torch.randperm(len(source), generator=g).numpy()
            pools[split].append([garments[order], source[order]])

    def canvases(split: str, counts: tuple[int, ...]) -> tuple[Canvas, Tensor]:
        garments, y, a, source = [], [], [], []
        for label in (0, 1):
            images, numbers = pools["test" if split == "test" else "train"][label]
            n = counts[2 * label] + counts[2 * label + 1]
            if n > len(numbers):
                raise ValueError(
                    f"world {world.name!r}, split {split!r}: {n} garments of label "
                    f"{label} asked for, {len(numbers)} left; scale the world down or "
                    "use the full Fashion-MNIST"
                )
            garments.append(images[:n])
            source.append(numbers[:n])
            y += [label] * n
            a += [0] * counts[2 * label] + [1] * counts[2 * label + 1]
            pools["test" if split == "test" else "train"][label] = [
                images[n:],
                numbers[n:],
            ]
        numbers = torch.from_numpy(np.concatenate(source))
        canvas = place(np.concatenate(garments), torch.tensor(y), numbers, g)
        return canvas, torch.tensor(a)

    drawn = {}
    for split, counts in world.counts.items():
        canvas, a = canvases(split, counts)
        drawn[split] = canvas, a, paint(world, canvas, a, g)
    canvas, a, train = drawn["train"]
    # The oracle sees the training garments with labels balanced by repetition and the
    # attribute drawn independently of the label.
    per_label = len(train) // 2
    rows = torch.cat(
        [(train.y == k).nonzero()[:, 0].repeat(per_label)[:per_label] for k in (0, 1)]
    )
    again = Canvas(*(getattr(canvas, f)[rows] for f in canvas.__dataclass_fields__))
    a = torch.cat([torch.randperm(per_label, generator=g) % 2 for _ in (0, 1)])
    balanced = paint(world, again, a, g)
    test_canvas, test_a, test = drawn["test"]
    val_canvas, val_a, val = drawn["val"]
    rows = (val.y == 1) & (val_a == 0)
    plain = Canvas(*(getattr(val_canvas, f)[rows] for f in canvas.__dataclass_fields__))
    return Splits(
        world=world,
        train=train,
        val=val,
        hold=drawn["hold"][2],
        test=test,
        balanced=balanced,
        test_same=paint(world, test_canvas, test_a, g),
        test_swapped=paint(world, test_canvas, 1 - test_a, g),
        val_pasted=paint(
            world, plain, torch.ones(int(rows.sum()), dtype=torch.int64), g
        ),
    )
