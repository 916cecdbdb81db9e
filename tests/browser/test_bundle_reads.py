"""The unpacked bundle read from the disk, with every request to elsewhere refused."""

import shutil
import zipfile
from types import SimpleNamespace

import pytest
from built import CONFIG, give_up
from looks import DESKTOP, READY

from tools.book.layout import ROOT, Book
from tools.ship import bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    try:
        archive = bundle.bundle(Book(ROOT, "laptop"), tmp_path_factory.mktemp("dist"))
    except ValueError as missing:
        give_up(str(missing))
    place = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(archive).extractall(place)
    return place / archive.stem


def read(browser, folder) -> SimpleNamespace:
    """Follow the start page, a chapter and a search; note requests and errors."""
    base = f"{folder.as_uri()}/"
    seen = SimpleNamespace(outside=[], errors=[], titles=[])

    def gate(route) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            seen.outside.append(route.request.url)
            route.abort()

    context = browser.new_context(viewport=DESKTOP)
    context.route("**/*", gate)
    page = context.new_page()
    page.on("pageerror", lambda error: seen.errors.append(str(error)))

    def visit(path: str) -> None:
        page.goto(base + path, wait_until="load")
        page.evaluate(READY)
        seen.titles.append(page.title())

    visit("START_HERE.html")
    links = page.locator("a[href$='.html']")
    for link in links.evaluate_all("all => all.map((a) => a.getAttribute('href'))"):
        visit(link)
    visit("site/book/chapters/1_loss_weighting.html")
    seen.formulas = page.locator(".math > math").count()
    visit("site/search.html?q=effective+dimension")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    page.wait_for_selector("#search-results .search-summary:not(:empty)")
    seen.results = results.evaluate_all("all => all.map((a) => a.href)")
    results.first.click()
    page.wait_for_load_state("load")
    seen.titles.append(page.title())
    context.close()
    return seen


def test_it_reads_without_a_network(browser, folder):
    seen = read(browser, folder)
    assert seen.outside == seen.errors == []
    assert all(seen.titles)
    assert seen.titles[0] == "Tailwise: start here"
    assert seen.formulas > 20
    assert any("chapters/1_loss_weighting.html" in url for url in seen.results)


REPOSITORY = CONFIG["repository"]["url"]
ONLINE = f"a[href^='{REPOSITORY}'], a[href*='colab.research'], .online"


@pytest.mark.parametrize(
    "name", ["index", "workshop/index", "chapters/1_loss_weighting", "changelog"]
)
def test_nothing_on_its_pages_leads_out_of_the_room(visiting, folder, name):
    with visiting(f"{folder.as_uri()}/site/book/{name}.html", viewport=DESKTOP) as page:
        assert page.locator(ONLINE).count() > 0
        shown = page.locator(f":is({ONLINE}):visible")
        assert shown.evaluate_all("all => all.map((a) => a.outerHTML)") == []


def test_a_planted_request_is_found(browser, folder, tmp_path):
    harmed = tmp_path / folder.name
    shutil.copytree(folder, harmed)
    page = harmed / "slides.html"
    script = (
        '<img src="https://outside.invalid/a.gif" alt=""><script>planted()</script>'
    )
    page.write_text(page.read_text("utf-8").replace("<main>", f"<main>{script}"))
    seen = read(browser, harmed)
    assert seen.outside == ["https://outside.invalid/a.gif"]
    assert any("planted" in error for error in seen.errors)
