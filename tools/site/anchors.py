"""An anchor for each claim, before the cell of its chapter that enters it."""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat

from tailwise.ledger.claims import Chapter
from tools.book.layout import ROOT


def claim_cell(id: str, cells: list) -> int | None:
    """Index of the code cell that enters a claim into the ledger, if one is found.

    That is the first that names the claim in full; or else that names it without its
    chapter and completes the name; or else that calls a function of the package which
    names it.
    """
    chapter, name = id.split(".")
    code = [(n, c.source) for n, c in enumerate(cells) if c.cell_type == "code"]
    full = re.compile(rf"\b{chapter}\.{name}\b")
    short = re.compile(rf"\b{name}\b")
    functions = [f for f, stem, whole in named_claims() if _names(id, stem, whole)]
    call = re.compile(rf"\b({'|'.join(functions)})\(") if functions else None
    rules = (
        full.search,
        lambda source: f"{chapter}.{{" in source and short.search(source),
        lambda source: call and call.search(source),
    )
    places = (n for rule in rules for n, source in code if rule(source))
    return next(places, None)


def _names(id: str, stem: str, whole: bool) -> bool:
    return id == stem if whole else id.startswith(stem)


@cache
def named_claims(package: Path = ROOT / "src" / "tailwise") -> tuple:
    """Functions that name claims: function, name or its start, whether it is whole."""
    found = []
    for path in sorted(package.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found += [(function.name, *text) for text in _texts(function)]
    return tuple(found)


def _texts(function: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Claim ids in a function, and starts of ids in its f-strings."""
    starts = {
        id(node.values[0])
        for node in ast.walk(function)
        if isinstance(node, ast.JoinedStr) and node.values
    }
    return [
        (node.value, id(node) not in starts)
        for node in ast.walk(function)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"ch\d+\.\w+", node.value)
    ]


def add_anchors(notebook, chapter: Chapter) -> None:
    """Give each claim an anchor: before its cell, or before the chapter's outcome."""
    code = [n for n, c in enumerate(notebook.cells) if c.cell_type == "code"]
    outcomes = (n for n in code if "outcome(" in notebook.cells[n].source)
    outcome = next(outcomes, code[-1])
    places: dict[int, list[str]] = {}
    for id in chapter.claims:
        place = claim_cell(id, notebook.cells)
        places.setdefault(outcome if place is None else place, []).append(id)
    for place in sorted(places, reverse=True):
        spans = "".join(f"<span id='{id}'></span>" for id in places[place])
        cell = nbformat.v4.new_markdown_cell(
            f"<div class='claim-anchor'>{spans}</div>", id=f"claims-{place}"
        )
        notebook.cells.insert(place, cell)
