"""The slides by keyboard, in a real browser without a network."""

import re

import driver
import pytest

from tools.book.layout import ROOT, Book
from tools.site import slides

BOOK = Book(ROOT, "laptop")


def drive(path, keys: list[str]) -> dict:
    """What `slides.mjs` saw."""
    return driver.run("slides.mjs", path, given=keys)


@pytest.fixture(scope="module")
def page() -> str:
    return slides.deck(BOOK, BOOK.source)


@pytest.fixture(scope="module")
def parts(page) -> list[int]:
    """Numbers of the slides that open a chapter, the title among them."""
    kinds = re.findall(r"<section( class='(?:title|part)')?>", page)
    return [number for number, kind in enumerate(kinds, start=1) if kind]


@pytest.fixture(scope="module")
def last(page) -> int:
    return page.count("<section")


@pytest.fixture(scope="module")
def visit(page, tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("slides") / "slides.html"
    path.write_text(page, "utf-8")
    keys = ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowDown"]
    return drive(path, [*keys, "ArrowUp", "End", "ArrowRight", "ArrowDown", "Home"])


def test_arrow_keys_lead_through_the_slides(visit, parts, last):
    first, second = parts[1], parts[2]
    wanted = [1, 2, 1, 1, first, second, first, last, last, last, 1]
    assert visit["shown"] == [[number] for number in wanted]


def test_every_slide_fits_the_screen(visit):
    assert visit["misfits"] == []


def test_no_fault_in_any_mode(visit):
    assert visit["faults"] == []


def test_a_phone_and_a_page_without_scripts_show_all_slides(visit, last):
    everything = list(range(1, last + 1))
    assert visit["visible"]["phone"] == visit["visible"]["still"] == everything


def test_planted_faults_are_found(tmp_path):
    rows = "".join(f"<p>line {number}</p>" for number in range(40))
    planted = (
        slides.slide("Here", "Too long", rows)
        + slides.slide("Here", "No text", "<img src='http://outside.invalid/a.gif'>")
        + "<script>throw new Error('planted')</script>"
    )
    page = slides.TEMPLATE.read_text("utf-8").replace("<!-- slides -->", planted)
    path = tmp_path / "slides.html"
    path.write_text(page, "utf-8")
    visit = drive(path, [])
    assert [m for m in visit["misfits"] if m.startswith("light: slide 1, Too long")]
    for what in ("image-alt", "outside.invalid", "planted"):
        assert any(what in fault for fault in visit["faults"]), what
