"""An anchor for each claim, before the cell of its chapter that enters it.

That cell carries the tag ``claim:ID``; a claim that no cell enters leads to the
chapter's outcome.
"""

import nbformat

from tailwise.ledger.claims import Chapter

TAG = "claim:"


def claim_cells(cells: list, chapter: Chapter) -> dict[str, int]:
    """Index of the cell that enters each claim, for the claims that a cell enters.

    Raises
    ------
    ValueError
        If a tag names no claim of the chapter, or two cells have the same.
    """
    found = {}
    for place, cell in enumerate(cells):
        for tag in cell.metadata.get("tags", ()):
            id = tag.removeprefix(TAG)
            if id == tag:
                continue
            if id not in chapter.claims or id in found:
                why = "twice" if id in found else "but there is no such claim"
                raise ValueError(f"{chapter.page}: a cell has the tag {tag}, {why}")
            found[id] = place
    return found


def add_anchors(notebook, chapter: Chapter) -> None:
    """Give each claim an anchor: before its cell, or before the chapter's outcome."""
    code = [n for n, c in enumerate(notebook.cells) if c.cell_type == "code"]
    outcomes = (n for n in code if "outcome(" in notebook.cells[n].source)
    outcome, entered = next(outcomes, code[-1]), claim_cells(notebook.cells, chapter)
    places: dict[int, list[str]] = {}
    for id in chapter.claims:
        places.setdefault(entered.get(id, outcome), []).append(id)
    for place in sorted(places, reverse=True):
        spans = "".join(f"<span id='{id}'></span>" for id in places[place])
        cell = nbformat.v4.new_markdown_cell(
            f"<div class='claim-anchor'>{spans}</div>", id=f"claims-{place}"
        )
        notebook.cells.insert(place, cell)
