"""Every sentence of the decision guide is backed by a cell of the committed matrix."""

from dataclasses import replace

import jupytext
import pytest

from tailwise.matrix.chart import Branch, Chart, cited
from tailwise.matrix.run import METRICS, Record, recorded
from tailwise.matrix.statements import SPAN, parse
from tools.book.layout import ROOT

PAGES = ("decision_guide.py", "transfer_matrix.py")
AFTER, BEFORE = "## What each step buys and costs", "## The calls"


def prose(name: str) -> str:
    notebook = jupytext.read(ROOT / "book" / name)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n\n".join(cells)


def faults(text: str, record: Record) -> list[str]:
    """What is wrong with the statements of a text."""
    try:
        statements = parse(text)
    except ValueError as error:
        return [str(error)]
    found = []
    for statement in statements:
        try:
            if not statement.holds(record):
                found.append(f"{statement}: measured {statement.measured(record)}")
        except ValueError as error:
            found.append(f"{statement}: {error}")
    return found


def bare_sentences(text: str, *, after: str, before: str) -> list[str]:
    """Lines between two headings that state something without a statement.

    Sources have one sentence a line; headings, tables and HTML state nothing.
    """
    lines = text.splitlines()
    for heading in (after, before):
        assert heading in lines, f"no heading {heading!r} in the text"
    body = lines[lines.index(after) + 1 : lines.index(before)]
    says = [line for line in body if line.strip() and line[0] not in "#|<"]
    return [line for line in says if not SPAN.search(line)]


@pytest.fixture(scope="module")
def record():
    found = recorded()
    assert found is not None, "no transfer.json in book/results"
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_statement_holds_in_the_record(name, record):
    found = faults(prose(name), record)
    assert not found, "\n".join(found)
    assert parse(prose(name))


def test_no_sentence_stands_without_a_statement():
    assert bare_sentences(prose(PAGES[0]), after=AFTER, before=BEFORE) == []


def test_every_world_of_the_record_is_in_the_guide(record):
    named = {statement.world for statement in parse(prose(PAGES[0]))}
    assert named == record.values.keys()


@pytest.mark.parametrize("profile", ["laptop", "full"])
def test_a_record_holds_ten_seeds_or_more_of_every_metric(profile):
    found = recorded(profile)
    for methods in found.values.values():
        counts = set()
        for metrics in methods.values():
            assert metrics.keys() == METRICS.keys()
            counts |= {len(values) for values in metrics.values()}
        assert len(counts) == 1
        assert min(counts) >= 10
    assert found.worlds.keys() == found.values.keys()


# The checks themselves, on a record with known numbers

KNOWN = Record(
    "laptop",
    {},
    {"here": {"title": "here"}},
    {
        "here": {
            "CE": {"balanced": [0.5, 0.6, 0.7], "loss": [1.0, 1.0, 1.0]},
            "LA": {"balanced": [0.6, 0.7, 0.81], "loss": [1.1, 0.9, 1.0]},
        }
    },
)
SOUND = "here · LA − CE · balanced > 0.05"


@pytest.mark.parametrize(
    "text",
    [
        SOUND,
        "here · CE − LA · balanced < -0.05",
        "here · LA − CE · loss ~ 0",
        "here · CE · balanced > 0.3",
        "here · CE − CE · balanced ~ 0",
    ],
)
def test_a_sound_statement_passes(text):
    assert faults(f"It does. `{text}`", KNOWN) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("here · LA − CE · balanced < 0", "measured 0.1"),
        ("here · LA − CE · balanced > 0.2", "measured 0.1"),
        ("here · LA − CE · balanced ~ 0", "measured 0.1"),
        ("here · LA − CE · loss > 0", "measured 0.0"),
        ("there · LA − CE · balanced > 0", "unknown world"),
        ("here · VS − CE · balanced > 0", "unknown method"),
        ("here · LA − CE · recall > 0", "unknown metric"),
        ("here · LA − CE · balanced", "not a statement"),
        ("here · LA - CE > 0", "not a statement"),
        ("here · LA − CE · balanced > none", "not a statement"),
    ],
)
def test_a_planted_fault_is_caught(text, fault):
    (found,) = faults(f"It does. `{text}`", KNOWN)
    assert fault in found


def test_a_planted_fault_in_the_guide_is_caught(record):
    text = prose(PAGES[0])
    good = "`skin · LDT − CE · worst group < 0`"
    assert good in text
    wrong = text.replace(good, good.replace("<", ">"))
    assert len(faults(wrong, record)) == 1
    bare = text.replace(f" {good}", "")
    (sentence,) = bare_sentences(bare, after=AFTER, before=BEFORE)
    assert sentence.startswith("- LDT alone harms")


BRANCH = Branch("Is it rare & odd?", "here · CE · balanced < 0.9", "Try <LA>.", SOUND)


def test_the_chart_cites_its_numbers_in_drawing_and_list():
    chart = Chart((BRANCH,), KNOWN)
    assert "LA: balanced +0.10" in chart.svg()
    assert "balanced with CE: 0.60" in repr(chart)
    assert "Is it rare &amp; odd?" in chart.svg()
    assert "Try &lt;LA&gt;." in chart._repr_html_()


@pytest.mark.parametrize("part", ["seen", "gain"])
def test_an_arrow_without_a_sound_cell_is_an_error(part):
    wrong = replace(BRANCH, **{part: "here · LA − CE · balanced < 0"})
    with pytest.raises(ValueError, match="holds in the record"):
        Chart((wrong,), KNOWN).svg()
    with pytest.raises(ValueError, match="not a statement"):
        cited("a claim · alone", KNOWN)
