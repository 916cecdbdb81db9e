"""Small Places-LT and iNaturalist 2018 in the lists and folders of the real ones."""

import json
from pathlib import Path

import numpy as np
import tiny_photos

from tailwise.data import longtails

COUNTS, PER_CLASS = (110, 24, 6, 4), 5  # training images, test images of each class
NAMES = ("airfield", "bakery/shop", "canal_urban", "zen_garden")
SIZES = (sum(COUNTS), PER_CLASS * len(COUNTS))


def write(kind: str, folder: Path, monkeypatch) -> Path:
    """What `longtails.prepare` leaves, in `folder`/kind: bright as the class says."""
    monkeypatch.setitem(longtails.COUNTS, kind, SIZES)
    rng, root = np.random.default_rng(0), folder / kind
    root.mkdir(parents=True)
    return (_places if kind == "places" else _inaturalist)(root, rng)


def _photo(path: Path, rng, label: int) -> None:
    tiny_photos.photo(path, rng, 60 * label, (32, 40))


def _places(root: Path, rng) -> Path:
    lines = [f"/{name[0]}/{name} {i}" for i, name in enumerate(NAMES)]
    (root / "categories_places365.txt").write_text("\n".join(lines) + "\n")
    train, test = [], []
    for label, (name, count) in enumerate(zip(NAMES, COUNTS)):
        for i in range(count):
            inside = f"{name[0]}/{name}/{i + 1:08}.jpg"
            _photo(root / "data_256" / inside, rng, label)
            # Lists of both kinds are about.
            easy = f"train/{name.replace('/', '-')}/{i + 1:08}.jpg"
            train.append(f"{easy if i % 2 else f'data_256/{inside}'} {label}")
        for _ in range(PER_CLASS):
            file = f"Places365_val_{len(test) + 1:08}.jpg"
            _photo(root / "val_256" / file, rng, label)
            test.append(f"val/{name}/{file} {label}")
    for split, rows in (("train", train), ("test", test)):
        (root / f"Places_LT_{split}.txt").write_text("\n".join(rows) + "\n")
    return root


def _inaturalist(root: Path, rng) -> Path:
    listed = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    (root / "categories.json").write_text(json.dumps(listed[::-1]))
    number = 0
    for split, counts in (("train", COUNTS), ("val", [PER_CLASS] * len(COUNTS))):
        images, annotations = [], []
        for label, count in enumerate(counts):
            for _ in range(count):
                number += 1
                name = f"train_val2018/Plantae/{label}/{number:032x}.jpg"
                _photo(root / name, rng, label)
                images.append({"id": number, "file_name": name})
                row = {"id": number, "image_id": number, "category_id": label}
                annotations.insert(0, row)
        table = {"images": images, "annotations": annotations}
        (root / f"{split}2018.json").write_text(json.dumps(table))
    return root
