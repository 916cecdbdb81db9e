"""Fill the stage with what is computed: the front page, chapters' first lines, links.

Nothing here is committed: the pages in book/ hold only marks, such as
``<!-- computed: cards -->``.
"""

import html
import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import yaml

from tailwise import matrix
from tailwise.ledger import claims, export, stability
from tailwise.ledger.board import freshest, headlines
from tailwise.templates import render
from tools.book.layout import TEMPLATES, Book, fill, write
from tools.paper.sets import SETS
from tools.site import flip, handouts, point, predict_cards
from tools.site.anchors import add_anchors
from tools.site.cards import Card, cards
from tools.site.example import pilot_example
from tools.site.machines import write_indexes
from tools.site.opening import arrange, reading_minutes
from tools.site.origins import PAGES, add_origins, add_page_origins
from tools.site.sources import number_sources

CITING = ("decision_guide", "transfer_matrix")  # pages whose sentences have sources


def dress(book: Book, stage: Path, executed: bool = False) -> None:
    """Fill the pages of a stage that has just been laid out.

    With `executed`, the notebooks in it are this machine's last runs.
    """
    read = freshest if executed else claims.recorded
    found = cards(book.source)
    front = stage / "book" / "index.md"
    write(front, fill(front.read_text(encoding="utf-8"), parts(found)))
    handouts.lay_out(stage, found)
    path = stage / "book" / "predict.md"
    predictions = {"predictions": predict_cards.page(), "tally": predict_cards.tally()}
    write(path, fill(path.read_text("utf-8"), predictions))
    path = stage / "book" / "flip.md"
    write(path, fill(path.read_text("utf-8"), {"switches": flip.page()}))
    path = stage / "book" / "data_sets.md"
    write(path, fill(path.read_text("utf-8"), {"sets": data_sets()}))
    changes = (book.root / "CHANGELOG.md").read_text("utf-8")
    page = stage / "book" / "changelog.md"
    write(page, fill(page.read_text("utf-8"), {"changelog": changes}))
    for card, chapter in zip(found, map(_chapter, found)):
        path = stage / "book" / f"{card.page}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        arrange(notebook, chapter)
        add_bets(notebook, card)
        add_line(notebook, card)
        add_preview(notebook, card)
        record = read(chapter.key, book.profile)
        add_origins(notebook, chapter, record, stage / "book")
        add_anchors(notebook, chapter)
        nbformat.write(notebook, path)
    if measured := matrix.recorded():
        for name in CITING:
            path = stage / "book" / f"{name}.ipynb"
            notebook = nbformat.read(path, as_version=4)
            number_sources(notebook, measured)
            nbformat.write(notebook, path)
    for name in PAGES:
        if (path := stage / "book" / f"{name}.ipynb").exists():
            notebook = nbformat.read(path, as_version=4)
            add_page_origins(book, notebook, name, executed)
            nbformat.write(notebook, path)
    glossary = stage / "book" / "glossary.md"
    write(glossary, link_chapters(glossary.read_text(encoding="utf-8"), found))
    static = stage / "book" / "_static"
    write(static / "pilot_example.csv", pilot_example())
    write(static / "claims.json", json.dumps(export.document(), allow_nan=False))
    write(static / "claims.schema.json", json.dumps(export.schema(), indent=1))
    path = stage / "book" / "scoreboard.ipynb"
    write(path, to_pages(path.read_text(encoding="utf-8")))
    config = stage / "_config.yml"
    write(config, configured(config.read_text(encoding="utf-8"), found))
    write_indexes(stage)


def configured(text: str, found: list[Card]) -> str:
    """The site's settings with the badges of chapters, and with the root of its 404."""
    config = yaml.safe_load(text)
    sphinx = config["sphinx"]["config"]
    sphinx["html_context"]["badges"] = [
        {"page": f"book/{card.page}"}
        | {name: getattr(card, name) for name in ("badge", "tally", "time")}
        for card in found
        if card.badge
    ]
    sphinx["notfound_urls_prefix"] = urlsplit(sphinx["html_baseurl"]).path
    return yaml.safe_dump(config, allow_unicode=True)


def data_sets() -> str:
    """The sets of the runs at paper size as a table in Markdown."""
    rows = [
        f"| {found.title} | {found.fetched_gb:g} GB | {found.disk_gb:g} GB "
        f"| {found.licence.removeprefix(f'{found.title}: ')} |"
        for found in SETS.values()
    ]
    return "\n".join(
        ["| data | fetched | on disk | licence |", "|---|---|---|---|", *rows]
    )


def _chapter(card: Card) -> claims.Chapter:
    return claims.load(f"ch{card.number}")


# The front page


def parts(found: list[Card]) -> dict[str, str]:
    """The computed parts of the front page by name.

    They are its picture, what speaks for its numbers, its headline, a mark for each
    claim of the papers, and a card a chapter.
    """
    measured = matrix.recorded()
    pages = {int(card.number): card.page for card in found}
    return {
        "point": point.draw(measured, pages) if measured else "",
        "trust": trust(found),
        "headline": headlines(),
        "marks": render("marks.html", *TEMPLATES, cards=found),
        "cards": render("cards.md", *TEMPLATES, cards=found, count=Counter),
    }


def trust(found: list[Card]) -> str:
    """What speaks for the numbers, in a line: size, time, fresh seeds."""
    minutes = sum(card.minutes or 0 for card in found)
    total = sum(len(card.verdicts) for card in found)
    stay = stability.staying()
    seeds = ""
    if stay.of:
        seeds = f"with fresh seeds {stay.same / stay.of:.1%} of marks stay · "
    return (
        f"<p class='trust'>{total} claims of {len(found)} papers · all chapters run in "
        f"{minutes} min on a laptop, without a network · {seeds}"
        "<a href='scoreboard.html'>every number</a></p>"
    )


# Chapters


def add_line(notebook, card: Card) -> None:
    """Say under a title what held up, how long it takes, and what belongs to it."""
    up = "../" * card.page.count("/")
    name = card.page.rpartition("/")[2]
    line = (
        "<p class='chapter-line'>The paper’s claims, by the largest record: "
        f"<a href='{up}scoreboard.html#ch{card.number}'>{card.tally}</a> · "
        f"about {reading_minutes(notebook)} min to read · "
        f"runs {card.time} on a laptop</p>\n\n"
        "<div class='chapter-line'>\n\n"
        + ("[On Monday](#on-monday) · " if card.monday else "")
        + f"[exercises]({up}exercises/{name}.ipynb) · "
        f"[solutions]({up}solutions/{name}.ipynb) · "
        f"<a href='{up}../_static/slides.html#ch{card.number}'>slides</a> · "
        f"[notes for teachers]({up}workshop/teacher_{card.number}.md) · "
        f"[work since](#since-{card.number}) · "
        f"<a href='{up}flip.html#flip-{card.number}'>flip its verdicts</a> · "
        f"[for a room without a network]({up}workshop/index.md#the-room)\n\n</div>"
    )
    title, _, rest = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n{line}\n{rest}"


def add_bets(notebook, card: Card) -> None:
    """Make a bet, or a switch, of each mark in a chapter's text."""
    up = "../" * card.page.count("/")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = flip.fill_flips(predict_cards.fill_bets(cell.source, up), up)


def add_preview(notebook, card: Card) -> None:
    """State the finding as what chats and search engines show of a link."""
    about = re.sub(r"[*$`]", "", card.finding)
    notebook.metadata["og:description"] = html.escape(about)
    notebook.metadata["myst"] = {"html_meta": {"description": about}}


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
