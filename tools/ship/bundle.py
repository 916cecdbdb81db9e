"""Pack the book into one archive for a room without a network.

python -m tools.ship.bundle      writes dist/tailwise-<version>.zip, whole or not at all

It holds the site as it was built last, the notebooks with the exercises, the networks
that were trained for them, the slides, the package as a wheel, the pins and a page that
says how to start. The same inputs give the same archive: entries are sorted and carry
one fixed time.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tools.book.layout import TEMPLATES, Book, project, write
from tools.book.stage import is_built, runnable

TIME = (2020, 1, 1, 0, 0, 0)  # of every entry; any fixed one would do
FOLDERS = ("chapters", "solutions", "exercises")
SLIDES = "_static/slides.html"
HIDE = (
    b"<style>.dropdown-launch-buttons, .dropdown-source-buttons, .page-tools > a, "
    b'.online, #in-colab, a[href="#in-colab"], tr:has(a[href*="/releases"]) '
    b"{ display: none !important; }</style>"
)


def _files(folder: Path, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Files below a folder with their paths in it; hidden ones are left out."""
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        wanted = not suffixes or path.suffix in suffixes
        if path.is_file() and wanted and not hidden:
            yield below.as_posix(), path


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the package's wheel with hatchling, which needs no network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"the wheel was not built:\n{done.stdout}{done.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def start_page(version: str, wheel: str, notebooks: list[str]) -> str:
    """The page to open first, with a row for each chapter."""
    import torch

    from tailwise.ledger import claims
    from tailwise.templates import render

    chapters = []
    for chapter in map(claims.load, claims.chapters()):
        name = chapter.page.partition("/")[2]
        paths = {f"{folder}/{name}.ipynb" for folder in FOLDERS} & set(notebooks)
        chapters.append((chapter, sorted(paths)))
    return render(
        "start_here.html",
        *TEMPLATES,
        version=version,
        wheel=wheel,
        release=torch.__version__.partition("+")[0],
        chapters=chapters,
    )


def offline(page: bytes) -> bytes:
    """Hide what leads out of a room without a network: buttons, downloads, Colab."""
    return page.replace(b"</head>", HIDE + b"</head>", 1)


def contents(book: Book, wheel: Path) -> dict[str, bytes]:
    """What the archive holds, by path in its one folder.

    Raises
    ------
    ValueError
        If the site has not been built since its sources changed.
    """
    from tailwise.training import cache

    site, stage = book.build / "html", book.build / "stage" / "book"
    if not is_built(book):
        raise ValueError(f"not here, or older than its sources: {site} (make html)")
    # The page for unknown addresses links from the root of a host.
    held = {f"site/{name}": path for name, path in _files(site) if name != "404.html"}
    pages = dict(_files(stage, (".ipynb", ".md")))
    pages |= dict(_files(runnable(book) / "book", (".ipynb",)))
    held |= {f"notebooks/{name}": path for name, path in pages.items()}
    pictures = _files(book.source / "_static", (".png",))
    held |= {f"notebooks/_static/{name}": path for name, path in pictures}
    trained = _files(cache.folder(), (".safetensors", ".sha256"))
    held |= {f"cache/{name}": path for name, path in trained if "/" not in name}
    held["slides.html"] = stage / SLIDES
    held[f"wheels/{wheel.name}"] = wheel
    held |= {name: book.root / name for name in ("constraints.txt", "LICENSE")}
    read = {name: path.read_bytes() for name, path in held.items()}
    for name in read:
        if name.startswith("site/") and name.endswith(".html"):
            read[name] = offline(read[name])
    workshop = "notebooks/workshop/index.md"
    read[workshop] = read[workshop].replace(SLIDES.encode(), b"slides.html")
    version = project(book.root)["version"]
    page = start_page(version, wheel.name, sorted(pages))
    return read | {"START_HERE.html": page.encode()}


def pack(held: dict[str, bytes], folder: str, path: Path) -> None:
    """Write an archive with one folder in it, whole or not at all."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(held):
            entry = zipfile.ZipInfo(f"{folder}/{name}", TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, held[name])
    write(path, content.getvalue())


def bundle(book: Book, target: Path | None = None) -> Path:
    """Make the archive and return where it lies; dist/ by default."""
    name = f"tailwise-{project(book.root)['version']}"
    path = (target or book.root / "dist") / f"{name}.zip"
    with tempfile.TemporaryDirectory() as folder:
        pack(contents(book, build_wheel(book.root, Path(folder))), name, path)
    return path


def main() -> int:
    try:
        path = bundle(Book.here())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the bundle: {path} ({path.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
