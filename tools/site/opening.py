"""Bring to the top of a chapter's page what holds a reader.

After title, question and answer come the section with the first figure, the claims that
carry the chapter with the rest folded, and then the rest as it is written. Only the
page is rearranged: in the notebook, cells stand in the order in which they run.
"""

import re

from nbformat.v4 import new_markdown_cell

from tailwise.ledger import claims
from tailwise.ledger.board import READ_IN, counted, verdict_row
from tailwise.templates import render
from tools.book.layout import TEMPLATES

CLAIM_BOX = "run-again-last"  # tag of the cell with the table of all claims
SECTION = re.compile(r"^(?=## )", re.MULTILINE)
WORDS_A_MINUTE = 200


def sections(cells: list) -> list[list]:
    """Cells by section; the first one holds what stands before any heading of level 2.

    A Markdown cell with several such headings becomes several cells.
    """
    found = [[]]
    for cell in cells:
        if cell.cell_type != "markdown":
            found[-1].append(cell)
            continue
        for place, text in enumerate(filter(str.strip, SECTION.split(cell.source))):
            if text.startswith("## "):
                found.append([])
            id = cell.id if place == 0 else f"{cell.id[:60]}-{place}"
            found[-1].append(
                new_markdown_cell(text.strip(), id=id, metadata=cell.metadata)
            )
    return found


def has_figure(cell) -> bool:
    return any("image/png" in o.get("data", {}) for o in cell.get("outputs", ()))


def _tags(cell) -> list[str]:
    return cell.metadata.setdefault("tags", [])


def _first(parts: list[list], holds) -> list | None:
    return next((part for part in parts if any(map(holds, part))), None)


def arrange(notebook, chapter: claims.Chapter) -> None:
    """Move picture and claims to the top, and fold what would keep a reader from them.

    A figure that stands before every heading of level 2 stays where it is, and so does
    everything in a chapter that has neither figure nor claim box.
    """
    opening, *rest = sections(notebook.cells)
    picture = None if any(map(has_figure, opening)) else _first(rest, has_figure)
    box = _first(rest, lambda cell: CLAIM_BOX in _tags(cell))
    first = [part for part in (picture, box) if part]
    if picture is box:
        del first[1:]
    for cell in picture or ():
        if cell.cell_type == "code" and "hide-input" not in _tags(cell):
            _tags(cell).append("hide-input")
    _figure_first(picture or [])
    if box:
        place = next(n for n, cell in enumerate(box) if CLAIM_BOX in _tags(cell))
        fold = {
            "code_prompt_show": f"All {len(chapter.claims)} claims in short",
            "code_prompt_hide": "Hide the claims",
        }
        _tags(box[place]).append("hide-cell")
        box[place].metadata["mystnb"] = fold
        box.insert(place, new_markdown_cell(carrying(chapter), id="carrying"))
    later = [part for part in rest if part is not picture and part is not box]
    notebook.cells = [cell for part in [opening, *first, *later] for cell in part]


def _figure_first(part: list) -> None:
    """Move the figure above tables and prints, if nothing is said between them."""
    first = next((n for n, cell in enumerate(part) if cell.cell_type == "code"), 0)
    place = next((n for n, cell in enumerate(part) if has_figure(cell)), 0)
    if part and all(cell.cell_type == "code" for cell in part[first:place]):
        part.insert(first, part.pop(place))


def carrying(chapter: claims.Chapter) -> str:
    """The claims that carry the chapter, as recorded at the laptop profile."""
    kept = claims.recorded(chapter.key, "laptop")
    rows = [(claim, verdict_row(claim, kept)) for claim in chapter.carrying]
    papers = [c.evidence for c in chapter.claims.values() if c.origin == "this paper"]
    return render(
        "opening.html",
        *TEMPLATES,
        rows=rows,
        counted=counted,
        evidence={how: papers.count(kind) for kind, how in READ_IN.items()},
    )


def reading_minutes(notebook) -> int:
    """Minutes to read the main line: its prose without folds, code and formulas."""
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    prose = re.sub(r"<details.*?</details>", "", prose, flags=re.DOTALL)
    prose = re.sub(r"\$\$.*?\$\$|<[^>]+>|\]\([^)]*\)", " ", prose, flags=re.DOTALL)
    words = re.findall(r"[A-Za-z][\w’'-]*", prose)
    return max(1, round(len(words) / WORDS_A_MINUTE))
