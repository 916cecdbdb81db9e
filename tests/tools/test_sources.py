"""The guide's sentences have numbered sources, and each says what the record says."""

import re

import jupytext
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tailwise.matrix.run import Record, recorded
from tailwise.matrix.statements import SPAN, parse
from tools.book.layout import ROOT
from tools.site.sources import number_sources, words

KNOWN = Record(
    "laptop",
    {},
    {"here": {"title": "rare & odd"}},
    {
        "here": {
            "CE": {"balanced": [0.5, 0.6, 0.7]},
            "LA": {"balanced": [0.6, 0.7, 0.81]},
        }
    },
)
GAIN, LEVEL = "`here · LA − CE · balanced > 0.05`", "`here · CE · balanced ~ 0.6`"


def test_a_statement_is_told_in_words():
    assert words(parse(GAIN)[0], KNOWN) == (
        "rare &amp; odd: LA less plain training, balanced +0.103 ± 0.014, above 0.05"
    )
    assert words(parse(LEVEL)[0], KNOWN) == (
        "rare &amp; odd: plain training, balanced 0.600 ± 0.248, "
        "not distinguishable from 0.6"
    )


def test_sentences_get_numbers_and_the_page_a_list():
    cells = [
        new_markdown_cell(f"- It helps. {GAIN} {LEVEL}\n- Again. {GAIN}"),
        new_markdown_cell(
            "How to read the code.", metadata={"tags": ["notebook-only"]}
        ),
        new_markdown_cell("## The calls\n\n`not.a.statement`"),
    ]
    made = new_notebook(cells=cells)
    number_sources(made, KNOWN)
    text, listed, calls = (cell.source for cell in made.cells)
    assert re.sub(r"<[^>]+>", "", text) == "- It helps.[1, 2]\n- Again.[1]"
    assert calls.endswith("`not.a.statement`")
    assert re.findall(r"<li id='source-(\d)'>rare", listed) == ["1", "2"]
    for n in "12":
        assert text.count(f"id='cites-{n}'") == 1
        assert listed.count(f"href='#cites-{n}'") == 1


@pytest.mark.parametrize("name", ["decision_guide", "transfer_matrix"])
def test_every_statement_of_the_page_is_a_source(name):
    made = jupytext.read(ROOT / "book" / f"{name}.py")
    shown = [c for c in made.cells if "notebook-only" not in c.metadata.get("tags", ())]
    stated = [
        span
        for cell in shown
        if cell.cell_type == "markdown"
        for span in SPAN.findall(cell.source)
    ]
    number_sources(made, recorded())
    prose = "\n".join(c.source for c in made.cells if c.cell_type == "markdown")
    assert not SPAN.search(prose)
    assert prose.count("<li id='source-") == len(set(stated)) > 5
