"""The shipped images, and the three sources of all images."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from tailwise.data import assets, compat, fashion


def to_idx(array: np.ndarray) -> bytes:
    shape = np.array(array.shape, dtype=">u4").tobytes()
    return b"\x00\x00\x08" + bytes([array.ndim]) + shape + array.tobytes()


def fake(split="train", seed=0):
    """Twelve tiny images with labels."""
    rng = np.random.default_rng([seed, split == "train"])
    images = rng.integers(256, size=(12, 28, 28), dtype=np.uint8)
    return images, np.arange(12, dtype=np.uint8) % 10


def put(folder, *, packed=False, seed=0):
    """Write both splits as IDX files."""
    folder.mkdir(parents=True)
    for split, stem in fashion.SPLITS.items():
        for array, kind in zip(fake(split, seed), ("images-idx3", "labels-idx1")):
            name, raw = f"{stem}-{kind}-ubyte", to_idx(array)
            if packed:
                name, raw = f"{name}.gz", gzip.compress(raw)
            (folder / name).write_bytes(raw)


# The shipped subset


@pytest.mark.parametrize(("split", "per_class"), [("train", 1500), ("test", 500)])
def test_the_subset_is_balanced(split, per_class):
    data = fashion.load(split)
    assert data.images.shape == (10 * per_class, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == [per_class] * 10
    # Images, not noise: all grey values, and a dark frame.
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert data.images[:, 0].mean() < data.images[:, 14].mean() / 3


def test_the_classes_have_names():
    assert len(fashion.CLASSES) == len(set(fashion.CLASSES)) == 10


def test_no_image_is_in_both_splits():
    train, test = (
        {image.tobytes() for image in fashion.load(split).images}
        for split in ("train", "test")
    )
    assert not train & test


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="unknown split 'val': expected one of train"):
        fashion.load("val")


# The full set


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Three empty sources; the network is never touched."""
    monkeypatch.setenv("TAILWISE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "debian")
    downloads = []

    def download(root, *, download):
        assert download
        downloads.append(root)
        if not sources.online:
            raise RuntimeError("no route to host")
        put(root / "FashionMNIST" / "raw", seed=2)

    torchvision = SimpleNamespace(datasets=SimpleNamespace(FashionMNIST=download))
    monkeypatch.setattr(compat, "import_torchvision", lambda: torchvision)
    sources = SimpleNamespace(
        cached=tmp_path / "cache" / "FashionMNIST" / "raw",
        debian=tmp_path / "debian",
        downloads=downloads,
        online=False,
    )
    return sources


def assert_loads(seed):
    for split in fashion.SPLITS:
        data, (images, labels) = fashion.load(split, full=True), fake(split, seed)
        np.testing.assert_array_equal(data.images, images)
        np.testing.assert_array_equal(data.labels, labels)
        assert data.labels.dtype == np.int64


@pytest.mark.parametrize("packed", [False, True])
def test_torchvisions_folder_comes_first(sources, packed):
    put(sources.cached, packed=packed)
    put(sources.debian, seed=1)
    assert_loads(seed=0)


@pytest.mark.parametrize("packed", [False, True])
def test_then_comes_debians_folder(sources, packed):
    put(sources.debian, packed=packed, seed=1)
    assert_loads(seed=1)
    assert sources.downloads == []


def test_then_it_is_downloaded_once(sources):
    sources.online = True
    assert_loads(seed=2)
    assert sources.downloads == [assets.cache_dir()]


def test_without_a_source_all_three_are_named(sources):
    with pytest.raises(OSError, match="full Fashion-MNIST was not found") as caught:
        fashion.load(full=True)
    for tried in (str(sources.cached), str(sources.debian), "no route to host"):
        assert tried in str(caught.value)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", to_idx(fake()[0])[:-1]),
        ("train-images-idx3-ubyte", to_idx(fake()[0][1:])),
        ("train-images-idx3-ubyte.gz", gzip.compress(to_idx(fake()[0]))[:-20]),
        ("train-images-idx3-ubyte.gz", b"not compressed"),
        ("train-images-idx3-ubyte.gz", gzip.compress(b"")[:10] + b"\xff" * 20),
    ],
    ids=[
        "empty",
        "cut",
        "one less",
        "cut and packed",
        "not packed",
        "damaged and packed",
    ],
)
def test_a_damaged_source_is_passed_over(sources, name, raw):
    put(sources.cached)
    (sources.cached / "train-images-idx3-ubyte").unlink()
    (sources.cached / name).write_bytes(raw)
    with pytest.raises(OSError, match=str(sources.cached)):
        fashion.load(full=True)
    put(sources.debian)
    assert_loads(seed=0)


def test_without_torchvision_it_says_so(sources, monkeypatch):
    def missing():
        raise ImportError("No module named 'torchvision'")

    monkeypatch.setattr(compat, "import_torchvision", missing)
    with pytest.raises(OSError, match="No module named 'torchvision'"):
        fashion.load(full=True)


# IDX


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0,)])
def test_idx_is_read_back(shape):
    array = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    np.testing.assert_array_equal(fashion.parse_idx(to_idx(array)), array)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an IDX file of bytes"),
        (b"\x00\x00\x08", "not an IDX file of bytes"),
        (b"\x00\x00\x0d\x01" + bytes(8), "not an IDX file of bytes"),
        (b"\x1f\x8b\x08\x00" + bytes(8), r"starts with b'\\x1f"),
        (to_idx(np.zeros((2, 3), np.uint8))[:-1], r"says \(2, 3\), got 5 bytes"),
        (to_idx(np.zeros((2, 3), np.uint8)) + b"0", r"says \(2, 3\), got 7 bytes"),
        (b"\x00\x00\x08\x03" + bytes(4), "IDX header"),
        (b"\x00\x00\x08\x03" + bytes(6), "IDX header"),
    ],
)
def test_what_is_not_idx_is_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        fashion.parse_idx(raw)
