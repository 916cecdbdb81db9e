"""A small Waterbirds in the files of the real one: JPEG, metadata.csv, an archive."""

import csv
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tailwise.data import waterbirds

COUNTS = {"train": (20, 4, 4, 12), "val": (8, 9, 8, 8), "test": (6, 7, 5, 6)}
GROUND = np.array([[60, 120, 50], [40, 80, 170]])  # green land, blue water


def write(folder: Path, *, seed: int = 0) -> Path:
    """Birds, bright ones of land and dark ones of water, in `folder`/NAME."""
    rng, root = np.random.default_rng(seed), folder / waterbirds.NAME
    lines, number = [], 0
    for split, counts in enumerate(COUNTS.values()):
        for group, count in enumerate(counts):
            for _ in range(count):
                (y, place), number = divmod(group, 2), number + 1
                h, w = rng.integers(40, 60, 2)
                image = GROUND[place] + rng.integers(0, 40, (h, w, 1))
                image[h // 4 : h // 2, w // 4 : 3 * w // 4] = 220 - 190 * y
                name = f"{1 + number % 3:03}.Bird/{number:04}.jpg"
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.astype(np.uint8)).save(root / name)
                lines.append([number, name, y, split, place, "/x/y.jpg"])
    with open(root / "metadata.csv", "w", newline="") as file:
        names = ("img_id", "img_filename", "y", "split", "place", "place_filename")
        csv.writer(file).writerows([names, *lines])
    return root


def pack(root: Path, archive: Path, *, inside: bool) -> Path:
    """The archive of the authors, with the folder `inside` it, or that of WILDS."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, arcname=root.name if inside else ".")
    return archive
