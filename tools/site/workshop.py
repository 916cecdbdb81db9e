"""Fill what the workshop's pages leave open: minutes, downloads, slides, questions.

The first page has lines <!-- computed: NAME -->. They are filled when the site is laid
out, from the records and the solutions that there are, so the page is never stale.
"""

import re
from pathlib import Path

import jupytext

from tools.book.layout import Book, fill, write
from tools.site import exercises, slides

ROW = re.compile(r"^\| (\d) \|", re.M)
SLIDES = (
    'The <a href="../../_static/slides.html">slides</a> are one file that needs no '
    "network; the arrow keys lead through them."
)


def minutes(book: Book) -> str:
    """A table of what each chapter took when it was recorded."""
    from tailwise.ledger import claims

    lines = ["| chapter | machine minutes | memory | processor |", "|---|---|---|---|"]
    for chapter in map(claims.load, claims.chapters()):
        title = f"{chapter.key.removeprefix('ch')} · {chapter.title}"
        record = claims.recorded(chapter.key, "laptop")
        if record is None:
            lines.append(f"| {title} | not recorded yet | | |")
            continue
        facts = record.provenance
        lines.append(
            f"| {title} | {facts['wall_s'] / 60:.1f} "
            f"| {facts['peak_memory_gb']:.1f} GB | {facts['device']} |"
        )
    return "\n".join(lines)


def listed(names: list[str]) -> str:
    """A list of the exercise notebooks, each to be read here or downloaded."""
    return "\n".join(
        f"- [chapter {name.partition('_')[0]}](../exercises/{name}), "
        f"{{download}}`the notebook <../exercises/{name}>`"
        for name in names
    )


def lay_out(book: Book, stage: Path) -> None:
    """Put exercises and slides into the stage, and fill the workshop's first page."""
    notebooks = exercises.made(book)
    for name, notebook in notebooks.items():
        write(stage / "book" / "exercises" / name, notebook)
    page = stage / "book" / "workshop" / "index.md"
    if not page.exists():
        return
    write(stage / "book" / "_static" / "slides.html", slides.deck(book, stage / "book"))
    blocks = {
        "minutes": minutes(book),
        "exercises": listed([*notebooks]),
        "slides": SLIDES,
    }
    write(page, fill(page.read_text("utf-8"), blocks))
    for notes in page.parent.glob("teacher_*.md"):
        number = notes.stem.removeprefix("teacher_")
        (chapter,) = book.source.glob(f"chapters/{number}_*.py")
        asked = exercises.tasks(jupytext.read(chapter), exercises.QUIZ)
        write(notes, with_questions(notes.read_text("utf-8"), asked))


def with_questions(notes: str, asked: dict[int, str]) -> str:
    """Put the quiz's questions beside their numbers in the table of answers.

    Raises
    ------
    ValueError
        If the table does not answer the questions that are asked.
    """
    before, heading, rest = notes.partition("## Quiz and discussion\n")
    table, gap, after = rest.partition("\n\nDiscussion")
    answered = [int(number) for number in ROW.findall(table)]
    if answered != sorted(asked):
        raise ValueError(f"the quiz asks {sorted(asked)}, the notes answer {answered}")
    table = ROW.sub(lambda row: f"| {row[1]}. {asked[int(row[1])]} |", table)
    return before + heading + table + gap + after
