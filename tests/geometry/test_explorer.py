"""The explorer's JavaScript against Python, and what its page needs."""

import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from IPython.display import HTML

from tailwise.geometry.explorer import ROWS, explorer, page, source
from tailwise.geometry.theory import step_blocks

SETTINGS = list(
    itertools.product(
        [(2, 2), (5, 5), (8, 2), (2, 8), (30, 70)],
        [1, 1.1, 10, 1000],
        [-1.5, -0.35, 0, 0.25, 0.5, 1.5],
        ["ldt", "cdt"],
    )
)


def in_javascript(expression: str) -> list:
    if not (node := shutil.which("node")):
        pytest.skip("not here: node")
    script = f"{source('js')}\nconst given = {json.dumps(SETTINGS)};"
    script += f"\nconsole.log(JSON.stringify({expression}));"
    run = subprocess.run(
        [node, "-"], input=script, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_javascript_equals_python():
    call = "given.map(([k, R, gamma, kind]) => stepBlocks(...k, R, gamma, kind))"
    found = in_javascript(call)
    for (k, ratio, gamma, kind), blocks in zip(SETTINGS, found, strict=True):
        for name, b in zip("WH", step_blocks(*k, ratio, gamma, kind)):
            expected = {
                row: getattr(b, attribute).item()
                for row, (_, attribute) in ROWS.items()
            }
            # Differences of numbers up to a thousand times larger lose three digits.
            assert blocks[name] == pytest.approx(expected, rel=1e-11, abs=1e-12)


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
    assert len(text.encode()) < 12_000
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


def test_explorer_ends_a_cell():
    shown = explorer()
    assert isinstance(shown, HTML)
    assert shown.data == page()
