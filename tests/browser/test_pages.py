"""Every page in a real browser: in light, in dark, and at the width of a phone."""

import os
import re

import looks
import pytest
from built import HTML, give_up
from looks import MODES, built_pages, look, served

from tools.book.layout import ROOT

PAGES = re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
# With all that it loads: as it is, and as it travels, its text compressed.
HEAVIEST = {"raw": 1e6, "sent": 0.55e6}


@pytest.fixture(scope="class")
def seen(browser, request):
    """Look at a page of the book in the mode of a class."""
    if not (HTML / "searchindex.js").exists():
        give_up(f"not here: {HTML} (make html)")
    context = browser.new_context(**MODES[request.cls.mode])
    with served(HTML) as origin:
        addresses = built_pages(HTML)
        yield lambda name: look(context, origin, addresses[name], request.cls.mode)
    context.close()


class Pages:
    """All pages in one mode; a class each, so that two processes can share them."""

    mode: str

    @pytest.mark.parametrize("page", PAGES)
    def test_page_is_light_and_has_no_fault(self, seen, page):
        found = seen(page)
        assert not found["faults"], "\n".join(found["faults"])
        weight = {kind: found[kind] for kind in HEAVIEST}
        print(f"{page}: {weight}")
        assert all(weight[kind] <= most for kind, most in HEAVIEST.items()), weight

    def test_search_finds_chapter_1(self, seen):
        found = seen("search")
        assert not found["faults"], "\n".join(found["faults"])
        assert "/book/chapters/1_loss_weighting.html" in found["found"]


class TestLight(Pages):
    mode = "light"


class TestDark(Pages):
    mode = "dark"


class TestPhone(Pages):
    mode = "phone"


FAULTY = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>faulty</title><main>
<h1>Planted</h1> <script>console.error("planted")</script>
<img src="http://outside.invalid/a.gif" alt="a picture from elsewhere">
<img src="dot.svg" alt="../_images/dot.svg">
<p style="color: #aaa; background: #fff">too pale</p>
<p style="width: 2000px">too wide</p>
<pre style="overflow: auto; width: 99px" tabindex="0">a line that does not fit</pre>
<span class="math">$x$</span>
"""


@pytest.mark.parametrize("mode", MODES)
def test_planted_faults_are_found(tmp_path, browser, mode):
    """Each check can fail; else a page without faults would say nothing."""
    dot = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
    (tmp_path / "faulty.html").write_text(FAULTY, "utf-8")
    (tmp_path / "dot.svg").write_text(dot, "utf-8")
    context = browser.new_context(**MODES[mode])
    with served(tmp_path) as origin:
        found = look(context, origin, "/faulty.html", mode)["faults"]
    context.close()
    cut = set() if mode == "phone" else {"code or formula cut off"}
    assert {line.partition(":")[0] for line in found} == cut | {
        "accessibility",
        "console error",
        "image without alt text",
        "formula not drawn",
        "request that leaves the book",
        "wider than the window",
    }
    assert any("color-contrast" in line for line in found)


ALIKE = """<!doctype html><html lang="en"><title>alike</title><main><h1>Alike</h1>
<style>b { color: #767676; font-weight: 400 }</style>
<p hidden><b class="pale">not shown</b></p>
<p>{many}</p>
<p style="background: #eee"><b id="on-grey">on grey</b></p>
<p style="opacity: .8"><span><b id="seen-through">seen through</b></span></p>
<p>{many} <b id="pale" style="color: #999">pale</b> {many}</p>
<p><b class="pale" style="color: #888; font-size: 30px">large</b></p>
<p><b id="small" style="color: #888">small</b></p>
"""


@pytest.mark.parametrize(("most", "expected"), [(looks.ALIKE, 9), (1000, 156)])
def test_one_of_many_that_look_alike_stands_for_them(
    browser, monkeypatch, most, expected
):
    """Contrast is asked of a few, and every other look is found as in all."""
    monkeypatch.setattr(looks, "ALIKE", most)
    page = browser.new_page()
    page.set_content(ALIKE.replace("{many}", "<b>fine</b> " * 50))
    found = looks.violations(page)
    asked = page.locator("[data-represents]").count()
    page.close()
    pale = [line.split(": ")[1] for line in found if "color-contrast" in line]
    assert sorted(pale) == ["#on-grey", "#pale", "#seen-through", "#small"]
    assert asked == expected


def test_what_a_page_loads_is_weighed(tmp_path, browser):
    page = b'<!doctype html><script src="a.js"></script><img src="a.png" alt="noise">'
    files = {"a.html": page, "a.js": b"/" * 400_000, "a.png": os.urandom(700_000)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    context = browser.new_context()
    with served(tmp_path) as origin:
        found = look(context, origin, "/a.html", "light")
    context.close()
    assert found["raw"] == sum(map(len, files.values())) > HEAVIEST["raw"]
    assert HEAVIEST["sent"] < len(files["a.png"]) < found["sent"] < 702_000
