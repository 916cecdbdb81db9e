"""What machines and careful readers find: citations, structured data, a site map."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from built import ADDRESS

from tools.book.layout import ROOT, project
from tools.site.machines import contents

TOC = (ROOT / "_toc.yml").read_text("utf-8")
PAGES = re.findall(r"(?:root|file): (\S+)", TOC)
DATA = re.compile(r'<script type="application/ld\+json">(.*?)</script>', re.S)
CITATION = re.compile(r'<pre tabindex="0">(@misc.*?)</pre>', re.S)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_how_to_cite_and_edit_it(html, name):
    text = (html / f"{name}.html").read_text("utf-8")
    fields = dict(
        re.findall(r"^  (\w+) += \{(.+)\},?$", CITATION.search(text)[1], re.M)
    )
    assert fields["url"] == f"{ADDRESS}{name}.html"
    assert project(ROOT)["version"] in fields["howpublished"]
    assert len(fields["title"]) > 3
    source = name.replace("book/exercises/", "book/chapters/")  # where they are stated
    assert re.search(rf'href="[^"]+/edit/main/{source}\.(md|py)"', text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_structured_data(html, name):
    data = json.loads(DATA.search((html / f"{name}.html").read_text("utf-8"))[1])
    assert data["url"] == f"{ADDRESS}{name}.html"
    assert ("Chapter" in data["@type"]) == ("/chapters/" in name)
    assert data["isPartOf"]["version"] == project(ROOT)["version"]


def test_site_map_and_guide_list_every_page(html):
    tree = ET.parse(html / "sitemap.xml")
    urls = [node.text for node in tree.iter() if node.tag.endswith("loc")]
    assert urls == [f"{ADDRESS}{name}.html" for name in PAGES]
    assert f"{ADDRESS}sitemap.xml" in (html / "robots.txt").read_text("utf-8")
    guide = (html / "llms.txt").read_text("utf-8")
    links = re.findall(r"\]\((\S+\.html)\)", guide)
    assert links == urls
    assert (html / "_static" / "claims.json").exists()


def test_contents_are_read_with_their_sections():
    toc = {
        "root": "a",
        "parts": [
            {"chapters": [{"file": "b"}]},
            {"caption": "C", "chapters": [{"file": "c", "sections": [{"file": "d"}]}]},
        ],
    }
    assert contents(toc) == {"Start": ["a", "b"], "C": ["c", "d"]}
