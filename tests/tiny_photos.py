"""Small ISIC 2019 and CelebA in the files of the real ones."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tailwise.data import isic
from tailwise.data.compat import import_torchvision

LESIONS = (30, 30, 30)  # benign, benign with patch, malignant: the fourth is empty
COLUMNS = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
ATTRIBUTES = ("Smiling", "Straight_Hair", "Young")


def photo(path: Path, rng, bright: int, size=(40, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 60, (*size, 3)) + bright
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)


def isic_2019(folder: Path) -> Path:
    """What `isic.prepare` asks for, in `folder`/NAME: an archive and two tables."""
    rng, root, number = np.random.default_rng(0), folder / isic.NAME, 0
    truth, patches = ["image," + ",".join(COLUMNS)], [";image;hair;patches;label"]
    kinds = [("NV", 0), ("BKL", 1), ("SCC", 0), ("AK", 0)]
    for (kind, patch), count in zip(kinds, (*LESIONS, 3)):
        for _ in range(count):
            number += 1
            name = f"ISIC_{number:07}"
            file = name + "_downsampled" * (number % 2)
            bright = 150 * (kind == "SCC")
            photo(root / isic.INSIDE / f"{file}.jpg", rng, bright)
            row = ",".join(str(float(kind == column)) for column in COLUMNS)
            truth.append(f"{file},{row}")
            patches.append(f"{number};{name}.png;0;{patch};0")
    truth.append("ISIC_9999999," + truth[1].partition(",")[2])  # without a label
    (root / isic.TRUTH.name).write_text("\n".join(truth) + "\n")
    (root / isic.PATCHES.name).write_text("\n".join(patches) + "\n")
    images = sorted((root / isic.INSIDE).iterdir())
    with zipfile.ZipFile(root / isic.IMAGES.name, "w") as archive:
        for image in images:
            archive.write(image, f"{isic.INSIDE}/{image.name}")
            image.unlink()
    (root / isic.INSIDE).rmdir()
    return root


def celeba(folder: Path, monkeypatch, n: int = 200) -> Path:
    """Faces as torchvision keeps them, bright ones with straight hair: one in five."""
    rng, root = np.random.default_rng(0), folder / "celeba"
    names = [f"{i + 1:06}.jpg" for i in range(n)]
    straight = [i % 5 == 0 for i in range(n)]
    for name, is_straight in zip(names, straight):
        photo(root / "img_align_celeba" / name, rng, 120 * is_straight, (44, 36))
    part = [0 if i < n // 2 else 1 + i % 2 for i in range(n)]
    signs = [f"-1 {1 if s else -1} 1" for s in straight]
    tables = {
        "list_eval_partition.txt": ("", part),
        "identity_CelebA.txt": ("", range(n)),
        "list_bbox_celeba.txt": (
            f"{n}\nimage_id x_1 y_1 width height\n",
            ["0 0 9 9"] * n,
        ),
        "list_landmarks_align_celeba.txt": (f"{n}\nlefteye_x lefteye_y\n", ["1 1"] * n),
        "list_attr_celeba.txt": (f"{n}\n{' '.join(ATTRIBUTES)}\n", signs),
    }
    for name, (head, values) in tables.items():
        lines = "\n".join(f"{image} {value}" for image, value in zip(names, values))
        (root / name).write_text(f"{head}{lines}\n")
    source = import_torchvision().datasets.CelebA
    sums = [
        (id, hashlib.md5((root / name).read_bytes()).hexdigest(), name)
        for id, _, name in source.file_list
        if name in tables
    ]
    monkeypatch.setattr(source, "file_list", sums)
    return root
