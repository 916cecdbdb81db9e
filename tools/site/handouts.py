"""One page a chapter for whoever decides: question, picture, finding, pilot, stop rule.

Nothing is written twice: the paragraph, the questions and the pilot are those of
book/workshop/meeting.md, the rest comes from the chapter and its record.
"""

import base64
import re
from pathlib import Path

import nbformat

from tools.book.layout import fill, write
from tools.site.cards import Card
from tools.site.slides import figure

PARTS = ("In one paragraph", "Three questions", "Pilot")


def parts_of(meeting: str, number: str) -> dict[str, str]:
    """The parts of one method in meeting.md by heading.

    Raises
    ------
    ValueError
        If one of them is not there.
    """
    body = re.search(rf"^## {number} · .+?$(.+?)(?=^## |\Z)", meeting, re.M | re.S)
    text = body[1] if body else ""
    found = dict(re.findall(r"^### (.+?)\n\n(.+?)(?=^### |\Z)", text, re.M | re.S))
    if missing := [part for part in PARTS if part not in found]:
        raise ValueError(f"meeting.md, method {number}: no {missing}")
    return {part: found[part].strip() for part in PARTS}


def lay_out(stage: Path, found: list[Card]) -> None:
    """Fill the page of handouts, and put its pictures beside it."""
    page = stage / "book" / "workshop" / "handouts.md"
    meeting = (page.parent / "meeting.md").read_text("utf-8")
    made = []
    for card in found:
        notebook = nbformat.read(stage / "book" / f"{card.page}.ipynb", as_version=4)
        _, alt, png = figure(notebook)
        write(page.parent / f"handout_{card.number}.png", base64.b64decode(png))
        made.append(handout(card, alt, parts_of(meeting, card.number)))
    write(page, fill(page.read_text("utf-8"), {"handouts": "\n\n".join(made)}))


def handout(card: Card, alt: str, parts: dict[str, str]) -> str:
    """One page in Markdown."""
    return f"""\
## {card.number} · {card.title}

**{card.question}**

```{{image}} handout_{card.number}.png
:alt: {" ".join(alt.split())}
:class: handout-picture
```

**{card.finding}** {parts["In one paragraph"]}

*The finding above is what the means of our runs show; a verdict says what is decided.
The paper’s claims, measured again: {card.tally}.*

### Ask

{parts["Three questions"]}

### The pilot

{parts["Pilot"]}"""
