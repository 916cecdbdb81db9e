"""The archive for a room without a network: whole, the same each time, and runnable."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from tools.book.layout import ROOT, Book, write
from tools.ship import bundle

BOOK = Book(ROOT, "laptop")
RUN = """\
import sys
from pathlib import Path
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
path = Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
# Pipes in place of ports: without a network there is no loopback either.
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=sys.argv[2])
place = {"metadata": {"path": str(path.parent)}}
NotebookClient(notebook, km=kernel, timeout=600, resources=place).execute()
outputs = [str(o) for c in notebook.cells for o in c.get("outputs", ())]
print("FOUND" if any(sys.argv[3] in o for o in outputs) else outputs)
"""


@pytest.fixture(scope="module", autouse=True)
def trained(tmp_path_factory) -> Path:
    """A folder of trained networks that no chapter adds to while the tests run."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("one.safetensors", "one.sha256", "else.npz"):
        (folder / name).write_text(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILWISE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    try:
        return bundle.bundle(BOOK, tmp_path_factory.mktemp("dist"))
    except ValueError as missing:
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(str(missing))


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(archive).extractall(folder)
    return folder / archive.stem


class Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.found += [named[key] for key in ("href", "src") if named.get(key)]


def gone(folder: Path, links: list[str]) -> list[str]:
    """Relative links that lead to no file."""
    local = [link.partition("#")[0] for link in links if "://" not in link]
    return [link for link in local if link and not (folder / unquote(link)).exists()]


def test_it_holds_every_notebook_and_what_runs_them(unpacked):
    for py in BOOK.chapters() + BOOK.pages():
        below = py.relative_to(BOOK.source).with_suffix(".ipynb")
        assert (unpacked / "notebooks" / below).exists()
        if py.parent.name == "solutions":
            assert (unpacked / "notebooks" / "exercises" / below.name).exists()
    assert len(list((unpacked / "wheels").glob("tailwise-*.whl"))) == 1
    for name in ("slides.html", "constraints.txt", "LICENSE", "site/searchindex.js"):
        assert (unpacked / name).exists()
    assert not (unpacked / "site/404.html").exists()
    kept = {path.name for path in (unpacked / "cache").iterdir()}
    assert kept == {"one.safetensors", "one.sha256"}


def test_the_start_page_sets_what_the_room_needs(unpacked):
    start = (unpacked / "START_HERE.html").read_text("utf-8")
    for name, on_unix, on_windows in (
        ("TAILWISE_PROFILE", "laptop", "laptop"),
        ("TAILWISE_RESULTS", '"$PWD/results"', r"%CD%\results"),
        ("TAILWISE_CACHE", '"$PWD/cache"', r"%CD%\cache"),
    ):
        assert f"{name}={on_unix}" in start
        assert f"set {name}={on_windows}\n" in start
    for py in BOOK.chapters():
        if py.parent.name in bundle.FOLDERS:
            assert f"<code>{py.parent.name}/{py.stem}.ipynb</code>" in start
    assert "<code>scoreboard.ipynb</code>" in start
    assert "site/book/workshop/half_day.html" in start
    assert "CPU wheels" in start
    assert "http" not in start


def test_links_of_the_start_page_and_of_the_notebooks_lead_somewhere(unpacked):
    start = Links((unpacked / "START_HERE.html").read_text("utf-8")).found
    assert len(start) >= 9
    assert gone(unpacked, start) == []
    for path in (unpacked / "notebooks").rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        assert gone(path.parent, re.findall(r"\]\(([^)\s]+)\)", text)) == [], path.name
    slides = Links((unpacked / "notebooks/workshop/index.md").read_text("utf-8")).found
    assert "../../slides.html" in slides
    assert gone(unpacked / "notebooks" / "workshop", slides) == []
    assert gone(unpacked, ["nothing.html#here", "https://example.org"]) == [
        "nothing.html"
    ]


def test_the_same_inputs_give_the_same_archive(archive, tmp_path):
    again = bundle.bundle(BOOK, tmp_path)
    first, second = (hashlib.sha256(p.read_bytes()) for p in (archive, again))
    assert first.hexdigest() == second.hexdigest()


def without_network() -> list[str]:
    """The command that takes a process off every network, or a skip."""
    for command in (["unshare", "-n"], ["unshare", "-rn"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*command, "true"], capture_output=True).returncode
        ):
            return command
    pytest.skip("unshare -n is not permitted here")


@pytest.mark.parametrize(
    ("name", "profile", "found"),
    [
        ("scoreboard", "laptop", "claims of the papers"),
        ("chapters/1_loss_weighting", "smoke", "smoke run, not a verdict"),
    ],
)
def test_a_notebook_runs_from_the_wheel_without_a_network(
    unpacked, tmp_path, name, profile, found
):
    command = without_network()
    (wheel,) = (unpacked / "wheels").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "package")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "package")}
    env["TAILWISE_PROFILE"] = profile
    env.pop("TAILWISE_RESULTS", None)
    notebook = unpacked / "notebooks" / f"{name}.ipynb"
    run = [*command, sys.executable, "-c", RUN, notebook, tmp_path / "k", found]
    done = subprocess.run(run, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "FOUND"


# Packing, on files that are thrown away.


def test_entries_are_sorted_and_carry_one_time(tmp_path):
    path = tmp_path / "dist" / "a.zip"
    bundle.pack({"b": b"2", "a/c": b"1"}, "a-1", path)
    entries = zipfile.ZipFile(path).infolist()
    assert [entry.filename for entry in entries] == ["a-1/a/c", "a-1/b"]
    assert {entry.date_time for entry in entries} == {bundle.TIME}


def test_a_failure_leaves_the_last_archive(tmp_path):
    path = tmp_path / "a.zip"
    bundle.pack({"a": b"1"}, "a-1", path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        bundle.pack({"a": b"1", "b": None}, "a-1", path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_site_that_is_not_built_is_refused(tmp_path):
    with pytest.raises(ValueError, match="make html"):
        bundle.contents(Book(tmp_path, "laptop"), tmp_path / "x.whl")


def test_what_pins_the_versions_is_in_it(tmp_path, monkeypatch):
    """Without it a room installs whatever is new that day."""
    monkeypatch.setattr(bundle, "is_built", lambda book: True)
    for name in ("_build/html/index.html", f"_build/stage/book/{bundle.SLIDES}"):
        write(tmp_path / name, name)
    write(tmp_path / "_build/stage/book/workshop/index.md", "")
    for name in ("constraints.txt", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    wheel = tmp_path / "tailwise-0-py3-none-any.whl"
    write(wheel, "")
    held = bundle.contents(Book(tmp_path, "laptop"), wheel)
    assert held["constraints.txt"] == (ROOT / "constraints.txt").read_bytes()
    assert b"-c constraints.txt" in held["START_HERE.html"]
