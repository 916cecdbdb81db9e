"""The slides as a file: what they are made of, and that they need no network."""

import re
from html.parser import HTMLParser

import nbformat
import pytest

from tailwise.ledger import claims
from tools.book.layout import ROOT, Book
from tools.site import slides

BOOK = Book(ROOT, "laptop")
MADE = [
    key
    for key in claims.chapters()
    if (BOOK.source / f"{claims.load(key).page}.ipynb").exists()
]


class Page(HTMLParser):
    """Pictures, and addresses that a browser would fetch by itself."""

    def __init__(self, text: str):
        super().__init__()
        self.pictures, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.pictures.append(attrs)
        if tag != "a":
            named = (attrs.get(key) or "" for key in ("src", "href", "srcset", "data"))
            self.fetched += [link for link in named if link]


@pytest.fixture(scope="module")
def deck() -> str:
    return slides.deck(BOOK, BOOK.source)


def outside(text: str) -> list[str]:
    """What the page would fetch from elsewhere."""
    found = [link for link in Page(text).fetched if not link.startswith("data:")]
    return found + re.findall(r"(?:url\(|@import)[^;]*", text)


def test_nothing_is_fetched(deck):
    assert outside(deck) == []
    assert outside("<script src='a.js'></script><style>a { b: url(x) }</style>") == [
        "a.js",
        "url(x) }</style>",
    ]


def test_every_picture_has_a_text(deck):
    pictures = Page(deck).pictures
    assert len(pictures) == len(MADE)
    assert all(len(picture["alt"]) > 40 for picture in pictures)


@pytest.mark.parametrize("key", MADE)
def test_every_claim_is_shown_with_the_verdict_of_the_record(deck, key):
    record = claims.recorded(key, "laptop")
    for id, claim in claims.load(key).claims.items():
        row = re.search(rf"<tr><td>{re.escape(slides.inline(claim.says))}.*", deck)
        verdict = record.verdicts[id] if record else "not recorded yet"
        assert f">{verdict}</span>" in row[0]


def test_the_second_slide_says_what_the_verdicts_mean(deck):
    shown = deck.split("<section")[2]
    assert "record" in shown
    assert re.findall(r"<th scope='row'><span [^>]*>([^<]+)</span>", shown) == [
        "reproduced",
        "not reproduced",
        "mixed",
        "undecided",
        "not testable here",
    ]
    assert "&lt;" not in deck


def test_a_second_run_makes_the_same_page(deck):
    assert slides.deck(BOOK, BOOK.source) == deck


def test_formulas_that_need_a_typesetter_are_refused():
    assert slides.inline(r"$\gamma_c$ & **x**") == "<i>γ<sub>c</sub></i> &amp; <b>x</b>"
    with pytest.raises(ValueError, match=r"cannot show the formula"):
        slides.inline(r"$\frac12$")


def notebook(*cells: str):
    made = [nbformat.v4.new_markdown_cell(text) for text in cells]
    return nbformat.v4.new_notebook(cells=made)


@pytest.mark.parametrize("part", [slides.finding, slides.figure])
def test_a_chapter_without_what_a_slide_needs_is_refused(part):
    with pytest.raises(ValueError, match="a chapter without"):
        part(notebook("# Nine\n\nWords."))


def test_two_questions_are_not_three():
    page = "## 1 · One\n\n### Three questions\n\n1. What?\n2. Why?\n"
    with pytest.raises(ValueError, match=r"method 1: 2 questions"):
        slides.questions(page)
    three = slides.questions(page + "3. When?\n\n### Pilot\n\n1. Not a question.\n")
    assert three == {"1": ["What?", "Why?", "When?"]}


def test_pages_keep_the_order_and_the_limit():
    pages = slides._pages(list(range(1, 8)), lambda item: item, 9)
    assert pages == [[1, 2, 3], [4, 5], [6], [7]]


def test_pages_are_as_few_as_fit_and_about_equally_full():
    heights = [1.0] * 7
    assert list(map(len, slides._pages(heights, float, 6))) == [4, 3]
    assert list(map(len, slides._pages(heights[:6], float, 6))) == [6]
    long_one = [20.0, 3.0, 3.0, 3.0]
    assert slides._pages(long_one, float, 6) == [[20.0], [3.0, 3.0], [3.0]]
    assert sum(slides._pages([3.0, 1.0, 2.5], float, 4), []) == [3.0, 1.0, 2.5]
