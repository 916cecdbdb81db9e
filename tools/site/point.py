"""The picture on the front page: what a method gains for the worst group, by problem.

A table whose cells hold a bar, so that it is read at any width, in both modes, by a
screen reader and on paper. Its numbers are those of the transfer matrix's record.
"""

from dataclasses import dataclass

from tailwise.matrix.reports import mark
from tailwise.matrix.run import Record
from tailwise.metrics import Estimate
from tailwise.templates import render
from tools.book.layout import TEMPLATES

METRIC = "worst group"
WORLDS = ("step", "backbone", "birds", "textiles", "skin", "tail", "noise")
# What a chapter puts into the matrix, or the rival that trains nothing, by the name of
# its method there: its chapter, and the name that readers see.
SHOWN = {
    "shifted threshold": (0, "move the threshold"),
    "weights by effective ratio": (1, "effective weights"),
    "DFR": (2, "balanced last layer, DFR"),
    "SoftAD": (3, "soft ascent-descent"),
    "mean of experts": (4, "two experts, averaged"),
    "LDT 1/2 + 1/n": (5, "temperatures and weights"),
}
LOW, HIGH = -0.2, 0.6  # gains at the ends of a cell's axis
WORDS = {"▲": "better", "▼": "worse", "·": "undecided"}


@dataclass(frozen=True)
class Cell:
    """A gain as text and as places on its axis, in per cent of its length."""

    gain: Estimate

    @property
    def is_inside(self) -> bool:
        e = self.gain
        return LOW <= e.mean - e.half and e.mean + e.half <= HIGH

    @property
    def found(self) -> str:
        return WORDS[mark(self.gain, METRIC)]

    @property
    def points(self) -> str:
        return f"{100 * self.gain.mean:+.1f}".replace("-", "−")

    @property
    def half(self) -> str:
        return f"{100 * self.gain.half:.1f}"

    @property
    def bar(self) -> tuple[float, float]:
        """Left end and width."""
        ends = sorted((_place(0), _place(self.gain.mean)))
        return ends[0], ends[1] - ends[0]

    @property
    def interval(self) -> tuple[float, float]:
        """Left end and width."""
        left = _place(self.gain.mean - self.gain.half)
        return left, _place(self.gain.mean + self.gain.half) - left


def _place(gain: float) -> float:
    return round(100 * (gain - LOW) / (HIGH - LOW), 1)


def cells(record: Record) -> dict[str, list[Cell | None]]:
    """A row for each problem, with a cell for each method that applies.

    Raises
    ------
    ValueError
        If a gain lies beyond the axis.
    """
    rows = {}
    for world in filter(record.values.__contains__, WORLDS):
        values = record.values[world]
        rows[world] = [
            Cell(record.gain(world, m, METRIC)) if m in values else None for m in SHOWN
        ]
        if out := [c.points for c in rows[world] if c and not c.is_inside]:
            raise ValueError(f"{world}: gains {out} lie outside of {LOW} to {HIGH}")
    return rows


def finding(record: Record) -> str:
    """What the picture shows, in a sentence that the record decides."""
    rows = cells(record)
    helped = {
        method: sum(bool(row[n]) and row[n].found == "better" for row in rows.values())
        for n, method in enumerate(SHOWN)
    }
    free = next(iter(SHOWN))
    lost = [
        record.worlds[world]["title"]
        for world, row in rows.items()
        if all(cell is None or cell.found != "better" for cell in row)
    ]
    most = max(helped.values())
    text = (
        "Moving one threshold, which trains nothing, helps the worst group in "
        f"{helped[free]} of {len(rows)} problems; "
    )
    text += "nothing" if helped[free] == most else "another method"
    text += " here helps in more."
    price = max(-record.gain(world, free, "training mix").mean for world in rows)
    text += f" Its price is up to {100 * price:.0f} points in the mix of training."
    return text + (f" For {' and '.join(lost)}, none of them helps." if lost else "")


def draw(record: Record, pages: dict[int, str]) -> str:
    """The picture as HTML; `pages` are the addresses of the chapters by number."""
    return render(
        "point.html",
        *TEMPLATES,
        rows=[(record.worlds[w]["title"], row) for w, row in cells(record).items()],
        heads=[(pages.get(chapter), chapter, name) for chapter, name in SHOWN.values()],
        zero=_place(0),
        finding=finding(record),
        n=len(record.of(WORLDS[0], "CE", METRIC)),
        record=record,
    )
