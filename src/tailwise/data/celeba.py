"""CelebA, faces with straight hair or not; fetched through torchvision if called to.

torchvision checks every file by MD5 and reads the lists; it needs the package gdown to
fetch, for the publisher's files lie on Google Drive. Got in another way, they belong
into the folder ``celeba``, and need neither.
"""

from pathlib import Path

import torch

from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.downloads import Published, unpacked
from tailwise.data.photos import Photos

ATTRIBUTE, IMAGES = "Straight_Hair", "img_align_celeba"
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
    source = import_torchvision().datasets.CelebA
    root = folder / source.base_folder
    try:
        if download:
            _fetch(source, root)
        data = source(folder, SPLITS[split])
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OSError(f"CelebA is not in {folder}: {reason}") from error
    files = tuple(root / IMAGES / name for name in data.filename)
    if gone := [file for file in files if not file.is_file()]:
        raise ValueError(
            f"{len(gone)} images of {root} are missing, such as {gone[0].name}: remove "
            f"{root / IMAGES} to fetch them again"
        )
    y = data.attr[:, data.attr_names.index(ATTRIBUTE)].long()
    return Photos(files, y, torch.zeros_like(y))


def _fetch(source: type, root: Path) -> None:
    """All files that are not there; torchvision would unpack images where they stay."""
    utils, archive = import_torchvision().datasets.utils, f"{IMAGES}.zip"
    for id, md5, name in source.file_list:
        there = (root / IMAGES).is_dir() if name == archive else False
        if not (there or utils.check_integrity(root / name, md5)):
            utils.download_file_from_google_drive(id, root, name, md5)
    unpacked(Published(name=archive, urls=()), root, IMAGES, download=False)
