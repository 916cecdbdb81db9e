"""CIFAR-10 and CIFAR-100, for the `paper` profile; fetched only when called to.

torchvision's archive is unpickled once, by `prepare`, after torchvision has checked it.
What it holds is kept as ``cifar100.safetensors`` with a checksum, and read from there.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.downloads import alone, aside
from tailwise.data.imbalance import long_tail, many_medium_few
from tailwise.files import write_whole
from tailwise.profiles import reseeded

KINDS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PAGE = "its page, https://www.cs.toronto.edu/~kriz/cifar.html"
SPLITS = ("train", "test")
N_MAX = 500  # training images of each class


@dataclass(frozen=True)
class Cifar:
    """One split, as it was published.

    Attributes
    ----------
    images : Tensor of uint8 [n, 3, 32, 32]
    labels : Tensor of int64 [n]
        Positions in `names`.
    names : tuple of str
        Of the classes, in the order of the alphabet.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LongTail:
    """A long-tailed training set of k classes, and the balanced test set.

    Attributes
    ----------
    images, test_images : Tensor of float32 [n, 3, 32, 32]
        In [0, 1].
    labels, test_labels : Tensor of int64 [n]
    counts : Tensor of int64 [k]
        Training images of each class.
    names : tuple of str
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    counts: Tensor
    names: tuple[str, ...]

    @property
    def groups(self) -> dict[str, Tensor]:
        """Classes by training images, bool ``[k]``: all, many, medium, few."""
        every = torch.ones_like(self.counts, dtype=torch.bool)
        return {"all": every} | many_medium_few(self.counts)


def draw(seed: int, *, ratio: float = 100, n_max: int = N_MAX) -> LongTail:
    """CIFAR-100-LT: class 0 is the most frequent; the seed chooses the images."""
    train, test = map(load_split, SPLITS)
    counts = long_tail(len(train.names), n_max, ratio, whole=True)
    g, rows = torch.Generator().manual_seed(reseeded(seed)), []
    for c, count in enumerate(counts.tolist()):
        mine = (train.labels == c).nonzero()[:, 0]
        if count > len(mine):
            raise ValueError(f"n_max is {n_max}: class {c} has {len(mine)} images")
        rows.append(mine[torch.randperm(len(mine), generator=g)[:count]])
    chosen = torch.cat(rows)
    return LongTail(
        images=train.images[chosen].float() / 255,
        labels=train.labels[chosen],
        test_images=test.images.float() / 255,
        test_labels=test.labels,
        counts=counts,
        names=train.names,
    )


def load_split(
    split: str, folder: Path | None = None, *, kind: str = "cifar100"
) -> Cifar:
    """Read a split that `prepare` has kept.

    Parameters
    ----------
    split : {"train", "test"}
    kind : {"cifar10", "cifar100"}
    folder : Path, optional
        By default ``$TAILWISE_DATA``, or ``~/.cache/tailwise``.

    Raises
    ------
    ValueError
        For an unknown split, or a file that does not match its checksum.
    OSError
        If there is no file; the message says what makes it.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected {' or '.join(SPLITS)}")
    path = (folder or cache_dir()) / f"{kind}.safetensors"
    if not path.is_file():
        raise OSError(f"{path} is missing: `make data DATASET={kind}` makes it")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    expected = _sum(path).read_text() if _sum(path).is_file() else "missing"
    if found != expected:
        raise ValueError(
            f"{path} is damaged: SHA-256 is {found[:12]}…, expected {expected[:12]}…; "
            f"remove it and run `make data DATASET={kind}`"
        )
    tensors = load(content)
    names = json.loads(bytes(tensors["names"].tolist()))
    images, labels = (tensors[f"{split}.{part}"] for part in ("images", "labels"))
    return Cifar(images, labels, tuple(names))


def prepare(
    folder: Path | None = None, *, download: bool = False, kind: str = "cifar100"
) -> Path:
    """Make the file that `load_split` reads, unless it is there; return its path.

    Parameters
    ----------
    folder : Path, optional
        As in `load_split`. torchvision's own files are looked for in it.
    download : bool
        If they are not there, fetch them through torchvision into a temporary folder.
    kind : {"cifar10", "cifar100"}

    Raises
    ------
    OSError
        If there is no source; the message says what was tried.
    """
    folder = folder or cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    path, tried = folder / f"{kind}.safetensors", []
    with suppress(OSError, ValueError):
        load_split("test", folder, kind=kind)
        return path
    for where, source in (
        (f"torchvision's files in {folder}", _there),
        *([("a download through torchvision", _fetched)] if download else []),
    ):
        try:
            return _keep(source(folder, kind), path)
        except (OSError, RuntimeError, ImportError, ValueError) as error:
            tried.append(f"{where} ({type(error).__name__}: {error})")
    raise OSError(f"{KINDS[kind]} was not found; tried " + "; ".join(tried))


def _sum(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _keep(splits: dict[str, Cifar], path: Path) -> Path:
    tensors = {f"{name}.images": split.images for name, split in splits.items()}
    tensors |= {f"{name}.labels": split.labels for name, split in splits.items()}
    names = json.dumps(splits["train"].names).encode()
    content = save(tensors | {"names": torch.tensor(list(names))})
    write_whole(path, content)
    write_whole(_sum(path), hashlib.sha256(content).hexdigest().encode())
    return path


def _there(folder: Path, kind: str, download: bool = False) -> dict[str, Cifar]:
    source = getattr(import_torchvision().datasets, kind.upper())
    found = {}
    for split in SPLITS:
        data = source(folder, train=split == "train", download=download)
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        found[split] = Cifar(images, torch.tensor(data.targets), tuple(data.classes))
    return found


def _fetched(folder: Path, kind: str) -> dict[str, Cifar]:
    # Beside the result; gone with all that torchvision unpacked in it
    with alone(folder / kind), aside(folder / kind) as made:
        return _there(made, kind, download=True)
