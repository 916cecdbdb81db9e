"""Exercise notebooks: every task, no solution, and checks that a solution passes."""

import builtins
import re
import symtable
from types import SimpleNamespace

import jupytext
import nbformat
import numpy as np
import pytest

from tailwise.metrics import Estimate
from tools.book.layout import ROOT, Book
from tools.site import exercises

BOOK = Book(ROOT, "laptop")
SOLUTIONS = {
    py.stem: exercises.split(jupytext.read(py))
    for py in sorted((BOOK.source / "solutions").glob("*.py"))
}
SOLVED = [
    pytest.param(set_up, cells, id=f"{stem}-{number}")
    for stem, (set_up, solved) in SOLUTIONS.items()
    for number, cells in solved.items()
]


@pytest.fixture(scope="module")
def made() -> dict:
    texts = exercises.made(BOOK).items()
    return {
        name[: -len(".ipynb")]: nbformat.reads(t, as_version=4) for name, t in texts
    }


def code(cells: list, checks: bool = False) -> str:
    """The code of cells without the checks, or that of the checks."""
    found = [cell for cell in cells if cell.cell_type == "code"]
    return "\n".join(c.source for c in found if exercises.is_check(c) == checks)


def lines(source: str) -> set[str]:
    """What a cell says, without short lines, which may be equal by chance."""
    return {line.strip() for line in source.splitlines() if len(line.strip()) > 12}


def names(source: str) -> tuple[set[str], set[str]]:
    """What code binds, and what it reads and does not bind."""
    found = symtable.symtable(source, "cell", "exec").get_symbols()
    bound = {symbol.get_name() for symbol in found if symbol.is_local()}
    return bound, {s.get_name() for s in found} - bound - set(dir(builtins))


def listed(word: str, source: str) -> set[str]:
    """The names that comments list after a word."""
    found = re.findall(rf"^# {word}: (.+)", source, re.M)
    return {name for names in found for name in names.split(", ")}


def test_every_chapter_with_solutions_has_exercises(made):
    assert list(made) == list(SOLUTIONS)
    assert SOLUTIONS


@pytest.mark.parametrize("stem", SOLUTIONS)
def test_a_notebook_states_every_task_and_gives_no_solution(made, stem):
    nbformat.validate(made[stem])
    set_up, solved = SOLUTIONS[stem]
    chapter = jupytext.read(BOOK.source / "chapters" / f"{stem}.py")
    sources = [cell.source for cell in made[stem].cells]
    given, rest = sources[1 : len(set_up)], sources[len(set_up) :]
    assert given == [cell.source for cell in set_up[1:]]
    of_code = [c.cell_type == "code" for c in made[stem].cells[len(set_up) :]]
    tasks = [text for text, is_code in zip(rest, of_code) if not is_code]
    stated = [text.partition("\n\n")[2] for text in tasks]
    assert stated == list(exercises.tasks(chapter).values())
    for stub in [text for text, is_code in zip(rest, of_code) if is_code][::2]:
        assert stub.startswith(exercises.STUB)
        assert names(stub) == (set(), set())
    for cells in solved.values():
        leaked = lines(code(cells)) & lines("\n".join(rest))
        assert leaked <= lines(code(cells, checks=True))


@pytest.mark.parametrize(("set_up", "cells"), SOLVED)
def test_a_solution_ends_with_checks_that_tell_what_they_read(set_up, cells):
    found = [cell for cell in cells if cell.cell_type == "code"]
    assert exercises.is_check(found[-1])
    given, _ = names(code(set_up))
    for place, check in enumerate(found):
        if not exercises.is_check(check):
            continue
        own, _ = names(code(found[:place]))
        read, told = names(check.source)[1], listed("Checks read", check.source)
        assert read - given <= told <= read & own
        about = re.findall(r"^# - (\w+)(?: \[.+?\])?: .+", check.source, re.M)
        assert sorted(about) == sorted(told)
        for name in listed("May help", check.source):
            assert name.split(".")[0] in given
            assert name in code(cells) + check.source


def test_what_is_committed_is_what_is_made():
    """Colab opens it from the repository."""
    folder = BOOK.source / "exercises"
    kept = {path.name: path.read_text("utf-8") for path in folder.glob("*.ipynb")}
    assert kept == exercises.made(BOOK)


@pytest.mark.parametrize("stem", SOLUTIONS)
def test_it_installs_the_package_where_the_reader_runs_it(made, stem):
    assert "google.colab" in code(made[stem].cells[:3])


def test_the_checks_pass_with_what_they_read_and_fail_before(made):
    """On the first three exercises of chapter 1, which compute for a second."""
    set_up, solved = SOLUTIONS["1_loss_weighting"]
    rest = made["1_loss_weighting"].cells[len(set_up) :]
    space = {}
    exec(code(set_up), space)
    for cells, checks in zip(list(solved.values())[:3], rest[2::3]):
        assert checks.metadata["tags"] == ["raises-exception"]
        with pytest.raises(NameError):
            exec(checks.source, dict(space))
        own = dict(space)
        exec(code(cells), own)
        read = listed("Checks read", code(cells, checks=True))
        exec(checks.source, space | {name: own[name] for name in read})


def measured(*mean: float, stderr: float = 0.1) -> Estimate:
    """What a solution would have found: one number, or one for each part."""
    mean = mean[0] if len(mean) == 1 else np.array(mean)
    return Estimate(mean=mean, stderr=np.full_like(mean, stderr), n=3)


# What the checks of chapter 4 read, as a right solution finds it, and for each name
# what a wrong one would have: each must be refused.
FOUND = {
    1: {
        "few": (measured(2.5), measured(0.1)),
        "many": (measured(-3.9), measured(-0.1)),
        "noise": (measured(-0.2), measured(2.4)),
    },
    2: {
        "rows": (
            {name: (0.2, np.full(9, 0.1)) for name in ("case", "base letter")},
            {name: (0.2, np.full(9, 0.3)) for name in ("case", "base letter")},
        ),
        "theirs": (0.2, 0.3),
        "excess": (
            {"case": 21.0, "base letter": 7.0, "all marks": 4.0, "script": 2.0},
            {"case": 21.0, "base letter": 3.0, "all marks": 4.0, "script": 2.0},
        ),
    },
    3: {
        "leak": (measured(1.6), measured(0.1)),
        "repair": (measured(0.4), measured(-0.1)),
        "rest": (measured(-1.2), measured(-0.1)),
        "worst": (measured(-2.5), measured(-0.1)),
    },
    4: {
        "areas": ({"a": measured(0.75, stderr=0.01)}, {"a": measured(0.5, stderr=0.1)}),
        "failing": ({"a": measured(0.3)}, {"a": measured(0.6)}),
        "free": (0.79, 0.6),
        "gains": ({"a": measured(0.1, 0, 0.3)}, {"a": measured(1.0, 0, 0.3)}),
        "losses": ([0.3, -0.2], [-0.2, 0.3]),
    },
    5: {
        "alone": (measured(0.015), measured(0.2)),
        "drop": (
            {"GRAVE": 0.13, "HOOK": 0.0, "DOT": 0.0},
            {"GRAVE": 0.13, "HOOK": 0.0, "DOT": 0.1},
        ),
        "known": ({"HOOK": 0.3, "DOT": 0.5}, {"HOOK": 0.6, "DOT": 0.5}),
        "rivalled": (measured(0.05, stderr=0.01), measured(0.05, stderr=0.1)),
        "to_mean": (0.77, 0.5),
        "to_name": (0.6, 0.8),
    },
    6: {
        "above": (-1.2, 3.0),
        "off": ([-0.6, 0.2], [-0.6, 3.0]),
        "same": ([1.5, 1.2, 1.1, 1.0], [1.5, 1.2, 1.1, 1.1]),
        "tau_few": (np.array([1.0, 0.5]), np.array([1.0, -0.5])),
        "tau_many": (np.array([-1.0, -0.5]), np.array([-1.0, 0.5])),
    },
    7: {
        "by_class": (measured(-0.3, 0, -1.0), measured(-0.3, 0, 0.0)),
        "first": (np.array([0.6, 2.7, 4.6]), np.array([1.2, 2.7, 4.6])),
        "held": (np.array([0.9, 3.7, 3.9]), np.array([0.9, 3.7, 1.9])),
        "loss": (measured(-1.2, 0, 0), measured(-0.1, 0, 0)),
        "mended": (0.0, -1.0),
        "scalar": (measured(-0.6, 0, 0), measured(0.6, 0, 0)),
    },
}


@pytest.mark.parametrize("number", FOUND)
def test_the_checks_of_chapter_4_refuse_a_wrong_solution(number):
    checks = code(SOLUTIONS["4_lpt_experts"][1][number], checks=True)
    assert set(FOUND[number]) == listed("Checks read", checks)
    given = dict(np=np, P=SimpleNamespace(decides=True))
    given |= {name: right for name, (right, _) in FOUND[number].items()}
    exec(checks, dict(given))
    for name, (_, wrong) in FOUND[number].items():
        with pytest.raises(AssertionError):
            exec(checks, given | {name: wrong})


# The rules, on one exercise that is thrown away.

PAGE = "# %% [markdown]\n# ### Exercises\n#\n# 1. Do it.\n"
ANSWERS = """\
# %% [markdown]
# # Solutions

# %% [markdown]
# ## 1 · Done
#
# In words.

# %%
x = risk.rho(1)

# %% tags=["exercise-check"]
# May help: risk.rho
# Checks read: x
# - x: a number
# As it should be.
assert x < 2
"""


def make(page: str, answers: str = ANSWERS) -> list[str]:
    halves = (jupytext.reads(text, fmt="py:percent") for text in (page, answers))
    return [cell.source for cell in exercises.make(*halves, "9_nine").cells]


def test_the_empty_cell_says_what_the_checks_read():
    title, *cells = make(PAGE)
    assert title.startswith("# Exercises to chapter 9\n")
    assert cells == [
        "## 1 · Done\n\nDo it.",
        "# Your code here.\n# May help: risk.rho\n# Checks read: x\n# - x: a number",
        "# What must hold:\n# As it should be.\nassert x < 2",
    ]


def test_an_exercise_in_two_parts_has_a_cell_for_each():
    first, _, second = ANSWERS.partition("# %% tags")
    parts = first, f"# %% tags{second}", "\n# %%\ny = 2\n\n", f"# %% tags{second}"
    made = make(PAGE, "".join(parts))
    assert len(made) == len(make(PAGE)) + 2
    *_, again, checks = made
    assert again.startswith("# Your code here.")
    assert checks.startswith("# What must hold:")


def test_exercises_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"states the exercises \[1, 2\].*solve \[1\]"):
        make(PAGE + "# 2. Do that.\n")
