"""Draw the slides from the chapters, their records and the meeting page.

python -m tools.site.slides    writes _build/slides.html, one file that needs no network

Nothing is written twice: findings and the first figure come from the notebooks,
verdicts are computed from the committed records, questions come from
book/workshop/meeting.md.
"""

import base64
import html
import re
from pathlib import Path

from tools.book.layout import Book, project, write

TEMPLATE = Path(__file__).parents[1] / "templates" / "slides.html"
ROWS, LINES = 18, 15  # lines of text that fit on a slide, in a table and in a list
COLUMNS = 85  # characters in one line of either
OURS = " <span class='origin'>ours</span>"
LETTERS = {"tau": "τ", "gamma": "γ", "delta": "δ", "rho": "ρ", "pi": "π", "lambda": "λ"}


def inline(text: str) -> str:
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
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _formula(tex: str) -> str:
    plain = re.sub(r"\\([a-z]+)", lambda m: LETTERS.get(m[1], m[0]), tex)
    plain = re.sub(r"_\{?(\w+|[+-])\}?", r"<sub>\1</sub>", plain)
    if re.search(r"[\\{}^]", plain):
        raise ValueError(f"slides cannot show the formula ${tex}$: say it in words")
    return f"<i>{plain}</i>"


def slide(where: str, title: str, body: str) -> str:
    """One slide; `where` is the line above its title."""
    return (
        f"<section><p class='where'>{inline(where)}</p>\n"
        f"<h2>{inline(title)}</h2>\n{body}\n</section>"
    )


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


def _numbered(title: str, pages: list) -> list[str]:
    if len(pages) == 1:
        return [title]
    return [f"{title} ({k} of {len(pages)})" for k in range(1, len(pages) + 1)]


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


def figure(notebook) -> tuple[str, str, bytes]:
    """Heading, alternative text and PNG of the first figure that has a text."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ (.+)$", cell.source, re.M)
            heading = headings[-1] if headings else heading
            continue
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
        shown = (output.get("data", {}).get("image/png") for output in cell.outputs)
        if alt and (image := next(filter(None, shown), None)):
            return heading, alt, base64.b64decode(image)
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


# The slides


def _list(items: list[str], tag: str = "ul") -> str:
    return f"<{tag}>{''.join(f'<li>{inline(item)}</li>' for item in items)}</{tag}>"


def finding_slides(where: str, notebook) -> list[str]:
    pages = _pages(finding(notebook), lambda s: 1.5 + len(s) // COLUMNS, LINES)
    titles = _numbered("The finding", pages)
    return [slide(where, t, _list(page)) for t, page in zip(titles, pages)]


def figure_slide(where: str, notebook) -> str:
    heading, alt, png = figure(notebook)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    body = (
        f"<figure><img alt='{html.escape(alt, quote=True)}' src='{source}'>"
        f"<figcaption aria-hidden='true'>{html.escape(alt)}</figcaption></figure>"
    )
    return slide(where, heading, body)


def claim_slides(where: str, key: str, board) -> list[str]:
    """Every claim of a chapter with its verdict from the committed record."""
    from tailwise.ledger import claims
    from tailwise.ledger.board import verdict_html

    found = dict(zip(board["claim"], board["verdict"]))
    stated = list(claims.load(key).claims.values())
    rows = _pages(stated, lambda c: 1.8 + len(c.says) // COLUMNS, ROWS)
    shown = []
    for title, page in zip(_numbered("Claims and verdicts", rows), rows):
        body = ""
        for claim in page:
            ours = "" if claim.origin == "paper" else OURS
            badge = verdict_html({"verdict": found[claim.id]})
            body += f"<tr><td>{inline(claim.says)}{ours}</td><td>{badge}</td></tr>\n"
        shown.append(slide(where, title, f"<table><tbody>{body}</tbody></table>"))
    return shown


def ask_slide(where: str, asked: list[str], notebook) -> str:
    body = _list(asked, "ol")
    if caution := warning(notebook):
        body += f"<p class='note'>{inline(caution)}</p>"
    return slide(where, "Ask in the meeting", body)


def words_slide(index: str) -> str:
    """What a verdict means: words and table of the book's first page."""
    from tailwise.ledger.board import verdict_html

    block = index.partition("## What a verdict means")[2].partition("\n## ")[0]
    words = " ".join(block.partition("|")[0].split())
    rows = re.findall(r"^\| <span [^>]+>(.+?)</span> \| (.+?) \|$", block, re.M)
    body = "".join(
        f"<tr><th scope='row'>{verdict_html({'verdict': verdict})}</th>"
        f"<td>{inline(meaning)}</td></tr>"
        for verdict, meaning in rows
    )
    table = f"<table class='words'><tbody>{body}</tbody></table>"
    return slide("Tailwise", "What a verdict means", f"<p>{inline(words)}</p>{table}")


def chapter_slides(key: str, notebook, asked: list[str], board) -> list[str]:
    """The slides of one chapter."""
    from tailwise.ledger import claims
    from tailwise.ledger.tables import tally

    chapter = claims.load(key)
    where = f"{key.removeprefix('ch')} · {chapter.title}"
    papers, ours = (
        tally(list(board["verdict"][board["origin"] == origin]))
        for origin in ("paper", "tailwise")
    )
    address = f"https://arxiv.org/abs/{chapter.paper['arxiv']}"
    opening = (
        f"<section class='part'><p class='where'>Chapter {where[0]}</p>\n"
        f"<h1>{inline(chapter.title)}</h1>\n"
        f"<p class='question'>{inline(' '.join(chapter.question.split()))}</p>\n"
        f"<p>The paper's claims, on a laptop: {papers}.<br>Ours: {ours}.</p>\n"
        f"<p class='where'>{inline(chapter.paper['authors'])}: "
        f"<a href='{address}'>{inline(chapter.paper['title'])}</a></p></section>"
    )
    return [
        opening,
        *finding_slides(where, notebook),
        figure_slide(where, notebook),
        *claim_slides(where, key, board),
        ask_slide(where, asked, notebook),
    ]


def deck(book: Book, pages: Path) -> str:
    """All slides as one HTML page.

    Parameters
    ----------
    book : Book
    pages : Path
        The folder with the executed notebooks, laid out as book/ is.
    """
    import nbformat

    from tailwise.ledger import claims
    from tailwise.ledger.board import scoreboard

    asked = questions((book.source / "workshop" / "meeting.md").read_text("utf-8"))
    board = scoreboard("laptop", "recorded")
    title = (
        "<section class='title'><h1>Tailwise</h1>\n<p class='question'>Learning from "
        "rare classes, rare groups and hard examples</p>\n<p class='where'>Version "
        f"{project(book.root)['version']}. Keys: ← and → one slide, ↑ and ↓ one "
        "chapter.</p></section>"
    )
    shown = [title, words_slide((book.source / "index.md").read_text("utf-8"))]
    for key in claims.chapters():
        path = pages / f"{claims.load(key).page}.ipynb"
        if path.exists():
            rows = board[board["chapter"] == key]
            notebook = nbformat.read(path, as_version=4)
            shown += chapter_slides(key, notebook, asked[key[2:]], rows)
    page = TEMPLATE.read_text("utf-8")
    return page.replace("<!-- slides -->", "\n".join(shown))


def main() -> None:
    book = Book.here()
    path = book.build / "slides.html"
    write(path, deck(book, book.source))
    print(f"the slides: {path}")


if __name__ == "__main__":
    main()
