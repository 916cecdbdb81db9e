"""Predict, then look: a claim, the reader's bet on it, and only then what was measured.

A page of its own has the claims that carry each chapter. In any chapter a line
``<!-- predict: ch1.some_claim -->`` becomes such a bet. Without scripts it is a line to
fill in and a fold to open, on the screen as on paper; `predict.js` makes it a slider
with a score, which stays in the reader's browser.
"""

import re

from tailwise.ledger import claims
from tailwise.ledger.board import counted, verdict_row
from tailwise.templates import render
from tools.book.layout import TEMPLATES

MARK = re.compile(r"<!-- predict: (ch\d+\.\w+) -->")


def item(id: str, up: str = "") -> str:
    """One bet.

    Parameters
    ----------
    id : str
        Of the claim.
    up : str
        From the page to the folder of the scoreboard, such as ``"../"``.

    Raises
    ------
    ValueError
        For a claim that no chapter has.
    """
    chapter = claims.load(id.partition(".")[0])
    if id not in chapter.claims:
        raise ValueError(f"predict names {id!r}, which is not claimed")
    claim, kept = chapter.claims[id], claims.recorded(chapter.key, "laptop")
    cell = verdict_row(claim, kept)
    metric, _, needs = claim.needs.rpartition(": needs ")
    return render(
        "predict.html",
        *TEMPLATES,
        claim=claim,
        cell=cell,
        counted=counted,
        metric=metric,
        needs=needs,
        up=up,
    )


def fill_bets(text: str, up: str = "") -> str:
    """Put a bet in the place of each mark."""
    return MARK.sub(lambda mark: item(mark[1], up), text)


def page() -> str:
    """The bets on the claims that carry each chapter."""
    parts = []
    for chapter in map(claims.load, claims.chapters()):
        number = chapter.key.removeprefix("ch")
        question = " ".join(chapter.question.split())
        bets = "\n\n".join(
            item(claim.id)
            for claim in chapter.carrying
            if verdict_row(claim, claims.recorded(chapter.key, "laptop"))["measured"]
        )
        link = f"[Read the chapter]({chapter.page}.ipynb)"
        parts.append(f"## {number} · {chapter.title}\n\n*{question}* {link}\n\n{bets}")
    return "\n\n".join(parts)
