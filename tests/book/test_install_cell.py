"""The first cell of every notebook installs the package in Colab, and only there."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest

from tools.book.layout import ROOT, Book, repository

BOOK = Book(ROOT, "laptop")
NOTEBOOKS = BOOK.chapters() + BOOK.pages()


def install_cell(py: Path) -> str:
    """The first code cell of a notebook."""
    cells = jupytext.read(py).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


def install_faults(cell: str) -> list[str]:
    """What would harm a reader: in Colab, or anywhere else."""
    faults = []
    if f"git+https://github.com/{repository(ROOT)}" not in cell:
        faults.append("installs from another address")
    if "--no-deps" not in cell:
        faults.append("installs dependencies")
    if re.search(r"\b(torch|numpy)\b", cell):
        faults.append("names torch or numpy")
    shell = {"get_ipython": lambda: pytest.fail("it installs outside Colab")}
    try:
        exec(compile(cell, "install cell", "exec"), shell)
    except SyntaxError:
        faults.append("is not valid in a plain script")
    except pytest.fail.Exception as failure:
        faults.append(str(failure))
    return faults


GOOD = f"""\
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("tailwise"):
    get_ipython().run_line_magic(
        "pip", "install -q --no-deps git+https://github.com/{repository(ROOT)}"
    )
"""


@pytest.mark.parametrize("py", NOTEBOOKS, ids=lambda py: f"{py.parent.name}/{py.name}")
def test_a_notebook_installs_the_package_in_colab_only(py):
    assert install_faults(install_cell(py)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("GOOD", "GOOD", None),
        (repository(ROOT), "jane/other", "installs from another address"),
        ("--no-deps ", "", "installs dependencies"),
        ("-q", "-q numpy", "names torch or numpy"),
        ('"google.colab" in sys.modules', "True", "it installs outside Colab"),
        ("get_ipython()", "%pip get_ipython()", "is not valid in a plain script"),
    ],
)
def test_a_harmful_install_cell_is_caught(monkeypatch, old, new, fault):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install_faults(GOOD.replace(old, new)) == ([fault] if fault else [])


def test_a_failed_installation_says_what_to_do(monkeypatch):
    """Not only that there is no module of that name, one cell later."""
    calls = []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    shell = {"get_ipython": lambda: SimpleNamespace(run_line_magic=pip)}

    def pip(*line):
        calls.append(line)

    cell = install_cell(NOTEBOOKS[0])
    with pytest.raises(ImportError, match="could not install git.*Correct the address"):
        exec(cell, shell)
    assert len(calls) == 1


def test_every_notebook_installs_alike():
    assert len({install_cell(py) for py in NOTEBOOKS}) == 1


def test_an_installed_package_is_left_alone(monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    shell = {"get_ipython": lambda: calls.append("pip")}
    exec(GOOD, shell)
    assert calls == []
