"""Make the shipped Fashion-MNIST subset from the original IDX files.

python -m tools.studies.make_fashion_subset FOLDER

FOLDER holds the four original files, gzip-compressed or not. The first 1,500 training
and 500 test images of each class are kept in their original order.
"""

import hashlib
import lzma
import struct
import sys
from pathlib import Path

import numpy as np

from tailwise.data import assets, fashion

PER_CLASS = {"train": 1500, "test": 500}


def to_idx(array: np.ndarray) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + shape + array.tobytes()


def main(folder: Path) -> None:
    for split, per_class in PER_CLASS.items():
        images, labels = fashion._idx_pair(folder, split)
        first = [np.flatnonzero(labels == k)[:per_class] for k in range(10)]
        rows = np.sort(np.concatenate(first))
        for kind, array in (("images", images[rows]), ("labels", labels[rows])):
            raw = lzma.compress(to_idx(array), preset=9 | lzma.PRESET_EXTREME)
            (assets.ASSETS / f"fashion-{split}-{kind}.idx.xz").write_bytes(raw)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(assets.ASSETS.iterdir())
        if path.suffix in (".xz", ".safetensors")
    ]
    (assets.ASSETS / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
