"""The scoreboard page: every claim of the book beside every run that measured it."""

import html
from dataclasses import dataclass
from itertools import groupby
from math import isnan, nan

import pandas as pd

from tailwise.claims import (
    VERDICTS,
    Chapter,
    Claim,
    Record,
    chapters,
    latest,
    load,
    recorded,
    verdict,
)
from tailwise.profiles import DECIDING
from tailwise.scoreboard import bound_text, verdict_html

Run = tuple[str, Record]
HEAD = ("claim", "verdict", "value", "interval", "n", "run")
WHOSE = {"paper": "the paper's", "tailwise": "ours"}


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
            ``value``, ``low`` and ``high`` (two standard errors below and above),
            ``n``, ``device``, ``commit``. A claim without any run has one row.
        """
        rows = [
            {"chapter": chapter.key, "claim": claim.id, "origin": claim.origin} | row
            for chapter, runs in self.boards
            for claim in chapter.claims.values()
            for row in _rows(claim, runs)
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return self.frame().to_string(index=False)

    def _repr_html_(self) -> str:
        boards = "".join(_board_html(*board) for board in self.boards)
        return f"<div class='scoreboard'>{self._filter_html()}{boards}</div>"

    def _filter_html(self) -> str:
        found = set(self.frame()["verdict"])
        menus = {
            "chapter": {chapter.key: _title(chapter) for chapter, _ in self.boards},
            "verdict": {v: v for v in VERDICTS if v in found},
            "origin": WHOSE,
        }
        labels = "".join(_menu_html(name, menu) for name, menu in menus.items())
        # The script of the page shows it: without a script it could do nothing.
        count = "<output aria-live='polite'></output>"
        return f"<form class='board-filter' hidden>{labels}{count}</form>"


def _menu_html(name: str, menu: dict[str, str]) -> str:
    options = "".join(
        f"<option value='{html.escape(key)}'>{html.escape(text)}</option>"
        for key, text in {"": "all", **menu}.items()
    )
    label = "whose" if name == "origin" else name
    return f"<label>{label} <select name='{name}'>{options}</select></label>"


def _title(chapter: Chapter) -> str:
    return f"{chapter.key.removeprefix('ch')} · {chapter.title}"


def _rows(claim: Claim, runs: tuple[Run, ...]) -> list[dict]:
    """The rows of one claim, without a second run's that reads like the first's."""
    empty = {"part": "", "value": nan, "low": nan, "high": nan, "n": 0}
    rows, shown = [], {}
    for name, record in runs:
        measured = record.measurements.get(claim.id, ())
        shared = {"run": name, "verdict": verdict(claim, measured, record.profile)}
        facts = record.provenance
        where = {"device": facts["device"], "commit": facts["commit"] or ""}
        found = []
        for m in measured:
            about = {"part": m.part or "", "value": m.value, "n": m.n}
            about |= {"low": m.value - 2 * m.stderr, "high": m.value + 2 * m.stderr}
            found.append(shared | about | where)
        found = found or [shared | empty | where]
        text = [(row["verdict"], *_numbers(row).values()) for row in found]
        if text != shown.setdefault(record.profile, None):
            rows += found
        shown[record.profile] = text
    nothing = {"run": "", "verdict": "not recorded yet", "device": "", "commit": ""}
    return rows or [nothing | empty]


def _board_html(chapter: Chapter, runs: tuple[Run, ...]) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in HEAD)
    claims = "".join(_claim_html(chapter, c, runs) for c in chapter.claims.values())
    missing = set(DECIDING) - {record.profile for _, record in runs}
    missing = ", ".join(name for name in DECIDING if name in missing)
    note = f"<p class='measured'>Not recorded yet: {missing}.</p>" if missing else ""
    return (
        f"<section data-chapter='{chapter.key}'>"
        f"<h2 id='{chapter.key}'>{html.escape(_title(chapter))}</h2>{note}"
        f"<table class='claims board'><thead><tr>{head}</tr></thead>{claims}</table>"
        "</section>"
    )


def _claim_html(chapter: Chapter, claim: Claim, runs: tuple[Run, ...]) -> str:
    """The rows of a claim as one body of the table."""
    rows = _rows(claim, runs)
    cells = [f"<th scope='rowgroup' rowspan='{len(rows)}'>{_says(chapter, claim)}</th>"]
    body = []
    for _, of_run in groupby(rows, key=lambda row: row["run"]):
        of_run = list(of_run)
        cells.append(_cell("verdict", verdict_html(of_run[0]), len(of_run)))
        for number, row in enumerate(of_run):
            cells += [_cell(name, text) for name, text in _numbers(row).items()]
            if number == 0:
                cells.append(_cell("run", _where(row), len(of_run)))
            body.append(f"<tr>{''.join(cells)}</tr>")
            cells = []
    found = html.escape("|".join(dict.fromkeys(row["verdict"] for row in rows)))
    return (
        f"<tbody id='{claim.id}' data-verdict='{found}' data-origin='{claim.origin}'>"
        f"{''.join(body)}</tbody>"
    )


def _says(chapter: Chapter, claim: Claim) -> str:
    """A claim in words, with a link to the cell that measured it."""
    # A notebook beside this one; the book's stage turns the address into a page's.
    link = f"{chapter.page}.ipynb#{claim.id}"
    ours = " <span class='origin'>ours</span>" if claim.origin != "paper" else ""
    needs = html.escape(f"{claim.metric}: needs {bound_text(claim)}")
    return (
        f"<a href='{link}'>{html.escape(claim.says)}</a>{ours}<br>"
        f"<code>{claim.id}</code><br><span class='measured'>{needs}</span>"
    )


def _numbers(row: dict) -> dict[str, str]:
    if isnan(row["value"]) and not row["n"]:
        return {"value": "–", "interval": "–", "n": "–"}
    part = f"<span class='part'>{html.escape(row['part'])}</span> "
    low, high = _number(row["low"]), _number(row["high"])
    return {
        "value": (part if row["part"] else "") + _number(row["value"]),
        "interval": "–" if row["low"] == row["high"] else f"{low} to {high}",
        "n": f"{row['n']}",
    }


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _where(row: dict) -> str:
    about = html.escape(" · ".join(filter(None, (row["device"], row["commit"]))))
    return f"{html.escape(row['run']) or '–'}<br><span class='measured'>{about}</span>"


def _cell(label: str, content: str, rows: int = 1) -> str:
    span = f" rowspan='{rows}'" if rows > 1 else ""
    return f"<td class='board-{label}' data-label='{label}'{span}>{content}</td>"


def full_table(profile: str) -> FullTable:
    """All claims with every committed record, and this machine's last run.

    Parameters
    ----------
    profile : str
        Whose last run is shown, where it measured other numbers than the record.
    """
    boards = []
    for chapter in map(load, chapters()):
        runs = [(name, recorded(chapter.key, name)) for name in DECIDING]
        if live := latest(chapter.key, profile):
            runs.append((f"{profile}, this machine", live))
        boards.append((chapter, tuple(run for run in runs if run[1])))
    return FullTable(tuple(boards))
