"""Every page in a real browser: in light, in dark, and at the width of a phone."""

import re
from pathlib import Path

import driver
import pytest
from driver import HTML

from tools.book.layout import ROOT

PAGES = re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
MODES = ("light", "dark", "phone")
# Uncompressed, all assets counted: about 2.2 MB on a page with formulas, and figures.
HEAVIEST_PAGE = 4e6


def drive(html: Path) -> dict:
    """What the browser met: page -> mode -> {"faults", "bytes", "found"}."""
    needs = {"the site, make html": html / "searchindex.js"}
    return driver.run("drive.mjs", html=html, needs=needs, seconds=900)


def faults(visit: dict) -> list[str]:
    """One line for each fault, which starts with its kind."""
    kinds = visit["faults"].items()
    return [f"{kind}: {fault}" for kind, found in kinds for fault in found]


@pytest.fixture(scope="module")
def visits() -> dict:
    return drive(HTML)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("page", [*PAGES, "search"])
def test_page_has_no_fault(visits, page, mode):
    assert page in visits, "in the table of contents, but not built"
    found = faults(visits[page][mode])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_light(visits, page):
    assert visits[page]["light"]["bytes"] <= HEAVIEST_PAGE


def test_search_finds_chapter_1(visits):
    assert "/book/chapters/1_loss_weighting.html" in visits["search"]["light"]["found"]


FAULTY = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>faulty</title><main>
<h1>Planted</h1> <script>console.error("planted")</script>
<img src="http://outside.invalid/a.gif" alt="a picture from elsewhere">
<img src="dot.svg" alt="../_images/dot.svg">
<p style="color: #aaa; background: #fff">too pale</p>
<p style="width: 2000px">too wide</p>
<pre style="overflow: auto; width: 99px" tabindex="0">a line that does not fit</pre>
<mjx-merror>an unknown macro</mjx-merror>
"""


def test_planted_faults_are_found(tmp_path):
    """Each check can fail; else a page without faults would say nothing."""
    dot = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
    results = '<div id="search-results"><p class="search-summary">none</p></div>'
    for name, text in {
        "faulty.html": FAULTY,
        "dot.svg": dot,
        "search.html": results,
        "searchindex.js": 'Search.setIndex({"docnames":["faulty"]})',
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
    visits = drive(tmp_path)["faulty"]
    everywhere = {
        "accessibility",
        "console error",
        "image without alt text",
        "maths in error",
        "request that leaves the book",
        "wider than the window",
    }
    for mode in MODES:
        cut = set() if mode == "phone" else {"code or formula cut off"}
        found = faults(visits[mode])
        assert {line.partition(":")[0] for line in found} == everywhere | cut
        assert any("color-contrast" in line for line in found)
