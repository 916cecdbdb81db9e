"""Lay out what Jupyter Book builds from in _build/stage, and build it if it changed.

python -m tools.book.stage [--executed] [--no-build]

The stage holds the two configuration files and book/, with its computed parts filled
in, and the exercises and slides, which are made here. With --executed each notebook is
this machine's executed one where that is up to date, else the committed one.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.book.layout import Book, fingerprint, write
from tools.site import workshop
from tools.site.dress import dress
from tools.site.lighten import lighten


def lay_out(book: Book, executed: bool) -> Path:
    """Make `_build/stage` anew and return it."""
    stage = book.build / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    # One source for each document: the .py halves stay behind.
    left_behind = shutil.ignore_patterns("*.py", "__pycache__", ".*", "results")
    shutil.copytree(book.source, stage / "book", ignore=left_behind)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(book.root / name, stage / name)
    for py in book.chapters() + book.pages() if executed else []:
        if book.is_current(py):
            below = py.relative_to(book.root).with_suffix(".ipynb")
            shutil.copy(book.executed(py), stage / below)
    workshop.lay_out(book, stage)
    keep_notebooks(book, stage)
    return stage


def keep_notebooks(book: Book, stage: Path) -> None:
    """Keep the notebooks as they run; `dress` changes the order of those of pages."""
    kept = runnable(book)
    shutil.rmtree(kept, ignore_errors=True)
    for path in (stage / "book").rglob("*.ipynb"):
        write(kept / path.relative_to(stage), path.read_bytes())


def runnable(book: Book) -> Path:
    """The folder of the notebooks in the order in which they run."""
    return book.build / "notebooks"


def key(book: Book) -> str:
    """A hash of everything that decides what the HTML is."""
    sources = (book.root / name for name in ("src", "tools", "constraints.txt"))
    return fingerprint(book.build / "stage", *sources)


def is_built(book: Book) -> bool:
    """Whether the HTML belongs to the stage as it is now."""
    index, stamp = book.build / "html" / "index.html", book.build / "html.key"
    return index.exists() and stamp.exists() and stamp.read_text() == key(book)


def build(book: Book) -> int:
    """Build the HTML strictly unless the stage is the one last built."""
    stage, html, stamp = (book.build / name for name in ("stage", "html", "html.key"))
    if not is_built(book):
        # Built beside and moved into place: a failed build leaves the last good book,
        # and no page survives its source. Sphinx's incremental build is not used: it
        # forgets warnings, and leaves old titles in the navigation of other pages.
        site = book.build / "site"
        shutil.rmtree(site, ignore_errors=True)
        command = [Path(sys.executable).with_name("jupyter-book"), "build", stage]
        command += ["--path-output", site, "-W", "-n", "--keep-going", "--quiet"]
        # It finds the book's own extension in the checkout.
        paths = f"{book.root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        own = os.environ | {"PYTHONPATH": paths}
        # Its last words name a folder that is about to move, so they are held back.
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=own)
        if done.returncode:
            print(done.stdout)
            return done.returncode
        # What a reader downloads has to run.
        shutil.copytree(
            runnable(book), site / "_build" / "html" / "_sources", dirs_exist_ok=True
        )
        lighten(site / "_build" / "html")
        shutil.rmtree(html, ignore_errors=True)
        os.replace(site / "_build" / "html", html)
        shutil.rmtree(site)
        write(stamp, key(book))
    print(f"the book: {html / 'index.html'}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executed", action="store_true", help="this machine's runs")
    parser.add_argument("--no-build", action="store_true", help="lay out only")
    options = parser.parse_args(arguments)
    book = Book.here()
    dress(book, lay_out(book, options.executed), options.executed)
    return 0 if options.no_build else build(book)


if __name__ == "__main__":
    sys.exit(main())
