"""Archives of photographs: fetched, gone on with, checked, unpacked, and read."""

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from collections import Counter

import pytest
import tiny_photos

from tailwise.data import celeba, isic
from tailwise.data.downloads import Published, fetched, unpacked

CONTENT = bytes(range(256)) * 40
FILE = Published(
    name="a.bin", url="http://h/a.bin", md5=hashlib.md5(CONTENT).hexdigest()
)


class Answer(io.BytesIO):
    def __init__(self, content, status, length):
        super().__init__(content)
        self.status, self.headers = status, {"Content-Length": str(length)}


@pytest.fixture
def serve(monkeypatch):
    """An address that answers with a content, from where it is asked, or not whole."""
    asked = []

    def given(content=CONTENT, *, cut=0, ranges=True):
        def answer(request, timeout):
            start = request.get_header("Range", "bytes=0-")[6:-1]
            asked.append(int(start))
            start = int(start) if ranges else 0
            rest = content[start:]
            status = 206 if start else 200
            return Answer(rest[: len(rest) - cut], status, len(rest))

        monkeypatch.setattr(urllib.request, "urlopen", answer)
        return asked

    return given


def test_an_interrupted_download_goes_on(serve, tmp_path):
    asked = serve(cut=1000)
    with pytest.raises(
        OSError, match=r"it was cut after 9240 of 10240 bytes; the same"
    ):
        fetched(FILE, tmp_path, download=True)
    assert not (tmp_path / "a.bin").exists()
    serve()
    path = fetched(FILE, tmp_path, download=True)
    assert path.read_bytes() == CONTENT
    assert asked == [0, 9240]
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    fetched(FILE, tmp_path, download=True)
    assert asked == [0, 9240]


def test_an_address_that_cannot_go_on_starts_anew(serve, tmp_path):
    serve(cut=1000)
    with pytest.raises(OSError, match="cut"):
        fetched(FILE, tmp_path, download=True)
    serve(ranges=False)
    assert fetched(FILE, tmp_path, download=True).read_bytes() == CONTENT


def test_what_does_not_come_is_one_sentence(serve, tmp_path, monkeypatch):
    serve(b"something else")
    with pytest.raises(
        ValueError, match=r"not the published file, and was removed: MD5"
    ):
        fetched(FILE, tmp_path, download=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="it comes from http://h/a.bin"):
        fetched(FILE, tmp_path, download=False)

    def moved(*_, **__):
        raise urllib.error.HTTPError(FILE.url, 404, "Not Found", {}, None)

    monkeypatch.setattr(urllib.request, "urlopen", moved)
    with pytest.raises(
        OSError, match="did not come from http://h/a.bin: HTTP Error 404"
    ):
        fetched(FILE, tmp_path, download=True)


def test_a_damaged_archive_leaves_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside/x.jpg", CONTENT)
    whole = (tmp_path / "a.zip").read_bytes()
    file = Published(name="a.zip", url="http://h/a.zip")
    (tmp_path / "a.zip").write_bytes(whole[:-40])
    with pytest.raises(OSError, match="a.zip is cut or damaged"):
        unpacked(file, tmp_path, "inside", download=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(OSError, match="has no other in it"):
        unpacked(file, tmp_path, "other", download=False)
    unpacked(file, tmp_path, "inside", download=False)
    assert [p.name for p in tmp_path.iterdir()] == ["inside"]


def test_lesions_have_a_label_and_a_known_patch(tmp_path):
    tiny_photos.isic_2019(tmp_path)
    isic.prepare(tmp_path)
    splits = [isic.load_split(split, tmp_path) for split in isic.SPLITS]
    for photos, share in zip(splits, (0.6, 0.2, 0.2)):
        expected = {g: round(share * n) for g, n in enumerate(tiny_photos.LESIONS)}
        assert Counter(photos.group.tolist()) == expected
        assert all(file.is_file() for file in photos.files)
    files = [file for photos in splits for file in photos.files]
    assert len(set(files)) == len(files) == 90
    again = isic.load_split("train", tmp_path)
    assert again.files == splits[0].files


@pytest.mark.parametrize("harm", ["column", "image", "few", "split"])
def test_lesions_that_are_wrong_are_named(tmp_path, harm):
    root = tiny_photos.isic_2019(tmp_path)
    isic.prepare(tmp_path)
    split, message = "train", "has no column patches"
    if harm == "column":
        path = root / isic.PATCHES.name
        path.write_text(path.read_text().replace("patches", "stickers"))
    if harm == "image":
        next((root / isic.INSIDE).iterdir()).unlink()
        message = "1 images of .* are missing, such as ISIC_"
    if harm == "few":
        path = root / isic.PATCHES.name
        lines = path.read_text().splitlines()
        path.write_text("\n".join(lines[:64]))
        message = "has 3 images of group 2: expected 20"
    if harm == "split":
        split, message = "all", "unknown split 'all'"
    with pytest.raises(ValueError, match=message):
        isic.load_split(split, tmp_path)


def test_faces_are_those_of_the_publisher(tmp_path, monkeypatch):
    root = tiny_photos.celeba(tmp_path, monkeypatch)
    sizes = {"train": 100, "val": 50, "test": 50}
    for split, n in sizes.items():
        photos = celeba.load_split(split, tmp_path)
        assert len(photos.files) == n
        for file, y in zip(photos.files, photos.y.tolist()):
            assert y == (int(file.stem) % 5 == 1)
    (root / "list_attr_celeba.txt").write_text("other")
    with pytest.raises(OSError, match=r"CelebA is not in .*: Dataset not found or"):
        celeba.load_split("train", tmp_path)
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        celeba.load_split("valid", tmp_path)
