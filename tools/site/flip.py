"""Flip the verdict: a switch makes a mistake, and the page shows which verdicts change.

A page of its own has every switch. In any chapter a line ``<!-- flip: mistake -->``
becomes one. A switch is a checkbox and styles, without a script; on paper both states
are shown.
"""

import re

from tailwise.ledger import claims, mistakes
from tailwise.templates import render
from tools.book.layout import TEMPLATES

MARK = re.compile(r"<!-- flip: (\w+) -->")


def item(id: str, up: str = "") -> str:
    """One switch.

    Parameters
    ----------
    id : str
        Of the mistake.
    up : str
        From the page to the folder of the scoreboard, such as ``"../"``.

    Raises
    ------
    ValueError
        For a mistake that nobody made, or one that was not measured.
    """
    known = {mistake.id: mistake for mistake in mistakes.load()}
    if id not in known:
        raise ValueError(f"flip names {id!r}, expected one of {', '.join(known)}")
    mistake = known[id]
    if not (found := mistakes.effects(mistake)):
        raise ValueError(f"the mistake {id!r} is not measured")
    return render("flip.html", *TEMPLATES, mistake=mistake, rows=_rows(found), up=up)


def _rows(found: list[mistakes.Effect]) -> list[dict]:
    """Of each claim, the ones that change first: both verdicts, and both numbers."""
    rows = []
    for effect in sorted(found, key=lambda one: not one.flips):
        verdicts = effect.verdicts()
        parts = [
            {
                "name": before.part,
                "without": number(before),
                "with": number(after),
                "changes": len(
                    {claims.mark_alone(effect.claim, m) for m in (before, after)}
                ),
            }
            for before, after in zip(effect.without, effect.with_it)
        ]
        row = {"claim": effect.claim, "verdicts": verdicts, "parts": parts}
        rows.append(row | {"flips": effect.flips})
    return rows


def number(measured: claims.Measurement) -> str:
    """A number with half of its interval."""
    half = f" ± {measured.half:.2g}" if measured.stderr else ""
    return f"{measured.value:.3g}{half}"


def fill_flips(text: str, up: str = "") -> str:
    """Put a switch in the place of each mark."""
    return MARK.sub(lambda mark: item(mark[1], up), text)


def page() -> str:
    """All switches by chapter; then the mistakes that changed no verdict."""
    parts, idle = [], []
    by_chapter = {}
    for mistake in mistakes.load():
        if any(effect.flips for effect in mistakes.effects(mistake)):
            by_chapter.setdefault(mistake.chapter, []).append(mistake.id)
        else:
            idle.append(mistake.id)
    for chapter in map(claims.load, claims.chapters()):
        number = chapter.key.removeprefix("ch")
        link = f"[Read the chapter]({chapter.page}.ipynb)"
        items = [item(id) for id in by_chapter.get(chapter.key, ())]
        items.append(_short(chapter))
        anchor = f"<span id='flip-{number}'></span>"
        head = f"## {number} · {chapter.title}"
        parts.append("\n\n".join([anchor, head, link, *items]))
    if idle:
        said = "Also tried; no verdict changed, though a number may have."
        parts.append("\n\n".join(["## No verdict changed", said, *map(item, idle)]))
    return "\n\n".join(parts)


def _short(chapter: claims.Chapter) -> str:
    """The switch of short intervals, with every verdict of a chapter it changes."""
    changed = mistakes.short_intervals(chapter.key)
    known = [c for c in chapter.claims.values() if c.profile == "laptop"]
    rows = [
        {"claim": chapter.claims[id], "verdicts": verdicts, "parts": [], "flips": True}
        for id, verdicts in changed.items()
    ]
    return render("flip_short.html", *TEMPLATES, rows=rows, of=len(known))
