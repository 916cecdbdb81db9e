"""ISIC 2019, skin lesions with and without a coloured patch; fetched when called to.

The challenge publishes photographs and diagnoses; a table in a public repository,
``debiasing-skin``, which photographs show patches. What has both is used. Malignant are
melanomas, basal and squamous cell carcinomas; actinic keratoses, which are neither,
are left out. Both readings, and the splits, are ours: the paper's could not be read.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tailwise.data.assets import cache_dir
from tailwise.data.downloads import Published, fetched, unpacked
from tailwise.data.photos import Photos
from tailwise.profiles import reseeded

NAME = "isic2019"
_FROM = "https://isic-challenge-data.s3.amazonaws.com/2019"
IMAGES = Published(
    name="ISIC_2019_Training_Input.zip",
    urls=(f"{_FROM}/ISIC_2019_Training_Input.zip",),
)
TRUTH = Published(
    name="ISIC_2019_Training_GroundTruth.csv",
    urls=(f"{_FROM}/ISIC_2019_Training_GroundTruth.csv",),
)
PATCHES = Published(
    name="isic_bias.csv",
    urls=(
        "https://raw.githubusercontent.com/alceubissoto/debiasing-skin/master/"
        "artefacts-annotation/isic_bias.csv",
    ),
)
INSIDE = "ISIC_2019_Training_Input"
MALIGNANT, BENIGN = ("MEL", "BCC", "SCC"), ("NV", "BKL", "DF", "VASC")
SPLITS = {"train": 0.6, "val": 0.2, "test": 0.2}
LEAST = 20  # of a group; those with a patch are left out where there are fewer


def load_split(split: str, folder: Path | None = None) -> Photos:
    """What a split holds; ``place`` is 1 where the skin shows a patch.

    Parameters
    ----------
    split : {"train", "val", "test"}
        60, 20 and 20 % of each group, drawn once and for all.
    folder : Path, optional
        By default ``$TAILWISE_DATA``, or ``~/.cache/tailwise``.

    Raises
    ------
    OSError
        If a file is not there.
    ValueError
        For an unknown split, tables without the columns of the published ones,
        photographs that are missing, and fewer than `LEAST` of a class without patch.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {list(SPLITS)}")
    return _read((folder or cache_dir()) / NAME)[split]


def prepare(folder: Path | None = None, *, download: bool = False) -> Path:
    """Fetch and unpack what is missing, check it, and return its folder.

    Raises
    ------
    OSError, ValueError
        As in `load_split` and `tailwise.data.downloads.unpacked`.
    """
    root = (folder or cache_dir()) / NAME
    for file in (PATCHES, TRUTH):
        fetched(file, root, download=download)
    unpacked(IMAGES, root, INSIDE, download=download)
    _read(root)
    return root


def _table(path: Path, columns: tuple[str, ...], **how) -> pd.DataFrame:
    if not path.is_file():
        raise OSError(f"{path} is missing")
    table = pd.read_csv(path, **how)
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"{path} has no column {missing[0]}: expected {columns}")
    return table


def _read(root: Path) -> dict[str, Photos]:
    truth = _table(root / TRUTH.name, ("image", *MALIGNANT, *BENIGN))
    # Some names end in what the challenge did to the photograph.
    truth["id"] = truth["image"].str.removesuffix("_downsampled")
    truth["y"] = truth[[*MALIGNANT]].max(axis=1).astype(int)
    truth = truth[truth[[*MALIGNANT, *BENIGN]].max(axis=1) == 1]
    patches = _table(
        root / PATCHES.name, ("image", "patches"), sep=None, engine="python"
    )
    patches["id"] = patches["image"].str.rpartition(".")[0]
    both = truth.merge(patches[["id", "patches"]], on="id").sort_values("id")
    files = [root / INSIDE / f"{name}.jpg" for name in both["image"]]
    if gone := [file for file in files if not file.is_file()]:
        raise ValueError(
            f"{len(gone)} images of {root} are missing, such as {gone[0].name}: remove "
            f"{root / INSIDE} to fetch them again"
        )
    y, place = both["y"].to_numpy(), both["patches"].to_numpy()
    g, parts = np.random.default_rng(reseeded(0)), {name: [] for name in SPLITS}
    for group in np.unique(2 * y + place):
        rows = g.permutation(np.flatnonzero(2 * y + place == group))
        if len(rows) < LEAST:
            if group % 2:
                continue
            raise ValueError(
                f"{root} has {len(rows)} images of group {group}: expected {LEAST}"
            )
        edges = (len(rows) * np.cumsum([*SPLITS.values()])[:-1]).astype(int)
        for name, some in zip(SPLITS, np.split(rows, edges)):
            parts[name] += some.tolist()
    return {
        name: Photos(
            tuple(files[i] for i in rows),
            torch.tensor(y[rows]),
            torch.tensor(place[rows]),
        )
        for name, rows in parts.items()
    }
