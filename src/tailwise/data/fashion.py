"""Fashion-MNIST: a balanced subset ships with the package, the full set is found."""

import gzip
import lzma
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tailwise.data.assets import cache_dir, read_asset

CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SPLITS = {"train": "train", "test": "t10k"}
# Missing or unreadable, no network or no torchvision, damaged, cut short.
SOURCE_ERRORS = (OSError, RuntimeError, ImportError, ValueError, EOFError, zlib.error)


@dataclass(frozen=True)
class Fashion:
    """Images of clothes in ten classes.

    Attributes
    ----------
    images : ndarray of uint8 [n, 28, 28]
    labels : ndarray of int64 [n]
        Positions in `CLASSES`.
    """

    images: np.ndarray
    labels: np.ndarray


def parse_idx(raw: bytes) -> np.ndarray:
    """Read an array of bytes from the IDX format.

    Raises
    ------
    ValueError
        If the header is not that of an IDX file of unsigned bytes, or the length
        does not match the header.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"not an IDX file of bytes: it starts with {raw[:4]!r}")
    offset = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[k : k + 4]) for k in range(4, offset, 4))
    if len(raw) - offset != np.prod(shape, dtype=int):
        raise ValueError(f"IDX header says {shape}, got {len(raw) - offset} bytes")
    return np.frombuffer(raw, dtype=np.uint8, offset=offset).reshape(shape)


def load(split: str = "train", *, full: bool = False) -> Fashion:
    """Load Fashion-MNIST.

    Parameters
    ----------
    split : {"train", "test"}
        The original training or test images. The shipped subset holds the first
        1,500 training and 500 test images of each class.
    full : bool
        Load all 60,000 or 10,000 images. They are looked for in torchvision's folder
        below ``$TAILWISE_DATA`` (``~/.cache/tailwise`` by default), then in Debian's
        package dataset-fashion-mnist, then downloaded through torchvision.

    Raises
    ------
    ValueError
        For an unknown split, or a shipped file that does not match its checksum.
    OSError
        If a shipped file is missing, or `full` finds none of its three sources;
        the message names each.

    Notes
    -----
    Fashion-MNIST is by Xiao, Rasul and Vollgraf (2017), MIT licence.
    """
    if split not in SPLITS:
        raise ValueError(
            f"unknown split {split!r}: expected one of {', '.join(SPLITS)}"
        )
    images, labels = _read_full(split) if full else _read_subset(split)
    return Fashion(images, labels.astype(np.int64))


@cache  # the arrays are read-only
def _read_subset(split: str) -> list[np.ndarray]:
    names = (f"fashion-{split}-{kind}.idx.xz" for kind in ("images", "labels"))
    return [parse_idx(lzma.decompress(read_asset(name))) for name in names]


def _idx_pair(folder: Path, split: str) -> list[np.ndarray]:
    stems = (f"{SPLITS[split]}-{kind}" for kind in ("images-idx3", "labels-idx1"))
    pair = [parse_idx(_read_plain_or_gz(folder / f"{s}-ubyte")) for s in stems]
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"{len(pair[0])} images but {len(pair[1])} labels in {folder}")
    return pair


def _read_plain_or_gz(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    return gzip.decompress(path.with_name(path.name + ".gz").read_bytes())


def _download(root: Path) -> Path:
    from tailwise.data.compat import import_torchvision

    import_torchvision().datasets.FashionMNIST(root, download=True)
    return root / "FashionMNIST" / "raw"


def _read_full(split: str) -> list[np.ndarray]:
    cached = cache_dir() / "FashionMNIST" / "raw"
    tried = []
    for where, folder in (
        (f"torchvision's folder {cached}", lambda: cached),
        (f"Debian's dataset-fashion-mnist in {DEBIAN}", lambda: DEBIAN),
        ("a download through torchvision", lambda: _download(cache_dir())),
    ):
        try:
            return _idx_pair(folder(), split)
        except SOURCE_ERRORS as error:
            tried.append(f"{where} ({type(error).__name__}: {error})")
    raise OSError("the full Fashion-MNIST was not found; tried " + "; ".join(tried))
