"""Say under each figure which run drew it, from what data."""

import re
from collections.abc import Callable
from pathlib import Path

from nbformat.v4 import new_markdown_cell

from tailwise import matrix
from tailwise.drawn import lengthened
from tailwise.ledger.claims import Chapter, Record
from tailwise.matrix.run import FILE, read
from tailwise.own import trial
from tools.book.layout import Book, write
from tools.site.anchors import TAG
from tools.site.opening import has_figure

FIGURES = "_static/figures"  # the data behind them, below the folder of pages
PAGES = ("transfer_matrix", "decision_guide", "field_trial", "bring_your_own")
DRAWN = re.compile(r"<svg|<caption>")  # a chart, or a table that is a picture


def add_origins(notebook, chapter: Chapter, record: Record | None, pages: Path) -> None:
    """Put a line under each figure of a chapter, and its data into a file.

    The line names profile, day, device and commit of the run, and the repetitions
    behind the claims that the cells between the same two headings enter; it links the
    data that the figure carries. `pages` is the folder that holds the pages.
    """
    if record is None:
        return

    def said(part: list) -> list[str]:
        repeated = ", ".join(_repetitions(part, chapter, record))
        return _said(f"{record.profile} profile", repeated, record.provenance)

    up = "../" * (chapter.page.count("/") + 1)
    _put(notebook, said, pages, f"{FIGURES}/{chapter.key}", up)


def add_page_origins(book: Book, notebook, name: str, executed: bool) -> None:
    """The same for a page that is no chapter, one of `PAGES`.

    Its figures are of one record, or of the page's own run, which says so itself.
    """
    said = _of_page(book, name, executed)
    pages = book.build / "stage" / "book"
    _put(notebook, lambda _: said, pages, f"{FIGURES}/{name}", "../")


def _put(
    notebook, said: Callable[[list], list[str]], pages: Path, name: str, up: str
) -> None:
    cells, number = [], 0
    for part in _between_headings(notebook.cells):
        facts = said(part)
        for cell in part:
            cells.append(cell)
            if not (has_figure(cell) or _is_drawn(cell)):
                continue
            links = []
            for table in _tables(cell):
                number += 1
                if table:
                    file = f"{name}_{number}.csv"
                    write(pages / file, lengthened(table))
                    links.append(f"<a href='{up}{file}' download>data (CSV)</a>")
            if facts or links:
                line = f"<p class='provenance'>{' · '.join([*facts, *links])}</p>"
                cells.append(new_markdown_cell(line, id=f"origin-{len(cells)}"))
    notebook.cells = cells


def _is_drawn(cell) -> bool:
    shown = (o.get("data", {}).get("text/html", "") for o in cell.get("outputs", ()))
    return any(DRAWN.search(html) for html in shown)


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


def _of_page(book: Book, name: str, executed: bool) -> list[str]:
    if name == "field_trial":
        record = trial.recorded()
        first = record["few"][0]
        same = ("kind", "defects")
        n = sum(all(row[k] == first[k] for k in same) for row in record["few"])
        return _said("recorded study", f"{n} × draw", record["provenance"])
    if name == "bring_your_own":
        return []
    # Both show the largest record; this run's takes the place of its profile's.
    found = matrix.recorded()
    latest = read(book.results / FILE) if executed else None
    if latest and name == "transfer_matrix":
        found, _ = matrix.by_size(latest)
    if found is None:
        return []
    worlds = found.values.values()
    n = {len(next(iter(next(iter(of.values())).values()))) for of in worlds}
    seeds = " to ".join(map(str, sorted({min(n), max(n)})))
    return _said(f"{found.profile} profile", f"{seeds} × seed", found.provenance)


def _said(run: str, repeated: str, facts: dict) -> list[str]:
    commit = f"commit {facts['commit']}" if facts["commit"] else ""
    return [*filter(None, [run, repeated, facts["date"][:10], facts["device"], commit])]
