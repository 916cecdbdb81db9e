"""The order of a chapter's page, and the lines that are put under its figures."""

import re
from types import SimpleNamespace

import nbformat
import pytest

from tailwise import matrix
from tailwise.ledger.claims import Chapter, Claim, Measurement, Record
from tools.book.layout import Book
from tools.site import opening, origins
from tools.site.opening import arrange, reading_minutes, sections

ABOUT = dict(where="Table 1", metric="m", kind="at least", bound=0.5, evidence="text")
CLAIMS = {
    id: Claim(id=id, says=f"{id}!", repetition="seed", **ABOUT)
    for id in ("ch9.a", "ch9.b", "ch9.c", "ch9.d", "ch9.e")
}
CHAPTER = Chapter("ch9", "Nine", "Is it so?", {}, "chapters/9_nine", CLAIMS)
RECORD = Record(
    chapter="ch9",
    profile="laptop",
    provenance={"date": "2026-11-27", "device": "CPU", "commit": "abc1234"},
    measurements={"ch9.b": (Measurement(0.6, 0.01, 30), Measurement(0.7, 0.01, 30))},
    verdicts={},
)


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    monkeypatch.setattr(opening.claims, "recorded", lambda *_: RECORD)


def text(source: str):
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *tags: str, figure: bool = False):
    shown = nbformat.v4.new_output("display_data", {"image/png": "…"})
    cell = nbformat.v4.new_code_cell(source, outputs=[shown] if figure else [])
    cell.metadata["tags"] = [*tags]
    return cell


def written() -> list:
    return [
        text("# 9 · Is it so?\n\nAnswer."),
        text("## What you will do\n\nThings."),
        code("import x"),
        text("## The claims\n\nVerdicts."),
        code("box", "run-again-last"),
        text("## The picture\n\nLook."),
        code("prepare"),
        code("draw", figure=True),
        text("Seen.\n\n## The theory\n\nSums."),
        code("draw again", "claim:ch9.b", figure=True),
    ]


def order(cells: list) -> list[str]:
    return [cell.source.split("\n")[0] for cell in cells]


def test_picture_and_claims_come_first_and_nothing_is_lost():
    made = nbformat.v4.new_notebook(cells=written())
    arrange(made, CHAPTER)
    nbformat.validate(made)
    found = order(made.cells)
    assert found == [
        "# 9 · Is it so?",
        "## The picture",
        "draw",
        "prepare",
        "Seen.",
        "## The claims",
        "<div class='claims-box'>",
        "box",
        "## What you will do",
        "import x",
        "## The theory",
        "draw again",
    ]
    by_source = {cell.source: cell for cell in made.cells}
    assert by_source["prepare"].metadata.tags == ["hide-input"]
    assert by_source["box"].metadata.tags == ["run-again-last", "hide-cell"]
    assert by_source["box"].metadata.mystnb.code_prompt_show == "All 5 claims in short"
    assert by_source["draw again"].metadata.tags == ["claim:ch9.b"]


def test_an_order_that_is_good_already_stays():
    cells = written()
    picture = [cells[5], cells[7], cells[6]]
    good = [cells[0], *picture, *cells[3:5], *cells[1:3], *cells[8:]]
    cells = [cell for part in sections(good) for cell in part]
    made = nbformat.v4.new_notebook(cells=good)
    arrange(made, CHAPTER)
    assert [s for s in order(made.cells) if "claims-box" not in s] == order(cells)


def test_a_figure_stays_below_what_leads_to_it():
    cells = written()
    cells.insert(7, text("Now with colours."))
    made = nbformat.v4.new_notebook(cells=cells)
    arrange(made, CHAPTER)
    found = order(made.cells)[1:5]
    assert found == ["## The picture", "prepare", "Now with colours.", "draw"]


def test_a_figure_before_every_heading_stays_there():
    first = [written()[0], code("early", figure=True), *written()[1:]]
    made = nbformat.v4.new_notebook(cells=first)
    arrange(made, CHAPTER)
    assert order(made.cells)[:3] == ["# 9 · Is it so?", "early", "## The claims"]


def test_a_chapter_without_picture_or_claims_is_left_alone():
    cells = [text("# 9"), text("## One"), code("x")]
    made = nbformat.v4.new_notebook(cells=cells)
    arrange(made, CHAPTER)
    assert order(made.cells) == ["# 9", "## One", "x"]


def test_the_first_claims_of_the_paper_carry_a_chapter():
    ids = [claim.id for claim in CHAPTER.carrying]
    assert ids == ["ch9.a", "ch9.b", "ch9.c", "ch9.d"]
    assert "ch9.e!" not in opening.carrying(CHAPTER)
    assert "0.6 ± 0.02" in opening.carrying(CHAPTER)
    assert "needs ≥ 0.5" in opening.carrying(CHAPTER)


def test_where_claims_were_read_stands_below_them():
    said = opening.carrying(CHAPTER)
    assert "claims here were read in: the paper&#39;s text, 5." in said


def test_folds_and_formulas_take_no_reading_time():
    prose = "word " * 2000
    folded = f"<details>{prose}</details>\n\n$${prose}$$"
    made = SimpleNamespace(cells=[text(prose + folded), code("x " * 5000)])
    assert reading_minutes(made) == 10


def test_a_figure_says_which_run_drew_it(tmp_path):
    made = nbformat.v4.new_notebook(cells=written())
    arrange(made, CHAPTER)
    origins.add_origins(made, CHAPTER, RECORD, tmp_path)
    nbformat.validate(made)
    lines = [cell.source for cell in made.cells if "provenance" in cell.source]
    facts = "2026-11-27 · CPU · commit abc1234</p>"
    assert lines == [
        f"<p class='provenance'>laptop profile · {facts}",
        f"<p class='provenance'>laptop profile · 30 × seed · {facts}",
    ]
    assert made.cells[order(made.cells).index("draw") + 1].source == lines[0]


def test_a_figure_links_the_data_that_it_carries(tmp_path):
    cells = written()
    table = "panel,x_axis,y_axis,kind,series,x\na,b,c,line,d,1\n,,,,,2\n"
    figures = [cell for cell in cells if opening.has_figure(cell)]
    figures[1].outputs[0].data["text/csv"] = table
    made = nbformat.v4.new_notebook(cells=cells)
    origins.add_origins(made, CHAPTER, RECORD, tmp_path)
    lines = [cell.source for cell in made.cells if "provenance" in cell.source]
    assert "CSV" not in lines[0]
    link = "<a href='../../_static/figures/ch9_2.csv' download>data (CSV)</a></p>"
    assert lines[1].endswith(f" · {link}")
    kept = tmp_path / "_static" / "figures" / "ch9_2.csv"
    assert kept.read_text() == table.replace(",,,,,2", "a,b,c,line,d,2")
    assert [*kept.parent.iterdir()] == [kept]


def test_without_a_record_nothing_is_said(tmp_path):
    made = nbformat.v4.new_notebook(cells=written())
    origins.add_origins(made, CHAPTER, None, tmp_path)
    assert order(made.cells) == order(written())


CHART = nbformat.v4.new_output("execute_result", {"text/html": "<svg></svg>"})
TABLE = nbformat.v4.new_output("execute_result", {"text/html": "<table></table>"})


@pytest.mark.parametrize("name", origins.PAGES)
def test_a_page_says_of_its_record_what_a_chapter_says_of_its_run(name, tmp_path):
    cells = [code("chart"), code("table"), code("draw", figure=True)]
    cells[0].outputs, cells[1].outputs = [CHART], [TABLE]
    cells[2].outputs[0].data["text/csv"] = "panel,x\na,1\n"
    made = nbformat.v4.new_notebook(cells=cells)
    origins.add_page_origins(Book(tmp_path, "laptop"), made, name, executed=False)
    nbformat.validate(made)
    lines = [cell.source for cell in made.cells if "provenance" in cell.source]
    link = f"href='../_static/figures/{name}_1.csv'"
    assert link in lines[-1]
    if name == "bring_your_own":  # its figures are of the page's own run
        assert order(made.cells)[:3] == ["chart", "table", "draw"]
        return
    assert [order(made.cells).index(said) for said in ("chart", "draw")] == [0, 3]
    run = r"(\w+ profile|recorded study) · [\d to]+ × (seed|draw)"
    facts = rf"<p class='provenance'>{run} · [\d-]+ · CPU.+ · commit \w+"
    assert all(re.match(facts, line) for line in lines)
    if name != "field_trial":
        assert f"{matrix.recorded().profile} profile" in lines[0]
