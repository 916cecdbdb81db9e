"""Say under each figure of a chapter which run drew it, and on how many repetitions."""

from nbformat.v4 import new_markdown_cell

from tailwise.ledger.claims import Chapter, Record
from tools.site.anchors import TAG
from tools.site.opening import has_figure


def add_origins(notebook, chapter: Chapter, record: Record | None) -> None:
    """Put a line under each figure of a notebook.

    It names profile, day, device and commit of the run, and the repetitions behind the
    claims that the cells between the same two headings enter.
    """
    if record is None:
        return
    cells = []
    for part in _between_headings(notebook.cells):
        line = _line(record, _repetitions(part, chapter, record))
        for cell in part:
            cells.append(cell)
            if has_figure(cell):
                cells.append(new_markdown_cell(line, id=f"origin-{len(cells)}"))
    notebook.cells = cells


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


def _line(record: Record, repetitions: list[str]) -> str:
    facts = record.provenance
    commit = f"commit {facts['commit']}" if facts["commit"] else ""
    said = [
        f"{record.profile} profile",
        ", ".join(repetitions),
        f"{facts['date'][:10]}",
        facts["device"],
        commit,
    ]
    return f"<p class='provenance'>{' · '.join(filter(None, said))}</p>"
