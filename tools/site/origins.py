"""Say under each figure of a chapter which run drew it, from what data."""

from pathlib import Path

from nbformat.v4 import new_markdown_cell

from tailwise.drawn import lengthened
from tailwise.ledger.claims import Chapter, Record
from tools.book.layout import write
from tools.site.anchors import TAG
from tools.site.opening import has_figure

FIGURES = "_static/figures"  # the data behind them, below the folder of pages


def add_origins(notebook, chapter: Chapter, record: Record | None, pages: Path) -> None:
    """Put a line under each figure of a notebook, and its data into a file.

    The line names profile, day, device and commit of the run, and the repetitions
    behind the claims that the cells between the same two headings enter; it links the
    data that the figure carries. `pages` is the folder that holds the pages.
    """
    if record is None:
        return
    cells, number = [], 0
    up = "../" * (chapter.page.count("/") + 1)
    for part in _between_headings(notebook.cells):
        said = _said(record, _repetitions(part, chapter, record))
        for cell in part:
            cells.append(cell)
            if not has_figure(cell):
                continue
            links = []
            for table in _tables(cell):
                number += 1
                if table:
                    name = f"{FIGURES}/{chapter.key}_{number}.csv"
                    write(pages / name, lengthened(table))
                    links.append(f"<a href='{up}{name}' download>data (CSV)</a>")
            line = f"<p class='provenance'>{' · '.join([*said, *links])}</p>"
            cells.append(new_markdown_cell(line, id=f"origin-{len(cells)}"))
    notebook.cells = cells


def _tables(cell) -> list[str | None]:
    """Of each figure of a cell its data, where it carries them."""
    shown = (output.get("data", {}) for output in cell.outputs)
    return [data.get("text/csv") for data in shown if "image/png" in data]


def _between_headings(cells: list) -> list[list]:
    parts = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            parts.append([])
        parts[-1].append(cell)
    return parts


def _repetitions(part: list, chapter: Chapter, record: Record) -> list[str]:
    """Such as "30 × data set", each once."""
    tags = [tag for cell in part for tag in cell.metadata.get("tags", ())]
    ids = [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)]
    found = {
        f"{measured.n} × {chapter.claims[id].repetition}": None
        for id in ids
        for measured in record.measurements.get(id, ())
        if not chapter.claims[id].exact and measured.n > 1
    }
    return [*found]


def _said(record: Record, repetitions: list[str]) -> list[str]:
    facts = record.provenance
    commit = f"commit {facts['commit']}" if facts["commit"] else ""
    said = [
        f"{record.profile} profile",
        ", ".join(repetitions),
        f"{facts['date'][:10]}",
        facts["device"],
        commit,
    ]
    return [*filter(None, said)]
