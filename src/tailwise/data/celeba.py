"""CelebA, faces with straight hair or not; fetched through torchvision if called to.

torchvision checks every list by MD5 and reads them; it needs the package gdown to
fetch, for the publisher's files lie on Google Drive.
"""

from pathlib import Path

import torch

from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.photos import Photos

ATTRIBUTE = "Straight_Hair"
SPLITS = {"train": "train", "val": "valid", "test": "test"}


def load_split(
    split: str, folder: Path | None = None, *, download: bool = False
) -> Photos:
    """What a split of the publisher's holds; `y` is 1 for `ATTRIBUTE`, `place` is 0.

    Parameters
    ----------
    split : {"train", "val", "test"}
    folder : Path, optional
        Above the folder ``celeba``; by default ``$TAILWISE_DATA``, or
        ``~/.cache/tailwise``.
    download : bool
        Fetch what is missing.

    Raises
    ------
    OSError
        If it is not there or does not match its checksums; the message says where
        torchvision looked.
    ValueError
        For an unknown split, or if photographs are missing.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {list(SPLITS)}")
    folder = folder or cache_dir()
    if download:
        folder.mkdir(parents=True, exist_ok=True)
    source = import_torchvision().datasets.CelebA
    try:
        data = source(folder, SPLITS[split], download=download)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OSError(f"CelebA is not in {folder}: {reason}") from error
    root = folder / source.base_folder / "img_align_celeba"
    files = tuple(root / name for name in data.filename)
    if gone := [file for file in files if not file.is_file()]:
        raise ValueError(f"{len(gone)} images of {root} are missing, such as {gone[0]}")
    y = data.attr[:, data.attr_names.index(ATTRIBUTE)].long()
    return Photos(files, y, torch.zeros_like(y))
