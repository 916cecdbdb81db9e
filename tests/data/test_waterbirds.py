"""Waterbirds: what is unpacked and counted, and what is said where it is not there."""

import io
import urllib.error
import urllib.request

import pytest
import tiny_birds
import torch
from PIL import Image

from tailwise.data import waterbirds


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(waterbirds, "COUNTS", tiny_birds.COUNTS)
    return tiny_birds.write(tmp_path / "made")


def serve(monkeypatch, archives):
    """Addresses answer with these archives, or not at all."""
    asked = []

    def answer(request, timeout):
        asked.append(request.full_url)
        if (found := archives[len(asked) - 1]) is None:
            raise urllib.error.URLError("no route to host")
        content = io.BytesIO(found.read_bytes())
        content.headers = {}
        return content

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    return asked


@pytest.mark.parametrize("inside", [True, False])
def test_both_archives_give_the_same_birds(made, tmp_path, monkeypatch, inside):
    archive = tiny_birds.pack(made, tmp_path / "a.tar.gz", inside=inside)
    asked = serve(monkeypatch, [None, archive])
    folder = tmp_path / "data"
    assert waterbirds.prepare(folder, download=True) == folder / waterbirds.NAME
    assert asked == list(waterbirds.ARCHIVE.urls)
    assert [p.name for p in folder.iterdir()] == [waterbirds.NAME]  # nothing else
    for split, counts in tiny_birds.COUNTS.items():
        photos = waterbirds.load_split(split, folder)
        assert tuple(photos.group.bincount().tolist()) == counts
        assert torch.equal(photos.group, 2 * photos.y + photos.place)
        for file, place in zip(photos.files, photos.place.tolist()):
            red, _, blue = Image.open(file).getpixel((2, 2))
            assert (blue > red + 50) == place
    waterbirds.prepare(folder, download=True)  # it is there
    assert len(asked) == 2


def test_an_archive_that_lies_there_needs_no_network(made, tmp_path):
    (folder := tmp_path / "data").mkdir()
    tiny_birds.pack(made, folder / f"{waterbirds.NAME}.tar.gz", inside=True)
    waterbirds.prepare(folder)
    assert len(waterbirds.load_split("val", folder).y) == 33


def test_no_network_is_said_with_what_was_tried(made, tmp_path, monkeypatch):
    serve(monkeypatch, [None, None])
    with pytest.raises(OSError, match=r"nlp\.stanford.*no route.*codalab.*no route"):
        waterbirds.prepare(tmp_path / "data", download=True)
    with pytest.raises(OSError, match="is not in .*: it comes from https://nlp"):
        waterbirds.prepare(tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("cut", "is cut or damaged"),
        ("no archive", "is cut or damaged"),
        ("other images", r"has groups of \(20, 4, 4, 11\) for train"),
        ("missing image", "1 images of .* are missing, such as 0007.jpg"),
        ("no column", "has no column place"),
        ("outside", "is cut or damaged"),
    ],
)
def test_an_archive_that_is_not_it_leaves_nothing(
    made, tmp_path, monkeypatch, harm, message
):
    table = made / "metadata.csv"
    lines = table.read_text().splitlines()
    if harm == "other images":
        table.write_text("\n".join(lines[:40] + lines[41:]))
    if harm == "missing image":
        next(made.rglob("0007.jpg")).unlink()
    if harm == "no column":
        table.write_text("\n".join([lines[0].replace("place", "where"), *lines[1:]]))
    if harm == "outside":
        (made / "link").symlink_to("/etc/hostname")
    archive = tiny_birds.pack(made, tmp_path / "a.tar.gz", inside=True)
    if harm == "cut":
        archive.write_bytes(archive.read_bytes()[:-3000])
    if harm == "no archive":
        archive.write_text("<html>The archive has moved.</html>")
    serve(monkeypatch, [archive, archive])
    with pytest.raises(OSError, match=message):
        waterbirds.prepare(folder := tmp_path / "data", download=True)
    assert not list(folder.iterdir())


def test_an_image_that_was_lost_later_is_named(made, tmp_path):
    next(made.rglob("0031.jpg")).unlink()
    with pytest.raises(ValueError, match="to fetch them again"):
        waterbirds.prepare(made.parent, download=True)
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        waterbirds.load_split("dev", made.parent)
    with pytest.raises(OSError, match="it has no metadata.csv"):
        waterbirds.load_split("val", tmp_path)
