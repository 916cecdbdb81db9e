"""Statements that a sentence of the decision guide rests on, and whether they hold.

A statement is written as code behind its sentence, in one of the forms

    `world · method − other · metric > bound`        a paired difference
    `world · method · metric < bound`                a level

and holds if the 95 % interval over seeds lies beyond the bound; with
``~`` it holds if the interval covers the bound.
"""

import math
import re
from dataclasses import dataclass

from tailwise.matrix.run import Record
from tailwise.metrics import Estimate, decide

SPAN = re.compile(r"`([^`\n]*·[^`\n]*)`")
FORM = re.compile(
    r"(?P<world>[^·]+) · (?P<method>[^·−]+?)(?: − (?P<less>[^·−]+))? · "
    r"(?P<metric>[^·<>~]+) (?P<sign>[<>~]) (?P<bound>-?\d+(?:\.\d+)?)"
)

# What a number must not be for a statement to hold; "~" holds unless that is certain.
REFUTED = {">": "at most", "<": "at least", "~": "agreement"}


@dataclass(frozen=True)
class Statement:
    """A comparison of one entry of the matrix, or of two, with a number."""

    world: str
    method: str
    less: str | None
    metric: str
    sign: str
    bound: float

    def measured(self, record: Record) -> Estimate:
        """The level or the paired difference; a ValueError names an unknown entry."""
        if self.less is None:
            return record.level(self.world, self.method, self.metric)
        return record.gain(self.world, self.method, self.metric, self.less)

    def holds(self, record: Record) -> bool:
        """Whether the record bears it out."""
        e = self.measured(record)
        off = e.mean - self.bound
        found = decide(off, e.half, 0.0, REFUTED[self.sign])
        return math.isfinite(off) and (found == "no") == (self.sign != "~")


def parse(text: str) -> list[Statement]:
    """All statements in a text.

    Raises
    ------
    ValueError
        For code with a "·" in it that has not the form of a statement.

    Examples
    --------
    >>> parse("It helps. `tail · LA − CE · balanced > 0`")[0].less
    'CE'
    """
    found = []
    for span in SPAN.findall(text):
        match = FORM.fullmatch(span)
        if match is None:
            form = "`world · method − other · metric > number`"
            raise ValueError(f"{span!r} is not a statement: expected {form}")
        parts = match.groupdict()
        found.append(Statement(**parts | {"bound": float(parts["bound"])}))
    return found
