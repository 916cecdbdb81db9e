"""CIFAR-100-LT: counts, what is kept on disk, and what is said where it is missing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tailwise.data import cifar

NAMES = ("apple", "aquarium_fish", "bee")
PER_CLASS = {True: 40, False: 5}  # by whether it is the training split


def fake(train):
    y = np.arange(3).repeat(PER_CLASS[train])[::-1]
    x = np.random.default_rng(int(train)).integers(0, 256, (len(y), 32, 32, 3))
    return x.astype(np.uint8), y.tolist()


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """torchvision's class, without files or network."""
    state = SimpleNamespace(there=False, online=False, roots=[], folder=tmp_path / "d")

    def source(root, *, train, download):
        state.roots.append(root)
        if download and not state.online:
            raise OSError("no route to host")
        if not download and not state.there:
            raise RuntimeError("Dataset not found or corrupted.")
        data, targets = fake(train)
        return SimpleNamespace(data=data, targets=targets, classes=list(NAMES))

    torchvision = SimpleNamespace(datasets=SimpleNamespace(CIFAR100=source))
    monkeypatch.setattr(cifar, "import_torchvision", lambda: torchvision)
    monkeypatch.setenv("TAILWISE_DATA", str(state.folder))
    return state


def assert_kept():
    for split in cifar.SPLITS:
        found, (x, y) = cifar.load_split(split), fake(split == "train")
        assert torch.equal(found.images, torch.from_numpy(x).permute(0, 3, 1, 2))
        assert found.labels.tolist() == y
        assert found.names == NAMES


def test_what_torchvision_has_is_kept(sources):
    sources.there = True
    path = cifar.prepare()
    assert_kept()
    assert set(sources.roots) == {sources.folder}
    kept = sorted(p.name for p in sources.folder.iterdir())
    assert kept == [path.name, path.with_suffix(".sha256").name]


def test_it_is_fetched_only_when_asked(sources):
    sources.online = True
    with pytest.raises(OSError, match="not found; tried torchvision's files in"):
        cifar.prepare()
    (sources.folder / ".cifar100.aside" / "half").mkdir(parents=True)
    cifar.prepare(download=True)
    assert_kept()
    # Nothing of the download stays, nor of one that was killed.
    assert len(list(sources.folder.iterdir())) == 2


def test_what_was_tried_is_named(sources):
    message = r"torchvision's files in .* \(RuntimeError: Dataset not found.*\); "
    message += r"a download through torchvision \(OSError: no route to host\)"
    with pytest.raises(OSError, match=message):
        cifar.prepare(download=True)
    assert not list(sources.folder.iterdir())
    with pytest.raises(OSError, match="is missing: `make data DATASET=cifar100`"):
        cifar.load_split("train")


def test_the_command(sources, capsys):
    from tools.ship import data

    assert data.main(["cifar100"]) == 1
    assert "CIFAR-100 was not found; tried" in capsys.readouterr().err
    sources.online = True
    assert data.main(["cifar100", "--offline"]) == 1
    assert data.main(["cifar100"]) == 0
    assert "cifar100.safetensors" in capsys.readouterr().out
    assert_kept()


def test_torchvision_without_files_says_so(tmp_path):
    with pytest.raises(OSError, match="RuntimeError: Dataset not found or corrupted"):
        cifar.prepare(tmp_path)


def test_damaged_files_are_named(sources):
    sources.there = True
    path = cifar.prepare()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="cifar100.safetensors is damaged: SHA-256"):
        cifar.load_split("test")
    path.write_bytes(content)
    path.with_suffix(".sha256").unlink()
    with pytest.raises(ValueError, match="is damaged: .* expected missing"):
        cifar.load_split("test")
    with pytest.raises(ValueError, match="unknown split 'val': expected train or test"):
        cifar.load_split("val")


def test_a_draw(sources):
    sources.there = True
    cifar.prepare()
    task, other = (cifar.draw(s, ratio=10, n_max=30) for s in (0, 1))
    assert task.labels.bincount().tolist() == task.counts.tolist() == [30, 9, 3]
    assert not torch.equal(task.images, other.images)
    assert torch.equal(task.test_images, other.test_images)
    assert torch.equal(task.images, cifar.draw(0, ratio=10, n_max=30).images)
    # Each image is one of its class, and none is taken twice.
    train = cifar.load_split("train")
    flat = (255 * task.images).round().byte().flatten(1)
    same = (flat[:, None] == train.images.flatten(1)).all(-1)
    assert (same.sum(1) == 1).all()
    assert torch.equal(train.labels[same.int().argmax(1)], task.labels)
    groups = {name: mine.tolist() for name, mine in task.groups.items()}
    assert groups["few"] == [False, True, True]
    assert groups["medium"] == [True, False, False]
    assert not any(groups["many"])
    with pytest.raises(ValueError, match="n_max is 50: class 0 has 40 images"):
        cifar.draw(0, n_max=50, ratio=10)
