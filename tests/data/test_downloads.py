"""Archives of photographs: fetched, gone on with, checked, unpacked, and read."""

import errno
import hashlib
import http.server
import io
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from dataclasses import replace
from functools import partial
from http.client import BadStatusLine
from pathlib import Path

import pytest
import tiny_kill
import tiny_photos

from tailwise.data import celeba, isic
from tailwise.data.compat import import_torchvision
from tailwise.data.downloads import Published, fetched, unpacked

CONTENT = bytes(range(256)) * 40
FILE = Published(
    name="a.bin", urls=("http://h/a.bin",), md5=hashlib.md5(CONTENT).hexdigest()
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
            start = asked[-1] if ranges else 0
            if start >= len(content):
                raise urllib.error.HTTPError(FILE.urls[0], 416, "Range", {}, None)
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
    assert asked == [0, 9239]
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    fetched(FILE, tmp_path, download=True)
    assert asked == [0, 9239]


def test_an_address_that_cannot_go_on_starts_anew(serve, tmp_path):
    serve(cut=1000)
    with pytest.raises(OSError, match="cut"):
        fetched(FILE, tmp_path, download=True)
    serve(ranges=False)
    assert fetched(FILE, tmp_path, download=True).read_bytes() == CONTENT


def test_what_does_not_come_is_one_sentence(serve, tmp_path, monkeypatch):
    serve(b"something else")
    with pytest.raises(OSError, match=r"not the published file, and was removed: MD5"):
        fetched(FILE, tmp_path, download=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="it comes from http://h/a.bin"):
        fetched(FILE, tmp_path, download=False)

    def moved(*_, **__):
        raise urllib.error.HTTPError(FILE.urls[0], 404, "Not Found", {}, None)

    monkeypatch.setattr(urllib.request, "urlopen", moved)
    message = r"did not come from http://h/a.bin: HTTP Error 404.*; if you have it from"
    with pytest.raises(OSError, match=message):
        fetched(FILE, tmp_path, download=True)


@pytest.mark.parametrize("error", [TimeoutError("timed out"), BadStatusLine("?")])
def test_a_second_address_is_tried_and_nothing_of_the_first_stays(
    serve, tmp_path, monkeypatch, error
):
    two = replace(FILE, urls=("http://h/a.bin", "http://other/a.bin"))
    (tmp_path / ".0-a.bin.part").write_bytes(CONTENT[:100])
    asked, answer = serve(), urllib.request.urlopen

    def one_fails(request, timeout):
        if request.host == "h":
            raise error
        return answer(request, timeout)

    monkeypatch.setattr(urllib.request, "urlopen", one_fails)
    assert fetched(two, tmp_path, download=True).read_bytes() == CONTENT
    assert asked == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_all_but_the_name_was_there(serve, tmp_path):
    asked = serve()
    (tmp_path / ".0-a.bin.part").write_bytes(CONTENT)  # stopped before it was checked
    fetched(FILE, tmp_path, download=True)
    assert asked == [len(CONTENT) - 1]
    # A part of another file, longer than this one.
    (tmp_path / "a.bin").unlink()
    (tmp_path / ".0-a.bin.part").write_bytes(CONTENT * 2)
    with pytest.raises(OSError, match="HTTP Error 416"):
        fetched(FILE, tmp_path, download=True)
    assert fetched(FILE, tmp_path, download=True).read_bytes() == CONTENT


def archive(path, names=("inside/x.jpg",)) -> bytes:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, CONTENT)
    return path.read_bytes()


ZIP = Published(name="a.zip", urls=("http://h/a.zip",))


def test_a_damaged_archive_leaves_nothing(serve, tmp_path):
    whole = archive(tmp_path / "a.zip")
    wrong = bytearray(whole)
    wrong[100] ^= 1  # in the image, which a checksum inside tells
    for content in (whole[:-40], bytes(wrong)):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(OSError, match="a.zip is cut or damaged"):
            unpacked(ZIP, tmp_path, "inside", download=False)
        assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(OSError, match="has no other in it"):
        unpacked(ZIP, tmp_path, "other", download=False)
    unpacked(ZIP, tmp_path, "inside", download=False)
    assert [p.name for p in tmp_path.iterdir()] == ["inside"]
    # One that was fetched so is fetched again the next time.
    shutil.rmtree(tmp_path / "inside")
    serve(whole[:-40])
    with pytest.raises(OSError, match="a.zip is cut or damaged"):
        unpacked(ZIP, tmp_path, "inside", download=True)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_cost_the_archive(serve, tmp_path, monkeypatch):
    serve(archive(tmp_path / "b.zip"))
    (tmp_path / "b.zip").unlink()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "unpack_archive", full)
    with pytest.raises(OSError, match="No space left on device"):
        unpacked(ZIP, tmp_path, "inside", download=True)
    assert [p.name for p in tmp_path.iterdir()] == [".0-a.zip.part"]


def test_what_a_killed_run_left_is_cleared_up(serve, tmp_path):
    serve(archive(tmp_path / "b.zip"))
    (tmp_path / "b.zip").unlink()
    (tmp_path / ".inside.aside").mkdir()
    (tmp_path / ".inside.aside" / "half.jpg").touch()
    unpacked(ZIP, tmp_path, "inside", download=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["inside", "x.jpg"]
    for left in ("a.zip", ".0-a.zip.part"):
        (tmp_path / left).touch()
        unpacked(ZIP, tmp_path, "inside", download=False)
        assert [p.name for p in tmp_path.iterdir()] == ["inside"]


class Slow(http.server.SimpleHTTPRequestHandler):
    """Sends a file in pieces, from where it is asked for."""

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        for piece in range(start, len(content), 1 << 16):
            self.wfile.write(content[piece : piece + (1 << 16)])
            time.sleep(0.02)

    def log_message(self, *_):
        pass


def test_a_process_that_is_killed_while_it_fetches_and_unpacks(tmp_path):
    names = [f"inside/{i}.bin" for i in range(400)]
    archive(tmp_path / "a.zip", names)
    handler = partial(Slow, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, folder = f"http://127.0.0.1:{server.server_port}/a.zip", tmp_path / "data"
    # In pieces as large as usual it would be unpacked in no time.
    script = (
        "import sys, shutil; from pathlib import Path\n"
        "from tailwise.data.downloads import Published, unpacked\n"
        "copy = shutil.copyfileobj\n"
        "shutil.copyfileobj = lambda one, other, n=0: copy(one, other, 64)\n"
        "file = Published(name='a.zip', urls=(sys.argv[1],))\n"
        "unpacked(file, Path(sys.argv[2]), 'inside', download=True)\n"
    )
    command = [sys.executable, "-c", script, url, str(folder)]
    part = folder / ".0-a.zip.part"
    for moment in (
        lambda: part.exists() and part.stat().st_size > 200_000,
        lambda: (folder / ".inside.aside" / names[5]).exists(),
    ):
        tiny_kill.killed(command, moment)
        assert part.exists()
        assert not (folder / "inside").exists()
    assert subprocess.run(command).returncode == 0
    server.shutdown()
    assert sorted(p.name for p in folder.iterdir()) == ["inside"]
    assert all((folder / name).read_bytes() == CONTENT for name in names)


def test_of_two_runs_one_waits_for_the_other(tmp_path):
    archive(tmp_path / "a.zip", names := [f"inside/{i}.bin" for i in range(200)])
    asked = []

    class Counted(Slow):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    handler = partial(Counted, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, folder = f"http://127.0.0.1:{server.server_port}/a.zip", tmp_path / "data"
    script = (
        "import sys; from pathlib import Path\n"
        "from tailwise.data.downloads import Published, unpacked\n"
        "file = Published(name='a.zip', urls=(sys.argv[1],))\n"
        "unpacked(file, Path(sys.argv[2]), 'inside', download=True)\n"
    )
    command = [sys.executable, "-c", script, url, str(folder)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    told = "".join(run.communicate()[1].decode() for run in runs)
    server.shutdown()
    assert [run.returncode for run in runs] == [0, 0], told
    assert asked == ["/a.zip"]
    assert told.count("another run makes") == 1
    assert [p.name for p in folder.iterdir()] == ["inside"]
    assert all((folder / name).read_bytes() == CONTENT for name in names)


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


def test_faces_are_fetched_and_unpacked_whole(tmp_path, monkeypatch):
    root = tiny_photos.celeba(tmp_path / "made", monkeypatch)
    packed = shutil.make_archive(tmp_path / "faces", "zip", root, celeba.IMAGES)
    source, utils = (
        import_torchvision().datasets.CelebA,
        import_torchvision().datasets.utils,
    )
    name = f"{celeba.IMAGES}.zip"
    sums = [("", hashlib.md5(Path(packed).read_bytes()).hexdigest(), name)]
    monkeypatch.setattr(source, "file_list", [*sums, *source.file_list])
    asked = []

    def drive(id, folder, name, md5):
        asked.append(name)
        folder.mkdir(parents=True, exist_ok=True)
        made = packed if name.endswith(".zip") else root / name
        shutil.copy(made, folder / name)

    monkeypatch.setattr(utils, "download_file_from_google_drive", drive)
    # A run that was killed when it had one list, and half of the images aside.
    there = tmp_path / "data" / "celeba"
    half = there / f".{celeba.IMAGES}.aside"
    half.mkdir(parents=True)
    (half / "000001.jpg").touch()
    shutil.copy(root / "list_attr_celeba.txt", there)
    assert len(celeba.load_split("train", tmp_path / "data", download=True).y) == 100
    assert len(asked) == len(source.file_list) - 1
    celeba.load_split("val", tmp_path / "data", download=True)
    assert len(asked) == len(source.file_list) - 1
    assert {p.name for p in there.iterdir()} == {p.name for p in root.iterdir()}
    (there / celeba.IMAGES / "000001.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 images of .* 000001.jpg: remove .* again"):
        celeba.load_split("train", tmp_path / "data", download=True)
