"""The scoreboard page: every claim of the book beside every run that measured it."""

from dataclasses import dataclass
from math import isnan, nan

import pandas as pd

from tailwise.ledger import stability
from tailwise.ledger.board import counted, power, verdict_row
from tailwise.ledger.claims import (
    VERDICTS,
    Chapter,
    Claim,
    Record,
    chapters,
    latest,
    load,
    recorded,
)
from tailwise.profiles import DECIDING
from tailwise.templates import render

Run = tuple[str, Record]


@dataclass(frozen=True)
class FullTable:
    """Claims with their runs, chapter by chapter; shows itself in a notebook.

    Attributes
    ----------
    boards : tuple of (Chapter, tuple of (str, Record))
        The runs of each chapter, with their names.
    """

    boards: tuple[tuple[Chapter, tuple[Run, ...]], ...]

    def frame(self) -> pd.DataFrame:
        """One row for each claim, run and part.

        Returns
        -------
        DataFrame
            Columns ``chapter``, ``claim``, ``origin``, ``run``, ``verdict``, ``part``,
            ``value``, ``low`` and ``high`` (the 95 % interval),
            ``n``, ``device``, ``commit``. A claim without any run has one row.
        """
        rows = [
            {"chapter": chapter.key, "claim": claim.id, "origin": claim.origin} | row
            for chapter, runs in self.boards
            for claim in chapter.claims.values()
            for rows in _runs(claim, runs)
            for row in rows
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return self.frame().to_string(index=False)

    def _repr_html_(self) -> str:
        found = set(self.frame()["verdict"])
        menus = {
            "chapter": {chapter.key: _title(chapter) for chapter, _ in self.boards},
            "verdict": {v: v for v in VERDICTS if v in found},
            "whose": {
                "this paper": "the paper's",
                "another paper": "another paper's",
                "ours": "ours",
            },
        }
        return render(
            "scoreboard.html",
            __package__,
            menus=menus,
            boards=[_board(*board) for board in self.boards],
            counted=counted,
            numbers=_numbers,
            strip=stability.strip,
            title=_title,
        )


def _title(chapter: Chapter) -> str:
    return f"{chapter.key.removeprefix('ch')} · {chapter.title}"


def _board(chapter: Chapter, runs: tuple[Run, ...]) -> tuple:
    """A chapter, the profiles without a run, and the runs of each claim."""
    there = {record.profile for _, record in runs}
    missing = [name for name in DECIDING if name not in there]
    claims = [(claim, _runs(claim, runs)) for claim in chapter.claims.values()]
    return chapter, missing, claims


def _runs(claim: Claim, runs: tuple[Run, ...]) -> list[list[dict]]:
    """The rows of one claim by run, without a second run that reads like the first."""
    empty = {"part": "", "value": nan, "low": nan, "high": nan, "n": 0, "needed": ""}
    kept: list[list[dict]] = []
    shown: dict[str, list | None] = {}
    for name, record in runs:
        measured = record.measurements.get(claim.id, ())
        row = verdict_row(claim, record)
        shared = {"run": name, "verdict": row["verdict"], "marks": row["marks"]}
        facts = record.provenance
        where = {"device": facts["device"], "commit": facts["commit"] or ""}
        found = []
        for m in measured:
            about = {"part": m.part or "", "value": m.value, "n": m.n}
            about |= dict(zip(("low", "high"), claim.interval(m)))
            about["needed"] = power(claim, m)
            found.append(shared | about | where)
        found = found or [shared | empty | where]
        text = [(row["verdict"], row["part"], _numbers(row)) for row in found]
        if text != shown.setdefault(record.profile, None):
            kept.append(found)
        shown[record.profile] = text
    nothing: dict = {
        "run": "",
        "verdict": "not recorded yet",
        "device": "",
        "commit": "",
    }
    nothing["marks"] = {}
    return kept or [[nothing | empty]]


def _numbers(row: dict) -> dict[str, str]:
    if isnan(row["value"]) and not row["n"]:
        return {"value": "–", "interval": "–", "n": "–"}
    low, high = _number(row["low"]), _number(row["high"])
    return {
        "value": _number(row["value"]),
        "interval": "–" if row["low"] == row["high"] else f"{low} to {high}",
        "n": f"{row['n']}",
    }


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def full_table(profile: str) -> FullTable:
    """All claims with every committed record, and this machine's last run.

    Parameters
    ----------
    profile : str
        Whose last run is shown, where it measured other numbers than the record.
    """
    boards = []
    for chapter in map(load, chapters()):
        runs = [
            (name, record)
            for name in DECIDING
            if (record := recorded(chapter.key, name))
        ]
        if live := latest(chapter.key, profile):
            runs.append((f"{profile}, this machine", live))
        boards.append((chapter, tuple(runs)))
    return FullTable(tuple(boards))


def tally(verdicts: list[str]) -> str:
    """Verdicts in a phrase.

    >>> tally(["reproduced", "mixed", "reproduced", "not reproduced"])
    '2 of 4 reproduced, 1 mixed, 1 not reproduced'
    """
    if set(verdicts) <= {"not recorded yet"}:
        return "not recorded yet"
    counts = {v: verdicts.count(v) for v in VERDICTS[1:] if v in verdicts}
    rest = "".join(f", {n} {verdict}" for verdict, n in counts.items())
    return f"{verdicts.count('reproduced')} of {len(verdicts)} reproduced{rest}"
