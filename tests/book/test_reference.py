"""The reference of the package: every public face, from docstrings that render."""

import importlib
import inspect
import re

import docutils.core
import pytest
from built import pages_of
from sphinx.ext.napoleon import Config, NumpyDocstring

from tools.book.layout import ROOT

PAGES = sorted((ROOT / "book" / "api").glob("*.md"))
FACES = [
    face
    for page in PAGES
    for face in re.findall(r"automodule:: (\S+)", page.read_text("utf-8"))
]


def members(face: str) -> dict[str, object]:
    """The public functions and classes of a face by name."""
    module = importlib.import_module(face)
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == face and name[0] != "_"
    ]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if callable(value)}


def faults(docstring: str) -> list[str]:
    """What docutils has to say of a docstring in numpydoc's form."""
    text = str(
        NumpyDocstring(
            inspect.cleandoc(docstring), Config(napoleon_use_ivar=True), what="class"
        )
    )
    document = docutils.core.publish_doctree(
        text, settings_overrides={"report_level": 5, "default_role": "code"}
    )
    return [node.astext() for node in document.findall(docutils.nodes.system_message)]


def test_every_public_package_of_the_chapters_and_tools_is_there():
    named = {face.removeprefix("tailwise.") for face in FACES}
    assert named >= {"methods", "own", "metrics", "ledger", "matrix"}
    assert named >= {"weighting", "spurious", "softad", "experts", "geometry"}


@pytest.mark.parametrize("face", FACES)
def test_docstrings_render(face):
    found = {
        name: faults(inspect.getdoc(it) or "") for name, it in members(face).items()
    }
    assert found
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize("face", FACES)
def test_the_reference_shows_every_name_with_its_docstring(html, face):
    name = face.removeprefix("tailwise.")
    page = html / "book" / "api" / f"{name}.html"
    page = page if page.exists() else page.with_name("chapters.html")
    text = page.read_text("utf-8")
    for name, value in members(face).items():
        assert f'<span class="pre">{name}</span>' in text, name
        assert inspect.getdoc(value), f"{name} has no docstring"


def test_the_index_leads_to_the_reference(html):
    index = pages_of(html)["genindex.html"]
    assert any("#tailwise.methods.WeightedHead" in link for link in index.links)


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("Fine.\n\nParameters\n----------\nx : int\n    It.\n", ""),
        ("An *open emphasis.", "Inline emphasis"),
        ("List:\n\n- one\n  - two\nthree", "ends without a blank line"),
    ],
)
def test_a_planted_fault_is_found(docstring, fault):
    found = faults(docstring)
    assert any(fault in one for one in found) if fault else not found
