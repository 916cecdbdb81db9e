"""A chapter holds its reader: the first figure comes early, at any width."""

import re

import pytest
from built import HTML, give_up
from looks import PHONE, READY

from tailwise.ledger import claims
from tools.book.layout import ROOT

CHAPTERS = sorted(path.stem for path in (ROOT / "book" / "chapters").glob("*.py"))
DESK = {"width": 1400, "height": 900}
# Screens to scroll before the figure begins.
VIEWS = {"desk": (DESK, 1.5), "phone": (PHONE, 2.5)}
TOP = """() => {
  const top = (e) => e.getBoundingClientRect().top + scrollY;
  const all = (selector) => [...document.querySelectorAll(`.bd-article ${selector}`)];
  const pictures = all(".cell_output img, .cell_output svg[role=img]").filter(
    (e) => e.getBoundingClientRect().height > 60);
  return {
    picture: top(pictures[0]),
    carrying: top(all("table.carrying")[0]),
    folded: [...document.querySelectorAll("table.claims:not(.carrying)")].map(
      (table) => Boolean(table.closest("details:not([open])"))),
  };
}"""


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize("view", VIEWS)
def test_the_first_figure_comes_early(visiting, name, view):
    page_file = HTML / "book" / "chapters" / f"{name}.html"
    if not page_file.exists():
        give_up(f"not here: {page_file} (make html)")
    size, screens = VIEWS[view]
    with visiting(page_file.as_uri(), viewport=size, offline=True) as page:
        page.evaluate(READY)
        found = page.evaluate(TOP)
    assert found["picture"] <= screens * size["height"]
    assert found["picture"] < found["carrying"]
    assert found["folded"][0], "the table of all claims keeps a reader from the chapter"


@pytest.mark.parametrize("name", CHAPTERS)
def test_at_most_four_claims_stand_before_the_fold(name):
    page_file = HTML / "book" / "chapters" / f"{name}.html"
    if not page_file.exists():
        give_up(f"not here: {page_file} (make html)")
    text = page_file.read_text("utf-8")
    shown = re.search(r"<table class='claims carrying'>.*?</table>", text, re.S)[0]
    stated = claims.load(f"ch{name[0]}")
    assert re.findall(r"href='#([\w.]+)'", shown) == [c.id for c in stated.carrying]
    assert 1 <= len(stated.carrying) <= claims.CARRYING
