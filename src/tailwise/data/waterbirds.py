"""Waterbirds, for the `paper` profile; fetched only when called to.

Birds of Caltech-UCSD pasted on photographs of Places: landbirds on land and waterbirds
on water in 95 % of the training images (Sagawa et al., arXiv 1911.08731). Nobody
publishes a checksum of the archive, so its groups are counted: those of `COUNTS`.
"""

from pathlib import Path

import pandas as pd
import torch

from tailwise.data.assets import cache_dir
from tailwise.data.downloads import Published, unpacked
from tailwise.data.photos import Photos

NAME = "waterbird_complete95_forest2water2"
ARCHIVE = Published(
    name=f"{NAME}.tar.gz",
    urls=(
        f"https://nlp.stanford.edu/data/dro/{NAME}.tar.gz",  # the authors'
        "https://worksheets.codalab.org/rest/bundles/"
        "0x505056d5cdea4e4eaa0e242cbfe2daa4/contents/blob/",  # WILDS's
    ),
)
SPLITS = ("train", "val", "test")
COUNTS = {  # landbirds on land, on water; waterbirds on land, on water
    "train": (3498, 184, 56, 1057),
    "val": (467, 466, 133, 133),
    "test": (2255, 2255, 642, 642),
}
COLUMNS = ("img_filename", "y", "split", "place")


def load_split(split: str, folder: Path | None = None) -> Photos:
    """What a split holds; images are not read.

    Parameters
    ----------
    split : {"train", "val", "test"}
    folder : Path, optional
        By default ``$TAILWISE_DATA``, or ``~/.cache/tailwise``.

    Raises
    ------
    ValueError
        For an unknown split, and files that are not the published ones.
    OSError
        If they are not there.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {SPLITS}")
    return _read((folder or cache_dir()) / NAME)[split]


def prepare(folder: Path | None = None, *, download: bool = False) -> Path:
    """Make sure that the images are there, and return their folder.

    ``NAME.tar.gz`` in `folder`, got in another way, is unpacked without a download.

    Parameters
    ----------
    folder : Path, optional
        As in `load_split`.
    download : bool
        Fetch an archive if there is none.

    Raises
    ------
    OSError, ValueError
        As `tailwise.data.downloads.unpacked`, and as `load_split`.
    """
    # The authors' archive has the folder in it, WILDS's only what it holds.
    folder, how = folder or cache_dir(), dict(bare=True, check=_read)
    target = unpacked(ARCHIVE, folder, NAME, download=download, **how)
    _read(target)
    return target


def _read(folder: Path) -> dict[str, Photos]:
    """All splits, checked: columns, groups, and that every file is there."""
    path = folder / "metadata.csv"
    if not path.is_file():
        raise OSError(f"Waterbirds is not in {folder}: it has no metadata.csv")
    table, found = pd.read_csv(path), {}
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"{path} has no column {missing[0]}: expected {COLUMNS}")
    for number, split in enumerate(SPLITS):
        rows = table[table["split"] == number]
        files = tuple(folder / name for name in rows["img_filename"])
        photos = Photos(files, *(torch.tensor(rows[c].values) for c in ("y", "place")))
        counts = tuple(photos.group.bincount(minlength=4).tolist())
        if counts != COUNTS[split]:
            raise ValueError(
                f"{path} has groups of {counts} for {split}: expected {COUNTS[split]}"
            )
        if gone := [file for file in files if not file.is_file()]:
            raise ValueError(
                f"{len(gone)} images of {path} are missing, such as {gone[0].name}: "
                f"remove {folder} to fetch them again"
            )
        found[split] = photos
    return found
