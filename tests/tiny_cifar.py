"""A small CIFAR-10 in the archive of the real one, served without a network."""

import hashlib
import io
import pickle
import tarfile
import urllib.request
from pathlib import Path

import numpy as np

from tailwise.data.compat import import_torchvision

NAMES = ["airplane", "automobile", "bird", "cat", "deer"]
NAMES += ["dog", "frog", "horse", "ship", "truck"]


def images(n: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """``[n, 3072]`` as the archive holds them: a bright bar says the class."""
    rng = np.random.default_rng(seed)
    y = [i % 10 for i in range(n)]
    x = rng.integers(0, 100, (n, 3, 32, 32), dtype=np.uint8)
    for image, c in zip(x, y):
        image[c % 3, 3 * c : 3 * c + 4] += 140
    return x.reshape(n, 3072), y


def archive(n_train: int, n_test: int) -> tuple[bytes, dict[str, str]]:
    """The bytes of ``cifar-10-python.tar.gz``, and MD5 sums of what is in it."""
    batches = {f"data_batch_{i}": images(n_train // 5, i) for i in range(1, 6)} | {
        "test_batch": images(n_test, 0)
    }
    contents = {
        name: pickle.dumps({"data": x, "labels": y}) for name, (x, y) in batches.items()
    }
    contents["batches.meta"] = pickle.dumps({"label_names": NAMES})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sums = {
        name: hashlib.md5(content).hexdigest() for name, content in contents.items()
    }
    return packed.getvalue(), sums


class Answer(io.BytesIO):
    """What an address says, as torchvision reads it."""

    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.length, self.url, self.headers = len(content), url, {}


def serve(monkeypatch, *, n_train: int = 400, n_test: int = 100, cut: int = 0) -> None:
    """torchvision's address answers with the archive, `cut` bytes short."""
    content, sums = archive(n_train, n_test)
    source = import_torchvision().datasets.CIFAR10
    monkeypatch.setattr(source, "tgz_md5", hashlib.md5(content).hexdigest())
    for name in ("train_list", "test_list"):
        listed = [[file, sums[file]] for file, _ in getattr(source, name)]
        monkeypatch.setattr(source, name, listed)
    meta = source.meta | {"md5": sums["batches.meta"]}
    monkeypatch.setattr(source, "meta", meta)

    def answer(request, *_, **__):
        url = getattr(request, "full_url", request)
        assert url == source.url
        return Answer(content[: len(content) - cut], url)

    monkeypatch.setattr(urllib.request, "urlopen", answer)


def write(folder: Path, monkeypatch, **sizes: int) -> None:
    """Unpacked where torchvision looks for it."""
    serve(monkeypatch, **sizes)
    import_torchvision().datasets.CIFAR10(folder, download=True)
