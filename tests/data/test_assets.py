"""Shipped files match their checksums; where data that is fetched lives."""

import shutil

import pytest

from tailwise.data import assets

ASSET = "fashion-test-labels.idx.xz"


def test_every_asset_has_its_checksum():
    listed = set(assets._checksums(assets.ASSETS))
    data = {path.name for path in assets.ASSETS.iterdir() if path.suffix == ".xz"}
    assert data <= listed
    for name in listed:
        assets.read_asset(name)
    size = sum(path.stat().st_size for path in assets.ASSETS.iterdir())
    assert size <= 8e6


@pytest.fixture
def folder(tmp_path):
    for name in (ASSET, "SHA256SUMS"):
        shutil.copy(assets.ASSETS / name, tmp_path)
    return tmp_path


def test_a_damaged_asset_is_named(folder):
    raw = bytearray((folder / ASSET).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / ASSET).write_bytes(raw)
    with pytest.raises(ValueError, match=f"{ASSET} is damaged"):
        assets.read_asset(ASSET, folder)


@pytest.mark.parametrize("name", [ASSET, "SHA256SUMS"])
def test_a_missing_asset_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(OSError, match=name):
        assets.read_asset(ASSET, folder)


def test_the_data_has_a_home(monkeypatch, tmp_path):
    monkeypatch.delenv("TAILWISE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert assets.cache_dir() == tmp_path / ".cache" / "tailwise"
    monkeypatch.setenv("TAILWISE_DATA", "~/data")
    assert assets.cache_dir() == tmp_path / "data"
