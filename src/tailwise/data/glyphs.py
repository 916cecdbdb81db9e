"""GlyphNames: letters in ten type faces, a name for each, and a long-tailed task.

Experts are pretrained on *source* letters. The 60 *target* letters are new
compositions of known parts: a base letter WITH marks, each of which the source has. So
are 60 *development* letters, on which settings are chosen. In the crowded task every
letter stands between two source letters, as in a word.
"""

import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from tailwise.data import assets
from tailwise.data.glyph_corruption import corrupt
from tailwise.data.imbalance import long_tail, many_medium_few
from tailwise.profiles import keyed_generator

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
CROWD = (11, 15)  # pixels from a letter to its neighbours
MIN_USES = 5  # source names that hold each word of a target's name
SPLITS = ("source", "target", "development")


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


@cache
def _held_out() -> Tensor:
    """Whether a letter is a target or for development, bool ``[characters]``."""
    return torch.from_numpy(choose_targets(atlas().names, 2 * N_TARGETS))


def characters(split: str) -> Tensor:
    """Rows of the atlas that belong to a split, int64 ``[n]``.

    Parameters
    ----------
    split : {"source", "target", "development"}
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected {' or '.join(SPLITS)}")
    target, held_out = atlas().is_target, _held_out()
    chosen = {
        "source": ~held_out,
        "target": target,
        "development": held_out & ~target,
    }
    return chosen[split].nonzero()[:, 0]


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


def crowded(images: Tensor, generator: torch.Generator) -> Tensor:
    """Letters between two others, as in a word: uint8 ``[n, 32, 32]``, as given.

    Random source letters in seen faces stand 11 to 15 pixels to the left and to the
    right, cut by the border; where ink meets, the darker counts.
    """
    rows, n, side = characters("source"), len(images), images.shape[-1]
    letter, face = (
        torch.randint(0, size, (2, n), generator=generator)
        for size in (len(rows), len(SEEN_FACES))
    )
    shift = torch.randint(CROWD[0], CROWD[1] + 1, (2, n), generator=generator)
    others = atlas().images[rows[letter], face].to(images)  # [2, n, 32, 32]
    # Column c of a neighbour moved by s columns is its column c - s.
    place = torch.arange(side) - torch.stack([-shift[0], shift[1]]).unsqueeze(-1)
    index = place.clamp(0, side - 1).unsqueeze(-2).expand(-1, -1, side, -1)
    inside = ((place >= 0) & (place < side)).unsqueeze(-2).to(images)
    moved = others.gather(-1, index.to(images.device)) * inside
    return torch.maximum(images, moved.amax(0))


def _pictures(
    counts: Tensor,
    faces: Sequence[int],
    g: torch.Generator,
    *,
    level: str,
    letters: str,
    crowd: bool,
) -> Glyphs:
    """``counts[k]`` images of each class in random faces."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    pick = torch.randint(0, len(faces), labels.shape, generator=g)
    face = torch.tensor(faces)[pick]
    images = atlas().images[characters(letters)[labels], face]
    images = crowded(images, g) if crowd else images
    return Glyphs(corrupt(images, level=level, generator=g), labels, face)


def draw(
    seed: int,
    *,
    imbalance_ratio: float = 100,
    n_max: int = 200,
    n_val: int = 10,
    n_test: int = 20,
    level: str = "target",
    letters: str = "target",
    crowd: bool = False,
) -> Task:
    """Draw the task: the seed says which class is how frequent.

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
    letters : {"target", "development"}
        Whose pictures: two sets of 60 letters that no expert was pretrained on.
    crowd : bool
        Whether each letter stands between two source letters, see `crowded`.
    """
    if letters not in SPLITS[1:]:
        raise ValueError(f"letters is {letters!r}: expected {' or '.join(SPLITS[1:])}")
    for name, value, least in (
        ("seed", seed, 0),
        ("n_val", n_val, 1),
        ("n_test", n_test, 1),
    ):
        if value < least:
            raise ValueError(f"{name} = {value}: expected ≥ {least}")
    k = len(characters(letters))
    order = torch.randperm(k, generator=keyed_generator(seed, 0))
    counts = torch.empty(k, dtype=torch.int64)
    counts[order] = long_tail(k, n_max, imbalance_ratio)
    val, test = (torch.full((k,), n) for n in (n_val, n_test))
    drawn = partial(_pictures, level=level, letters=letters, crowd=crowd)
    return Task(
        train=drawn(counts, SEEN_FACES, keyed_generator(seed, 1)),
        val=drawn(val, SEEN_FACES, keyed_generator(seed, 2)),
        test=drawn(test, SEEN_FACES, keyed_generator(seed, 3)),
        test_unseen=drawn(test, [UNSEEN_FACE], keyed_generator(seed, 4)),
        counts=counts,
        names=tuple(names(letters)),
        **many_medium_few(counts),
    )
