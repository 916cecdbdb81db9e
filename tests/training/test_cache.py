"""Networks on disk: trained once, the same bits afterwards, nothing half-written."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tailwise import files
from tailwise.training import cache

SETTINGS = {"seed": 0, "world": {"counts": (1, 2)}, "method": "ERM"}


@pytest.fixture
def sources(tmp_path):
    """Two files that stand for modules."""
    paths = [tmp_path / "one.py", tmp_path / "two.py"]
    for path in paths:
        path.write_text(f"name = {path.stem!r}")
    return [SimpleNamespace(__file__=str(path)) for path in paths]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    folder = tmp_path / "not" / "there yet"
    monkeypatch.setenv("TAILWISE_CACHE", str(folder))
    return folder


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # Batch norm has state that no optimiser moves.
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())


def once(sources, *, start=1, train_seed=0, settings=SETTINGS):
    """A network after `train_once`, and the two places that say if it was trained."""
    calls = []

    def train(model):
        calls.append(model)
        model.train()
        g = torch.Generator().manual_seed(train_seed)
        model(torch.randn(8, 3, 5, 5, generator=g))
        with torch.no_grad():
            for weight in model.parameters():
                weight += torch.randn(weight.shape, generator=g)

    model = network(start)
    now = cache.train_once(model, train, settings, sources)
    return model, now, len(calls)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_network_is_trained_once_and_comes_back_bit_for_bit(sources):
    trained, *first = once(sources)
    # Another start and another training: what is found must replace both.
    found, *second = once(sources, start=2, train_seed=9)
    assert (first, second) == ([True, 1], [False, 0])
    assert same(trained, found)
    assert not trained.training
    assert not found.training
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(trained(x), found(x))
    other, now, _ = once(sources, train_seed=9, settings={**SETTINGS, "seed": 1})
    assert now
    assert not same(trained, other)


def test_the_memory_layout_of_a_network_survives(sources):
    once(sources)
    model = network(2).to(memory_format=torch.channels_last)
    strides = [weight.stride() for weight in model.parameters()]
    assert not cache.train_once(model, lambda net: None, SETTINGS, sources)
    assert [weight.stride() for weight in model.parameters()] == strides


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip_a_bit, cut, Path.unlink])
@pytest.mark.parametrize("suffix", ["safetensors", "sha256"])
def test_a_damaged_or_missing_file_is_made_again(sources, kept, suffix, harm):
    trained, *_ = once(sources)
    (path,) = kept.glob(f"*.{suffix}")
    content = path.read_bytes()
    harm(path)
    again, *found = once(sources)
    assert found == [True, 1]
    # Same start and same training as before.
    assert same(trained, again)
    assert path.read_bytes() == content
    assert not once(sources)[1]


def test_only_weights_and_checksum_are_left(sources, kept):
    once(sources)
    name = cache.key(SETTINGS, sources)
    found = {path.name for path in kept.iterdir()}
    assert found == {f"{name}.safetensors", f"{name}.sha256"}


def test_nothing_is_left_when_training_raises(sources, kept):
    def train(model):
        nn.init.zeros_(model[0].weight)
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        cache.train_once(network(1), train, SETTINGS, sources)
    assert not list(kept.glob("**/*"))
    assert once(sources)[1]


def test_weights_without_their_checksum_do_not_count(sources, monkeypatch):
    write = cache.write_whole

    def fails_at_the_checksum(path, content):
        if path.suffix == ".sha256":
            raise OSError("disk full")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_whole", fails_at_the_checksum)
        with pytest.raises(OSError, match="disk full"):
            once(sources)
    assert once(sources)[1]
    assert not once(sources)[1]


def test_a_file_appears_only_when_it_is_whole(kept, monkeypatch):
    kept.mkdir(parents=True)
    path = kept / "file"
    path.write_bytes(b"old")
    replace, seen = cache.os.replace, []

    def watched(temporary, target):
        seen.append((path.read_bytes(), Path(temporary).read_bytes()))
        replace(temporary, target)

    monkeypatch.setattr(cache.os, "replace", watched)
    cache.write_whole(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"
    assert list(kept.iterdir()) == [path]


# Keys


def test_a_key_is_a_function_of_what_decides_the_outcome(sources):
    key = cache.key(SETTINGS, sources)
    assert cache.key(dict(reversed(SETTINGS.items())), sources) == key
    assert cache.key(SETTINGS, list(sources)) == key


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"method": "group DRO"},
        {"world": {"counts": (1, 3)}},
        {"device": "cuda"},
    ],
)
def test_another_setting_gives_another_key(sources, change):
    assert cache.key({**SETTINGS, **change}, sources) != cache.key(SETTINGS, sources)


def test_other_sources_give_another_key_and_train_again(sources):
    keys = {cache.key(SETTINGS, sources), cache.key(SETTINGS, sources[:1])}
    assert once(sources)[1]
    Path(sources[1].__file__).write_text("name = 'changed'")
    keys.add(cache.key(SETTINGS, sources))
    assert len(keys) == 3
    assert once(sources)[1]


def test_builds_of_one_torch_release_share_their_networks(sources, monkeypatch):
    keys = set()
    for version in ("9.1.0", "9.1.0+cpu", "9.1.0+cu130"):
        monkeypatch.setattr(cache.torch, "__version__", version)
        keys.add(cache.key(SETTINGS, sources))
    assert len(keys) == 1


def test_other_data_or_another_torch_give_another_key(sources, tmp_path, monkeypatch):
    keys = {cache.key(SETTINGS, sources)}
    with monkeypatch.context() as patch:
        patch.setattr(cache.torch, "__version__", "0.0")
        keys.add(cache.key(SETTINGS, sources))
    (tmp_path / "SHA256SUMS").write_text("other data")
    monkeypatch.setattr(cache, "ASSETS", tmp_path)
    keys.add(cache.key(SETTINGS, sources))
    assert len(keys) == 3


# The folder


def test_the_folder_is_the_chosen_one_else_the_checkouts_else_the_users(
    kept, tmp_path, monkeypatch
):
    assert cache.folder() == kept
    monkeypatch.setenv("TAILWISE_CACHE", "")
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "src" / "tailwise")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache.folder() == tmp_path / "home" / ".cache" / "tailwise"
    (tmp_path / "book" / "claims").mkdir(parents=True)
    assert cache.folder() == tmp_path / "_build" / "cache"
