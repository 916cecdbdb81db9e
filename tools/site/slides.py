"""Draw the slides from the chapters, their records and the meeting page.

python -m tools.site.slides    writes _build/slides.html, one file that needs no network

Nothing is written twice: findings and the first figure come from the notebooks,
verdicts are computed from the committed records, questions come from
book/workshop/meeting.md.
"""

import html
import re
from pathlib import Path

import nbformat
from markupsafe import Markup

from tailwise.ledger import claims
from tailwise.ledger.board import every_claim
from tailwise.ledger.tables import tally
from tailwise.templates import render
from tools.book.layout import TEMPLATES, Book, project, write

ROWS, LINES = 18, 15  # lines of text that fit on a slide, in a table and in a list
COLUMNS = 85  # characters in one line of either
ORIGINS = ("this paper", "ours")
LETTERS = {"tau": "τ", "gamma": "γ", "delta": "δ", "rho": "ρ", "pi": "π", "lambda": "λ"}


def inline(text: str) -> Markup:
    r"""One line of Markdown as HTML; formulas of letters, numbers and indices only.

    Raises
    ------
    ValueError
        If a formula needs more than that: the slides carry no typesetter.

    Examples
    --------
    >>> inline(r"weights **$1/n_c$** with `tau`, see [here](a.md)")
    'weights <b><i>1/n<sub>c</sub></i></b> with <code>tau</code>, see here'
    """
    text = html.escape(text, quote=False)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$([^$]+)\$", lambda formula: _formula(formula[1]), text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text))


def _formula(tex: str) -> str:
    plain = re.sub(r"\\([a-z]+)", lambda m: LETTERS.get(m[1], m[0]), tex)
    plain = re.sub(r"_\{?(\w+|[+-])\}?", r"<sub>\1</sub>", plain)
    if re.search(r"[\\{}^]", plain):
        raise ValueError(f"slides cannot show the formula ${tex}$: say it in words")
    return f"<i>{plain}</i>"


def _filled(items: list, height, most: float) -> list[list]:
    """Items in order, each page filled before the next one is begun."""
    pages, used = [], most + 1
    for item in items:
        if used + height(item) > most:
            pages.append([])
            used = 0
        pages[-1].append(item)
        used += height(item)
    return pages


def _pages(items: list, height, most: int) -> list[list]:
    """Items in order, as few pages as fit, about equally full.

    `height(item)` sums to at most `most` on a page.
    """
    fewest = len(_filled(items, height, most))
    limit = min(sum(map(height, items)) / fewest, most)
    while len(_filled(items, height, limit)) > fewest:
        limit = min(limit + 0.1, most)
    return _filled(items, height, limit)


def _numbered(title: str, pages: list) -> list[tuple[str, list]]:
    """Pages with their titles."""
    if len(pages) == 1:
        return [(title, pages[0])]
    return [(f"{title} ({k} of {len(pages)})", p) for k, p in enumerate(pages, 1)]


# What the notebooks say


def _prose(notebook) -> str:
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def finding(notebook) -> list[str]:
    """The sentences of "The answer, first." at the top of a chapter.

    Raises
    ------
    ValueError
        If the chapter does not open with its finding.
    """
    found = re.search(r"\*\*The answer, first\.\*\*\n(.+?)\n\n", _prose(notebook), re.S)
    if not found:
        raise ValueError("a chapter without **The answer, first.**")
    return found[1].splitlines()


def figure(notebook) -> tuple[str, str, str]:
    """Heading, alternative text and PNG, in base64, of the first figure with a text."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ (.+)$", cell.source, re.M)
            heading = headings[-1] if headings else heading
            continue
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
        shown = (output.get("data", {}).get("image/png") for output in cell.outputs)
        if alt and (image := next(filter(None, shown), None)):
            return heading, alt, "".join(image.split())
    raise ValueError("a chapter without a figure that has mystnb.image.alt")


def warning(notebook) -> str:
    """The sentence that says when not to use the method, or nothing."""
    found = re.search(r"^\*\*Do not use it\*\*.+$", _prose(notebook), re.M)
    return found[0] if found else ""


def questions(meeting: str) -> dict[str, list[str]]:
    """Questions for the meeting by the chapter's number, from meeting.md.

    Raises
    ------
    ValueError
        If a method does not have three.
    """
    asked = {}
    for part in re.split(r"^(?=## \d)", meeting, flags=re.M)[1:]:
        number = re.match(r"## (\d+)", part)[1]
        block = re.search(r"^### Three questions\n(.+?)(?=^#|\Z)", part, re.M | re.S)
        listed = re.findall(r"^\d\. (.+)$", block[1] if block else "", re.M)
        if len(listed) != 3:
            raise ValueError(f"meeting.md, method {number}: {len(listed)} questions")
        asked[number] = listed
    return asked


def meanings(index: str) -> tuple[str, list[tuple[str, str]]]:
    """What a verdict means: words and table of the book's first page."""
    block = index.partition("## What a verdict means")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| <span [^>]+>(.+?)</span> \| (.+?) \|$", block, re.M)
    return block.partition("|")[0], rows


# The slides


def chapter(key: str, notebook, asked: list[str], board) -> dict:
    """What the slides show of one chapter."""
    stated = claims.load(key)
    finds = _pages(finding(notebook), lambda s: 1.5 + len(s) // COLUMNS, LINES)
    rows = list(stated.claims.values())
    rows = _pages(rows, lambda c: 1.8 + len(c.says) // COLUMNS, ROWS)
    of = {o: list(board["verdict"][board["origin"] == o]) for o in ORIGINS}
    return {
        "number": key.removeprefix("ch"),
        "stated": stated,
        "tally": {origin: tally(verdicts) for origin, verdicts in of.items()},
        "finding": _numbered("The finding", finds),
        "figure": figure(notebook),
        "claims": _numbered("Claims and verdicts", rows),
        "verdicts": dict(zip(board["claim"], board["verdict"])),
        "asked": asked,
        "warning": warning(notebook),
    }


def deck(book: Book, pages: Path) -> str:
    """All slides as one HTML page.

    Parameters
    ----------
    book : Book
    pages : Path
        The folder with the executed notebooks, laid out as book/ is.
    """
    asked = questions((book.source / "workshop" / "meeting.md").read_text("utf-8"))
    board = every_claim("laptop", "recorded")
    chapters = []
    for key, rows in board.groupby("chapter"):
        path = pages / f"{claims.load(key).page}.ipynb"
        if path.exists():
            notebook = nbformat.read(path, as_version=4)
            chapters.append(chapter(key, notebook, asked.get(key[2:], []), rows))
    return render(
        "slides.html",
        *TEMPLATES,
        version=project(book.root)["version"],
        meanings=meanings((book.source / "index.md").read_text("utf-8")),
        chapters=chapters,
        inline=inline,
    )


def main() -> None:
    book = Book.here()
    path = book.build / "slides.html"
    write(path, deck(book, book.source))
    print(f"the slides: {path}")


if __name__ == "__main__":
    main()
