"""A small MNIST in the files that torchvision keeps."""

import struct
from pathlib import Path

import numpy as np


def idx(values: np.ndarray) -> bytes:
    """An array as MNIST's own files hold it."""
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()


def write(folder: Path) -> Path:
    """300 images with a bar where their class says, in `folder`/MNIST/raw."""
    rng, raw = np.random.default_rng(0), folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 300), ("t10k", 40)):
        y = np.arange(n, dtype=np.uint8) % 10
        images = rng.integers(0, 60, (n, 28, 28), dtype=np.uint8)
        for image, c in zip(images, y):
            image[2 * c : 2 * c + 6] += 150
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(y))
    return raw
