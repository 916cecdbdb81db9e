"""Statements that a sentence of the decision guide rests on, and whether they hold.

A statement is written as code behind its sentence, in one of the forms

    `world · method − other · metric > bound`        a paired difference
    `world · method · metric < bound`                a level

and holds if the mean over seeds lies beyond the bound by two standard errors; with
``~`` it holds if the bound lies within two standard errors of the mean.
"""

import re
from dataclasses import dataclass

from tailwise.matrix.run import Record
from tailwise.metrics import Estimate

SPAN = re.compile(r"`([^`\n]*·[^`\n]*)`")
FORM = re.compile(
    r"(?P<world>[^·]+) · (?P<method>[^·−]+?)(?: − (?P<less>[^·−]+))? · "
    r"(?P<metric>[^·<>~]+) (?P<sign>[<>~]) (?P<bound>-?\d+(?:\.\d+)?)"
)


@dataclass(frozen=True)
class Statement:
    """A comparison of one cell of the matrix, or of two, with a number."""

    world: str
    method: str
    less: str | None
    metric: str
    sign: str
    bound: float

    def measured(self, record: Record) -> Estimate:
        """The level or the paired difference; a ValueError names an unknown cell."""
        if self.less is None:
            return record.level(self.world, self.method, self.metric)
        return record.gain(self.world, self.method, self.metric, self.less)

    def holds(self, record: Record) -> bool:
        """Whether the record bears it out at two standard errors."""
        e = self.measured(record)
        off, slack = e.mean - self.bound, 2 * e.stderr
        if self.sign == "~":
            return bool(abs(off) <= slack)
        return bool(off > slack if self.sign == ">" else -off > slack)


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


def faults(text: str, record: Record) -> list[str]:
    """What is wrong with the statements of a text."""
    try:
        statements = parse(text)
    except ValueError as error:
        return [str(error)]
    found = []
    for statement in statements:
        try:
            if not statement.holds(record):
                found.append(f"{statement}: measured {statement.measured(record)}")
        except ValueError as error:
            found.append(f"{statement}: {error}")
    return found


def bare_sentences(text: str, *, after: str, before: str) -> list[str]:
    """Lines between two headings that state something without a statement.

    Sources have one sentence a line; headings, tables and HTML state nothing.
    """
    lines = text.splitlines()
    for heading in (after, before):
        if heading not in lines:
            raise ValueError(f"no heading {heading!r} in the text")
    body = lines[lines.index(after) + 1 : lines.index(before)]
    says = [line for line in body if line.strip() and line[0] not in "#|<"]
    return [line for line in says if not SPAN.search(line)]
