"""The book as one EPUB: well-formed, whole, and the same each time."""

import posixpath
import re
import zipfile
from io import BytesIO
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from tools.book.layout import ROOT, Book, write

epub = pytest.importorskip("tools.ship.epub")
BOOK = Book(ROOT, "laptop")
XHTML = "{http://www.w3.org/1999/xhtml}"
MATHML = "{http://www.w3.org/1998/Math/MathML}"
OPF = "{http://www.idpf.org/2007/opf}"


def opened(held: dict[str, bytes]) -> dict[str, ElementTree.Element]:
    """The pages of an EPUB by file name, as XML."""
    return {
        posixpath.basename(name): ElementTree.fromstring(content)
        for name, content in held.items()
        if name.endswith(".xhtml")
    }


def faults(held: dict[str, bytes]) -> list[str]:
    """What a reader would trip over: files, links, anchors, texts of figures."""
    pages, found = opened(held), []
    ids = {file: [t.get("id") for t in page.iter()] for file, page in pages.items()}
    for file, page in pages.items():
        named = [id for id in ids[file] if id]
        found += [f"{file}: id {id} twice" for id in set(named) if named.count(id) > 1]
        found += [f"{file}: a script" for _ in page.iter(f"{XHTML}script")]
        for image in page.iter(f"{XHTML}img"):
            if f"OEBPS/{image.get('src')}" not in held or image.get("alt") is None:
                found.append(f"{file}: image {image.get('src')}")
        for link in page.iter(f"{XHTML}a"):
            target, _, anchor = link.get("href", "").partition("#")
            if re.match("[a-z]+:", target):
                continue
            if (target or file) not in ids:
                found.append(f"{file}: link to {target}")
            elif anchor and unquote(anchor) not in ids[target or file]:
                found.append(f"{file}: link to {target}#{anchor}")
    package = ElementTree.fromstring(held["OEBPS/package.opf"])
    listed = {item.get("href") for item in package.iter(f"{OPF}item")}
    there = {name.removeprefix("OEBPS/") for name in held if "OEBPS" in name}
    return found + [f"listed or there: {n}" for n in listed ^ there - {"package.opf"}]


def test_the_site_becomes_a_whole_book(html):
    held = epub.assemble(BOOK, html)
    assert faults(held) == []
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [entry.file for entry in epub.entries(toc)]
    assert len(files) == len(set(files)) == len(opened(held)) - 1
    contents = opened(held)["nav.xhtml"]
    assert [link.get("href") for link in contents.iter(f"{XHTML}a")] == files
    chapter = held["OEBPS/chapters_1_loss_weighting.xhtml"].decode()
    assert chapter.count("<math ") > 20
    assert "\\(" not in chapter


# The rules, on a site that is thrown away.

PAGE = """<html><body><nav>no</nav><article class="bd-article"><section id="one">
<h1>One<a class="headerlink" href="#one">#</a></h1>
<p id="a b">With <br> and <span class="math"><math><semantics><mfrac>
<mn>1</mn><mn>2</mn></mfrac><mspace width="1em"/><annotation>\\tfrac12</annotation>
</semantics></math></span>.</p>
<details><summary>More</summary><p>Folded.</p></details>
<p><a href="two.html#there">a</a> <a href="two.html#gone">b</a>
<a href="../_static/slides.html">c</a> <a href="https://example.org/">d</a></p>
<button><img src="../_images/x.webp" alt="a line" width="3"></button>
<details class="hide"><summary><span class="collapsed">Show code cell source</span>
<span class="expanded">Hide it</span></summary><pre>code</pre></details>
<form><input required></form><script>run()</script>
<p><ul><li>x</li></ul></p>
<table border="1"><tr><td halign="left">1</td></tr></table>
</section></article></body></html>"""
OTHER = "<article class='bd-article'><h1 id='there'>Two</h1></article>"


@pytest.fixture
def site(tmp_path):
    write(tmp_path / "book/one.html", PAGE)
    write(tmp_path / "book/two.html", OTHER)
    write(tmp_path / "_images/x.webp", b"")
    Image.new("RGB", (3, 2), "red").save(tmp_path / "_images/x.webp", lossless=True)
    return tmp_path


def test_a_page_keeps_what_can_be_read(site):
    entries = [epub.Entry("", "book/one"), epub.Entry("", "book/two")]
    reader = epub.Reader(site, entries, "https://here.invalid/a/")
    title, text, properties = reader.page("book/one.html")
    assert (title, properties) == ("One", {"mathml"})
    page = ElementTree.fromstring(text)
    assert [link.get("href") for link in page.iter("a")] == [
        "two.xhtml#there",
        "two.xhtml",
        "https://here.invalid/a/_static/slides.html",
        "https://example.org/",
    ]
    (image,) = page.iter("img")
    assert image.attrib == {"src": "images/x.png", "alt": "a line"}
    (picture,) = (Image.open(BytesIO(p)) for p in reader.images.values())
    assert (picture.format, picture.getpixel((2, 1))) == ("PNG", (255, 0, 0))
    (formula,) = page.iter(f"{MATHML}math")
    assert formula.attrib == {"alttext": r"\tfrac12"}
    (space,) = page.iter(f"{MATHML}mspace")
    assert space.get("width") == "1em"
    told = " ".join("".join(page.itertext()).split())
    assert "MoreFolded." in told
    assert "code" in told
    assert not [word for word in ("run()", "Show code", "Hide it") if word in told]
    for gone in (
        "<form",
        "border=",
        "a b",
        "<details",
        "<button",
        "<p><ul",
        "halign",
        "\\(",
    ):
        assert gone not in text


def test_the_archive_says_what_it_is():
    held = {"b": b"2", "a": b"1"}
    packed = epub.pack(held)
    assert packed == epub.pack(dict(reversed(held.items())))
    first, *others = zipfile.ZipFile(BytesIO(packed)).infolist()
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert packed[38:58] == b"application/epub+zip"
    assert [entry.filename for entry in others] == ["a", "b"]


def test_a_planted_fault_is_found():
    body = '<html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
    package = '<package xmlns="http://www.idpf.org/2007/opf"><item href="a.xhtml"/>'
    held = {
        "OEBPS/package.opf": f"{package}</package>".encode(),
        "OEBPS/a.xhtml": body.format(
            '<a href="b.xhtml"/><a href="#x"/><img src="y"/><p id="i"/><p id="i"/>'
        ).encode(),
        "OEBPS/c.css": b"",
    }
    assert faults(held) == [
        "a.xhtml: id i twice",
        "a.xhtml: image y",
        "a.xhtml: link to b.xhtml",
        "a.xhtml: link to #x",
        "listed or there: c.css",
    ]


def test_a_site_that_is_not_built_is_refused(tmp_path):
    with pytest.raises(ValueError, match="make html"):
        epub.contents(Book(tmp_path, "laptop"))
