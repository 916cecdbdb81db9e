"""Make exercise notebooks of the solutions, so that each task is stated once.

python -m tools.site.exercises [FOLDER]      into _build/exercises by default

A notebook keeps the set-up of the solutions and has for each exercise the task as the
chapter states it, an empty cell, and the checks that the solution ends with. A check
is kept if it reads only what the set-up gives, or plain variables of the solution:
these are named in the empty cell, so that they are a contract and not a guess, and so
are the package's functions that the solution calls.
"""

import ast
import builtins
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.book.layout import Book, dumps, write

HEADING = re.compile(r"## (\d+) · (.+)")
TASKS = re.compile(r"^### Exercises\n(.*?)(?=^\[Solutions\]|\Z)", re.M | re.S)
TASK = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", re.M | re.S)
STUB = "# Your code here."
# A check fails until there is code above it, and must not stop "Run all".
CHECKS = {"tags": ["raises-exception"]}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
LOOPS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number and title, its cells in the solutions."""

    number: int
    title: str
    code: tuple[str, ...]


def tasks(chapter) -> dict[int, str]:
    """The numbered list under "Exercises" at the end of a chapter's notebook."""
    prose = "\n\n".join(c.source for c in chapter.cells if c.cell_type == "markdown")
    if not (found := TASKS.search(prose)):
        return {}
    return {int(number): " ".join(t.split()) for number, t in TASK.findall(found[1])}


def split(solutions) -> tuple[list, list[Exercise]]:
    """The cells before the first exercise, and the exercises."""
    set_up, exercises = [], []
    for cell in solutions.cells:
        heading = cell.cell_type == "markdown" and HEADING.match(cell.source)
        if heading:
            exercises.append(Exercise(int(heading[1]), heading[2].strip(), ()))
        elif not exercises:
            set_up.append(cell)
        elif cell.cell_type == "code":
            last = exercises[-1]
            code = (*last.code, cell.source)
            exercises[-1] = Exercise(last.number, last.title, code)
    return set_up, exercises


def _outer(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes of the scope that `node` opens; inner scopes are yielded, not entered."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, SCOPES + LOOPS):
            yield from _outer(child)


def names(code: str) -> tuple[set[str], set[str]]:
    """What a cell binds at its top level: variables, and functions or modules."""
    variables, others = set(), set()
    for node in _outer(ast.parse(code)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            variables.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            others.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            others |= {a.asname or a.name.split(".")[0] for a in node.names}
    return variables, others


def reads(statement: ast.stmt) -> set[str]:
    """Names that a statement reads, without its own loop variables and builtins."""
    found = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    bound = {node.id for node in found if isinstance(node.ctx, ast.Store)}
    return {node.id for node in found} - bound - set(dir(builtins))


def is_check(statement: ast.stmt) -> bool:
    """An assert, or a call of numpy's or torch's `testing`."""
    if isinstance(statement, ast.Assert):
        return True
    called = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(called, ast.Call) and ".testing.assert" in ast.unparse(called)


def checks(exercise: Exercise, given: set[str]) -> tuple[list[str], list[str]]:
    """Checks as the solution writes them, and the names that a reader must define.

    A check is left out if a name that it reads means something else by the end.
    """
    own = set.union(set(), *(names(code)[0] for code in exercise.code)) - given
    kept = []
    for code in exercise.code:
        for statement in ast.parse(code).body:
            bound = names(ast.unparse(statement))[0]
            kept = [(text, read) for text, read in kept if not read & bound]
            if is_check(statement) and reads(statement) <= given | own:
                text = ast.get_source_segment(code, statement)
                kept.append((text, reads(statement)))
    contract = set.union(set(), *(read for _, read in kept)) - given
    return [text for text, _ in kept], sorted(contract)


def of_package(code: str) -> set[str]:
    """Names that a cell imports from the package."""
    found = (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom))
    return {
        alias.asname or alias.name
        for node in found
        if (node.module or "").partition(".")[0] == "tailwise"
        for alias in node.names
    }


def called(code: str, package: set[str]) -> list[str]:
    """The package's functions that a cell calls, in order and once each."""
    functions = (n.func for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call))
    found = []
    for node in sorted(functions, key=lambda node: (node.lineno, node.col_offset)):
        owner = node.value if isinstance(node, ast.Attribute) else node
        if isinstance(owner, ast.Name) and owner.id in package:
            found.append(ast.unparse(node))
    return list(dict.fromkeys(found))


def comment(text: str) -> str:
    lines = textwrap.wrap(text, 70, break_long_words=False)
    return "".join(f"\n# {line}" for line in lines)


def exercise_cells(
    exercise: Exercise, task: str, given: set[str], package: set[str]
) -> list:
    """Task, empty cell and checks of one exercise."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    kept, contract = checks(exercise, given)
    stub, name = STUB, f"exercise-{exercise.number}"
    if helpers := called("\n".join(exercise.code), package):
        stub += comment(f"Functions that may help: {', '.join(helpers)}")
    if contract:
        stub += comment(f"The checks below read: {', '.join(contract)}")
    text = f"## {exercise.number} · {exercise.title}\n\n{task}"
    cells = [new_markdown_cell(text, id=name), new_code_cell(stub, id=f"{name}-code")]
    if kept:
        source = "\n".join(["# What must hold:", *kept])
        cells.append(new_code_cell(source, id=f"{name}-checks", metadata=CHECKS))
    return cells


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
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    stated, (set_up, exercises) = tasks(chapter), split(solutions)
    solved = [exercise.number for exercise in exercises]
    if sorted(stated) != solved:
        raise ValueError(
            f"{name}: the chapter states the exercises {sorted(stated)}, "
            f"the solutions solve {solved}"
        )
    number = name.partition("_")[0]
    cells = [
        new_markdown_cell(
            f"# Exercises to chapter {number}\n\n"
            f"The text is in [chapter {number}](../chapters/{name}.ipynb); "
            f"solved, they are in [solutions](../solutions/{name}.ipynb).\n\n"
            "Run the set-up first.\n"
            "A cell with checks fails until the cell above it has your code.\n"
            "Its names are one way to hold the results; change them as you like.",
            id="title",
        )
    ]
    given, package = set(), set()
    for place, cell in enumerate(set_up[1:], start=1):
        if cell.cell_type == "markdown":
            cells.append(new_markdown_cell(cell.source, id=f"set-up-{place}"))
            continue
        given |= set.union(*names(cell.source))
        package |= of_package(cell.source)
        tags = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        copy = new_code_cell(cell.source, id=f"set-up-{place}", metadata=tags)
        cells.append(copy)
    for exercise in exercises:
        cells += exercise_cells(exercise, stated[exercise.number], given, package)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(
        cells=cells, metadata={"kernelspec": kernel | {"name": "python3"}}
    )


def write_all(book: Book, folder: Path) -> list[Path]:
    """Write the exercise notebook of each chapter that has solutions."""
    import jupytext

    written = []
    for solutions in sorted((book.source / "solutions").glob("*.py")):
        chapter = book.source / "chapters" / solutions.name
        halves = jupytext.read(chapter), jupytext.read(solutions)
        path = folder / f"{solutions.stem}.ipynb"
        write(path, dumps(make(*halves, solutions.stem)))
        written.append(path)
    return written


def main() -> None:
    book = Book.here()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else book.build / "exercises"
    for path in write_all(book, folder):
        print(path)


if __name__ == "__main__":
    main()
