"""Figures open larger, by a tap and by keyboard, and say so to a screen reader."""

import pytest
from built import HTML, give_up
from looks import MODES, READY, violations

BUILT = HTML / "book" / "chapters" / "1_loss_weighting.html"
SIZES = """() => {
  const width = (e) => e && e.getBoundingClientRect().width;
  return [width(document.querySelector(".cell_output img")),
          width(document.querySelector("dialog[open] img"))];
}"""


@pytest.fixture
def page(visiting, request):
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    with visiting(BUILT.as_uri(), offline=True, **MODES[request.param]) as page:
        page.evaluate(READY)
        yield page


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_tap_makes_labels_readable(page):
    page.locator("button.enlarge").first.tap()
    small, large = page.evaluate(SIZES)
    assert large > 2 * small  # a label of five pixels becomes one of more than ten
    page.locator("dialog.enlarged img").tap(position={"x": 5, "y": 5})
    assert not page.locator("dialog.enlarged").is_visible()


@pytest.mark.parametrize("page", MODES, indirect=True)
def test_keys_open_and_close_it(page):
    first = page.locator("button.enlarge").first
    alt = first.locator("img").get_attribute("alt")
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.enlarged")
    assert dialog.is_visible()
    assert dialog.locator("img").get_attribute("alt") == alt
    assert violations(page, "dialog.enlarged") == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.className") == "enlarge"


def test_without_scripts_figures_are_figures(visiting):
    with visiting(BUILT.as_uri(), java_script_enabled=False) as page:
        assert page.locator(".cell_output img").first.is_visible()
        assert page.locator("button.enlarge").count() == 0
