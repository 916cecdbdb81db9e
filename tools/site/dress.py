"""Fill the stage with what is computed: the front page, chapters' first lines, links.

Nothing here is committed: the pages in book/ hold only marks, such as
``<!-- computed: cards -->``.
"""

import html
import re
from collections import Counter
from pathlib import Path

import nbformat

from tailwise.ledger import claims
from tailwise.ledger.board import verdict_html
from tools.book.layout import Book, fill, write
from tools.site.anchors import add_anchors
from tools.site.cards import Card, cards, total


def dress(book: Book, stage: Path) -> None:
    """Fill the pages of a stage that has just been laid out."""
    found = cards(book.source)
    front = stage / "book" / "index.md"
    write(front, fill(front.read_text(encoding="utf-8"), parts(found)))
    for card, chapter in zip(found, map(_chapter, found)):
        path = stage / "book" / f"{card.page}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        add_line(notebook, card)
        add_anchors(notebook, chapter)
        nbformat.write(notebook, path)
    glossary = stage / "book" / "glossary.md"
    write(glossary, link_chapters(glossary.read_text(encoding="utf-8"), found))
    path = stage / "book" / "scoreboard.ipynb"
    write(path, to_pages(path.read_text(encoding="utf-8")))


def _chapter(card: Card) -> claims.Chapter:
    return claims.load(f"ch{card.number}")


# The front page


def parts(found: list[Card]) -> dict[str, str]:
    """The computed parts of the front page by name."""
    return {"headline": total(found), "marks": marks(found), "cards": items(found)}


def _ordered(card: Card) -> list[str]:
    order = claims.VERDICTS.index
    return sorted(card.verdicts, key=order)


def marks(found: list[Card]) -> str:
    """One mark for each claim of the papers, a row for each chapter."""
    rows = []
    for card in found:
        each = "".join(
            f"<span class='verdict {_style(verdict)}'></span>"
            for verdict in _ordered(card)
        )
        name = html.escape(f"{card.number} · {card.title}")
        rows.append(
            f"<div class='marks-row'><a href='{card.page}.html'>{name}</a>"
            f"<span role='img' aria-label='{card.tally}'>{each}</span></div>"
        )
    return f"<div class='marks'>{''.join(rows)}</div>"


def _style(verdict: str) -> str:
    return re.search(r"class='verdict (\S+)'", verdict_html({"verdict": verdict}))[1]


def _badges(card: Card) -> str:
    number = Counter(_ordered(card))
    return " ".join(
        verdict_html({"verdict": v}).replace(f">{v}<", f">{n} {v}<")
        for v, n in number.items()
    )


def items(found: list[Card]) -> str:
    """A card for each chapter: question, finding, verdicts, minutes."""
    blocks = []
    for card in found:
        page = f"{card.page}.ipynb"
        more = [f"**{card.time}** on a laptop"]
        more += [f"[On Monday]({page}#on-monday)"] if card.monday else []
        more.append(f"<a href='scoreboard.html#ch{card.number}'>every\u00a0claim</a>")
        if card.arxiv:
            paper = f"arXiv\u00a0{card.arxiv}"
            more.append(f"[{paper}](https://arxiv.org/abs/{card.arxiv})")
        blocks += [
            f":::{{grid-item-card}} [{card.number} · {card.title}]({page})",
            f"*{card.question}*",
            "",
            card.finding,
            "",
            _badges(card),
            "",
            " · ".join(more),
            ":::",
        ]
    return "\n".join(blocks)


# Chapters


def add_line(notebook, card: Card) -> None:
    """Say under a chapter's title what held up, and how long it runs."""
    board = "../" * card.page.count("/") + f"scoreboard.html#ch{card.number}"
    line = (
        f"<p class='chapter-line'>The paper’s claims: <a href='{board}'>"
        f"{card.tally}</a> · {card.time} on a laptop</p>"
    )
    title, _, rest = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n{line}\n{rest}"


def to_pages(notebook: str) -> str:
    """Turn links to notebooks within HTML outputs into links to pages."""
    return re.sub(r"(href='[\w./]+)\.ipynb(?=[#'])", r"\1.html", notebook)


def link_chapters(text: str, found: list[Card]) -> str:
    """Link each "Chapter 1" in a text to the chapter, where that exists."""
    pages = {card.number: card.page for card in found}
    return re.sub(
        r"\bChapter (\d+)\b",
        lambda m: f"[{m[0]}]({pages[m[1]]}.ipynb)" if m[1] in pages else m[0],
        text,
    )
