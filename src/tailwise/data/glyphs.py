"""GlyphNames: letters in ten type faces, a name for each, and a long-tailed task.

Experts are pretrained on *source* letters. The 60 *target* letters are new
compositions of known parts: a base letter WITH marks, each of which the source has.
"""

import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from tailwise.data import assets
from tailwise.data.glyph_corruption import corrupt
from tailwise.data.imbalance import long_tail
from tailwise.profiles import reseeded

GLYPHS, ATLAS = assets.ASSETS / "glyphs", "glyphs.npz"
SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")
FACES = (
    "Sans Regular",
    "Sans Bold",
    "Sans Oblique",
    "Serif Regular",
    "Serif Bold",
    "Serif Italic",
    "Mono Regular",
    "Mono Bold",
    "Mono Oblique",
    "Serif BoldItalic",  # never trained on
)
SEEN_FACES, UNSEEN_FACE = range(9), 9
N_TARGETS = 60
MIN_USES = 5  # source names that hold each word of a target's name
MANY, FEW = 100, 20  # training images: many ≥ 100, medium 20 to 99, few < 20


@dataclass(frozen=True)
class Atlas:
    """All letters in all faces.

    Attributes
    ----------
    images : Tensor of uint8 [characters, 10, 32, 32]
        Ink is 255 on 0; the second axis follows `FACES`.
    names : tuple of str
        Unicode names, such as "LATIN SMALL LETTER A WITH ACUTE".
    is_target : Tensor of bool [characters]
    """

    images: Tensor
    names: tuple[str, ...]
    is_target: Tensor


@cache
def atlas() -> Atlas:
    """Load the shipped atlas, once.

    Raises
    ------
    ValueError
        If the file does not match its checksum.
    """
    content = io.BytesIO(assets.read_asset(ATLAS, GLYPHS))
    with np.load(content, allow_pickle=False) as stored:
        images, target = (torch.from_numpy(stored[k]) for k in ("images", "target"))
        points = stored["code_points"]
    return Atlas(images, tuple(unicodedata.name(chr(k)) for k in points), target)


def characters(split: str) -> Tensor:
    """Rows of the atlas that belong to a split, int64 ``[n]``.

    Parameters
    ----------
    split : {"source", "target"}
    """
    if split not in ("source", "target"):
        raise ValueError(f"unknown split {split!r}: expected source or target")
    return (atlas().is_target == (split == "target")).nonzero()[:, 0]


def names(split: str) -> list[str]:
    """Names of the letters of a split, in the order of `characters`."""
    return [atlas().names[row] for row in characters(split)]


def vocabulary() -> list[str]:
    """The words of all source names, sorted."""
    return sorted({word for name in names("source") for word in name.split()})


def choose_targets(names: Sequence[str], n_targets: int = N_TARGETS) -> np.ndarray:
    """Choose new compositions of known parts: bool ``[len(names)]``.

    Names of the form "<base> WITH <marks>" are tried in the order of their SHA-256
    hash. One becomes a target if its base is among the names and each of its words
    stays in at least `MIN_USES` source names. A base has no marks, so that it is never
    a target itself. Fewer than `n_targets` raise a ValueError.
    """
    uses = Counter(word for name in names for word in set(name.split()))
    known, chosen = set(names), set()
    for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
        base, _, marks = name.partition(" WITH ")
        words = set(name.split())
        if marks and base in known and min(uses[word] for word in words) > MIN_USES:
            chosen.add(name)
            uses.subtract(words)
        if len(chosen) == n_targets:
            return np.array([name in chosen for name in names])
    raise ValueError(f"n_targets = {n_targets}: the names allow only {len(chosen)}")


@dataclass(frozen=True)
class Glyphs:
    """Corrupted images, their classes and their faces.

    Attributes
    ----------
    images : Tensor of float32 [n, 1, 32, 32]
        In [0, 1].
    labels : Tensor of int64 [n]
        Positions in the class names.
    faces : Tensor of int64 [n]
        Positions in `FACES`.
    """

    images: Tensor
    labels: Tensor
    faces: Tensor


@dataclass(frozen=True)
class Task:
    """The target task of one seed; k = 60 classes.

    Attributes
    ----------
    train : Glyphs
        Long-tailed, in the nine seen faces.
    val : Glyphs
        Balanced, own draws, for choosing settings.
    test, test_unseen : Glyphs
        Balanced, in the seen faces and in the face that was never trained on.
    counts : Tensor of int64 [k]
        Training images of each class.
    names : tuple of str
        Of the classes.
    many, medium, few : Tensor of bool [k]
        Classes of at least 100, 20 to 99, and fewer than 20 training images.
    """

    train: Glyphs
    val: Glyphs
    test: Glyphs
    test_unseen: Glyphs
    counts: Tensor
    names: tuple[str, ...]
    many: Tensor
    medium: Tensor
    few: Tensor


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(reseeded(key[0]), spawn_key=key[1:]).generate_state(
        1
    )
    return torch.Generator().manual_seed(int(state[0]))


def _pictures(
    counts: Tensor, faces: Sequence[int], level: str, g: torch.Generator
) -> Glyphs:
    """``counts[k]`` images of each class in random faces."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    pick = torch.randint(0, len(faces), labels.shape, generator=g)
    face = torch.tensor(faces)[pick]
    images = atlas().images[characters("target")[labels], face]
    return Glyphs(corrupt(images, level=level, generator=g), labels, face)


def draw(
    seed: int,
    *,
    imbalance_ratio: float = 100,
    n_max: int = 200,
    n_val: int = 10,
    n_test: int = 20,
    level: str = "target",
) -> Task:
    """Draw the target task: the seed says which class is how frequent.

    Parameters
    ----------
    seed : int
        At least 0. Seeds are independent.
    imbalance_ratio : float
        Images of the most over those of the least frequent class.
    n_max : int
        Training images of the most frequent class.
    n_val, n_test : int
        Images of each class in validation and in each test set; the sets do not
        depend on `imbalance_ratio` and `n_max`.
    level : str
        Of `glyph_corruption.LEVELS`.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("n_val", n_val, 1),
        ("n_test", n_test, 1),
    ):
        if value < least:
            raise ValueError(f"{name} = {value}: expected ≥ {least}")
    k = len(characters("target"))
    order = torch.randperm(k, generator=_generator(seed, 0))
    counts = torch.empty(k, dtype=torch.int64)
    counts[order] = long_tail(k, n_max, imbalance_ratio)
    val, test = (torch.full((k,), n) for n in (n_val, n_test))
    many, few = counts >= MANY, counts < FEW
    return Task(
        train=_pictures(counts, SEEN_FACES, level, _generator(seed, 1)),
        val=_pictures(val, SEEN_FACES, level, _generator(seed, 2)),
        test=_pictures(test, SEEN_FACES, level, _generator(seed, 3)),
        test_unseen=_pictures(test, [UNSEEN_FACE], level, _generator(seed, 4)),
        counts=counts,
        names=tuple(names("target")),
        many=many,
        medium=~many & ~few,
        few=few,
    )
