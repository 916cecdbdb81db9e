"""The unpacked bundle read from the disk, with every request to elsewhere refused."""

import shutil
import zipfile

import driver
import pytest

from tools.book.layout import ROOT, Book
from tools.ship import bundle


def drive(folder) -> dict:
    """What `bundle.mjs` saw."""
    return driver.run("bundle.mjs", folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    try:
        archive = bundle.bundle(Book(ROOT, "laptop"), tmp_path_factory.mktemp("dist"))
    except ValueError as missing:
        driver.give_up(str(missing))
    place = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(archive).extractall(place)
    return place / archive.stem


@pytest.fixture(scope="module")
def visit(folder) -> dict:
    return drive(folder)


def test_nothing_is_asked_of_a_network(visit):
    assert visit["outside"] == []
    assert visit["errors"] == []


def test_pages_and_formulas_are_read(visit):
    assert all(visit["titles"])
    assert visit["titles"][0] == "Tailwise: start here"
    assert visit["formulas"] > 20


def test_search_finds_chapter_1(visit):
    assert any("chapters/1_loss_weighting.html" in url for url in visit["results"])


def test_a_planted_request_is_found(folder, tmp_path):
    harmed = tmp_path / folder.name
    shutil.copytree(folder, harmed)
    page = harmed / "slides.html"
    script = (
        '<img src="https://outside.invalid/a.gif" alt=""><script>planted()</script>'
    )
    page.write_text(page.read_text("utf-8").replace("<main>", f"<main>{script}"))
    visit = drive(harmed)
    assert visit["outside"] == ["https://outside.invalid/a.gif"]
    assert any("planted" in error for error in visit["errors"])
