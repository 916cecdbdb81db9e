"""Exercise notebooks: every task, no solution, and checks that a solution passes."""

import ast

import jupytext
import nbformat
import pytest

from tools.book.layout import ROOT, Book
from tools.site import exercises

BOOK = Book(ROOT, "laptop")
STEMS = [py.stem for py in sorted((BOOK.source / "solutions").glob("*.py"))]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("exercises")
    paths = exercises.write_all(BOOK, folder)
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


def solutions(stem: str):
    return jupytext.read(BOOK.source / "solutions" / f"{stem}.py")


def test_every_chapter_with_solutions_has_exercises(made):
    assert list(made) == STEMS
    assert STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_states_every_task_and_gives_no_solution(made, stem):
    notebook, chapter = made[stem], BOOK.source / "chapters" / f"{stem}.py"
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    for task in exercises.tasks(jupytext.read(chapter)).values():
        assert task in text
    given, solved = exercises.split(solutions(stem))
    allowed = "\n".join(cell.source for cell in given)
    for exercise in solved:
        lines = {line.strip() for code in exercise.code for line in code.splitlines()}
        kept = "\n".join(exercises.checks(exercise, exercises_given(given))[0])
        secret = [line for line in lines if len(line) > 12 and "assert" not in line]
        leaked = [line for line in secret if line in text]
        assert not [x for x in leaked if x not in allowed and x not in kept]


def exercises_given(set_up) -> set[str]:
    code = [cell.source for cell in set_up if cell.cell_type == "code"]
    return set.union(*(part for cell in code for part in exercises.names(cell)))


@pytest.mark.parametrize("stem", STEMS)
def test_cells_are_valid_python_and_start_empty(made, stem):
    code = [cell for cell in made[stem].cells if cell.cell_type == "code"]
    for cell in code:
        ast.parse(cell.source)
        assert not cell.outputs
    stubs = [c for c in code if c.id.endswith("-code")]
    assert len(stubs) == len(exercises.split(solutions(stem))[1])
    assert all(cell.source.startswith(exercises.STUB) for cell in stubs)


def test_a_second_run_makes_the_same_files(tmp_path):
    first, second = (
        exercises.write_all(BOOK, tmp_path / name) for name in ("one", "two")
    )
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_the_checks_pass_after_the_solution_and_fail_before_it(made):
    """On the first three exercises of chapter 1, which compute for a second."""
    set_up, solved = exercises.split(solutions("1_loss_weighting"))
    cells = {cell.id: cell.source for cell in made["1_loss_weighting"].cells}
    space = {}
    for cell in set_up:
        if cell.cell_type == "code":
            exec(cell.source, space)
    for exercise in solved[:3]:
        checks = cells[f"exercise-{exercise.number}-checks"]
        assert "assert" in checks
        with pytest.raises(NameError):
            exec(checks, dict(space))
        own = dict(space)
        for code in exercise.code:
            exec(code, own)
        exec(checks, own)


# The rules, on one exercise that is thrown away.


def checks(*code: str) -> tuple[list[str], list[str]]:
    return exercises.checks(exercises.Exercise(1, "One", code), {"np", "limit"})


@pytest.mark.parametrize(
    ("code", "kept", "contract"),
    [
        ("x = 1\nassert x < limit", ["assert x < limit"], ["x"]),
        ("assert limit > 0", ["assert limit > 0"], []),
        ("x = 1\nprint(x)", [], []),
        ("for x in range(3):\n    assert x < limit", [], []),
        ("def f():\n    return 1\nassert f() < limit", [], []),
        ("def f():\n    y = 1\nassert y < limit", [], []),
        ("x = 1\nassert x < 2\nx = 3", [], []),
        ("x = 1\nassert x < 2\nfor x in range(9):\n    pass", [], []),
        ("x = [1]\nassert all(y < 2 for y in x)",)
        + (["assert all(y < 2 for y in x)"], ["x"]),
        ("x = 1\nnp.testing.assert_allclose(x, 1)",)
        + (["np.testing.assert_allclose(x, 1)"], ["x"]),
    ],
)
def test_which_checks_are_kept(code, kept, contract):
    assert checks(code) == (kept, contract)


def test_the_functions_that_a_solution_calls_are_named():
    set_up = "import torch\nfrom tailwise import risk\nfrom tailwise.dfr import fit"
    package = exercises.of_package(set_up)
    assert package == {"risk", "fit"}
    code = "a = fit(np.ones(3), risk.weights(3))\nb = risk.weights(fit(a).x.sum())"
    assert exercises.called(code, package) == ["fit", "risk.weights"]
    assert exercises.called("np.ones(3)", package) == []


def test_a_name_that_a_later_cell_binds_anew_is_no_contract():
    assert checks("x = 1\nassert x < 2", "x = 3\nassert x > 2") == (
        ["assert x > 2"],
        ["x"],
    )


def test_exercises_that_do_not_match_are_refused():
    page = "# %% [markdown]\n# ### Exercises\n#\n# 1. Do it.\n# 2. Do that.\n"
    answers = "# %% [markdown]\n# # Solutions\n\n# %% [markdown]\n# ## 1 · Done\n"
    halves = (jupytext.reads(text, fmt="py:percent") for text in (page, answers))
    with pytest.raises(ValueError, match=r"states the exercises \[1, 2\].*solve \[1\]"):
        exercises.make(*halves, "9_nine")
