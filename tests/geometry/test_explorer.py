"""The explorer of chapter 5 as a piece of a page; `tests/browser` runs it."""

import json
import re
from html.parser import HTMLParser

import pytest
from IPython.display import HTML

from tailwise.geometry import sweep
from tailwise.geometry.explorer import PANELS, ROWS, explorer, page
from tailwise.geometry.seli import step_blocks


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.met = []
        self.feed(page())

    def handle_starttag(self, tag, attrs):
        self.met.append((tag, dict(attrs)))


def test_page_asks_nothing_of_the_network():
    text = page()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\bimport\b|fetch|eval\(", text)
    for _, attributes in Tags().met:
        assert not {"src", "href"} & set(attributes)


def test_page_can_be_shown_twice():
    """No names that two of them on a page would share, and small."""
    assert not any("id" in attributes for _, attributes in Tags().met)
    text = page()
    assert text == page()
    assert len(text.encode()) < 16_000
    assert text.count("<script>") == text.count("</script>") == 1


def test_a_table_needs_no_script():
    cells = re.findall(r'data-is="(\w+)\.(\w+)">([^<]+)<', page())
    assert len(cells) == 12
    W, H = step_blocks(5, 5, 10, 0, "ldt")
    columns = {"W": W, "H": H, "ETF": step_blocks(5, 5, 1, 0, "ldt")[0]}
    for column, row, text in cells:
        value = getattr(columns[column], ROWS[row][1]).item()
        # Three decimals of a cosine, three digits of a ratio.
        assert float(text.replace("−", "-")) == pytest.approx(value, rel=5e-3, abs=5e-4)


def test_the_marks_are_those_of_the_file():
    (found,) = re.findall(r"const MARKS = (.*);", page())
    found = json.loads(found)
    cells = sweep.marks(figure=3, what="ratio2")
    assert sum(len(v) for of_loss in found.values() for v in of_loss.values()) == len(
        cells
    )
    for cell in cells.itertuples():
        models = dict(zip(PANELS, found[cell.loss][f"{cell.gamma:g}"]))
        assert models[cell.panel] == cell.value


def test_explorer_ends_a_cell():
    shown = explorer()
    assert isinstance(shown, HTML)
    assert shown.data == page()
