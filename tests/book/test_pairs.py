"""The two halves of each notebook, and the form of what is committed."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.compare import NotebookDifference, compare_notebooks

from tools.book.layout import ROOT, Book

BOOK = Book(ROOT, "laptop")
PAIRS = BOOK.chapters() + BOOK.pages()


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def read(path: Path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


MOST_LINES = 256  # 14 of them install the package in Colab


def code_cells(notebook) -> list:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if cell.source.strip()]


def tags_of(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def is_story(cell) -> bool:
    """Whether a cell is prose, whose verdicts are those of its run."""
    return "story" in tags_of(cell)


def pair_faults(py: Path) -> list[str]:
    """Where the halves differ in code, text, tags or figure texts."""
    text, notebook = jupytext.read(py), read(py)
    try:
        compare_notebooks(notebook, text, fmt="py:percent", compare_outputs=False)
    except (NotebookDifference, AssertionError) as difference:
        return [f"the halves differ: {difference}"]
    return [
        f"cell {number}: {key} is {ours.metadata.get(key)} in the .py half and "
        f"{theirs.metadata.get(key)} in the .ipynb half"
        for number, (ours, theirs) in enumerate(zip(text.cells, notebook.cells))
        for key in ("tags", "mystnb")
        if ours.metadata.get(key) != theirs.metadata.get(key)
    ]


def output_faults(py: Path) -> list[str]:
    """Cells that were not run in order: nbval checks no output of such a cell."""
    faults = []
    for number, cell in enumerate(code_cells(read(py)), start=1):
        tags = cell.metadata.get("tags", [])
        checked = "nbval-check-output" in tags or "NBVAL_CHECK_OUTPUT" in cell.source
        if cell.execution_count != number:
            kind = "checked code cell" if checked else "code cell"
            faults.append(f"{kind} {number} has the count {cell.execution_count}")
        elif checked and not cell.outputs:
            faults.append(f"checked code cell {number} has no output to check")
    return faults


def figure_faults(py: Path) -> list[str]:
    """Figures without a text for those who do not see them."""
    return [
        f"code cell {number} draws a figure without mystnb.image.alt"
        for number, cell in enumerate(code_cells(read(py)), start=1)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
        and not cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
    ]


def size_faults(py: Path) -> list[str]:
    """Lines too wide for the page, and a file too large for a repository."""
    faults = []
    size = py.with_suffix(".ipynb").stat().st_size / 1e6
    if size > 1.5:
        faults.append(f"the .ipynb half has {size:.1f} MB, at most 1.5 are allowed")
    for number, cell in enumerate(code_cells(read(py)), start=1):
        widest = max(map(len, cell.source.splitlines()))
        if widest > 72 and not is_story(cell):
            faults.append(f"code cell {number} has a line of {widest} columns")
    return faults


def words(notebook) -> int:
    """Words of the main line: without folds, code, formulas, tags and addresses."""
    prose = "\n\n".join(
        c.source for c in notebook.cells if c.cell_type == "markdown" or is_story(c)
    )
    for markup in (
        r"<details>.*?</details>",
        r"```.*?```",
        r"\$\$.*?\$\$",
        r"\$[^$\n]+\$",
        r"<[^>]+>",
        r"\]\([^)]*\)",
    ):
        prose = re.sub(markup, " ", prose, flags=re.DOTALL)
    return sum(any(map(str.isalpha, word)) for word in prose.split())


def chapter_faults(py: Path) -> list[str]:
    """A chapter's length in cells, lines and words."""
    notebook = read(py)
    cells = [cell for cell in code_cells(notebook) if not is_story(cell)]
    lines = [line for cell in cells for line in cell.source.splitlines()]
    measured = {
        "code cells": (len(cells), 20, 35),
        "lines of code": (sum(bool(line.strip()) for line in lines), 0, MOST_LINES),
        "words": (words(notebook), 2000, 2800),
    }
    return [
        f"{count} {what}, not {low} to {high}"
        for what, (count, low, high) in measured.items()
        if not low <= count <= high
    ]


def faults(py: Path) -> list[str]:
    """Everything wrong with a pair."""
    if not py.with_suffix(".ipynb").exists():
        return ["the .ipynb half is missing: make sync"]
    checks = [pair_faults, output_faults, figure_faults, size_faults]
    if py.parent.name == "chapters":
        checks.append(chapter_faults)
    return [fault for check in checks for fault in check(py)]


@pytest.mark.parametrize("py", PAIRS, ids=names(PAIRS))
def test_notebook(py):
    found = faults(py)
    assert not found, "\n".join(found)


def test_no_notebook_without_its_py_half():
    notebooks = {path.with_suffix(".py") for path in BOOK.source.rglob("*.ipynb")}
    made = {".ipynb_checkpoints", "exercises"}  # those from the solutions
    found = {path for path in notebooks if not made & set(path.parts)}
    assert names(sorted(found - set(PAIRS))) == []


# The checks themselves, on a pair with one fault each.

PAIR = """\
# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# Words.

# %% tags=["nbval-check-output"]
1 + 1

# %% mystnb={"image": {"alt": "a line"}}
plot()
"""


@pytest.fixture
def pair(tmp_path) -> Path:
    py = tmp_path / "1_tiny.py"
    py.write_text(PAIR)
    notebook = jupytext.read(py)
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "2"})
    figure = nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0K"})
    for number, (cell, output) in enumerate(
        zip(code_cells(notebook), (result, figure)), start=1
    ):
        cell.execution_count, cell.outputs = number, [output]
    nbformat.write(notebook, py.with_suffix(".ipynb"))
    return py


def edit_py(py: Path, old: str, new: str) -> None:
    assert old in PAIR
    py.write_text(PAIR.replace(old, new))


def edit_ipynb(py: Path, **changes) -> None:
    """Change the first code cell, or the last if `last` is given."""
    notebook = read(py)
    cell = code_cells(notebook)[-1 if changes.pop("last", False) else 0]
    cell.update(changes)
    nbformat.write(notebook, py.with_suffix(".ipynb"))


def test_a_sound_pair_passes(pair):
    assert faults(pair) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1 + 1", "1 + 2"),
        ("Words.", "Other words."),
        ("nbval-check-output", "nbval-skip"),
        (' tags=["nbval-check-output"]', ""),
        ("a line", "a curve"),
        ("plot()", "plot()\n\n# %%\nx = 1"),
    ],
)
def test_an_edited_half_is_caught(pair, old, new):
    edit_py(pair, old, new)
    assert len(pair_faults(pair)) == 1


def test_a_missing_half_is_caught(pair):
    pair.with_suffix(".ipynb").unlink()
    assert faults(pair) == ["the .ipynb half is missing: make sync"]


def test_a_checked_cell_without_a_count_is_caught(pair):
    edit_ipynb(pair, execution_count=None)
    assert faults(pair) == ["checked code cell 1 has the count None"]


def test_a_comment_also_makes_a_cell_checked(pair):
    edit_ipynb(pair, source="# NBVAL_CHECK_OUTPUT\n1 + 1", metadata={}, outputs=[])
    assert output_faults(pair) == ["checked code cell 1 has no output to check"]


def test_cells_run_out_of_order_are_caught(pair):
    edit_ipynb(pair, execution_count=3)
    assert faults(pair) == ["checked code cell 1 has the count 3"]


def test_a_figure_without_a_text_is_caught(pair):
    edit_ipynb(pair, last=True, metadata={"mystnb": {"image": {"width": "50%"}}})
    assert figure_faults(pair) == [
        "code cell 2 draws a figure without mystnb.image.alt"
    ]


def test_wide_code_is_caught(pair):
    edit_ipynb(pair, source=f"x = '{'a' * 66}'\ny = '{'a' * 67}'")
    assert size_faults(pair) == ["code cell 1 has a line of 73 columns"]


def test_a_large_notebook_is_caught(pair):
    text = {"text/plain": "x" * 1_600_000}
    output = nbformat.v4.new_output("execute_result", data=text)
    edit_ipynb(pair, outputs=[output])
    assert size_faults(pair) == ["the .ipynb half has 1.6 MB, at most 1.5 are allowed"]


def test_a_chapter_of_the_wrong_length_is_caught(pair):
    assert chapter_faults(pair) == [
        "2 code cells, not 20 to 35",
        "1 words, not 2000 to 2800",
    ]
    edit_ipynb(pair, source="x = 1\n\n" * 256)
    assert "257 lines of code, not 0 to 256" in chapter_faults(pair)


def test_words_are_counted_without_markup_and_folds():
    text = (
        "Two words, $x + y$ and $$\nz\n$$ more [link text](https://example.org/a)."
        "\n\n```python\ncode = 1\n```\n\n<br>\n\n| a | 1 |\n| --- | --- |"
    )
    text += "\n\n<details><summary>More</summary>\n\nFolded.\n\n</details>"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    counted = ["Two", "words,", "and", "more", "[link", "text", "a"]
    assert words(notebook) == len(counted)
