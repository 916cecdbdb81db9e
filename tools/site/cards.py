"""What the site says of each chapter, computed from claims, records and the chapter."""

import re
from dataclasses import dataclass
from pathlib import Path

from tailwise.ledger import claims
from tailwise.ledger.tables import tally

ANSWER = "**The answer, first.**"


@dataclass(frozen=True)
class Card:
    """A chapter in short.

    Attributes
    ----------
    number, title, question : str
        Of the claim file.
    page : str
        The chapter's address below book/, without an extension.
    finding : str
        The sentence of its answer that it prints in bold, else the first one.
    verdicts : tuple of str
        Of the paper's claims, by the largest record, the best first.
    minutes : int or None
        Of the record at the laptop profile, rounded, and at least 1.
    monday : bool
        Whether it has a section *On Monday*.
    arxiv : str
        The number of its paper there; empty if it has none.
    """

    number: str
    title: str
    question: str
    page: str
    finding: str
    verdicts: tuple[str, ...]
    minutes: int | None
    monday: bool
    arxiv: str = ""

    @property
    def time(self) -> str:
        return f"{self.minutes} min" if self.minutes else "not recorded yet"

    @property
    def tally(self) -> str:
        """Such as "7 of 13 reproduced, 3 mixed"."""
        return tally(list(self.verdicts))

    @property
    def badge(self) -> str:
        """Such as "7/13 · 3 min"; empty without a record."""
        if self.minutes is None:
            return ""
        held = self.verdicts.count("reproduced")
        return f"{held}/{len(self.verdicts)} · {self.time}"


def finding(text: str) -> str:
    """The finding that a chapter states under its answer.

    Raises
    ------
    ValueError
        If the text has no answer.
    """
    _, found, rest = text.partition(ANSWER)
    answer = rest.strip().split("\n\n")[0]
    if not found or not answer:
        raise ValueError(f"no text under {ANSWER}")
    bold = re.search(r"\*\*(.+?)\*\*", answer, flags=re.DOTALL)
    return bold[1] if bold else answer.splitlines()[0]


def prose(py: Path) -> str:
    """The Markdown of a .py half, without its comment signs."""
    return re.sub(r"^# ?", "", py.read_text(encoding="utf-8"), flags=re.MULTILINE)


def cards(book: Path) -> list[Card]:
    """A card for each chapter that has claims and a page in `book`."""
    found = []
    for chapter in map(claims.load, claims.chapters()):
        py = book / f"{chapter.page}.py"
        if not py.exists():
            continue
        text, small = prose(py), claims.recorded(chapter.key, "laptop")
        found.append(
            Card(
                number=chapter.key.removeprefix("ch"),
                title=chapter.title,
                question=" ".join(chapter.question.split()),
                page=chapter.page,
                finding=finding(text),
                verdicts=_verdicts(chapter, claims.largest(chapter.key)),
                minutes=small and max(1, round(small.provenance["wall_s"] / 60)),
                monday="\n## On Monday\n" in text,
                arxiv=chapter.paper.get("arxiv", ""),
            )
        )
    return found


def _verdicts(chapter: claims.Chapter, kept: claims.Record | None) -> tuple[str, ...]:
    papers = [
        claim for claim in chapter.claims.values() if claim.origin == "this paper"
    ]
    if kept is None:
        return ("not recorded yet",) * len(papers)
    measured = (kept.measurements.get(claim.id, ()) for claim in papers)
    found = (claims.verdict(c, m, kept.profile) for c, m in zip(papers, measured))
    return tuple(sorted(found, key=claims.VERDICTS.index))
