"""The decision guide's flow chart: from a situation to what to try first.

Every arrow carries a `statements.Statement`; its number comes from the record.
"""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from tailwise.matrix.run import Record
from tailwise.matrix.statements import Statement, parse

WIDTH, PAD, LINE, COLUMNS = 360, 10, 17, 50
BOX = WIDTH - 2 * PAD - 18


@dataclass(frozen=True)
class Branch:
    """One way through the chart.

    Attributes
    ----------
    question : str
    seen : str
        Statement on the arrow that leads to it: how plain cross-entropy does.
    advice : str
        What to try first.
    gain : str
        Statement on the arrow to the advice.
    """

    question: str
    seen: str
    advice: str
    gain: str


def cited(text: str, record: Record) -> str:
    """A statement in words, with its measured number.

    Raises
    ------
    ValueError
        If the text is not one statement, or the record does not bear it out.
    """
    statements = parse(f"`{text}`")
    if len(statements) != 1 or not statements[0].holds(record):
        raise ValueError(f"{text!r}: not a statement that holds in the record")
    return _words(statements[0], record)


def _words(s: Statement, record: Record) -> str:
    e = s.measured(record)
    if s.less is None:
        return f"{s.metric} with {s.method}: {e.mean:.3f} ± {e.stderr:.3f}"
    names = s.method if s.less == "CE" else f"{s.method} over {s.less}"
    return f"{names}: {s.metric} {e.mean:+.3f} ± {e.stderr:.3f}"


@dataclass(frozen=True)
class Chart:
    """Branches below each other; shows itself in a notebook as a drawing and a list."""

    branches: Sequence[Branch]
    record: Record

    def lines(self) -> list[str]:
        """The chart in words, a line a branch."""
        return [
            f"{b.question} ({cited(b.seen, self.record)}) Yes: {b.advice} "
            f"({cited(b.gain, self.record)})"
            for b in self.branches
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{i}. {line}" for i, line in enumerate(self.lines(), 1))

    def svg(self) -> str:
        """The drawing; its colours are those of the text around it."""
        y, parts, stops = (
            46,
            [_box(PAD, 6, "Start: plain cross-entropy", heavy=True)],
            [],
        )
        for branch in self.branches:
            y += LINE
            stops.append(y + LINE)
            parts.append(
                _text(PAD + 24, y, cited(branch.seen, self.record), small=True)
            )
            parts.append(_box(PAD + 18, y + 6, branch.question))
            y += 6 + _height(branch.question)
            note = f"yes · {cited(branch.gain, self.record)}"
            parts.append(_arrow(PAD + 40, y, PAD + 40, y + 2.1 * LINE))
            parts.append(_text(PAD + 50, y + 1.2 * LINE, note, small=True))
            y += 2.1 * LINE
            parts.append(_box(PAD + 18, y, branch.advice, heavy=True))
            y += _height(branch.advice) + LINE
        trunk = [_arrow(PAD + 6, stop, PAD + 18, stop) for stop in stops]
        trunk.append(f"<path d='M{PAD + 6} {6 + _height('x')}V{stops[-1]}'/>")
        words = html.escape("; ".join(self.lines()))
        return (
            f"<svg viewBox='0 0 {WIDTH} {y:.0f}' role='img' aria-label=\"{words}\" "
            "style='width:100%;max-width:30rem;height:auto;color:inherit' "
            "font-size='12.5' fill='currentColor' stroke='none'>"
            "<g fill='none' stroke='currentColor' stroke-width='1.2'>"
            f"{''.join(trunk)}</g>{''.join(parts)}</svg>"
        )

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines())
        return (
            f"{self.svg()}<details><summary>The same as a list</summary>"
            f"<ol>{items}</ol></details>"
        )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS)


def _height(text: str) -> float:
    return len(_wrapped(text)) * LINE + 12


def _text(x: float, y: float, text: str, *, small: bool = False) -> str:
    size = " font-size='11'" if small else ""
    return f"<text x='{x}' y='{y:.1f}'{size}>{html.escape(text)}</text>"


def _box(x: float, y: float, text: str, *, heavy: bool = False) -> str:
    width = 2.2 if heavy else 1.0
    lines = "".join(
        _text(x + 9, y + 5 + LINE * (i + 0.75), line)
        for i, line in enumerate(_wrapped(text))
    )
    return (
        f"<rect x='{x}' y='{y:.1f}' width='{BOX}' height='{_height(text):.1f}' rx='6' "
        f"fill='none' stroke='currentColor' stroke-width='{width}'/>{lines}"
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    ahead = "l-5 -6m5 6l5 -6" if to_x == x else "l-6 -5m6 5l-6 5"
    return (
        f"<path fill='none' stroke='currentColor' stroke-width='1.2' "
        f"d='M{x} {y:.1f}L{to_x} {to_y:.1f}{ahead}'/>"
    )
