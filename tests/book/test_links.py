"""Links of the built site, and whether each page is in the table of contents."""

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from built import ADDRESS, Page, pages_of

from tools.book.layout import ROOT, project, repository


def broken_links(html: Path) -> list[str]:
    """Links within the site that lead to no file, or to no anchor in it."""
    pages = pages_of(html)
    broken = []
    for name, linking in pages.items():
        for link in linking.links:
            url = urlsplit(urljoin(ADDRESS + name, link))
            target = unquote(url.path).removeprefix(urlsplit(ADDRESS).path).lstrip("/")
            if url.netloc != urlsplit(ADDRESS).netloc:
                continue
            if not (html / target).is_file():
                broken.append(f"{name}: {link}: no such file")
                continue
            # The slides are a page among the assets.
            is_asset = target.endswith(".html") and target not in pages
            page = Page(html / target) if is_asset else pages.get(target)
            anchors = page.anchors if page else set()
            if url.fragment and unquote(url.fragment) not in anchors:
                broken.append(f"{name}: {link}: no such anchor")
    return broken


def contents(root: Path) -> set[str]:
    """The documents that _toc.yml names, without their extension."""
    toc = (root / "_toc.yml").read_text("utf-8")
    return set(re.findall(r"(?:root|file): (\S+)", toc))


def documents(root: Path) -> set[str]:
    """The documents in book/, without their extension."""
    return {
        path.relative_to(root).with_suffix("").as_posix()
        for path in (root / "book").rglob("*")
        if path.suffix in {".md", ".ipynb"} and ".ipynb_checkpoints" not in path.parts
    }


def test_no_broken_link(html):
    broken = broken_links(html)
    assert not broken, "\n".join(broken)


def test_contents_and_documents_agree():
    stray, missing = documents(ROOT) - contents(ROOT), contents(ROOT) - documents(ROOT)
    assert not stray, f"outside the table of contents: {sorted(stray)}"
    assert not missing, f"in the table of contents only: {sorted(missing)}"


def test_every_notebook_opens_in_colab(html):
    colab = f"https://colab.research.google.com/github/{repository(ROOT)}/blob/main/"
    notebooks = [name for name in contents(ROOT) if (ROOT / f"{name}.ipynb").exists()]
    pages = pages_of(html)
    assert notebooks
    for name in notebooks:
        assert f"{colab}{name}.ipynb" in pages[f"{name}.html"].links


def test_links_into_the_repository_name_its_files(html):
    address = re.compile(rf"github(?:\.com)?/{repository(ROOT)}/\w+/main/([^?#]+)")
    links = {link for page in pages_of(html).values() for link in page.links}
    named = {unquote(match[1]) for link in links if (match := address.search(link))}
    gone = [name for name in sorted(named) if not (ROOT / name).exists()]
    assert not gone, "\n".join(gone)


def test_footer_states_the_version(html):
    footer = (html / "book" / "index.html").read_text("utf-8")
    assert f"Tailwise {project(ROOT)['version']}, built on " in footer


def test_planted_links_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<meta http-equiv="Refresh" content="0; url=gone.html">'
        '<a href="a/b.html#here">good</a> <a href="a/b.html#there">bad</a>'
    )
    (tmp_path / "a" / "b.html").write_text(
        '<p id="here"><a href="../index.html">good</a> <img src="none.png">'
        '<a href="https://example.org/gone">not ours to check</a>'
    )
    assert sorted(broken_links(tmp_path)) == [
        "a/b.html: none.png: no such file",
        "index.html: a/b.html#there: no such anchor",
        "index.html: gone.html: no such file",
    ]


def test_planted_page_is_outside_the_contents(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    for name in ("index.md", "stray.md", "index.py"):
        (tmp_path / "book" / name).touch()
    assert documents(tmp_path) - contents(tmp_path) == {"book/stray"}
