"""The built site as a product: images, previews, badges, numbers."""

import csv
import html as entities
import json
import math
import re
import struct
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from built import ADDRESS, pages_of

from tailwise.drawn import COLUMNS, NUMBERS
from tailwise.ledger import claims
from tools.book.layout import ROOT
from tools.site import anchors, cards

CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))


class Images(HTMLParser):
    """The images of a page that have no alternative text."""

    def __init__(self, text: str):
        super().__init__()
        self.silent = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            attrs = dict(attrs)
            if "alt" not in attrs:
                self.silent.append(attrs.get("src", ""))


def silent_images(root: Path) -> list[str]:
    """Images without a text in the pages and Markdown files below a folder."""
    found = []
    for path in sorted([*root.rglob("*.html"), *root.rglob("*.md")]):
        if "_static" in path.parts or "node_modules" in path.parts:
            continue
        text = path.read_text("utf-8")
        silent = Images(text).silent
        if path.suffix == ".md":
            silent += re.findall(r"!\[\s*\]\(([^)]*)\)", text)
        found += [f"{path.relative_to(root)}: {source}" for source in silent]
    return found


def test_every_image_has_a_text(html):
    assert silent_images(html) == []
    assert silent_images(ROOT / "book") == []
    readme = (ROOT / "README.md").read_text("utf-8")
    assert Images(readme).silent + re.findall(r"!\[\s*\]\(", readme) == []


def test_planted_images_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<img src="a.png"><img src="b.png" alt="">')
    (tmp_path / "b.md").write_text('![](c.png) ![a line](d.png) <img src="e.png">')
    assert silent_images(tmp_path) == ["a.html: a.png", "b.md: e.png", "b.md: c.png"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_notebook_that_is_downloaded_runs_in_its_order(html, path):
    """Its page shows the cells in another one."""
    downloaded = html / "_sources" / path.relative_to(ROOT)
    sources = [
        [cell.source for cell in nbformat.read(file, as_version=4).cells]
        for file in (downloaded, path)
    ]
    assert sources[0] == sources[1]


FIGURE = re.compile(r'src="[./]*_images/[0-9a-f]{40,}\.webp"')
DATA = re.compile(r"href='([^']+\.csv)' download")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_links_its_data(html, path):
    page = (html / path.relative_to(ROOT)).with_suffix(".html")
    text = page.read_text("utf-8")
    links = DATA.findall(text)
    if not links:
        pytest.skip("recorded before figures carried their data: make record")
    assert len(links) == len(set(links)) == len(FIGURE.findall(text))
    for link in links:
        with (page.parent / link).open(encoding="utf-8") as file:
            rows = [*csv.DictReader(file)]
        assert tuple(rows[0]) == COLUMNS
        assert all(row["panel"] and row["kind"] and row["series"] for row in rows)
        numbers = (row[name] for row in rows for name in NUMBERS if row[name])
        assert all(map(math.isfinite, map(float, numbers))), link


# What others show of a link

META = re.compile(r'<meta (?=[^>]*content=")(?=[^>]*(?:property|name)=")[^>]*>')


def meta(text: str) -> dict[str, str]:
    """Names and contents of the meta elements of a page."""
    tags = (dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in META.findall(text))
    pairs = ((tag.get("property", tag.get("name")), tag["content"]) for tag in tags)
    return {key: entities.unescape(value) for key, value in pairs}


def test_every_page_tells_others_what_it_is(html):
    toc = (ROOT / "_toc.yml").read_text("utf-8")
    for name in re.findall(r"(?:root|file): (\S+)", toc):
        facts = meta((html / f"{name}.html").read_text("utf-8"))
        assert facts["og:url"] == f"{ADDRESS}{name}.html"
        assert facts["og:image"] == f"{ADDRESS}_static/preview.png", name
        assert facts["og:site_name"] == "Tailwise"
        assert len(facts["og:title"]) > 5, name
        assert 20 < len(facts["og:description"]) < 300, name
        assert facts["description"] == facts["og:description"], name
        assert facts["twitter:card"] == "summary_large_image", name


def test_a_chapter_tells_others_its_finding(html):
    for card in cards.cards(ROOT / "book"):
        facts = meta((html / "book" / f"{card.page}.html").read_text("utf-8"))
        found = re.sub(r"[*$`]", "", card.finding)
        assert facts["description"] == facts["og:description"] == found


def test_the_preview_has_the_size_that_previews_ask(html):
    picture = (html / "_static" / "preview.png").read_bytes()
    assert picture == (ROOT / "book" / "_static" / "preview.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (1200, 630)
    assert len(picture) < 150e3


def test_the_page_404_can_be_served_for_any_address(html):
    """Its links start at the root of the host; `test_links` follows them."""
    root = urlsplit(ADDRESS).path
    page = pages_of(html)["404.html"]
    inside = [link for link in page.links if "://" not in link and link[0] != "#"]
    assert [link for link in inside if not link.startswith(root)] == []
    assert {f"{root}book/index.html", f"{root}search.html"} <= set(inside)


# Numbers: the pages against the records as they are, without the package


def recorded() -> dict[str, dict]:
    """Of each chapter: its page, verdicts on the paper's claims, minutes."""
    found = {}
    for path in sorted((ROOT / "book" / "claims").glob("ch*.yml")):
        stated = yaml.safe_load(path.read_text("utf-8"))
        record = ROOT / "book" / "results" / "laptop" / f"{path.stem}.json"
        if not (ROOT / "book" / f"{stated['page']}.ipynb").exists():
            continue
        if not record.exists():
            continue
        kept = largest = json.loads(record.read_text("utf-8"))
        full = record.parents[1] / "full" / record.name
        if full.exists():
            largest = json.loads(full.read_text("utf-8"))
        ids = [
            c["id"]
            for c in stated["claims"]
            if c.get("origin", "this paper") == "this paper"
        ]
        found[path.stem] = {
            "page": f"book/{stated['page']}.html",
            "verdicts": Counter(largest["verdicts"][id] for id in ids),
            "minutes": max(1, round(kept["provenance"]["wall_s"] / 60)),
        }
    return found


RECORDED = recorded()


def text_of(fragment: str) -> str:
    return entities.unescape(re.sub(r"<[^>]+>", "", fragment))


def test_the_front_page_counts_as_the_records_do(html):
    front = (html / "book" / "index.html").read_text("utf-8")
    total = sum((facts["verdicts"] for facts in RECORDED.values()), Counter())
    headline = re.search(r"Of (\d+) claims of the papers: ([^.]*)\.", front)
    assert int(headline[1]) == total.total()
    said = {name: int(n) for n, name in re.findall(r"(\d+) ([a-z ]+)", headline[2])}
    assert said == total
    cards = re.findall(r'<div class="sd-card .*?</div>\s*</div>', front, re.DOTALL)
    rows = re.findall(r"<div class='marks-row'>.*?</div>", front)
    *cards, guide = cards
    assert "decision_guide.html" in guide
    assert len(cards) == len(rows) == len(RECORDED)
    for card, row, facts in zip(cards, rows, RECORDED.values()):
        badges = re.findall(r"class='verdict [^']+'>(\d+) ([^<]+)<", card)
        assert {name: int(n) for n, name in badges} == facts["verdicts"]
        assert f"{facts['minutes']} min on a laptop" in text_of(card)
        assert row.count("<span class='verdict ") == facts["verdicts"].total()


def test_the_navigation_shows_what_the_records_say(html):
    for name in ("book/index.html", *(f["page"] for f in RECORDED.values())):
        page = (html / name).read_text("utf-8")
        badges = re.findall(r'<span class="nav-badge"[^>]*>([^<]+)</span>', page)
        assert badges == [
            f"{f['verdicts']['reproduced']}/{f['verdicts'].total()} "
            f"· {f['minutes']} min"
            for f in RECORDED.values()
        ]


@pytest.mark.parametrize("key", RECORDED)
def test_a_chapter_opens_with_its_outcome(html, key):
    page = (html / RECORDED[key]["page"]).read_text("utf-8")
    line = text_of(re.search(r"<p class='chapter-line'>(.*?)</p>", page)[1])
    for verdict, number in RECORDED[key]["verdicts"].items():
        of = f" of {RECORDED[key]['verdicts'].total()}"
        assert f"{number}{of if verdict == 'reproduced' else ''} {verdict}" in line
    assert f"runs {RECORDED[key]['minutes']} min on a laptop" in line


# From a claim to its cell


@pytest.mark.parametrize("key", RECORDED)
def test_every_claim_leads_to_an_anchor_in_its_chapter(html, key):
    board = (html / "book" / "scoreboard.html").read_text("utf-8")
    page = (html / RECORDED[key]["page"]).read_text("utf-8")
    below = RECORDED[key]["page"].removeprefix("book/")
    for id in claims.load(key).claims:
        assert f"href='{below}#{id}'" in board
        assert page.count(f"id='{id}'") == 1
        assert f"<tbody id='{id}'" in board


@pytest.mark.parametrize("key", RECORDED)
def test_every_measured_claim_is_the_tag_of_one_cell(key):
    path = ROOT / "book" / f"{claims.load(key).page}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", ())]
    measured = claims.recorded(key, "laptop").measurements
    entered = [tag for tag in tags if tag.startswith(anchors.TAG)]
    assert sorted(entered) == sorted(anchors.TAG + id for id in measured)
    assert tags.count("outcome") == 1


# Evidence: what the claim files say of a claim stands where the claim stands

SAID = ("where", "source", "paper_value", "credit", "deviations")


def unsaid(stated: dict, told: str) -> list[str]:
    """Facts of the claims of a file that a page's text does not tell."""
    found = []
    for claim in stated["claims"]:
        facts = [str(claim[field]) for field in SAID if claim.get(field)]
        facts += [change["why"] for change in claim.get("changed", ())]
        missing = (fact for fact in facts if " ".join(fact.split()) not in told)
        found += [f"{claim['id']}: {fact}" for fact in missing]
    return found


@pytest.mark.parametrize("key", RECORDED)
@pytest.mark.parametrize("place", ["chapter", "scoreboard"])
def test_a_page_tells_where_a_claim_stands_and_what_differs(html, key, place):
    stated = yaml.safe_load((ROOT / "book" / "claims" / f"{key}.yml").read_text())
    name = RECORDED[key]["page"] if place == "chapter" else "book/scoreboard.html"
    told = " ".join(text_of((html / name).read_text("utf-8")).split())
    assert unsaid(stated, told) == []
    first = next(c for c in stated["claims"] if c.get("deviations"))
    planted = told.replace(" ".join(first["deviations"].split()), "")
    assert f"{first['id']}: {first['deviations']}" in unsaid(stated, planted)
