"""Turn the statements behind the guide's sentences into numbered sources of the page.

In the notebook a sentence carries code such as ``tail · LA − CE · balanced > 0``, which
a test looks up in the record. The page has a small number there, and below the text a
list of what was measured.
"""

import html
import re

from nbformat.v4 import new_markdown_cell

from tailwise.matrix.run import Record
from tailwise.matrix.statements import SPAN, Statement, parse

NOTEBOOK_ONLY = "notebook-only"  # tag of a cell that explains the code to its readers
BEFORE = "## The calls"  # the list stands before this heading, or at the end
PLAIN = "plain training"
SIGNS = {">": "above", "<": "below"}


def number_sources(notebook, record: Record) -> None:
    """Replace statements by numbers, and list what the numbers stand for."""
    numbers: dict[str, int] = {}
    kept = []
    for cell in notebook.cells:
        if NOTEBOOK_ONLY in cell.metadata.get("tags", ()):
            continue
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                rf"(?: ?{SPAN.pattern})+",
                lambda match: _marks(match[0], numbers),
                cell.source,
            )
        kept.append(cell)
    listed = new_markdown_cell(_list(numbers, record), id="sources")
    ends = (n for n, cell in enumerate(kept) if cell.source.startswith(BEFORE))
    place = next(ends, len(kept))
    notebook.cells = [*kept[:place], listed, *kept[place:]]


def _marks(spans: str, numbers: dict[str, int]) -> str:
    """Links to the sources of one sentence; one that is used again keeps its number."""
    found = []
    for span in SPAN.findall(spans):
        known = span in numbers
        n = numbers.setdefault(span, len(numbers) + 1)
        anchor = "" if known else f" id='cites-{n}'"
        found.append(f"<a{anchor} href='#source-{n}'>{n}</a>")
    return f"<span class='cites'>[{', '.join(found)}]</span>"


def _list(numbers: dict[str, int], record: Record) -> str:
    items = [
        f"<li id='source-{n}'>{words(parse(f'`{span}`')[0], record)} "
        f"<a href='#cites-{n}' aria-label='back to sentence {n}'>↑</a></li>"
        for span, n in numbers.items()
    ]
    lines = "\n".join(items)
    return (
        "## Sources\n\nEach number is a mean over seeds ± half of its 95 % interval; "
        "differences are paired.\nMethods are those of the "
        "[transfer matrix](transfer_matrix.ipynb).\n\n"
        f"<details><summary>{len(items)} comparisons</summary>\n"
        f"<ol class='sources'>\n{lines}\n</ol></details>"
    )


def words(statement: Statement, record: Record) -> str:
    """What a statement says, with what was measured."""
    s, e = statement, statement.measured(record)
    world = record.worlds[s.world]["title"]
    method, less = (PLAIN if m == "CE" else m for m in (s.method, s.less or ""))
    number = f"{e.mean:+.3f}" if s.less else f"{e.mean:.3f}"
    told = f"{method} less {less}" if s.less else method
    off = SIGNS.get(s.sign)
    judged = f"{off} {s.bound:g}" if off else f"not distinguishable from {s.bound:g}"
    number = number.replace("-", "−")
    return html.escape(f"{world}: {told}, {s.metric} {number} ± {e.half:.3f}, {judged}")
