"""Places-LT and iNaturalist 2018, whose classes are long-tailed; fetched if called to.

Places-LT are 62,500 training images of Places365 and as many test images of each class,
named in two lists that public repositories hold copies of. One copy was read; no
address was tried here. Lists from elsewhere are taken, too: ``Places_LT_train.txt`` and
``Places_LT_test.txt`` in the folder ``places``. iNaturalist 2018 is what its publisher
offers: training images, and those for validation, which the field takes as test images.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tailwise.data.assets import cache_dir
from tailwise.data.cifar import LongTail
from tailwise.data.downloads import Published, fetched, unpacked

READERS = 8  # threads
WORDS = str.maketrans("/_", "  ")  # of a class in the name of its folder
_CSAIL = "http://data.csail.mit.edu/places/places365"
_RAW = "https://raw.githubusercontent.com"
_LISTS = (
    f"{_RAW}/SEUML/X-Maha/2b757f37e809db2c8eb100f7f26d707124229079/datasets/Places_LT",
    f"{_RAW}/shijxcs/LIFT/main/datasets/Places_LT",
)
_INAT = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"


def _list(name: str) -> Published:
    return Published(name=name, urls=tuple(f"{where}/{name}" for where in _LISTS))


# What is inside an archive, or None for a file as it is.
FILES: dict[str, dict[Published, str | None]] = {
    "places": {
        Published(
            name="categories_places365.txt",
            urls=(f"{_CSAIL}/categories_places365.txt",),
            md5="06c963b85866bd0649f97cb43dd16673",
        ): None,
        _list("Places_LT_train.txt"): None,
        _list("Places_LT_test.txt"): None,
        Published(
            name="val_256.tar",
            urls=(f"{_CSAIL}/val_256.tar",),
            md5="e27b17d8d44f4af9a78502beb927f808",
        ): "val_256",
        Published(
            name="train_256_places365standard.tar",
            urls=(f"{_CSAIL}/train_256_places365standard.tar",),
            md5="53ca1c756c3d1e7809517cc47c5561c5",
        ): "data_256",
    },
    "inaturalist": {
        Published(
            name="categories.json.tar.gz", urls=(f"{_INAT}/categories.json.tar.gz",)
        ): "categories.json",
        Published(
            name="val2018.json.tar.gz",
            urls=(f"{_INAT}/val2018.json.tar.gz",),
            md5="f2ed8bfe3e9901cdefceb4e53cd3775d",
        ): "val2018.json",
        Published(
            name="train2018.json.tar.gz",
            urls=(f"{_INAT}/train2018.json.tar.gz",),
            md5="bfa29d89d629cbf04d826a720c0a68b0",
        ): "train2018.json",
        Published(
            name="train_val2018.tar.gz",
            urls=(f"{_INAT}/train_val2018.tar.gz",),
            md5="b1c6952ce38f31868cc50ea72d066cc3",
        ): "train_val2018",
    },
}
KINDS = {"places": "Places-LT", "inaturalist": "iNaturalist 2018"}
COUNTS = {  # training and test images
    "places": (62_500, 36_500),
    "inaturalist": (437_513, 24_426),
}


@dataclass(frozen=True)
class Pictures:
    """Photographs as `tailwise.experts.expert.Images`: read when they are asked for.

    Attributes
    ----------
    files : sequence of Path
    side : int
        Of the square in the middle that is shown, once the shorter side has this
        length.
    device : str or torch.device
    """

    files: Sequence[Path]
    side: int = 256
    device: str | torch.device = "cpu"

    def __len__(self) -> int:
        return len(self.files)

    def to(self, device: str | torch.device) -> "Pictures":
        """The same, on another device."""
        return replace(self, device=device)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """float32 ``[b, 3, side, side]`` in [0, 1] of rows ``[b]``."""
        with ThreadPoolExecutor(READERS) as readers:
            found = [*readers.map(self._read, rows.tolist())]
        x = torch.stack(found).to(self.device)
        return x.permute(0, 3, 1, 2).float() / 255

    def _read(self, row: int) -> Tensor:
        image = Image.open(self.files[row]).convert("RGB")
        share = self.side / min(image.size)
        size = [max(self.side, round(share * length)) for length in image.size]
        left, top = ((length - self.side) // 2 for length in size)
        box = left, top, left + self.side, top + self.side
        image = image.resize(size, Image.Resampling.BILINEAR).crop(box)
        return torch.from_numpy(np.array(image))


def prepare(kind: str, folder: Path | None = None, *, download: bool = False) -> Path:
    """Fetch and unpack what is missing, check it, and return its folder.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    folder : Path, optional
        By default ``$TAILWISE_DATA``, or ``~/.cache/tailwise``.
    download : bool

    Raises
    ------
    OSError, ValueError
        As `tailwise.data.downloads.unpacked`, and as `draw`.
    """
    root = (folder or cache_dir()) / kind
    for file, inside in FILES[kind].items():
        if inside:
            unpacked(file, root, inside, download=download)
        else:
            fetched(file, root, download=download)
    draw(kind, folder)
    return root


def draw(kind: str, folder: Path | None = None) -> LongTail:
    """The published training and test images, which are read when asked for.

    Raises
    ------
    OSError
        If a file is not there.
    ValueError
        For an unknown kind, other numbers of images than those published, a class
        without a training image, or images that are missing.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: expected one of {list(KINDS)}")
    root = (folder or cache_dir()) / kind
    read = _places if kind == "places" else _inaturalist
    try:
        names, splits = read(root)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{root} has a list that is damaged: {error!r}") from error
    for (files, _), n in zip(splits, COUNTS[kind]):
        if len(files) != n:
            raise ValueError(f"{root} lists {len(files)} images: expected {n}")
        if gone := [file for file in files if not file.is_file()]:
            folder = root / gone[0].relative_to(root).parts[0]
            raise ValueError(
                f"{len(gone)} images of {root} are missing, such as {gone[0].name}: "
                f"remove {folder} to fetch them again"
            )
    (files, labels), (test_files, test_labels) = splits
    counts = torch.tensor(labels).bincount(minlength=len(names))
    if len(counts) > len(names) or not counts.all():
        raise ValueError(
            f"{root}: expected training images of all {len(names)} classes"
        )
    return LongTail(
        images=Pictures(files),
        labels=torch.tensor(labels),
        test_images=Pictures(test_files),
        test_labels=torch.tensor(test_labels),
        counts=counts,
        names=tuple(names),
    )


Split = tuple[list[Path], list[int]]


def _places(root: Path) -> tuple[list[str], list[Split]]:
    lines = (root / "categories_places365.txt").read_text("utf-8").split()
    folders = [line.removeprefix("/") for line in lines[::2]]  # a/arena/hockey
    # Lists name an image below data_256/a/arena/hockey or below train/arena-hockey.
    label_of = {folder: i for i, folder in enumerate(folders)}
    label_of |= {folder[2:].replace("/", "-"): i for i, folder in enumerate(folders)}
    splits: list[Split] = []
    for split in ("train", "test"):
        files, labels = [], []
        rows = (root / f"Places_LT_{split}.txt").read_text("utf-8").splitlines()
        for path, label in (row.split() for row in rows if row.strip()):
            above, _, name = path.rpartition("/")
            labels.append(int(label))
            if split == "test":
                files.append(root / "val_256" / name)
                continue
            i = label_of[above.removeprefix("data_256/").removeprefix("train/")]
            if i != labels[-1]:
                raise ValueError(f"{path} is of class {label}, expected {i}")
            files.append(root / "data_256" / folders[i] / name)
        splits.append((files, labels))
    return [folder[2:].translate(WORDS) for folder in folders], splits


def _inaturalist(root: Path) -> tuple[list[str], list[Split]]:
    listed = json.loads((root / "categories.json").read_bytes())
    names = [each["name"] for each in sorted(listed, key=lambda each: each["id"])]
    splits = []
    for split in ("train", "val"):
        table = json.loads((root / f"{split}2018.json").read_bytes())
        label = {row["image_id"]: row["category_id"] for row in table["annotations"]}
        files = [root / image["file_name"] for image in table["images"]]
        splits.append((files, [label[image["id"]] for image in table["images"]]))
    return names, splits
