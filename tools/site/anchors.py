"""An anchor for each claim, before the cell of its chapter that enters it.

That cell carries the tag ``claim:ID``; a claim that no cell enters leads to the cell
with the tag ``outcome``.
"""

import nbformat

from tailwise.ledger.claims import Chapter

TAG = "claim:"


def add_anchors(notebook, chapter: Chapter) -> None:
    """Give each claim an anchor: before its cell, or before the chapter's outcome.

    Raises
    ------
    ValueError
        If a tag names no claim of the chapter, or two cells name the same.
    """
    cells = enumerate(notebook.cells)
    tags = [(tag, n) for n, cell in cells for tag in cell.metadata.get("tags", ())]
    named = [tag.removeprefix(TAG) for tag, _ in tags if tag.startswith(TAG)]
    if faults := [x for x in named if x not in chapter.claims or named.count(x) > 1]:
        raise ValueError(f"{chapter.page}: tags name no claim, or one twice: {faults}")
    tagged = dict(tags)
    places: dict[int, list[str]] = {}
    for id in chapter.claims:
        place = tagged[TAG + id if id in named else "outcome"]
        places.setdefault(place, []).append(id)
    for place in sorted(places, reverse=True):
        spans = "".join(f"<span id='{id}'></span>" for id in places[place])
        cell = nbformat.v4.new_markdown_cell(
            f"<div class='claim-anchor'>{spans}</div>", id=f"claims-{place}"
        )
        notebook.cells.insert(place, cell)
