"""Predict, then look: a claim, the reader's bet on it, and only then what was measured.

A page of its own has the claims that carry each chapter. In any chapter a line
``<!-- predict: ch1.some_claim -->`` becomes such a bet. Without scripts it is a line to
fill in and a fold to open, on the screen as on paper; `predict.js` makes it a slider
with a score, which stays in the reader's browser.
"""

import html
import math
import re

from tailwise.ledger import claims
from tailwise.ledger.board import counted, verdict_row
from tailwise.ledger.claims import Claim, Measurement
from tailwise.templates import render
from tools.book.layout import TEMPLATES

TALLY = ("0 to 20", "25 to 40", "45 to 55", "60 to 75", "80 to 100 %")
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
    measured = kept.measurements.get(id, ()) if kept else ()
    cell = verdict_row(claim, kept)
    return render(
        "predict.html",
        *TEMPLATES,
        claim=claim,
        cell=cell,
        counted=counted,
        rule=rule(claim, measured),
        opens=cell["needed"],
        up=up,
    )


def rule(claim: Claim, measured: tuple[Measurement, ...] = ()) -> str:
    """All that `claims.mark` asks of a number before it says "yes", in a sentence."""
    metric, _, needs = claim.needs.rpartition(": needs ")
    said = f"Reproduced if {metric} is {needs}"
    if not claim.exact:
        said += (
            f" over at least {max(2, claim.seeds)} repetitions, and so is all of its "
            "95 % interval; if a run of the same size would say so again "
            f"{10 * claims.CHANCE:g} times in ten"
        )
        if fresh := max((len(claims.again(claim, m)) for m in measured), default=0):
            asked = math.ceil(fresh * claims.CHANCE)
            of = f"all {fresh}" if asked == fresh else f"{asked} of {fresh}"
            said += f"; and if {of} runs with fresh seeds say so, too"
    if claim.parts:
        said += f". All of this for {', '.join(claim.parts)}"
    return f"{said}."


def fill_bets(text: str, up: str = "") -> str:
    """Put a bet in the place of each mark."""
    return MARK.sub(lambda mark: item(mark[1], up), text)


def offered(chapter: claims.Chapter) -> list[Claim]:
    """The claims of a chapter that its readers bet on."""
    kept = claims.recorded(chapter.key, "laptop")
    return [c for c in chapter.carrying if verdict_row(c, kept)["measured"]]


def page() -> str:
    """The bets on the claims that carry each chapter."""
    parts = []
    for chapter in map(claims.load, claims.chapters()):
        number = chapter.key.removeprefix("ch")
        question = " ".join(chapter.question.split())
        bets = "\n\n".join(item(claim.id) for claim in offered(chapter))
        link = f"[Read the chapter]({chapter.page}.ipynb)"
        parts.append(
            f"## {number} · {chapter.title}\n\n*{question}* {link}\n\n"
            f"<div class='predict-chapter' data-chapter='{number}'>\n\n{bets}\n\n</div>"
        )
    return "\n\n".join(parts)


def tally() -> str:
    """A table in which a teacher counts the bets of a room by hand."""
    lines = ["| claim | " + " | ".join(TALLY) + " |", "|---|" + "---|" * len(TALLY)]
    for chapter in map(claims.load, claims.chapters()):
        number = chapter.key.removeprefix("ch")
        lines += [
            f"| {number} · {html.escape(claim.says)} |" + " |" * len(TALLY)
            for claim in offered(chapter)
        ]
    return "\n".join(lines)
