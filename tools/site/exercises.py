"""Make exercise notebooks of the solutions, so that each task is stated once.

`make sync` writes them to book/exercises, where Colab finds them.

A notebook keeps the set-up of the solutions and has for each exercise the task as the
chapter states it, and an empty cell before each cell of checks: those of the solution
with the tag ``exercise-check``. Their comments say which names the checks read and what
each holds, so that they are a contract and not a guess, and which functions may help;
the empty cell repeats them.
"""

import re

from tools.book.layout import Book, dumps

HEADING = re.compile(r"## (\d+) · ")
TASKS = re.compile(r"^### Exercises\n(.*?)(?=^\[Solutions\]|\Z)", re.M | re.S)
QUIZ = re.compile(r"^### Quiz\n(.*?)(?=^<details>|\Z)", re.M | re.S)
TASK = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", re.M | re.S)
NOTE = re.compile(r"^# (?:(?:May help|Checks read):|-) .+\n", re.M)
STUB = "# Your code here.\n"
CHECK = "exercise-check"
TITLE = """\
# Exercises to chapter {number}

The text is in [chapter {number}](../chapters/{name}.ipynb); solved, they are in \
[solutions](../solutions/{name}.ipynb).

Run the set-up first, in your Jupyter or in Colab, which the rocket button opens.
A cell with checks fails until the cell above it has your code.
Its names are one way to hold the results; change them as you like."""


def tasks(chapter, under: re.Pattern = TASKS) -> dict[int, str]:
    """The numbered list under "Exercises", or "Quiz", at the end of a chapter."""
    prose = "\n\n".join(c.source for c in chapter.cells if c.cell_type == "markdown")
    if not (found := under.search(prose)):
        return {}
    return {int(number): " ".join(t.split()) for number, t in TASK.findall(found[1])}


def split(solutions) -> tuple[list, dict[int, list]]:
    """The cells before the first exercise, and those of each exercise."""
    set_up, exercises = [], {}
    cells = set_up
    for cell in solutions.cells:
        if cell.cell_type == "markdown" and (found := HEADING.match(cell.source)):
            cells = exercises[int(found[1])] = []
        cells.append(cell)
    return set_up, exercises


def is_check(cell) -> bool:
    return CHECK in cell.metadata.get("tags", ())


def exercise(cells: list, task: str) -> list:
    """Task of one exercise, and for each cell of checks an empty cell before it."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    title = cells[0].source.partition("\n")[0]
    made = [new_markdown_cell(f"{title}\n\n{task}")]
    # A check fails until there is code above it, and must not stop "Run all".
    may_fail = {"tags": ["raises-exception"]}
    for checks in (cell.source for cell in cells if is_check(cell)):
        stub = STUB + "".join(NOTE.findall(checks))
        checks = "# What must hold:\n" + NOTE.sub("", checks)
        made += [
            new_code_cell(stub.rstrip()),
            new_code_cell(checks, metadata=dict(may_fail)),
        ]
    return made


def make(chapter, solutions, name: str):
    """The exercise notebook of one chapter.

    Parameters
    ----------
    chapter, solutions : notebooks
        The two .py halves as read by jupytext.
    name : str
        The stem that both files have, such as ``"1_loss_weighting"``.

    Raises
    ------
    ValueError
        If the exercises of the chapter are not those of the solutions.
    """
    from nbformat.v4 import new_markdown_cell, new_notebook

    stated, (set_up, solved) = tasks(chapter), split(solutions)
    if sorted(stated) != list(solved):
        raise ValueError(
            f"{name}: the chapter states the exercises {sorted(stated)}, "
            f"the solutions solve {list(solved)}"
        )
    title = TITLE.format(number=name.partition("_")[0], name=name)
    cells = [new_markdown_cell(title), *set_up[1:]]
    for number, solution in solved.items():
        cells += exercise(solution, stated[number])
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
        cell.metadata.pop("lines_to_next_cell", None)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel | {"name": "python3"}}
    return new_notebook(cells=cells, metadata=metadata)


def made(book: Book) -> dict[str, str]:
    """The exercise notebook of each chapter that has solutions, by file name."""
    import jupytext

    found = {}
    for solutions in sorted((book.source / "solutions").glob("*.py")):
        chapter = book.source / "chapters" / solutions.name
        halves = jupytext.read(chapter), jupytext.read(solutions)
        found[f"{solutions.stem}.ipynb"] = dumps(make(*halves, solutions.stem))
    return found
