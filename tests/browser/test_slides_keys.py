"""The slides by keyboard, in a real browser without a network."""

import re
from types import SimpleNamespace

import pytest
from looks import PHONE, violations

from tools.book.layout import ROOT, Book
from tools.site import slides

BOOK = Book(ROOT, "laptop")
SCREEN = {"width": 1280, "height": 720}
MODES = {
    "light": {"viewport": SCREEN, "color_scheme": "light"},
    "dark": {"viewport": SCREEN, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True},
}
SHOWN = """() => [...document.querySelectorAll("section")].flatMap((section, i) =>
  section.getClientRects().length ? [i + 1] : [])"""
MISFIT = """() => {
  const section = document.querySelector("section.shown");
  const foot = document.querySelector("nav").getBoundingClientRect().top;
  const bottoms = [...section.children].map((e) => e.getBoundingClientRect().bottom);
  const fits =
    Math.max(...bottoms) <= foot &&
    section.scrollHeight <= innerHeight &&
    section.scrollWidth <= innerWidth;
  return fits ? null : section.querySelector("h1, h2").textContent;
}"""
# All slides at once: an audit of each alone would take minutes.
ALL = "section { display: flex !important; height: auto !important; }"


@pytest.fixture(scope="module")
def deck() -> str:
    return slides.deck(BOOK, BOOK.source)


@pytest.fixture(scope="module")
def url(deck, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("slides") / "slides.html"
    path.write_text(deck, "utf-8")
    return path.as_uri()


def leafed(browser, url: str, mode: str) -> SimpleNamespace:
    """Go through all slides: those that do not fit, and other faults."""
    context = browser.new_context(offline=True, **MODES[mode])
    page, found = context.new_page(), SimpleNamespace(misfits=[], faults=[])
    page.on("pageerror", lambda error: found.faults.append(str(error)))
    page.on(
        "request",
        lambda r: r.url.startswith(("file:", "data:")) or found.faults.append(r.url),
    )
    page.goto(url, wait_until="load")
    found.visible = page.evaluate(SHOWN)
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > page.viewport_size["width"]:
        found.faults.append(f"{wide} px wide")
    for number in range(page.locator("section").count()) if mode != "phone" else ():
        if (title := page.evaluate(MISFIT)) is not None:
            found.misfits.append(f"slide {number + 1}, {title}")
        page.keyboard.press("ArrowRight")
    page.add_style_tag(content=ALL)
    found.faults += violations(page)
    context.close()
    return found


@pytest.mark.parametrize("mode", MODES)
def test_slides_fit_and_have_no_fault(browser, url, deck, mode):
    found = leafed(browser, url, mode)
    assert found.misfits == found.faults == []
    last = deck.count("<section")
    assert found.visible == ([*range(1, last + 1)] if mode == "phone" else [1])


def test_without_scripts_all_slides_are_shown(visiting, url, deck):
    with visiting(url, java_script_enabled=False) as page:
        assert page.locator("section:visible").count() == deck.count("<section")


def test_arrow_keys_lead_through_the_slides(visiting, url, deck):
    kinds = re.findall(r"<section( class='(?:title|part)'[^>]*)?>", deck)
    _, first, second, *_ = (n for n, kind in enumerate(kinds, start=1) if kind)
    last = len(kinds)
    with visiting(url, offline=True, viewport=SCREEN) as page:
        for key, number in (
            ("Home", 1),
            ("ArrowRight", 2),
            ("ArrowLeft", 1),
            ("ArrowLeft", 1),
            ("ArrowDown", first),
            ("ArrowDown", second),
            ("ArrowUp", first),
            ("End", last),
            ("ArrowRight", last),
            ("ArrowDown", last),
            ("Home", 1),
        ):
            page.keyboard.press(key)
            assert page.evaluate(SHOWN) == [number], key


def test_an_address_leads_to_a_chapter(visiting, url):
    with visiting(f"{url}#ch2", offline=True, viewport=SCREEN) as page:
        assert page.locator("section.shown .where").first.text_content() == "Chapter 2"


def test_planted_faults_are_found(browser, deck, tmp_path):
    rows = "".join(f"<p>line {number}</p>" for number in range(40))
    planted = f"""<main>
<section><h2>Too long</h2>{rows}</section>
<section><h2>No text</h2><img src='http://outside.invalid/a.gif'></section>
<script>throw new Error('planted')</script>
</main>"""
    before, _, rest = deck.partition("<main>")
    path = tmp_path / "slides.html"
    path.write_text(before + planted + rest.partition("</main>")[2], "utf-8")
    found = leafed(browser, path.as_uri(), "light")
    assert found.misfits[0] == "slide 1, Too long"
    for what in ("image-alt", "outside.invalid", "planted"):
        assert any(what in fault for fault in found.faults), what
