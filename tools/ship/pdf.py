"""Print the whole book as one PDF from the site as it was built last.

python -m tools.ship.pdf      writes dist/tailwise-<version>.pdf, whole or not at all

Its pages are those of the EPUB, each on a new sheet. Chromium prints them, with an
outline: the one that $CHROMIUM names, or else one on the path.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

from bs4 import BeautifulSoup

from tools.book.layout import Book, project, write
from tools.ship.epub import STYLE, contents

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
PRINTED = """\
@page { size: A4; margin: 18mm 16mm;
  @bottom-center { content: counter(page); font: 8pt sans-serif; } }
body { font: 10pt/1.4 sans-serif; }
body > section { break-before: page; }
h1, h2, h3, h4 { break-after: avoid; }
img, svg, tr, pre { break-inside: avoid; }
td, th, pre, code { overflow-wrap: anywhere; }
"""


def sheets(held: dict[str, bytes], title: str) -> str:
    """The pages of an EPUB as one in HTML, in their order; links stay inside it."""

    def opened(file: str) -> BeautifulSoup:
        return BeautifulSoup(held[f"OEBPS/{file}"], "html.parser")

    listed = opened("nav.xhtml").nav
    files = [link["href"] for link in listed.find_all("a")]
    pages = [listed]
    for file in files:
        page = opened(file).body
        for tag in page.find_all(id=True):
            if not tag.find_parent("svg"):  # which names its own parts
                tag["id"] = _place(file, tag["id"])
        page.name, page["id"] = "section", _place(file)
        pages.append(page)
    for link in (link for page in pages for link in page.find_all("a", href=True)):
        file, _, anchor = link["href"].partition("#")
        if file in files:
            link["href"] = f"#{_place(file, anchor)}"
    text = "\n".join(map(str, pages))
    head = f"<meta charset='utf-8'><title>{title}</title>"
    head += "<link rel='stylesheet' href='formulas/formulas.css'>"
    head += f"<style>{STYLE}{PRINTED}</style>"
    return f"<!DOCTYPE html><html lang='en'><head>{head}</head>{text}</html>"


def _place(file: str, anchor: str = "") -> str:
    return "-".join(filter(None, [PurePosixPath(file).stem, anchor]))


def browser() -> str:
    """A browser that prints; a ValueError if there is none."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), ""
    )
    if not shutil.which(found):
        raise ValueError(
            f"no browser to print with: CHROMIUM is {found or 'not set'}, and none of "
            f"{', '.join(BROWSERS)} is on the path"
        )
    return found


def printed(text: str, files: dict[str, bytes]) -> bytes:
    """A page in HTML, with the files that it names by path, as a PDF.

    Raises
    ------
    ValueError
        If the browser is not there or does not print.
    """
    with tempfile.TemporaryDirectory() as folder:
        page, made = Path(folder, "book.html"), Path(folder, "book.pdf")
        write(page, text)
        for name, content in files.items():
            write(page.parent / name, content)
        command = [browser(), *FLAGS, "--generate-pdf-document-outline"]
        command += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True)
        if not made.exists():
            raise ValueError(f"the browser did not print: {done.stderr[-500:]}")
        return made.read_bytes()


def main() -> int:
    book = Book.here()
    path = book.root / "dist" / f"tailwise-{project(book.root)['version']}.pdf"
    try:
        held = contents(book)
        files = {name.removeprefix("OEBPS/"): held[name] for name in held}
        write(path, printed(sheets(held, "Tailwise"), files))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the book as a PDF: {path} ({path.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
