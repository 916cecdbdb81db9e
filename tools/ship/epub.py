"""Make one EPUB of the whole book from the site as it was built last.

python -m tools.ship.epub      writes dist/tailwise-<version>.epub, whole or not at all

Pages come in the order of the contents. What needs a script is left out, folds are
open, formulas are MathML, and links to what is not in the file lead to the site. The
same site gives the same file.
"""

import io
import posixpath
import re
import sys
import uuid
import zipfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from PIL import Image

from tailwise.templates import render
from tools.book.layout import TEMPLATES, Book, project, write
from tools.book.stage import is_built
from tools.ship.bundle import TIME

STYLE = """\
body { line-height: 1.4; }
img { max-width: 100%; }
pre { font-size: 0.8em; white-space: pre-wrap; }
table { border-collapse: collapse; font-size: 0.8em; }
th, td { border-bottom: 1px solid #999; padding: 0.1em 0.3em; text-align: left; }
.provenance, .chapter-line { font-size: 0.8em; }
"""
FORMULAS = ("formulas/formulas.css", "formulas/stix-two-math.woff")
# What a reader of EPUBs cannot use: scripts, controls, links to a heading itself.
UNUSED = (
    "script, style, form, input, output, dialog, iframe, nav, template, noscript, "
    "button:not(:has(img)), a.headerlink, [hidden], summary .expanded, "
    "summary:-soup-contains('Show code cell')"
)
NAMESPACES = {
    "svg": "http://www.w3.org/2000/svg",
    "math": "http://www.w3.org/1998/Math/MathML",
}
INSIDE = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}
OLD = ("align", "halign", "valign", "border", "width", "height", "download")
BLOCKS = ["div", "dl", "ol", "p", "pre", "table", "ul"]


@dataclass(frozen=True)
class Entry:
    """A page of the contents: its part, its document, and its file in the EPUB."""

    part: str
    name: str

    @property
    def file(self) -> str:
        return self.name.removeprefix("book/").replace("/", "_") + ".xhtml"


def entries(toc: dict) -> list[Entry]:
    """The pages of a table of contents in their order."""

    def below(page: dict, part: str) -> list[Entry]:
        rest = page.get("sections", ())
        return [Entry(part, page["file"]), *(e for p in rest for e in below(p, part))]

    found = [Entry("", toc["root"])]
    for part in toc["parts"]:
        for page in part["chapters"]:
            found += below(page, part.get("caption", ""))
    return found


class Reader:
    """What becomes of the pages of a site."""

    def __init__(self, site: Path, contents: list[Entry], address: str) -> None:
        self.site, self.address = site, address
        self.pages = {f"{entry.name}.html": entry for entry in contents}
        self.images: dict[str, bytes] = {}
        self.anchors: dict[str, set[str]] = {}
        self.articles = {name: self._article(name) for name in self.pages}

    def _article(self, name: str) -> Tag:
        text = (self.site / name).read_text("utf-8")
        article = BeautifulSoup(text, "html.parser").select_one("article.bd-article")
        for unused in article.select(UNUSED):
            unused.decompose()
        for fold in article.find_all(["details", "summary", "button"]):
            fold.name = "div"
            fold.attrs = {k: v for k, v in fold.attrs.items() if k in ("id", "class")}
        seen = set()
        for tag in article.find_all(id=True):
            if tag["id"] in seen or not re.fullmatch(r"[A-Za-z_][\w.-]*", tag["id"]):
                del tag["id"]
            else:
                seen.add(tag["id"])
        self.anchors[name] = seen
        return article

    def page(self, name: str) -> tuple[str, str, set[str]]:
        """Title, XHTML and properties of a page."""
        article = self.articles[name]
        for link in article.find_all("a", href=True):
            link["href"] = self._address(name, link["href"])
        for image in article.find_all("img"):
            image["src"] = self._image(name, image["src"])
        for tag in article.find_all(True):
            _modern(tag)
        title = article.find("h1").get_text()
        properties = {t for t in ("svg", "math") if article.find(t)}
        names = {"svg": "svg", "math": "mathml"}
        text = "".join(str(child) for child in article.children)
        return title, text, {names[t] for t in properties}

    def _address(self, name: str, link: str) -> str:
        """Where a link of a page leads in the EPUB, or on the site."""
        url = urlsplit(urljoin(self.address + name, link))
        here = url.geturl().startswith(self.address)
        target = unquote(url.path).removeprefix(urlsplit(self.address).path)
        if not here or target not in self.pages:
            return url.geturl()
        known = unquote(url.fragment) in self.anchors[target]
        return self.pages[target].file + (f"#{url.fragment}" if known else "")

    def _image(self, name: str, source: str) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), source))
        file = f"images/{posixpath.basename(path)}"
        content = (self.site / unquote(path)).read_bytes()
        if file.endswith(".webp"):  # not every reader of EPUBs knows it
            file, made = file.replace(".webp", ".png"), io.BytesIO()
            Image.open(io.BytesIO(content)).save(made, "png")
            content = made.getvalue()
        self.images[file] = content
        return file


def _modern(tag: Tag) -> None:
    """Give a tag the form that XHTML asks for."""
    if tag.name in NAMESPACES:
        tag["xmlns"] = NAMESPACES[tag.name]
    elif tag.name == "p" and tag.find(BLOCKS):
        tag.name = "div"
    if tag.name == "math":
        tag["alttext"] = tag.annotation.extract().get_text()
    foreign = tag.name in NAMESPACES or tag.find_parent([*NAMESPACES])
    for name in list(tag.attrs):
        if name in INSIDE:
            tag[INSIDE[name]] = tag.attrs.pop(name)
        elif name in OLD and not foreign:
            del tag[name]


def contents(book: Book) -> dict[str, bytes]:
    """What the EPUB holds, by path.

    Raises
    ------
    ValueError
        If the site has not been built since its sources changed.
    """
    site = book.build / "html"
    if not is_built(book):
        raise ValueError(f"not here, or older than its sources: {site} (make html)")
    return assemble(book, site)


def assemble(book: Book, site: Path) -> dict[str, bytes]:
    """What an EPUB of a built site holds, by path."""
    config = yaml.safe_load((book.root / "_config.yml").read_text("utf-8"))
    released = yaml.safe_load((book.root / "CITATION.cff").read_text("utf-8"))
    address = config["sphinx"]["config"]["html_baseurl"]
    toc = yaml.safe_load((book.root / "_toc.yml").read_text("utf-8"))
    reader = Reader(site, entries(toc), address)
    pages = []
    held = {"OEBPS/style.css": STYLE.encode()}
    for name in FORMULAS:
        held[f"OEBPS/{name}"] = (site / "_static" / name).read_bytes()
    for name, entry in reader.pages.items():
        title, text, properties = reader.page(name)
        facts = {"title": title, "text": text, "entry": entry}
        pages.append(facts | {"properties": " ".join(sorted(properties))})
        held[f"OEBPS/{entry.file}"] = _drawn("page", **facts)
    held |= {f"OEBPS/{name}": content for name, content in reader.images.items()}
    version = project(book.root)["version"]
    parts = groupby(pages, lambda page: page["entry"].part)
    listed = [(part, [*inside]) for part, inside in parts]
    held["OEBPS/nav.xhtml"] = _drawn("contents", parts=listed)
    held["OEBPS/package.opf"] = _drawn(
        "package",
        pages=pages,
        images=sorted(reader.images),
        title=config["title"],
        author=config["author"],
        id=uuid.uuid5(uuid.NAMESPACE_URL, f"{address}{version}"),
        date=released["date-released"],
        address=address,
    )
    held["META-INF/container.xml"] = _drawn("container")
    return held


def _drawn(kind: str, **facts) -> bytes:
    return render("epub.xml", *TEMPLATES, kind=kind, **facts).encode()


def pack(held: dict[str, bytes]) -> bytes:
    """An EPUB's archive: its first entry says what it is, and is not compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        kind = zipfile.ZipInfo("mimetype", TIME)
        archive.writestr(kind, "application/epub+zip", zipfile.ZIP_STORED)
        for name in sorted(held):
            entry = zipfile.ZipInfo(name, TIME)
            archive.writestr(entry, held[name], zipfile.ZIP_DEFLATED)
    return content.getvalue()


def main() -> int:
    book = Book.here()
    path = book.root / "dist" / f"tailwise-{project(book.root)['version']}.epub"
    try:
        write(path, pack(contents(book)))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the book as one file: {path} ({path.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
